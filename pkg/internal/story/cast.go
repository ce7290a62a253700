package story

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// The issuers and ids of the story.
const (
	ProviderIssuer = "https://login.provider.example"
	TenantIssuer   = "https://login.contoso.example"
	Tenant         = "contoso"
	Subscription   = "sub-1"
)

// Provider returns one of the provider's people.
func Provider(name string, groups ...string) *lockboxv1.Actor {
	return &lockboxv1.Actor{
		Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Provider Ltd", Groups: groups, MultiFactor: true,
		Person: person(ProviderIssuer, name),
	}
}

// Customer returns one of the tenant's people.
func Customer(name string) *lockboxv1.Actor { return Of(TenantIssuer, name) }

// Of returns a person of the tenant with that issuer.
func Of(issuer, name string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person(issuer, name), MultiFactor: true}
}

// Lockbox returns the system actor.
func Lockbox() *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "lockbox"}
}

func person(issuer, name string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: issuer, Subject: name, DisplayName: name, Email: name + "@example.org",
		Language: "en"}
}

// Assign returns the command that assigns a role on the subscription or the tenant.
func Assign(id string, to *lockboxv1.Actor, role lockboxv1.Role, scope lockboxv1.AssignmentScope) *lockboxv1.Command {
	c := &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
		Assignment: &lockboxv1.RoleAssignment{Id: id, Person: to.GetPerson(), Role: role, Scope: scope},
	}}}
	if scope != lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT {
		c.AggregateId = Subscription
	}
	return c
}

// New returns the story of a customer with Lockbox enabled, one subscription and one Global Administrator.
func New(administrator *lockboxv1.Actor, now time.Time) *Story {
	s := &Story{Terms: request.DefaultTerms()}
	onboarding := Provider("ona", aggregate.Onboarding)
	s.Must(onboarding, &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
		DisplayName: "Contoso", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER, DefaultLanguage: "en",
		Issuer:        &lockboxv1.TenantIssuer{Url: TenantIssuer, Audience: "lockbox", Jwks: []byte("{}")},
		Administrator: administrator.GetPerson(),
	}}}, now)
	s.Must(onboarding, &lockboxv1.Command{AggregateId: Subscription, Action: &lockboxv1.Command_RegisterSubscription{
		RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: "Production"},
	}}, now)
	s.Must(administrator,
		&lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}, now)
	return s
}
