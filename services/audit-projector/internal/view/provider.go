package view

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
)

// The provider's people do not see the customer's role assignments: the approvers asked, the assignments excluded, who
// else is notified, and the roles by which people decided. They do see the names of the customer's people who acted, so
// that they know who decided (R29) and whom they answer (R31).

// RequestForProvider removes that from a request.
func RequestForProvider(v *lockboxv1.RequestView) {
	v.Lockbox = lockboxForProvider(v.GetLockbox())
	decisions := make([]*lockboxv1.Decision, len(v.GetCustomerDecisions()))
	for i, d := range v.GetCustomerDecisions() {
		decisions[i] = proto.CloneOf(d)
		decisions[i].Actor = nameOnly(d.GetActor())
	}
	questions := make([]*lockboxv1.Question, len(v.GetQuestions()))
	for i, q := range v.GetQuestions() {
		questions[i] = proto.CloneOf(q)
		questions[i].Asker = nameOnly(q.GetAsker())
	}
	v.CustomerDecisions, v.Questions, v.EndedBy = decisions, questions, nameOnly(v.GetEndedBy())
}

// EventsForProvider removes that from events.
func EventsForProvider(events []projection.Event) []projection.Event {
	shown := make([]projection.Event, len(events))
	for i, e := range events {
		shown[i] = projection.Event{Sequence: e.Sequence, Event: eventForProvider(e.Event)}
	}
	return shown
}

func eventForProvider(e *lockboxv1.Event) *lockboxv1.Event {
	e = proto.CloneOf(e)
	e.Actor = nameOnly(e.GetActor())
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_CustomerNotified:
		f.CustomerNotified = lockboxForProvider(f.CustomerNotified)
	case *lockboxv1.Event_CustomerApproved:
		f.CustomerApproved.Roles = nil
	case *lockboxv1.Event_CustomerDenied:
		f.CustomerDenied.Roles = nil
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

// nameOnly reduces one of the customer's people to their name.
func nameOnly(a *lockboxv1.Actor) *lockboxv1.Actor {
	if a.GetSide() != lockboxv1.Side_SIDE_TENANT {
		return a
	}
	return &lockboxv1.Actor{Side: a.GetSide(), Person: &lockboxv1.Person{DisplayName: a.GetPerson().GetDisplayName()}}
}
