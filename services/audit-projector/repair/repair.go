// Package repair plans how a damaged stream is restored from its second copy. It only reads: the plan is carried out by
// others while no service runs. Nothing is discarded: an event that cannot stand in the stream is a conflict, and is
// kept.
package repair

import (
	"bytes"
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
	// their place, or they follow one that was not recorded.
	Conflict
)

// Step is one event with its source.
type Step struct {
	Source Source
	journal.Stored
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
		// restore yields what was recorded before a sequence; if the stream has a message at that sequence, it is
		// compared.
		restore := func(before uint64) bool {
			for more && failed == nil && next.Sequence < before {
				last = next.Sequence
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
				next, failed, more = recorded()
			case m.Sequence <= covered:
				fork = true // restore yields what was recorded here
			case !fork && m.Sequence == last+1:
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
