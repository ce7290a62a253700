package story

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// ProviderIssuer is where the provider's people sign in; a tenant's have one of their own.
const ProviderIssuer = "https://login.nimbus.example"

// Provider is one of the provider's people, signed in with two factors.
func Provider(name string, groups ...string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud", Groups: groups,
		MultiFactor: true, Person: person("nimbus", name)}
}

// Human is an account whose tokens say which human has it (R51).
func Human(human string, account *lockboxv1.Actor) *lockboxv1.Actor {
	account = proto.CloneOf(account)
	account.Person.Human = human
	return account
}

// Customer is one of a tenant's people.
func Customer(tenantID, name string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, MultiFactor: true, Person: person(tenantID, name)}
}

// person is called "Engineer 07" if their name is engineer-07.
func person(of, name string) *lockboxv1.Person {
	p := &lockboxv1.Person{Issuer: "https://login." + of + ".example", Subject: name, Email: name + "@" + of + ".example",
		Language: "en"}
	if name != "" {
		p.DisplayName = strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "-", " ")
	}
	return p
}

// System is a part of Lockbox itself.
func System(service string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: service}
}

// Create makes a tenant with Lockbox switched on.
func (s *Story) Create(tenantID, displayName string, issuer *lockboxv1.TenantIssuer, administrator *lockboxv1.Actor) {
	if issuer == nil {
		issuer = &lockboxv1.TenantIssuer{Url: administrator.GetPerson().GetIssuer(), Audience: "lockbox",
			Jwks: []byte(`{"keys":[]}`)}
	}
	s.Command(Provider("onboarding", aggregate.Onboarding),
		&lockboxv1.Command{Tenant: tenantID, Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: displayName, Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, Issuer: issuer,
			Administrator: administrator.GetPerson(), DefaultLanguage: "en",
		}}})
	s.Command(administrator, &lockboxv1.Command{Tenant: tenantID,
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}})
}

// Subscription registers one, as the provider's onboarding does.
func (s *Story) Subscription(tenantID, id, displayName string) {
	s.Command(Provider("onboarding", aggregate.Onboarding),
		&lockboxv1.Command{Tenant: tenantID, AggregateId: id, Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: displayName},
		}})
}

// Transfer gives a subscription to another tenant.
func (s *Story) Transfer(id, from, to, displayName, reason string) {
	s.Command(Provider("onboarding", aggregate.Onboarding),
		&lockboxv1.Command{Tenant: to, AggregateId: id, Action: &lockboxv1.Command_TransferSubscription{
			TransferSubscription: &lockboxv1.TransferSubscription{From: from, DisplayName: displayName, Reason: reason},
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
	c := Assign(assignmentID, to, role, scope)
	c.Tenant, c.AggregateId = tenantID, subscription
	c.GetAssignRole().GetAssignment().EligibleOnly = eligible
	s.Command(by, c)
}

// Assign gives somebody a role on the Subscription, or on the tenant.
func Assign(id string, to *lockboxv1.Actor, role lockboxv1.Role, scope lockboxv1.AssignmentScope) *lockboxv1.Command {
	person := proto.CloneOf(to.GetPerson())
	person.Human = "" // an administrator names an account; the human is in its tokens
	c := &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
		Assignment: &lockboxv1.RoleAssignment{Id: id, Person: person, Role: role, Scope: scope},
	}}}
	if scope != lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT {
		c.AggregateId = Subscription
	}
	return c
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
		in.ResourceIds = append(in.ResourceIds,
			"/subscriptions/"+subscription+"/providers/Microsoft.Compute/virtualMachines/"+n)
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
