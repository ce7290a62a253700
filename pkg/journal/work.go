package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
)

// job describes how to process the messages of a durable consumer.
type job struct {
	stream, durable string
	concurrency     int
	// lane returns for whom a message is handled. Lanes share the concurrency fairly (package fair).
	lane func(*delivery) string
	// line returns a key; messages with the same key are handled one after the other.
	line   func(*delivery) string
	handle func(context.Context, *delivery) error
}

const (
	// pullWork is how many messages one pull requests.
	pullWork = 256
	// pullExpiry is how long a pull waits. The server of another account's consumer cannot see that nobody listens any
	// more: in a cluster, a pull that a killed process left behind takes messages until it ends, and they are redelivered
	// after bus.AckWait. A process that stops waits for the end of its last one.
	pullExpiry = 500 * time.Millisecond
	// maxHeld is how many bytes of messages a worker holds that wait. It reads the others again when their turn comes.
	maxHeld = 16 << 20
	// keptAlive is how many messages are kept alive at the pace of bus.AckWait. If more wait, they are given longer, so
	// that it costs no more; it is then also longer until they are redelivered after their worker was killed.
	keptAlive = 2000

	// shares is into how many parts the concurrency is divided while several lanes have messages.
	shares = 32

	firstRetry = 250 * time.Millisecond
	lastRetry  = time.Minute
	// consumerPatience is how long a follower waits for its consumer: a cluster needs time to start, and a service may
	// start before the provisioner.
	consumerPatience = time.Minute
)

// The acknowledgements of JetStream.
const (
	answerAck        = "+ACK"
	answerNak        = "-NAK"
	answerTerm       = "+TERM "
	answerInProgress = "+WPI"
)

// worker runs a job. A line with messages waits for a slot without a goroutine, and has it for one message.
type worker struct {
	job
	log   *zap.Logger
	ctx   context.Context
	stop  context.CancelCauseFunc
	slots *fair.Slots
	// send publishes an acknowledgement.
	send func(reply string, data []byte) error
	// read reads a message again that is not held.
	read    func(context.Context, *delivery) ([]byte, error)
	ackWait time.Duration
	// open counts what has to end before the worker does: the lines with messages.
	open sync.WaitGroup

	mu     sync.Mutex
	lines  map[string]*line // those with messages
	inHand map[*delivery]struct{}
	held   int // bytes
	// failed are the lines whose first message is to be tried again, with what calls that off, and hurries counts the
	// calls of hurry.
	failed  map[*line]func() bool
	hurries int
	// unhandled are given back once the last pull has ended.
	unhandled []*delivery
	// info is what the consumer said of itself when it was last looked at.
	info *jetstream.ConsumerInfo
}

// line holds messages with one key; the first is handled or waits for it.
type line struct {
	key, lane string
	queue     []*delivery
}

// delivery is a message of a durable consumer.
type delivery struct {
	subject, reply string
	meta           *jetstream.MsgMetadata
	data           []byte
	// left means that data was left on the bus, to be read again.
	left bool
	// until is when the server would redeliver it.
	until time.Time
	// wanted ends when the handler that holds it wants it again; nil if it is not held.
	wanted context.Context
}

func (d *delivery) sequence() uint64 { return d.meta.Sequence.Stream }

func (j *Journal) work(ctx context.Context, job job) error {
	consumer, err := j.consumer(ctx, job)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return consumerError(job.stream, job.durable, err)
	}
	w := newWorker(ctx, job, consumer.CachedInfo().Config.AckWait)
	defer w.stop(nil)
	w.log, w.send, w.read = j.log.With(zap.String("consumer", job.durable)), j.nc.Publish, j.readAgain(job.stream)
	defer j.hurried(w)()
	// Whatever waits to be tried again is given back.
	defer context.AfterFunc(w.ctx, w.hurry)()

	w.open.Go(func() { w.watch(consumer, j.timeout) })
	pulling := make(chan struct{})
	go func() {
		defer close(pulling)
		w.pull(consumer, j.timeout)
	}()
	w.keepAlive()
	// Messages fetched but not yet handled are returned, for another replica or the next start. Given back before the last
	// pull has ended, one could be sent here again.
	<-pulling
	w.open.Wait()
	for _, d := range w.unhandled {
		_ = w.send(d.reply, []byte(answerNak)) // if it is lost, the message is redelivered later
	}
	if cause := context.Cause(w.ctx); cause != nil && ctx.Err() == nil {
		return cause
	}
	return nil
}

func newWorker(ctx context.Context, job job, ackWait time.Duration) *worker {
	w := &worker{
		job: job, log: zap.NewNop(), slots: fair.New(job.concurrency, 0).Sharing(job.concurrency / shares), ackWait: ackWait,
		lines: map[string]*line{}, inHand: map[*delivery]struct{}{}, failed: map[*line]func() bool{},
	}
	w.ctx, w.stop = context.WithCancelCause(ctx)
	return w
}

// pull asks for messages until ctx ends.
func (w *worker) pull(consumer jetstream.Consumer, timeout time.Duration) {
	for w.ctx.Err() == nil {
		var empty *delivery
		batch, err := consumer.Fetch(pullWork, jetstream.FetchMaxWait(pullExpiry))
		if err == nil {
			for m := range batch.Messages() {
				if d := w.accept(m); d != nil && isEmpty(m.Data(), m.Headers()) {
					empty = d
					break
				}
			}
			err = batch.Error()
		}
		if empty != nil {
			err = w.recover(consumer, timeout, empty)
		}
		if err != nil && !errors.Is(err, nats.ErrTimeout) && w.ctx.Err() == nil {
			w.trouble(err)
			_ = sleep(w.ctx, firstRetry)
		}
	}
}

// recover asks for what the server sent after an empty message: such a message ends an answer to another account, and
// the rest of it is lost. It waits until that answer has ended, and gives back what was delivered since and is not in
// hand. Of what another replica has, some may come twice.
func (w *worker) recover(consumer jetstream.Consumer, timeout time.Duration, empty *delivery) error {
	if err := sleep(w.ctx, pullExpiry); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(w.ctx, timeout)
	defer cancel()
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	here := make(map[uint64]bool, len(w.inHand))
	for d := range w.inHand {
		here[d.sequence()] = true
	}
	w.mu.Unlock()
	last := min(info.Delivered.Stream, empty.sequence()+bus.MaxAckPending)
	for seq := empty.sequence() + 1; seq <= last; seq++ {
		if here[seq] {
			continue
		}
		// The server ignores it unless the message is pending.
		reply := bus.AckSubject(w.stream, w.durable, seq, info.Delivered.Consumer)
		if err := w.send(reply, []byte(answerNak)); err != nil {
			return err
		}
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

// readAgain returns a function that reads a message of a stream from its leader.
func (j *Journal) readAgain(stream string) func(context.Context, *delivery) ([]byte, error) {
	return func(ctx context.Context, d *delivery) ([]byte, error) {
		m, err := j.stored(ctx, stream, wanted{Seq: d.sequence()})
		switch {
		case err != nil:
			return nil, err
		case m.Seq == 0 && stream == bus.StreamIntents:
			return nil, &terminated{"it was processed and erased"}
		case m.Seq == 0:
			return nil, refusal.Unavailable("", "I11", "message %d of %s cannot be read", d.sequence(), stream)
		}
		return m.Data, nil
	}
}

// WatchInterval is how often a follower checks that its consumer's configuration has not changed.
const WatchInterval = 10 * time.Second

// watch stops the job if its consumer was changed. Failing to query the consumer is no reason to stop: no messages
// arrive then either, and the connection reports the problem.
func (w *worker) watch(consumer jetstream.Consumer, timeout time.Duration) {
	for {
		info := consumer.CachedInfo()
		w.mu.Lock()
		w.info = info
		w.mu.Unlock()
		if err := bus.CheckConsumer(w.stream, info.Config); err != nil {
			w.log.Error("ALARM: the consumer was changed", zap.Error(err))
			w.stop(consumerError(w.stream, w.durable, err))
			return
		}
		if sleep(w.ctx, WatchInterval) != nil {
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
// would be redelivered. The consumer's MaxAckPending bounds the number of messages in hand, and maxHeld their bytes.
func (w *worker) accept(m jetstream.Msg) *delivery {
	meta, err := m.Metadata()
	if err != nil {
		w.stop(consumerError(w.stream, w.durable, err))
		return nil
	}
	d := &delivery{subject: m.Subject(), reply: m.Reply(), meta: meta, data: m.Data()}
	w.queue(d)
	return d
}

func (w *worker) queue(d *delivery) {
	key, lane := w.line(d), w.lane(d)
	d.until = time.Now().Add(w.ackWait)
	w.mu.Lock()
	if size := len(d.data); w.held+size > maxHeld {
		d.data, d.left = nil, true
	} else {
		w.held += size
	}
	w.inHand[d] = struct{}{}
	l, waits := w.lines[key]
	if !waits {
		l = &line{key: key, lane: lane}
		w.lines[key] = l
		w.open.Add(1)
	}
	l.queue = append(l.queue, d)
	w.mu.Unlock()
	if !waits {
		w.ask(l)
	}
}

// ask has the line's first message handled when there is a slot.
func (w *worker) ask(l *line) {
	w.slots.Call(l.lane, func(bool) { go w.turn(l) })
}

// turn handles the first message of a line, in a slot. If that is to be tried again, the line waits, but the slot is
// free for others.
func (w *worker) turn(l *line) {
	w.mu.Lock()
	d, hurries := l.queue[0], w.hurries
	w.mu.Unlock()
	answer := w.settle(d)
	w.slots.Done(l.lane)
	if answer == nil {
		w.later(l, d, hurries)
		return
	}
	w.mu.Lock()
	delete(w.inHand, d)
	if !d.left {
		w.held -= len(d.data)
	}
	l.queue[0] = nil
	l.queue = l.queue[1:]
	more := len(l.queue) > 0
	if !more {
		delete(w.lines, l.key)
	}
	w.mu.Unlock()
	// If the acknowledgement is lost, the message is redelivered.
	if err := answer(); err != nil {
		w.log.Warn("acknowledgement not sent", zap.Uint64("sequence", d.sequence()), zap.Error(err))
	}
	if more {
		w.ask(l)
	} else {
		w.open.Done()
	}
}

// later tries a line's first message again after a while or, if it is held, when it is wanted; but at once if somebody
// has hurried since it was tried.
func (w *worker) later(l *line, d *delivery, hurries int) {
	again := func() { w.retry(l) }
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hurries != hurries:
		w.failed[l] = time.AfterFunc(0, again).Stop
	case d.wanted != nil:
		w.failed[l] = context.AfterFunc(d.wanted, again)
	default:
		w.failed[l] = time.AfterFunc(retryDelay(d.meta.NumDelivered), again).Stop
	}
	if d.wanted == nil {
		d.meta.NumDelivered++
	}
}

func (w *worker) retry(l *line) {
	w.mu.Lock()
	callOff, waits := w.failed[l]
	delete(w.failed, l)
	w.mu.Unlock()
	if waits {
		callOff()
		w.ask(l)
	}
}

// hurry tries again at once whatever has failed.
func (w *worker) hurry() {
	w.mu.Lock()
	w.hurries++
	waiting := slices.Collect(maps.Keys(w.failed))
	w.mu.Unlock()
	for _, l := range waiting {
		w.retry(l)
	}
}

// Retry makes followers try again at once whatever has failed, instead of at the end of its delay. Call it when what
// made handlers fail is over.
func (j *Journal) Retry() {
	j.followers.Range(func(w, _ any) bool {
		if w, is := w.(*worker); is {
			w.hurry()
		}
		return true
	})
}

// hurried has Retry reach a worker, until the returned function is called.
func (j *Journal) hurried(w *worker) (end func()) {
	j.followers.Store(w, nil)
	return func() { j.followers.Delete(w) }
}

// settle handles a message once and returns the acknowledgement to send; nil if it must be retried.
func (w *worker) settle(d *delivery) (answer func() error) {
	if w.ctx.Err() != nil {
		return func() error { return w.giveBack(d) }
	}
	err := w.try(d)
	var gone *terminated
	var held *HeldError
	d.wanted = nil
	switch {
	case err == nil:
		return func() error { return w.send(d.reply, []byte(answerAck)) }
	case errors.As(err, &gone):
		return func() error { return w.send(d.reply, []byte(answerTerm+gone.reason)) }
	case fatal(err):
		w.stop(err)
		return func() error { return w.giveBack(d) }
	case w.ctx.Err() != nil:
		return func() error { return w.giveBack(d) }
	case errors.As(err, &held):
		d.wanted = held.Until
		return nil
	}
	about, stored := bus.Under(d.subject)
	if !stored {
		about, _ = bus.ParseDueSubject(d.subject)
	}
	w.log.Warn("handler failed", observe.About(about, zap.String("subject", d.subject),
		zap.Uint64("sequence", d.sequence()), zap.Uint64("delivery", d.meta.NumDelivered),
		zap.Duration("again_in", retryDelay(d.meta.NumDelivered)), zap.Error(err))...)
	return nil
}

// try passes a message to the handler, whole.
func (w *worker) try(d *delivery) error {
	whole := &delivery{subject: d.subject, reply: d.reply, meta: d.meta, data: d.data}
	if d.left {
		var err error
		if whole.data, err = w.read(w.ctx, d); err != nil {
			return err
		}
	}
	return w.handle(w.ctx, whole)
}

func (w *worker) giveBack(d *delivery) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unhandled = append(w.unhandled, d)
	return nil
}

// retryDelay doubles with each delivery, from a quarter of a second to a minute.
func retryDelay(deliveries uint64) time.Duration {
	return min(lastRetry, firstRetry<<min(deliveries-1, 16))
}

// keepAlive extends the acknowledgement deadline of the messages in hand until the worker stops.
func (w *worker) keepAlive() {
	tick := time.NewTicker(w.ackWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case now := <-tick.C:
			w.extend(now)
		}
	}
}

// extend gives the messages in hand more time that have used up a third of it.
func (w *worker) extend(now time.Time) {
	w.mu.Lock()
	inHand := slices.Collect(maps.Keys(w.inHand))
	w.mu.Unlock()
	rest, answer := w.ackWait, []byte(answerInProgress)
	if n := len(inHand); n > keptAlive {
		rest = w.ackWait * time.Duration(n) / keptAlive
		// Until then the server does not redeliver it; an acknowledgement counts as ever.
		answer = fmt.Appendf(nil, `%s {"delay":%d}`, answerNak, rest)
	}
	for _, d := range inHand {
		if d.until.Sub(now) <= rest*2/3 {
			_ = w.send(d.reply, answer)
			d.until = now.Add(rest)
		}
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
