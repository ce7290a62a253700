package plan_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/proto"
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

// telling is a story told event by event.
type telling struct {
	*testing.T
	*story.Story
	basis plan.Basis
	last  []plan.Notification
}

// tell begins a story with a tenant whose default language is French and whose only Global Administrator is Grace.
func tell(t *testing.T) *telling {
	s := &telling{T: t, Story: story.New(start)}
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

// the aggregates of the story
var (
	ofTenant       = aggregate.Tenant("meadowbank")
	ofSubscription = aggregate.Subscription("meadowbank", "pay-prod")
	ofRequest      = aggregate.Request("meadowbank", requestID)
	ofDisclosure   = aggregate.Disclosure("meadowbank", requestID)
)

// event is the next one of an aggregate, a minute later.
func (s *telling) event(about aggregate.Key, by *lockboxv1.Actor, fact any) *lockboxv1.Event {
	s.Helper()
	s.Now = s.Now.Add(time.Minute)
	e := &lockboxv1.Event{Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID, Version: 1, Actor: by}
	if before := s.States[about]; before != nil {
		e.Version += before.Folded().Version
	}
	set(s.T, e, fact)
	return e
}

// at moves the clock on.
func (s *telling) at(t time.Time) *telling {
	s.Now = t.Add(-time.Minute)
	return s
}

func (s *telling) happens(about aggregate.Key, by *lockboxv1.Actor, fact any) *telling {
	s.Helper()
	in := plan.Input{Event: s.event(about, by, fact)}
	before := maps.Clone(s.States)
	s.Record(in.Event)
	in.Basis = s.basis
	in.Tenant, in.Subscription = s.States.Tenant(ofTenant.ID),
		s.States.Subscription(ofSubscription.Tenant, ofSubscription.ID)
	switch about.Kind {
	case aggregate.KindTenant:
		in.TenantBefore, in.Subscription = before.Tenant(ofTenant.ID), tenant.Subscription{}
	case aggregate.KindSubscription:
		in.TenantBefore = in.Tenant
		in.SubscriptionBefore = before.Subscription(ofSubscription.Tenant, ofSubscription.ID)
	case aggregate.KindDisclosure:
		in.Disclosure = s.States.Disclosure(ofDisclosure.Tenant, ofDisclosure.ID)
	case aggregate.KindKeys:
		in.Keys, in.KeysBefore = s.States.Keys(ofTenant.ID), before.Keys(ofTenant.ID)
	case aggregate.KindErasure:
		in.Erasure = s.States.Erasure(about)
	case aggregate.KindRequest:
		in.Request = s.States.Request(ofRequest)
	}
	s.last = plan.Plan(in, settings)
	if again := plan.Plan(in, settings); !cmp.Equal(ids(s.last), ids(again)) {
		s.Errorf("the same event gives other notifications: %v, then %v", ids(s.last), ids(again))
	}
	if len(s.last) > 0 && !plan.Tells(in.Event) {
		s.Error("Tells says that nobody is told")
	}
	return s
}

func (s *telling) tenant(by *lockboxv1.Actor, fact any) *telling {
	return s.happens(ofTenant, by, fact)
}

func (s *telling) subscription(by *lockboxv1.Actor, fact any) *telling {
	return s.happens(ofSubscription, by, fact)
}

func (s *telling) then(by *lockboxv1.Actor, fact any) *telling { return s.happens(ofRequest, by, fact) }

func (s *telling) disclosure(by *lockboxv1.Actor, fact any) *telling {
	return s.happens(ofDisclosure, by, fact)
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
func (s *telling) told(want ...string) *telling {
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
func (s *telling) data(recipient string) plan.Data {
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
func (s *telling) requested() *telling {
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

func (s *telling) evaluated(outcome lockboxv1.EvaluationOutcome, stages ...*lockboxv1.InternalStage) *telling {
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

// notified is a request to the customer: Otto and Fleur are the approvers, security@ and Otto's own address are
// alternates.
func notified(change ...func(*lockboxv1.CustomerNotified)) *lockboxv1.CustomerNotified {
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
	return n
}

// asked tells that the customer was notified as its roles and settings say.
func (s *telling) asked(change ...func(*lockboxv1.CustomerNotified)) *telling {
	s.Helper()
	n := notified(change...)
	s.basis = s.givenBy(n)
	return s.then(clock, &lockboxv1.Event_CustomerNotified{CustomerNotified: n})
}

// misled tells that the customer was notified otherwise than its roles and settings say, by whoever holds the
// orchestrator's key.
func misled(t *testing.T, forge func(*lockboxv1.CustomerNotified)) *telling {
	t.Helper()
	s := tell(t).requested().evaluated(customerDecides)
	n := notified()
	s.basis = s.givenBy(n)
	n = proto.CloneOf(n)
	forge(n)
	return s.then(clock, &lockboxv1.Event_CustomerNotified{CustomerNotified: n})
}

// waiting is a story up to the point where the customer was asked.
func waiting(t *testing.T, change ...func(*lockboxv1.CustomerNotified)) *telling {
	t.Helper()
	return tell(t).requested().evaluated(customerDecides).asked(change...)
}

// givenBy gives the customer the roles and settings of which exactly what a request says follows.
func (s *telling) givenBy(n *lockboxv1.CustomerNotified) plan.Basis {
	s.Helper()
	for _, a := range n.GetApprovers() {
		a.Roles = []lockboxv1.Role{lockboxv1.Role_ROLE_LOCKBOX_APPROVER}
	}
	s.given(ofTenant, grace, &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{
		Settings: &lockboxv1.TenantSettings{DefaultLanguage: "fr", Alternates: n.GetAlternates(),
			RequiredApprovals: n.GetRequiredApprovals(), Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS}}})
	s.given(ofSubscription, orla, &lockboxv1.Event_SubscriptionRegistered{
		SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{DisplayName: "Payments"}})
	in := ofSubscription
	if n.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK {
		in = ofTenant
	}
	for _, a := range n.GetApprovers() {
		s.given(in, grace, assigned(role(a.GetPerson().GetSubject()+"-given",
			&lockboxv1.Actor{Person: a.GetPerson()}, lockboxv1.Role_ROLE_LOCKBOX_APPROVER)))
	}
	sub := s.States.Subscription(ofSubscription.Tenant, ofSubscription.ID)
	return plan.Basis{Tenant: s.States.Tenant(ofTenant.ID), Subscription: &sub}
}

// given records what happened to the customer, in no time.
func (s *telling) given(about aggregate.Key, by *lockboxv1.Actor, fact any) {
	s.Helper()
	e := s.event(about, by, fact)
	s.Now = s.Now.Add(-time.Minute)
	s.Record(e)
}

func (s *telling) approved(by *lockboxv1.Actor) *telling {
	s.Helper()
	return s.then(by, &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
		Duration: durationpb.New(4 * time.Hour), ResourceIds: []string{"/subscriptions/pay-prod/vm-1"},
	}})
}

func (s *telling) granted() *telling {
	s.Helper()
	duration, resources := s.States.Request(ofRequest).Allowed()
	from := s.Now.Add(time.Minute)
	return s.then(clock, &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
		StartsAt: timestamppb.New(from), EndsAt: timestamppb.New(from.Add(duration)), ResourceIds: resources,
		Waiver: s.States.Request(ofRequest).Waiver(),
	}})
}

func two(n *lockboxv1.CustomerNotified) { n.RequiredApprovals = 2 }
