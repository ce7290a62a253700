// Package repair plans how a damaged stream is restored from its second copy. It only reads: the plan is carried out by
// others while no service runs. Nothing is discarded: an event that cannot stand in the stream is a conflict, and is
// kept.
package repair

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
)

// TreesDir returns the directory of the trees within the projector's directory.
func TreesDir(projectorDir string) string { return filepath.Join(projectorDir, ledger.DirName) }

// Copy is the second copy of the stream.
type Copy = ledger.Copy

// Open opens the second copy in a projector's directory.
func Open(projectorDir string, keys logkeys.Keys) (*Copy, error) {
	return ledger.OpenCopy(TreesDir(projectorDir), keys)
}

// Source says where an event of the restored stream comes from.
type Source int

const (
	// Kept events are in the stream as they were recorded.
	Kept Source = iota
	// Restored events are missing in the stream, or differ from what was recorded.
	Restored
	// Tail events come after the end of the second copy, and nothing contradicts them.
	Tail
	// Conflict events were acknowledged and are in the stream, but cannot stay there: another event was recorded in
	// their place or on their subject, or they follow one that was not recorded.
	Conflict
)

// Step is one event with its source.
type Step struct {
	Source Source
	journal.Stored
}

// subjects are the subjects of the events that stand in the restored stream, by hash, with their sequences. While a
// stream lacks an event, another can be stored on its subject; once it is restored, there is no place for that one.
type subjects map[[16]byte]uint64

// take gives a subject to an event, and returns the sequence of the one that has it: another if it is taken.
func (s subjects) take(subject string, sequence uint64) (by uint64) {
	sum := sha256.Sum256([]byte(subject))
	key := [16]byte(sum[:16])
	if by, taken := s[key]; taken {
		return by
	}
	s[key] = sequence
	return sequence
}

// record takes the subject of an event that was recorded. Two on one subject cannot both be restored.
func (s subjects) record(subject string, sequence uint64) error {
	if by := s.take(subject, sequence); by != sequence {
		return fmt.Errorf("events %d and %d were both recorded on %s, which can hold one; no stream can be made of them", by,
			sequence, subject)
	}
	return nil
}

// Steps merges the stream with its second copy, both in order. An error of either ends the sequence. Conflicts keep
// their position.
func Steps(
	covered uint64, stream iter.Seq2[journal.Stored, error], second iter.Seq2[merkle.Stored, error],
) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		recorded, stop := iter.Pull2(second)
		defer stop()
		next, failed, more := recorded()
		fork, last := false, uint64(0)
		standing := subjects{}
		// restore yields what was recorded before a sequence; if the stream has a message at that sequence, it is
		// compared.
		restore := func(before uint64) bool {
			for more && failed == nil && next.Sequence < before {
				last = next.Sequence
				if failed = standing.record(next.Subject, last); failed != nil {
					break
				}
				if !yield(Step{Restored, journal.Stored{Sequence: next.Sequence, Subject: next.Subject, Data: next.Bytes}}, nil) {
					return false
				}
				next, failed, more = recorded()
			}
			if failed != nil {
				yield(Step{}, failed)
				return false
			}
			return true
		}
		for m, err := range stream {
			if err != nil {
				yield(Step{}, err)
				return
			}
			if !restore(m.Sequence) {
				return
			}
			step := Step{Conflict, m}
			switch {
			case more && next.Sequence == m.Sequence && next.Subject == m.Subject && bytes.Equal(next.Bytes, m.Data):
				step.Source, last = Kept, m.Sequence
				if err := standing.record(m.Subject, m.Sequence); err != nil {
					yield(Step{}, err)
					return
				}
				next, failed, more = recorded()
			case m.Sequence <= covered:
				fork = true // restore yields what was recorded here
			case !fork && m.Sequence == last+1 && standing.take(m.Subject, m.Sequence) == m.Sequence:
				step.Source, last = Tail, m.Sequence
			default:
				fork = true
			}
			if !yield(step, nil) {
				return
			}
		}
		restore(^uint64(0))
	}
}
