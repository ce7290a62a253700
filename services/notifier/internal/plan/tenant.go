package plan

import (
	"cmp"
	"slices"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// tenantChange notifies all administrators of every change to their tenant and its subscriptions. Nobody can make a
// change quietly, least of all the provider's onboarding.
func (p *planner) tenantChange() {
	d := p.data()
	roles, rolesBefore := p.Tenant.Roles, p.TenantBefore.Roles
	if p.Subscription.Exists() {
		roles, rolesBefore = p.Subscription.Roles, p.SubscriptionBefore.Roles
		d.Subscription, d.SubscriptionID = p.Subscription.Name+" ("+p.Subscription.ID+")", p.Subscription.ID
	}
	if p.signIn(d) {
		return
	}
	var t Template
	var more []recipient
	switch f := p.Event.GetFact().(type) {
	case *lockboxv1.Event_RoleInvited:
		t = RoleInvited
		d.invitation(roles, f.RoleInvited.GetInvitation().GetId())
		d.Until = f.RoleInvited.GetInvitation().GetUntil().AsTime()
	case *lockboxv1.Event_InvitationRedeemed:
		t = InvitationRedeemed
		if d.invitation(roles, f.InvitationRedeemed.GetInvitationId()).First() {
			t = InvitationConfirmed // it counts at once
		}
	case *lockboxv1.Event_InvitationConfirmed:
		t = InvitationConfirmed
		more = p.invitee(d.invitation(roles, f.InvitationConfirmed.GetAssignment().GetId()))
	case *lockboxv1.Event_InvitationEnded:
		t, d.Text = InvitationEnded, f.InvitationEnded.GetReason()
		more = p.invitee(d.invitation(roles, f.InvitationEnded.GetInvitationId()))
	case *lockboxv1.Event_TenantCreated:
		t, d.PlanTo = TenantCreated, f.TenantCreated.GetPlan()
		d.assignment(f.TenantCreated.GetAdministrator())
	case *lockboxv1.Event_SupportPlanChanged:
		t, d.PlanFrom, d.PlanTo = PlanChanged, f.SupportPlanChanged.GetFrom(), f.SupportPlanChanged.GetTo()
		if d.PlanTo < d.PlanFrom {
			t = PlanLowered
		}
	case *lockboxv1.Event_LockboxEnabled:
		t = LockboxEnabled
	case *lockboxv1.Event_LockboxDisabled:
		t, d.Text = LockboxDisabled, f.LockboxDisabled.GetReason()
	case *lockboxv1.Event_PreviewSignedUp:
		t, d.ResourceType = PreviewSignedUp, cmp.Or(p.Service, f.PreviewSignedUp.GetResourceType())
	case *lockboxv1.Event_PreviewSignedOff:
		t, d.ResourceType = PreviewSignedOff, cmp.Or(p.Service, f.PreviewSignedOff.GetResourceType())
	case *lockboxv1.Event_SettingsChanged:
		t, d.Settings, d.SettingsWere = SettingsChanged, f.SettingsChanged.GetSettings(), p.TenantBefore.Settings
	case *lockboxv1.Event_SubscriptionRegistered:
		t = SubscriptionRegistered
	case *lockboxv1.Event_SubscriptionGivenUp:
		t, d.Text = SubscriptionGivenUp, f.SubscriptionGivenUp.GetReason()
		more = p.relieved(rolesBefore, roles)
	case *lockboxv1.Event_RoleAssigned:
		t = RoleAssigned
		d.assignment(f.RoleAssigned.GetAssignment())
	case *lockboxv1.Event_RoleRemoved:
		t = RoleRemoved
		d.held(rolesBefore, f.RoleRemoved.GetAssignmentId())
	case *lockboxv1.Event_RoleEnded:
		t = RoleEnded
		d.held(roles, f.RoleEnded.GetAssignmentId())
	case *lockboxv1.Event_RoleActivated:
		t = RoleActivated
		if as := f.RoleActivated.GetAssignment(); as != nil {
			d.assignment(as)
		} else {
			d.held(roles, f.RoleActivated.GetAssignmentId())
		}
		d.Until = f.RoleActivated.GetUntil().AsTime()
	case *lockboxv1.Event_RoleDeactivated:
		t = RoleDeactivated
		d.held(rolesBefore, f.RoleDeactivated.GetAssignmentId()) // what somebody held by a group is gone
	case *lockboxv1.Event_WebhookAdded:
		t = WebhookAdded
		d.webhook(p.Tenant, f.WebhookAdded.GetWebhook().GetId())
	case *lockboxv1.Event_WebhookRemoved:
		t, d.Text = WebhookRemoved, f.WebhookRemoved.GetReason()
		d.webhook(p.TenantBefore, f.WebhookRemoved.GetWebhookId())
	default:
		return
	}
	p.tell(t, d, p.administrators(), more)
	switch f := p.Event.GetFact().(type) {
	case *lockboxv1.Event_RoleRemoved:
		p.holders(RoleLost, d, p.relieved(rolesBefore, roles))
	case *lockboxv1.Event_RoleEnded:
		if a, held := roles.Get(f.RoleEnded.GetAssignmentId()); held {
			p.holders(OwnRoleEnded, d, []recipient{p.tenantPerson(a.GetPerson(), Former)})
		}
	}
}

// holders tells whoever held a role that it is gone, and that they hear no more of what they were asked because of it.
// Administrators have been told.
func (p *planner) holders(t Template, d Data, who []recipient) {
	who = slices.DeleteFunc(who, func(r recipient) bool {
		return slices.ContainsFunc(p.notifications, func(n Notification) bool { return sameAddress(n.Recipient, r.email) })
	})
	p.tell(t, d, who)
}

// invitation says what somebody is invited to, and who redeemed it.
func (d *Data) invitation(roles tenant.Roles, id string) tenant.Invitation {
	i, _ := roles.Invitation(id)
	d.Note, d.Role, d.EligibleOnly = i.GetNote(), i.GetRole(), i.GetEligibleOnly()
	if i.GetExpiresAt() != nil {
		d.Until = i.GetExpiresAt().AsTime()
	}
	if i.Person != nil {
		d.Person, d.PersonEmail = Name(i.Person), i.Person.GetEmail()
		d.Issuer, d.Subject = i.Person.GetIssuer(), i.Person.GetSubject()
	}
	return i
}

// invitee returns whoever redeemed an invitation, if anybody has.
func (p *planner) invitee(i tenant.Invitation) []recipient {
	if i.Person == nil {
		return nil
	}
	return []recipient{p.tenantPerson(i.Person, Invitee)}
}

func (d *Data) held(roles tenant.Roles, id string) {
	if a, ok := roles.Get(id); ok {
		d.assignment(a.RoleAssignment)
	} else if g, ok := roles.Group(id); ok {
		d.assignment(g)
	}
}

func (d *Data) webhook(t tenant.State, id string) {
	for _, w := range t.Webhooks {
		if w.GetId() == id {
			d.Webhook, d.WebhookAddress = w.GetName(), w.GetAddress()
		}
	}
}

func (d *Data) assignment(a *lockboxv1.RoleAssignment) {
	d.Role, d.EligibleOnly, d.Group = a.GetRole(), a.GetEligibleOnly(), a.GetGroup()
	if !tenant.ToGroup(a) {
		d.Person, d.PersonEmail = Name(a.GetPerson()), a.GetPerson().GetEmail()
	}
	if a.GetExpiresAt() != nil {
		d.Until = a.GetExpiresAt().AsTime()
	}
}
