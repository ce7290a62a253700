// Package render turns what the services answer into what people read: tables, pages, a timeline; and into JSON and
// YAML for programs. It knows nothing of the bus or of the command line. It reads no clock, asks no terminal and writes
// nowhere: what the reader's terminal can show is a value. Whatever came from outside passes Clean or CleanText, so
// that no data can steer a terminal.
package render

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// Look is what the reader's terminal can show, and when and where the reader is.
type Look struct {
	// Color paints with the terminal's own sixteen colours.
	Color bool
	// Unicode lets ornaments be beyond ASCII. Data is shown as it is either way.
	Unicode bool
	// Width of the terminal in columns; 0: no limit, for files and pipes.
	Width int
	// Zone for times; nil is UTC.
	Zone *time.Location
	Now  time.Time
}

// paint is a meaning, not a colour.
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

// paint colours one line that is clean already.
func (l Look) paint(p paint, s string) string {
	if !l.Color || p == plain || s == "" {
		return s
	}
	return styles[p].Render(s)
}

// glyph picks an ornament that the terminal can show.
func (l Look) glyph(unicode, ascii string) string {
	if l.Unicode {
		return unicode
	}
	return ascii
}

// truncate cuts a clean line to width columns.
func (l Look) truncate(s string, width int) string {
	return ansi.Truncate(s, width, l.glyph("…", "..."))
}

// wrap breaks clean lines at width columns; 0: not at all.
func wrap(s string, width int) []string {
	if width > 0 {
		s = ansi.Wrap(s, width, "/")
	}
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// width is how many columns a line takes; a Chinese or Japanese character takes two.
func width(s string) int { return ansi.StringWidth(s) }

// pad fills a line to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }

// Clean makes text from outside safe to print as part of one line: line breaks and tabs become blanks, and what would
// control the terminal, change the direction of text or hide in it is written out, such as <U+001B>.
func Clean(s string) string {
	return clean(s, func(r rune) (string, bool) { return " ", r == '\n' || r == '\t' || r == '\r' })
}

// CleanText is Clean for text of several lines: line breaks stay.
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

// harmless is an allow-list: letters, marks, numbers, punctuation, symbols, blanks; less what is one of these in name
// and shows nothing.
func harmless(r rune) bool {
	switch r {
	case utf8.RuneError, '\u034F', '\u115F', '\u1160', '\u2800', '\u3164', '\uFFA0':
		return false
	}
	return unicode.IsOneOf([]*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs}, r)
}
