package orchestrator

import (
	"context"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/repository"
)

// writes are the appends under way, by aggregate. Of events that are appended together, the follower may see the first
// before the last is stored. It waits, because only the last one matters: otherwise it would read the aggregate and set
// its timer twice.
type writes struct {
	mu   sync.Mutex
	open map[aggregate.Key]*write
}

// write is how many appends of one aggregate are under way; over is closed when none is.
type write struct {
	open int
	over chan struct{}
}

// append appends events of one aggregate, and lets its follower wait. Its timer was known before states were read.
func (o *orchestrator) append(
	ctx context.Context, states repository.States, known timer, now time.Time, events ...repository.Decided,
) ([]uint64, error) {
	about := aggregate.KeyOf(events[0].Event)
	basis := history(states, about).Sequence
	defer o.writes.begin(about)()
	stored, err := o.Append(ctx, o.repository, states, events...)
	if err == nil {
		o.reached(about, known, basis, stored[len(stored)-1], states, now)
	}
	return stored, err
}

func (w *writes) begin(about aggregate.Key) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.open[about]
	if one == nil {
		one = &write{over: make(chan struct{})}
		w.open[about] = one
	}
	one.open++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if one.open--; one.open == 0 {
			delete(w.open, about)
			close(one.over)
		}
	}
}

// wait returns when no append of an aggregate is under way, with an error only if ctx ends first.
func (w *writes) wait(ctx context.Context, about aggregate.Key) error {
	w.mu.Lock()
	one := w.open[about]
	w.mu.Unlock()
	if one == nil {
		return nil
	}
	select {
	case <-one.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
