package render

// FindingState says how a check ended.
type FindingState string

// How a check ended.
const (
	Fine   FindingState = "fine"
	Mind   FindingState = "mind" // it works, and wants attention
	Failed FindingState = "failed"
)

// Finding is what a check found, for JSON and YAML output too.
type Finding struct {
	Check string       `json:"check"`
	State FindingState `json:"state"`
	Says  string       `json:"says"`
	// Advice is what to do about it; empty if nothing.
	Advice string `json:"advice"`
}

// Findings renders checks, one below the other.
func Findings(l Look, all []Finding) string {
	p := &page{Look: l}
	marks := map[FindingState]struct {
		paint          paint
		unicode, ascii string
	}{Fine: {good, "✓ ", "ok      "}, Mind: {warn, "! ", "mind    "}, Failed: {bad, "✗ ", "FAILED  "}}
	for _, f := range all {
		mark := marks[f.State]
		p.painted(Clean(f.Check), mark.paint, l.glyph(mark.unicode, mark.ascii)+Clean(f.Says))
		if f.Advice != "" {
			p.field("", f.Advice)
		}
	}
	return p.String()
}
