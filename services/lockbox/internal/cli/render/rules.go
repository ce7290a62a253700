package render

import rules "github.com/openlockbox/lockbox/pkg"

// Rules renders each of the given rules in full.
func Rules(l Look, chosen []rules.Rule) string {
	p := &page{Look: l}
	for i, r := range chosen {
		if i > 0 {
			p.line("")
		}
		p.title(r.ID + " " + r.Title + " (" + r.Status + ")")
		p.hang("  ", plain, r.Text)
		for _, s := range r.Missing {
			p.painted("Missing", warn, s)
		}
		p.field("Note", r.Notes...)
	}
	return p.String()
}

var progressPaint = map[string]paint{rules.Built: good, rules.Partly: warn, rules.NotYet: dim}

// RuleList lists rules by section, with their implementation status.
func RuleList(l Look, all []rules.Rule) string {
	p := &page{Look: l}
	section := ""
	for _, r := range all {
		if r.Section != section {
			if section != "" {
				p.line("")
			}
			p.title(r.Section)
			section = r.Section
		}
		p.line("  " + pad(r.ID, 5) + pad(r.Title, 40) + p.paint(progressPaint[r.Status], r.Status))
	}
	p.line("")
	p.line("lockbox help rules R27 prints a rule in full.")
	return p.String()
}
