package tenant_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	home = "https://login.contoso.example"
	id   = story.Tenant
	sub  = story.Subscription

	invalid      = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	forbidden    = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN
	notFound     = lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND
	conflict     = lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT
	precondition = lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION

	ofTenant       = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
	ofSubscription = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	ofGroup        = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP

	administrator = lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
	ownerRole     = lockboxv1.Role_ROLE_OWNER
	approver      = lockboxv1.Role_ROLE_LOCKBOX_APPROVER
	auditor       = lockboxv1.Role_ROLE_AUDITOR

	basic     = lockboxv1.SupportPlan_SUPPORT_PLAN_BASIC
	developer = lockboxv1.SupportPlan_SUPPORT_PLAN_DEVELOPER
	premier   = lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER
)

var (
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

	ona  = story.Provider("ona", aggregate.Onboarding)
	eve  = story.Provider("eve", aggregate.SupportEngineers)
	gina = story.Customer(id, "gina") // the first Global Administrator
	otto = story.Customer(id, "otto")
	lena = story.Customer(id, "lena")
	mole = story.Customer("fabrikam", "gina")
)

// row is one line of a timeline: at a time somebody gives a command, and then something is so, or a refusal says why
// not.
type row struct {
	at   time.Duration
	who  *lockboxv1.Actor
	does *lockboxv1.Command
	then outcome
}

type outcome struct {
	happened bool
	refusal  *lockboxv1.Refusal
}

var (
	yes     = outcome{happened: true}
	already = outcome{}
)

func no(code lockboxv1.RefusalCode, field, rule string) outcome {
	return outcome{refusal: &lockboxv1.Refusal{Code: code, Field: field, Rule: rule}}
}

// customerStory is a tenant with one subscription.
type customerStory struct{ *story.Story }

func begin() customerStory { return customerStory{story.New(start)} }

func (s customerStory) tenant() tenant.State { return s.States.Tenant(id) }

func (s customerStory) subscription() tenant.Subscription { return s.States.Subscription(id, sub) }

// play tells the story. The same command again gives no events, and a refusal changes nothing.
func (s customerStory) play(t *testing.T, rows ...row) {
	t.Helper()
	for i, r := range rows {
		command, before := s.At(start.Add(r.at)).ID(), len(s.Entries)
		e, err := s.Decide(r.who, command, r.does)
		if e != nil {
			s.Record(e)
			s.Owed(aggregate.KeyOf(e))
		}
		got := outcome{happened: e != nil}
		if err != nil {
			why := refusal.Of(err)
			got.refusal = &lockboxv1.Refusal{Code: why.GetCode(), Field: why.GetField(), Rule: why.GetRule()}
		}
		if !reflect.DeepEqual(got, r.then) {
			t.Fatalf("row %d: %v, %v; want %+v", i+1, e, err, r.then)
		}
		if again, err := s.Decide(r.who, command, r.does); r.then.refusal == nil && (again != nil || err != nil) {
			t.Errorf("row %d: the same command again gives %v, %v", i+1, again, err)
		}
		if r.then.refusal != nil && len(s.Entries) != before {
			t.Errorf("row %d: refused, and yet something changed", i+1)
		}
	}
}

// contoso is a tenant of a plan, with gina as Global Administrator and one subscription.
func contoso(t *testing.T, plan lockboxv1.SupportPlan) customerStory {
	t.Helper()
	s := begin()
	s.play(t, row{0, ona, create(plan), yes}, row{0, ona, register("Production"), yes})
	return s
}

func create(plan lockboxv1.SupportPlan) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
		DisplayName: "Contoso", Plan: plan, DefaultLanguage: "en", Administrator: gina.GetPerson(),
		Issuer: &lockboxv1.TenantIssuer{Url: home, Audience: "lockbox", Jwks: []byte("{}")},
	}}}
}

func register(name string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: sub,
		Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: name}}}
}

func enable() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
}

func disable(reason string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: reason}}}
}

func change(plan lockboxv1.SupportPlan) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSupportPlan{
		ChangeSupportPlan: &lockboxv1.ChangeSupportPlan{Plan: plan}}}
}

func signUp(resourceType string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_SignUpPreview{
		SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: resourceType}}}
}

func signOff(resourceType string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_SignOffPreview{
		SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: resourceType}}}
}

func set(s *lockboxv1.TenantSettings) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: s}}}
}

// on says where a command about roles is meant: the tenant's own, or the subscription's.
func on(scope lockboxv1.AssignmentScope, c *lockboxv1.Command) *lockboxv1.Command {
	if scope != ofTenant {
		c.AggregateId = sub
	}
	return c
}

func assignment(
	name string, to *lockboxv1.Actor, role lockboxv1.Role, scope lockboxv1.AssignmentScope,
) *lockboxv1.RoleAssignment {
	return &lockboxv1.RoleAssignment{Id: name, Person: to.GetPerson(), Role: role, Scope: scope}
}

func assign(a *lockboxv1.RoleAssignment) *lockboxv1.Command {
	return on(a.GetScope(),
		&lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: a}}})
}

func owner(to *lockboxv1.Actor) *lockboxv1.Command {
	return assign(assignment(to.GetPerson().GetSubject(), to, ownerRole, ofSubscription))
}

func eligible(a *lockboxv1.RoleAssignment) *lockboxv1.RoleAssignment {
	a.EligibleOnly = true
	return a
}

func ending(a *lockboxv1.RoleAssignment, at time.Duration) *lockboxv1.RoleAssignment {
	a.ExpiresAt = timestamppb.New(start.Add(at))
	return a
}

func remove(scope lockboxv1.AssignmentScope, name string) *lockboxv1.Command {
	return on(scope, &lockboxv1.Command{Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: name}}})
}

func activate(scope lockboxv1.AssignmentScope, name string, until ...time.Duration) *lockboxv1.Command {
	a := &lockboxv1.ActivateRole{AssignmentId: name}
	for _, u := range until {
		a.Until = timestamppb.New(start.Add(u))
	}
	return on(scope, &lockboxv1.Command{Action: &lockboxv1.Command_ActivateRole{ActivateRole: a}})
}

func deactivate(scope lockboxv1.AssignmentScope, name string) *lockboxv1.Command {
	return on(scope, &lockboxv1.Command{Action: &lockboxv1.Command_DeactivateRole{
		DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: name}}})
}
