// Package invariant implements the invariants of pkg/REQUIREMENTS.md as functions over stored events, for property
// tests, fault tests and `lockbox audit verify`. It shares no rules with the packages that it checks, because it would
// then repeat their mistakes: it uses none of their folds, reads the raw events, and resolves roles itself. It is pure.
package invariant

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Recorded is an event with its position in the stream.
type Recorded struct {
	Sequence uint64
	// Stored is when the bus stored it; zero if unknown.
	Stored time.Time
	Event  *lockboxv1.Event
	// Bytes are the event exactly as it is stored; nil if they are not known, and then no hash of them is compared.
	Bytes []byte
}

// Violation is an event that is invalid at its position, and the invariant of pkg/REQUIREMENTS.md that it breaks.
type Violation struct {
	Invariant string
	Sequence  uint64
	What      string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s is broken at sequence %d: %s", v.Invariant, v.Sequence, v.What)
}

// every check that needs only the events.
var every = []check{oneTenant, grantHasOneBasis, basisHeld, oneDecision, nothingPastDeadline, deadlineInTerms, timely,
	grantWithinPolicy, nobodyForThemselves, eachHasOneOwner, toldOfWaived, signInChangesRightly,
	rightlyInvited, namesOneTicket, endsWithItsTicket, rolesByGroup, erasedRightly,
	signedByThem}

// Check checks every invariant that needs only the events, over the history of one tenant or of all, in stream order
// and from the beginning. It returns the violations.
func Check(history []Recorded) []Violation {
	b := read(history)
	var found []Violation
	for _, c := range every {
		found = append(found, b.each(c)...)
	}
	return inOrder(append(found, b.untold()...))
}

func inOrder(found []Violation) []Violation {
	slices.SortStableFunc(found, func(a, b Violation) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return found
}

// book is a history, grouped by aggregate.
type book struct {
	order []aggregate.Key // as they first appear
	about map[aggregate.Key][]Recorded
	// find returns the events of any aggregate.
	find func(aggregate.Key) []Recorded
	// homes maps each request id to the tenant where it appeared first, elsewhere to the tenants where it reappeared.
	homes     map[string]string
	elsewhere map[aggregate.Key]string
	// holders caches the role assignments of an aggregate at a sequence, because many requests refer to the same one:
	// []assignment by place.
	holders sync.Map
	// signIns caches where each tenant's people sign in: *signIns by tenant.
	signIns sync.Map
	// keychains caches each tenant's keys: func() *keys by tenant.
	keychains sync.Map
	// owned is the sequence of the first event that says whose a subscription is; 0 if there is none.
	owned uint64
	// spelled are the tenants' subscriptions by their ids in lower case.
	spelled map[string][]aggregate.Key
	// called are the tenants' tickets by the spelling of their references.
	called map[ticketName][]*opening
	// opened are the openings of tickets.
	opened map[aggregate.Key]*opening
	// restored is the sequence up to which the stream was rewritten by a repair, so that its storage times are later than
	// the events' own.
	restored uint64
	// ended is the sequence of the first event that tells of the end of a role; 0 if there is none.
	ended uint64
	// reporting is the sequence of the first digest; 0 if there is none. newest is the time of the last event.
	reporting uint64
	newest    time.Time
	unasked   unasked
}

type place struct {
	in       aggregate.Key
	sequence uint64
}

func newBook() *book {
	b := &book{about: map[aggregate.Key][]Recorded{}, homes: map[string]string{}, elsewhere: map[aggregate.Key]string{},
		spelled: map[string][]aggregate.Key{}, called: map[ticketName][]*opening{},
		opened: map[aggregate.Key]*opening{}}
	b.find = func(a aggregate.Key) []Recorded { return b.about[a] }
	return b
}

func read(history []Recorded) *book {
	b := newBook()
	for _, r := range history {
		if at := r.Event.GetTime().AsTime(); at.After(b.newest) {
			b.newest = at
		}
		a := aggregate.KeyOf(r.Event)
		if b.about[a] == nil {
			b.begin(a)
		}
		b.add(a, r)
	}
	return b
}

// begin records a new aggregate.
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
	switch {
	case a.Kind == aggregate.KindOwnership && (b.owned == 0 || r.Sequence < b.owned):
		b.owned = r.Sequence
	case a.Kind == aggregate.KindDigest && (b.reporting == 0 || r.Sequence < b.reporting):
		b.reporting = r.Sequence
	case a.Kind == aggregate.KindSubscription && len(b.about[a]) == 0:
		id := strings.ToLower(a.ID)
		b.spelled[id] = append(b.spelled[id], a)
	}
	if r.Event.GetRoleEnded() != nil && (b.ended == 0 || r.Sequence < b.ended) {
		b.ended = r.Sequence
	}
	b.about[a] = append(b.about[a], r)
	b.opens(a, r)
	b.restored = max(b.restored, min(r.Event.GetStreamRestored().GetThroughSequence(), r.Sequence))
}

// say reports that an event breaks an invariant.
type say func(invariant string, at Recorded, format string, args ...any)

// check checks the events of one aggregate.
type check func(b *book, of aggregate.Key, events []Recorded, broken say)

func (b *book) each(c check) (found []Violation) {
	for _, a := range b.order {
		found = append(found, b.look(c, a, b.about[a])...)
	}
	return found
}

// look runs one check on one aggregate.
func (b *book) look(c check, of aggregate.Key, events []Recorded) (found []Violation) {
	c(b, of, events, func(invariant string, at Recorded, format string, args ...any) {
		found = append(found, Violation{invariant, at.Sequence, fmt.Sprintf(format, args...)})
	})
	return found
}

// oneTenant is I9: an aggregate's events belong to its tenant and have consecutive versions, and a request's id is used
// in one tenant only.
func oneTenant(b *book, of aggregate.Key, events []Recorded, broken say) {
	if events[0].Event.GetReportKey() != "" {
		return // reports have no versions, each has its own key
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
