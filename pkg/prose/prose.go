// Package prose normalizes and checks what people write and paste: reasons, comments, questions, titles, display names.
// The receiver of a text normalizes it once, before the event is made. Ids, links and claims are never normalized, nor
// is what is stored, signed or verified. The package is pure.
package prose

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// Text normalizes a text of several lines, as pasted from anywhere, without changing what a reader sees:
//   - each kind of line end becomes a line feed, each kind of blank between words a space;
//   - the colours of a terminal, control characters, controls of writing direction and tags are dropped, and so are
//     invisible characters where they mean nothing. A joiner stays where a script or an emoji needs it (RFC 5892 A.1
//     and A.2), and one variation selector after a character that takes it;
//   - bullets and arrows of symbol fonts become those of Unicode, and other private characters U+FFFD;
//   - the result is in Normalization Form C.
//
// It does not change its own results.
func Text(s string) string {
	if !strings.ContainsFunc(s, isNotPlain) {
		return s
	}
	for s = escapes.ReplaceAllLiteralString(s, ""); ; {
		next := norm.NFC.String(clean(s))
		if next == s {
			return s
		}
		s = next // what was dropped may have stood between a letter and its accent
	}
}

// isNotPlain reports whether a character is none of those of ASCII that are left as they are. Most texts have no other.
func isNotPlain(r rune) bool { return (r < ' ' || r > '~') && r != '\n' && r != '\t' }

// Line normalizes a text of one line: as Text, and line feeds and tabs become a space.
func Line(s string) string { return Text(strings.Map(inLine, Text(s))) }

func inLine(r rune) rune {
	if r == '\n' || r == '\t' {
		return ' '
	}
	return r
}

// Unclean returns the first character that Text would drop or replace, and its place, from 1; 0 if there is none. It
// leaves Normalization Form C aside.
func Unclean(s string) (r rune, place int) {
	before := []rune(s)
	for i, r := range before {
		if is, keep := cleaned(before, i); !keep || is != r {
			return r, i + 1
		}
	}
	return 0, 0
}

// Length returns how much a reader sees, in columns: a wide character, such as those of Chinese and Japanese, counts
// double, and an invisible one not at all.
func Length(s string) int {
	n := 0
	for _, r := range s {
		switch kind := width.LookupRune(r).Kind(); {
		case isSelector(r) || r == nonJoiner || r == joiner:
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

const (
	nonJoiner = '\u200C'
	joiner    = '\u200D'
)

// escapes are the sequences that colour text in a terminal and move its cursor (ECMA-48 §5.4).
var escapes = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]")

// clean drops and replaces characters, and line ends of two characters.
func clean(s string) string {
	before := []rune(strings.ReplaceAll(s, "\r\n", "\n"))
	after := make([]rune, 0, len(before))
	for _, r := range before {
		// A joiner or selector is judged by what stays beside it.
		if is, keep := cleaned([]rune{r}, 0); keep || contextual(r) {
			if contextual(r) {
				is = r
			}
			after = append(after, is)
		}
	}
	kept := after[:0:0]
	for i := range after {
		if is, keep := cleaned(after, i); keep {
			kept = append(kept, is)
		}
	}
	return string(kept)
}

// contextual reports whether it depends on its neighbours whether a character means something.
func contextual(r rune) bool { return r == joiner || r == nonJoiner || isSelector(r) }

func isSelector(r rune) bool { return r >= '\uFE00' && r <= '\uFE0F' || r >= 0xE0100 && r <= 0xE01EF }

// cleaned returns what a character of a text becomes.
func cleaned(text []rune, i int) (is rune, keep bool) {
	r := text[i]
	switch {
	case r == '\n', r == '\t', r == ' ', r == '\u00A0', r == '\u202F', r == '\u3000':
		return r, true
	case r == '\r', r == '\v', r == '\f', r == '\u0085', r == '\u2028', r == '\u2029':
		return '\n', true
	case unicode.Is(unicode.Zs, r), r == '\u2800':
		return ' ', true
	case contextual(r):
		return r, means(text, i)
	case r == '\u115F', r == '\u1160', r == '\u3164', r == '\uFFA0', r == '\u034F',
		unicode.In(r, unicode.Cc, unicode.Cf):
		return 0, false
	case unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, pictographic):
		return r, true
	case symbols[r] != 0:
		return symbols[r], true
	default: // private, or not assigned yet
		return unicode.ReplacementChar, true
	}
}

// symbols are what word processors paste for the bullets and arrows of their symbol fonts.
var symbols = map[rune]rune{
	'\uF0B7': '•', '\uF0A7': '▪', '\uF06F': '○', '\uF0D8': '➢', '\uF076': '❖', '\uF0FC': '✓', '\uF0E0': '→',
	'\uF0DF': '←', '\uF0DE': '⇒', '\uF0F0': '⇨', '\uF04A': '☺', '\uF04C': '☹', '\uF02D': '-',
}

// means reports whether a joiner or a variation selector changes how its neighbours look.
func means(text []rune, i int) bool {
	if i == 0 {
		return false
	}
	before := text[i-1]
	switch r := text[i]; {
	case r == '\uFE0E' || r == '\uFE0F': // text or emoji
		return unicode.Is(emojiBases, before)
	case r >= '\uFE00' && r <= '\uFE0D': // of mathematics and ideographs
		return unicode.In(before, unicode.Sm, unicode.Han)
	case isSelector(r): // of ideographs, as in names
		return unicode.Is(unicode.Han, before)
	case norm.NFC.PropertiesString(string(before)).CCC() == virama: // RFC 5892 A.1 and A.2
		return true
	case r == joiner:
		return i+1 < len(text) && unicode.Is(pictographic, text[i+1]) && endsEmoji(text[:i])
	default: // RFC 5892 A.1
		left, right := i-1, i+1
		for left >= 0 && transparent(text[left]) {
			left--
		}
		for right < len(text) && transparent(text[right]) {
			right++
		}
		return left >= 0 && right < len(text) && unicode.Is(joinsNext, text[left]) && unicode.Is(joinsBefore, text[right])
	}
}

// virama is the combining class of the sign that silences a consonant's vowel (Unicode, table 4-3).
const virama = 9

// transparent reports whether letters join across a character (Joining_Type T).
func transparent(r rune) bool { return unicode.In(r, unicode.Mn, unicode.Me) && !isSelector(r) }

// endsEmoji reports whether a text ends with an emoji, which may have a style and a skin tone (UTS #51, ED-16).
func endsEmoji(text []rune) bool {
	i := len(text) - 1
	for i > 0 && (text[i] == '\uFE0F' || text[i] >= 0x1F3FB && text[i] <= 0x1F3FF) {
		i--
	}
	return i >= 0 && unicode.Is(pictographic, text[i])
}
