// Package foreign makes texts that people wrote safe to quote in a mail or a chat: nothing in them steers how the rest
// is displayed, and nothing becomes a link, which would be taken for Lockbox's. It is pure.
package foreign

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestLine is the maximum length of a line, in runes.
const longestLine = 240

// Line sanitises a text of one line: a name, an id, a title.
func Line(s string) string { return Unlink(Name(s)) }

// Name is Line for names that whoever runs Lockbox chose, such as those of customers and services: what looks like a
// link is left.
func Name(s string) string { return NameOf(s, longestLine) }

// NameOf is Name with another maximum length, in runes.
func NameOf(s string, longest int) string {
	return cut(strings.Join(strings.Fields(strings.Map(Visible, bounded(s, longest))), " "), longest)
}

// Text sanitises a text of several lines, of at most so many runes.
func Text(s string, longest int) string {
	lines := strings.Split(bounded(s, longest), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRightFunc(strings.Map(Visible, l), unicode.IsSpace)
	}
	return Unlink(cut(strings.Trim(strings.Join(lines, "\n"), "\n"), longest))
}

// bounded returns valid UTF-8, cut to about the number of bytes that so many runes can take, so that long inputs cost
// nothing.
func bounded(s string, runes int) string {
	return strings.ToValidUTF8(s[:min(len(s), 2*utf8.UTFMax*runes)], "�")
}

// Visible drops invisible characters that affect how the rest is displayed: controls, bidi marks, joiners, tags.
func Visible(r rune) rune {
	switch {
	case r >= ' ' && r <= '~':
		return r
	case r == '\t':
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.In(r, unicode.Zl, unicode.Zp):
		return -1
	case unicode.IsGraphic(r):
		return r
	}
	return -1
}

func cut(s string, runes int) string {
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	return string([]rune(s)[:runes]) + "…"
}
