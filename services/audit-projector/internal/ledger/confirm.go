package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
)

// Witnesses know how far they have seen the log grow. After a restart, nothing is signed before enough of them have
// confirmed that what is on disk and in the stream is the log that they know, and not an older copy of it.
type Witnesses interface {
	// Sizes returns the size of the tree that each witness cosigned last, by name. It fails if too few of them answer.
	Sizes(ctx context.Context) (map[string]int64, error)
	// Follow has those witnesses cosign the last checkpoint. It returns ErrDiffers if one of them refuses, because the
	// checkpoint does not follow from what it cosigned.
	Follow(ctx context.Context, sizes map[string]int64) error
	// Enough reports whether a signed note has the cosignatures that the policy demands.
	Enough(signed []byte) bool
}

func (l *Ledger) seenByWitnesses(ctx context.Context) (map[string]int64, error) {
	if l.confirmed {
		return nil, nil
	}
	return l.Witnesses.Sizes(ctx)
}

// confirm compares what the witnesses have seen with the end of the log. A witness that is ahead has cosigned what was
// signed before the stream or the trees were replaced by an older copy.
func (l *Ledger) confirm(ctx context.Context, sizes map[string]int64) error {
	if l.confirmed {
		return nil
	}
	for name, size := range sizes {
		if size > l.last.Global.N {
			return l.doubt(Ahead(name, size, l.last.Global.N))
		}
	}
	if l.last.Covered > 0 {
		if err := l.Witnesses.Follow(ctx, sizes); err != nil {
			return err
		}
	}
	l.confirmed = true
	return nil
}

// Ahead is the ErrDiffers of a witness that has cosigned a larger tree than there is.
func Ahead(witness string, size, is int64) error {
	return fmt.Errorf("%w: the witness %s has cosigned %d checkpoints, and there are %d here: an older copy was restored",
		ErrDiffers, witness, size, is)
}

// doubt returns the error once it has come back often enough that no replica of the stream that lags explains it.
// Nothing is signed meanwhile.
func (l *Ledger) doubt(err error) error {
	if l.doubts++; l.doubts < doubtful {
		return fmt.Errorf("not confirmed yet: %v", err) //nolint:errorlint // not ErrDiffers yet
	}
	return err
}

// Contradict stops signing: a witness has seen another log of this name. The error must be ErrDiffers.
func (l *Ledger) Contradict(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.contradicted = err
}

func (l *Ledger) contradiction() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.contradicted
}

// reportAgain reports the last checkpoint on disk once more if the stream lacks nothing but its report, which no tree
// holds and no repair brings back. Otherwise an older copy of the stream was restored, and has gone on or not.
func (l *Ledger) reportAgain(ctx context.Context) error {
	same, err := l.endsAlike(ctx)
	if err != nil {
		return err
	}
	if same {
		if _, stored, err := l.Journal.Report(ctx, l.report(l.last)); err != nil || stored {
			return err
		}
	}
	return l.doubt(fmt.Errorf("%w: the last checkpoint on disk, which covers event %d, is not in the stream: "+
		"an older copy was restored", ErrDiffers, l.last.Covered))
}

// endsAlike reports whether the last event that the last checkpoint covers stands in the stream as in the trees.
func (l *Ledger) endsAlike(ctx context.Context) (alike bool, err error) {
	ended := errors.New("seen")
	err = l.Journal.Replay(ctx, journal.Replay{From: l.last.Covered, Undecoded: true}, func(e journal.Entry) error {
		of := l.trees.named[bus.Tree(e.Subject)]
		if e.Seq != l.last.Covered || of == nil {
			return ended
		}
		last := uint64(of.disk.N) //nolint:gosec // G115: a size
		for w, err := range merkle.Events(of.files, of.disk, last) {
			if err != nil {
				return fmt.Errorf("%w: the tree of %s: %w", ErrDiffers, of.name, err)
			}
			alike = w.Sequence == e.Seq && w.Subject == e.Subject && bytes.Equal(w.Bytes, e.Data)
		}
		return ended
	})
	if errors.Is(err, ended) {
		err = nil
	}
	return alike, err
}
