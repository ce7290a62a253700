package stack_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
)

func openTicket(reference string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{
		Title: "It hangs", Reference: reference}}}
}

func (l *lockbox) ticket(as, named string) (*lockboxv1.TicketView, *lockboxv1.Refusal) {
	l.Helper()
	reply := l.query(&lockboxv1.Query{Tenant: bank, Token: l.token(as), MinSequence: l.decided(),
		Ask: &lockboxv1.Query_GetTicket{GetTicket: &lockboxv1.GetTicket{TicketId: named}}})
	return reply.GetTicket(), reply.GetRefusal()
}

// R11: what a real system calls its ticket is opened, named in any spelling, and shown as it was given.
func TestATicketIsWhatTheCustomerCallsIt(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.does("grace", openTicket("TrackingID#2405150050001234"))
	l.does("grace", openTicket("0012345"))
	l.does("grace", openTicket(" Org/Repo#12\u200B "))
	taken := l.mayNot("grace", openTicket("ORG/repo#12"), conflict, "R11")
	if !strings.Contains(taken.GetMessage(), "Org/Repo#12") || taken.GetField() != "open_ticket.reference" {
		t.Errorf("it is refused with %v", taken)
	}
	l.mayNot("grace", openTicket(strings.Repeat("x", 201)), invalid, "bad input")
	l.mayNot("grace", openTicket(aggregate.TicketID("#1")), invalid, "R11")
	l.does("lena", &lockboxv1.Command{AggregateId: "org/repo#12", Action: &lockboxv1.Command_CommentTicket{
		CommentTicket: &lockboxv1.CommentTicket{Text: "We look."}}})
	l.mayNot("lena", &lockboxv1.Command{AggregateId: "org/repo#13", Action: &lockboxv1.Command_CommentTicket{
		CommentTicket: &lockboxv1.CommentTicket{Text: "We look."}}}, notFound, "R11")

	in := l.intent("erin")
	in.TicketId = "  org/repo#12 "
	id := l.requested(in, request.CustomerNotified)
	if s := l.state(id); s.Intent.GetTicketId() != "Org/Repo#12" || s.TicketID != aggregate.TicketID("Org/Repo#12") {
		t.Errorf("the request is about %q, %q", s.Intent.GetTicketId(), s.TicketID)
	}
	if o := l.submit(in); !o.GetDuplicate() {
		t.Errorf("the same intent again: %v", o)
	}
	shown, _ := l.ticket("grace", "ORG/REPO#12")
	if shown.GetReference() != "Org/Repo#12" || len(shown.GetHistory()) != 2 {
		t.Errorf("the ticket is %v", shown)
	}
	for _, e := range shown.GetHistory() {
		if !strings.Contains(e.GetSummary(), "ticket Org/Repo#12") {
			t.Errorf("it says %q", e.GetSummary())
		}
	}
	list := l.query(&lockboxv1.Query{Tenant: bank, Token: l.token("grace"), MinSequence: l.decided(),
		Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{TicketId: "org/repo#12"}}}).GetRequests()
	if len(list.GetRequests()) != 1 || list.GetRequests()[0].GetRequestId() != id {
		t.Errorf("its requests are %v", list)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		mails, err := mailbox.Read(l.stack.MailboxDir())
		must(t, err)
		if slices.ContainsFunc(mails, func(m mailbox.Message) bool { return strings.Contains(m.Text, "Org/Repo#12") }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no mail names the ticket as the customer does")
		}
	}
	missing := l.intent("erin")
	missing.TicketId = "org/repo#99"
	if r := l.submit(missing).GetRefusal(); r.GetField() != "ticket_id" || r.GetRule() != "R11" {
		t.Errorf("a ticket that is none: %v", r)
	}
	l.holds()
}

// R11: tickets from before there were references stay what they are. Two that fall together stay two.
func TestTicketsFromBeforeThereWereReferences(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	r := repository.New(l.journal(bus.Orchestrator))
	for _, old := range []string{"SR-77", "sr-77", "SR-78"} {
		e := (&aggregate.History{Tenant: bank, Kind: aggregate.KindTicket, ID: old}).Follow(
			l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindTicket, Type: "TicketOpened"})[0].Event.GetActor(),
			newID(t), time.Now())
		e.Fact = &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{Title: "It hangs: " + old}}
		must(t, repository.Identify(e))
		_, err := r.Append(t.Context(), repository.States{}, repository.Decided{Event: e})
		must(t, err)
	}
	const both = "fits several tickets (SR-77, sr-77); write it exactly as one of them"
	for named, want := range map[string]string{
		"SR-77": "SR-77", "sr-77": "sr-77", "Sr-77": both, "SR-78": "SR-78", "sr-78": "SR-78",
	} {
		got, refused := l.ticket("grace", named)
		if got.GetReference()+refused.GetMessage() != want {
			t.Errorf("%s is shown as %v, %v", named, got, refused)
		}
		in := l.intent("erin")
		in.TicketId = named
		o := l.submit(in)
		if want == both {
			if r := o.GetRefusal(); r.GetCode() != conflict || r.GetField() != "ticket_id" || r.GetMessage() != both {
				t.Errorf("an intent that names %s: %v", named, o)
			}
			continue
		}
		if s := l.reaches(in.GetId(), request.CustomerNotified); s.Intent.GetTicketId() != want || s.TicketID != want {
			t.Errorf("an intent that names %s is about %s, %s", named, s.Intent.GetTicketId(), s.TicketID)
		}
	}
	l.mayNot("grace", openTicket("sR-77"), conflict, "R11")
	l.mayNot("grace", openTicket("Sr-78"), conflict, "R11")
	l.does("lena", &lockboxv1.Command{AggregateId: "sr-78", Action: &lockboxv1.Command_CommentTicket{
		CommentTicket: &lockboxv1.CommentTicket{Text: "We look."}}})
	if v, _ := l.ticket("grace", "SR-78"); len(v.GetHistory()) != 2 {
		t.Errorf("it was not commented on: %v", v)
	}
	l.holds()
}

// holds expects that everything stored keeps the invariants.
func (l *lockbox) holds() {
	l.Helper()
	var all []invariant.Recorded
	for _, e := range l.history(journal.Replay{}) {
		all = append(all, invariant.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event})
	}
	for _, v := range invariant.Check(all) {
		l.Error(v)
	}
}
