package orchestrator

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	// eventsAtOnce is how many aggregates are worked on at the same time: enough to fill the journal's group commits.
	eventsAtOnce = 256
	// requestsAtOnce is how many requests are read in one question when somebody has lost a role, and written at the same
	// time; lossesAtOnce is how many such questions are asked at the same time.
	requestsAtOnce = 64
	lossesAtOnce   = 4
)

// followEvents reacts to each event, at least once.
func (o *orchestrator) followEvents(ctx context.Context) error {
	following := journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator, Concurrency: eventsAtOnce}
	return o.Journal.Follow(ctx, following, o.react)
}

// followTimers settles each aggregate whose timer fired. A timer proves nothing; the fold says what is due.
func (o *orchestrator) followTimers(ctx context.Context) error {
	return o.Journal.FollowDue(ctx, func(ctx context.Context, about aggregate.Key) error {
		return o.settle(ctx, about, 0, "")
	})
}

// react does what an event leads to. Of an aggregate's events only the last matters: each of them has the aggregate
// settled as it stands when it is handled, so a later one that is known of already will.
func (o *orchestrator) react(ctx context.Context, e journal.Entry) error {
	about := aggregate.KeyOf(e.Event)
	o.repository.Saw(e.Seq, e.Event)
	switch e.Event.GetFact().(type) {
	case *lockboxv1.Event_RoleRemoved, *lockboxv1.Event_RoleDeactivated:
		return o.checkApprovers(ctx, about.Tenant, e.Event.GetId())
	}
	if about.Kind != aggregate.KindRequest && about.Kind != aggregate.KindDisclosure {
		return nil
	}
	return o.settle(ctx, about, e.Seq, e.Event.GetId())
}

// settle sets the timer for when something will be owed to an aggregate, and does what is owed now. After one of its
// events, at a sequence, what is remembered will do if it includes that; and if it includes a later one, that one has
// it settled. After a timer (sequence 0) only what the leader has will do.
func (o *orchestrator) settle(ctx context.Context, about aggregate.Key, sequence uint64, causationID string) error {
	if err := o.Clock.Healthy(); err != nil {
		return err
	}
	read := o.repository.Recent
	if sequence == 0 {
		read = func(ctx context.Context, about aggregate.Key, _ uint64) (repository.States, error) {
			return o.repository.BasisOf(ctx, about)
		}
	}
	states, err := read(ctx, about, sequence)
	if err != nil {
		return err
	}
	switch h := history(states, about); {
	case h.Fault != nil:
		o.Log.Error("a history contradicts itself", zap.Stringer("aggregate", about),
			zap.Uint64("sequence", h.Fault.Sequence), zap.String("rule", h.Fault.Rule))
		return nil
	case sequence > 0 && h.Sequence > sequence, states.Settled(about):
		return nil
	}
	if states, err = o.setTimer(ctx, about, states); err != nil {
		return err
	}
	return o.perform(ctx, states, about, causationID)
}

func history(states repository.States, about aggregate.Key) aggregate.History {
	if s := states[about]; s != nil {
		return *s.Folded()
	}
	return aggregate.History{}
}

// setTimer sets the timer for when something will be owed, and returns what the leader has after that. There is one
// timer to an aggregate, and whoever went on with it meanwhile may have set theirs first: so it looks again after it
// has set its own. And whoever loses a role from then on finds the request by its timer, so nobody is lost between
// (R23).
func (o *orchestrator) setTimer(
	ctx context.Context, about aggregate.Key, states repository.States,
) (repository.States, error) {
	var set time.Time
	for {
		at, waits := states.NextDue(about)
		if waits && !at.Equal(set) && o.Now().Before(at) {
			if err := o.Journal.SetTimer(ctx, about, at); err != nil {
				return nil, err
			}
			set = at
		}
		var err error
		if states, err = o.repository.BasisOf(ctx, about); err != nil {
			return nil, err
		}
		if next, waits := states.NextDue(about); !waits || next.Equal(set) || !o.Now().Before(next) {
			return states, nil
		}
	}
}

// perform does what is owed at now by what the leader has. If somebody else wrote first, what they wrote has the
// aggregate settled in its turn.
func (o *orchestrator) perform(
	ctx context.Context, states repository.States, about aggregate.Key, causationID string,
) error {
	e, err := o.process.Perform(states, about, causationID, o.Now())
	if e == nil || err != nil {
		return err
	}
	if err := o.mayWrite(e); err != nil {
		return err // it comes again, until the guard says that all is well
	}
	if _, err = o.Append(ctx, o.repository, states, e); errors.Is(err, repository.ErrConflict) {
		return nil
	}
	return err
}

// mayWrite holds that nothing is granted without the guard's word.
func (o *orchestrator) mayWrite(e *lockboxv1.Event) error {
	if e.GetAccessGranted() == nil {
		return nil
	}
	return o.lease.Check()
}

// checkApprovers looks at every request of a tenant that waits for the customer, after somebody lost a role. The
// pending timers are the list of what is alive. There may be thousands, so they are read many at a time.
func (o *orchestrator) checkApprovers(ctx context.Context, tenantID, causationID string) error {
	live, err := o.Journal.Timers(ctx, tenantID, aggregate.KindRequest)
	if err != nil {
		return err
	}
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(lossesAtOnce)
	for some := range slices.Chunk(live, requestsAtOnce) {
		reading.Go(func() error {
			states, err := o.repository.BasisOf(ctx, some...)
			if err != nil {
				return err
			}
			writing, ctx := errgroup.WithContext(ctx)
			for _, about := range some {
				if states.Request(about).Status == request.CustomerNotified {
					writing.Go(func() error { return o.perform(ctx, maps.Clone(states), about, causationID) })
				}
			}
			return writing.Wait()
		})
	}
	return reading.Wait()
}
