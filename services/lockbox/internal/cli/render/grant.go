package render

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func (p *page) grant(v *lockboxv1.RequestView) {
	g := v.GetGrant()
	if g == nil {
		return
	}
	p.heading("Access")
	p.field("From", p.Stamp(g.GetStartsAt()))
	if at := v.GetEndedAt(); at != nil {
		ended := p.Stamp(at)
		if by := v.GetEndedBy(); by.GetPerson() != nil {
			ended += ", by " + PersonName(by.GetPerson())
		}
		if at.AsTime().Before(g.GetEndsAt().AsTime()) {
			ended += "; it would have lasted until " + p.Stamp(g.GetEndsAt())
		}
		p.field("Ended", ended)
	} else {
		p.field("Until", p.Stamp(g.GetEndsAt()))
	}
	ids := make([]string, len(g.GetResourceIds()))
	for i, id := range g.GetResourceIds() {
		ids[i] = Clean(id)
	}
	p.field("To", ids...)
	if g.GetMode() != lockboxv1.AccessMode_ACCESS_MODE_UNSPECIFIED {
		p.field("For", Clean(what(v)))
		p.field("Rights", rights(g.GetMode()))
	}
	if w := g.GetWaiver(); w != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		p.field("Basis", "the customer was not asked: "+strings.ToLower(sentence(w.String(), "WAIVER_")))
	} else {
		p.field("Basis", "the customer approved")
	}
}

func rights(m lockboxv1.AccessMode) string {
	switch m {
	case lockboxv1.AccessMode_ACCESS_MODE_READ:
		return "read only"
	case lockboxv1.AccessMode_ACCESS_MODE_CHANGE:
		return "read and change"
	case lockboxv1.AccessMode_ACCESS_MODE_ELEVATED:
		return "administrator rights"
	}
	return "unknown to this version"
}
