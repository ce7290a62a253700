// Package render turns the services' answers into text for people (tables, pages, a timeline) and into JSON and YAML
// for programs. It does not depend on the bus or on the command line, reads no clock and does no I/O: the properties
// of the terminal are passed in as a Look. All untrusted text passes through Clean or CleanText, so that data cannot
// control the terminal.
package render

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
)

// Look describes the user's terminal, and the current time and time zone.
type Look struct {
	// Color enables the terminal's 16 ANSI colours.
	Color bool
	// Unicode allows ornaments beyond ASCII. Data is shown unchanged in both cases.
	Unicode bool
	// Width is the terminal's width in columns; 0: unlimited, for files and pipes.
	Width int
	// Zone is the time zone of times shown; nil: UTC.
	Zone *time.Location
	Now  time.Time
}

// paint is a semantic style; each has a colour.
type paint int

const (
	plain paint = iota
	bold
	dim
	good
	warn
	bad
	accent
)

var styles = [...]lipgloss.Style{
	plain:  lipgloss.NewStyle().Inline(true),
	bold:   lipgloss.NewStyle().Inline(true).Bold(true),
	dim:    lipgloss.NewStyle().Inline(true).Faint(true),
	good:   lipgloss.NewStyle().Inline(true).Foreground(lipgloss.Green),
	warn:   lipgloss.NewStyle().Inline(true).Foreground(lipgloss.Yellow),
	bad:    lipgloss.NewStyle().Inline(true).Foreground(lipgloss.Red),
	accent: lipgloss.NewStyle().Inline(true).Foreground(lipgloss.Cyan),
}

// paint styles one clean line.
func (l Look) paint(p paint, s string) string {
	if !l.Color || p == plain || s == "" {
		return s
	}
	return styles[p].Render(s)
}

// glyph returns the ornament that the terminal can display.
func (l Look) glyph(unicode, ascii string) string {
	if l.Unicode {
		return unicode
	}
	return ascii
}

// pad pads a line to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }

// Clean makes untrusted text safe to print within one line: line breaks and tabs become spaces, and characters that
// control the terminal, change the direction of text or are invisible are escaped, as in <U+001B>.
func Clean(s string) string {
	return clean(s, func(r rune) (string, bool) { return " ", r == '\n' || r == '\t' || r == '\r' })
}

// CleanText is Clean for multi-line text: line breaks are kept.
func CleanText(s string) string {
	return clean(strings.ReplaceAll(s, "\r\n", "\n"), func(r rune) (string, bool) {
		if r == '\t' {
			return "    ", true
		}
		return "\n", r == '\n'
	})
}

func clean(s string, space func(rune) (string, bool)) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !harmless(r) }) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		instead, is := space(r)
		switch {
		case is:
			b.WriteString(instead)
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "<%02X>", s[i])
		case harmless(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "<U+%04X>", r)
		}
	}
	return b.String()
}

// harmless is an allow-list: letters, marks, numbers, punctuation, symbols and spaces, except for those that are
// invisible in spite of their category.
func harmless(r rune) bool {
	switch r {
	case utf8.RuneError, '\u034F', '\u115F', '\u1160', '\u2800', '\u3164', '\uFFA0':
		return false
	}
	return unicode.IsOneOf([]*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs}, r)
}
