// Package bookmark stores in a file how far a reader of the event stream has got.
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

// Mark is a position in the stream, as stored in the file.
type Mark struct {
	// Stream is the hash of the stream's first event; a mark of one stream is never used on another.
	Stream string `json:"stream"`
	// Sequence is that of the last event read; Offset is the length of the output file at that point, in bytes.
	Sequence uint64 `json:"sequence,string"`
	Offset   int64  `json:"offset,omitempty"`
}

// Read reads a bookmark file; found is false if the file does not exist.
func Read(name string) (m Mark, found bool, err error) {
	data, err := os.ReadFile(name) // #nosec G304 -- the user names it
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, false, nil
	case err != nil:
		return m, false, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, false, fmt.Errorf("%s is not a bookmark file: %w", name, err)
	}
	return m, true, nil
}

// Source is implemented by *journal.Journal.
type Source interface {
	Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error
}

var errFirst = errors.New("the first event")

// Check rejects a mark that was taken on another stream, and records the stream's hash in a new mark. One that was
// begun while the stream was empty has no hash yet.
func (m *Mark) Check(ctx context.Context, from Source, name string) error {
	stream := ""
	err := from.Replay(ctx, journal.Replay{From: 1, Undecoded: true}, func(e journal.Entry) error {
		sum := sha256.Sum256(e.Data)
		stream = hex.EncodeToString(sum[:])
		return errFirst
	})
	if err != nil && !errors.Is(err, errFirst) {
		return err
	}
	if m.Sequence > 0 && m.Stream != "" && m.Stream != stream {
		return refusal.Precondition("cursor", "R40", "%s is of another stream", name)
	}
	m.Stream = stream
	return nil
}

// Keep atomically replaces the file with v as JSON and returns once it is on disk.
func Keep(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(name, append(data, '\n'), 0o600)
}
