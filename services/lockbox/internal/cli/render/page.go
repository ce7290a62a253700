package render

import (
	"strings"
)

// labelWidth is the width of the label column of a page.
const labelWidth = 16

// page builds the text of one answer. Its methods expect clean text.
type page struct {
	Look
	b strings.Builder
}

func (p *page) String() string { return p.b.String() }

func (p *page) line(s string) {
	p.b.WriteString(strings.TrimRight(s, " "))
	p.b.WriteByte('\n')
}

// title adds the title.
func (p *page) title(s string) { p.hang("", bold, s) }

// heading starts a section.
func (p *page) heading(s string) {
	p.line("")
	p.hang("", bold, s)
}

// field adds a label with its values, one per line; nothing if all values are empty.
func (p *page) field(label string, values ...string) { p.painted(label, plain, values...) }

func (p *page) painted(label string, as paint, values ...string) {
	for _, v := range values {
		if v == "" {
			continue
		}
		p.hang("  "+pad(label, labelWidth-2), as, v)
		label = ""
	}
}

// hang adds text with a hanging indent; first precedes its first line.
func (p *page) hang(first string, as paint, s string) {
	room := 0
	if p.Width > 0 {
		room = max(20, p.Width-width(first))
	}
	for i, line := range wrap(s, room) {
		if i > 0 {
			first = strings.Repeat(" ", width(first))
		}
		p.line(first + p.paint(as, line))
	}
}

// indented adds a table or list, indented by two columns.
func (p *page) indented(columns []column, rows [][]cell) {
	look := p.Look
	if look.Width > 0 {
		look.Width = max(20, look.Width-2)
	}
	for line := range strings.Lines(look.table(columns, rows)) {
		p.line("  " + strings.TrimSuffix(line, "\n"))
	}
}

// Fields renders labels with untrusted values; empty values are left out.
func Fields(l Look, fields [][2]string) string {
	p := &page{Look: l}
	for _, f := range fields {
		p.field(f[0], Clean(f[1]))
	}
	return p.String()
}
