package journal

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"go.uber.org/zap"
)

// job describes how to process the messages of a durable consumer.
type job struct {
	stream, durable string
	concurrency     int
	// line returns a key; messages with the same key are handled one after the other.
	line   func(jetstream.Msg, *jetstream.MsgMetadata) string
	handle func(context.Context, jetstream.Msg, *jetstream.MsgMetadata) error
}

const (
	// pullWork is how many messages one pull requests.
	pullWork = 256

	firstRetry = 250 * time.Millisecond
	lastRetry  = time.Minute
	// consumerPatience is how long a follower waits for its consumer: a cluster needs time to start, and a service may
	// start before the provisioner.
	consumerPatience = time.Minute
)

// worker runs a job. Each line with messages has one goroutine; at most concurrency of them handle a message at a time,
// the others wait for a slot.
type worker struct {
	job
	log   *zap.Logger
	ctx   context.Context
	stop  context.CancelCauseFunc
	slots chan struct{}
	lines sync.WaitGroup

	mu      sync.Mutex
	waiting map[string][]*delivery // by line; present while its goroutine lives
	inHand  map[*delivery]struct{}
}

type delivery struct {
	jetstream.Msg
	meta *jetstream.MsgMetadata
}

func (j *Journal) work(ctx context.Context, job job) error {
	consumer, err := j.consumer(ctx, job)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return consumerError(job.stream, job.durable, err)
	}
	job.concurrency = max(1, job.concurrency)
	w := &worker{
		job: job, log: j.log.With(zap.String("consumer", job.durable)), slots: make(chan struct{}, job.concurrency),
		waiting: map[string][]*delivery{}, inHand: map[*delivery]struct{}{},
	}
	w.ctx, w.stop = context.WithCancelCause(ctx)
	defer w.stop(nil)

	consuming, err := consumer.Consume(w.accept,
		jetstream.PullMaxMessages(pullWork),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { w.trouble(err) }))
	if err != nil {
		return consumerError(job.stream, job.durable, err)
	}
	w.lines.Go(func() { w.watch(consumer, j.timeout) })
	w.keepAlive(consumer.CachedInfo().Config.AckWait / 3)
	// Messages fetched but not yet handled are returned at once, for another replica or the next start.
	consuming.Drain()
	<-consuming.Closed()
	w.lines.Wait()
	if cause := context.Cause(w.ctx); cause != nil && ctx.Err() == nil {
		return cause
	}
	return nil
}

// consumer looks up the durable consumer, with retries. A missing permission fails at once.
func (j *Journal) consumer(ctx context.Context, job job) (jetstream.Consumer, error) {
	return patiently(ctx, consumerPatience, func() (jetstream.Consumer, error) {
		asking, cancel := context.WithTimeout(ctx, j.timeout)
		defer cancel()
		consumer, err := j.js.Consumer(asking, job.stream, job.durable)
		return consumer, j.complaint(err)
	})
}

// watchInterval is how often a follower checks that its consumer's configuration has not changed.
const watchInterval = 10 * time.Second

// watch stops the job if its consumer was changed. Failing to query the consumer is no reason to stop: no messages
// arrive then either, and the connection reports the problem.
func (w *worker) watch(consumer jetstream.Consumer, timeout time.Duration) {
	for {
		if err := bus.CheckConsumer(w.stream, consumer.CachedInfo().Config); err != nil {
			w.log.Error("ALARM: the consumer was changed", zap.Error(err))
			w.stop(consumerError(w.stream, w.durable, err))
			return
		}
		if sleep(w.ctx, watchInterval) != nil {
			return
		}
		asking, cancel := context.WithTimeout(w.ctx, timeout)
		_, err := consumer.Info(asking)
		cancel()
		if err != nil && w.ctx.Err() == nil {
			w.log.Warn("the consumer could not be checked", zap.Error(err))
		}
	}
}

// accept queues a message in its line at once: keepAlive does not cover messages left in the client's buffer, so they
// would be redelivered. The consumer's MaxAckPending bounds the queues.
func (w *worker) accept(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		w.stop(consumerError(w.stream, w.durable, err))
		return
	}
	line := w.line(m, meta)
	d := &delivery{m, meta}
	w.mu.Lock()
	w.inHand[d] = struct{}{}
	_, running := w.waiting[line]
	w.waiting[line] = append(w.waiting[line], d)
	w.mu.Unlock()
	if running {
		return
	}
	w.lines.Go(func() {
		w.slots <- struct{}{}
		defer func() { <-w.slots }()
		for d := w.next(line); d != nil; d = w.next(line) {
			w.workOff(d)
		}
	})
}

// next removes and returns the first message of a line; nil if the line is empty, which ends it.
func (w *worker) next(line string) *delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.waiting[line]
	if len(queue) == 0 {
		delete(w.waiting, line)
		return nil
	}
	w.waiting[line] = queue[1:]
	return queue[0]
}

// workOff handles a message until that succeeds, and sends the acknowledgement. While it waits to retry, its line waits
// too, but its slot is free for others.
func (w *worker) workOff(d *delivery) {
	answer := w.settle(d)
	for ; answer == nil; answer = w.settle(d) {
		<-w.slots
		_ = sleep(w.ctx, retryDelay(d.meta.NumDelivered)) // settle checks whether ctx ended
		w.slots <- struct{}{}
		d.meta.NumDelivered++
	}
	w.mu.Lock()
	delete(w.inHand, d)
	w.mu.Unlock()
	// If the acknowledgement is lost, the message is redelivered.
	if err := answer(); err != nil {
		w.log.Warn("acknowledgement not sent", zap.Uint64("sequence", d.meta.Sequence.Stream), zap.Error(err))
	}
}

// settle handles a message once and returns the acknowledgement to send; nil if it must be retried.
func (w *worker) settle(d *delivery) (answer func() error) {
	if w.ctx.Err() != nil {
		return d.Nak
	}
	err := w.handle(w.ctx, d.Msg, d.meta)
	var gone *terminated
	switch {
	case err == nil:
		return d.Ack
	case errors.As(err, &gone):
		return func() error { return d.TermWithReason(gone.reason) }
	case fatal(err):
		w.stop(err)
		return d.Nak
	case w.ctx.Err() != nil:
		return d.Nak
	}
	w.log.Warn("handler failed", zap.String("subject", d.Subject()), zap.Uint64("sequence", d.meta.Sequence.Stream),
		zap.Uint64("delivery", d.meta.NumDelivered), zap.Duration("again_in", retryDelay(d.meta.NumDelivered)),
		zap.Error(err))
	return nil
}

// retryDelay doubles with each delivery, from a quarter of a second to a minute.
func retryDelay(deliveries uint64) time.Duration {
	return min(lastRetry, firstRetry<<min(deliveries-1, 16))
}

// keepAlive extends the acknowledgement deadline of the messages in hand until the worker stops.
func (w *worker) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	old := map[*delivery]struct{}{}
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		now := maps.Clone(w.inHand)
		w.mu.Unlock()
		for d := range now {
			if _, slow := old[d]; slow {
				_ = d.InProgress()
			}
		}
		old = now
	}
}

func (w *worker) trouble(err error) {
	switch {
	case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConnectionClosed),
		errors.Is(err, jetstream.ErrConsumerNotFound):
		w.stop(consumerError(w.stream, w.durable, err))
	default:
		w.log.Warn("consumer error", zap.Error(err))
	}
}
