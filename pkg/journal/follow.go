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

// Following says which durable consumer to work for. Its copies share the work.
type Following struct {
	Stream, Durable string
	// Concurrency is how many events are handled at once; default 1. Events of one aggregate never are.
	Concurrency int
}

// Follow hands every event of a durable consumer to handle, at least once, until ctx ends; then it returns nil. Events
// of one aggregate come one after the other and in order; only what another copy of this process, or one that was
// killed, had in hand may come late.
//
// An event whose handler returns an error is handled again, after a longer wait each time; what follows it in its
// aggregate waits too, and everything else goes on. An event that this version does not know (input.ErrUnknownFact) or
// a *CorruptError, found here or returned by handle, ends Follow with that error: skipping it would be believing in
// another past. So does a *bus.DriftError: the consumer was changed, and would not tell of everything.
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

// FollowDue tells of aggregates whose timer fired, at least once each, until ctx ends. It proves nothing: fold and
// look.
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

// unordered is how many timers or intents are handled at once. They mostly wait for the disk, together.
const unordered = 256

// terminated is an error that ends a message's deliveries: another one would fail the same way.
type terminated struct{ reason string }

func (t *terminated) Error() string { return "journal: given up: " + t.reason }

// fatal tells whether a follower must stop rather than go on.
func fatal(err error) bool {
	var corrupt *CorruptError
	return errors.Is(err, input.ErrUnknownFact) || errors.As(err, &corrupt)
}

func consumerError(stream, durable string, err error) error {
	return fmt.Errorf("journal: consumer %s of %s: %w", durable, stream, err)
}
