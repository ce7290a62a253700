package view

import (
	"github.com/openlockbox/lockbox/pkg/erasure"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
)

var erasureStatuses = map[erasure.Status]lockboxv1.ErasureStatus{
	erasure.Proposed:  lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED,
	erasure.Decided:   lockboxv1.ErasureStatus_ERASURE_STATUS_DECIDED,
	erasure.Declined:  lockboxv1.ErasureStatus_ERASURE_STATUS_DECLINED,
	erasure.Destroyed: lockboxv1.ErasureStatus_ERASURE_STATUS_ERASED,
}

// Erasure returns the view of an erasure, folded from these events, without what it erases.
func Erasure(s erasure.State, events []projection.Event) *lockboxv1.ErasureView {
	v := &lockboxv1.ErasureView{
		ErasureId: s.ID, Tenant: s.Tenant, Status: erasureStatuses[s.Status], Reason: s.Reason,
		ProposedBy: s.ProposedBy, ProposedAt: stamp(s.ProposedAt), DecidedBy: s.DecidedBy, DecidedAt: stamp(s.DecidedAt),
		EndedAt: stamp(s.EndedAt), KeysDestroyed: s.Destroyed, Version: s.Version,
	}
	if last := events[len(events)-1].Event; s.Status == erasure.Declined {
		v.DeclinedBy, v.DeclinedReason = last.GetActor(), last.GetErasureDeclined().GetReason()
	}
	return v
}
