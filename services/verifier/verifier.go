// Package verifier is what customers run to check the provider: it checks receipts offline, follows the log and proves
// that it is append-only, and compares the log with a checkpoint quoted in a mail. It trusts only public keys. It
// links none of the services that it checks, which keeps the amount of code to review small; see README.md.
package verifier

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

// ErrNotProven reports that a receipt, or what a log shows, does not verify.
var ErrNotProven = errors.New("not proven")

// UsageError reports invalid arguments, before anything was checked.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Message returns an error's text for people; for a refusal that is no verdict, its message without the code and rule.
func Message(err error) string {
	if r, refused := refusal.As(err); refused && Verdict(err) == nil {
		return r.GetMessage()
	}
	return err.Error()
}

// clean makes untrusted text safe to print as part of a line: control characters and those that change the direction
// of text are escaped.
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
