package evaluator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// behind is how long an evaluation waits until what was stored before it has been counted.
const behind = 5 * time.Second

// again is the pause before events that could not be read are asked for again.
const again = time.Second

// histories counts each engineer's requests from EVENTS while the service runs. Two replicas may have read up to
// different sequences; each evaluation records the history it used.
type histories struct {
	journal    *journal.Journal
	repository *repository.Repository
	log        *zap.Logger
	// hurry makes follow look at once.
	hurry func()

	mu      sync.Mutex
	counted *policy.Histories
	// awaited are closed when a look has ended that began after them.
	awaited []awaited
}

type awaited struct {
	since time.Time
	ended chan struct{}
}

func newHistories(j *journal.Journal, r *repository.Repository, log *zap.Logger) *histories {
	return &histories{journal: j, repository: r, log: log, hurry: j.Look, counted: policy.NewHistories()}
}

// catchUp counts the events that were stored before it began.
func (h *histories) catchUp(ctx context.Context, now time.Time) error {
	return h.count(ctx, now, false)
}

// follow keeps counting until ctx ends.
func (h *histories) follow(ctx context.Context, now time.Time) error { return h.count(ctx, now, true) }

// rest replays events that have not been counted and can matter at now or later. It starts a day early to allow for
// clock skew.
func (h *histories) rest(now time.Time) journal.Replay {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := journal.Replay{Kind: aggregate.KindRequest}
	if done := h.counted.Sequence(); done > 0 {
		r.From = done + 1
	} else {
		r.Since = now.AddDate(0, 0, -policy.Window-2)
	}
	return r
}

// count counts until there is no more, or until ctx ends if it follows. What cannot be read now, because the bus is
// away or a stored event is damaged, is tried again: intents wait, and everything else goes on, the guard's alarm
// first.
func (h *histories) count(ctx context.Context, now time.Time, follow bool) error {
	for {
		r := h.rest(now)
		r.Follow, r.Looked = follow, h.looked
		err := h.journal.Replay(ctx, r, func(e journal.Entry) error { return h.add(ctx, e) })
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, input.ErrUnknownFact): // a newer version must read on
			return fmt.Errorf("%s: counting histories: %w", Name, err)
		}
		h.log.Warn("the engineers' histories cannot be counted further; intents wait", zap.Error(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		}
	}
}

// add counts one event.
func (h *histories) add(ctx context.Context, e journal.Entry) error {
	asked := func(tenant, id string) (*lockboxv1.Person, error) {
		about := aggregate.Request(tenant, id)
		states, err := h.repository.Basis(ctx, about)
		var misfit *journal.MisfitError
		if errors.As(err, &misfit) { // one spoilt request does not stop the counting of all others
			h.log.Warn("the outcome of a request is nobody's: something stored with it is no event",
				observe.About(about, zap.Error(err))...)
			return nil, nil
		}
		return states.Request(about).Requester.GetPerson(), err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counted.Add(e.Seq, e.Stored, e.Event, asked)
}

// admit counts an intent as a request that waits, unless there are too many (R52).
func (h *histories) admit(in *lockboxv1.AccessIntent, by *lockboxv1.Actor, now time.Time, limits policy.Limits) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counted.Admit(in, by, now, limits)
}

// withdraw forgets an intent that was admitted and not stored.
func (h *histories) withdraw(in *lockboxv1.AccessIntent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counted.Withdraw(in)
}

// look has the stream looked at, and returns a function that waits until everything stored before this call has been
// counted, by this server's copy of the stream. Until then a history is unknown, and the intent is redelivered (I11).
func (h *histories) look(ctx context.Context) (wait func() error) {
	mine := awaited{time.Now(), make(chan struct{})}
	h.mu.Lock()
	h.awaited = append(h.awaited, mine)
	h.mu.Unlock()
	h.hurry()
	return func() error {
		ctx, cancel := context.WithTimeout(ctx, behind)
		defer cancel()
		select {
		case <-mine.ended:
			return nil
		case <-ctx.Done():
			return refusal.Unavailable("", "I11", "the engineers' histories are not counted up to this intent")
		}
	}
}

// looked wakes the evaluations that wait for a look that began at a time, by which everything through a sequence is
// counted.
func (h *histories) looked(begun time.Time, through uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counted.Reach(through)
	h.awaited = slices.DeleteFunc(h.awaited, func(a awaited) bool {
		if a.since.After(begun) {
			return false
		}
		close(a.ended)
		return true
	})
}

// known returns the requester's history as far as it has been counted.
func (h *histories) known(s request.State, now time.Time) *lockboxv1.EngineerHistory {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counted.Of(s.Requester.GetPerson(), now, s.Tenant, s.ID)
}
