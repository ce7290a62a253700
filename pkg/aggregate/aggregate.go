// Package aggregate is the one room for what every aggregate has in common: which kinds there are and how one is
// identified, which facts may be true of it and who writes them, which aggregate a command is about, how far a history
// has been folded and what contradicts it, and what comes before and after every decision. It is pure.
package aggregate

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Fault is a contradiction in a history: the first event that cannot be true where it stands.
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

// State is an aggregate of any kind, as folded: a pointer to a state that embeds a History.
type State interface{ Folded() *History }

// Folded is the history itself.
func (h *History) Folded() *History { return h }

// Exists reports whether anything has happened to the aggregate.
func (h History) Exists() bool { return h.Version > 0 }

// Fold folds one stored event onto a state that embeds a History: the history moves on, and apply changes the rest or
// names the rule that the event breaks. An event that cannot be true where it stands changes nothing but Fault.
func Fold[S any, P interface {
	*S
	State
}](before S, sequence uint64, e *lockboxv1.Event, apply func(P, *lockboxv1.Event) (broken string)) S {
	after := before
	if history := P(&after).Folded(); history.next(sequence, e) {
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

// cause is a list, the latest first: a fold adds to it at no cost, and folds of one state share what they have in
// common.
type cause struct {
	id       string
	sequence uint64
	before   *cause
}

// next moves the history to e, stored at sequence. It reports false, and sets Fault, if e cannot be the next event.
func (h *History) next(sequence uint64, e *lockboxv1.Event) bool {
	switch {
	case h.Fault != nil:
		return false
	case e.GetVersion() != h.Version+1:
		h.Fail(sequence, "versions count 1, 2, 3 …")
	case !e.GetTime().IsValid():
		h.Fail(sequence, "an event has a time")
	case sequence <= h.Sequence:
		h.Fail(sequence, "sequences rise")
	case !Belongs(e.GetKind(), TypeOf(e)):
		h.Fail(sequence, "the fact belongs to another kind of aggregate")
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
func (h *History) Follow(by *lockboxv1.Actor, causationID string, now time.Time) *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: h.Tenant, Kind: h.Kind, AggregateId: h.ID, Version: h.Version + 1,
		Time: timestamppb.New(now), Actor: by, CausationId: causationID,
	}
}

// Begin is the prologue of every decision. It refuses (PRECONDITION) a command about a history at fault. It reports
// that there is nothing to do if the very command was carried out before. It refuses (CONFLICT) a command of somebody
// who has not seen what matters: material is the version of the last event that matters to a decision. Whoever may not
// even know of the aggregate is refused by may, which comes before anything is said of versions; nil: everybody may.
//
// Otherwise it returns an envelope for the event that the command may lead to. Whatever the command makes true becomes
// its fact; it is left without one if it is so already.
func (h *History) Begin(c Command, material uint64, may func() error, now time.Time) (e *lockboxv1.Event, err error) {
	if h.Fault != nil {
		return nil, refusal.Precondition("aggregate_id", "I6",
			"its history contradicts itself at sequence %d (%s); the security officer must look at it", h.Fault.Sequence,
			h.Fault.Rule)
	}
	if _, seen := h.Caused(c.GetId()); seen {
		return nil, nil
	}
	if may != nil {
		if err := may(); err != nil {
			return nil, err
		}
	}
	if seen := c.GetSeenVersion(); seen != 0 && (seen < material || seen > h.Version) {
		return nil, refusal.Conflict("seen_version", "R29",
			"it has changed since you saw it: version %d then, %d now", seen, h.Version)
	}
	e = h.Follow(c.By, c.GetId(), now)
	if !h.Exists() {
		key := about(c.Command)
		e.Tenant, e.Kind, e.AggregateId = key.Tenant, key.Kind, key.ID
	}
	return e, nil
}

// End is the epilogue of every decision: what the fold would refuse is never written (PRECONDITION), so a decision and
// the fold cannot drift apart. Without a fact there is no event.
func End[S any, P interface {
	*S
	State
}](s S, e *lockboxv1.Event, evolve func(S, uint64, *lockboxv1.Event) S) (*lockboxv1.Event, error) {
	if e.GetFact() == nil {
		return nil, nil
	}
	next := evolve(s, P(&s).Folded().Sequence+1, e)
	if fault := P(&next).Folded().Fault; fault != nil {
		return nil, refusal.Precondition("aggregate_id", "I6", "this cannot follow what has happened so far: %s", fault.Rule)
	}
	return e, nil
}
