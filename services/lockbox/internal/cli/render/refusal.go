package render

import (
	"fmt"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func refusalLine(r *lockboxv1.Refusal) string {
	line := Clean(r.GetMessage())
	if r.GetField() != "" {
		line = Clean(r.GetField()) + ": " + line
	}
	if r.GetRule() != "" {
		line += fmt.Sprintf(" (%s)", Clean(r.GetRule()))
	}
	return line
}

// Refusal is why something was not done: the message, the field, the rule, and what the caller can do.
func Refusal(l Look, r *lockboxv1.Refusal, hint string) string {
	p := &page{Look: l}
	p.hang(p.paint(bad, "Refused:")+" ", plain, Clean(r.GetMessage()))
	p.field("field", Clean(r.GetField()))
	p.field("rule", Clean(r.GetRule()))
	p.field("hint", hint)
	return p.String()
}

// Failure is an error that is no refusal.
func Failure(l Look, message, hint string) string {
	p := &page{Look: l}
	p.hang(p.paint(bad, "Error:")+" ", plain, CleanText(message))
	p.field("hint", hint)
	return p.String()
}

// RefusalCode is a refusal's code without its prefix: CONFLICT.
func RefusalCode(c lockboxv1.RefusalCode) string {
	return strings.TrimPrefix(c.String(), "REFUSAL_CODE_")
}
