package view

import (
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
)

// Tenant returns the full view of a tenant at now.
func Tenant(c *projection.Customer, now time.Time) *lockboxv1.TenantView {
	v := bare(c)
	v.Settings, v.Previews = c.Tenant.Settings, c.Tenant.Previews()
	v.Assignments = assignments(c.Tenant, c.Tenant.Roles, nil, now)
	v.Invitations = invitations(c, c.Tenant.Roles, nil, now)
	for _, w := range c.Tenant.Webhooks {
		v.Webhooks = append(v.Webhooks, w.Webhook)
	}
	for _, id := range slices.Sorted(maps.Keys(c.Subscriptions)) {
		if s := c.Subscriptions[id]; s.Registered() || s.Fault != nil {
			shown := subscription(c.Tenant, s, nil, now)
			shown.Invitations = invitations(c, s.Roles, &s, now)
			v.Subscriptions = append(v.Subscriptions, shown)
		}
	}
	return v
}

// OwnTenant returns the view of a tenant at now for a person with roles on some of its subscriptions, or with a role to
// activate: these subscriptions, and otherwise only the person's own assignments. Nil if the person has none.
func OwnTenant(
	c *projection.Customer, by *lockboxv1.Actor, subscriptions []string, now time.Time,
) *lockboxv1.TenantView {
	v := bare(c)
	v.Partial = true
	// What governs the decisions of an owner or approver is theirs to know.
	if v.Settings = proto.CloneOf(c.Tenant.Settings); v.Settings != nil {
		v.Settings.Alternates = nil
	}
	v.Assignments = assignments(c.Tenant, c.Tenant.Roles, by, now)
	for _, id := range slices.Sorted(maps.Keys(c.Subscriptions)) {
		if slices.Contains(subscriptions, id) {
			v.Subscriptions = append(v.Subscriptions, subscription(c.Tenant, c.Subscriptions[id], nil, now))
		} else if own := subscription(c.Tenant, c.Subscriptions[id], by, now); len(own.GetAssignments()) > 0 {
			v.Subscriptions = append(v.Subscriptions, own)
		}
	}
	if len(v.GetAssignments()) == 0 && len(v.GetSubscriptions()) == 0 {
		return nil
	}
	return v
}

// Onboarded returns the view of a tenant at now for the provider's onboarding: what it set up, where people sign in,
// which a second one of them may have to confirm (R65), and what became of its invitations (R66).
func Onboarded(c *projection.Customer, now time.Time) *lockboxv1.TenantView {
	v := bare(c)
	v.Partial = true
	for _, i := range invitations(c, c.Tenant.Roles, nil, now) {
		if i.GetInvitedBy().GetSide() == lockboxv1.Side_SIDE_PROVIDER {
			v.Invitations = append(v.Invitations, i)
		}
	}
	return v
}

func bare(c *projection.Customer) *lockboxv1.TenantView {
	t := c.Tenant
	return &lockboxv1.TenantView{
		Tenant: t.ID, DisplayName: t.Name, Plan: t.Plan, LockboxEnabled: t.Enabled, Issuer: t.Issuer.GetUrl(),
		Version: t.Version, SignIn: signIn(t),
	}
}

func signIn(t tenant.State) *lockboxv1.SignInView {
	v := &lockboxv1.SignInView{Issuer: t.Issuer, SignedIn: t.SignedIn}
	if all := t.Issuers(); len(all) > 1 {
		v.Former = all[1:]
	}
	if c := t.Change; c != nil {
		v.Pending = &lockboxv1.PendingSignInChange{ChangeId: c.ID, Route: c.Route, Change: c.Wanted, ProposedBy: c.By,
			ProposedAt: stamp(c.At), ConfirmedBy: c.Confirmed, DueAt: stamp(c.DueAt)}
	}
	return v
}

// SignIn returns how the portal signs a tenant's people in: what anybody may know before they have signed in. Nil if
// the portal has no client at their issuer.
func SignIn(t tenant.State) *lockboxv1.SignInOptions {
	v := &lockboxv1.SignInOptions{DisplayName: t.Name}
	for _, i := range t.Issuers() {
		if i.GetClientId() != "" {
			v.Issuers = append(v.Issuers, &lockboxv1.TenantIssuer{Url: i.GetUrl(), ClientId: i.GetClientId(),
				PrivateKeyJwt: i.GetPrivateKeyJwt(), Authorities: i.GetAuthorities()})
		}
	}
	if len(v.GetIssuers()) == 0 {
		return nil
	}
	return v
}

func subscription(
	t tenant.State, s tenant.Subscription, of *lockboxv1.Actor, now time.Time,
) *lockboxv1.SubscriptionView {
	return &lockboxv1.SubscriptionView{
		SubscriptionId: s.ID, DisplayName: s.Name, Version: s.Version, Assignments: assignments(t, s.Roles, of, now),
	}
}

// assignments lists all assignments, those of groups after those of people; or one person's, with those that their
// token lets them activate.
func assignments(
	t tenant.State, roles tenant.Roles, of *lockboxv1.Actor, now time.Time,
) []*lockboxv1.AssignmentView {
	var list []*lockboxv1.AssignmentView
	for _, a := range roles.All() {
		if of != nil && !tenant.SamePerson(a.GetPerson(), of.GetPerson()) || a.Lapsed(now) {
			continue
		}
		v := &lockboxv1.AssignmentView{Assignment: a.RoleAssignment}
		if why := a.InactiveIn(t, now); why != lockboxv1.ReasonCode_REASON_CODE_UNSPECIFIED {
			v.Reason, v.CodedReason = tenant.Recorded(why), &lockboxv1.Reason{Code: why}
		} else {
			v.Active, v.ActiveUntil = true, stamp(a.ActiveUntil())
		}
		list = append(list, v)
	}
	for _, g := range roles.GroupAssignments() {
		if of == nil || slices.Contains(of.GetGroups(), g.GetGroup()) {
			why := tenant.Assignment{RoleAssignment: g}.Inactive(now)
			list = append(list, &lockboxv1.AssignmentView{Assignment: g, Reason: tenant.Recorded(why),
				CodedReason: &lockboxv1.Reason{Code: why}})
		}
	}
	return list
}

// Approvers returns who would be asked at now (R23); with a nil subscription, for a tenant-scoped request.
func Approvers(c *projection.Customer, s *tenant.Subscription, now time.Time) *lockboxv1.ApproversPreview {
	a := tenant.Resolve(c.Tenant, s, nil, now)
	return &lockboxv1.ApproversPreview{
		Basis: a.Basis, Approvers: a.People, Excluded: a.Excluded, RequiredApprovals: uint32(max(0, a.Required)), // #nosec G115 -- at most ten
	}
}

// Ticket returns the view of a ticket without its history.
func Ticket(s ticket.State) *lockboxv1.TicketView {
	v := &lockboxv1.TicketView{
		TicketId: s.ID, Tenant: s.Tenant, Title: s.Title, Description: s.Description, SubscriptionId: s.SubscriptionID,
		Engineer: s.Engineer, Team: s.Team, OpenedAt: stamp(s.OpenedAt), OpenedBy: s.OpenedBy, Version: s.Version,
		Reference: s.Reference, ClosedBy: s.ClosedBy, OpenedByProvider: s.OfProvider(),
	}
	if s.Closed() {
		v.ClosedAt = stamp(s.ClosedAt)
	}
	return v
}
