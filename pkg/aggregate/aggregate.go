// Package aggregate holds what every aggregate's fold has in common: the place in its history, the fault that ends it, and
// the commands that it has seen. It is pure.
package aggregate

import (
	"slices"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Fault is a contradiction in a history: the first event that could not be true where it stands.
type Fault struct {
	Sequence uint64
	Rule     string
}

// History is how far an aggregate has been folded.
type History struct {
	Tenant, Kind, ID string
	// Sequence is the stream sequence of the last event, Version its number in the aggregate; 0: there is none.
	Sequence, Version uint64
	// Fault is set once and for good; nothing is folded after it and nothing decided.
	Fault *Fault
	// causes are the commands, intents and events that led to what was folded.
	causes *cause
}

// Folded is the history itself, for whoever has a state that embeds one.
func (h *History) Folded() *History { return h }

// Fold folds one stored event onto a state that embeds a History: the history moves on, and apply changes the rest or names
// the rule that the event breaks. An event that cannot be true where it stands changes nothing but Fault.
func Fold[S any, P interface {
	*S
	Folded() *History
}](before S, sequence uint64, e *lockboxv1.Event, apply func(P, *lockboxv1.Event) (broken string)) S {
	after := before
	if history := P(&after).Folded(); history.Next(sequence, e) {
		broken := apply(&after, e)
		if broken == "" {
			return after
		}
		P(&before).Folded().Fail(sequence, broken)
	} else {
		P(&before).Folded().Fault = history.Fault
	}
	return before
}

// cause is a list, the latest first: a fold adds to it at no cost, and folds of one state share what they have in common.
type cause struct {
	id       string
	sequence uint64
	before   *cause
}

// Next moves the history to e, stored at sequence. It reports false, and sets Fault, if e cannot be the next event.
func (h *History) Next(sequence uint64, e *lockboxv1.Event) bool {
	switch {
	case h.Fault != nil:
		return false
	case e.GetVersion() != h.Version+1:
		h.Fail(sequence, "versions count 1, 2, 3 …")
	case !e.GetTime().IsValid():
		h.Fail(sequence, "an event has a time")
	case sequence <= h.Sequence:
		h.Fail(sequence, "sequences rise")
	case h.Version == 0:
		h.Tenant, h.Kind, h.ID = e.GetTenant(), e.GetKind(), e.GetAggregateId()
	case e.GetTenant() != h.Tenant || e.GetKind() != h.Kind || e.GetAggregateId() != h.ID:
		h.Fail(sequence, "all events are about one aggregate")
	}
	if h.Fault != nil {
		return false
	}
	h.Version, h.Sequence = e.GetVersion(), sequence
	if id := e.GetCausationId(); id != "" {
		h.causes = &cause{id, sequence, h.causes}
	}
	return true
}

// Fail records that the event at sequence cannot be true. The fold keeps what was there before it.
func (h *History) Fail(sequence uint64, rule string) {
	if h.Fault == nil {
		h.Fault = &Fault{sequence, rule}
	}
}

// Caused returns the sequence of the event that this command, intent or event led to.
func (h *History) Caused(id string) (uint64, bool) {
	for c := h.causes; c != nil; c = c.before {
		if c.id == id {
			return c.sequence, true
		}
	}
	return 0, false
}

// Follow is an envelope for the aggregate's next event. Its id is left to whoever appends it, because ids are made of
// clock and chance.
func (h *History) Follow(actor *lockboxv1.Actor, causationID string, now time.Time) *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: h.Tenant, Kind: h.Kind, AggregateId: h.ID, Version: h.Version + 1,
		Time: timestamppb.New(now), Actor: actor, CausationId: causationID,
	}
}

// Command is what somebody wants to become true, with the verified identity of who wants it.
type Command struct {
	*lockboxv1.Command
	By *lockboxv1.Actor
}

// Provider reports whether the actor is of the provider's side and in one of the groups; with no groups named, any of
// the provider's people.
func Provider(a *lockboxv1.Actor, groups ...string) bool {
	return a.GetSide() == lockboxv1.Side_SIDE_PROVIDER && a.GetPerson().GetSubject() != "" &&
		(len(groups) == 0 || slices.ContainsFunc(a.GetGroups(), func(g string) bool { return slices.Contains(groups, g) }))
}

// Groups of the provider's people, as the provider's issuer names them.
const (
	SupportEngineers = "support-engineers"
	SupportLeads     = "customer-support-leads"
	DevOpsManagers   = "devops-managers"
	SecurityOfficers = "security-officers"
	Onboarding       = "onboarding"
	// EmergencyResponders are engineers who may, besides, ask for emergency access (R43).
	EmergencyResponders = "emergency-responders"
)
