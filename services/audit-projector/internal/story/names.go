package story

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Provider is one of the provider's people, signed in with two factors.
func Provider(name, displayName string, groups ...string) *lockboxv1.Actor {
	return &lockboxv1.Actor{
		Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud", Groups: groups, MultiFactor: true,
		Person: &lockboxv1.Person{Issuer: "https://login.nimbus.example", Subject: name, DisplayName: displayName,
			Email: name + "@nimbus.example", Language: "en"},
	}
}

// Customer is one of a tenant's people.
func Customer(tenantID, name, displayName string) *lockboxv1.Actor {
	return &lockboxv1.Actor{
		Side: lockboxv1.Side_SIDE_TENANT, MultiFactor: true,
		Person: &lockboxv1.Person{Issuer: "https://login." + tenantID + ".example", Subject: name, DisplayName: displayName,
			Email: name + "@" + tenantID + ".example", Language: "en"},
	}
}

// Create makes a tenant with Lockbox switched on.
func (s *Story) Create(tenantID, displayName string, issuer *lockboxv1.TenantIssuer, administrator *lockboxv1.Actor) {
	if issuer == nil {
		issuer = &lockboxv1.TenantIssuer{Url: administrator.GetPerson().GetIssuer(), Audience: "lockbox",
			Jwks: []byte(`{"keys":[]}`)}
	}
	s.Command(Provider("onboarding", "Nimbus Onboarding", "onboarding"),
		&lockboxv1.Command{Tenant: tenantID, Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: displayName, Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, Issuer: issuer,
			Administrator: administrator.GetPerson(), DefaultLanguage: "en",
		}}})
	s.Command(administrator, &lockboxv1.Command{Tenant: tenantID,
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}})
}

// Subscription registers one.
func (s *Story) Subscription(by *lockboxv1.Actor, tenantID, id, displayName string) {
	s.Command(by, &lockboxv1.Command{Tenant: tenantID, AggregateId: id, Action: &lockboxv1.Command_RegisterSubscription{
		RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: displayName},
	}})
}

// Assign gives somebody a role on a subscription, or with none on the tenant. Eligible: they must activate it.
func (s *Story) Assign(
	by *lockboxv1.Actor, tenantID, subscription, assignmentID string, to *lockboxv1.Actor, role lockboxv1.Role,
	eligible bool,
) {
	scope := lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
	if subscription != "" {
		scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	}
	s.Command(by, &lockboxv1.Command{Tenant: tenantID, AggregateId: subscription,
		Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
			Assignment: &lockboxv1.RoleAssignment{Id: assignmentID, Person: to.GetPerson(), Role: role, Scope: scope,
				EligibleOnly: eligible},
		}}})
}

// Ticket opens one.
func (s *Story) Ticket(by *lockboxv1.Actor, tenantID, id, title, subscription string) {
	s.Command(by, &lockboxv1.Command{Tenant: tenantID, AggregateId: id,
		Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{
			Title: title, Description: "It began this morning.", SubscriptionId: subscription,
		}}})
}

// Disk is an intent to read managed disks of a subscription, for which an internal approver decides before the
// customer.
func Disk(tenantID, subscription string, names ...string) *lockboxv1.AccessIntent {
	return intent(tenantID, subscription, "managed-disk", names)
}

// Dump is an intent to take memory dumps, for which the customer decides at once.
func Dump(tenantID, subscription string, names ...string) *lockboxv1.AccessIntent {
	return intent(tenantID, subscription, "memory-dump", names)
}

func intent(tenantID, subscription, scenario string, names []string) *lockboxv1.AccessIntent {
	in := &lockboxv1.AccessIntent{
		Tenant: tenantID, SubscriptionId: subscription, ResourceType: "compute/virtual-machines", Scenario: scenario,
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE,
		Justification: "The machine stops answering twice a day.",
	}
	for _, n := range names {
		in.ResourceIds = append(in.ResourceIds, "/subscriptions/"+subscription+"/machines/"+n)
	}
	return in
}

// About is a command about a request.
func About(tenantID, requestID string) *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: tenantID, AggregateId: requestID}
}

// Approve is the customer's yes.
func Approve(tenantID, requestID string) *lockboxv1.Command {
	c := About(tenantID, requestID)
	c.Action = &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: "go ahead"}}
	return c
}

// Deny is the customer's no.
func Deny(tenantID, requestID string) *lockboxv1.Command {
	c := About(tenantID, requestID)
	c.Action = &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "not this week"}}
	return c
}

// InternalApprove is an internal approver's yes.
func InternalApprove(tenantID, requestID string) *lockboxv1.Command {
	c := About(tenantID, requestID)
	c.Action = &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{Comment: "needed"}}
	return c
}

func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }
