package render

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Access renders access records (R69), newest first.
func Access(l Look, list []*lockboxv1.AccessRecord) string {
	columns := []column{
		{title: "TIME"}, {title: "WHO", min: 14}, {title: "OF", drop: 3}, {title: "TENANT", drop: 1},
		{title: "WHAT", min: 28}, {title: "ABOUT", drop: 2}, {title: "OUTCOME", min: 20, lines: 2},
	}
	text, rows := accesstext.In("en"), [][]cell(nil)
	for _, r := range list {
		of, about := cell{"-", dim}, cell{"-", dim}
		switch r.GetWho().GetSide() {
		case lockboxv1.Side_SIDE_PROVIDER:
			of = cell{"provider", warn}
		case lockboxv1.Side_SIDE_TENANT:
			of = cell{"customer", plain}
		case lockboxv1.Side_SIDE_UNSPECIFIED, lockboxv1.Side_SIDE_SYSTEM:
		}
		if r.GetAboutId() != "" {
			about = cell{l.aggregate(r.GetAboutKind(), r.GetAboutId()), plain}
		}
		outcome := cell{Clean(strings.Join(text.Outcome(r), "; ")), plain}
		if r.GetRefusalCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED ||
			r.GetKind() == lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED {
			outcome.paint = warn
		}
		if r.GetFilter() != "" {
			outcome.text = strings.TrimPrefix(outcome.text+"; "+Clean(r.GetFilter()), "; ")
		}
		what := cell{Clean(text.What(r)), plain}
		if r.GetEmergency() {
			what = urgent(what)
		}
		rows = append(rows, []cell{{l.minute(r.GetTime()), dim}, {Clean(text.Who(r)), plain}, of,
			{Clean(r.GetTenant()), plain}, what, about, outcome})
	}
	return l.table(columns, rows)
}
