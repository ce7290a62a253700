package policy_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	now   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	terms = request.DefaultTerms()
	rules = policy.Default()
)

// facts are those of an engineer with a second factor, a tenant that has Lockbox, and a machine whose memory is wanted.
func facts(change func(*policy.Facts)) policy.Facts {
	f := policy.Facts{
		Intent: &lockboxv1.AccessIntent{SubscriptionId: "production", ResourceType: "compute/virtual-machines",
			Scenario: "memory-dump"},
		By: &lockboxv1.Actor{
			Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud", Groups: []string{aggregate.SupportEngineers},
			MultiFactor: true,
			Person:      &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "erin"},
		},
		Tenant:       bank(),
		Subscription: &tenant.Subscription{History: aggregate.History{Version: 1}},
	}
	change(&f)
	return f
}

// control: nist:IA-2, iso:8.2
func TestWhatAnEvaluationComesTo(t *testing.T) {
	const (
		refused  = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED
		customer = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES
		waived   = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED
	)
	for _, c := range []struct {
		name    string
		change  func(*policy.Facts)
		outcome lockboxv1.EvaluationOutcome
		rule    string // of the refusal
		waiver  lockboxv1.Waiver
		group   string // that must approve first
	}{
		{name: "customer data: the customer decides (R17)", change: func(*policy.Facts) {}, outcome: customer},
		{
			name: "no customer data: the customer is not asked (R3)", outcome: waived,
			waiver: lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA,
			change: func(f *policy.Facts) { f.Intent.Scenario = "platform-health" },
		},
		{
			name: "the tenant has not switched Lockbox on (R2)", outcome: waived,
			waiver: lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED,
			change: func(f *policy.Facts) { f.Tenant.Enabled = false },
		},
		{
			name: "a preview that the tenant has not signed up for (R8)", outcome: waived,
			waiver: lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP, group: aggregate.DevOpsManagers,
			change: func(f *policy.Facts) { f.Intent.ResourceType, f.Intent.Scenario = "batch/accounts", "node-access" },
		},
		{
			name: "a preview that the tenant has signed up for (R8)", outcome: customer, group: aggregate.DevOpsManagers,
			change: func(f *policy.Facts) {
				f.Intent.ResourceType, f.Intent.Scenario = "batch/accounts", "node-access"
				f.Tenant = signedUp(f.Tenant, "batch/accounts")
			},
		},
		{
			name: "a classic resource (R9)", outcome: refused, rule: "R9",
			change: func(f *policy.Facts) { f.Intent.ResourceType = "classic-compute/virtual-machines" },
		},
		{
			name: "a type that is not in the catalogue (R10)", outcome: refused, rule: "R10",
			change: func(f *policy.Facts) { f.Intent.ResourceType = "compute/mainframes" },
		},
		{
			name: "a scenario that is not in the catalogue (R10)", outcome: refused, rule: "R10",
			change: func(f *policy.Facts) { f.Intent.Scenario = "look-around" },
		},
		{
			name: "neither a second factor nor an isolated identity (R13)", outcome: refused, rule: "R13",
			change: func(f *policy.Facts) { f.By.MultiFactor = false },
		},
		{
			name: "an isolated identity is as good (R13)", outcome: customer,
			change: func(f *policy.Facts) { f.By.MultiFactor, f.By.IsolatedIdentity = false, true },
		},
		{
			name: "somebody of the provider who is no engineer (R13)", outcome: refused, rule: "R13",
			change: func(f *policy.Facts) { f.By.Groups = []string{aggregate.SecurityOfficers} },
		},
		{
			name: "an engineer of whom nobody knows the employer (R5)", outcome: refused, rule: "R5",
			change: func(f *policy.Facts) { f.By.Employer = "" },
		},
		{
			name: "elevated permission (R15)", outcome: customer, group: aggregate.DevOpsManagers,
			change: func(f *policy.Facts) { f.Intent.Scenario = "managed-disk" },
		},
		{
			name: "the whole tenant, elevated (R15, R19)", outcome: customer, group: aggregate.DevOpsManagers,
			change: tenantScoped("tenant-configuration"),
		},
		{
			name: "the whole tenant (R15, R19)", outcome: customer, group: aggregate.SupportLeads,
			change: tenantScoped("directory-content"),
		},
		{
			name: "a tenant's scenario on a subscription (R18)", outcome: refused, rule: "R18",
			change: func(f *policy.Facts) {
				f.Intent.ResourceType, f.Intent.Scenario = "directory/tenants", "directory-content"
			},
		},
		{
			name: "a subscription that does not exist (R18)", outcome: refused, rule: "R18",
			change: func(f *policy.Facts) { f.Subscription = &tenant.Subscription{} },
		},
		{
			name: "a ticket that does not exist (R11)", outcome: refused, rule: "R11",
			change: func(f *policy.Facts) { f.Ticket = &ticket.State{} },
		},
		{
			name: "support that the customer asked for, on the customer's ticket (R61)", outcome: customer,
			change: func(f *policy.Facts) { supported(f, grace, false) },
		},
		{
			name: "support that the customer asked for, on the provider's ticket (R61)", outcome: refused, rule: "R61",
			change: func(f *policy.Facts) { supported(f, f.By, false) },
		},
		{
			name: "the provider's own service, on the provider's ticket (R61)", outcome: customer,
			change: func(f *policy.Facts) {
				supported(f, f.By, false)
				f.Intent.ReasonType = lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
			},
		},
		{
			name: "a closed ticket with which nothing ends (R61)", outcome: customer,
			change: func(f *policy.Facts) { supported(f, grace, true) },
		},
		{
			name: "a closed ticket with which access ends (R61)", outcome: refused, rule: "R61",
			change: func(f *policy.Facts) {
				supported(f, grace, true)
				f.Tenant.Settings = &lockboxv1.TenantSettings{AccessEndsWithTicket: true}
			},
		},
		{
			name: "no ticket with which access could end (R61)", outcome: customer,
			change: func(f *policy.Facts) { f.Tenant.Settings = &lockboxv1.TenantSettings{AccessEndsWithTicket: true} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := policy.Evaluate(facts(c.change), rules, catalogue.Default(), terms, now)
			group := ""
			for _, s := range v.GetInternalStages() {
				group = s.GetGroup()
				if s.GetCount() != 1 || len(v.GetInternalStages()) != 1 ||
					!v.GetInternalExpiresAt().AsTime().Equal(now.Add(terms.InternalApproval)) {
					t.Errorf("one approval, within the provider's time, is demanded: %v until %v", v.GetInternalStages(),
						v.GetInternalExpiresAt().AsTime())
				}
			}
			if v.GetOutcome() != c.outcome || v.GetRefusal().GetRule() != c.rule || v.GetWaiver() != c.waiver ||
				group != c.group {
				t.Errorf("got %v (refusal %v, waiver %v, internal %q)", v.GetOutcome(), v.GetRefusal(), v.GetWaiver(), group)
			}
			if len(v.GetReasons()) == 0 || v.GetPolicyVersion() == "" || v.GetCatalogueVersion() == "" ||
				v.GetFacts().GetTenantSequence() < 17 {
				t.Errorf("an evaluation records reasons, versions and facts (R6, R14): %v", v)
			}
			if again := policy.Evaluate(facts(c.change), rules, catalogue.Default(), terms, now); !proto.Equal(v, again) {
				t.Error("the same facts give the same answer (R14)")
			}
		})
	}
}

// supported has an intent name a ticket that somebody opened, as support that the customer asked for.
func supported(f *policy.Facts, opener *lockboxv1.Actor, closed bool) {
	f.Intent.TicketId = "T-1"
	f.Intent.ReasonType = lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT
	f.Ticket = &ticket.State{History: aggregate.History{Version: 1}, Reference: "T-1", OpenedBy: opener}
	if closed {
		f.Ticket.ClosedBy = grace
	}
}

func TestTheGrantIsAsLongAsAskedForOrEightHours(t *testing.T) {
	if d := policy.Evaluate(facts(func(*policy.Facts) {}), rules, catalogue.Default(), terms,
		now).GetDuration().AsDuration(); d != 8*time.Hour {
		t.Errorf("by default %v (R27)", d)
	}
	less := facts(func(f *policy.Facts) { f.Intent.Duration = durationpb.New(time.Hour) })
	if d := policy.Evaluate(less, rules, catalogue.Default(), terms, now).GetDuration().AsDuration(); d != time.Hour {
		t.Errorf("an hour was asked for, and is %v (R27)", d)
	}
}

func tenantScoped(scenario string) func(*policy.Facts) {
	return func(f *policy.Facts) {
		f.Intent.SubscriptionId, f.Intent.ResourceType, f.Intent.Scenario, f.Subscription = "", "directory/tenants", scenario,
			nil
	}
}

// bank is a tenant with Lockbox on, up to sequence 17.
func bank() tenant.State {
	onboarding := &lockboxv1.Actor{
		Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{aggregate.Onboarding},
		Person: &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "ona"},
	}
	s := changed(tenant.State{}, 16, onboarding, &lockboxv1.Event{Fact: &lockboxv1.Event_TenantCreated{
		TenantCreated: &lockboxv1.TenantCreated{Administrator: &lockboxv1.RoleAssignment{
			Id: "first", Person: grace.GetPerson(), Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
		}},
	}})
	return changed(s, 17, grace,
		&lockboxv1.Event{Fact: &lockboxv1.Event_LockboxEnabled{LockboxEnabled: &lockboxv1.LockboxEnabled{}}})
}

var grace = &lockboxv1.Actor{
	Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{Issuer: "https://bank.example", Subject: "grace"},
}

func changed(s tenant.State, sequence uint64, by *lockboxv1.Actor, e *lockboxv1.Event) tenant.State {
	e.Tenant, e.Kind, e.AggregateId, e.Version = "bank", aggregate.KindTenant, "bank", s.Version+1
	e.Time, e.Actor = timestamppb.New(now), by
	if s = tenant.Evolve(s, sequence, e); s.Fault != nil {
		panic(s.Fault.Rule)
	}
	return s
}

func signedUp(s tenant.State, resourceType string) tenant.State {
	return changed(s, 18, grace, &lockboxv1.Event{Fact: &lockboxv1.Event_PreviewSignedUp{
		PreviewSignedUp: &lockboxv1.PreviewSignedUp{ResourceType: resourceType},
	}})
}
