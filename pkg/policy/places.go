package policy

import (
	"unicode"

	"go.yaml.in/yaml/v3"
)

// place is a line and a column in a file, both counted from 1.
type place struct{ line, column int }

// places are the positions of each character of a scalar's value in the file, and of the value's end.
type places []place

// places locates the value's characters in the file, in any of YAML's five scalar styles: all keep the order of the
// non-blank characters. A character written as an escape sequence is located at the start of the value.
func (f *file) places(n *yaml.Node) places {
	start := place{n.Line, n.Column}
	c := cursor{lines: f.lines, line: n.Line - 1, column: n.Column - 1}
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.line, c.column = c.line+1, 0
	case quoted:
		c.column++
	}
	var found places
	for _, r := range n.Value {
		if unicode.IsSpace(r) {
			found = append(found, c.place())
			continue
		}
		from := c
		for !c.over() && c.rune() != r {
			if c.rune() == '\\' && n.Style&yaml.DoubleQuotedStyle != 0 {
				if c.next(); c.rune() == r {
					break
				}
			}
			c.next()
		}
		if c.over() {
			c = from
			found = append(found, start)
			continue
		}
		found = append(found, c.place())
		c.next()
		if r == '\'' && n.Style&yaml.SingleQuotedStyle != 0 && c.rune() == r {
			c.next()
		}
	}
	return append(found, c.place())
}

// at returns the position in the file of the character at a line (from 1) and column (from 0) of the value.
func (p places) at(value string, line, column int) place {
	i := 0
	for _, r := range value {
		if line <= 1 && column <= 0 || line <= 1 && r == '\n' {
			break
		}
		switch {
		case line <= 1:
			column--
		case r == '\n':
			line--
		}
		i++
	}
	return p[min(i, len(p)-1)]
}

// cursor reads a file character by character and keeps track of the position.
type cursor struct {
	lines        [][]rune
	line, column int
}

func (c *cursor) over() bool { return c.line >= len(c.lines) }

func (c *cursor) rune() rune {
	if c.over() || c.column >= len(c.lines[c.line]) {
		return '\n'
	}
	return c.lines[c.line][c.column]
}

func (c *cursor) next() {
	if c.column++; !c.over() && c.column > len(c.lines[c.line]) {
		c.line, c.column = c.line+1, 0
	}
}

func (c *cursor) place() place { return place{c.line + 1, c.column + 1} }
