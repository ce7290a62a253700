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
	"github.com/openlockbox/lockbox/pkg/signed"
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
	// Steady means that there is a checkpoint at every multiple of the interval, whether or not the stream has grown, so
	// that it tells nobody that it has. The first is signed when there is something to sign.
	Steady bool
	Now    func() time.Time
	Log    *zap.Logger
	// Judge is called for each message before it enters the trees, and reports whether it is no event; nil: nobody looks
	// at signatures. Its error is retried.
	Judge func(ctx context.Context, s journal.Stored) (refused bool, err error)
	// Order is called for each message that is not the next version of what its subject is about, as far as the trees
	// know; nil: nobody looks. Its error is retried.
	Order func(ctx context.Context, s journal.Stored) error
	// Signed is called for each message, before anything is signed that covers it; nil: nobody looks at what customers
	// sign. Its error is retried.
	Signed func(ctx context.Context, s journal.Stored) error
	// Say records in the stream what was found of it, and returns the sequence of the last such record: nothing is signed
	// that covers less. It is called before anything is signed; nil: nobody finds anything.
	Say func(ctx context.Context) (through uint64, err error)
	// Alarm is called on ErrDiffers.
	Alarm func()
	// Witnesses are asked before anything is signed; nil if there are none.
	Witnesses Witnesses
}

// FirstInterval is how often an empty log checks for its first event.
const FirstInterval = 200 * time.Millisecond

const (
	// keepEvery is the number of events in a long rebuild after which the trees are saved at the next checkpoint.
	keepEvery = 50_000
	// doubtful is in how many passes in a row the end of the log is missing before that is a contradiction.
	doubtful = 3
	// tellEvery is the interval of progress messages in a long rebuild.
	tellEvery = 5 * time.Second
)

// Ledger holds the trees and the last checkpoint.
type Ledger struct {
	Options
	policy *merkle.Policy
	trees  *trees                 // nil until opened
	closed map[string]*tenantTree // the tenants' trees of the last time, as they are on disk
	last   state                  // the last checkpoint in memory: of the trees, or after them
	// signed is when the last checkpoint was signed, as its report says.
	signed time.Time
	// confirmed: the witnesses know this log, or there are none.
	confirmed bool
	// keyRecorded: the stream says which key replaces the log's.
	keyRecorded bool
	// unsaid: what was found of the stream is recorded after what was read of it.
	unsaid bool
	// doubts counts the passes in a row in which the end of the log was missing.
	doubts int

	// certified are the certificates of writers' keys that were read.
	certified struct {
		sync.Mutex
		texts map[signed.KeyID]string
	}

	mu           sync.RWMutex
	shown        *shown   // the last checkpoint
	public       *shown   // the last one that is shown to everybody; nil: none is
	waiting      []*shown // those that enough witnesses have not cosigned, oldest first
	failed       error
	contradicted error
	passed       time.Time
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
	return &Ledger{Options: o, policy: policy, confirmed: o.Witnesses == nil, shown: new(shown)}, nil
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
			l.doubts = 0
			l.mu.Lock()
			l.passed = time.Now()
			l.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(l.pause(began)):
		}
	}
}

// pause returns the time to the next pass after one that began at a time. It is short until there is a first
// checkpoint: before that, no lease can be given.
func (l *Ledger) pause(began time.Time) time.Duration {
	switch now := l.Now(); {
	case l.Covered() == 0 || l.unsaid:
		return min(l.Interval, FirstInterval) - time.Since(began)
	case l.Steady:
		return now.Truncate(l.Interval).Add(l.Interval).Sub(now)
	}
	return l.Interval - time.Since(began)
}

// Failed returns why signing has stopped, or stops with the next pass; nil if it does not.
func (l *Ledger) Failed() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.failed == nil {
		return l.contradicted
	}
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
	if err := l.contradiction(); err != nil {
		return err
	}
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
	sizes, err := l.seenByWitnesses(ctx) // before reading: what a copy has signed meanwhile is in the stream
	if err != nil {
		return err
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
		refused, err := l.judge(ctx, e)
		if err != nil {
			return err
		}
		at, err := bus.ParseEventSubject(e.Subject)
		if isCheckpoint := err == nil && at.Kind == aggregate.KindCheckpoint; !isCheckpoint || refused {
			grown = true
		} else if another, err := l.another(e); err != nil || another && len(reported) == 0 {
			return cmp.Or(err, errOther)
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			l.Log.Info("building the log", zap.Uint64("sequence", e.Seq), zap.Uint64("of", e.Seq+e.Pending))
		}
		if l.Order != nil && !l.trees.follows(e.Subject) {
			if err := l.Order(ctx, journal.Stored{Sequence: e.Seq, Subject: e.Subject, Data: e.Data}); err != nil {
				return err
			}
		}
		if l.Signed != nil && !refused {
			if err := l.Signed(ctx, journal.Stored{Sequence: e.Seq, Subject: e.Subject, Data: e.Data}); err != nil {
				return err
			}
		}
		return l.trees.append(next(reported), e)
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
	if err := l.confirm(ctx, sizes); err != nil || !l.due(grown) {
		return err
	}
	if said, err := l.said(ctx); err != nil || !said {
		return err
	}
	return l.sign(ctx)
}

// said reports whether what is wrong with the stream is said in what is about to be signed. If not, the next pass comes
// soon.
func (l *Ledger) said(ctx context.Context) (bool, error) {
	if l.Say == nil {
		return true, nil
	}
	through, err := l.Say(ctx)
	l.unsaid = err == nil && through > l.trees.appended
	return !l.unsaid, err
}

// due reports whether a checkpoint is to be signed now.
func (l *Ledger) due(grown bool) bool {
	if !l.Steady || l.last.Covered == 0 {
		return grown
	}
	return l.signed.Before(l.Now().Truncate(l.Interval))
}

// judge reports whether a message is no event.
func (l *Ledger) judge(ctx context.Context, e journal.Entry) (refused bool, err error) {
	if l.Judge != nil {
		return l.Judge(ctx, journal.Stored{Sequence: e.Seq, Subject: e.Subject, Data: e.Data})
	}
	_, refused = journal.IsMisfit(e.Seq, e.Subject, e.Data)
	return refused, nil
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
	t, err := openTrees(l.Dir, l.Keys.Salts(), l.closed)
	if err != nil {
		return err
	}
	if t.disk.Covered > 0 {
		if err := l.check(t.disk.Checkpoint, t.disk); err != nil {
			return err
		}
		if err := l.show(t); err != nil {
			return err
		}
	}
	l.trees, l.last, l.closed = t, t.disk, nil
	return nil
}

func (l *Ledger) close() {
	if l.trees != nil {
		l.closed, l.trees = l.trees.abandon(), nil
	}
}

// checkpoint is a report in the stream.
type checkpoint struct {
	covered uint64
	format  uint8
	note    string
	at      time.Time
}

// next returns the format of the leaves before the next checkpoint, of those reported or of this copy's own.
func next(reported []checkpoint) uint8 {
	if len(reported) > 0 {
		return reported[0].format
	}
	return merkle.Format2
}

// reported reads the checkpoints in the stream after the last one adopted.
func (l *Ledger) reported(ctx context.Context) ([]checkpoint, error) {
	var found []checkpoint
	own := l.last.Covered == 0
	r := journal.Replay{From: l.last.Covered + 1, Kind: aggregate.KindCheckpoint,
		Misfit: func(journal.Entry, journal.Misfit) error { return nil }} // which is for the guard
	err := l.Journal.Replay(ctx, r,
		func(e journal.Entry) error {
			c, before := e.Event.GetCheckpointSigned(), l.last
			if len(found) > 0 {
				before = state{Covered: found[len(found)-1].covered, Format: found[len(found)-1].format}
			}
			format, err := formatOf(c)
			if err != nil {
				return fmt.Errorf("the checkpoint of event %d: %w", e.Seq, err)
			}
			switch covered := c.GetCoveredSequence(); {
			case c == nil: // a key's report
				return nil
			case covered <= l.last.Covered: // the last adopted one
				own = own || covered == l.last.Covered && c.GetNote() == l.last.Checkpoint
				l.signed = e.Event.GetTime().AsTime()
				return nil
			case covered >= e.Seq:
				return fmt.Errorf("%w: the checkpoint of event %d covers %d", ErrDiffers, e.Seq, covered)
			case covered < l.trees.appended:
				return errOther
			case covered <= before.Covered:
				return fmt.Errorf("%w: the checkpoint of event %d does not go on", ErrDiffers, e.Seq)
			case format < before.Format:
				return fmt.Errorf("%w: the checkpoint of event %d is of format %d after one of %d", ErrDiffers, e.Seq, format,
					before.Format)
			}
			found = append(found, checkpoint{c.GetCoveredSequence(), format, c.GetNote(), e.Event.GetTime().AsTime()})
			return nil
		})
	if err == nil && !own {
		err = l.reportAgain(ctx)
	}
	return found, err
}

// formatOf returns the format that a report says. One that this version does not know is no contradiction: nothing is
// signed until it is upgraded.
func formatOf(c *lockboxv1.CheckpointSigned) (uint8, error) {
	switch c.GetFormat() {
	case 0, merkle.Format1:
		return merkle.Format1, nil
	case merkle.Format2:
		return merkle.Format2, nil
	}
	return 0, fmt.Errorf("this version does not know format %d of the log", c.GetFormat())
}

// adopt adopts a checkpoint from the stream after verifying that it matches the trees.
func (l *Ledger) adopt(c checkpoint, keep bool) error {
	if l.trees.appended != c.covered {
		return fmt.Errorf("%w: a checkpoint covers event %d, and the stream ends with %d", ErrDiffers, c.covered,
			l.trees.appended)
	}
	s, err := l.trees.cut(c.format)
	if err != nil {
		return err
	}
	if err := l.check(c.note, s); err != nil {
		return err
	}
	s.Checkpoint = c.note
	l.last, l.signed = s, c.at
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
	if err := l.recordKey(ctx); err != nil {
		return err
	}
	s, err := l.trees.cut(merkle.Format2)
	if err != nil {
		return err
	}
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: l.policy.Origin(), Tree: s.Global}, l.Keys.Signers...)
	if err != nil {
		return err
	}
	s.Checkpoint = string(signed)
	report := l.report(s)
	_, stored, err := l.Journal.Report(ctx, report)
	if err != nil {
		return err
	}
	if !stored {
		return errOther
	}
	l.last, l.signed = s, report.GetTime().AsTime()
	return l.keep(s)
}

func (l *Ledger) report(s state) *lockboxv1.Event {
	e := l.event(aggregate.MerkleLog, strconv.FormatInt(s.Global.N, 10))
	e.Fact = &lockboxv1.Event_CheckpointSigned{CheckpointSigned: &lockboxv1.CheckpointSigned{Note: s.Checkpoint,
		CoveredSequence: s.Covered, Format: uint32(s.Format)}}
	return e
}

func (l *Ledger) event(of aggregate.Key, key string) *lockboxv1.Event {
	return &lockboxv1.Event{
		Id: uuid.Must(uuid.NewV7()).String(), Tenant: of.Tenant, Kind: of.Kind, AggregateId: of.ID, ReportKey: key,
		Time:  timestamppb.New(l.Now()),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Projector)},
	}
}
