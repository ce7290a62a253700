package ledger

import (
	"fmt"
	"iter"
	"path/filepath"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
)

// Copy is the second copy of the stream on disk, for restoring the stream while no service runs.
type Copy struct {
	// Covered is the sequence of its last event; 0 if it is empty.
	Covered uint64

	dir   string
	state state
}

// OpenCopy reads the last checkpoint in a directory of trees and verifies that it is signed with the log's key. It
// changes nothing.
func OpenCopy(dir string, keys logkeys.Keys) (*Copy, error) {
	s, err := readState(dir)
	if err != nil || s.Covered == 0 {
		return &Copy{dir: dir}, err
	}
	policy, err := keys.Policy()
	if err != nil {
		return nil, err
	}
	signed, err := policy.Open([]byte(s.Checkpoint))
	if err != nil {
		return nil, fmt.Errorf("%w: the last checkpoint: %w", ErrDiffers, err)
	}
	directory, err := s.directory(keys.Salts())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	global, err := merkle.OpenLog(newFiles(filepath.Join(dir, "global")), s.Global)
	if err != nil || signed.Tree != global.Tree() {
		return nil, fmt.Errorf("%w: the global tree is not the one that was signed: %w", ErrDiffers, err)
	}
	if err := merkle.Ends(newFiles(filepath.Join(dir, "global")), s.Global, directory.Entry()); err != nil {
		return nil, fmt.Errorf("%w: the tenants' trees are not those that were signed: %w", ErrDiffers, err)
	}
	return &Copy{Covered: s.Covered, dir: dir, state: s}, nil
}

// Events yields all events of the second copy in stream order, each verified against the signed trees. An error ends
// the sequence.
func (c *Copy) Events() iter.Seq2[merkle.Stored, error] {
	return func(yield func(merkle.Stored, error) bool) {
		type source struct {
			next func() (merkle.Whole, error, bool)
			at   merkle.Whole
		}
		var sources []*source
		for _, t := range c.state.Tenants {
			next, stop := iter.Pull2(merkle.Events(newFiles(filepath.Join(c.dir, "tenants", t.Tenant)), t.Tree, 1))
			defer stop()
			s := &source{next: next}
			at, err, more := next()
			if err != nil {
				yield(merkle.Stored{}, fmt.Errorf("the second copy of %s: %w", t.Tenant, err))
				return
			}
			if s.at = at; more {
				sources = append(sources, s)
			}
		}
		for len(sources) > 0 {
			first := 0
			for i, s := range sources {
				if s.at.Sequence < sources[first].at.Sequence {
					first = i
				}
			}
			s := sources[first]
			if !yield(merkle.Stored{Sequence: s.at.Sequence, Subject: s.at.Subject, Bytes: s.at.Bytes}, nil) {
				return
			}
			at, err, more := s.next()
			if err != nil {
				yield(merkle.Stored{}, fmt.Errorf("the second copy: %w", err))
				return
			}
			if s.at = at; !more {
				sources = append(sources[:first], sources[first+1:]...)
			}
		}
	}
}
