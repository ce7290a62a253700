package render

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Disclosures renders the disclosures made outside of any request (R44, R45), newest first.
func Disclosures(l Look, list []*lockboxv1.DisclosureView) string {
	columns := []column{
		{title: "DISCLOSURE"}, {title: "TENANT", drop: 2}, {title: "WHAT", min: 24}, {title: "HAPPENED", drop: 3},
		{title: "DEMANDED BY", drop: 1}, {title: "THE CUSTOMER", min: 16},
	}
	var rows [][]cell
	for _, d := range list {
		told := cell{"is being told", plain}
		switch end := d.GetEmbargoUntil(); {
		case d.GetToldAt() != nil:
			told = cell{"was told " + l.In(d.GetToldAt().AsTime()), good}
		case end != nil && end.AsTime().After(l.Now):
			told = cell{"is told " + l.In(end.AsTime()), warn}
		}
		demand := "-"
		if d.GetAuthority() != "" {
			demand = Clean(d.GetAuthority()) + ", " + Clean(d.GetReference())
		}
		rows = append(rows, []cell{
			{l.id(d.GetDisclosureId()), accent}, text(d.GetTenant()), text(d.GetOccurrence().GetWhat()),
			{l.minute(d.GetOccurrence().GetHappenedAt()), dim}, {demand, plain}, told,
		})
	}
	return l.table(columns, rows)
}
