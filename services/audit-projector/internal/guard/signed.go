package guard

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// signable are the kinds of what customers sign, apart from their keys.
var signable = []string{aggregate.KindRequest, aggregate.KindTenant, aggregate.KindSubscription}

// decisive are the events of a request that a customer signs, or that rest on what is signed.
var decisive = []string{"CustomerApproved", "CustomerDenied", "AccessRevoked", "AccessGranted"}

// holders are the events of customers' keys, by tenant; empty for whoever has none.
type holders struct {
	mu   sync.Mutex
	keys map[string][]invariant.Recorded
}

// Signed looks at what a customer should have signed: whether it is as they demand, and holds (I23). What is not is
// said like a history that contradicts itself: it ends no lease, since nobody could mend it, and nothing rests on it.
func (g *Guard) Signed(ctx context.Context, s journal.Stored) error {
	at, err := bus.ParseEventSubject(s.Subject)
	if err != nil || at.Kind == aggregate.KindRequest && !slices.Contains(decisive, at.Type) {
		return nil //nolint:nilerr // no event, and judged so by whoever looks at the form
	}
	if at.Kind != aggregate.KindKeys && !slices.Contains(signable, at.Kind) {
		return nil
	}
	keys, err := g.keysOf(ctx, at.Key, s.Sequence)
	if err != nil || len(keys) == 0 {
		return err
	}
	about, err := g.through(ctx, at.Key, s.Sequence)
	if err != nil {
		return err
	}
	var wrong []string
	for _, v := range invariant.Signed(keys, about) {
		if v.Sequence == s.Sequence {
			wrong = append(wrong, v.What)
		}
	}
	if len(wrong) > 0 {
		g.contradicts(at.Key, &lockboxv1.DifferenceFound{
			Where: aggregate.AlarmSignature, Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED,
			FirstSequence: s.Sequence, LastSequence: s.Sequence, Count: 1, Subjects: []string{s.Subject},
			Detail: "Not true of it: " + strings.Join(wrong, "; ") + ".",
		})
	}
	return nil
}

// wrongAbout is an aggregate, and in which way something is wrong with it.
type wrongAbout struct {
	aggregate.Key
	where string
}

// contradicts remembers what is wrong with an aggregate until it is said; of several, what came first.
func (g *Guard) contradicts(of aggregate.Key, wrong *lockboxv1.DifferenceFound) {
	g.histories.Lock()
	defer g.histories.Unlock()
	if g.contradictions == nil {
		g.contradictions = map[wrongAbout]*lockboxv1.DifferenceFound{}
	}
	if about := (wrongAbout{of, wrong.GetWhere()}); g.contradictions[about] == nil {
		g.contradictions[about] = wrong
	}
}

// keysOf returns the events of a tenant's keys up to a sequence. They are read once, and again when one was added.
func (g *Guard) keysOf(ctx context.Context, at aggregate.Key, sequence uint64) ([]invariant.Recorded, error) {
	h := &g.holders
	h.mu.Lock()
	defer h.mu.Unlock()
	keys, read := h.keys[at.Tenant]
	if !read || at.Kind == aggregate.KindKeys {
		var err error
		if keys, err = g.through(ctx, aggregate.Keys(at.Tenant), sequence); err != nil {
			return nil, err
		}
		if h.keys == nil {
			h.keys = map[string][]invariant.Recorded{}
		}
		h.keys[at.Tenant] = keys
	}
	return keys, nil
}

// through returns an aggregate's events up to a sequence of the stream, without messages that are no events.
func (g *Guard) through(ctx context.Context, of aggregate.Key, last uint64) (events []invariant.Recorded, err error) {
	enough := errors.New("enough")
	err = g.Stream.Replay(ctx, journal.Replay{Tenant: of.Tenant, Kind: of.Kind, ID: of.ID,
		Misfit: func(journal.Entry, journal.Misfit) error { return nil }}, func(e journal.Entry) error {
		if e.Seq > last {
			return enough
		}
		events = append(events, invariant.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event, Bytes: e.Data})
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return events, err
}
