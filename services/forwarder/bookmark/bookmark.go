// Package bookmark remembers in a file how far a reader of the stream has come.
package bookmark

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Mark is what the file holds.
type Mark struct {
	// Stream is the hash of the stream's first event: another stream is not gone on with.
	Stream string `json:"stream"`
	// Sequence of the last event that was looked at, and Offset how long an output file was then.
	Sequence uint64 `json:"sequence,string"`
	Offset   int64  `json:"offset,omitempty"`
}

// Read reads the file, if it is there.
func Read(name string) (m Mark, found bool, err error) {
	data, err := os.ReadFile(name) // #nosec G304 -- the user names it
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, false, nil
	case err != nil:
		return m, false, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, false, fmt.Errorf("%s says nothing of how far something has come: %w", name, err)
	}
	return m, true, nil
}

// Source is *journal.Journal.
type Source interface {
	Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error
}

var errFirst = errors.New("the first event")

// Check refuses a stream other than the one that the mark is of, and notes which it is.
func (m *Mark) Check(ctx context.Context, from Source, name string) error {
	stream := ""
	err := from.Replay(ctx, journal.Replay{From: 1}, func(e journal.Entry) error {
		sum := sha256.Sum256(e.Data)
		stream = hex.EncodeToString(sum[:])
		return errFirst
	})
	if err != nil && !errors.Is(err, errFirst) {
		return err
	}
	if m.Sequence > 0 && m.Stream != stream {
		return refusal.Precondition("cursor", "R40", "%s is of another stream", name)
	}
	m.Stream = stream
	return nil
}

// Keep puts a value into a file, as JSON, whole or not at all, and returns when it is on disk.
func Keep(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(name, append(data, '\n'), 0o600)
}
