package view

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// RequestForCustomer removes what was counted over all customers: the engineer's history elsewhere is other customers'
// data (I9). The matched rules and their reasons stay.
func RequestForCustomer(v *lockboxv1.RequestView) {
	if v.GetEvaluation().GetFacts().GetHistory() == nil {
		return
	}
	v.Evaluation = proto.CloneOf(v.GetEvaluation())
	v.Evaluation.Facts.History = nil
}
