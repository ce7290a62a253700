package cli

import (
	"bufio"
	"errors"
	"io"

	"github.com/openlockbox/lockbox/pkg/export"
)

// sheet is the output of an export.
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

// ended writes a last row saying that the export is incomplete.
func (s sheet) ended(err error, more string) error {
	return errors.Join(err, s.write(s.format.Incomplete("The export ended early: not everything is here."+more)),
		s.Flush())
}
