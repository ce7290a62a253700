package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/resource"
)

// Maximum lengths of user-supplied texts in a mail, in runes.
const (
	longestLine = 240
	longestText = 4000
)

// line sanitises a user-supplied single-line text: a name, an ID, a title. Commands check most of them before they
// become events; names in tokens, and data from older versions, are unchecked. No mail client makes a link of it.
func line(s string) string { return unlink(name(s)) }

// resourceID sanitises the id of a resource in the same way, and cuts none that a resource may have. The resource
// provider, as Microsoft.Compute, stays as it is: it is one of the catalogue's.
func resourceID(s string) string {
	segments := strings.Split(lineOf(s, resource.MaxLength), "/")
	for i, segment := range segments {
		if i == 0 || !strings.EqualFold(segments[i-1], "providers") {
			segments[i] = unlink(segment)
		}
	}
	return strings.Join(segments, "/")
}

// name sanitises a single-line text and leaves what looks like a link: the names that the provider chose for itself,
// its customers and its services, and whatever stands in a header.
func name(s string) string { return lineOf(s, longestLine) }

func lineOf(s string, longest int) string {
	return cut(strings.Join(strings.Fields(strings.Map(visible, bounded(s, longest))), " "), longest)
}

// address sanitises an address that Lockbox itself names, and leaves it as it is if it is one.
func address(s string) string {
	if input.Email("address", s) == nil {
		return s
	}
	return line(s)
}

// text sanitises a user-supplied multi-line text, of which no mail client makes a link.
func text(s string) string {
	lines := strings.Split(bounded(s, longestText), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRightFunc(strings.Map(visible, l), unicode.IsSpace)
	}
	return unlink(cut(strings.Trim(strings.Join(lines, "\n"), "\n"), longestText))
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
