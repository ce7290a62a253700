package plan_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	start    = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	deadline = start.Add(96 * time.Hour)
)

const (
	bank      = "https://login.meadowbank.example"
	northwind = "https://login.northwind.example"
	requestID = "01975a2c-7b3c-7e4a-9d8e-0123456789ab"
)

// The cast.
var (
	otto  = customer("otto", "Otto Brandt", "en")
	fleur = customer("fleur", "Fleur Martin", "fr")
	grace = customer("grace", "Grace Hall", "")   // reads the tenant's default language
	kenji = customer("kenji", "Kenji Sato", "ja") // may activate Global Administrator
	erin  = employee("erin", "Erin Cole", "Fabrikam Field Services")
	nadia = employee("nadia", "Nadia Rahman", "Northwind Cloud")
	orla  = member(employee("orla", "Orla Byrne", "Northwind Cloud"), aggregate.Onboarding)
	clock = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "lockbox-orchestrator"}
)

func customer(subject, name, language string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{
		Issuer: bank, Subject: subject, DisplayName: name, Email: subject + "@meadowbank.example", Language: language,
	}}
}

func employee(subject, name, employer string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: employer, Person: &lockboxv1.Person{
		Issuer: northwind, Subject: subject, DisplayName: name, Email: subject + "@northwind.example",
	}}
}

func member(a *lockboxv1.Actor, groups ...string) *lockboxv1.Actor {
	a.Groups = groups
	return a
}

var settings = plan.Settings{
	Provider: "Northwind Cloud", PortalURL: "https://lockbox.northwind.example", DefaultLanguage: "en",
	Groups: map[string][]string{
		"devops-managers":        {"devops@northwind.example", "oncall@northwind.example"},
		"customer-support-leads": {"leads@northwind.example"},
		"security-officers":      {"officers@northwind.example"},
	},
}

// story is one stream, told event by event.
type story struct {
	*testing.T
	sequence     uint64
	now          time.Time
	bank, before tenant.State
	sub, subWas  tenant.Subscription
	request      request.State
	ticket       ticket.State
	disclosed    disclosure.State
	last         []plan.Notification
}

// tell begins a story with a tenant whose default language is French and whose only Global Administrator is Grace.
func tell(t *testing.T) *story {
	s := &story{T: t, now: start}
	s.tenant(orla, &lockboxv1.Event_TenantCreated{TenantCreated: &lockboxv1.TenantCreated{
		DisplayName: "Meadow Bank", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "fr",
		Issuer:        &lockboxv1.TenantIssuer{Url: bank},
		Administrator: role("grace-ga", grace, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR),
	}})
	return s
}

func role(id string, who *lockboxv1.Actor, r lockboxv1.Role) *lockboxv1.RoleAssignment {
	return &lockboxv1.RoleAssignment{Id: id, Person: who.GetPerson(), Role: r,
		Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}
}

func (s *story) event(kind, id string, version uint64, by *lockboxv1.Actor) *lockboxv1.Event {
	s.sequence++
	s.now = s.now.Add(time.Minute)
	return &lockboxv1.Event{
		Id: fmt.Sprintf("event-%d", s.sequence), Tenant: "meadowbank", Kind: kind, AggregateId: id, Version: version,
		Time: timestamppb.New(s.now), Actor: by,
	}
}

// at moves the clock on.
func (s *story) at(t time.Time) *story {
	s.now = t.Add(-time.Minute)
	return s
}

func (s *story) tenant(by *lockboxv1.Actor, fact any) *story {
	s.Helper()
	e := s.event("tenant", "meadowbank", s.bank.Version+1, by)
	set(s.T, e, fact)
	s.before, s.bank = s.bank, tenant.Evolve(s.bank, s.sequence, e)
	s.last = plan.Plan(plan.Input{Event: e, Tenant: s.bank, TenantBefore: s.before}, settings)
	return s
}

func (s *story) subscription(by *lockboxv1.Actor, fact any) *story {
	s.Helper()
	e := s.event("subscription", "pay-prod", s.sub.Version+1, by)
	set(s.T, e, fact)
	s.subWas, s.sub = s.sub, tenant.EvolveSubscription(s.sub, s.sequence, e)
	s.last = plan.Plan(plan.Input{Event: e, Tenant: s.bank, Subscription: s.sub, SubscriptionBefore: s.subWas}, settings)
	return s
}

func (s *story) then(by *lockboxv1.Actor, fact any) *story {
	s.Helper()
	e := s.event("request", requestID, s.request.Version+1, by)
	set(s.T, e, fact)
	s.request = request.Evolve(s.request, s.sequence, e)
	if s.request.Fault != nil {
		s.Fatalf("this cannot happen: %+v", *s.request.Fault)
	}
	in := plan.Input{Event: e, Request: s.request, Ticket: s.ticket, Tenant: s.bank, Subscription: s.sub}
	s.last = plan.Plan(in, settings)
	if again := plan.Plan(in, settings); !cmp.Equal(ids(s.last), ids(again)) {
		s.Errorf("the same event gives other notifications: %v, then %v", ids(s.last), ids(again))
	}
	if len(s.last) > 0 && !plan.Tells(e) {
		s.Error("Tells says that nobody is told")
	}
	return s
}

func (s *story) disclosure(by *lockboxv1.Actor, fact any) *story {
	s.Helper()
	e := s.event("disclosure", requestID, s.disclosed.Version+1, by)
	set(s.T, e, fact)
	s.disclosed = disclosure.Evolve(s.disclosed, s.sequence, e)
	if s.disclosed.Fault != nil {
		s.Fatalf("this cannot happen: %+v", *s.disclosed.Fault)
	}
	s.last = plan.Plan(plan.Input{Event: e, Disclosure: s.disclosed, Tenant: s.bank}, settings)
	if len(s.last) > 0 && !plan.Tells(e) {
		s.Error("Tells says that nobody is told")
	}
	return s
}

// set gives the event its fact: one of the Event_… wrappers, whose common interface is not exported.
func set(t *testing.T, e *lockboxv1.Event, fact any) {
	t.Helper()
	field := reflect.ValueOf(e).Elem().FieldByName("Fact")
	if !reflect.TypeOf(fact).AssignableTo(field.Type()) {
		t.Fatalf("no fact: %T", fact)
	}
	field.Set(reflect.ValueOf(fact))
}

// told holds the last event's notifications against lines of "template: recipient (language) …". Recipients of one
// template are in the order in which they are told.
func (s *story) told(want ...string) *story {
	s.Helper()
	var got []string
	for _, n := range s.last {
		name, _, _ := strings.Cut(n.Recipient, "@")
		who := name + "/" + n.Language
		if len(got) > 0 && strings.HasPrefix(got[len(got)-1], string(n.Template)+":") {
			got[len(got)-1] += " " + who
		} else {
			got = append(got, string(n.Template)+": "+who)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("told (-want +got):\n%s", diff)
	}
	return s
}

// data is what the last event's notification to a recipient says.
func (s *story) data(recipient string) plan.Data {
	s.Helper()
	i := slices.IndexFunc(s.last, func(n plan.Notification) bool { return strings.HasPrefix(n.Recipient, recipient+"@") })
	if i < 0 {
		s.Fatalf("%s is not told", recipient)
	}
	return s.last[i].Data
}

func ids(list []plan.Notification) []string {
	var all []string
	for _, n := range list {
		all = append(all, n.ID)
	}
	return all
}

// requested tells of Erin's intent.
func (s *story) requested() *story {
	s.Helper()
	return s.then(erin, &lockboxv1.Event_AccessRequested{
		AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{
			Id: requestID, Tenant: "meadowbank", SubscriptionId: "pay-prod", ResourceType: "compute/virtual-machines",
			Scenario:    "memory-dump",
			ResourceIds: []string{"/subscriptions/pay-prod/vm-1", "/subscriptions/pay-prod/vm-2"}, TicketId: "SR-1",
			ReasonType:    lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
			Justification: "The machine does not start.",
		}}})
}

func (s *story) evaluated(outcome lockboxv1.EvaluationOutcome, stages ...*lockboxv1.InternalStage) *story {
	s.Helper()
	v := &lockboxv1.AccessEvaluated{
		Outcome: outcome, Duration: durationpb.New(8 * time.Hour), InternalStages: stages,
		Facts: &lockboxv1.EvaluationFacts{ServiceName: "Virtual Machines", ScenarioName: "Memory dump"},
	}
	if len(stages) > 0 {
		v.InternalExpiresAt = timestamppb.New(start.Add(24 * time.Hour))
		v.InternalRemindBefore = []*durationpb.Duration{durationpb.New(4 * time.Hour)}
	}
	if outcome == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED {
		v.Waiver = lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA
	}
	if outcome == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED {
		v.Refusal = &lockboxv1.Refusal{Message: "multi-factor authentication is needed"}
	}
	return s.then(clock, &lockboxv1.Event_AccessEvaluated{AccessEvaluated: v})
}

const customerDecides = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES

// asked tells that the customer was notified: Otto and Fleur are the approvers, security@ and Otto's own address are
// alternates.
func (s *story) asked(change ...func(*lockboxv1.CustomerNotified)) *story {
	s.Helper()
	n := &lockboxv1.CustomerNotified{
		Scope: lockboxv1.Scope_SCOPE_SUBSCRIPTION, Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION,
		Approvers: []*lockboxv1.Approver{{Person: otto.GetPerson()}, {Person: fleur.GetPerson()}},
		Alternates: []*lockboxv1.AlternateAddress{
			{Email: "security@meadowbank.example"}, {Email: "Otto@meadowbank.example"},
			{Email: "audit@meadowbank.example", Language: "ja"},
		},
		RequiredApprovals: 1, ExpiresAt: timestamppb.New(deadline),
		RemindAt:   []*timestamppb.Timestamp{timestamppb.New(deadline.Add(-24 * time.Hour))},
		TenantName: "Meadow Bank", SubscriptionName: "Payments",
	}
	for _, c := range change {
		c(n)
	}
	return s.then(clock, &lockboxv1.Event_CustomerNotified{CustomerNotified: n})
}

// waiting is a story up to the point where the customer was asked.
func waiting(t *testing.T, change ...func(*lockboxv1.CustomerNotified)) *story {
	t.Helper()
	return tell(t).requested().evaluated(customerDecides).asked(change...)
}

func (s *story) approved(by *lockboxv1.Actor) *story {
	s.Helper()
	return s.then(by, &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
		Duration: durationpb.New(4 * time.Hour), ResourceIds: []string{"/subscriptions/pay-prod/vm-1"},
	}})
}

func (s *story) granted() *story {
	s.Helper()
	duration, resources := s.request.Allowed()
	from := s.now.Add(time.Minute)
	return s.then(clock, &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
		StartsAt: timestamppb.New(from), EndsAt: timestamppb.New(from.Add(duration)), ResourceIds: resources,
		Waiver: s.request.Waiver(),
	}})
}

func two(n *lockboxv1.CustomerNotified) { n.RequiredApprovals = 2 }
