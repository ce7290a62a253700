package evaluator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// behind is how long an evaluation waits until its own request has been counted.
const behind = 5 * time.Second

// histories counts each engineer's requests from EVENTS while the service runs. Two replicas may have read up to
// different sequences; each evaluation records the history it used.
type histories struct {
	journal    *journal.Journal
	repository *repository.Repository

	mu      sync.Mutex
	counted *policy.Histories
	// awaited is closed when the event at that sequence has been counted.
	awaited map[uint64]chan struct{}
}

func newHistories(j *journal.Journal, r *repository.Repository) *histories {
	return &histories{journal: j, repository: r, counted: policy.NewHistories(), awaited: map[uint64]chan struct{}{}}
}

// catchUp counts the events that were stored before it began.
func (h *histories) catchUp(ctx context.Context, now time.Time) error {
	return h.count(ctx, h.rest(now))
}

// follow keeps counting until ctx ends.
func (h *histories) follow(ctx context.Context, now time.Time) error {
	rest := h.rest(now)
	rest.Follow = true
	return h.count(ctx, rest)
}

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

func (h *histories) count(ctx context.Context, r journal.Replay) error {
	err := h.journal.Replay(ctx, r, func(e journal.Entry) error { return h.add(ctx, e) })
	if err != nil {
		return fmt.Errorf("%s: counting histories: %w", Name, err)
	}
	return nil
}

// add counts one event and wakes the evaluations that wait for it.
func (h *histories) add(ctx context.Context, e journal.Entry) error {
	asked := func(tenant, id string) (*lockboxv1.Person, error) {
		about := aggregate.Request(tenant, id)
		states, err := h.repository.Basis(ctx, about)
		return states.Request(about).Requester.GetPerson(), err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.counted.Add(e.Seq, e.Stored, e.Event, asked); err != nil {
		return err
	}
	if done, waited := h.awaited[e.Seq]; waited {
		close(done)
		delete(h.awaited, e.Seq)
	}
	return nil
}

// of returns the requester's history as soon as every event stored before the request has been counted. Until then the
// history is unknown, and the intent is redelivered (I11).
func (h *histories) of(ctx context.Context, s request.State, now time.Time) (*lockboxv1.EngineerHistory, error) {
	ctx, cancel := context.WithTimeout(ctx, behind)
	defer cancel()
	select {
	case <-h.reached(s.Sequence):
	case <-ctx.Done():
		return nil, refusal.Unavailable("", "I11", "the engineers' histories are not counted up to sequence %d", s.Sequence)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counted.Of(s.Requester.GetPerson(), now, s.Tenant, s.ID), nil
}

// reached returns a channel that is closed when the event about a request at a sequence has been counted.
func (h *histories) reached(sequence uint64) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	done, waited := h.awaited[sequence]
	if !waited {
		done = make(chan struct{})
		if h.counted.Sequence() >= sequence {
			close(done)
		} else {
			h.awaited[sequence] = done
		}
	}
	return done
}
