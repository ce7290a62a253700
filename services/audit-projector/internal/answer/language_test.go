package answer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func in(language string, q *lockboxv1.Query) *lockboxv1.Query {
	q.Language = language
	return q
}

// R24: what Lockbox says is in the reader's language; what people wrote is as they wrote it.
func TestAnswersInTheReadersLanguage(t *testing.T) {
	p := newPlace(t)
	id := p.test[bank] // denied
	for language, row := range map[string]struct{ title, denied, assigned, opened, overdue string }{
		"": {"Deny Lockbox Request", "Grace Green denied access: “not this week”.", "Grace Green made",
			"opened ticket T-test: “slow network”.", "the time was over"},
		"en": {"Deny Lockbox Request", "Grace Green denied access: “not this week”.", "Grace Green made",
			"opened ticket T-test: “slow network”.", "the time was over"},
		"fr": {"Refuser la demande Lockbox", "Grace Green a refusé l’accès\u00a0: «\u00a0not this week\u00a0».",
			"Grace Green a attribué à", "a ouvert le ticket T-test\u00a0: «\u00a0slow network\u00a0».", "le délai était écoulé"},
		"ja": {"Lockbox 要求の拒否", "Grace Green がアクセスを拒否しました（理由：「not this week」）。", "のロール「Lockbox 承認者」を割り当てました。",
			"チケット T-test「slow network」を作成しました。", "期限を過ぎました"},
	} {
		v := p.query("grace", in(language, getRequest(bank, id))).GetRequest()
		last := v.GetTimeline()[len(v.GetTimeline())-1]
		if last.GetTitle() != row.title || last.GetSummary() != row.denied || last.GetAction() != "Deny Lockbox Request" ||
			last.GetVersion() != v.GetVersion() {
			t.Errorf("%q: the timeline ends with %v", language, last)
		}
		log := p.query("grace", in(language, listActivity(bank,
			&lockboxv1.ListActivity{Actions: []string{"Create Role Assignment"}}))).GetActivity().GetActivities()
		if len(log) == 0 || !strings.Contains(log[0].GetEntry().GetSummary(), row.assigned) {
			t.Errorf("%q: the log says %v", language, log)
		}
		ticket := p.query("grace", in(language, getTicket(bank, "T-test"))).GetTicket()
		if len(ticket.GetHistory()) != 1 || !strings.Contains(ticket.GetHistory()[0].GetSummary(), row.opened) {
			t.Errorf("%q: the ticket says %v", language, ticket.GetHistory())
		}
		now := p.story.Now
		p.story.Now = now.Add(p.story.Terms.CustomerApproval)
		if v := p.query("grace", in(language, getRequest(bank,
			p.prod[bank]))).GetRequest(); !strings.HasPrefix(v.GetEndReason(), row.overdue) {
			t.Errorf("%q: it ended because %s", language, v.GetEndReason())
		}
		p.story.Now = now
	}
	for _, language := range []string{"de", "EN", "fr-CA", "en\n", "日本語"} {
		for name, q := range p.questions(bank) {
			if got := p.query("grace", in(language, q)).GetRefusal(); got.GetCode() != invalid || got.GetField() != "language" {
				t.Errorf("%s in %q: %v", name, language, got)
			}
		}
	}
}

// The customer and the security officer see what became of the mails; to others of the provider addresses are not
// shown.
func TestWhatBecameOfTheMails(t *testing.T) {
	p := newPlace(t)
	p.assign("otto", "prod", owner, false)
	p.assign("audrey", tenantRole, auditor, false)
	id := p.prod[bank]
	p.story.Undelivered(bank, id, "fleur@meadowbank.example", "550 no such user")
	for _, who := range []string{"grace", "otto", "audrey", "olga"} {
		v := p.query(who, getRequest(bank, id)).GetRequest()
		list := v.GetDeliveries()
		if len(list) != 2 || list[0].GetRecipient() != "grace@example.org" || list[0].GetTemplate() != "approval-requested" ||
			list[0].GetLanguage() != "en" ||
			list[0].GetFailure() != "" || !list[0].GetTime().AsTime().Equal(p.story.Now) ||
			list[1].GetFailure() != "550 no such user" {
			t.Errorf("%s sees %v", who, list)
		}
		for _, e := range v.GetTimeline() {
			if report := e.GetType() == "NotificationSent" ||
				e.GetType() == "NotificationFailed"; report != (e.GetVersion() == 0) {
				t.Errorf("%s has version %d", e.GetType(), e.GetVersion())
			}
		}
	}
	if v := p.query("erin", getRequest(bank, id)).GetRequest(); v == nil || len(v.GetDeliveries()) != 0 {
		t.Errorf("the requester sees %v", v)
	}
	// A report that another tenant's name stands on is not this request's, whatever it says that it is about.
	p.story.Mail(health, id, secret+"@example.org")
	noneOf(t, "a foreign report", p.query("grace", getRequest(bank, id)), secret)
}

// R60: sentences that name a time are in the time zone of the reader's organisation, with UTC beside; programs and
// files read UTC alone.
func TestR60SentencesNameTimesInTheReadersZone(t *testing.T) {
	p := newPlace(t)
	p.answerer.Zone = timetext.Zone("America/New_York")
	p.story.Command(p.actor("grace"), &lockboxv1.Command{Tenant: bank, Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en",
			TimeZone: "Europe/Paris"}}}})
	expires := p.story.States.Request(aggregate.Request(bank, p.prod[bank])).ExpiresAt()
	paris, york := timetext.Zone("Europe/Paris"), timetext.Zone("America/New_York")
	utc := expires.UTC().Format("2006-01-02 15:04:05 UTC")
	for _, row := range []struct{ who, language, export, want string }{
		{"grace", "en", "", timetext.Stamp("en", expires, paris)},
		{"grace", "fr", "", timetext.Stamp("fr", expires, paris)},
		{"grace", "ja", "", timetext.Stamp("ja", expires, paris)},
		{"hana", "ja", "", timetext.Instant("ja", expires)},
		{"olga", "en", "", timetext.Stamp("en", expires, york)},
		{"grace", "", "", utc},
		{"grace", "en", "csv", utc},
	} {
		of := bank
		if row.who == "hana" {
			of = health
		}
		list := p.query(row.who, in(row.language, listActivity(of, &lockboxv1.ListActivity{RequestId: p.prod[of],
			Actions: []string{"CustomerNotified"}, Export: row.export}))).GetActivity().GetActivities()
		if len(list) != 1 || !strings.Contains(list[0].GetEntry().GetSummary(), row.want) {
			t.Errorf("%s in %q, export %q: %v; want %s", row.who, row.language, row.export, list, row.want)
		}
		if row.export != "" {
			continue
		}
		v := p.query(row.who, in(row.language, getRequest(of, p.prod[of]))).GetRequest()
		if !slices.ContainsFunc(v.GetTimeline(), func(e *lockboxv1.TimelineEntry) bool {
			return strings.Contains(e.GetSummary(), row.want)
		}) {
			t.Errorf("%s in %q: the timeline says nothing of %s", row.who, row.language, row.want)
		}
	}
}
