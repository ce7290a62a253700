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

// job is work that a durable consumer hands out.
type job struct {
	stream, durable string
	concurrency     int
	// line names what must be handled one after the other.
	line   func(jetstream.Msg, *jetstream.MsgMetadata) string
	handle func(context.Context, jetstream.Msg, *jetstream.MsgMetadata) error
}

const (
	// pullWork is how many messages are asked for at once.
	pullWork = 256

	firstRetry = 250 * time.Millisecond
	lastRetry  = time.Minute
	// consumerPatience is how long a follower waits for its consumer: a cluster that starts is not ready at once, and a
	// service may start before the provisioner.
	consumerPatience = time.Minute
)

// worker does a job. Each line of messages that has any is worked off by one goroutine; at most concurrency of them
// handle something, the others wait for a slot.
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
	// What was fetched and not begun goes back at once, for another copy or the next start.
	consuming.Drain()
	<-consuming.Closed()
	w.lines.Wait()
	if cause := context.Cause(w.ctx); cause != nil && ctx.Err() == nil {
		return cause
	}
	return nil
}

// consumer finds the durable consumer, patiently. A right that is missing is noticed at once.
func (j *Journal) consumer(ctx context.Context, job job) (jetstream.Consumer, error) {
	return patiently(ctx, consumerPatience, func() (jetstream.Consumer, error) {
		asking, cancel := context.WithTimeout(ctx, j.timeout)
		defer cancel()
		consumer, err := j.js.Consumer(asking, job.stream, job.durable)
		return consumer, j.complaint(err)
	})
}

// watchInterval is how often a follower looks whether its consumer still is what it was made to be.
const watchInterval = 10 * time.Second

// watch stops the job when its consumer was changed. That it cannot be asked is no reason to stop: then nothing comes
// either, and the connection says so.
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
			w.log.Warn("the consumer could not be looked at", zap.Error(err))
		}
	}
}

// accept puts a message in its line, at once: what waited in the client's buffer would not be kept alive, and come
// twice. The consumer's MaxAckPending bounds how much there can be.
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

// next takes the first of a line; nil ends the line.
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

// workOff handles a message until that succeeds, and tells the server what came of it. While it waits for another try,
// its line waits with it, and others use the slot.
func (w *worker) workOff(d *delivery) {
	answer := w.settle(d)
	for ; answer == nil; answer = w.settle(d) {
		<-w.slots
		_ = sleep(w.ctx, retryDelay(d.meta.NumDelivered)) // the end is seen by settle
		w.slots <- struct{}{}
		d.meta.NumDelivered++
	}
	w.mu.Lock()
	delete(w.inHand, d)
	w.mu.Unlock()
	// An answer that gets lost means that the message comes again.
	if err := answer(); err != nil {
		w.log.Warn("acknowledgement not sent", zap.Uint64("sequence", d.meta.Sequence.Stream), zap.Error(err))
	}
}

// settle handles a message once and returns what to tell the server; nil if it must be handled again.
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

// keepAlive tells the server, until the end, that what is in hand is being worked on.
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
		w.log.Warn("consumer", zap.Error(err))
	}
}
