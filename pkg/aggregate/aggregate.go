// Package aggregate holds what all aggregates have in common: their kinds and keys, the table of event types and their
// writers, the mapping from a command to its aggregate, the progress and faults of a fold, and the prologue and
// epilogue of every decision. It is pure.
package aggregate

import (
	"regexp"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Fault is a contradiction in a history: the first event that cannot be valid at its position.
type Fault struct {
	Sequence uint64
	// Rule says what is not so, and cites the requirement; people are told Spoken of it.
	Rule string
	// NotAnEvent means that a stored message cannot be an event at all. The fault is over once a security officer has set
	// the message aside.
	NotAnEvent bool
}

var cited = regexp.MustCompile(` \([RI][0-9]+(?:, [RI][0-9]+)*\)`)

// Spoken returns what people are told of a rule of a fold: without the numbers of the requirements that it cites.
func Spoken(rule string) string { return cited.ReplaceAllString(rule, "") }

// History is how far an aggregate has been folded.
type History struct {
	Tenant, Kind, ID string
	// Sequence is the stream sequence of the last event, Version its number within the aggregate; both are 0 before the
	// first event.
	Sequence, Version uint64
	// Fault, once set, is never cleared; nothing is folded or decided after it.
	Fault *Fault
	// causes are the commands, intents and events that caused the folded events.
	causes *cause
}

// State is an aggregate of any kind, as folded: a pointer to a state that embeds a History.
type State interface{ Folded() *History }

// Folded is the history itself.
func (h *History) Folded() *History { return h }

// Exists reports whether anything has happened to the aggregate.
func (h History) Exists() bool { return h.Version > 0 }

// Fold folds one stored event onto a state that embeds a History: it advances the history, and apply updates the rest
// of the state or names the rule that the event breaks. An event that is invalid at its position changes nothing but
// Fault.
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

// cause is a linked list, latest first: adding to it is cheap, and folds of the same state share their common tail.
type cause struct {
	id     string
	before *cause
}

// next advances the history to e, stored at sequence. It returns false and sets Fault if e cannot be the next event.
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
		h.causes = &cause{id, h.causes}
	}
	return true
}

// Fail records that the event at sequence is invalid. The first fault is kept.
func (h *History) Fail(sequence uint64, rule string) {
	if h.Fault == nil {
		h.Fault = &Fault{Sequence: sequence, Rule: rule}
	}
}

// Caused reports whether this command, intent or event caused one of the events.
func (h *History) Caused(id string) bool {
	for c := h.causes; c != nil; c = c.before {
		if c.id == id {
			return true
		}
	}
	return false
}

// Follow returns an envelope for the aggregate's next event. The id is assigned when the event is appended: ids depend
// on the clock and on randomness, which a pure package does not use.
func (h *History) Follow(by *lockboxv1.Actor, causationID string, now time.Time) *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: h.Tenant, Kind: h.Kind, AggregateId: h.ID, Version: h.Version + 1,
		Time: timestamppb.New(now), Actor: by, CausationId: causationID,
	}
}

// Begin is the prologue of every decision. It refuses (PRECONDITION) a command on a faulty history. It returns neither
// event nor error if this command was already carried out. It calls may, if not nil, to refuse callers who must not
// learn that the aggregate exists; that check comes before any answer about versions. It refuses (CONFLICT) a command
// whose seen version is older than material, the version of the last event that matters to a decision.
//
// Otherwise it returns an envelope for the resulting event. The caller sets its fact, or leaves it unset if the command
// would change nothing.
func (h *History) Begin(c Command, material uint64, may func() error, now time.Time) (e *lockboxv1.Event, err error) {
	if h.Fault != nil {
		return nil, refusal.Precondition("aggregate_id", "I6",
			"its history contradicts itself at sequence %d (%s); the security officer must look at it", h.Fault.Sequence,
			Spoken(h.Fault.Rule))
	}
	if h.Caused(c.GetId()) {
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

// End is the epilogue of every decision: it refuses (PRECONDITION) an event that the fold would reject, so that
// decisions and the fold cannot drift apart. It returns no event if e has no fact.
func End[S any, P interface {
	*S
	State
}](s S, e *lockboxv1.Event, evolve func(S, uint64, *lockboxv1.Event) S) (*lockboxv1.Event, error) {
	e, _, err := EndWith[S, P](s, e, evolve)
	return e, err
}

// EndWith is End that also returns the state after the event, so that nobody has to fold it again: it is the state that
// the stored event gives, but for its Sequence, which is not known before (Stored). Without an event it returns s.
func EndWith[S any, P interface {
	*S
	State
}](s S, e *lockboxv1.Event, evolve func(S, uint64, *lockboxv1.Event) S) (*lockboxv1.Event, S, error) {
	if e.GetFact() == nil {
		return nil, s, nil
	}
	next := evolve(s, P(&s).Folded().Sequence+1, e)
	if fault := P(&next).Folded().Fault; fault != nil {
		return nil, s, refusal.Precondition("aggregate_id", "I6", "this cannot follow what has happened so far: %s",
			Spoken(fault.Rule))
	}
	return e, next, nil
}

// Stored notes the sequence at which the last event was stored, in a state that EndWith returned.
func (h *History) Stored(sequence uint64) { h.Sequence = sequence }
