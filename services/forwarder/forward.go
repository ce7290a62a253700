package forwarder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
	"go.uber.org/zap"
)

const (
	firstWait   = 250 * time.Millisecond
	longestWait = 2 * time.Minute
	keptEvery   = time.Second
)

var (
	errGone = errors.New("the target accepts no more events (410 Gone)")
	errLost = errors.New("the connection was closed")
)

// later is a delivery error after which the target asks not to be retried before wait has passed.
type later struct {
	wait time.Duration
	err  error
}

func (l *later) Error() string { return l.err.Error() }

// message is an event as it is sent to a target.
type message struct {
	sequence        uint64
	id, typ, tenant string
	time            time.Time
	row             []byte
}

// sink delivers events to one target.
type sink interface {
	deliver(ctx context.Context, m message) error
	// settled returns the last message that counts as received; waits is false for sinks where a successful delivery
	// is itself the confirmation.
	settled(delivered uint64) (last uint64, waits bool)
	// lost returns an error if delivered messages may not have arrived; delivery then restarts from the cursor.
	lost() error
	close()
}

// Forwarder sends events to all targets.
type Forwarder struct {
	Config Config
	Source bookmark.Source
	Now    func() time.Time
	Log    *zap.Logger
}

// Run forwards events until ctx ends or every target has answered 410 Gone.
func (f *Forwarder) Run(ctx context.Context) error {
	if err := os.MkdirAll(f.Config.Cursors, 0o700); err != nil {
		return err
	}
	targets := make([]*target, len(f.Config.Targets))
	for i, c := range f.Config.Targets {
		t := &target{Target: c, source: f.Source, now: f.Now, file: filepath.Join(f.Config.Cursors, c.Name+".json"),
			log: f.Log.With(zap.String("target", c.Name))}
		var err error
		if c.Webhook.URL != "" {
			t.sink, err = newWebhook(c.Webhook, c.format.MediaType, f.Now)
		} else {
			t.sink, err = newSyslog(c.Syslog, f.Now)
		}
		if err == nil {
			t.mark, _, err = bookmark.Read(t.file)
		}
		if err == nil {
			err = t.mark.Check(ctx, f.Source, t.file)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		t.delivered = t.mark.Sequence
		targets[i] = t
	}
	ended := make([]error, len(targets))
	var running sync.WaitGroup
	for i, t := range targets {
		running.Go(func() { ended[i] = t.run(ctx) })
	}
	running.Wait()
	return errors.Join(ended...)
}

type target struct {
	Target
	sink   sink
	source bookmark.Source
	now    func() time.Time
	log    *zap.Logger

	mu   sync.Mutex
	file string
	mark bookmark.Mark
	kept time.Time
	// delivered is the sequence of the last event that was sent or skipped.
	delivered uint64
	failures  int
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
			t.log.Error("ALARM: the target answered 410 Gone; forwarding to it has stopped",
				zap.Uint64("after", t.delivered))
			return errors.Join(fmt.Errorf("%s: %w", t.Name, errGone), t.keep())
		}
		if kept := t.keep(); kept != nil {
			return kept
		}
		wait := t.wait(err)
		t.log.Warn("delivery failed; retrying", zap.Uint64("after", t.mark.Sequence), zap.Duration("in", wait),
			zap.Int("failures", t.failures), zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// follow forwards events until something fails, and checks periodically that what was sent has arrived.
func (t *target) follow(ctx context.Context) error {
	from := t.mark.Sequence + 1
	ctx, stop := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer stop(nil)
	looking.Go(func() {
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
	err := t.source.Replay(ctx, journal.Replay{From: from, Tenant: t.Tenant, Kind: t.Kind, Follow: true},
		func(e journal.Entry) error {
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.forward(ctx, e)
		})
	return errors.Join(err, context.Cause(ctx))
}

func (t *target) look() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.sink.lost(); err != nil {
		return err
	}
	return t.keep()
}

// wait returns the delay before the next attempt: exponential backoff with jitter, and at least what the target asked
// for.
func (t *target) wait(err error) time.Duration {
	t.failures++
	wait := min(longestWait, firstWait<<min(t.failures-1, 12))
	wait += rand.N(wait/4 + 1) // #nosec G404 -- jitter
	var asked *later
	if errors.As(err, &asked) {
		wait = max(wait, asked.wait)
	}
	return wait
}

func (t *target) forward(ctx context.Context, e journal.Entry) error {
	row, err := t.format.Row(export.Entry(e.Seq, e.Event))
	if err != nil {
		return err
	}
	m := message{e.Seq, e.Event.GetId(), aggregate.TypeOf(e.Event), e.Event.GetTenant(), e.Event.GetTime().AsTime(), row}
	if err := t.sink.deliver(ctx, m); err != nil {
		return fmt.Errorf("event %d: %w", e.Seq, err)
	}
	t.delivered, t.failures = e.Seq, 0
	if e.Pending > 0 && t.now().Sub(t.kept) < keptEvery {
		return nil
	}
	return t.keep()
}

// keep advances the cursor to the last event that counts as received.
func (t *target) keep() error {
	t.kept = t.now()
	last, waits := t.sink.settled(t.delivered)
	if !waits {
		last = t.delivered
	}
	if last <= t.mark.Sequence {
		return nil
	}
	t.mark.Sequence = last
	return bookmark.Keep(t.file, t.mark)
}
