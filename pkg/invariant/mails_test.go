package invariant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// timeline is a request that otto and olga are asked about, with the reports of mails that a case adds.
type timeline struct {
	history []invariant.Recorded
}

func asksThem() *timeline { return &timeline{enough()} }

func (l *timeline) last() invariant.Recorded { return l.history[len(l.history)-1] }

// reported adds a report of a mail about the event of a type, some time after it. Forge changes it.
func (l *timeline) reported(
	typ, template, to string, after time.Duration, forge ...func(*lockboxv1.Event),
) *timeline {
	about := l.history[slices.IndexFunc(l.history, func(r invariant.Recorded) bool {
		return aggregate.TypeOf(r.Event) == typ
	})].Event
	e := &lockboxv1.Event{
		Id: fmt.Sprint("report-", len(l.history)), Tenant: about.GetTenant(), Kind: aggregate.KindDelivery,
		AggregateId: about.GetId(), ReportKey: fmt.Sprint(len(l.history)), Actor: story.System("notifier"),
		Time: timestamppb.New(about.GetTime().AsTime().Add(after)),
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{
			Notification: &lockboxv1.Notification{EventId: about.GetId(), Template: template, Recipient: to}}},
	}
	for _, f := range forge {
		f(e)
	}
	l.history = append(l.history, invariant.Recorded{Sequence: l.last().Sequence + 1, Event: e})
	return l
}

func failed(e *lockboxv1.Event) {
	e.Fact = &lockboxv1.Event_NotificationFailed{NotificationFailed: &lockboxv1.NotificationFailed{
		Notification: e.GetNotificationSent().GetNotification(), Error: "550 no such user"}}
}

// book is the history as it is stored.
func (l *timeline) book(t *testing.T) *invariant.Book {
	t.Helper()
	b := invariant.NewBook()
	for _, r := range l.history {
		data, err := proto.Marshal(r.Event)
		if err != nil {
			t.Fatal(err)
		}
		at := r.Event.GetReportKey()
		if at == "" {
			at = fmt.Sprint(r.Event.GetVersion())
		}
		k := aggregate.KeyOf(r.Event)
		b.Add(invariant.Stored{Sequence: r.Sequence, At: r.Event.GetTime().AsTime(), Bytes: data,
			Subject: strings.Join([]string{"lockbox.event", k.Tenant, k.Kind, k.ID, at, aggregate.TypeOf(r.Event)}, ".")})
	}
	return b
}

// The mails about the customer being asked, in each case, an hour after it.
func TestI16AMailThatIsOwedIsReported(t *testing.T) {
	const asked = "CustomerNotified"
	all := func(l *timeline, after time.Duration, but string) *timeline {
		for _, m := range []string{"approval-requested otto", "approval-requested olga", "approval-requested-alternate soc",
			"approval-requested-alternate ciso", "customer-asked eve"} {
			if template, who, _ := strings.Cut(m, " "); m != but {
				address := who + "@contoso.example"
				if who == "eve" {
					address = "eve@nimbus.example"
				}
				l.reported(asked, template, address, after)
			}
		}
		return l
	}
	otto := "approval-requested otto"
	change := func(f func(*lockboxv1.Event)) *timeline {
		return all(asksThem(), time.Minute, otto).reported(asked, "approval-requested", "otto@contoso.example",
			time.Minute, f)
	}
	ottos := []string{"approval-requested otto@contoso.example"}
	for name, c := range map[string]struct {
		timeline *timeline
		missing  []string
	}{
		"none": {asksThem(), []string{"approval-requested olga@contoso.example",
			"approval-requested otto@contoso.example",
			"approval-requested-alternate ciso@contoso.example", "approval-requested-alternate soc@contoso.example",
			"customer-asked eve@nimbus.example"}},
		"all":                     {all(asksThem(), time.Minute, ""), nil},
		"held for ten minutes":    {all(asksThem(), 10*time.Minute, ""), nil},
		"one is missing":          {all(asksThem(), time.Minute, otto), ottos},
		"failed for good":         {change(failed), nil},
		"in capital letters":      {change(func(e *lockboxv1.Event) { sent(e).Recipient = "OTTO@contoso.example" }), nil},
		"late":                    {all(asksThem(), 20*time.Minute, ""), []string{"5 late"}},
		"to somebody else":        {change(func(e *lockboxv1.Event) { sent(e).Recipient = "eve@nimbus.example" }), ottos},
		"of another kind":         {change(func(e *lockboxv1.Event) { sent(e).Template = "customer-asked" }), ottos},
		"about another event":     {change(func(e *lockboxv1.Event) { sent(e).EventId = "other" }), ottos},
		"among another's reports": {change(func(e *lockboxv1.Event) { e.AggregateId = "other" }), ottos},
		"in another tenant":       {change(func(e *lockboxv1.Event) { e.Tenant = "fabrikam" }), ottos},
	} {
		t.Run(name, func(t *testing.T) {
			notified := c.timeline.history[slices.IndexFunc(c.timeline.history, func(r invariant.Recorded) bool {
				return r.Event.GetCustomerNotified() != nil
			})]
			now := notified.Event.GetTime().AsTime().Add(time.Hour)
			of := func(all []invariant.Mail) (missing []string) {
				late := 0
				for _, m := range all {
					switch {
					case m.Sequence != notified.Sequence || !m.Late(invariant.MailWithin, now):
					case m.Reported.IsZero():
						missing = append(missing, m.Template+" "+m.Recipient)
					default:
						late++
					}
				}
				if late > 0 {
					missing = append(missing, fmt.Sprint(late, " late"))
				}
				return missing
			}
			if diff := cmp.Diff(c.missing, of(invariant.Mails(c.timeline.history, 0))); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

// A history breaks I16 once no notifier would hold its mails any more. Until then they are counted.
func TestI16AMissingReportBreaksAStoredHistoryOnceItIsOverdue(t *testing.T) {
	l := asksThem()
	asked := l.last()
	for sequence := range asked.Sequence - 1 { // the changes before are reported, and one mail late
		e := l.history[sequence].Event
		if f := e.GetTenantCreated(); f != nil {
			l.reported("TenantCreated", "tenant-created", f.GetAdministrator().GetPerson().GetEmail(), 20*time.Minute)
		}
	}
	at := asked.Event.GetTime().AsTime()
	check := func(now time.Time) (i16 []string, m invariant.Mailing) {
		b := l.book(t)
		b.MailsAsOf(now)
		found, err := b.Check()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range found {
			if v.Invariant != "I16" {
				t.Error(v)
			}
			if v.Sequence == asked.Sequence {
				i16 = append(i16, v.What)
			}
		}
		return i16, b.Mailing()
	}
	if broken, m := check(at.Add(75 * time.Minute)); len(broken) > 0 || m.Waiting != (invariant.Span{Count: 5,
		First: asked.Sequence, Last: asked.Sequence}) || m.Late != (invariant.Span{Count: 1, First: 1, Last: 1}) {
		t.Errorf("in time: %v, %+v", broken, m)
	}
	broken, m := check(at.Add(2 * time.Hour))
	if len(broken) != 5 || m.Waiting.Count > 0 ||
		!slices.Contains(broken, "nothing says that approval-requested was mailed to otto@contoso.example, or could "+
			"not be, 2h0m0s later") {
		t.Errorf("overdue: %q, %+v", broken, m)
	}
	if broken, m := check(time.Time{}); len(broken) > 0 || m.Waiting.Count < 5 {
		t.Errorf("nothing is overdue when nobody says when it is: %v, %+v", broken, m)
	}
}

func sent(e *lockboxv1.Event) *lockboxv1.Notification {
	return e.GetNotificationSent().GetNotification()
}

func TestI16NothingIsOverdueBeforeItsTime(t *testing.T) {
	m := invariant.Mail{At: start}
	const within = invariant.MailWithin
	for after, late := range map[time.Duration]bool{0: false, within: false, within + 1: true} {
		if m.Late(within, start.Add(after)) != late {
			t.Errorf("after %s", after)
		}
	}
	m.Reported = start.Add(time.Minute)
	if m.Late(within, start.Add(time.Hour)) {
		t.Error("it was reported in time")
	}
}

// What others than approvers hear of: changes, for administrators; disclosures; emergencies, for whoever was not asked.
func TestI16EverybodyWhoMustHearIsOwedAMail(t *testing.T) {
	s := story.Case(gina, start)
	s.Command(gina, story.Assign("olga", olga, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, ofTenant))
	s.Command(gina, story.Assign("otto", otto, lockboxv1.Role_ROLE_OWNER, ofSubscription))
	s.Command(gina, story.Assign("lena", lena, lockboxv1.Role_ROLE_OWNER, ofSubscription))
	relieved := uint64(len(s.Entries)) + 1
	s.Command(gina, &lockboxv1.Command{AggregateId: story.Subscription, Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "lena"}}})
	removed := uint64(len(s.Entries)) + 1
	s.Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "olga"}}})
	disclosed := s.Disclose(sven, story.Tenant, "a file was opened", 0)
	s.Owed(aggregate.Disclosure(story.Tenant, disclosed))
	told := uint64(len(s.Entries))
	s.Transfer(story.Subscription, story.Tenant, fabrikam(s), "Sold", "sold")
	owed := map[uint64][]string{}
	for _, m := range invariant.Mails(s.History(), 0) {
		owed[m.Sequence] = append(owed[m.Sequence], m.Template+" "+m.Recipient)
	}
	want := map[uint64][]string{
		relieved: {"role-lost lena@contoso.example", "role-removed gina@contoso.example",
			"role-removed olga@contoso.example"},
		removed: {"role-removed gina@contoso.example", "role-removed olga@contoso.example"},
		told:    {"exposure-disclosed gina@contoso.example"},
	}
	for _, e := range s.Entries {
		switch f := e.Event; {
		case f.GetSubscriptionGivenUp() != nil:
			want[e.Seq] = []string{"subscription-given-up gina@contoso.example",
				"subscription-given-up otto@contoso.example"}
		case f.GetSubscriptionRegistered() != nil && f.GetTenant() != story.Tenant:
			want[e.Seq] = []string{"subscription-registered otto@fabrikam.example"}
		}
	}
	if len(want) != 5 {
		t.Errorf("the subscription did not move: %v", want)
	}
	for sequence, mails := range want {
		if diff := cmp.Diff(mails, owed[sequence]); diff != "" {
			t.Errorf("event %d (-want +owed):\n%s", sequence, diff)
		}
	}
}

func fabrikam(s *story.Story) string {
	s.Create("fabrikam", "Fabrikam", nil, story.Customer("fabrikam", "otto"))
	return "fabrikam"
}

// Whoever asks others than the customer's roles say does not decide who hears of it.
func TestI16AForgedListOwesMailsByTheRoles(t *testing.T) {
	l := asksThem()
	n := proto.CloneOf(l.last().Event)
	n.GetCustomerNotified().Approvers = n.GetCustomerNotified().GetApprovers()[1:]
	n.GetCustomerNotified().Approvers[0].Person.Email = "olga@evil.example"
	l.history[len(l.history)-1].Event = n
	var owed []string
	for _, m := range invariant.Mails(l.history, l.last().Sequence) {
		owed = append(owed, m.Template+" "+m.Recipient)
	}
	if diff := cmp.Diff([]string{"approval-requested olga@contoso.example",
		"approval-requested-alternate ciso@contoso.example", "approval-requested-alternate soc@contoso.example",
		"approvers-differ gina@contoso.example", "customer-asked eve@nimbus.example"}, owed); diff != "" {
		t.Errorf("owed (-want +got):\n%s", diff)
	}
}

// A tenant of ten thousand requests costs no more for each than one of a few.
func BenchmarkMails(b *testing.B) {
	history := story.Crowd(2000).History()
	b.ReportAllocs()
	for b.Loop() {
		invariant.Mails(history, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(history)), "ns/event")
}

// That two of those who are asked are one human is another mail than that nobody of them is left (R51).
func TestI16AQuorumOutOfReachIsOwedAMailOfItsOwn(t *testing.T) {
	for want, reason := range map[string]*lockboxv1.Reason{"approvers-unavailable": nil,
		"approvals-out-of-reach": {Code: lockboxv1.ReasonCode_REASON_CODE_ONE_HUMAN_ASKED_TWICE}} {
		l := asksThem()
		e := proto.CloneOf(l.last().Event)
		e.Id, e.Version = "unavailable", e.GetVersion()+1
		e.Fact = &lockboxv1.Event_ApproversUnavailable{
			ApproversUnavailable: &lockboxv1.ApproversUnavailable{CodedReason: reason}}
		l.history = append(l.history, invariant.Recorded{Sequence: l.last().Sequence + 1, Event: e})
		var owed []string
		for _, m := range invariant.Mails(l.history, l.last().Sequence) {
			owed = append(owed, m.Template+" "+m.Recipient)
		}
		if diff := cmp.Diff([]string{want + " ciso@contoso.example", want + " eve@nimbus.example",
			want + " gina@contoso.example", want + " soc@contoso.example"}, owed); diff != "" {
			t.Errorf("owed (-want +got):\n%s", diff)
		}
	}
}
