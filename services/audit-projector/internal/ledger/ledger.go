// Package ledger builds the Merkle trees over EVENTS (pkg/merkle), signs their checkpoints, and reports each checkpoint
// into the stream before publishing it. Every replica of the projector has the trees in a directory of its own, and all
// are identical: the reports in the stream determine where each checkpoint cuts.
//
// The directory holds state.json (the last checkpoint that is complete on disk), global/ and tenants/<tenant>/, as C2SP
// tlog-tiles. If removed, it is rebuilt from the stream, byte for byte. A damaged one is never discarded automatically,
// for it may be the stream that is wrong.
package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ErrDiffers says that trees and stream contradict each other, or that the trees are damaged. Signing stops after it.
var ErrDiffers = errors.New("the log is not what was recorded")

// errOther says that another replica has signed a checkpoint that this one must adopt: the trees are reopened.
var errOther = errors.New("another copy has signed")

// Journal is the stream: *journal.Journal.
type Journal interface {
	Copies(ctx context.Context) (journal.Copies, error)
	Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error
	Report(ctx context.Context, ev *lockboxv1.Event) (seq uint64, stored bool, err error)
}

// Options configures a Ledger.
type Options struct {
	// Dir must be exclusive to the ledger; it is created if missing.
	Dir     string
	Journal Journal
	Keys    logkeys.Keys
	// Interval is the time between two checkpoints while the stream grows.
	Interval time.Duration
	Now      func() time.Time
	Log      *zap.Logger
	// Alarm is called on ErrDiffers.
	Alarm func()
}

// FirstInterval is how often an empty log checks for its first event.
const FirstInterval = 200 * time.Millisecond

const (
	// keepEvery is the number of events in a long rebuild after which the trees are saved at the next checkpoint.
	keepEvery = 50_000
	// tellEvery is the interval of progress messages in a long rebuild.
	tellEvery = 5 * time.Second
)

// Ledger holds the trees and the last checkpoint.
type Ledger struct {
	Options
	policy *merkle.Policy
	trees  *trees // nil until opened
	last   state  // the last checkpoint in memory: of the trees, or after them

	mu     sync.RWMutex
	shown  shown
	failed error
	passed time.Time
}

// Open reads the directory. Until the first pass, the ledger publishes what was signed before.
func Open(o Options) (*Ledger, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	policy, err := o.Keys.Policy()
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return &Ledger{Options: o, policy: policy}, nil
}

// Run follows the stream until ctx ends. It retries while the bus is unavailable. On ErrDiffers it raises the alarm and
// returns the error.
func (l *Ledger) Run(ctx context.Context) error {
	defer l.close()
	for {
		began := time.Now()
		err := l.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return nil // asked to stop; what was not saved is rebuilt
		case errors.Is(err, ErrDiffers):
			l.Log.Error("ALARM: the log is not what was recorded; signing has stopped", zap.Error(err))
			l.Alarm()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed = err
			return err
		case errors.Is(err, errOther):
			l.close()
			continue
		case err != nil:
			l.Log.Warn("no checkpoint", zap.Error(err))
			l.close()
		default:
			l.mu.Lock()
			l.passed = time.Now()
			l.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(l.interval() - time.Since(began)):
		}
	}
}

// interval is short until there is a first checkpoint: before that, no lease can be given.
func (l *Ledger) interval() time.Duration {
	if l.Covered() == 0 {
		return min(l.Interval, FirstInterval)
	}
	return l.Interval
}

// Failed returns why signing has stopped; nil if it has not.
func (l *Ledger) Failed() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// Passed returns when the trees last reached the end of the stream.
func (l *Ledger) Passed() time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.passed
}

// pass takes the trees to the end of the stream, adopting the reported checkpoints on the way, and signs a new one if
// there are new events. It adds nothing while the stream lacks an event, for what the trees hold is what the stream is
// restored from: what takes the place of the missing one meanwhile could not stand beside it.
func (l *Ledger) pass(ctx context.Context) error {
	if err := l.open(); err != nil {
		return err
	}
	if c, err := l.Journal.Copies(ctx); err != nil {
		return err
	} else if !c.Whole() {
		l.Log.Error("ALARM: the stream has lost events; nothing is signed until they are restored",
			zap.Uint64("first", c.First), zap.Uint64("last", c.Last), zap.Uint64("missing", c.Missing))
		return nil
	}
	reported, err := l.reported(ctx)
	if err != nil {
		return err
	}
	grown, told := false, time.Now()
	// The log covers bytes; their meaning does not matter here.
	err = l.Journal.Replay(ctx, journal.Replay{From: l.trees.appended + 1, Undecoded: true}, func(e journal.Entry) error {
		for len(reported) > 0 && reported[0].covered < e.Seq {
			if err := l.adopt(reported[0], len(reported) == 1); err != nil {
				return err
			}
			reported, grown = reported[1:], false
		}
		at, err := bus.ParseEventSubject(e.Subject)
		if isCheckpoint := err == nil && at.Kind == aggregate.KindCheckpoint; !isCheckpoint || misfit(e) {
			grown = true
		} else if another, err := l.another(e); err != nil || another && len(reported) == 0 {
			return cmp.Or(err, errOther)
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			l.Log.Info("building the log", zap.Uint64("sequence", e.Seq), zap.Uint64("of", e.Seq+e.Pending))
		}
		return l.trees.append(e)
	})
	if err != nil {
		return err
	}
	for _, r := range reported {
		if err := l.adopt(r, true); err != nil {
			return err
		}
		grown = false
	}
	if !grown {
		return nil
	}
	return l.sign(ctx)
}

func misfit(e journal.Entry) bool {
	_, is := journal.IsMisfit(e.Seq, e.Subject, e.Data)
	return is
}

// another reports whether a stored checkpoint covers more than the last one adopted.
func (l *Ledger) another(e journal.Entry) (bool, error) {
	report, err := input.DecodeEvent(e.Data)
	if err != nil {
		return false, fmt.Errorf("%w: the checkpoint of event %d cannot be read: %w", ErrDiffers, e.Seq, err)
	}
	return report.GetCheckpointSigned().GetCoveredSequence() > l.last.Covered, nil
}

// open opens the trees unless they are open.
func (l *Ledger) open() error {
	if l.trees != nil {
		return nil
	}
	t, err := openTrees(l.Dir, l.Keys.Salts())
	if err != nil {
		return err
	}
	if t.disk.Covered > 0 {
		if err := l.check(t.disk.Checkpoint, t.disk); err != nil {
			return err
		}
		if err := l.show(t.disk); err != nil {
			return err
		}
	}
	l.trees, l.last = t, t.disk
	return nil
}

func (l *Ledger) close() {
	if l.trees != nil {
		l.trees.abandon()
		l.trees = nil
	}
}

// checkpoint is a report in the stream.
type checkpoint struct {
	covered uint64
	note    string
}

// reported reads the checkpoints in the stream after the last one adopted.
func (l *Ledger) reported(ctx context.Context) ([]checkpoint, error) {
	var found []checkpoint
	err := l.Journal.Replay(ctx, journal.Replay{From: l.last.Covered + 1, Kind: aggregate.KindCheckpoint},
		func(e journal.Entry) error {
			c := e.Event.GetCheckpointSigned()
			switch covered := c.GetCoveredSequence(); {
			case covered <= l.last.Covered:
				return nil // the last adopted one
			case covered >= e.Seq:
				return fmt.Errorf("%w: the checkpoint of event %d covers %d", ErrDiffers, e.Seq, covered)
			case covered < l.trees.appended:
				return errOther
			case len(found) > 0 && covered <= found[len(found)-1].covered:
				return fmt.Errorf("%w: the checkpoint of event %d does not go on", ErrDiffers, e.Seq)
			}
			found = append(found, checkpoint{c.GetCoveredSequence(), c.GetNote()})
			return nil
		})
	return found, err
}

// adopt adopts a checkpoint from the stream after verifying that it matches the trees.
func (l *Ledger) adopt(c checkpoint, keep bool) error {
	if l.trees.appended != c.covered {
		return fmt.Errorf("%w: a checkpoint covers event %d, and the stream ends with %d", ErrDiffers, c.covered,
			l.trees.appended)
	}
	s, err := l.trees.cut()
	if err != nil {
		return err
	}
	if err := l.check(c.note, s); err != nil {
		return err
	}
	s.Checkpoint = c.note
	l.last = s
	if keep || s.Covered-l.trees.disk.Covered >= keepEvery {
		return l.keep(s)
	}
	return nil
}

// check compares a signed note with the tree that it should cover.
func (l *Ledger) check(signed string, s state) error {
	said, err := l.policy.Open([]byte(signed))
	if err != nil {
		return fmt.Errorf("%w: the checkpoint that covers event %d: %w", ErrDiffers, s.Covered, err)
	}
	if said.Tree != s.Global {
		return fmt.Errorf("%w: the checkpoint that covers event %d says %d %v, the trees %d %v",
			ErrDiffers, s.Covered, said.Tree.N, said.Tree.Hash, s.Global.N, s.Global.Hash)
	}
	return nil
}

// sign signs a checkpoint of all that was appended. It is not published before the stream has its report. The stream
// accepts one report per size; if another replica was faster, that replica's checkpoint is adopted.
func (l *Ledger) sign(ctx context.Context) error {
	s, err := l.trees.cut()
	if err != nil {
		return err
	}
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: l.policy.Origin(), Tree: s.Global}, l.Keys.Signer)
	if err != nil {
		return err
	}
	s.Checkpoint = string(signed)
	_, stored, err := l.Journal.Report(ctx, l.report(s))
	if err != nil {
		return err
	}
	if !stored {
		return errOther
	}
	l.last = s
	return l.keep(s)
}

func (l *Ledger) report(s state) *lockboxv1.Event {
	log := aggregate.MerkleLog
	return &lockboxv1.Event{
		Id: uuid.Must(uuid.NewV7()).String(), Tenant: log.Tenant, Kind: log.Kind, AggregateId: log.ID,
		ReportKey: strconv.FormatInt(s.Global.N, 10), Time: timestamppb.New(l.Now()),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Projector)},
		Fact: &lockboxv1.Event_CheckpointSigned{CheckpointSigned: &lockboxv1.CheckpointSigned{Note: s.Checkpoint,
			CoveredSequence: s.Covered}},
	}
}

// keep saves the trees of a checkpoint to disk, and then publishes it.
func (l *Ledger) keep(s state) error {
	if err := l.trees.keep(s); err != nil {
		return err
	}
	directory, err := s.directory(l.Keys.Salts())
	if err != nil {
		return err
	}
	l.mu.Lock() // readers of the older trees read their files
	defer l.mu.Unlock()
	if err := l.trees.settle(s); err != nil {
		return err
	}
	l.shown = shown{s, directory, s.Checkpoint}
	return nil
}

func (l *Ledger) show(s state) error {
	directory, err := s.directory(l.Keys.Salts())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = shown{s, directory, s.Checkpoint}
	return nil
}
