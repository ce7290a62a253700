package render

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func refusalLine(r *lockboxv1.Refusal) string {
	line := Clean(r.GetMessage())
	if r.GetField() != "" {
		line = Clean(r.GetField()) + ": " + line
	}
	return line
}

// Refusal renders a refusal: message, field, and a hint for the user. Which rule it is of, programs read in the JSON.
func Refusal(l Look, r *lockboxv1.Refusal, hint string) string {
	p := &page{Look: l}
	p.hang(p.paint(bad, "Refused:")+" ", plain, Clean(r.GetMessage()))
	p.field("field", Clean(r.GetField()))
	p.field("hint", hint)
	return p.String()
}

// Failure renders an error that is not a refusal.
func Failure(l Look, message, hint string) string {
	p := &page{Look: l}
	p.hang(p.paint(bad, "Error:")+" ", plain, CleanText(message))
	p.field("hint", hint)
	return p.String()
}

// RefusalCode returns a refusal code without its prefix: CONFLICT.
func RefusalCode(c lockboxv1.RefusalCode) string {
	return strings.TrimPrefix(c.String(), "REFUSAL_CODE_")
}
