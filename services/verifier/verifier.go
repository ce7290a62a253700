// Package verifier is what a customer runs against the provider: it checks receipts offline, follows the log and
// proves that it only grew, and compares it with what a mail says. It trusts public keys alone. It links nothing of the
// services that it checks, so that whoever reviews it reads little; see README.md.
package verifier

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

// ErrNotProven says that a receipt, or what a log shows, does not hold.
var ErrNotProven = errors.New("not proven")

// UsageError says that what somebody asked for makes no sense, before anything was checked.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Message is an error as people read it: of a refusal its sentence alone.
func Message(err error) string {
	if r, refused := refusal.As(err); refused {
		return r.GetMessage()
	}
	return err.Error()
}

// clean makes text from outside safe to print as part of a line: what would control the terminal or change the
// direction of text is written out.
func clean(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "<U+%04X>", r)
		}
	}
	return b.String()
}
