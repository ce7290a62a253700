package request_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const ticketClosed = lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED

// bound is contoso whose access ends with its ticket, or does not, with the ticket T-1.
func bound(ends bool) *story.Story {
	return contoso(set(&lockboxv1.TenantSettings{AccessEndsWithTicket: ends}), opened("T-1"))
}

func opened(reference string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{
		Title: "It does not boot", Reference: reference}}}
}

func closeTicket(reference string) deed {
	return does(&lockboxv1.Command{AggregateId: reference, Action: &lockboxv1.Command_CloseTicket{
		CloseTicket: &lockboxv1.CloseTicket{Reason: "it boots"}}})
}

func reopenTicket() deed {
	return does(&lockboxv1.Command{AggregateId: "T-1", Action: &lockboxv1.Command_ReopenTicket{
		ReopenTicket: &lockboxv1.ReopenTicket{}}})
}

// begun is a request that was approved and granted.
func begun() []row {
	return append(asks(diskIntent()),
		row{time.Hour, gina, does(approve()), is(request.Approved)},
		row{time.Hour, box, owed(request.Grant), is(request.Active)})
}

func TestR61ClosingATicketEndsTheAccessThatIsBoundToIt(t *testing.T) {
	s := bound(true)
	play(t, s, append(begun(),
		row{2 * time.Hour, box, owed(request.TakeAway), already(request.Active)},
		row{3 * time.Hour, eve, closeTicket("T-1"), is(request.Active)},
		row{3 * time.Hour, box, owed(request.TakeAway), is(request.Revoked)},
		row{3 * time.Hour, gina, reopenTicket(), is(request.Revoked)},
		row{3 * time.Hour, box, owed(request.TakeAway), already(request.Revoked)},
		row{3 * time.Hour, box, owed(request.Grant), already(request.Revoked)},
		row{4 * time.Hour, gina, does(revoke("no")), no(precondition, "aggregate_id", "R32", "no access")},
	)...)
	ended := s.Request()
	if ended.CodedEndReason.GetCode() != ticketClosed || ended.TicketClosedBy.GetPerson().GetSubject() != "eve" ||
		!aggregate.System(ended.EndedBy) || len(ended.Approvals()) != 1 {
		t.Errorf("ended with %v, the ticket closed by %v, access by %v", ended.CodedEndReason, ended.TicketClosedBy,
			ended.EndedBy)
	}
}

// A closing counts even if the ticket is open again before anybody looked, and even if it came between the reading of
// the ticket and the grant.
func TestR61ReopeningATicketRevivesNothing(t *testing.T) {
	play(t, bound(true), append(begun(),
		row{3 * time.Hour, gina, closeTicket("T-1"), is(request.Active)},
		row{3 * time.Hour, gina, reopenTicket(), is(request.Active)},
		row{3*time.Hour + 1, box, owed(request.TakeAway), is(request.Revoked)})...)

	s := bound(true)
	play(t, s, append(asks(diskIntent()), row{time.Hour, gina, does(approve()), is(request.Approved)})...)
	granted, err := s.Perform(request.Grant) // as of before the closing, and stored after it
	if granted == nil || err != nil {
		t.Fatalf("%v, %v", granted, err)
	}
	play(t, s,
		row{time.Hour, gina, closeTicket("T-1"), is(request.Approved)},
		row{time.Hour, box, func(*story.Story, *lockboxv1.Actor, string) (*lockboxv1.Event, error) {
			e := granted
			granted = nil
			return e, nil
		}, is(request.Active)},
		row{time.Hour, box, owed(request.TakeAway), is(request.Revoked)})
}

// A waiting request stays; an approval while the ticket is closed gives nothing, and one after it is open again does.
func TestR61AWaitingRequestStaysWhenItsTicketIsClosed(t *testing.T) {
	waits := append(asks(diskIntent()),
		row{time.Hour, gina, closeTicket("T-1"), is(request.CustomerNotified)},
		row{time.Hour, box, owed(request.TakeAway), already(request.CustomerNotified)},
		row{time.Hour, gina, does(ask("Why?")), is(request.CustomerNotified)},
		row{time.Hour, eve, answers(0, "Because."), is(request.CustomerNotified)})
	s := bound(true)
	play(t, s, append(waits[:len(waits):len(waits)],
		row{2 * time.Hour, gina, does(approve()), is(request.Approved)},
		row{2 * time.Hour, box, owed(request.Grant), is(request.Lapsed)},
		row{3 * time.Hour, gina, reopenTicket(), is(request.Lapsed)},
		row{3 * time.Hour, box, owed(request.Grant), already(request.Lapsed)})...)
	if r := s.Request(); r.CodedEndReason.GetCode() != ticketClosed ||
		r.TicketClosedBy.GetPerson().GetSubject() != "gina" {
		t.Errorf("lapsed with %v, the ticket closed by %v", r.CodedEndReason, r.TicketClosedBy)
	}
	play(t, bound(true), append(waits[:len(waits):len(waits)],
		row{2 * time.Hour, gina, reopenTicket(), is(request.CustomerNotified)},
		row{3 * time.Hour, gina, does(approve()), is(request.Approved)},
		row{3 * time.Hour, box, owed(request.Grant), is(request.Active)})...)
	play(t, bound(true), append(waits[:len(waits):len(waits)],
		row{2 * time.Hour, gina, does(deny("no")), is(request.Denied)})...)
	play(t, bound(true), append(waits[:len(waits):len(waits)],
		row{4 * day, box, owed(request.Expire), is(request.Expired)})...)
}

// What a tenant has not chosen, and what names no ticket or another one, does not end.
func TestR61AccessThatIsBoundToNoTicketStays(t *testing.T) {
	closes := row{3 * time.Hour, gina, closeTicket("T-1"), is(request.Active)}
	stays := row{3 * time.Hour, box, owed(request.TakeAway), already(request.Active)}
	play(t, bound(false), append(begun(), closes, stays)...)

	in := diskIntent()
	in.TicketId, in.ReasonType = "", lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
	rows := begun()
	rows[0].does = submits(in)
	play(t, bound(true), append(rows, closes, stays)...)

	s := bound(true)
	s.Command(signedIn(gina, -day), opened("T-2"))
	play(t, s, append(begun(), row{3 * time.Hour, gina, closeTicket("T-2"), is(request.Active)}, stays)...)
}

// What was granted stays bound, or not, as it began.
func TestR61TheChoiceCountsWhenAccessBegins(t *testing.T) {
	for _, ends := range []bool{true, false} {
		then := row{3 * time.Hour, box, owed(request.TakeAway), already(request.Active)}
		if ends {
			then.then = is(request.Revoked)
		}
		play(t, bound(ends), append(begun(),
			row{2 * time.Hour, gina, does(set(&lockboxv1.TenantSettings{AccessEndsWithTicket: !ends})), is(request.Active)},
			row{3 * time.Hour, gina, closeTicket("T-1"), is(request.Active)},
			then)...)
	}
}

// The instant at which access ends by itself comes first.
func TestR61AClosingAtTheEndOfAccessChangesNothing(t *testing.T) {
	ends := time.Hour + 8*time.Hour
	play(t, bound(true), append(begun(),
		row{ends, gina, closeTicket("T-1"), is(request.Active)},
		row{ends, box, owed(request.TakeAway), already(request.Active)},
		row{ends, box, owed(request.Complete), is(request.Completed)})...)
	play(t, bound(true), append(begun(),
		row{ends - 1, gina, closeTicket("T-1"), is(request.Active)},
		row{ends - 1, box, owed(request.TakeAway), is(request.Revoked)})...)
}

// Access without the customer's approval is bound as well.
func TestR61AccessWithoutAskingEndsWithItsTicketToo(t *testing.T) {
	rows := []row{
		{0, eve, submits(diskIntent()), is(request.Submitted)},
		{0, box, evaluates(waived(lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA)), is(request.Approved)},
	}
	play(t, bound(true), append(rows,
		row{1, box, owed(request.Grant), is(request.Active)},
		row{2, gina, closeTicket("T-1"), is(request.Active)},
		row{2, box, owed(request.TakeAway), is(request.Revoked)})...)
}

// A ticket whose history contradicts itself is not taken for an open one.
func TestR61NothingIsGrantedOnATicketThatCannotBeRead(t *testing.T) {
	s := bound(true)
	play(t, s, append(asks(diskIntent()), row{time.Hour, gina, does(approve()), is(request.Approved)})...)
	faulty := s.States.Ticket(story.Tenant, "t-1")
	faulty.Fail(99, "somebody wrote nonsense")
	s.States[aggregate.Ticket(story.Tenant, "t-1")] = &faulty
	play(t, s, row{time.Hour, box, owed(request.Grant), no(unavailable, "tenant", "I11", "ticket")})
	delete(s.States, aggregate.Ticket(story.Tenant, "t-1"))
	if e, err := s.Perform(request.Grant); e.GetAccessLapsed() == nil || err != nil {
		t.Errorf("with no ticket at all: %v, %v", e, err)
	}
}

// Whoever holds the key of the service that ends access cannot say that a ticket did, where none does.
func TestR61TheFoldBelievesNoEndingByATicketThatAccessIsNotBoundTo(t *testing.T) {
	ending := func(sequence uint64) *lockboxv1.AccessRevoked {
		return &lockboxv1.AccessRevoked{Reason: "closed", TicketSequence: sequence,
			CodedReason: &lockboxv1.Reason{Code: ticketClosed}}
	}
	for name, row := range map[string]struct {
		ends   bool
		ending *lockboxv1.AccessRevoked
		faulty bool
	}{
		"bound":                    {true, ending(1000), false},
		"bound, and closed before": {true, ending(2), true},
		"not bound":                {false, ending(1000), true},
	} {
		s := bound(row.ends)
		play(t, s, begun()...)
		r := s.Request()
		e := s.Entries[len(s.Entries)-1].Event
		forged := &lockboxv1.Event{Tenant: e.GetTenant(), Kind: e.GetKind(), AggregateId: e.GetAggregateId(),
			Version: r.Version + 1, Time: e.GetTime(), Actor: box, CorrelationId: e.GetCorrelationId(),
			Fact: &lockboxv1.Event_AccessRevoked{AccessRevoked: row.ending}}
		if after := request.Evolve(r, 2000, forged); (after.Fault != nil) != row.faulty {
			t.Errorf("%s: %v", name, after.Fault)
		}
	}
}
