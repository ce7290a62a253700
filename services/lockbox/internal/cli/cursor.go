package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// keptEvery is how often a cursor is kept while there is much.
const keptEvery = time.Second

// cursor remembers in a file how far a replay has come, so that the same command goes on there. It moves only after what it has
// passed is written: with an output file each event is in it exactly once, whatever ends the command.
type cursor struct {
	name string
	now  func() time.Time
	out  *os.File // nil: standard output
	kept time.Time
	at   place
}

// place is what the file holds.
type place struct {
	// Stream is the hash of the stream's first event: another stream is not gone on with.
	Stream string `json:"stream"`
	// Sequence of the last event that was looked at, and Offset how long the output file was then.
	Sequence uint64 `json:"sequence,string"`
	Offset   int64  `json:"offset"`
}

// openCursor reads the file, if it is there, and opens the output file for what follows.
func openCursor(name, file string, now func() time.Time) (c *cursor, err error) {
	c = &cursor{name: name, now: now}
	data, err := os.ReadFile(name) // #nosec G304 -- the user names it
	begun := err == nil
	if begun {
		if err = json.Unmarshal(data, &c.at); err != nil {
			return nil, fmt.Errorf("%s is no cursor: %w", name, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if file == "" {
		return c, nil
	}
	flags := os.O_WRONLY
	if !begun {
		flags |= os.O_CREATE | os.O_EXCL
	}
	if c.out, err = os.OpenFile(file, flags, 0o600); err != nil { // #nosec G304 -- as above
		return nil, err
	}
	size, err := c.out.Seek(0, io.SeekEnd)
	if err == nil && size < c.at.Offset {
		err = refusal.Precondition("file", "R40", "%s is shorter than the cursor says: %d bytes, not %d", file, size, c.at.Offset)
	}
	if err == nil { // what was written after the cursor was kept is written again
		err = c.out.Truncate(c.at.Offset)
	}
	if err == nil {
		_, err = c.out.Seek(c.at.Offset, io.SeekStart)
	}
	if err == nil && !begun { // so that the file is known as its own from now on
		err = keepFile(name, c.at)
	}
	if err != nil {
		return nil, errors.Join(err, c.out.Close())
	}
	return c, nil
}

var errFirst = errors.New("the first event")

// check refuses a stream other than the one that the cursor is of.
func (c *cursor) check(ctx context.Context, j *journal.Journal) error {
	stream := ""
	err := j.Replay(ctx, journal.Replay{From: 1}, func(e journal.Entry) error {
		sum := sha256.Sum256(e.Data)
		stream = hex.EncodeToString(sum[:])
		return errFirst
	})
	if err != nil && !errors.Is(err, errFirst) {
		return err
	}
	if c.at.Sequence > 0 && c.at.Stream != stream {
		return refusal.Precondition("cursor", "R40", "%s is of another stream", c.name)
	}
	c.at.Stream = stream
	return nil
}

// passed notes that an event was looked at, and now and then keeps the place. Flush writes what is buffered.
func (c *cursor) passed(sequence uint64, flush func() error) error {
	if c == nil {
		return nil
	}
	c.at.Sequence = sequence
	if c.now().Sub(c.kept) < keptEvery {
		return nil
	}
	return c.keep(flush)
}

// keep makes everything up to here last, and then says so.
func (c *cursor) keep(flush func() error) error {
	if c == nil {
		return nil
	}
	c.kept = c.now()
	if err := flush(); err != nil || c.at.Sequence == 0 {
		return err
	}
	if c.out != nil {
		if err := c.out.Sync(); err != nil {
			return err
		}
		offset, err := c.out.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		c.at.Offset = offset
	}
	return keepFile(c.name, c.at)
}

func (c *cursor) close() error {
	if c == nil || c.out == nil {
		return nil
	}
	return c.out.Close()
}

// keepFile puts a value into a file, as JSON, whole or not at all.
func keepFile(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(append(data, '\n'))
	if err = errors.Join(err, next.Sync(), next.Close()); err == nil {
		err = os.Rename(next.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(next.Name()))
	}
	return err
}
