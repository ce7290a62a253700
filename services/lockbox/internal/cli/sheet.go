package cli

import (
	"bufio"
	"errors"
	"io"

	"github.com/openlockbox/lockbox/pkg/export"
)

// sheet is what an export is written to.
type sheet struct {
	format export.Format
	*bufio.Writer
}

func newSheet(f export.Format, w io.Writer) sheet { return sheet{f, newBuffered(w)} }

func (s sheet) write(row []byte, err error) error {
	if err == nil {
		_, err = s.Write(row)
	}
	return err
}

// ended says in the last row that not everything is there, and what else there is to say.
func (s sheet) ended(err error, more string) error {
	return errors.Join(err, s.write(s.format.Incomplete("The export ended early: not everything is here."+more)),
		s.Flush())
}
