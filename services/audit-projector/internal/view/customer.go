package view

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// RequestForCustomer takes out what was counted over all customers: what an engineer's other requests came to is theirs
// (I9). Which rule matched, and its reason, stay.
func RequestForCustomer(v *lockboxv1.RequestView) {
	if v.GetEvaluation().GetFacts().GetHistory() == nil {
		return
	}
	v.Evaluation = proto.CloneOf(v.GetEvaluation())
	v.Evaluation.Facts.History = nil
}
