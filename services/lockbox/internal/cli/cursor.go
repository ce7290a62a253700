package cli

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
)

// keptEvery is how often a cursor is kept while there is much.
const keptEvery = time.Second

// cursor remembers in a file how far a replay has come, so that the same command goes on there. It moves only after
// what it has passed is written: with an output file each event is in it exactly once, whatever ends the command.
type cursor struct {
	name string
	now  func() time.Time
	out  *os.File // nil: standard output
	kept time.Time
	at   bookmark.Mark
}

// openCursor reads the file, if it is there, and opens the output file for what follows.
func openCursor(name, file string, now func() time.Time) (c *cursor, err error) {
	c = &cursor{name: name, now: now}
	var begun bool
	if c.at, begun, err = bookmark.Read(name); err != nil {
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
		err = refusal.Precondition("file", "R40", "%s is shorter than the cursor says: %d bytes, not %d", file, size,
			c.at.Offset)
	}
	if err == nil { // what was written after the cursor was kept is written again
		err = c.out.Truncate(c.at.Offset)
	}
	if err == nil {
		_, err = c.out.Seek(c.at.Offset, io.SeekStart)
	}
	if err == nil && !begun { // so that the file is known as its own from now on
		err = bookmark.Keep(name, c.at)
	}
	if err != nil {
		return nil, errors.Join(err, c.out.Close())
	}
	return c, nil
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
	return bookmark.Keep(c.name, c.at)
}

func (c *cursor) close() error {
	if c == nil || c.out == nil {
		return nil
	}
	return c.out.Close()
}
