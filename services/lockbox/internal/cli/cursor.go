package cli

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
)

// keptEvery is the minimum time between two writes of the cursor while events are plentiful.
const keptEvery = time.Second

// cursor stores the position of a replay in a file, so that the same command continues from there. It advances only
// after the events up to it are on disk; with an output file, each event is in the file exactly once, even after a
// crash.
type cursor struct {
	name string
	now  func() time.Time
	out  *os.File // nil: stdout
	kept time.Time
	at   bookmark.Mark
}

// openCursor reads the cursor file, if it exists, and opens the output file at the cursor's position.
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
	if err == nil { // output beyond the cursor will be written again
		err = c.out.Truncate(c.at.Offset)
	}
	if err == nil {
		_, err = c.out.Seek(c.at.Offset, io.SeekStart)
	}
	if err == nil && !begun { // lets the next run recognise the output file as its own
		err = bookmark.Keep(name, c.at)
	}
	if err != nil {
		return nil, errors.Join(err, c.out.Close())
	}
	return c, nil
}

// passed records that an event was processed, and stores the position from time to time. Flush writes buffered output.
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

// keep syncs the output up to here to disk, and then stores the position.
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
