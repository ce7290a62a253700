package invariant

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Sight is what a tenant's own people see of their history in the log: the Sequence of an event is its place in the
// tenant's tree, because the log hides its place in the stream; some events are withheld from them; and what stands in
// no tree of theirs is not there. What cannot be known for that reason breaks nothing.
type Sight struct {
	b *book
	// hidden are the types of what is withheld; partial are aggregates of which more is missing than that.
	hidden  map[aggregate.Key][]string
	partial map[aggregate.Key]bool
}

// NewSight returns an empty Sight.
func NewSight() *Sight {
	return &Sight{newBook(), map[aggregate.Key][]string{}, map[aggregate.Key]bool{}}
}

// Add adds the next event of its aggregate. They are added from the first version on; see Hide.
func (s *Sight) Add(r Recorded) {
	if at := instant(r); at.After(s.b.newest) {
		s.b.newest = at
	}
	a := aggregate.KeyOf(r.Event)
	if s.b.about[a] == nil {
		s.b.begin(a)
	}
	s.b.add(a, r)
}

// Hide says that the next version of an aggregate is an event of this type and withheld.
func (s *Sight) Hide(of aggregate.Key, typ string) { s.hidden[of] = append(s.hidden[of], typ) }

// Miss says that more of an aggregate is missing, or that something stands among its events which is none.
func (s *Sight) Miss(of aggregate.Key) { s.partial[of] = true }

// What Check may have left unchecked, in words.
const (
	UncheckedEvaluation = "how a request was evaluated is withheld from you: what the provider’s own people had to " +
		"approve, and whether you had to be asked"
	UncheckedRoles = "some of your roles and settings are withheld or missing: whether whoever decided held a role, and " +
		"whether everybody was asked who could decide"
	UncheckedRest = "something of it is withheld or missing, and nothing about it was checked"
)

// evaluated is the type of the only event that is withheld for what it says of other customers.
const evaluated = "AccessEvaluated"

// own are the checks of what an aggregate's own events show; evaluation is whether they show how it was evaluated.
func own(kind string, evaluation bool) []check {
	switch {
	case kind != aggregate.KindRequest:
		return []check{basisHeld, nobodyForThemselves, signInChangesRightly, rightlyInvited, rolesByGroup}
	case evaluation:
		return []check{oneDecision, nobodyForThemselves, grantHasOneBasis, grantWithinPolicy, nothingPastDeadline,
			deadlineInTerms, toldOfWaived}
	}
	return []check{oneDecision, nobodyForThemselves, grantUnevaluated, deadlineInTerms, toldOfWaived}
}

// Alone reports whether what Check finds about an aggregate rests on nothing but its own events up to there.
func (s *Sight) Alone(of aggregate.Key, v Violation) bool {
	alone := NewSight()
	for _, r := range s.b.about[of] {
		if r.Sequence <= v.Sequence {
			alone.Add(r)
		}
	}
	alone.hidden[of] = s.hidden[of]
	alone.partial[aggregate.Tenant(of.Tenant)] = of.Kind != aggregate.KindTenant
	found, _ := alone.Check(of)
	return slices.Contains(found, v)
}

// Check checks a request, a tenant or a subscription, and what it rests on as far as that was added: the tenant's own
// events, and those of the subscription. It returns what breaks an invariant, and what was not checked.
func (s *Sight) Check(of aggregate.Key) (found []Violation, unchecked []string) {
	events, hidden := s.b.about[of], s.hidden[of]
	roles := s.knows(aggregate.Tenant(of.Tenant))
	switch {
	case s.partial[of], len(events) == 0,
		len(hidden) > 0 && (of.Kind != aggregate.KindRequest || !slices.Equal(hidden, []string{evaluated}) ||
			events[0].Event.GetAccessRequested() == nil):
		return nil, []string{UncheckedRest}
	case of.Kind != aggregate.KindRequest && !roles:
		return nil, []string{UncheckedRoles}
	}
	for _, c := range own(of.Kind, len(hidden) == 0) {
		found = append(found, s.b.look(c, of, events)...)
	}
	if of.Kind != aggregate.KindRequest {
		return inOrder(found), nil
	}
	if len(hidden) > 0 {
		unchecked = append(unchecked, UncheckedEvaluation)
	}
	if id := (request{of, events}).intent().GetSubscriptionId(); id != "" {
		roles = roles && s.knows(s.b.subscription(request{of, events}, events[len(events)-1].Sequence))
	}
	if !roles {
		return inOrder(found), append(unchecked, UncheckedRoles)
	}
	for i := range events {
		found = append(found, s.rests(of, events, i)...)
	}
	return inOrder(found), unchecked
}

// knows reports whether all of an aggregate was added.
func (s *Sight) knows(a aggregate.Key) bool { return !s.partial[a] && len(s.hidden[a]) == 0 }

// rests checks what event i rests on. It says as of which events of the stream roles were read, which nobody knows
// here: as of one of the last ones before it, or it rests on what was out of date.
func (s *Sight) rests(of aggregate.Key, events []Recorded, i int) (found []Violation) {
	on := readingOf(events[i].Event)
	if on == nil {
		return nil
	}
	q := request{of, events}.before(i)
	tenant, subscription := s.latest(q.tenant(), events[i]), []uint64{0}
	if on.GetSubscriptionSequence() != 0 {
		subscription = s.latest(s.b.subscription(q, events[i].Sequence), events[i])
	}
	for _, t := range tenant {
		for _, sub := range subscription {
			read := slices.Clone(events[:i+1])
			read[i].Event = readAs(read[i].Event, t, sub)
			broken := s.b.look(func(b *book, of aggregate.Key, events []Recorded, broken say) {
				b.rests(of, events, i, broken)
			}, of, read)
			if len(broken) == 0 {
				return nil
			}
			if found == nil {
				found = broken
			}
		}
	}
	return found
}

// latest are the places of an aggregate's events as of which it can have been read for an event, the last one first.
func (s *Sight) latest(in aggregate.Key, r Recorded) (places []uint64) {
	for _, e := range slices.Backward(s.b.about[in]) {
		if e.Sequence > r.Sequence {
			continue
		}
		if places = append(places, e.Sequence); instant(r).Sub(instant(e)) > maxStale {
			return places
		}
	}
	if len(places) == 0 {
		return []uint64{0}
	}
	return places
}

// readAs returns a copy of an event that says to have read tenant and subscription as of these.
func readAs(e *lockboxv1.Event, tenant, subscription uint64) *lockboxv1.Event {
	e = proto.CloneOf(e)
	m := e.ProtoReflect()
	m = m.Mutable(m.WhichOneof(m.Descriptor().Oneofs().ByName("fact"))).Message()
	for name, at := range map[string]uint64{"tenant_sequence": tenant, "subscription_sequence": subscription} {
		m.Set(m.Descriptor().Fields().ByTextName(name), protoreflect.ValueOfUint64(at))
	}
	return e
}

// grantUnevaluated is what a grant can be held against without the evaluation: the customer's approvals, what was asked
// for, and who declared an emergency.
func grantUnevaluated(b *book, of aggregate.Key, events []Recorded, broken say) {
	for i, r := range events {
		g := r.Event.GetAccessGranted()
		if g == nil {
			continue
		}
		q := request{of, events}.before(i)
		switch w := g.GetWaiver(); {
		case w == lockboxv1.Waiver_WAIVER_UNSPECIFIED && !q.quorum():
			q.unapproved(r, broken)
		case w != lockboxv1.Waiver_WAIVER_UNSPECIFIED && q.notified() != nil:
			broken("I1", r, "the customer was asked and waived at once")
		case w == lockboxv1.Waiver_WAIVER_EMERGENCY && !q.emergency():
			broken("I1", r, "nobody declared an emergency whom another person bore out")
		}
		b.within(q, r, nil, broken)
	}
	(request{of, events}).afterAsking(broken)
}
