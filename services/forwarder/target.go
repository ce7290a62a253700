package forwarder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
	"go.uber.org/zap"
)

// batch are events of one delivery.
type batch struct {
	messages []message
	bytes    int
	// last is the sequence of the last event that the delivery settles: the batch's own or one that was passed over.
	last uint64
	done bool
}

type target struct {
	Target
	sink    sink
	stream  stream
	now     func() time.Time
	log     *zap.Logger
	metrics *metrics
	file    string
	// label is the target's in metrics: its name or, of a customer's webhook, that of them all.
	label string
	// patience is how long the target may take nothing before it gets no more; 0: for ever.
	patience time.Duration

	mu   sync.Mutex
	mark bookmark.Mark
	kept time.Time
	// delivered is the sequence up to which every event was delivered or passed over; flying are the deliveries after it,
	// in their order, and gathered what will be the next one.
	delivered uint64
	flying    []*batch
	gathered  *batch
	failures  int
	// since is when the first of the failures in a row was.
	since time.Time
	// failing is why the target gets nothing at the moment; nil if it does.
	failing error
	// busy are the aggregates in flight: of one aggregate no two deliveries are under way at a time. freed is signalled
	// when a delivery ends.
	busy  map[string]bool
	freed *sync.Cond
}

// run follows the stream from the cursor, and after any failure starts again from there.
func (t *target) run(ctx context.Context) error {
	defer t.sink.close()
	t.log.Info("forwarding", zap.Uint64("after", t.mark.Sequence))
	for {
		err := t.follow(ctx)
		if ctx.Err() != nil {
			return t.keep()
		}
		if errors.Is(err, errGone) {
			t.alarm("the target answered 410 Gone; forwarding to it has stopped", zap.Uint64("after", t.delivered))
			return errors.Join(fmt.Errorf("%s: %w", t.Name, errGone), t.keep())
		}
		// If the cursor cannot be written, because the disk is full, what was delivered since is delivered again.
		err = errors.Join(err, t.keep())
		wait := t.wait(err)
		if t.patience > 0 && t.now().Sub(t.since) >= t.patience {
			return errors.Join(fmt.Errorf("%s: %w", t.Name, errDead), err)
		}
		t.report(err, wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (t *target) report(err error, wait time.Duration) {
	fields := []zap.Field{zap.Uint64("after", t.mark.Sequence), zap.Duration("in", wait),
		zap.Int("failures", t.failures), zap.Error(err)}
	if r := new(refused); errors.As(err, &r) {
		t.alarm("the target refuses what it is sent; nothing more reaches it until it takes this", fields...)
		return
	}
	t.log.Warn("delivery failed; retrying", fields...)
}

// alarm logs what somebody has to see to. A customer's own webhook is the customer's to see to, and must not be able to
// call anybody else.
func (t *target) alarm(what string, fields ...zap.Field) {
	if t.label == customers {
		t.log.Warn(what, fields...)
		return
	}
	t.log.Error("ALARM: "+what, fields...)
}

// follow forwards events until something fails, and checks periodically that what was sent has arrived.
func (t *target) follow(ctx context.Context) error {
	t.mu.Lock()
	mark := t.mark
	t.mu.Unlock()
	if err := t.stream.resume(ctx, &mark); err != nil {
		return err
	}
	t.mu.Lock()
	t.mark = mark
	t.delivered, t.flying, t.gathered, t.busy = t.mark.Sequence, nil, new(batch), map[string]bool{}
	from := t.mark.Sequence + 1
	t.mu.Unlock()
	ctx, stop := context.WithCancelCause(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.freed.Broadcast()
	})()
	working.Go(func() {
		tick := time.NewTicker(keptEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := t.look(); err != nil {
					stop(err)
				}
			}
		}
	})
	err := t.stream.follow(ctx, from, func(sequence, pending uint64, m *message) error {
		t.gather(sequence, m)
		if t.full() || pending == 0 {
			return t.send(ctx, &working, stop)
		}
		return nil
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (t *target) look() error {
	if err := t.sink.lost(); err != nil {
		return err
	}
	return t.keep()
}

// wait returns the delay before the next attempt: exponential backoff with jitter, and at least what the target asked
// for.
func (t *target) wait(err error) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failures == 0 {
		t.since = t.now()
	}
	t.failing = err
	t.failures++
	t.metrics.failed(t.label)
	wait := min(longestWait, firstWait<<min(t.failures-1, 12))
	wait += rand.N(wait/4 + 1) // #nosec G404 -- jitter
	var asked *later
	if errors.As(err, &asked) {
		wait = max(wait, asked.wait)
	}
	return wait
}

// gather adds a message to the next delivery, or passes a sequence over of which the target wants none.
func (t *target) gather(sequence uint64, m *message) {
	if m == nil {
		t.pass(sequence)
		return
	}
	t.gathered.messages = append(t.gathered.messages, *m)
	t.gathered.bytes += len(m.row)
	t.gathered.last = sequence
}

// pass settles an event that is not sent together with the one before it.
func (t *target) pass(sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.gathered.messages) > 0:
		t.gathered.last = sequence
	case len(t.flying) > 0:
		t.flying[len(t.flying)-1].last = sequence
	default:
		t.delivered = sequence
	}
}

func (t *target) full() bool {
	return len(t.gathered.messages) >= max(1, t.Webhook.Batch.Events) || t.gathered.bytes >= t.Webhook.Batch.bytes()
}

// send begins the delivery of what was gathered, as soon as there is room for it and none of its aggregates is in
// flight.
func (t *target) send(ctx context.Context, working *sync.WaitGroup, stop context.CancelCauseFunc) error {
	b := t.gathered
	if len(b.messages) == 0 {
		return nil
	}
	t.gathered = new(batch)
	t.mu.Lock()
	defer t.mu.Unlock()
	for ctx.Err() == nil && (t.underway() >= max(1, t.Webhook.InFlight) || t.overlaps(b)) {
		t.freed.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, m := range b.messages {
		t.busy[m.about] = true
	}
	t.flying = append(t.flying, b)
	working.Go(func() {
		err := t.deliver(ctx, b.messages)
		if err != nil {
			stop(fmt.Errorf("event %d: %w", b.messages[0].sequence, err))
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.landed(b, err)
	})
	return nil
}

func (t *target) underway() (n int) {
	for _, b := range t.flying {
		if !b.done {
			n++
		}
	}
	return n
}

func (t *target) overlaps(b *batch) bool {
	return slices.ContainsFunc(b.messages, func(m message) bool { return t.busy[m.about] })
}

// landed records the end of a delivery. The position moves only over deliveries that have all arrived.
func (t *target) landed(b *batch, err error) {
	for _, m := range b.messages {
		delete(t.busy, m.about)
	}
	defer t.freed.Broadcast()
	if err != nil {
		return
	}
	b.done = true
	t.metrics.delivered(t.label, len(b.messages))
	for len(t.flying) > 0 && t.flying[0].done {
		t.delivered = t.flying[0].last
		t.flying = t.flying[1:]
		t.failures, t.failing = 0, nil // not before: what is taken behind a refused event is no progress
	}
	if t.now().Sub(t.kept) >= keptEvery {
		if err := t.keepLocked(); err != nil {
			t.log.Error("the cursor cannot be written", zap.Error(err)) // the next look fails, too
		}
	}
}

// deliver sends events. What the target refuses for its size is sent in halves; what it refuses for what it is, is
// halved until only that is left, and then left out if the configuration says so.
func (t *target) deliver(ctx context.Context, messages []message) error {
	err := t.sink.deliver(ctx, messages)
	r := new(refused)
	if !errors.As(err, &r) {
		return err
	}
	t.metrics.refusedOne(t.label)
	if half := len(messages) / 2; half > 0 && (r.status == http.StatusRequestEntityTooLarge || t.skips()) {
		if err := t.deliver(ctx, messages[:half]); err != nil {
			return err
		}
		return t.deliver(ctx, messages[half:])
	}
	if len(messages) > 1 || !t.skips() {
		return err
	}
	m := messages[0]
	t.alarm("the target refused an event, and it is left out", observe.About(aggregate.Request(m.tenant, m.request),
		zap.Uint64("sequence", m.sequence), zap.String("id", m.id), zap.String("type", m.typ), zap.Error(err))...)
	t.metrics.skippedOne(t.label)
	return nil
}

func (t *target) skips() bool { return t.Refused == skip }

// keep advances the cursor to the last event that counts as received.
func (t *target) keep() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keepLocked()
}

func (t *target) keepLocked() error {
	t.kept = t.now()
	last, waits := t.sink.settled(t.delivered)
	if !waits {
		last = t.delivered
	}
	if last <= t.mark.Sequence {
		return nil
	}
	moved := t.mark
	moved.Sequence = last
	if err := bookmark.Keep(t.file, moved); err != nil {
		return err
	}
	t.mark = moved
	t.metrics.at(t.label, last)
	return nil
}

// healthy is nil unless deliveries to the target have failed several times in a row.
func (t *target) healthy() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failures < unhealthyAfter {
		return nil
	}
	return t.failing
}
