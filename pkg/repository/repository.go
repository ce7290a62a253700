// Package repository loads aggregates from the journal as states and appends the events decided on them. It connects
// the pure domain to the stream.
//
// Every decision is based on one consistent cut of everything it needs, as the stream's leader has it. The cache only
// avoids reading again what cannot have changed: an aggregate's events are never rewritten and its versions have no
// gaps, so if the last known event is still the last, all the others are known too.
package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Repository reads states and appends events. It is safe for concurrent use.
type Repository struct {
	Journal *journal.Journal
	// recent are the aggregates that were read or written last.
	recent *cache.Cache[aggregate.Key, trail]
	// unreferenced are tenants' tickets from before there were references.
	unreferenced *cache.Cache[string, oldTickets]
}

const (
	// remembered is how many aggregates a Repository caches, up to twice as many, at about 8 KiB each.
	remembered = 1024
	// reach is how many past states of a cached aggregate are kept, so that At need not read it again.
	reach = 16
)

// New returns a Repository with a cache.
func New(j *journal.Journal) *Repository {
	r := &Repository{Journal: j, recent: cache.New[aggregate.Key, trail](remembered),
		unreferenced: cache.New[string, oldTickets](knownTenants)}
	j.OnForget(r.recent.Clear)
	return r
}

// trail holds the last states of an aggregate, one per event, the latest last. It is never modified in place.
type trail []aggregate.State

func (t trail) latest() aggregate.State {
	if len(t) == 0 {
		return nil
	}
	return t[len(t)-1]
}

// version returns the version of the latest state.
func (t trail) version(key aggregate.Key) journal.Version {
	if len(t) == 0 {
		return journal.Version{Key: key}
	}
	h := t.latest().Folded()
	return journal.Version{Key: key, Version: h.Version, Sequence: h.Sequence}
}

func (t trail) then(s aggregate.State) trail {
	if len(t) >= reach {
		t = t[len(t)-reach+1:]
	}
	return append(slices.Clip(t), s)
}

// at returns the state as of a sequence, nil if the aggregate did not exist yet. It returns false if the trail does not
// reach back that far.
func (t trail) at(sequence uint64) (aggregate.State, bool) {
	for _, s := range slices.Backward(t) {
		if h := s.Folded(); h.Sequence <= sequence && (h.Fault == nil || h.Fault.Sequence <= sequence) {
			return s, true
		}
	}
	return nil, len(t) == 0 || t[0].Folded().Version <= 1
}

// Basis reads aggregates as one consistent cut, as fresh as the stream's leader has them. A history that contradicts
// itself yields a state with a Fault.
func (r *Repository) Basis(ctx context.Context, keys ...aggregate.Key) (States, error) {
	states, _, err := r.basis(ctx, keys, aggregate.Key{})
	return states, err
}

// BasisOfNew is Basis for an aggregate that may be new, and what else its beginning depends on. It reports whether
// another tenant has one of the same kind and id, as far as some replica knows, unless this tenant is known to have it.
func (r *Repository) BasisOfNew(
	ctx context.Context, about aggregate.Key, others ...aggregate.Key,
) (states States, elsewhere bool, err error) {
	return r.basis(ctx, append([]aggregate.Key{about}, others...), about)
}

func (r *Repository) basis(
	ctx context.Context, keys []aggregate.Key, unique aggregate.Key,
) (states States, elsewhere bool, err error) {
	trails, elsewhere, err := r.read(ctx, keys, unique)
	if err != nil {
		return nil, false, err
	}
	states = make(States, len(trails))
	for key, t := range trails {
		if s := t.latest(); s != nil {
			states[key] = s
		}
	}
	return states, elsewhere, nil
}

// At is Basis as of a stream sequence. Nothing stored later is included, so the result is the same at any time.
func (r *Repository) At(ctx context.Context, sequence uint64, keys ...aggregate.Key) (States, error) {
	trails, _, err := r.read(ctx, keys, aggregate.Key{})
	if err != nil {
		return nil, err
	}
	states := make(States, len(trails))
	for key, t := range trails {
		s, reaches := t.at(sequence)
		if !reaches {
			entries, err := r.Journal.LoadAtLeader(ctx, key)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if e.Seq <= sequence {
					s = Evolve(s, e.Seq, e.Event)
				}
			}
		}
		if s != nil {
			states[key] = s
		}
	}
	return states, nil
}

// read updates the cached trails of these aggregates and returns them. It reports whether another tenant has the one
// that should be unique.
func (r *Repository) read(
	ctx context.Context, keys []aggregate.Key, unique aggregate.Key,
) (trails map[aggregate.Key]trail, elsewhere bool, err error) {
	trails = make(map[aggregate.Key]trail, len(keys))
	var known []journal.Version
	for _, key := range keys {
		if _, twice := trails[key]; !twice {
			trails[key], _ = r.recent.Get(key)
			version := trails[key].version(key)
			version.Unique = key == unique
			known = append(known, version)
		}
	}
	news, err := r.Journal.Since(ctx, known...)
	if err != nil {
		return nil, false, err
	}
	for i, n := range news {
		key := known[i].Key
		t := trails[key]
		elsewhere = elsewhere || n.Elsewhere
		if n.Whole {
			t = nil
		}
		if n.Err != nil {
			t, err = atFault(key, n.Err)
			if err != nil {
				return nil, false, err
			}
		}
		for _, e := range n.Entries {
			t = t.then(Evolve(t.latest(), e.Seq, e.Event))
		}
		trails[key] = t
		r.remember(key, t)
	}
	return trails, elsewhere, nil
}

// atFault returns the trail of an aggregate whose events contradict each other or the stream; any other error is
// returned.
func atFault(key aggregate.Key, err error) (trail, error) {
	var contradiction *journal.HistoryError
	var corrupt *journal.CorruptError
	var misfit *journal.MisfitError
	var fault aggregate.Fault
	switch {
	case errors.As(err, &misfit):
		fault = aggregate.Fault{Sequence: misfit.Seq, Rule: misfit.Rule, NotAnEvent: true}
	case errors.As(err, &contradiction):
		fault = aggregate.Fault{Sequence: contradiction.Seq, Rule: contradiction.Rule}
	case errors.As(err, &corrupt):
		fault = aggregate.Fault{Sequence: corrupt.Seq, Rule: corrupt.Rule}
	default:
		return nil, err
	}
	return trail{faulty(key, fault)}, nil
}

// remember caches a trail unless it is at fault or older than the cached one.
func (r *Repository) remember(key aggregate.Key, t trail) {
	if len(t) == 0 || t.latest().Folded().Fault != nil {
		return
	}
	r.recent.Update(key, func(before trail) (trail, bool) {
		return t, t.version(key).Version > before.version(key).Version
	})
}

// Saw adds an event that was just delivered to the cache, if it directly follows the cached state or is the aggregate's
// first event.
func (r *Repository) Saw(sequence uint64, e *lockboxv1.Event) {
	before, _ := r.recent.Get(aggregate.KeyOf(e))
	if follows(before, e) {
		r.saw(e, Evolve(before.latest(), sequence, e))
	}
}

// saw caches the state after an event, on the same condition.
func (r *Repository) saw(e *lockboxv1.Event, after aggregate.State) {
	if after == nil || after.Folded().Fault != nil {
		return
	}
	r.recent.Update(aggregate.KeyOf(e), func(before trail) (trail, bool) { return before.then(after), follows(before, e) })
}

func follows(t trail, e *lockboxv1.Event) bool {
	return e.GetVersion() == t.version(aggregate.Key{}).Version+1
}

// Recent returns the cached state of an aggregate if it includes the event at sequence, and Basis otherwise. Another
// replica of the service may have appended events since. An append detects that; anything else must be confirmed with
// BasisOf.
func (r *Repository) Recent(ctx context.Context, about aggregate.Key, sequence uint64) (States, error) {
	if t, _ := r.recent.Get(about); len(t) > 0 && t.latest().Folded().Sequence >= sequence {
		return States{about: t.latest()}, nil
	}
	return r.Basis(ctx, about)
}

// BasisOf reads aggregates and everything that decisions on them depend on, as one consistent cut.
func (r *Repository) BasisOf(ctx context.Context, about ...aggregate.Key) (States, error) {
	known := States{}
	for _, key := range about {
		if t, _ := r.recent.Get(key); len(t) > 0 {
			known[key] = t.latest()
		}
	}
	for {
		keys := known.restOn(about)
		states, err := r.Basis(ctx, keys...)
		if err != nil {
			return nil, err
		}
		// What a request depends on is known only once it has been read.
		if needed := states.restOn(about); slices.Equal(needed, keys) {
			if same, err := r.readExactly(ctx, states, about); same || err != nil {
				return states, err
			}
		}
		known = states
	}
}

// ErrConflict means that another event of the aggregate was stored first: read and decide again.
var ErrConflict = journal.ErrConflict

// Identify assigns ids to events. Later events refer to them as their causation id.
func Identify(events ...*lockboxv1.Event) error {
	for _, e := range events {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("repository: %w", err)
		}
		e.Id = id.String()
	}
	return nil
}

// Append appends consecutive events of one aggregate after its last event in states, and updates states and the cache.
// It returns the sequences of the events that were stored: all of them, unless there is an error. What is Decided may
// also be an event alone, which is then folded.
func (r *Repository) Append(ctx context.Context, states States, decided ...Decided) ([]uint64, error) {
	about := aggregate.KeyOf(decided[0].Event)
	after := uint64(0)
	if s := states[about]; s != nil {
		after = s.Folded().Sequence
	}
	events := make([]*lockboxv1.Event, len(decided))
	for i, d := range decided {
		events[i] = d.Event
	}
	stored, err := r.Journal.AppendAll(ctx, after, events...)
	for i, sequence := range stored {
		r.saw(events[i], states.stored(sequence, decided[i]))
	}
	if misfit := new(journal.MisfitError); errors.As(err, &misfit) {
		// It stands where a read from the cached state on does not look.
		r.recent.Put(about, nil)
	}
	if err != nil {
		return stored, fmt.Errorf("%s: %w", about, err)
	}
	return stored, nil
}

// Next returns the event that is due as soon as d is stored, if there is one. It does not change states.
func (p Process) Next(states States, d Decided, now time.Time) (Decided, error) {
	return p.Perform(states.Then(d), aggregate.KeyOf(d.Event), d.GetId(), now)
}
