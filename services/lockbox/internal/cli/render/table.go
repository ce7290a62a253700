package render

import (
	"slices"
	"strings"
)

// column defines a column, and how it behaves on a narrow terminal.
type column struct {
	title string
	// min is the minimum width when squeezed, in columns of the terminal; 0: the column is never squeezed.
	min int
	// drop is the order in which columns are left out if squeezing is not enough, lowest first; 0: never.
	drop int
}

type cell struct {
	text  string // clean
	paint paint
}

// text returns an unstyled cell with untrusted text.
func text(s string) cell { return cell{Clean(s), plain} }

const gap = "  "

// table renders rows under titles. If they do not fit the width, columns with a min are squeezed, widest first, and
// then columns with a drop are left out.
func (l Look) table(columns []column, rows [][]cell) string {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = width(c.title)
		for _, row := range rows {
			widths[i] = max(widths[i], width(row[i].text))
		}
	}
	shown := l.fit(columns, widths)
	var b strings.Builder
	header := make([]cell, len(columns))
	for i, c := range columns {
		header[i] = cell{c.title, bold}
	}
	for _, row := range append([][]cell{header}, rows...) {
		var line strings.Builder
		for n, i := range shown {
			if n > 0 {
				line.WriteString(gap)
			}
			s := l.truncate(row[i].text, widths[i])
			line.WriteString(l.paint(row[i].paint, s))
			if n < len(shown)-1 {
				line.WriteString(strings.Repeat(" ", max(0, widths[i]-width(s))))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// fit returns the columns to show, and reduces their widths in place.
func (l Look) fit(columns []column, widths []int) []int {
	var shown []int
	for i := range columns {
		shown = append(shown, i)
	}
	natural := slices.Clone(widths)
	for l.Width > 0 {
		copy(widths, natural)
		over := (len(shown)-1)*len(gap) - l.Width
		for _, i := range shown {
			over += widths[i]
		}
		if over = squeeze(columns, widths, shown, over, 0); over <= 0 {
			break
		}
		i := firstToDrop(columns, shown)
		if i < 0 {
			squeeze(columns, widths, shown, over, narrowest)
			break
		}
		shown = slices.DeleteFunc(shown, func(n int) bool { return n == i })
	}
	return shown
}

// narrowest is the minimum column width once nothing else helps.
const narrowest = 5

// squeeze reduces the widest columns until over is 0, and returns what is left of over. A column stops at its min, or
// at least, if that is not 0.
func squeeze(columns []column, widths, shown []int, over, least int) int {
	for over > 0 {
		best := -1
		for _, i := range shown {
			stop := columns[i].min
			if least > 0 {
				stop = least
			}
			if columns[i].min > 0 && widths[i] > stop && (best < 0 || widths[i] > widths[best]) {
				best = i
			}
		}
		if best < 0 {
			return over
		}
		widths[best]--
		over--
	}
	return over
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
