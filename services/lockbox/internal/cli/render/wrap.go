package render

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// wrap breaks clean lines at that many columns; 0: no wrapping. It breaks between words. A word that fits into no line
// is broken after a slash, as paths are, and anywhere only if that does not help.
func wrap(s string, room int) (lines []string) {
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimRight(line, " "); room > 0 && width(line) > room {
			lines = append(lines, fill(line, room)...)
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// width returns the number of columns of a line; wide characters, such as Chinese and Japanese ones, take two.
func width(s string) int { return ansi.StringWidth(s) }

// fill breaks one line.
func fill(s string, room int) (lines []string) {
	line, used := "", 0
	add := func(piece string) {
		line, used = line+piece, used+width(piece)
	}
	end := func() { lines, line, used = append(lines, strings.TrimRight(line, " ")), "", 0 }
	for s != "" {
		word := strings.TrimLeft(s, " ")
		space := s[:len(s)-len(word)]
		if at := strings.IndexByte(word, ' '); at >= 0 {
			word = word[:at]
		}
		s = s[len(space)+len(word):]
		parts := pieces(word)
		if len(parts) == 1 || !wideIn(word) && width(word) <= room {
			parts = []string{word}
		}
		for i, part := range parts {
			gap := ""
			if i == 0 {
				gap = space
			}
			if used > 0 && used+width(gap)+width(part) > room {
				end()
				gap = ""
			}
			add(gap)
			for width(part) > room && room > 1 { // not even alone on a line
				add(ansi.Truncate(part, room, ""))
				part = ansi.TruncateLeft(part, room, "")
				end()
			}
			add(part)
		}
	}
	end()
	return lines
}

// closing are characters that no line begins with.
const closing = "、。，．・：；？！）」』】〉》”’ー,.:;?!)"

// pieces splits a word where it may be broken: after a slash, and beside wide characters.
func pieces(word string) (parts []string) {
	from, runes := 0, []rune(word)
	for i := 1; i < len(runes); i++ {
		here, next := runes[i-1], runes[i]
		slash := here == '/' && next != '/' && i-from > 1
		if (slash || wide(here) || wide(next)) && !strings.ContainsRune(closing, next) && !opening(here) {
			parts, from = append(parts, string(runes[from:i])), i
		}
	}
	return append(parts, string(runes[from:]))
}

func opening(r rune) bool { return strings.ContainsRune("（「『【〈《“‘(", r) }

// wide reports whether a character is of a script that is written without spaces.
func wide(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || strings.ContainsRune("、。・（）「」『』【】", r)
}

func wideIn(s string) bool { return strings.ContainsFunc(s, wide) }

// longest returns the columns of the longest piece of a text that is not broken: a word, or a part of a path.
func longest(s string) (most int) {
	for word := range strings.FieldsSeq(s) {
		for _, part := range pieces(word) {
			most = max(most, width(part))
		}
	}
	return most
}

// clip returns the beginning of a clean line that fits into some columns, with a mark if it is not the whole: it ends
// with a word, if there is more than one.
func (l Look) clip(s string, room int) string {
	if width(s) <= room {
		return s
	}
	mark := l.glyph("…", "...")
	first := wrap(s, max(1, room-width(mark)-1))[0]
	if width(first) < room/3 || width(strings.Fields(s + " .")[0]) > room {
		return ansi.Truncate(s, room, mark)
	}
	return first + " " + mark
}
