package mail

import (
	"strings"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/prose"
)

// columns is how wide the text part is (RFC 2646 §3).
const columns = 76

// wrap folds a text that begins after so many columns, each further line after a prefix. Words stay whole, such as ids
// and addresses; Chinese and Japanese fold between any two characters but those that must not begin or end a line.
func wrap(begins int, prefix, s string) string {
	var lines []string
	line, used := "", begins
	for _, piece := range pieces(s) {
		if line != "" && used+prose.Length(strings.TrimRight(piece, " ")) > columns {
			lines = append(lines, strings.TrimRight(line, " "))
			line, used = "", prose.Length(prefix)
		}
		line += piece
		used += prose.Length(piece)
	}
	return strings.Join(append(lines, strings.TrimRight(line, " ")), "\n"+prefix)
}

// pieces splits a text where a line may end, after each space and between wide characters.
func pieces(s string) (list []string) {
	runes := []rune(s)
	from := 0
	for i := 1; i < len(runes); i++ {
		before, after := runes[i-1], runes[i]
		if after != ' ' && (before == ' ' || foldable(before, after)) {
			list = append(list, string(runes[from:i]))
			from = i
		}
	}
	return append(list, string(runes[from:]))
}

// foldable reports whether a line may end between two runes that no space separates (kinsoku shori).
func foldable(before, after rune) bool {
	wide := func(r rune) bool {
		return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || strings.ContainsRune(closing+opening, r)
	}
	return (wide(before) || wide(after)) && !unicode.IsSpace(before) && !unicode.IsSpace(after) &&
		!strings.ContainsRune(closing, after) && !strings.ContainsRune(opening, before)
}

const (
	closing = "、。，．：；？！）」』】〕・ーぁぃぅぇぉっゃゅょァィゥェォッャュョ,.:;?!)]…"
	opening = "（「『【〔"
)
