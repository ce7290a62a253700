package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Intent is an intent as a tool published it, unverified.
type Intent struct {
	Seq uint64
	// Stored is when the bus stored it; its token is verified as of this time.
	Stored  time.Time
	Subject string
	Data    []byte
	// Deliveries counts deliveries, from 1.
	Deliveries uint64
}

// FollowIntents passes intents to handle, each at least once, concurrently and in no particular order, until ctx ends.
// If handle returns an error, the intent is retried later. Meanwhile processed intents are erased from the bus.
func (j *Journal) FollowIntents(ctx context.Context, handle func(context.Context, Intent) error) error {
	ctx, stop := context.WithCancel(ctx)
	var erasing sync.WaitGroup
	erasing.Go(func() { j.eraseIntents(ctx) })
	defer erasing.Wait()
	defer stop()
	return j.work(ctx, job{
		stream: bus.StreamIntents, durable: bus.DurableEvaluator, concurrency: unordered,
		lane: laneOfIntent(fair.NewCallers()),
		line: func(d *delivery) string { return strconv.FormatUint(d.sequence(), 10) },
		handle: func(ctx context.Context, d *delivery) error {
			return handle(ctx, Intent{d.sequence(), d.meta.Timestamp, d.subject, d.data, d.meta.NumDelivered})
		},
	})
}

// laneOfIntent returns the lane of an intent: its tool and tenant. If only the intent names the tenant, nothing says
// that there is such a one, so the tool's tenants share a few lanes.
func laneOfIntent(callers *fair.Callers) func(*delivery) string {
	return func(d *delivery) string {
		if _, tenant, err := bus.ParseIntentSubject(d.subject); err != nil || tenant != "" {
			return d.subject
		}
		in := new(lockboxv1.AccessIntent)
		_ = proto.Unmarshal(d.data, in) // what cannot be read names none
		lane, _ := callers.Lane(in.GetTenant(), "")
		return d.subject + " " + lane
	}
}

// SubmitIntent publishes an intent as an engineering tool does, and returns its sequence in INTENTS once it is on disk.
// It returns ErrUnknown if the bus does not answer; submitting the same intent again is safe.
func (j *Journal) SubmitIntent(ctx context.Context, tool string, intent *lockboxv1.AccessIntent) (uint64, error) {
	subject, err := bus.IntentSubject(tool, intent.GetTenant())
	if err != nil {
		return 0, err
	}
	seq, err := j.put(ctx, subject, intent)
	if full(err) {
		return 0, refusal.Unavailable("", "R52", "%d intents of this tool wait to be evaluated", bus.MaxIntents)
	}
	return seq, err
}

// put publishes one message outside the writer's batches and waits for its acknowledgement.
func (j *Journal) put(ctx context.Context, subject string, m proto.Message) (uint64, error) {
	data, err := proto.Marshal(m)
	if err != nil {
		return 0, refusal.Invalid("message", rule, "cannot be marshalled: %v", err)
	}
	return j.publish(ctx, &nats.Msg{Subject: subject, Data: data})
}

// publish is put for a message that may have headers.
func (j *Journal) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	answer := make(chan ack, 1)
	reply := j.inbox.expect(func(m *nats.Msg) {
		select {
		case answer <- parseAck(m, 1):
		default:
		}
	})
	defer j.inbox.forget(reply)
	m.Reply = reply
	if err := j.nc.PublishMsg(m); err != nil {
		return 0, notSent(err)
	}
	var r ack
	select {
	case r = <-answer:
	case <-ctx.Done():
		r.err = j.complaint(fmt.Errorf("%w: %w", ErrUnknown, ctx.Err()))
	}
	if r.err != nil {
		return 0, fmt.Errorf("journal: publish on %s: %w", m.Subject, r.err)
	}
	return r.seq, nil
}

// eraseInterval is how often processed intents are erased.
const eraseInterval = time.Second

// eraseIntents deletes processed intents from the bus, because the engineers' tokens are in them, until ctx ends. It
// goes by the consumer's acknowledgements and remembers nothing, so it also erases what another replica processed, or
// this one before it was killed. A failure is retried.
//
// When every intent is processed, the server removes the stream's files. While others still wait, processed ones can
// stay in the file that they share with those, of 8 MiB at most. To overwrite each message by itself (a secure delete)
// would rewrite that file for every intent.
func (j *Journal) eraseIntents(ctx context.Context) {
	failures := uint64(0)
	for erased, wait := uint64(0), eraseInterval; sleep(ctx, wait) == nil; {
		floor, err := j.eraseUpTo(ctx, erased)
		switch {
		case err == nil:
			erased, failures, wait = floor, 0, eraseInterval
		case ctx.Err() == nil:
			failures++
			wait = max(eraseInterval, retryDelay(failures))
			j.log.Error("processed intents are not erased: their tokens stay on the bus", zap.Duration("again_in", wait),
				zap.Error(err))
		}
	}
}

// eraseUpTo erases the intents up to the first that is not processed, unless they have been erased, and returns the
// last one's sequence.
func (j *Journal) eraseUpTo(ctx context.Context, erased uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	consumer, err := j.js.Consumer(ctx, bus.StreamIntents, bus.DurableEvaluator)
	if err != nil {
		return 0, j.complaint(err)
	}
	floor := consumer.CachedInfo().AckFloor.Stream
	if floor <= erased {
		return erased, nil
	}
	upTo := fmt.Appendf(nil, `{"seq":%d}`, floor+1)
	reply, err := j.nc.RequestWithContext(ctx, bus.PurgeSubject(bus.StreamIntents), upTo)
	if err != nil {
		return 0, j.complaint(err)
	}
	var answer struct{ Success bool }
	if err := json.Unmarshal(reply.Data, &answer); err != nil || !answer.Success {
		return 0, fmt.Errorf("journal: intents up to %d are not erased: %s", floor, reply.Data)
	}
	return floor, nil
}
