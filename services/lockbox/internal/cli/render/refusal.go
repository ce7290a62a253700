package render

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// predicates begin messages whose subject is their field: "is required", "must be a time in the past".
var predicates = []string{"is", "are", "must", "has", "holds", "was", "does", "cannot", "may", "needs", "names"}

// FieldName returns a refusal's field in words: approve.resource_ids becomes "resource IDs".
func FieldName(field string) string {
	words := strings.ReplaceAll(field[strings.LastIndexByte(field, '.')+1:], "_", " ")
	return idWord.ReplaceAllStringFunc(words, func(s string) string { return strings.ToUpper(s[:2]) + s[2:] })
}

var idWord = regexp.MustCompile(`\bids?\b`)

// RefusalSentence returns a refusal as one sentence, which says what it is about. It goes after a colon.
func RefusalSentence(r *lockboxv1.Refusal) string {
	message, name := Clean(r.GetMessage()), FieldName(Clean(r.GetField()))
	if first, _, _ := strings.Cut(message, " "); name != "" && slices.Contains(predicates, first) {
		message = "the " + name + " " + message
	}
	return ended(message)
}

// ended gives a sentence its full stop; a message of several lines ends with a list.
func ended(message string) string {
	if message == "" || strings.ContainsAny(message[len(message)-1:], ".!?:") || strings.Contains(message, "\n") {
		return message
	}
	return message + "."
}

// capital gives a sentence that stands by itself its capital, unless it begins with what people type.
func capital(sentence string) string {
	first, size := utf8.DecodeRuneInString(sentence)
	if word, _, _ := strings.Cut(sentence, " "); plainWord.MatchString(word) && word != "lockbox" {
		return string(unicode.ToUpper(first)) + sentence[size:]
	}
	return sentence
}

var plainWord = regexp.MustCompile(`^[a-z][a-z'’-]*[,:;]?$`)

// Refusal renders a refusal: a sentence, the field if that does not name it, and a hint for the user. Which rule it is
// of, programs read in the JSON.
func Refusal(l Look, r *lockboxv1.Refusal, hint string) string {
	p := &page{Look: l}
	p.hang(p.paint(bad, "Refused:")+" ", plain, RefusalSentence(r))
	if name := FieldName(Clean(r.GetField())); !strings.HasPrefix(RefusalSentence(r), "the "+name+" ") {
		p.field("field", name)
	}
	p.field("hint", hint)
	return p.String()
}

// Faults renders everything that is wrong with one input.
func Faults(l Look, refused bool, sentences []string, hint string) string {
	p, what := &page{Look: l}, "Error:"
	if refused {
		what = "Refused:"
	}
	p.hang(p.paint(bad, what)+" ", plain, fmt.Sprintf("%d things are wrong.", len(sentences)))
	for _, s := range sentences {
		p.hang("  "+p.glyph("•", "-")+" ", plain, CleanText(capital(ended(s))))
	}
	p.field("hint", hint)
	return p.String()
}

// Failure renders an error that is not a refusal.
func Failure(l Look, message, hint string) string {
	p := &page{Look: l}
	p.hang(p.paint(bad, "Error:")+" ", plain, CleanText(ended(message)))
	p.field("hint", hint)
	return p.String()
}

// RefusalCode returns a refusal code without its prefix: CONFLICT.
func RefusalCode(c lockboxv1.RefusalCode) string {
	return strings.TrimPrefix(c.String(), "REFUSAL_CODE_")
}
