package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Following selects a durable consumer. Replicas of a service that follow the same consumer share its messages.
type Following struct {
	Stream, Durable string
	// Concurrency is how many events are handled at once, those of one tenant at most half of it; default 1. Events of one
	// aggregate are always handled one by one.
	Concurrency int
}

// Follow passes every event of a durable consumer to handle, at least once, until ctx ends; then it returns nil. Events
// of one aggregate arrive one at a time and in order, except that events which another replica, or one that was killed,
// was processing may arrive late, and so may those behind a message without bytes: to NATS it ends the answer to a pull
// from another account, and what was sent after it is lost and asked for again half a second later.
//
// If handle returns an error, the event is retried with increasing delay; later events of the same aggregate wait, all
// others go on; or when the handler wants it again (*HeldError). An event type that this version does not know
// (input.ErrUnknownFact), found here or returned by handle, ends Follow with that error: skipping the event would mean
// working from a different history. So do a *bus.DriftError, because the consumer was changed and might no longer
// deliver everything, and a *CorruptError. But a message that cannot be an event is skipped, and an error of handle
// about one is retried until it was set aside (*MisfitError). That an event was removed from the stream is logged.
func (j *Journal) Follow(ctx context.Context, f Following, handle func(context.Context, Entry) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go j.watchGaps(ctx)
	return j.work(ctx, job{
		stream: f.Stream, durable: f.Durable, concurrency: f.Concurrency,
		lane: func(d *delivery) string {
			at, _ := bus.ParseEventSubject(d.subject)
			return at.Tenant
		},
		line: func(d *delivery) string {
			if at, err := bus.ParseEventSubject(d.subject); err == nil {
				return bus.Filter(at.Key)
			}
			return d.subject // refused when it is handled
		},
		handle: func(ctx context.Context, d *delivery) error {
			raise(&j.frontier.seen, d.sequence())
			entry, err := j.entry(d.sequence(), d.meta.Timestamp, d.subject, d.data)
			var misfit *MisfitError
			if errors.As(err, &misfit) {
				j.skip(misfit.Misfit)
				return nil
			}
			if err != nil {
				return err
			}
			entry.Pending = d.meta.NumPending
			return handle(ctx, entry)
		},
	})
}

// HeldError is returned by a handler that wants the event again when Until ends, if not before: Retry calls it at once.
// That is no failure: it is not logged, and the delay of later attempts does not grow. The event is not acknowledged
// meanwhile, so it counts towards bus.MaxAckPending, and later events of its aggregate wait.
type HeldError struct{ Until context.Context }

func (*HeldError) Error() string { return "journal: the handler holds the event" }

// FollowDue calls handle for each aggregate whose timer fired, at least once, until ctx ends. A fired timer proves
// nothing: the handler must load the aggregate and check what is due.
func (j *Journal) FollowDue(ctx context.Context, handle func(context.Context, aggregate.Key) error) error {
	return j.work(ctx, job{
		stream: bus.StreamTimers, durable: bus.DurableDue, concurrency: unordered,
		lane: func(d *delivery) string {
			about, _ := bus.ParseDueSubject(d.subject)
			return about.Tenant
		},
		line: func(d *delivery) string { return d.subject },
		handle: func(ctx context.Context, d *delivery) error {
			agg, err := bus.ParseDueSubject(d.subject)
			if err != nil {
				return &terminated{err.Error()}
			}
			return handle(ctx, agg)
		},
	})
}

// unordered is how many timers or intents are handled at once, those of one tenant at most half of it. They mostly wait
// for shared disk syncs.
const unordered = 512

// terminated is an error that stops redelivery of a message: another attempt would fail the same way.
type terminated struct{ reason string }

func (t *terminated) Error() string { return "journal: given up: " + t.reason }

// fatal reports whether a follower must stop.
func fatal(err error) bool {
	var corrupt *CorruptError
	return errors.Is(err, input.ErrUnknownFact) || errors.As(err, &corrupt) && !isMisfit(err)
}

func consumerError(stream, durable string, err error) error {
	return fmt.Errorf("journal: consumer %s of %s: %w", durable, stream, err)
}
