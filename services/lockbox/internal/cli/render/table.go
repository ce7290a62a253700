package render

import (
	"slices"
	"strings"
)

// column defines a column, and how it behaves on a narrow terminal.
type column struct {
	title string
	// min is the minimum width when narrowed, in columns of the terminal; its text then takes several lines. 0: the
	// column is never narrowed: what a row is called by, and times.
	min int
	// lines limits how many lines its text takes, for texts that only give an idea of what is told in full elsewhere;
	// 0: as many as it needs.
	lines int
	// drop is the order in which columns are left out if narrowing is not enough, lowest first; 0: never.
	drop int
}

type cell struct {
	text  string // clean
	paint paint
}

// text returns an unstyled cell with untrusted text.
func text(s string) cell { return cell{Clean(s), plain} }

const gap = "  "

// table renders rows under titles. If they do not fit the width, columns with a min are narrowed, widest first, and
// then columns with a drop are left out. If that is not enough either, each row is a list of its own.
func (l Look) table(columns []column, rows [][]cell) string {
	shown, widths, fits := l.fit(columns, rows)
	if !fits {
		return l.records(columns, rows)
	}
	var b strings.Builder
	header := make([]cell, len(columns))
	for i, c := range columns {
		header[i] = cell{c.title, bold}
	}
	for _, row := range append([][]cell{header}, rows...) {
		texts, tallest := make([][]string, len(columns)), 1
		for _, i := range shown {
			texts[i] = l.lines(columns[i], row[i].text, widths[i])
			tallest = max(tallest, len(texts[i]))
		}
		for n := range tallest {
			var line strings.Builder
			for at, i := range shown {
				s := ""
				if n < len(texts[i]) {
					s = texts[i][n]
				}
				line.WriteString(l.paint(row[i].paint, s))
				if at < len(shown)-1 {
					line.WriteString(strings.Repeat(" ", max(0, widths[i]-width(s))) + gap)
				}
			}
			b.WriteString(strings.TrimRight(line.String(), " "))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// lines breaks a cell's text.
func (l Look) lines(c column, s string, room int) []string {
	list := wrap(s, room)
	if c.lines > 0 && len(list) > c.lines {
		rest := strings.Join(list[c.lines-1:], " ")
		list = append(list[:c.lines-1], l.clip(rest, room))
	}
	return list
}

// fit returns the columns to show and their widths; false: no choice of them fits.
func (l Look) fit(columns []column, rows [][]cell) (shown, widths []int, fits bool) {
	natural, least, tight := make([]int, len(columns)), make([]int, len(columns)), make([]int, len(columns))
	for i, c := range columns {
		shown = append(shown, i)
		natural[i], tight[i] = width(c.title), width(c.title)
		for _, row := range rows {
			natural[i], tight[i] = max(natural[i], width(row[i].text)), max(tight[i], longest(row[i].text))
		}
		if c.min == 0 {
			tight[i] = natural[i]
		}
		least[i] = min(natural[i], max(c.min, tight[i]))
	}
	for l.Width > 0 {
		if widths, fits = narrow(natural, least, shown, l.Width); fits {
			return shown, widths, true
		}
		i := firstToDrop(columns, shown)
		if i < 0 {
			widths, fits = narrow(natural, tight, shown, l.Width)
			return shown, widths, fits
		}
		shown = slices.DeleteFunc(shown, func(n int) bool { return n == i })
	}
	return shown, natural, true
}

// narrow reduces the widest of the columns shown until they fit, none below its least width.
func narrow(natural, least, shown []int, room int) (widths []int, fits bool) {
	widths = slices.Clone(natural)
	over := (len(shown)-1)*len(gap) - room
	for _, i := range shown {
		over += widths[i]
	}
	for ; over > 0; over-- {
		best := -1
		for _, i := range shown {
			if widths[i] > least[i] && (best < 0 || widths[i] > widths[best]) {
				best = i
			}
		}
		if best < 0 {
			return nil, false
		}
		widths[best]--
	}
	return widths, true
}

func firstToDrop(columns []column, shown []int) int {
	best := -1
	for _, i := range shown {
		if columns[i].drop > 0 && (best < 0 || columns[i].drop < columns[best].drop) {
			best = i
		}
	}
	return best
}

// records renders rows for a terminal that is too narrow for a table: what a row is called by, and below it the rest,
// each with its title.
func (l Look) records(columns []column, rows [][]cell) string {
	p, label := &page{Look: l}, 0
	for _, c := range columns[1:] {
		label = max(label, width(c.title))
	}
	for n, row := range rows {
		if n > 0 {
			p.line("")
		}
		p.hang("", row[0].paint, row[0].text)
		for i, c := range columns[1:] {
			if s := row[i+1]; s.text != "" && s.text != "-" {
				p.hang(gap+p.paint(dim, pad(c.title, label))+gap, s.paint, s.text)
			}
		}
	}
	return p.String()
}
