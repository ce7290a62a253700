package requests_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/requests"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	memoryDump = "019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
	internally = "019e1b3d-0000-7000-8000-0000000000ff"
	payments   = "/subscriptions/meadow-production/virtualMachines/payments-"
)

var (
	now         = sitetest.Now
	errNotThere = refusal.NotFound("aggregate_id", "I9", "there is no such request")
)

func person(subject, name, language string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: "https://login.meadowbank.example", Subject: subject, DisplayName: name,
		Email: subject + "@meadowbank.example", Language: language}
}

func customer(subject, name string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person(subject, name, "en")}
}

func engineer(subject, name string) *lockboxv1.Actor {
	return &lockboxv1.Actor{
		Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud", MultiFactor: true,
		Person: &lockboxv1.Person{Issuer: "https://login.nimbus.example", Subject: subject, DisplayName: name,
			Email: subject + "@nimbus.example"},
	}
}

var (
	otto   = customer("otto", "Otto Owens")
	fleur  = customer("fleur", "Fleur Lefèvre")
	kenji  = customer("kenji", "田中 健二")
	erin   = engineer("erin", "Erin Ellis")
	lena   = engineer("lena", "Lena Lang")
	system = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "jit-evaluator"}
)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }

func entry(
	version uint64, before time.Duration, typ, title string, by *lockboxv1.Actor, summary string,
) *lockboxv1.TimelineEntry {
	return &lockboxv1.TimelineEntry{Sequence: 40 + version, Version: version, Time: ago(before), Type: typ, Action: title,
		Title: title, Actor: by, Summary: summary}
}

func base(id string, status lockboxv1.RequestStatus, begun time.Duration) *lockboxv1.RequestView {
	return &lockboxv1.RequestView{
		RequestId: id, Tenant: "meadowbank", TenantName: "Meadow Bank", Status: status, Version: 3, Requester: erin,
		CreatedAt:   ago(begun),
		ServiceName: "Virtual machines", ScenarioName: "Memory dump of a running machine", SubscriptionName: "Production",
		Intent: &lockboxv1.AccessIntent{
			Id: id, Tenant: "meadowbank", SubscriptionId: "meadow-production", ResourceType: "compute/virtual-machines",
			Scenario:    "memory-dump",
			ResourceIds: []string{payments + "1", payments + "2"}, TicketId: "SR-2026-0001",
			ReasonType:    lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
			Justification: "The payment service hangs a few minutes after each start, and nothing in the logs says why.\nA memory dump of both machines, taken while they hang, will show where.",
		},
		Evaluation: &lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
			Reasons: []string{"Ordinary permission on resources of one subscription needs no internal approval (R15).",
				"This operation reaches customer data, so the customer decides (R17)."},
			PolicyVersion: "standard-1+5c1a0d2e4f6b8a90", CatalogueVersion: "2026.1+0123456789abcdef",
			Rules: []*lockboxv1.MatchedRule{{Id: "ordinary-permission", Effect: lockboxv1.RuleEffect_RULE_EFFECT_ALLOW,
				Reason: "Ordinary permission on resources of one subscription needs no internal approval (R15)."}},
			Facts: &lockboxv1.EvaluationFacts{CustomerData: true, MultiFactor: true, Scope: lockboxv1.Scope_SCOPE_SUBSCRIPTION},
		},
		Timeline: []*lockboxv1.TimelineEntry{
			entry(1, begun, "AccessRequested", "Submit Access Intent", erin,
				"Erin Ellis (Nimbus Cloud) asked for access (Virtual machines, Memory dump of a running machine) to 2 resources."),
			entry(2, begun-time.Second, "AccessEvaluated", "Evaluate Access Intent", system, "The customer decides."),
		},
	}
}

func lockbox(approvals uint32) *lockboxv1.CustomerNotified {
	return &lockboxv1.CustomerNotified{
		Scope: lockboxv1.Scope_SCOPE_SUBSCRIPTION, Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION,
		RequiredApprovals: approvals, ExpiresAt: timestamppb.New(now.Add(76*time.Hour + 20*time.Minute)),
		Approvers: []*lockboxv1.Approver{
			{Person: otto.GetPerson(), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER}},
			{Person: fleur.GetPerson(), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_LOCKBOX_APPROVER}},
			{Person: kenji.GetPerson(), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER,
				lockboxv1.Role_ROLE_LOCKBOX_APPROVER}},
		},
		Excluded: []*lockboxv1.ExcludedAssignment{{Person: person("eli", "Eli Edwards", "en"),
			Role: lockboxv1.Role_ROLE_OWNER, Reason: "eligible, but not activated (R21)",
			CodedReason: &lockboxv1.Reason{Code: lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED}}},
		Alternates: []*lockboxv1.AlternateAddress{{Email: "security-desk@meadowbank.example", Language: "en"}},
		TenantName: "Meadow Bank", SubscriptionName: "Production",
	}
}

// pending waits for one more of two approvals; Fleur has given hers, for two hours.
func pending() *lockboxv1.RequestView {
	v := base(memoryDump, lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED, 20*time.Hour)
	v.Version, v.Lockbox, v.Allowed = 6, lockbox(2), []string{"approve", "deny", "ask"}
	v.CustomerDecisions = []*lockboxv1.Decision{{Actor: fleur, Time: ago(2 * time.Hour), Approved: true,
		Reason: "Allez-y.", Duration: durationpb.New(2 * time.Hour), ResourceIds: []string{payments + "1", payments + "2"}}}
	v.Questions = []*lockboxv1.Question{
		{QuestionId: "019e1b40-0000-7000-8000-000000000001", Asker: otto, AskedAt: ago(3 * time.Hour),
			Text: "Do you need both machines at the same time?", Answerer: erin, AnsweredAt: ago(170 * time.Minute),
			Answer: "No, one after the other is fine."},
		{QuestionId: "019e1b40-0000-7000-8000-000000000002", Asker: kenji, AskedAt: ago(10 * time.Minute),
			Text: "決済への影響はありますか。停止時間も教えてください。"},
	}
	v.Deliveries = []*lockboxv1.DeliveryView{
		{Recipient: "otto@meadowbank.example", Template: "approval-requested", Time: ago(20*time.Hour - 5*time.Second)},
		{Recipient: "fleur@meadowbank.example", Template: "approval-requested", Time: ago(20*time.Hour - 5*time.Second)},
		{Recipient: "security-desk@meadowbank.example", Template: "approval-requested-alternate",
			Time: ago(20*time.Hour - 6*time.Second), Failure: "550 5.1.1 no such mailbox"},
	}
	v.Timeline = append(v.Timeline,
		entry(3, 20*time.Hour-2*time.Second, "CustomerNotified", "Create Lockbox Request", system,
			"The customer was notified: Otto Owens, Fleur Lefèvre and 田中 健二 can decide, and 2 of them must agree."),
		entry(4, 3*time.Hour, "QuestionAsked", "Ask about Lockbox Request", otto,
			"Otto Owens asked: “Do you need both machines at the same time?”."),
		entry(5, 170*time.Minute, "QuestionAnswered", "Answer about Lockbox Request", erin,
			"Erin Ellis (Nimbus Cloud) answered: “No, one after the other is fine.”."),
		entry(6, 2*time.Hour, "CustomerApproved", "Approve Lockbox Request", fleur,
			"Fleur Lefèvre approved access to 2 resources for 2 hours: “Allez-y.”."))
	return v
}

// alone waits for one approval, and nobody has said anything.
func alone() *lockboxv1.RequestView {
	v := base(memoryDump, lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED, 20*time.Hour)
	v.Lockbox, v.Allowed = lockbox(1), []string{"approve", "deny", "ask"}
	v.Timeline = append(v.Timeline, entry(3, 20*time.Hour-2*time.Second, "CustomerNotified", "Create Lockbox Request",
		system, "The customer was notified."))
	return v
}

// active is alone() after Otto allowed it.
func active() *lockboxv1.RequestView {
	v := alone()
	v.Status, v.Version, v.Allowed = lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE, 5, []string{"revoke"}
	v.CustomerDecisions = []*lockboxv1.Decision{{Actor: otto, Time: ago(10 * time.Minute), Approved: true,
		Duration: durationpb.New(2 * time.Hour), ResourceIds: []string{payments + "1"}}}
	v.Grant = &lockboxv1.AccessGranted{StartsAt: ago(10 * time.Minute),
		EndsAt: timestamppb.New(now.Add(110 * time.Minute)), ResourceIds: []string{payments + "1"},
		ResourceType: v.GetIntent().GetResourceType(), Scenario: v.GetIntent().GetScenario(),
		Mode: lockboxv1.AccessMode_ACCESS_MODE_READ}
	v.Timeline = append(v.Timeline,
		entry(4, 10*time.Minute, "CustomerApproved", "Approve Lockbox Request", otto,
			"Otto Owens approved access to 1 resource for 2 hours."),
		entry(5, 10*time.Minute, "AccessGranted", "Grant Access", system, "Access to 1 resource began."))
	return v
}

// ended is alone() after somebody or something ended it.
func ended(status lockboxv1.RequestStatus, typ, reason string) *lockboxv1.RequestView {
	v := alone()
	v.Status, v.Version, v.Allowed, v.EndedAt, v.EndReason = status, 4, nil, ago(time.Hour), reason
	v.Timeline = append(v.Timeline, entry(4, time.Hour, typ, typ, fleur, "It ended."))
	return v
}

// internal waits for a DevOps manager; the engineer is a subcontractor.
func internal() *lockboxv1.RequestView {
	v := base(internally, lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL, time.Hour)
	v.Version, v.Allowed = 2, []string{"internal_approve", "internal_refuse"}
	v.Requester = proto.CloneOf(erin)
	v.Requester.Employer, v.Requester.MultiFactor, v.Requester.IsolatedIdentity = "Brightline Contractors", false, true
	v.Intent.Scenario, v.ScenarioName, v.Intent.ResourceIds = "remote-desktop",
		"Remote desktop access to a Windows machine", v.Intent.GetResourceIds()[:1]
	v.Evaluation.Facts.Elevated = true
	v.Evaluation.InternalStages = []*lockboxv1.InternalStage{{Group: "devops-managers", Count: 1},
		{Group: "platform-review", Count: 2}}
	v.InternalAnswerBy = timestamppb.New(now.Add(3 * time.Hour))
	return v
}

func ticket() *lockboxv1.TicketView {
	return &lockboxv1.TicketView{
		TicketId: "SR-2026-0001", Tenant: "meadowbank", Title: "The payment service does not answer",
		SubscriptionId: "meadow-production", Team: "Compute support",
		Description: "Since the update of last night the machine payments-1 hangs after a few minutes.\n\nIt needs a restart each time.",
		OpenedAt:    ago(30 * time.Hour), OpenedBy: otto, Engineer: erin.GetPerson(),
		History: []*lockboxv1.TimelineEntry{
			entry(1, 30*time.Hour, "TicketOpened", "Open Support Ticket", otto,
				"Otto Owens opened SR-2026-0001: “The payment service does not answer”."),
			entry(2, 29*time.Hour, "TicketAssigned", "Assign Support Ticket", lena,
				"Lena Lang (Nimbus Cloud) gave it to Erin Ellis (Compute support)."),
		},
	}
}

// world is what the services would say.
type world struct {
	sitetest.Backend
	requests []*lockboxv1.RequestView
	reader   *lockboxv1.Actor
	sequence uint64
}

func newWorld(reader *lockboxv1.Actor, list ...*lockboxv1.RequestView) *world {
	w := &world{requests: list, reader: reader, sequence: 100}
	w.Queries = map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{Actor: w.reader}}}, nil
		},
		"get_request": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			for _, v := range w.requests {
				if v.GetRequestId() == q.GetGetRequest().GetRequestId() {
					return &lockboxv1.QueryReply{Sequence: w.sequence,
						Answer: &lockboxv1.QueryReply_Request{Request: proto.CloneOf(v)}}, nil
				}
			}
			return nil, errNotThere
		},
		"list_requests": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Sequence: w.sequence,
				Answer: &lockboxv1.QueryReply_Requests{Requests: w.list(q.GetListRequests())}}, nil
		},
		"get_ticket": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Ticket{Ticket: ticket()}}, nil
		},
		"list_tickets": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tickets{
				Tickets: &lockboxv1.TicketList{Tickets: []*lockboxv1.TicketView{ticket()}}}}, nil
		},
	}
	w.Commands = map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){}
	return w
}

func (w *world) list(by *lockboxv1.ListRequests) *lockboxv1.RequestList {
	list := new(lockboxv1.RequestList)
	for _, v := range w.requests {
		waits := slices.Contains(v.GetAllowed(), "approve") || slices.Contains(v.GetAllowed(), "internal_approve")
		if by.GetAwaitingMe() && !waits || len(by.GetStatuses()) > 0 && !slices.Contains(by.GetStatuses(), v.GetStatus()) {
			continue
		}
		if p := by.GetRequester(); p != nil && p.GetSubject() != v.GetRequester().GetPerson().GetSubject() {
			continue
		}
		v = proto.CloneOf(v)
		if v.Timeline, v.Deliveries = nil, nil; !by.GetWithAllowed() {
			v.Allowed = nil
		}
		list.Requests = append(list.Requests, v)
	}
	if by.GetCount() {
		list.Total = uint64(len(list.GetRequests()))
	}
	return list
}

// answers makes all commands of a verb come to this.
func (w *world) answers(verb string, reply *lockboxv1.CommandReply, err error) *world {
	w.Commands[verb] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) { return reply, err }
	return w
}

// portal serves the pages to whoever is signed in.
func (w *world) portal(t testing.TB, who *session.Session) http.Handler {
	t.Helper()
	s := sitetest.New(t, &w.Backend, who)
	routes, err := requests.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return sitetest.Server(s, routes)
}
