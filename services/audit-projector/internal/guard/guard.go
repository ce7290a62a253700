// Package guard continuously compares the stream, every replica of it on the servers, and the second copy with the
// signed trees, and renews the lease only while they agree (pkg/README.md, "The guard"; I5, I6). It raises the alarm
// about differences, and repairs nothing.
package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

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
	Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error
	Report(ctx context.Context, ev *lockboxv1.Event) (seq uint64, stored bool, err error)
	SetAside(ctx context.Context, m journal.Misfit) (decision journal.Entry, found bool, err error)
	Judge(ctx context.Context, s journal.Stored) (m journal.Misfit, is bool, err error)
	Misfit(ctx context.Context, sequence uint64) (journal.Misfit, error)
}

// Ledger is *ledger.Ledger.
type Ledger interface {
	Covered() uint64
	Passed() time.Time
	Failed() error
	Inspect() (ledger.Inspected, error)
}

// Guard holds what is compared, and the callbacks.
type Guard struct {
	Stream Stream
	Ledger Ledger
	// Every is the pause between two full comparisons; 0 means 30 s, so that together with the comparison itself a
	// difference is found within a minute.
	Every time.Duration
	// Projection compares the projection with the stream, message by message; nil while there is none. The projection
	// itself handles what it finds; no decision depends on it.
	Projection func(ctx context.Context) Projection
	// File keeps how far messages were judged, so that each is judged once; empty: nothing is kept.
	File string
	// Renew renews the lease, verified up to a sequence.
	Renew func(verified uint64) error
	// Alarm is called once for each difference.
	Alarm func()
	Now   func() time.Time
	Log   *zap.Logger

	mu      sync.Mutex
	verdict verdict
	// told are the sequences of the alarms that were recorded, by their keys.
	told      map[string]uint64
	recording sync.Mutex
	away      int // consecutive looks in which a copy could not be read
	// differed holds the servers whose copies differed when they were last read.
	differed map[string]bool
	misfits  misfits
	state    State

	holders holders

	histories sync.Mutex
	// contradictions are aggregates whose events contradict each other or what their customer demands, found since the
	// start.
	contradictions map[wrongAbout]*lockboxv1.DifferenceFound
}

// State is what the guard knows of the stream, for metrics.
type State struct {
	// Verified is when the last complete comparison began that found no difference; zero if none did.
	Verified time.Time
	// Differences counts what the last comparison found, by kind.
	Differences map[lockboxv1.DifferenceKind]int
	// Last is the stream's last sequence. Current and Away count the servers' copies.
	Last          uint64
	Current, Away int
}

// State returns what is known now.
func (g *Guard) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// copies asks for the state of the stream and its copies.
func (g *Guard) copies(ctx context.Context) (journal.Copies, error) {
	c, err := g.Stream.Copies(ctx)
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.state.Last, g.state.Current, g.state.Away = c.Last, len(c.Servers), len(c.Away)
	}
	return c, err
}

// compared remembers what a complete comparison found.
func (g *Guard) compared(begun time.Time, found []*lockboxv1.DifferenceFound) {
	kinds := map[lockboxv1.DifferenceKind]int{}
	for _, d := range found {
		kinds[d.GetKind()]++
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.Differences = kinds; len(found) == 0 {
		g.state.Verified = begun
	}
}

// verdict is the result of the last full comparison.
type verdict struct {
	well    bool
	covered uint64
	begun   time.Time
	// length is the number of messages in the stream.
	length uint64
}

// Projection is *projection.Comparison.
type Projection interface {
	Next(sequence uint64, data []byte) error
	Close() error
}

const (
	// DefaultEvery is the time between the beginnings of two looks.
	DefaultEvery = 30 * time.Second
	// trusted is the maximum age of a valid look. A look takes less than a minute, and the next one begins before.
	trusted = 90 * time.Second
	// behindAtMost is the maximum time for which the trees may lag behind the stream (I5).
	behindAtMost = 30 * time.Second
	// settle is the delay before a differing copy is read again.
	settle = 2 * time.Second
	// awayAtMost is the number of looks for which a copy may be unavailable before an alarm, to allow for server
	// restarts.
	awayAtMost = 2
)

// Run compares until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { g.renew(ctx) })
	defer running.Wait()
	for {
		begun := time.Now()
		g.look(ctx)
		g.keep()
		every := cmp.Or(g.Every, DefaultEvery)
		if g.Ledger.Covered() == 0 || g.Ledger.Passed().IsZero() {
			every = min(every, ledger.FirstInterval) // the first lease depends on it
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every - time.Since(begun)):
		}
	}
}

// renew renews the lease while the last look is valid and the stream has not lost messages since.
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

// glance asks the leader for the stream's state, and renews the lease if no message is missing.
func (g *Guard) glance(ctx context.Context) {
	if _, vouched := g.vouches(); !vouched {
		return
	}
	if failed := g.Ledger.Failed(); failed != nil { // the next full comparison reports it
		g.conclude(verdict{})
		g.Log.Error("ALARM: the log is not what was recorded; the lease is not renewed", zap.Error(failed))
		g.Alarm()
		return
	}
	if behind := time.Since(g.Ledger.Passed()); behind > behindAtMost {
		g.Log.Error("ALARM: events are no longer being signed; the lease is not renewed", zap.Duration("for", behind))
		g.Alarm()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lease.RenewEvery)
	defer cancel()
	c, err := g.copies(ctx)
	v, vouched := g.vouches() // again: something may have been found while this waited for the reply
	switch {
	case err != nil:
		g.Log.Warn("cannot read the stream's state; the lease is not renewed", zap.Error(err))
	case !vouched:
	case c.Whole() && c.Last >= v.length:
		if err := g.Renew(v.covered); err != nil {
			g.Log.Warn("renewing the lease failed", zap.Error(err))
		}
	default:
		g.conclude(verdict{}) // until the next full comparison
		g.Log.Error("the stream has lost messages; the lease is not renewed", zap.Uint64("first", c.First),
			zap.Uint64("last", c.Last),
			zap.Uint64("was", v.length), zap.Uint64("missing", c.Missing))
	}
}

// vouches returns the last verdict, if it is good and recent enough.
func (g *Guard) vouches() (verdict, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.verdict, g.verdict.well && time.Since(g.verdict.begun) <= trusted
}

func (g *Guard) conclude(v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.verdict = v
}

// look compares everything, and renews the lease if there is no difference.
func (g *Guard) look(ctx context.Context) {
	begun := time.Now()
	found, v, err := g.compare(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		g.conclude(verdict{})
		g.Log.Info("comparison incomplete; the lease is not renewed", zap.Error(err))
		return
	case len(found) > 0:
		g.conclude(verdict{})
		g.compared(begun, found)
		for _, d := range found {
			g.raise(ctx, d)
		}
		return
	}
	v.well, v.begun = true, begun
	g.conclude(v)
	g.compared(begun, nil)
	if g.misfits.any() { // one has been come upon meanwhile
		g.conclude(verdict{})
		return
	}
	g.Log.Debug("all is well", zap.Uint64("covered", v.covered), zap.Duration("took", time.Since(begun)))
	g.glance(ctx)
}

// compare reads every copy of the stream, and the second copy. The error says that not everything could be read.
func (g *Guard) compare(ctx context.Context) ([]*lockboxv1.DifferenceFound, verdict, error) {
	if failed := g.Ledger.Failed(); failed != nil {
		return checkpoint(failed), verdict{}, nil
	}
	if g.Ledger.Passed().IsZero() {
		return nil, verdict{}, errors.New("the trees have not reached the end of the stream yet")
	}
	copies, err := g.copies(ctx)
	if err != nil {
		return nil, verdict{}, err
	}
	is, err := g.Ledger.Inspect()
	if errors.Is(err, ledger.ErrNone) {
		if copies.Last > 0 {
			return nil, verdict{}, err // a checkpoint will follow shortly
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
			return nil, verdict{}, fmt.Errorf("the copy of %s, which differed before, cannot be read", server)
		}
	}
	all := found.all()
	notEvents, err := g.notEvents(ctx)
	if err != nil {
		return nil, verdict{}, err
	}
	return append(all, notEvents...), verdict{covered: is.Covered, length: copies.Last}, nil
}

func checkpoint(err error) []*lockboxv1.DifferenceFound {
	return []*lockboxv1.DifferenceFound{{Where: "checkpoint", Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHECKPOINT,
		Detail: err.Error()}}
}

// awayFor counts the consecutive looks in which copies were unavailable. It returns the copies once there are too many.
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

// copyTwice compares one server's copy with the trees and, if it differs, once more: a replica that only lagged has
// caught up by then.
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
	compared := beside != nil // until a difference is found
	if compared {
		defer func() { _ = beside.Close() }() // read only
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
	last := uint64(0) // before anything is missing: an event is judged by the one before it
	err = g.Stream.Scan(ctx, server, is.Covered, func(m journal.Stored) error {
		differ, err := c.Next(bus.Tree(m.Subject), merkle.Stored{Sequence: m.Sequence, Subject: m.Subject, Bytes: m.Data})
		found.differ(name, differ)
		if m.Sequence == last+1 {
			last = m.Sequence
			if _, err := g.Judge(ctx, m); err != nil {
				return err
			}
		}
		if compared && len(differ) == 0 && err == nil {
			if broken := beside.Next(m.Sequence, m.Data); broken != nil {
				g.Log.Error("the projection differs from the stream", zap.Error(broken))
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

// scrub reads the whole second copy and the global tree.
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

// damaged reports whether a read error means that files have changed, rather than that they cannot be read now.
func damaged(err error) bool {
	var proof *merkle.ProofError
	return errors.As(err, &proof) || errors.Is(err, fs.ErrNotExist)
}
