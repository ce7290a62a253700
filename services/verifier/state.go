package verifier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	stateFormat = "lockbox-watch/v2"
	// remembered is how many earlier checkpoints are kept. A copy of the log's server that lags shows one of them.
	remembered = 64
)

// state is what a watcher keeps of a log: the last trusted checkpoint with the tenant's slot, and what it has read up
// to there. Files of before there was a format hold the checkpoint alone.
type state struct {
	Format string `json:"format"`
	merkle.Seen
	// Read are the entries that were read; their number is the size of the tenant's tree.
	Read *entries `json:"read"`
	// Earlier are the signed notes before the last one, oldest first.
	Earlier []string `json:"earlier"`
	// Times are the last times of the witnesses' cosignatures, in seconds since 1970.
	Times map[string]int64 `json:"times"`
	// Found is what was found in entries and their bytes, and not acknowledged yet.
	Found []finding `json:"found"`
	// Bytes is how far the bytes were checked; nil: nothing was, as by earlier versions.
	Bytes *checked `json:"bytes,omitempty"`

	// file is what was read, which need not be written again.
	file []byte
}

// finding is a contradiction between entries or in their bytes, and the file of its evidence; without one it cannot be
// proved to others.
type finding struct {
	What     string `json:"what"`
	Evidence string `json:"evidence"`
}

// readState reads a watcher's file; without one, or with an empty tenant, nothing is known yet.
func readState(name, tenant string) (*state, error) {
	s := &state{Seen: merkle.Seen{Tenant: tenant}}
	data, err := os.ReadFile(name) // #nosec G304 -- the user names it
	switch {
	case errors.Is(err, fs.ErrNotExist) && tenant != "":
		return s, s.complete()
	case err == nil:
		s.file = data
		err = json.Unmarshal(data, s)
	}
	if err == nil && s.Format != "" && s.Format != stateFormat {
		err = fmt.Errorf("it is %q, which this program does not know: upgrade it", s.Format)
	}
	if err == nil {
		err = s.complete()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if tenant != "" && s.Tenant != tenant {
		return nil, refusal.Invalid("state", "R41", "%s is about %s, not %s", name, s.Tenant, tenant)
	}
	return s, nil
}

// complete makes what is missing, and checks what is there.
func (s *state) complete() error {
	s.Format = stateFormat
	if s.Read == nil {
		s.Read = &entries{}
	}
	if s.Times == nil {
		s.Times = map[string]int64{}
	}
	if s.Checkpoint != "" && treeOf(s.Checkpoint).Origin == "" {
		return errors.New("what was seen is no checkpoint")
	}
	if s.Read.Size > s.Opening.Size {
		return errors.New("more entries were read than there were")
	}
	if s.Read.Roots == nil {
		s.Read.Roots = []tlog.Hash{}
	}
	return s.Read.open()
}

// saw takes a checkpoint that comes after the last one, or has other cosignatures than it.
func (s *state) saw(next merkle.Seen, signed merkle.Signed) {
	grown := sizeOf(s.Checkpoint) != signed.Tree.N
	if grown && s.Checkpoint != "" {
		s.Earlier = append(s.Earlier, s.Checkpoint)
		s.Earlier = slices.Clone(s.Earlier[max(0, len(s.Earlier)-remembered):])
	}
	s.Seen = next
	for _, c := range signed.Cosigned {
		if grown || c.At.Unix() > s.Times[c.Name] {
			s.Times[c.Name] = c.At.Unix()
		}
	}
}

// oddTimes names the times of cosignatures that cannot be, or are earlier than the same witness's last one.
func (s *state) oddTimes(signed merkle.Signed, now time.Time) (odd []string) {
	grown := signed.Tree.N > sizeOf(s.Checkpoint)
	for _, c := range signed.Cosigned {
		last := time.Unix(s.Times[c.Name], 0)
		if why := oddTime(c.At, now); why != "" {
			odd = append(odd, fmt.Sprintf("the witness %s says %s", clean(c.Name), why))
		} else if grown && c.At.Before(last) && oddTime(last, now) == "" {
			odd = append(odd, fmt.Sprintf("the witness %s went back in time, from %s to %s", clean(c.Name),
				utc(last), utc(c.At)))
		}
	}
	return odd
}

// keep atomically replaces the file with v as JSON and returns once it is on disk. A state that is as it was read is
// not written again.
func keep(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if s, is := v.(*state); is && bytes.Equal(s.file, append(data, '\n')) {
		return nil
	}
	return durable.Replace(name, append(data, '\n'), 0o600)
}

// treeOf returns what an unverified note says; zero if it is none.
func treeOf(note string) merkle.Checkpoint {
	text, _, _ := strings.Cut(note, "\n\n")
	c, err := merkle.ParseCheckpoint(text + "\n")
	if err != nil {
		return merkle.Checkpoint{}
	}
	return c
}

func sizeOf(note string) int64 { return treeOf(note).Tree.N }
