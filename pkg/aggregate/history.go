package aggregate

import lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"

// AlarmHistory is where a difference is if events of one aggregate contradict each other: each of them is an event, and
// their versions are not 1, 2, 3 … once each.
const AlarmHistory = "history"

// AlarmSignature is where a difference is if an event is not signed as its customer demands, or its signature does not
// hold (I23).
const AlarmSignature = "signature"

// ContradictsItself reports whether an alarm is about events that contradict each other, or what their customer
// demands. Unlike other differences, it stops no grant but those that rest on these events: nobody could mend it.
func ContradictsItself(f *lockboxv1.DifferenceFound) bool {
	return f.GetWhere() == AlarmHistory || f.GetWhere() == AlarmSignature
}
