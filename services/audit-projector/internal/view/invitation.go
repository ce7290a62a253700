package view

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
)

// invitations lists the invitations to roles on a tenant or one of its subscriptions, the newest first.
func invitations(c *projection.Customer, roles tenant.Roles, s *tenant.Subscription, now time.Time) (
	list []*lockboxv1.InvitationView,
) {
	for _, i := range slices.Backward(roles.Invitations()) {
		list = append(list, Invitation(c, i, s, now))
	}
	return list
}

// Invitation returns the view of an invitation to a role on a subscription or, with a nil one, on the tenant.
func Invitation(
	c *projection.Customer, i tenant.Invitation, s *tenant.Subscription, now time.Time,
) *lockboxv1.InvitationView {
	v := &lockboxv1.InvitationView{
		Invitation: proto.CloneOf(i.RoleInvitation), State: i.State(c.Tenant.Issuer.GetUrl(), now), InvitedBy: i.By,
		InvitedAt: stamp(i.At), RedeemedBy: i.Person, RedeemedAt: stamp(i.RedeemedAt), SettledBy: i.SettledBy,
		SettledAt: stamp(i.SettledAt), Where: c.Tenant.Name,
	}
	v.Invitation.SecretHash = nil // nobody needs it
	if s != nil {
		v.SubscriptionId, v.Where = s.ID, s.Name
	}
	return v
}

// Offer returns what a proof redeems, for a person of the tenant's; nil if it redeems nothing there.
func Offer(c *projection.Customer, proof []byte, now time.Time) *lockboxv1.InvitationView {
	if i, known := c.Tenant.Roles.InvitationOf(proof); known {
		return Invitation(c, i, nil, now)
	}
	for _, s := range c.Subscriptions {
		if i, known := s.Roles.InvitationOf(proof); known && s.Registered() && s.Fault == nil {
			return Invitation(c, i, &s, now)
		}
	}
	return nil
}
