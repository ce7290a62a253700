package prose

import (
	"strings"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

const rule = "bad input"

// CheckLine checks a single line of plain text, as Check does.
func CheckLine(field, s string, minWidth, maxRunes int) error {
	if strings.ContainsAny(s, "\n\t") {
		return refusal.Invalid(field, rule, "must be one line without tabs")
	}
	return Check(field, s, minWidth, maxRunes)
}

// Check checks plain text of at most maxRunes runes, of which a reader sees at least minWidth columns (Length). It
// allows no control characters except line feed and tab, no bidirectional controls, and invisible characters only where
// they mean something: a justification must look the same to everyone. What people paste is normalized before it gets
// here.
func Check(field, s string, minWidth, maxRunes int) error {
	if !utf8.ValidString(s) {
		return refusal.Invalid(field, rule, "must be UTF-8")
	}
	if n := utf8.RuneCountInString(s); n > maxRunes {
		return refusal.Invalid(field, rule, "is %d characters long; at most %d are allowed", n, maxRunes)
	}
	if n := Length(strings.TrimSpace(s)); n < minWidth {
		if n == 0 {
			return refusal.Invalid(field, rule, "is required")
		}
		return refusal.Invalid(field, rule, "is %d characters long; at least %d are needed", n, minWidth)
	}
	if r, place := Unclean(s); place > 0 {
		return refusal.Invalid(field, rule,
			"holds U+%04X as its character %d, which controls how text is shown instead of being shown", r, place)
	}
	return nil
}
