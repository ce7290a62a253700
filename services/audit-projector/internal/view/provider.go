package view

import (
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
)

// The provider's people do not see the customer's role assignments: the approvers asked, the assignments excluded, who
// else is notified, the roles by which people decided, and what they signed with which key. They see who acted, so that
// they know who decided (R29) and whom they answer (R31), as the customer wishes: by name, or as the organisation.

// RequestForProvider removes that from a request of a customer, who may be nil.
func RequestForProvider(v *lockboxv1.RequestView, c *projection.Customer) {
	as := func(a *lockboxv1.Actor) *lockboxv1.Actor { return shownAs(a, c) }
	v.Partial = true
	v.Lockbox = lockboxForProvider(v.GetLockbox())
	decisions := make([]*lockboxv1.Decision, len(v.GetCustomerDecisions()))
	for i, d := range v.GetCustomerDecisions() {
		decisions[i] = proto.CloneOf(d)
		decisions[i].Actor, decisions[i].Signed = as(d.GetActor()), nil
	}
	questions := make([]*lockboxv1.Question, len(v.GetQuestions()))
	for i, q := range v.GetQuestions() {
		questions[i] = proto.CloneOf(q)
		questions[i].Asker = as(q.GetAsker())
	}
	v.CustomerDecisions, v.Questions, v.EndedBy = decisions, questions, as(v.GetEndedBy())
	v.TicketClosedBy = as(v.GetTicketClosedBy())
}

// EventsForProvider removes that from events of customers.
func EventsForProvider(events []projection.Event, customers map[string]*projection.Customer) []projection.Event {
	shown := make([]projection.Event, len(events))
	for i, e := range events {
		shown[i] = projection.Event{Sequence: e.Sequence, Event: eventForProvider(e.Event, customers[e.Event.GetTenant()])}
	}
	return shown
}

func eventForProvider(e *lockboxv1.Event, c *projection.Customer) *lockboxv1.Event {
	e = proto.CloneOf(e)
	e.Actor, e.Signed = shownAs(e.GetActor(), c), nil
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_CustomerNotified:
		f.CustomerNotified = lockboxForProvider(f.CustomerNotified)
	case *lockboxv1.Event_CustomerApproved:
		f.CustomerApproved.Roles = nil
	case *lockboxv1.Event_CustomerDenied:
		f.CustomerDenied.Roles = nil
	case *lockboxv1.Event_AccessLapsed:
		f.AccessLapsed.TicketClosedBy = shownAs(f.AccessLapsed.GetTicketClosedBy(), c)
	case *lockboxv1.Event_AccessRevoked:
		f.AccessRevoked.TicketClosedBy = shownAs(f.AccessRevoked.GetTicketClosedBy(), c)
	}
	return e
}

func lockboxForProvider(n *lockboxv1.CustomerNotified) *lockboxv1.CustomerNotified {
	if n == nil {
		return nil
	}
	n = proto.CloneOf(n)
	n.Approvers, n.Excluded, n.Alternates = nil, nil, nil
	return n
}

// shownAs reduces one of the customer's people to what the provider's may know.
func shownAs(a *lockboxv1.Actor, c *projection.Customer) *lockboxv1.Actor {
	var of tenant.State
	if c != nil {
		of = c.Tenant
	}
	return of.ShownToProvider(a)
}
