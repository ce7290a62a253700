package projector

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/cosign"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/guard"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"go.uber.org/zap"
)

// readLog has the Merkle log read for metrics.
func readLog(c *observe.Counters, l *ledger.Ledger) {
	c.Read(observe.LogCaughtUp, func(say observe.Say) { say(observe.Seconds(l.Passed())) })
	c.Read(observe.LogCovered, func(say observe.Say) { say(float64(l.Covered())) })
	c.Read(observe.LogFailed, func(say observe.Say) { say(observe.Truth(l.Failed() != nil)) })
}

// readGuard has read for metrics what the guard finds.
func readGuard(c *observe.Counters, g *guard.Guard) {
	c.Read(observe.GuardVerified, func(say observe.Say) { say(observe.Seconds(g.State().Verified)) })
	c.Read(observe.StreamSequence, func(say observe.Say) { say(float64(g.State().Last)) })
	c.Read(observe.GuardCopies, func(say observe.Say) {
		state := g.State()
		say(float64(state.Current), "current")
		say(float64(state.Away), "away")
	})
	c.Read(observe.GuardDifferences, func(say observe.Say) {
		found := g.State().Differences
		for n, name := range lockboxv1.DifferenceKind_name {
			kind := lockboxv1.DifferenceKind(n)
			// Mails are not the guard's.
			if n != 0 && kind != lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE {
				say(float64(found[kind]), strings.ToLower(strings.TrimPrefix(name, "DIFFERENCE_KIND_")))
			}
		}
	})
}

// health returns what is known of the log now.
func health(l *ledger.Ledger, g *guard.Guard, witnesses *cosign.Witnesses) func() answer.Health {
	return func() answer.Health {
		state := g.State()
		h := answer.Health{Verified: state.Verified, Differences: state.Differences, Current: state.Current,
			Away: state.Away, Failed: l.Failed() != nil}
		if witnesses != nil {
			h.Witnesses = witnesses.Seen()
		}
		return h
	}
}

// overdueEvery is the pause between two looks for overdue requests.
const overdueEvery = 15 * time.Second

// overdue counts the requests whose deadline has passed without the event that follows from it.
type overdue struct {
	answering *atomic.Pointer[answer.Answerer]
	now       func() time.Time
	log       *zap.Logger

	mu    sync.Mutex
	known bool
	n     uint64
	first time.Time
}

// readProjection has the projection read for metrics. What it returns has to run for that.
func readProjection(rt *service.Runtime, answering *atomic.Pointer[answer.Answerer]) *overdue {
	rt.Counters.Read(observe.ProjectionSequence, func(say observe.Say) {
		if a := answering.Load(); a != nil {
			say(float64(a.Store.Sequence()))
		}
	})
	o := &overdue{answering: answering, now: rt.Now, log: rt.Log}
	rt.Counters.Read(observe.RequestsOverdue, func(say observe.Say) {
		if known, n, _ := o.counted(); known {
			say(float64(n))
		}
	})
	rt.Counters.Read(observe.RequestsOverdueSince, func(say observe.Say) {
		if _, n, first := o.counted(); n > 0 {
			say(observe.Seconds(first))
		}
	})
	return o
}

func (o *overdue) counted() (known bool, n uint64, first time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known, o.n, o.first
}

// run looks until ctx ends.
func (o *overdue) run(ctx context.Context) {
	for {
		if a := o.answering.Load(); a != nil {
			if err := o.look(ctx, a); err != nil && ctx.Err() == nil {
				o.log.Warn("whether requests are overdue cannot be told now", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(overdueEvery):
		}
	}
}

func (o *overdue) look(ctx context.Context, a *answer.Answerer) error {
	v, err := a.Store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = v.Close() }() // read only
	n, first, err := v.Overdue(ctx, o.now())
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known, o.n, o.first = true, n, first
	return nil
}
