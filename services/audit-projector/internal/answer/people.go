package answer

import (
	"context"
	"crypto/sha256"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
)

// getInvitation returns what an invitation offers to one of the tenant's people who holds its link (R66).
func (v *viewer) getInvitation(proof []byte) (*lockboxv1.InvitationView, error) {
	if v.by.GetSide() != lockboxv1.Side_SIDE_TENANT || v.customer == nil || len(proof) != sha256.Size {
		return nil, notFound()
	}
	if offer := view.Offer(v.customer, proof, v.now); offer != nil {
		return offer, nil
	}
	return nil, notFound()
}

// unseen returns those of a tenant's approvers of whom nothing is recorded.
func (v *viewer) unseen(
	ctx context.Context, tenantID string, approvers []*lockboxv1.Approver,
) (unseen []*lockboxv1.Person, err error) {
	for _, a := range approvers {
		acted, err := v.Acted(ctx, tenantID, a.GetPerson())
		if err != nil {
			return nil, err
		}
		if !acted {
			unseen = append(unseen, &lockboxv1.Person{Issuer: a.GetPerson().GetIssuer(),
				Subject: a.GetPerson().GetSubject()})
		}
	}
	return unseen, nil
}

// markUnseen marks the assignments of those of whom nothing is recorded.
func (v *viewer) markUnseen(ctx context.Context, t *lockboxv1.TenantView) error {
	acted := map[[2]string]bool{}
	mark := func(list []*lockboxv1.AssignmentView) error {
		for _, a := range list {
			p := a.GetAssignment().GetPerson()
			if p == nil {
				continue // a group
			}
			who := [2]string{p.GetIssuer(), p.GetSubject()}
			if _, known := acted[who]; !known {
				var err error
				if acted[who], err = v.Acted(ctx, t.GetTenant(), p); err != nil {
					return err
				}
			}
			a.NeverSignedIn = !acted[who]
		}
		return nil
	}
	if err := mark(t.GetAssignments()); err != nil {
		return err
	}
	for _, s := range t.GetSubscriptions() {
		if err := mark(s.GetAssignments()); err != nil {
			return err
		}
	}
	return nil
}
