package view

import (
	"github.com/openlockbox/lockbox/pkg/disclosure"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Disclosure returns the view of a disclosure outside any request (R44, R45).
func Disclosure(s disclosure.State) *lockboxv1.DisclosureView {
	return &lockboxv1.DisclosureView{
		DisclosureId: s.ID, Tenant: s.Tenant, Occurrence: s.Occurrence, Authority: s.Demand.GetAuthority(),
		Reference:    s.Demand.GetReference(),
		EmbargoUntil: s.Demand.GetEmbargoUntil(), DisclosedAt: stamp(s.At), DisclosedBy: s.By, ToldAt: stamp(s.ToldAt),
	}
}
