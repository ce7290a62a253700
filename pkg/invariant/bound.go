package invariant

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// closing is a closing of a ticket, or its opposite.
type closing struct {
	sequence uint64
	at       time.Time
	// by is who closed it; nil if it was opened again.
	by *lockboxv1.Actor
}

// closes records that a ticket was closed or opened again.
func (o *opening) closes(r Recorded) {
	c := closing{sequence: r.Sequence, at: instant(r)}
	switch r.Event.GetFact().(type) {
	case *lockboxv1.Event_TicketClosed:
		c.by = r.Event.GetActor()
	case *lockboxv1.Event_TicketReopened:
	default:
		return
	}
	o.closings = append(o.closings, c)
}

// closedAt returns who had closed the ticket as of a sequence; nil if it was open.
func (o *opening) closedAt(sequence uint64) (by *lockboxv1.Actor) {
	for _, c := range o.closings {
		if c.sequence <= sequence {
			by = c.by
		}
	}
	return by
}

// closedAfter returns the first closing after a sequence.
func (o *opening) closedAfter(sequence uint64) (first closing, found bool) {
	for _, c := range o.closings {
		if c.sequence > sequence && c.by != nil {
			return c, true
		}
	}
	return closing{}, false
}

// endsWithItsTicket is the part of I20 about what rests on a ticket (R61): support that the customer asked for rests on
// one that the customer opened; access ends with its ticket if, and only if, the tenant had chosen so when it began; it
// begins only while the ticket is open; and a closing, but nothing else, ends it for that reason.
func endsWithItsTicket(b *book, of aggregate.Key, events []Recorded, broken say) {
	if of.Kind != aggregate.KindRequest {
		return
	}
	q := request{of, events}
	asked := events[0].Event.GetAccessRequested()
	id := asked.GetTicketId()
	if id == "" {
		id = asked.GetIntent().GetTicketId() // as it was before there were references
	}
	own := b.opened[aggregate.Ticket(of.Tenant, id)]
	if own == nil {
		own = new(opening)
	}
	var bound *lockboxv1.AccessGranted
	for _, r := range events {
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_AccessEvaluated:
			if own.ofProvider && f.AccessEvaluated.GetOutcome() != lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED &&
				q.intent().GetReasonType() == lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT {
				broken("I20", r, "goes on as support that the customer asked for, by a ticket that the provider opened")
			}
		case *lockboxv1.Event_AccessGranted:
			g := f.AccessGranted
			b.beginsWhileOpen(q, own, id, g, r, broken)
			if g.GetEndsWithTicket() {
				bound = g
			}
		case *lockboxv1.Event_AccessLapsed:
			l := f.AccessLapsed
			by := own.closedAt(l.GetTicketSequence())
			if l.GetCodedReason().GetCode() == lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED &&
				own.sequence > 0 && (by == nil || !erasable.Alike(by, l.GetTicketClosedBy())) {
				broken("I20", r, "lapsed because of its ticket, which nobody of that name had closed")
			}
		case *lockboxv1.Event_AccessRevoked:
			x := f.AccessRevoked
			if x.GetCodedReason().GetCode() == lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED {
				c, closed := own.closedAfter(x.GetTicketSequence() - 1)
				if bound == nil || !closed || c.sequence != x.GetTicketSequence() || c.sequence <= bound.GetTicketSequence() ||
					!erasable.Alike(c.by, x.GetTicketClosedBy()) {
					broken("I20", r, "ended with its ticket, which nobody of that name closed then")
				}
			}
			bound = nil
		case *lockboxv1.Event_AccessReleased, *lockboxv1.Event_AccessCompleted:
			bound = nil
		}
	}
	if bound == nil {
		return
	}
	if c, closed := own.closedAfter(bound.GetTicketSequence()); closed && b.newest.Sub(c.at) > endMissing {
		broken("I20", events[len(events)-1], "goes on, and its ticket was closed at sequence %d", c.sequence)
	}
}

// endMissing is how long after a ticket was closed the end of access is missing, if other events were stored meanwhile.
const endMissing = time.Hour

// beginsWhileOpen checks a grant against the tenant's settings and the ticket, as they were when it was decided.
func (b *book) beginsWhileOpen(q request, own *opening, id string, g *lockboxv1.AccessGranted, r Recorded, broken say) {
	_, settings := b.settingsAt(q.of.Tenant, g.GetTenantSequence())
	if wants := settings.GetAccessEndsWithTicket() && id != ""; wants != g.GetEndsWithTicket() {
		broken("I20", r, "ends with its ticket: %t; the tenant's settings: %t", g.GetEndsWithTicket(), wants)
	}
	if !g.GetEndsWithTicket() {
		return
	}
	if at := g.GetTicketSequence(); own.sequence == 0 || at < own.sequence || at >= r.Sequence ||
		own.closedAt(at) != nil {
		broken("I20", r, "began when its ticket was not open")
	}
	for _, c := range own.closings {
		if c.by != nil && c.sequence > g.GetTicketSequence() && c.sequence < r.Sequence && instant(r).Sub(c.at) > maxStale {
			broken("I20", r, "does not know that its ticket was closed at sequence %d", c.sequence)
		}
	}
}
