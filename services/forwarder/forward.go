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
	errGone = errors.New("it wants no more (410 Gone)")
	errLost = errors.New("the connection was closed")
)

// later is an attempt that is made again, not before some time.
type later struct {
	wait time.Duration
	err  error
}

func (l *later) Error() string { return l.err.Error() }

// message is an event as it is sent.
type message struct {
	sequence        uint64
	id, typ, tenant string
	time            time.Time
	row             []byte
}

// sink is where a target's events go.
type sink interface {
	deliver(ctx context.Context, m message) error
	// settled is the last message that counts as received; waits: a delivery alone says nothing of it.
	settled(delivered uint64) (last uint64, waits bool)
	// lost tells that something that was delivered may not have arrived: it is delivered again from the cursor.
	lost() error
	close()
}

// Forwarder sends to all targets.
type Forwarder struct {
	Config Config
	Source bookmark.Source
	Now    func() time.Time
	Log    *zap.Logger
}

// Run forwards until ctx ends, or every target has said that it wants no more.
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
	// delivered is the last event that was sent or passed over.
	delivered uint64
	failures  int
}

// run follows the stream from the cursor on, and begins again there after whatever fails.
func (t *target) run(ctx context.Context) error {
	defer t.sink.close()
	t.log.Info("forwarding", zap.Uint64("after", t.mark.Sequence))
	for {
		err := t.follow(ctx)
		if ctx.Err() != nil {
			return t.keep()
		}
		if errors.Is(err, errGone) {
			t.log.Error("ALARM: the target wants no more events; nothing is forwarded to it", zap.Uint64("after", t.delivered))
			return errors.Join(fmt.Errorf("%s: %w", t.Name, errGone), t.keep())
		}
		if kept := t.keep(); kept != nil {
			return kept
		}
		wait := t.wait(err)
		t.log.Warn("not delivered; tried again", zap.Uint64("after", t.mark.Sequence), zap.Duration("in", wait),
			zap.Int("failures", t.failures), zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// follow forwards what comes until something fails. In between it looks whether what was sent has arrived.
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

// wait doubles with each failure, with some chance in it, and is as long as the target asks for.
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

// keep moves the cursor to what was delivered.
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
