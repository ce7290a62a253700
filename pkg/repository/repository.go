// Package repository reads aggregates from the journal as states, and writes what was decided about them. It is where
// the pure domain meets the stream.
//
// Every decision rests on one consistent cut of all that it needs, as the stream's leader has it. What is remembered
// only saves reading again what cannot have changed: an aggregate's events are never rewritten and its versions have no
// gaps, so if the last that is known is still the last, the rest is known too.
package repository

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
}

const (
	// remembered is how many aggregates a Repository remembers, about 8 KiB each; at most twice as many.
	remembered = 1024
	// reach is how many events back a remembered aggregate can be read at an earlier sequence without reading it anew.
	reach = 16
)

// New returns a Repository that remembers.
func New(j *journal.Journal) *Repository {
	return &Repository{Journal: j, recent: cache.New[aggregate.Key, trail](remembered)}
}

// trail are the last states of an aggregate, one after each event, the latest last. It is never written into.
type trail []aggregate.State

func (t trail) latest() aggregate.State {
	if len(t) == 0 {
		return nil
	}
	return t[len(t)-1]
}

// version is how far the aggregate is known.
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

// at is the state as of a sequence. Nil: it did not exist yet. False: the trail does not reach back that far.
func (t trail) at(sequence uint64) (aggregate.State, bool) {
	for _, s := range slices.Backward(t) {
		if h := s.Folded(); h.Sequence <= sequence && (h.Fault == nil || h.Fault.Sequence <= sequence) {
			return s, true
		}
	}
	return nil, len(t) == 0 || t[0].Folded().Version <= 1
}

// Basis reads aggregates as one consistent cut, as fresh as the stream's leader has them. A history that contradicts
// itself becomes a state at fault.
func (r *Repository) Basis(ctx context.Context, keys ...aggregate.Key) (States, error) {
	trails, err := r.read(ctx, keys)
	if err != nil {
		return nil, err
	}
	states := make(States, len(trails))
	for key, t := range trails {
		if s := t.latest(); s != nil {
			states[key] = s
		}
	}
	return states, nil
}

// At is Basis as of a stream sequence: nothing that was stored later is in it, so it says the same whenever it is
// asked.
func (r *Repository) At(ctx context.Context, sequence uint64, keys ...aggregate.Key) (States, error) {
	trails, err := r.read(ctx, keys)
	if err != nil {
		return nil, err
	}
	states := make(States, len(trails))
	for key, t := range trails {
		s, reaches := t.at(sequence)
		if !reaches {
			entries, err := r.Journal.Load(ctx, key)
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

// read brings what is remembered of these aggregates up to date.
func (r *Repository) read(ctx context.Context, keys []aggregate.Key) (map[aggregate.Key]trail, error) {
	trails := make(map[aggregate.Key]trail, len(keys))
	var known []journal.Version
	for _, key := range keys {
		if _, twice := trails[key]; !twice {
			trails[key], _ = r.recent.Get(key)
			known = append(known, trails[key].version(key))
		}
	}
	news, err := r.Journal.Since(ctx, known...)
	if err != nil {
		return nil, err
	}
	for i, n := range news {
		key := known[i].Key
		t := trails[key]
		if n.Whole {
			t = nil
		}
		if n.Err != nil {
			t, err = atFault(key, n.Err)
			if err != nil {
				return nil, err
			}
		}
		for _, e := range n.Entries {
			t = t.then(Evolve(t.latest(), e.Seq, e.Event))
		}
		trails[key] = t
		r.remember(key, t)
	}
	return trails, nil
}

// atFault is an aggregate whose events contradict each other or the stream.
func atFault(key aggregate.Key, err error) (trail, error) {
	var contradiction *journal.HistoryError
	var corrupt *journal.CorruptError
	var fault aggregate.Fault
	switch {
	case errors.As(err, &contradiction):
		fault = aggregate.Fault{Sequence: contradiction.Seq, Rule: contradiction.Rule}
	case errors.As(err, &corrupt):
		fault = aggregate.Fault{Sequence: corrupt.Seq, Rule: corrupt.Rule}
	default:
		return nil, err
	}
	return trail{faulty(key, fault)}, nil
}

// remember keeps states unless they are at fault, or older than what is known.
func (r *Repository) remember(key aggregate.Key, t trail) {
	if len(t) == 0 || t.latest().Folded().Fault != nil {
		return
	}
	r.recent.Update(key, func(before trail) (trail, bool) {
		return t, t.version(key).Version > before.version(key).Version
	})
}

// Saw remembers an event that was just written or delivered, if its aggregate is remembered up to it, or begins with
// it.
func (r *Repository) Saw(sequence uint64, e *lockboxv1.Event) {
	r.recent.Update(aggregate.KeyOf(e), func(before trail) (trail, bool) {
		if e.GetVersion() != before.version(aggregate.Key{}).Version+1 {
			return before, false
		}
		s := Evolve(before.latest(), sequence, e)
		if s == nil || s.Folded().Fault != nil {
			return before, false
		}
		return before.then(s), true
	})
}

// Recent is what is remembered of an aggregate, if that includes its event at a sequence; else Basis. Another copy of
// the service may have gone on since: an append finds that out, whatever else rests on it must be confirmed by BasisOf.
func (r *Repository) Recent(ctx context.Context, about aggregate.Key, sequence uint64) (States, error) {
	if t, _ := r.recent.Get(about); len(t) > 0 && t.latest().Folded().Sequence >= sequence {
		return States{about: t.latest()}, nil
	}
	return r.Basis(ctx, about)
}

// BasisOf reads aggregates and all that decisions about them rest on, as one consistent cut.
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
		// What a request rests on is only known once it has been read.
		if needed := states.restOn(about); slices.Equal(needed, keys) {
			return states, nil
		}
		known = states
	}
}

// ErrConflict says that another event of the aggregate was stored first: read and decide again.
var ErrConflict = journal.ErrConflict

// Identify gives events their ids, by which what they lead to names its cause.
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

// Append appends events of one aggregate that follow each other, the first after the last of it in states, and
// remembers them. It returns the sequences of those that are stored: all, unless there is an error.
func (r *Repository) Append(ctx context.Context, states States, events ...*lockboxv1.Event) ([]uint64, error) {
	after := uint64(0)
	if s := states[aggregate.KeyOf(events[0])]; s != nil {
		after = s.Folded().Sequence
	}
	stored, err := r.Journal.AppendAll(ctx, after, events...)
	for i, sequence := range stored {
		states.Add(sequence, events[i])
		r.Saw(sequence, events[i])
	}
	if err != nil {
		return stored, fmt.Errorf("%s: %w", aggregate.KeyOf(events[0]), err)
	}
	return stored, nil
}

// Next decides again from what is owed once an event is true, and returns what follows at once; nil: nothing does. The
// states are not changed.
func (p Process) Next(states States, e *lockboxv1.Event, now time.Time) (*lockboxv1.Event, error) {
	about := aggregate.KeyOf(e)
	then := maps.Clone(states)
	sequence := uint64(1)
	if s := states[about]; s != nil {
		sequence = s.Folded().Sequence + 1
	}
	then.Add(sequence, e)
	return p.Perform(then, about, e.GetId(), now)
}
