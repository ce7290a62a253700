package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest that anything foreign may be in a mail, in runes.
const (
	longestLine = 240
	longestText = 4000
)

// line makes one harmless line of a text that somebody else chose: a name, an id, a title. Commands check most of them
// before they become events; names in tokens, and whatever an older version let through, they do not.
func line(s string) string {
	return cut(strings.Join(strings.Fields(strings.Map(visible, bounded(s, longestLine))), " "), longestLine)
}

// text makes a harmless text of several lines.
func text(s string) string {
	lines := strings.Split(bounded(s, longestText), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRightFunc(strings.Map(visible, l), unicode.IsSpace)
	}
	return cut(strings.Trim(strings.Join(lines, "\n"), "\n"), longestText)
}

// bounded is valid UTF-8 of not many more bytes than that many runes can have: what is cut anyway is not looked at.
func bounded(s string, runes int) string {
	return strings.ToValidUTF8(s[:min(len(s), 2*utf8.UTFMax*runes)], "�")
}

// visible drops what is not shown but changes how the rest is shown: controls, directions, joiners, tags.
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
