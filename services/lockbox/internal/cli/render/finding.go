package render

import (
	"fmt"
	"strings"
)

// State is how a check ended.
type State string

// How a check ended, from what needs nothing to what needs somebody most.
const (
	// NotChecked: there was nothing to check, or nobody asked for it.
	NotChecked State = "not_checked"
	OK         State = "ok"
	// Warning: it works, and wants attention.
	Warning State = "warning"
	// Unknown: it could not be checked, so nobody knows.
	Unknown State = "unknown"
	Failed  State = "failure"
)

// worse orders states by how much they need somebody.
var worse = map[State]int{NotChecked: 0, OK: 1, Warning: 2, Unknown: 3, Failed: 4}

// Finding is one thing that a check found, for JSON and YAML output too.
type Finding struct {
	State State  `json:"state"`
	Says  string `json:"says"`
	// Cure is what to do about it; empty if nothing.
	Cure string `json:"cure"`
}

// Check is a check with what it found.
type Check struct {
	// ID never changes; Name is for people.
	ID       string    `json:"id"`
	Name     string    `json:"check"`
	State    State     `json:"state"`
	Findings []Finding `json:"findings"`
	// See is where the manual says more; empty: nowhere.
	See string `json:"see"`
}

// Group is a group of checks. Its state is the worst of theirs.
type Group struct {
	Name   string  `json:"group"`
	State  State   `json:"state"`
	Checks []Check `json:"checks"`
}

// Checkup is everything that was checked.
type Checkup struct {
	State   State         `json:"state"`
	Summary map[State]int `json:"summary"`
	Groups  []Group       `json:"groups"`
}

// Add adds a check to a group, which is made if it is not there. What the check found decides its state.
func (c *Checkup) Add(group string, check Check) {
	if c.Summary == nil {
		c.State, c.Summary = NotChecked, map[State]int{OK: 0, NotChecked: 0, Warning: 0, Unknown: 0, Failed: 0}
	}
	check.State = NotChecked
	for _, f := range check.Findings {
		check.State = worst(check.State, f.State)
	}
	c.Summary[check.State]++
	c.State = worst(c.State, check.State)
	for i := range c.Groups {
		if g := &c.Groups[i]; g.Name == group {
			g.State, g.Checks = worst(g.State, check.State), append(g.Checks, check)
			return
		}
	}
	c.Groups = append(c.Groups, Group{group, check.State, []Check{check}})
}

func worst(a, b State) State {
	if worse[b] > worse[a] {
		return b
	}
	return a
}

var marks = map[State]struct {
	paint          paint
	unicode, ascii string
}{
	OK: {good, "✓ ", "ok       "}, NotChecked: {dim, "- ", "skipped  "}, Warning: {warn, "! ", "WARNING  "},
	Unknown: {warn, "? ", "UNKNOWN  "}, Failed: {bad, "✗ ", "FAILED   "},
}

// Findings renders a checkup: group by group, a mark for each finding, and the sum at the end.
func Findings(l Look, c Checkup) string {
	p := &page{Look: l}
	for i, g := range c.Groups {
		if i > 0 {
			p.line("")
		}
		p.hang("", bold, g.Name)
		for _, check := range g.Checks {
			p.check(check)
		}
	}
	p.line("")
	p.hang("", marks[c.State].paint, Summary(c))
	return p.String()
}

func (p *page) check(c Check) {
	label, cured := c.Name, false
	for _, f := range c.Findings {
		mark := marks[f.State]
		first := "  " + pad(Clean(label), labelWidth-2)
		sign := p.glyph(mark.unicode, mark.ascii)
		p.hangPainted(first, sign, mark.paint, Clean(f.Says))
		label = ""
		if f.Cure != "" {
			p.hang(strings.Repeat(" ", labelWidth+width(sign)), plain, "cure: "+Clean(f.Cure))
			cured = true
		}
	}
	if cured && c.See != "" {
		p.hang(strings.Repeat(" ", labelWidth+width(p.glyph(marks[OK].unicode, marks[OK].ascii))), dim, "see "+c.See)
	}
}

// hangPainted is hang with a sign before the text, under which nothing else stands.
func (p *page) hangPainted(first, sign string, as paint, s string) {
	room := 0
	if p.Width > 0 {
		room = max(20, p.Width-width(first)-width(sign))
	}
	for i, line := range wrap(s, room) {
		if i > 0 {
			first, sign = strings.Repeat(" ", width(first)), strings.Repeat(" ", width(sign))
		}
		p.line(first + p.paint(as, sign+line))
	}
}

// Summary says in one line how a checkup ended.
func Summary(c Checkup) string {
	var parts []string
	for _, s := range []struct {
		state     State
		one, many string
	}{
		{Failed, "1 failure", "%d failures"}, {Unknown, "1 could not be checked", "%d could not be checked"},
		{Warning, "1 warning", "%d warnings"}, {OK, "1 ok", "%d ok"},
		{NotChecked, "1 not checked", "%d not checked"},
	} {
		switch n := c.Summary[s.state]; n {
		case 0:
		case 1:
			parts = append(parts, s.one)
		default:
			parts = append(parts, fmt.Sprintf(s.many, n))
		}
	}
	if worse[c.State] <= worse[OK] {
		return "All is well: " + strings.Join(parts, ", ") + "."
	}
	return strings.Join(parts, ", ") + "."
}

// WorstFindings are the findings of a checkup that are in its state, each with the name of its check.
func WorstFindings(c Checkup) (says []string) {
	for _, g := range c.Groups {
		for _, check := range g.Checks {
			for _, f := range check.Findings {
				if f.State == c.State {
					says = append(says, Clean(check.Name)+": "+Clean(f.Says))
				}
			}
		}
	}
	return says
}
