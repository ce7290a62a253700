package orchestrator

import (
	"context"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// eventsAtOnce is how many aggregates are worked on at the same time: enough to fill the journal's group commits.
const eventsAtOnce = 256

// followEvents reacts to each event, at least once.
func (o *orchestrator) followEvents(ctx context.Context) error {
	return o.Journal.Follow(ctx, journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator, Concurrency: eventsAtOnce}, o.react)
}

// followTimers settles each aggregate whose timer fired. A timer proves nothing; the fold says what is due.
func (o *orchestrator) followTimers(ctx context.Context) error {
	return o.Journal.FollowDue(ctx, func(ctx context.Context, a bus.Aggregate) error {
		return o.due(ctx, a)
	})
}

func (o *orchestrator) react(ctx context.Context, e journal.Entry) error {
	a := bus.AggregateOf(e.Event)
	o.read.Saw(e.Seq, e.Event)
	switch e.Event.GetFact().(type) {
	case *lockboxv1.Event_RoleRemoved, *lockboxv1.Event_RoleDeactivated:
		return o.checkApprovers(ctx, a, e.Event.GetId())
	case *lockboxv1.Event_CustomerNotified, *lockboxv1.Event_ApprovalReminderDue:
		// The timer first, so that whoever loses a role from now on finds this request by it; then a look at who lost one
		// before, or while there was no timer (R23).
		s, err := o.settleAt(ctx, a, e)
		if err != nil || s.Status != request.CustomerNotified {
			return err
		}
		_, err = o.fulfil(ctx, s, request.CheckApprovers, e.Event.GetId())
		return err
	case *lockboxv1.Event_AccessEvaluated, *lockboxv1.Event_InternalApprovalGiven, *lockboxv1.Event_InternalReminderDue,
		*lockboxv1.Event_CustomerApproved, *lockboxv1.Event_AccessGranted:
		_, err := o.settleAt(ctx, a, e)
		return err
	case *lockboxv1.Event_ExposureDisclosed, *lockboxv1.Event_LegalDemandDisclosed:
		return o.tell(ctx, a, e.Event.GetId())
	}
	return nil // Everything else owes nothing.
}

// due settles a request whose timer fired, or tells of a disclosure whose embargo is over.
func (o *orchestrator) due(ctx context.Context, a bus.Aggregate) error {
	switch a.Kind {
	case bus.KindDisclosure:
		return o.tell(ctx, a, "")
	case bus.KindRequest:
	default:
		return nil
	}
	s, err := o.read.ConfirmedRequest(ctx, a.Tenant, a.ID)
	if err != nil {
		return err
	}
	_, err = o.settle(ctx, a, s, "")
	return err
}

// tell tells the customer of a disclosure, or sets the timer for when they may be told (R46).
func (o *orchestrator) tell(ctx context.Context, a bus.Aggregate, causationID string) error {
	if err := o.Clock.Healthy(); err != nil {
		return err
	}
	s, err := o.read.Disclosure(ctx, a.Tenant, a.ID)
	if err != nil {
		return err
	}
	if s.Fault != nil {
		o.Log.Error("a disclosure's history contradicts itself", zap.Stringer("disclosure", a), zap.Uint64("sequence", s.Fault.Sequence), zap.String("rule", s.Fault.Rule))
		return nil
	}
	now := o.Now()
	if at, waits := disclosure.NextDue(s); waits && now.Before(at) {
		return o.Journal.SetTimer(ctx, a, at)
	}
	events, err := disclosure.Tell(s, o.actor, causationID, now)
	if err != nil {
		return err
	}
	for _, e := range events {
		if _, err := o.write(ctx, s.Sequence, e); err != nil {
			return err
		}
	}
	return nil
}

// settleAt settles a request after one of its events.
func (o *orchestrator) settleAt(ctx context.Context, a bus.Aggregate, e journal.Entry) (request.State, error) {
	s, err := o.read.RequestAt(ctx, a.Tenant, a.ID, e.Seq)
	if err != nil {
		return s, err
	}
	return o.settle(ctx, a, s, e.Event.GetId())
}

// settle does what is owed to a request, or sets the timer for when something will be. It returns the state that the
// timer is for.
func (o *orchestrator) settle(ctx context.Context, a bus.Aggregate, s request.State, causationID string) (request.State, error) {
	if err := o.Clock.Healthy(); err != nil {
		return s, err
	}
	if s.Fault != nil {
		o.Log.Error("a request's history contradicts itself", zap.Stringer("request", a), zap.Uint64("sequence", s.Fault.Sequence), zap.String("rule", s.Fault.Rule))
		return s, nil
	}
	written := 0
	for _, duty := range request.Owed(s, o.Now()) {
		n, err := o.fulfil(ctx, s, duty, causationID)
		if err != nil {
			return s, err
		}
		written += n
	}
	if written > 0 {
		return s, nil // What was written comes back here as an event, and sets the next timer.
	}
	return o.setTimer(ctx, a, s)
}

// setTimer sets the timer for when something will be owed. There is one timer to a request, and whoever went on with it
// meanwhile may have set theirs first: so it looks again after it has set its own.
func (o *orchestrator) setTimer(ctx context.Context, a bus.Aggregate, s request.State) (request.State, error) {
	for {
		at, waits := request.NextDue(s)
		if !waits {
			return s, nil
		}
		if err := o.Journal.SetTimer(ctx, a, at); err != nil {
			return s, err
		}
		after, err := o.read.ConfirmedRequest(ctx, a.Tenant, a.ID)
		if err != nil || after.Sequence == s.Sequence {
			return s, err
		}
		s = after
	}
}

// checkApprovers looks at every live request of a tenant after somebody lost a role. The pending timers are the list of
// what is alive.
func (o *orchestrator) checkApprovers(ctx context.Context, changed bus.Aggregate, causationID string) error {
	live, err := o.Journal.Timers(ctx, changed.Tenant, bus.KindRequest)
	if err != nil {
		return err
	}
	for _, a := range live {
		if err := o.perform(ctx, a, request.CheckApprovers, causationID); err != nil {
			return err
		}
	}
	return nil
}

func (o *orchestrator) perform(ctx context.Context, a bus.Aggregate, duty request.Duty, causationID string) error {
	s, err := o.read.ConfirmedRequest(ctx, a.Tenant, a.ID)
	if err != nil || s.Status != request.CustomerNotified {
		return err
	}
	_, err = o.fulfil(ctx, s, duty, causationID)
	return err
}

// fulfil performs one duty on a state that was read, and returns how many events that took: none if it is not owed any
// more. If another copy was faster, the error brings the event back.
func (o *orchestrator) fulfil(ctx context.Context, s request.State, duty request.Duty, causationID string) (written int, err error) {
	w, err := o.read.World(ctx, s.Tenant, s.Intent.GetSubscriptionId())
	if err != nil {
		return 0, err
	}
	if w.Tenant.Fault != nil || w.Subscription != nil && w.Subscription.Fault != nil {
		return 0, fmt.Errorf("%s/%s: tenant or subscription at fault: nothing is decided", s.Tenant, s.ID)
	}
	if duty == request.Grant { // only whoever gives access looks at it
		services, err := o.catalogue.Read(ctx, o.read)
		if err != nil {
			return 0, err
		}
		w.Resource = policy.Resource(s.Intent, services)
	}
	events, err := request.Perform(s, duty, w, o.terms, o.actor, causationID, o.Now())
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		if e.GetAccessGranted() != nil {
			if err := o.lease.Check(); err != nil {
				return 0, err // the event comes again, until the guard says that all is well
			}
		}
		if _, err := o.write(ctx, s.Sequence, e); err != nil {
			return 0, err
		}
	}
	return len(events), nil
}

// write appends an event, and remembers it.
func (o *orchestrator) write(ctx context.Context, after uint64, e *lockboxv1.Event) (uint64, error) {
	sequence, err := o.Append(ctx, after, e)
	if err != nil {
		o.read.Forget(e.GetTenant(), e.GetAggregateId())
		return 0, err
	}
	o.read.Saw(sequence, e)
	return sequence, nil
}
