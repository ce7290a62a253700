package ledger

import (
	"context"
	"fmt"
)

// Witnesses know how far they have seen the log grow. After a restart, nothing is signed before enough of them have
// confirmed that what is on disk and in the stream is the log that they know, and not an older copy of it.
type Witnesses interface {
	// Sizes returns the size of the tree that each witness cosigned last, by name. It fails if too few of them answer.
	Sizes(ctx context.Context) (map[string]int64, error)
	// Follow has those witnesses cosign the last checkpoint. It returns ErrDiffers if one of them refuses, because the
	// checkpoint does not follow from what it cosigned.
	Follow(ctx context.Context, sizes map[string]int64) error
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
