// Package rules makes REQUIREMENTS.md readable by programs: the rules (R1 …) and invariants (I1 …) that code, tests and
// refusals cite by number. It is in the same directory because a Go package can embed only files in or below its own.
package rules

import (
	_ "embed" // for the document
	"fmt"
	"regexp"
	"strings"
)

// Statuses of a rule; REQUIREMENTS.md defines them.
const (
	Built  = "built"
	Partly = "partly"
	NotYet = "not yet"
)

// Rule is a numbered rule or invariant.
type Rule struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Section string `json:"section"`
	Status  string `json:"status"`
	Text    string `json:"text"`
	// Missing lists what a partly built rule lacks.
	Missing []string `json:"missing,omitempty"`
	// Notes are further remarks.
	Notes []string `json:"notes,omitempty"`
}

//go:embed REQUIREMENTS.md
var document string

// All returns the rules in the document's order.
func All() []Rule {
	all, err := parse(document)
	if err != nil {
		panic(err) // the document is part of the program, and a test parses it
	}
	return all
}

// Title returns the title of a rule or invariant, for people; its number if there is none of it.
func Title(id string) string {
	for _, r := range All() {
		if r.ID == id {
			return r.Title
		}
	}
	return id
}

var (
	item = regexp.MustCompile(`^- \*\*([RI][1-9][0-9]*) ([^*]+)\*\* \((` +
		Built + `|` + Partly + `|` + NotYet + `)\): (.+)$`)
	detail = regexp.MustCompile(`^  - (Missing|Note): (.+)$`)
)

func parse(text string) ([]Rule, error) {
	var all []Rule
	section := ""
	var open *string // the text that an indented line continues
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch heading, isHeading := strings.CutPrefix(line, "## "); {
		case isHeading:
			section, open = heading, nil
		case strings.HasPrefix(line, "- "):
			m := item.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("rules: not a rule: %s", line)
			}
			all = append(all, Rule{ID: m[1], Title: m[2], Section: section, Status: m[3], Text: m[4]})
			open = &all[len(all)-1].Text
		case strings.HasPrefix(line, "  - "):
			m := detail.FindStringSubmatch(line)
			if m == nil || len(all) == 0 {
				return nil, fmt.Errorf("rules: neither Missing nor Note: %s", line)
			}
			list := &all[len(all)-1].Notes
			if m[1] == "Missing" {
				list = &all[len(all)-1].Missing
			}
			*list = append(*list, m[2])
			open = &(*list)[len(*list)-1]
		case strings.HasPrefix(line, "  ") && open != nil:
			*open += " " + strings.TrimSpace(line)
		default:
			open = nil
		}
	}
	return all, check(all)
}

func check(all []Rule) error {
	seen := map[string]bool{}
	for _, r := range all {
		switch {
		case seen[r.ID]:
			return fmt.Errorf("rules: %s is defined twice", r.ID)
		case (r.Status == Partly) != (len(r.Missing) > 0):
			return fmt.Errorf("rules: %s is %s, but lists %d things as missing", r.ID, r.Status, len(r.Missing))
		}
		seen[r.ID] = true
	}
	return nil
}
