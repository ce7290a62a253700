package forwarder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

const (
	firstWait   = 250 * time.Millisecond
	longestWait = 2 * time.Minute
	// longestAsked is how long a target may ask not to be retried.
	longestAsked = time.Hour
	keptEvery    = time.Second
	// unhealthyAfter is after how many failures in a row a target counts as failing.
	unhealthyAfter = 5
)

var (
	errGone = errors.New("the target accepts no more events (410 Gone)")
	errDead = errors.New("the target has taken nothing for days")
	errLost = errors.New("the connection was closed")
)

// later is a delivery error after which the target asks not to be retried before wait has passed.
type later struct {
	wait time.Duration
	err  error
}

func (l *later) Error() string { return l.err.Error() }

// refused is a delivery error that lies in what was sent, so that repeating it does not help.
type refused struct {
	status int
	why    string
}

func (r *refused) Error() string { return r.why }

// message is an event as it is sent to a target.
type message struct {
	sequence                 uint64
	id, typ, tenant, request string
	about                    string // the aggregate
	time                     time.Time
	row                      []byte
}

// sink delivers events to one target. Its methods may be called concurrently.
type sink interface {
	deliver(ctx context.Context, messages []message) error
	// settled returns the last message that counts as received; waits is false for sinks where a successful delivery
	// is itself the confirmation.
	settled(delivered uint64) (last uint64, waits bool)
	// lost returns an error if delivered messages may not have arrived; delivery then restarts from the cursor.
	lost() error
	close()
}

// Forwarder sends events to all targets, and to customers' own webhooks.
type Forwarder struct {
	Config Config
	Source Source
	Now    func() time.Time
	Log    *zap.Logger
	// Metrics registers the forwarder's own; nil: none.
	Metrics prometheus.Registerer
	// Health is given the health check; nil: nobody.
	Health func(observe.Check)
}

// Source is *journal.Journal.
type Source interface {
	bookmark.Source
	Copies(ctx context.Context) (journal.Copies, error)
	ReplayAccess(ctx context.Context, from uint64, follow bool, handle func(journal.AccessEntry) error) error
	AccessStream(ctx context.Context) (created string, last uint64, err error)
}

// Run forwards events until ctx ends or, without customers' webhooks, every target has answered 410 Gone.
func (f *Forwarder) Run(ctx context.Context) error {
	if err := os.MkdirAll(f.Config.Cursors, 0o700); err != nil {
		return err
	}
	free, err := f.alone(ctx)
	if err != nil || free == nil {
		return err
	}
	defer free()
	counted, err := newMetrics(f.Metrics, f.Config.Targets)
	if err != nil {
		return err
	}
	var targets []*target
	var parts [][]*target // of one target each
	for _, c := range f.Config.Targets {
		first := len(targets)
		if c.events() {
			t, err := f.open(ctx, c, &events{source: f.Source, entries: bookmark.Entries{Source: f.Source}, target: c}, counted)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
			targets = append(targets, t)
		}
		if c.access() {
			// As a target of its own, with its own cursor: neither stream waits for the other.
			of := c
			of.Name, of.From = accessName(c.Name), 0
			t, err := f.open(ctx, of, &accesses{source: f.Source,
				entries: bookmark.Entries{Source: f.Source}, target: c}, counted)
			if err != nil {
				return fmt.Errorf("%s: %w", of.Name, err)
			}
			targets = append(targets, t)
		}
		parts = append(parts, targets[first:])
	}
	hooks, err := f.openHooks(counted)
	if err != nil {
		return err
	}
	if f.Health != nil {
		f.Health(func(context.Context) error { return errors.Join(healthy(targets), hooks.healthy()) })
	}
	ended := make([]error, len(targets))
	var running sync.WaitGroup
	if hooks != nil {
		running.Go(func() { hooks.run(ctx) })
	}
	n := 0
	for _, of := range parts {
		ctx, gone := context.WithCancel(ctx)
		defer gone()
		for _, t := range of {
			into := &ended[n]
			n++
			running.Go(func() {
				if *into = t.run(ctx); errors.Is(*into, errGone) {
					gone() // whatever it was sent
				}
			})
		}
	}
	running.Wait()
	return errors.Join(ended...)
}

func (f *Forwarder) open(ctx context.Context, c Target, from stream, counted *metrics) (*target, error) {
	t := &target{Target: c, stream: from, now: f.Now,
		file: filepath.Join(f.Config.Cursors, c.Name+".json"), log: f.Log.With(zap.String("target", c.Name)),
		metrics: counted, label: c.Name}
	var err error
	if c.Webhook.URL != "" {
		t.sink, err = newWebhook(c.Webhook, c.format.Name, f.Now)
	} else {
		t.sink, err = newSyslog(c.Syslog, f.Now)
	}
	if err != nil {
		return nil, err
	}
	return t, t.begin(ctx)
}

// begin reads how far the target has come.
func (t *target) begin(ctx context.Context) (err error) {
	t.freed = sync.NewCond(&t.mu)
	var found bool
	if t.mark, found, err = bookmark.Read(t.file); err != nil {
		return err
	}
	if err := t.stream.check(ctx, &t.mark, t.file); err != nil {
		return err
	}
	if !found && t.From > 0 {
		t.mark.Sequence = t.From - 1
	}
	t.metrics.at(t.label, t.mark.Sequence)
	return nil
}

// healthy names a target that gets nothing, to whoever looks after the service.
func healthy(targets []*target) error {
	for _, t := range targets {
		if err := t.healthy(); err != nil {
			return refusal.Unavailable("targets", rule, "%s gets nothing: %v", t.Name, err)
		}
	}
	return nil
}
