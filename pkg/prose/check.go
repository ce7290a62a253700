package prose

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const rule = "bad input"

// CheckLine checks a single line of plain text, as Check does.
func CheckLine(field, s string, minWidth, maxRunes int) error {
	if strings.ContainsAny(s, "\n\t") {
		return refusal.Because(refusal.Invalid(field, rule, "must be one line without tabs"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_NOT_ONE_LINE))
	}
	return Check(field, s, minWidth, maxRunes)
}

// Check checks plain text of at most maxRunes runes, of which a reader sees at least minWidth columns (Length). It
// allows no control characters except line feed and tab, no bidirectional controls, and invisible characters only where
// they mean something: a justification must look the same to everyone. What people paste is normalized before it gets
// here.
func Check(field, s string, minWidth, maxRunes int) error {
	if !utf8.ValidString(s) {
		return refusal.Because(refusal.Invalid(field, rule, "must be UTF-8"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_NOT_PLAIN))
	}
	if n := utf8.RuneCountInString(s); n > maxRunes {
		return refusal.Because(
			refusal.Invalid(field, rule, "is %d characters long; at most %d are allowed", n, maxRunes),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_TOO_LONG, "most", strconv.Itoa(maxRunes)))
	}
	if n := Length(strings.TrimSpace(s)); n < minWidth {
		if n == 0 {
			return refusal.Because(refusal.Invalid(field, rule, "is required"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_REQUIRED))
		}
		return refusal.Because(
			refusal.Invalid(field, rule, "is %d characters long; at least %d are needed", n, minWidth),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_TOO_SHORT, "least", strconv.Itoa(minWidth)))
	}
	if r, place := Unclean(s); place > 0 {
		return refusal.Because(refusal.Invalid(field, rule,
			"holds U+%04X as its character %d, which controls how text is shown instead of being shown", r, place),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_NOT_PLAIN))
	}
	return nil
}
