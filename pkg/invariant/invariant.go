// Package invariant is the invariants of pkg/REQUIREMENTS.md as functions over stored events: property tests, fault
// tests and `lockbox audit verify` ask the same questions. It shares no rule with the packages whose work it checks,
// for an oracle that did would repeat their mistakes: it folds nothing, reads the events as they stand, and looks roles
// up for itself. It is pure.
package invariant

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Recorded is an event with its place in the stream.
type Recorded struct {
	Sequence uint64
	// Stored is when the bus stored it; zero: not known.
	Stored time.Time
	Event  *lockboxv1.Event
}

// Violation is an event that cannot be true where it stands, and the invariant of pkg/REQUIREMENTS.md that it breaks.
type Violation struct {
	Invariant string
	Sequence  uint64
	What      string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s is broken at sequence %d: %s", v.Invariant, v.Sequence, v.What)
}

// every check that the events alone can answer.
var every = []check{oneTenant, grantHasOneBasis, basisHeld, oneDecision, nothingPastDeadline, timely, grantWithinPolicy,
	nobodyForThemselves}

// Check holds every invariant that the events alone can show, over a history of one tenant or of all, in stream order
// and from the beginning.
func Check(history []Recorded) []Violation {
	b := read(history)
	var found []Violation
	for _, c := range every {
		found = append(found, b.each(c)...)
	}
	return inOrder(found)
}

func inOrder(found []Violation) []Violation {
	slices.SortStableFunc(found, func(a, b Violation) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return found
}

// book is a history, sorted by what it is about.
type book struct {
	order []aggregate.Key // as they first appear
	about map[aggregate.Key][]Recorded
	// homes are the tenants in which each request's id came first, and elsewhere where it came again.
	homes     map[string]string
	elsewhere map[aggregate.Key]string
	// holders remembers who held what at which sequence of an aggregate, for many requests rest on the same one:
	// []assignment by place.
	holders sync.Map
	// restored is up to where the stream was written anew, so that its messages were stored later than they happened.
	restored uint64
}

type place struct {
	in       aggregate.Key
	sequence uint64
}

func newBook() *book {
	return &book{about: map[aggregate.Key][]Recorded{}, homes: map[string]string{}, elsewhere: map[aggregate.Key]string{}}
}

func read(history []Recorded) *book {
	b := newBook()
	for _, r := range history {
		a := aggregate.KeyOf(r.Event)
		if b.about[a] == nil {
			b.begin(a)
		}
		b.add(a, r)
	}
	return b
}

// begin notes an aggregate that was not there before.
func (b *book) begin(a aggregate.Key) {
	b.order = append(b.order, a)
	if a.Kind != aggregate.KindRequest {
		return
	}
	if home, known := b.homes[a.ID]; known {
		b.elsewhere[a] = home
	}
	b.homes[a.ID] = a.Tenant
}

func (b *book) add(a aggregate.Key, r Recorded) {
	b.about[a] = append(b.about[a], r)
	b.restored = max(b.restored, min(r.Event.GetStreamRestored().GetThroughSequence(), r.Sequence))
}

// say reports that an event breaks the invariant.
type say func(invariant string, at Recorded, format string, args ...any)

// check looks at the events of one aggregate.
type check func(b *book, of aggregate.Key, events []Recorded, broken say)

func (b *book) each(c check) (found []Violation) {
	for _, a := range b.order {
		found = append(found, b.look(c, a, b.about[a])...)
	}
	return found
}

// look asks one question about one aggregate.
func (b *book) look(c check, of aggregate.Key, events []Recorded) (found []Violation) {
	c(b, of, events, func(invariant string, at Recorded, format string, args ...any) {
		found = append(found, Violation{invariant, at.Sequence, fmt.Sprintf(format, args...)})
	})
	return found
}

// oneTenant is I9: each aggregate's events are its own tenant's, one after the other, and a request's id is one
// tenant's.
func oneTenant(b *book, of aggregate.Key, events []Recorded, broken say) {
	if events[0].Event.GetReportKey() != "" {
		return // Reports count nothing, each has a key of its own.
	}
	if other, is := b.elsewhere[of]; is {
		broken("I9", events[0], "this request is also %s's", other)
	}
	for i, r := range events {
		if r.Event.GetVersion() != uint64(i)+1 {
			broken("I9", r, "version %d is the aggregate's event number %d", r.Event.GetVersion(), i+1)
		}
		if i > 0 && r.Sequence <= events[i-1].Sequence {
			broken("I9", r, "stands before the event that it follows")
		}
		if in := r.Event.GetAccessRequested().GetIntent(); of.Kind == aggregate.KindRequest && i == 0 &&
			(in.GetTenant() != of.Tenant || in.GetId() != of.ID) {
			broken("I9", r, "begins with the intent %q of %q", in.GetId(), in.GetTenant())
		}
	}
}
