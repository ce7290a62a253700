package render

import (
	"fmt"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Erasures renders erasures (R63), newest first.
func Erasures(l Look, list []*lockboxv1.ErasureView) string {
	columns := []column{{title: "ERASURE"}, {title: "TENANT", drop: 2}, {title: "WHAT", min: 24, lines: 3},
		{title: "BY", min: 16, drop: 1}, {title: "STANDING", min: 16}}
	var rows [][]cell
	for _, e := range list {
		var by []string
		for _, a := range []*lockboxv1.Actor{e.GetProposedBy(), e.GetDecidedBy(), e.GetDeclinedBy()} {
			if a != nil {
				by = append(by, ActorName(a))
			}
		}
		rows = append(rows, []cell{{l.id(e.GetErasureId()), accent}, text(e.GetTenant()), {ErasedThings(e), plain},
			{strings.Join(by, ", "), plain}, erasureStanding(l, e)})
	}
	return l.table(columns, rows)
}

func erasureStanding(l Look, e *lockboxv1.ErasureView) cell {
	switch e.GetStatus() {
	case lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED:
		return cell{"waits for a second security officer", warn}
	case lockboxv1.ErasureStatus_ERASURE_STATUS_DECIDED:
		return cell{"is being erased", warn}
	case lockboxv1.ErasureStatus_ERASURE_STATUS_DECLINED:
		return cell{"declined", dim}
	case lockboxv1.ErasureStatus_ERASURE_STATUS_ERASED:
		return cell{"erased " + l.In(e.GetEndedAt().AsTime()), good}
	case lockboxv1.ErasureStatus_ERASURE_STATUS_UNSPECIFIED:
	}
	return cell{"not known to this version", dim}
}

// ErasedThings says what an erasure is about.
func ErasedThings(e *lockboxv1.ErasureView) string {
	var list []string
	for _, t := range e.GetTargets() {
		switch what := t.GetTarget().GetWhat().(type) {
		case *lockboxv1.ErasureTarget_Person:
			who := t.GetPerson()
			if who == nil {
				who = &lockboxv1.Person{Subject: what.Person.GetSubject()}
			}
			list = append(list, "name and address of "+PersonName(who))
		case *lockboxv1.ErasureTarget_Texts:
			place := fmt.Sprintf("%s/%s/%s", Clean(what.Texts.GetKind()), Clean(what.Texts.GetAggregateId()),
				Clean(what.Texts.GetVersion()))
			if t.GetTitle() != "" {
				place = fmt.Sprintf("“%s” (%s)", Clean(t.GetTitle()), place)
			}
			list = append(list, "what was written in "+place)
		default:
			list = append(list, "a mail address")
		}
	}
	return strings.Join(list, ", ")
}
