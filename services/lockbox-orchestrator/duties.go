package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	// eventsAtOnce is the number of aggregates processed concurrently: enough to fill the journal's group commits with the
	// half of it that one tenant may have.
	eventsAtOnce = 512
	// requestsAtOnce is the number of requests in one batch read, and written concurrently, after somebody lost a role;
	// lossesAtOnce is the number of such batches in progress. Both are small, because others' requests are written beside.
	requestsAtOnce = 16
	lossesAtOnce   = 1
)

// followEvents reacts to each event at least once.
func (o *orchestrator) followEvents(ctx context.Context) error {
	following := journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator, Concurrency: eventsAtOnce}
	return o.Journal.Follow(ctx, following, o.react)
}

// followTimers settles each aggregate whose timer fired. A timer is only a hint; the folded state determines what is
// due.
func (o *orchestrator) followTimers(ctx context.Context) error {
	return o.Journal.FollowDue(ctx, func(ctx context.Context, about aggregate.Key) error {
		if about.Kind == aggregate.KindDigest {
			return o.report(ctx, about)
		}
		return o.settle(ctx, about, 0, "")
	})
}

// react does what follows from an event. Of an aggregate's events only the last matters: handling an event settles the
// aggregate's current state, so an event can be skipped if a later one is known.
func (o *orchestrator) react(ctx context.Context, e journal.Entry) error {
	about := aggregate.KeyOf(e.Event)
	o.repository.Saw(e.Seq, e.Event)
	switch about.Kind {
	case aggregate.KindRequest, aggregate.KindTenant, aggregate.KindSubscription:
		if err := o.identify(ctx, about.Tenant, e.Event.GetActor(), e.Event.GetId()); err != nil {
			return err
		}
	}
	switch e.Event.GetFact().(type) {
	case *lockboxv1.Event_RoleRemoved, *lockboxv1.Event_RoleDeactivated, *lockboxv1.Event_SubscriptionGivenUp,
		*lockboxv1.Event_AccountIdentified, *lockboxv1.Event_FormerSignInEnded, *lockboxv1.Event_RoleEnded,
		*lockboxv1.Event_TicketClosed:
		if err := o.checkOpen(ctx, about.Tenant, e.Event.GetId()); err != nil {
			return err
		}
	}
	if err := o.owesReport(ctx, e.Event); err != nil {
		return err
	}
	switch about.Kind {
	case aggregate.KindOwnership:
		_, err := o.follow(ctx, about, e.Event.GetId())
		return err
	case aggregate.KindErasure:
		return o.destroy(ctx, about, e.Event.GetId())
	case aggregate.KindRequest, aggregate.KindDisclosure, aggregate.KindTenant, aggregate.KindSubscription:
	default:
		return nil
	}
	return o.settle(ctx, about, e.Seq, e.Event.GetId())
}

// settle sets the timer for the aggregate's next duty and performs those that are due. For an event at a sequence, a
// cached state suffices if it includes that event; if it also includes a later one, that one will settle the aggregate.
// For a timer (sequence 0) only the leader's state will do.
func (o *orchestrator) settle(ctx context.Context, about aggregate.Key, sequence uint64, causationID string) error {
	if err := o.Clock.Healthy(); err != nil {
		return err
	}
	if err := o.writes.wait(ctx, about); err != nil {
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
	case h.Fault != nil && h.Fault.NotAnEvent:
		// What is due is not lost: it is tried again until the message was set aside.
		return refusal.Unavailable("aggregate_id", "I6", "message %d, stored on %s, is no event and was not set aside",
			h.Fault.Sequence, about)
	case h.Fault != nil:
		o.Log.Error("inconsistent history", observe.About(about,
			zap.Uint64("sequence", h.Fault.Sequence), zap.String("rule", h.Fault.Rule))...)
		return nil
	case sequence > 0 && h.Sequence > sequence, states.Settled(about):
		return nil
	}
	if sequence > 0 && about.Kind == aggregate.KindRequest {
		if kept, err := o.keeps(ctx, about, states, sequence); kept || err != nil {
			return err
		}
		if asked, err := o.ask(ctx, about, states, sequence, causationID); asked || err != nil {
			return err
		}
	}
	if states, err = o.setTimer(ctx, about, states); err != nil {
		return err
	}
	_, err = o.perform(ctx, states, about, duty{causationID, causationID, o.Now(), timer{}})
	return err
}

func history(states repository.States, about aggregate.Key) aggregate.History {
	if s := states[about]; s != nil {
		return *s.Folded()
	}
	return aggregate.History{}
}

// duty is how something is to be done that is due.
type duty struct {
	// causationID is the event from which it follows. Of what is traced, it comes after the aggregate's own event of the
	// id after, if that is not empty.
	causationID, after string
	now                time.Time
	// known is the timer as it was before the states were read.
	known timer
}

// perform writes what is due according to the leader's state, and reports whether it did. After a write conflict,
// the other writer's event settles the aggregate; of a request, it may rest on what was before.
func (o *orchestrator) perform(
	ctx context.Context, states repository.States, about aggregate.Key, d duty,
) (written bool, err error) {
	e, err := o.process.Perform(states, about, d.causationID, d.now)
	if e.Event == nil || err != nil {
		return false, err
	}
	if err := o.mayWrite(e.Event); err != nil {
		return false, err // tried again, at the latest when the guard's lease is valid again
	}
	var span *trace.Span
	if trace.OfRequest(e.Event) {
		ctx, span = o.Traces.Start(ctx, trace.Step{Trace: trace.Of(e.Event), Name: "duty",
			Detail: aggregate.TypeOf(e.Event), Kind: trace.Internal, After: cmp.Or(d.after, trace.Of(e.Event))})
		span.Set(trace.Tenant, e.GetTenant())
		span.Set(trace.Request, trace.Of(e.Event))
	}
	if _, err = o.append(ctx, states, d.known, d.now, e); span.Used() {
		span.End(err)
	}
	if !errors.Is(err, repository.ErrConflict) {
		return err == nil, err
	}
	if about.Kind == aggregate.KindRequest {
		return false, o.wake(ctx, about)
	}
	return false, nil
}

// mayWrite refuses to grant access without a valid lease from the guard.
func (o *orchestrator) mayWrite(e *lockboxv1.Event) error {
	if e.GetAccessGranted() == nil {
		return nil
	}
	return o.lease.Check()
}

// checkOpen checks every request of a tenant that awaits the customer, after somebody lost a role or was found to have
// several accounts, and all access, after the tenant lost a subscription or a ticket was closed. The pending timers
// list all open requests. There may be thousands, so they are read in batches.
func (o *orchestrator) checkOpen(ctx context.Context, tenantID, causationID string) error {
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
				writing.Go(func() error { return o.check(ctx, maps.Clone(states), about, causationID) })
			}
			return writing.Wait()
		})
	}
	return reading.Wait()
}

// check does what is owed to an open request after a loss, according to the leader's state. What somebody else is about
// to write may rest on what was before the loss: then the request is woken, and its timer, moved by that, tells them.
func (o *orchestrator) check(
	ctx context.Context, states repository.States, about aggregate.Key, causationID string,
) error {
	r := states.Request(about)
	switch r.Status {
	case request.Submitted, request.Approved: // which do not last
		return o.wake(ctx, about)
	case request.CustomerNotified, request.Active:
	default:
		return nil
	}
	written, err := o.perform(ctx, states, about, duty{causationID: causationID, now: o.Now()})
	if written || err != nil || r.Status == request.Active {
		return err
	}
	if id := r.Intent.GetSubscriptionId(); id != "" && !states.Ownership(id).Of(about.Tenant) {
		return o.wake(ctx, about) // it can still be decided, and access would not be taken away
	}
	if request.EndsWithTicket(r, states.Tenant(about.Tenant)) &&
		states.Ticket(about.Tenant, r.TicketID).LastClosed > 0 {
		return o.wake(ctx, about) // access may be about to begin on what was before the closing (R61)
	}
	return nil
}
