package render

import (
	"regexp"
	"strings"
)

var (
	// twoColumns is a line of a list: what it explains, and after a gap the explanation.
	twoColumns = regexp.MustCompile(`^( +\S.*? {2,})(\S.*)$`)
	// typed begins what people copy, which is not wrapped.
	typed = regexp.MustCompile(`^ +(\./)?(lockbox|id=\$|source|curl|\{)\b?`)
)

// Help fits a help text, whose paragraphs are wrapped for wide screens, into the terminal. Examples stay as they are.
func Help(l Look, text string) string {
	if l.Width <= 0 {
		return text
	}
	var b strings.Builder
	var paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			b.WriteString(strings.Join(wrap(strings.Join(paragraph, " "), l.Width), "\n") + "\n")
		}
		paragraph = nil
	}
	copied := false // the lines of an example that goes on
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if !copied && line != "" && line[0] != ' ' {
			paragraph = append(paragraph, line)
			continue
		}
		flush()
		if copied || typed.MatchString(line) || width(line) <= l.Width {
			copied = strings.HasSuffix(line, `\`)
			b.WriteString(line + "\n")
			continue
		}
		p := &page{Look: l}
		if parts := twoColumns.FindStringSubmatch(line); parts != nil && width(parts[1]) <= l.Width/2 {
			p.hang(parts[1], plain, parts[2])
		} else {
			indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
			p.hang(indent+"  ", plain, strings.TrimLeft(line, " "))
		}
		b.WriteString(p.String())
	}
	flush()
	return b.String()
}
