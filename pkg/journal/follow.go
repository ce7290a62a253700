package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Following selects a durable consumer. Replicas of a service that follow the same consumer share its messages.
type Following struct {
	Stream, Durable string
	// Concurrency is how many events are handled at once; default 1. Events of one aggregate are always handled one by
	// one.
	Concurrency int
}

// Follow passes every event of a durable consumer to handle, at least once, until ctx ends; then it returns nil. Events
// of one aggregate arrive one at a time and in order, except that events which another replica, or one that was killed,
// was processing may arrive late.
//
// If handle returns an error, the event is retried with increasing delay; later events of the same aggregate wait, all
// others go on. An event type that this version does not know (input.ErrUnknownFact) or a *CorruptError, found here or
// returned by handle, ends Follow with that error: skipping the event would mean working from a different history. So
// does a *bus.DriftError: the consumer was changed and might no longer deliver everything.
func (j *Journal) Follow(ctx context.Context, f Following, handle func(context.Context, Entry) error) error {
	return j.work(ctx, job{
		stream: f.Stream, durable: f.Durable, concurrency: f.Concurrency,
		line: func(m jetstream.Msg, _ *jetstream.MsgMetadata) string {
			if at, err := bus.ParseEventSubject(m.Subject()); err == nil {
				return bus.Filter(at.Key)
			}
			return m.Subject() // refused when it is handled
		},
		handle: func(ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata) error {
			entry, err := newEntry(meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Data())
			if err != nil {
				return err
			}
			entry.Pending = meta.NumPending
			return handle(ctx, entry)
		},
	})
}

// FollowDue calls handle for each aggregate whose timer fired, at least once, until ctx ends. A fired timer proves
// nothing: the handler must load the aggregate and check what is due.
func (j *Journal) FollowDue(ctx context.Context, handle func(context.Context, aggregate.Key) error) error {
	return j.work(ctx, job{
		stream: bus.StreamTimers, durable: bus.DurableDue, concurrency: unordered,
		line: func(m jetstream.Msg, _ *jetstream.MsgMetadata) string { return m.Subject() },
		handle: func(ctx context.Context, m jetstream.Msg, _ *jetstream.MsgMetadata) error {
			agg, err := bus.ParseDueSubject(m.Subject())
			if err != nil {
				return &terminated{err.Error()}
			}
			return handle(ctx, agg)
		},
	})
}

// unordered is how many timers or intents are handled at once. They mostly wait for shared disk syncs.
const unordered = 256

// terminated is an error that stops redelivery of a message: another attempt would fail the same way.
type terminated struct{ reason string }

func (t *terminated) Error() string { return "journal: given up: " + t.reason }

// fatal reports whether a follower must stop.
func fatal(err error) bool {
	var corrupt *CorruptError
	return errors.Is(err, input.ErrUnknownFact) || errors.As(err, &corrupt)
}

func consumerError(stream, durable string, err error) error {
	return fmt.Errorf("journal: consumer %s of %s: %w", durable, stream, err)
}
