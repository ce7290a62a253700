package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Maximum lengths of user-supplied texts in a mail, in runes.
const (
	longestLine = 240
	longestText = 4000
)

// line sanitises a user-supplied single-line text: a name, an ID, a title. Commands check most of them before they
// become events; names in tokens, and data from older versions, are unchecked.
func line(s string) string {
	return cut(strings.Join(strings.Fields(strings.Map(visible, bounded(s, longestLine))), " "), longestLine)
}

// text sanitises a user-supplied multi-line text.
func text(s string) string {
	lines := strings.Split(bounded(s, longestText), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRightFunc(strings.Map(visible, l), unicode.IsSpace)
	}
	return cut(strings.Trim(strings.Join(lines, "\n"), "\n"), longestText)
}

// bounded returns valid UTF-8, cut to about the number of bytes that so many runes can take, so that long inputs cost
// nothing.
func bounded(s string, runes int) string {
	return strings.ToValidUTF8(s[:min(len(s), 2*utf8.UTFMax*runes)], "�")
}

// visible drops invisible characters that affect how the rest is displayed: controls, bidi marks, joiners, tags.
func visible(r rune) rune {
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
