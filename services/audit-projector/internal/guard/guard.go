// Package guard compares the stream, every copy of it that a server keeps, and the second copy with the signed trees,
// over and over, and says that all is well only while they agree (pkg/README.md, "The guard"; I5, I6). It raises the
// alarm about what it finds, and mends nothing.
package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"go.uber.org/zap"
)

// Stream is *journal.Journal.
type Stream interface {
	Copies(ctx context.Context) (journal.Copies, error)
	Scan(ctx context.Context, server string, last uint64, handle func(journal.Stored) error) error
	Report(ctx context.Context, ev *lockboxv1.Event) (seq uint64, stored bool, err error)
}

// Ledger is *ledger.Ledger.
type Ledger interface {
	Covered() uint64
	Passed() time.Time
	Failed() error
	Inspect() (ledger.Inspected, error)
}

// Guard is what it looks at and whom it tells.
type Guard struct {
	Stream Stream
	Ledger Ledger
	// Every is the time from one look at everything to the next; 0: 30 s, so that with the look itself a difference is
	// found within a minute.
	Every time.Duration
	// Projection compares what the projection holds with the stream, message by message; nil: it is not there yet. What it
	// finds is the projection's affair, from which nothing is decided.
	Projection func(ctx context.Context) Projection
	// Renew says that all is well up to a sequence.
	Renew func(verified uint64) error
	// Alarm is told of each difference, once.
	Alarm func()
	Now   func() time.Time
	Log   *zap.Logger

	mu      sync.Mutex
	verdict verdict
	told    map[string]bool
	away    int // looks in which a copy could not be read, one after the other
	// differed are the servers whose copies were not well when they were read last.
	differed map[string]bool
}

// verdict is what the last look at everything came to.
type verdict struct {
	well    bool
	covered uint64
	begun   time.Time
	// length is how many messages the stream had.
	length uint64
}

// Projection is *projection.Comparison.
type Projection interface {
	Next(sequence uint64, data []byte) error
	Close() error
}

const (
	defaultEvery = 30 * time.Second
	// trusted is how old a look may be. One takes less than a minute, and the next begins before.
	trusted = 90 * time.Second
	// behindAtMost is how long the trees may not have followed the stream (I5).
	behindAtMost = 30 * time.Second
	// settle is how long a copy that differs gets before it is looked at again.
	settle = 2 * time.Second
	// awayAtMost is in how many looks a copy may be away before that is an alarm: a server that is started again is.
	awayAtMost = 2
)

// Run looks until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { g.renew(ctx) })
	defer running.Wait()
	for {
		begun := time.Now()
		g.look(ctx)
		every := cmp.Or(g.Every, defaultEvery)
		if g.Ledger.Covered() == 0 || g.Ledger.Passed().IsZero() {
			every = min(every, ledger.FirstInterval) // a first lease waits for it
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every - time.Since(begun)):
		}
	}
}

// renew renews the lease while the last look is good and the stream has not become shorter since.
func (g *Guard) renew(ctx context.Context) {
	tick := time.NewTicker(lease.RenewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.glance(ctx)
		}
	}
}

// glance asks the leader whether anything is gone, and renews the lease if nothing is.
func (g *Guard) glance(ctx context.Context) {
	if _, vouched := g.vouches(); !vouched {
		return
	}
	if behind := time.Since(g.Ledger.Passed()); behind > behindAtMost {
		g.Log.Error("ALARM: events are not signed any more (I5); the lease is not renewed", zap.Duration("for", behind))
		g.Alarm()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lease.RenewEvery)
	defer cancel()
	c, err := g.Stream.Copies(ctx)
	v, vouched := g.vouches() // the answer may have taken its time, and a look has found something meanwhile
	switch {
	case err != nil:
		g.Log.Warn("the guard cannot ask for the stream; the lease is not renewed", zap.Error(err))
	case !vouched:
	case whole(c) && c.Last >= v.length:
		if err := g.Renew(v.covered); err != nil {
			g.Log.Warn("the lease cannot be renewed", zap.Error(err))
		}
	default:
		g.conclude(verdict{}) // until everything was looked at again
		g.Log.Error("the stream has lost messages; the lease is not renewed", zap.Uint64("first", c.First),
			zap.Uint64("last", c.Last),
			zap.Uint64("was", v.length), zap.Uint64("missing", c.Missing))
	}
}

// vouches is what the last look came to, if that is good and not too long ago.
func (g *Guard) vouches() (verdict, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.verdict, g.verdict.well && time.Since(g.verdict.begun) <= trusted
}

func whole(c journal.Copies) bool { return c.Missing == 0 && (c.First == 1 || c.Last == 0) }

func (g *Guard) conclude(v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.verdict = v
}

// look compares everything, and renews the lease if all is well.
func (g *Guard) look(ctx context.Context) {
	begun := time.Now()
	found, v, err := g.compare(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		g.conclude(verdict{})
		g.Log.Info("the guard could not compare; the lease is not renewed", zap.Error(err))
		return
	case len(found) > 0:
		g.conclude(verdict{})
		for _, d := range found {
			g.raise(ctx, d)
		}
		return
	}
	v.well, v.begun = true, begun
	g.conclude(v)
	g.Log.Debug("all is well", zap.Uint64("covered", v.covered), zap.Duration("took", time.Since(begun)))
	g.glance(ctx)
}

// compare reads every copy of the stream, and the second copy. The error says that not everything could be read.
func (g *Guard) compare(ctx context.Context) ([]*lockboxv1.DifferenceFound, verdict, error) {
	if failed := g.Ledger.Failed(); failed != nil {
		return checkpoint(failed), verdict{}, nil
	}
	if g.Ledger.Passed().IsZero() {
		return nil, verdict{}, errors.New("the trees have not come to the end of the stream yet")
	}
	copies, err := g.Stream.Copies(ctx)
	if err != nil {
		return nil, verdict{}, err
	}
	is, err := g.Ledger.Inspect()
	if errors.Is(err, ledger.ErrNone) {
		if copies.Last > 0 {
			return nil, verdict{}, err // there will be a checkpoint in a moment
		}
		return nil, verdict{}, nil
	}
	if errors.Is(err, ledger.ErrDiffers) {
		return checkpoint(err), verdict{}, nil
	}
	if err != nil {
		return nil, verdict{}, err
	}
	var found differences
	for i, server := range copies.Servers {
		var beside Projection
		if i == 0 && g.Projection != nil {
			beside = g.Projection(ctx)
		}
		differ, err := g.copyTwice(ctx, is, server, beside)
		if err != nil {
			return nil, verdict{}, err
		}
		found.join(differ)
	}
	found.missing(g.awayFor(copies.Away))
	if err := scrub(is, &found); err != nil {
		return nil, verdict{}, err
	}
	for _, server := range copies.Away {
		if len(found) == 0 && g.differed[server] {
			return nil, verdict{}, fmt.Errorf("the copy of %s, which was not well, cannot be read", server)
		}
	}
	return found.all(), verdict{covered: is.Covered, length: copies.Last}, nil
}

func checkpoint(err error) []*lockboxv1.DifferenceFound {
	return []*lockboxv1.DifferenceFound{{Where: "checkpoint", Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHECKPOINT,
		Detail: err.Error()}}
}

// awayFor counts how long copies are away already. It returns them once it is too long.
func (g *Guard) awayFor(servers []string) []string {
	if len(servers) == 0 {
		g.away = 0
		return nil
	}
	if g.away++; g.away < awayAtMost {
		g.Log.Warn("a copy of the stream cannot be read", zap.Strings("servers", servers))
		return nil
	}
	return servers
}

// copyTwice compares one server's copy with the trees, and if it differs once more: one that was only a little behind
// the others has caught up by then.
func (g *Guard) copyTwice(
	ctx context.Context, is ledger.Inspected, server string, beside Projection,
) (found differences, err error) {
	if g.differed == nil {
		g.differed = map[string]bool{}
	}
	if found, err = g.copy(ctx, is, server, beside); err != nil {
		return nil, err
	}
	g.differed[server] = len(found) > 0
	if len(found) == 0 || server == "" {
		return found, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settle):
	}
	if found, err = g.copy(ctx, is, server, nil); err == nil {
		g.differed[server] = len(found) > 0
	}
	return found, err
}

// copy compares one server's copy with the trees.
func (g *Guard) copy(
	ctx context.Context, is ledger.Inspected, server string, beside Projection,
) (found differences, err error) {
	compared := beside != nil // until it is found to differ
	if compared {
		defer func() { _ = beside.Close() }() // it has been read
	}
	name := "stream"
	if server != "" {
		name = "replica " + server
	}
	c := merkle.Compare(is.Salts, is.Covered)
	for _, t := range is.Tenants {
		if err := c.Add(t.Tenant, is.Tree(t.Tenant), t.Tree); err != nil {
			return nil, err
		}
	}
	err = g.Stream.Scan(ctx, server, is.Covered, func(m journal.Stored) error {
		tenant := ""
		if at, err := bus.ParseEventSubject(m.Subject); err == nil {
			tenant = aggregate.Tree(at.Key, at.Type)
		}
		differ, err := c.Next(tenant, merkle.Stored{Sequence: m.Sequence, Subject: m.Subject, Bytes: m.Data})
		found.differ(name, differ)
		if compared && len(differ) == 0 && err == nil {
			if broken := beside.Next(m.Sequence, m.Data); broken != nil {
				g.Log.Error("the projection is not what the stream has", zap.Error(broken))
				compared = false
			}
		}
		return err
	})
	if err == nil {
		var differ []merkle.Difference
		differ, err = c.End()
		found.differ(name, differ)
	}
	err = found.tiles(err)
	return found, err
}

// scrub reads all of the second copy and the global tree.
func scrub(is ledger.Inspected, found *differences) error {
	for _, t := range is.Tenants {
		for _, err := range merkle.Events(is.Tree(t.Tenant), t.Tree, 1) {
			if err := found.tiles(inTreeOf(t.Tenant, err)); err != nil {
				return err
			}
		}
	}
	return found.tiles(inTreeOf("", merkle.Scrub(is.GlobalTree(), is.Global)))
}

func inTreeOf(tenant string, err error) error {
	switch {
	case err == nil:
		return nil
	case tenant == "":
		return fmt.Errorf("the global tree: %w", err)
	}
	return fmt.Errorf("the tree of %s: %w", tenant, err)
}

// damaged tells whether an error of reading says that files are not what they were, not that they cannot be read now.
func damaged(err error) bool {
	var proof *merkle.ProofError
	return errors.As(err, &proof) || errors.Is(err, fs.ErrNotExist)
}
