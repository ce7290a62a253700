package answer_test

import (
	"strings"
	"testing"

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
