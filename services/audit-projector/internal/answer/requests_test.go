package answer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (c *cast) awaiting(name, tenant string) []string {
	c.t.Helper()
	reply := c.query(name, listRequests(tenant, &lockboxv1.ListRequests{AwaitingMe: true}))
	if reply.GetRefusal() != nil {
		c.t.Fatalf("%s: %v", name, reply.GetRefusal())
	}
	return ids(reply.GetRequests())
}

func (c *cast) expectAwaiting(when, name, tenant string, want ...string) {
	c.t.Helper()
	if got := c.awaiting(name, tenant); !slices.Equal(got, want) {
		c.t.Errorf("%s: %v wait for %s, want %v", when, got, name, want)
	}
}

// R20, R25, R30: what waits for somebody is what they could decide this moment.
func TestWhatWaitsForTheCustomersApprovers(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.assign("fleur", "prod", lockboxApprover, false)
	c.story.Command(c.actor("grace"), &lockboxv1.Command{Tenant: bank,
		Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
			Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en", RequiredApprovals: 2,
				Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS},
		}}})
	first := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	second := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	c.expectAwaiting("both", "otto", bank, second, first)
	c.expectAwaiting("not the administrator, who was not asked", "grace", bank)

	c.story.Command(c.actor("otto"), story.Approve(bank, first))
	c.expectAwaiting("decided one", "otto", bank, second)
	c.expectAwaiting("decided none", "fleur", bank, second, first)
	c.story.Command(c.actor("fleur"), story.Approve(bank, first))
	c.expectAwaiting("enough for one", "fleur", bank, second)

	c.assign("audrey", "prod", owner, false)
	c.expectAwaiting("an owner since", "audrey", bank)
	c.story.Command(c.actor("grace"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
		Action: &lockboxv1.Command_RemoveRole{
			RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "of-otto"},
		}})
	if got := c.query("otto", listRequests(bank,
		&lockboxv1.ListRequests{AwaitingMe: true})).GetRefusal(); got.GetCode() != notFound {
		t.Errorf("an owner no more: %v", got)
	}
	c.story.Now = c.story.Now.Add(c.story.Terms.CustomerApproval - 1)
	c.expectAwaiting("a nanosecond before the deadline", "fleur", bank, second)
	c.story.Now = c.story.Now.Add(1)
	c.expectAwaiting("at the deadline", "fleur", bank)
}

// R15, I10.
func TestWhatWaitsForInternalApprovers(t *testing.T) {
	c := newCast(t)
	first := c.story.Submit(c.actor("erin"), story.Disk(bank, "prod", "a"))
	second := c.story.Submit(c.actor("erin"), story.Disk(health, "clinic-prod", "b"))
	derek := c.actor("derek")
	c.story.Submit(derek, story.Disk(bank, "prod", "own"))
	c.expectAwaiting("of all tenants, not his own", "derek", "", second, first)
	c.expectAwaiting("of one tenant", "derek", health, second)
	c.expectAwaiting("another group", "lena", "")
	c.expectAwaiting("the requester", "erin", "")
	c.expectAwaiting("who sees everything decides nothing", "olga", "")
	c.story.Command(derek, story.InternalApprove(bank, first))
	c.expectAwaiting("decided", "derek", "", second)
	if got := c.query("derek", getRequest(bank, first)).GetRequest(); len(got.GetInternalDecisions()) != 1 ||
		got.GetStatus() != request.CustomerNotified {
		t.Errorf("what he decided: %v", got)
	}
	c.story.Now = c.story.Now.Add(c.story.Terms.InternalApproval)
	c.expectAwaiting("at the deadline", "derek", "")
}

func TestARequestAsItIsShown(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	intent := story.Dump(bank, "prod", "a", "b")
	c.story.Ticket(c.actor("grace"), bank, "T-1", "slow", "prod")
	intent.TicketId, intent.Duration = "T-1", durationpb.New(4*time.Hour)
	id := c.story.Submit(c.actor("erin"), intent)
	ask := story.About(bank, id)
	ask.Action = &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "Which of the two first?"}}
	c.story.Command(c.actor("otto"), ask)
	question := c.story.States.Request(aggregate.Request(bank, id)).Questions[0].GetQuestionId()
	reply := story.About(bank, id)
	reply.Action = &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: question, Text: "The first."}}
	c.story.Command(c.actor("erin"), reply)
	c.story.Mail(bank, id, "otto@meadowbank.example")
	c.story.Now = c.story.Now.Add(time.Hour)
	yes := story.Approve(bank, id)
	yes.GetApprove().ResourceIds = intent.GetResourceIds()[:1]
	c.story.Command(c.actor("otto"), yes)

	v := c.query("otto", getRequest(bank, id)).GetRequest()
	// What erin's requests came to elsewhere is other customers' (I9); the provider's people see what was weighed.
	if h := v.GetEvaluation().GetFacts().GetHistory(); h != nil || !v.GetEvaluation().GetFacts().GetCustomerData() {
		t.Errorf("the customer is shown %v", h)
	}
	for who, counted := range map[string]bool{"grace": false, "olga": true} {
		log := c.query(who, listActivity(bank, &lockboxv1.ListActivity{RequestId: id})).GetActivity()
		for _, a := range log.GetActivities() {
			facts := a.GetEvent().GetAccessEvaluated().GetFacts()
			if facts != nil && (facts.GetHistory() != nil) != counted {
				t.Errorf("%s is shown %v in the activity log", who, facts.GetHistory())
			}
		}
	}
	if h := c.query("erin", getRequest(bank,
		id)).GetRequest().GetEvaluation().GetFacts().GetHistory(); h.GetDenied() != 1 {
		t.Errorf("the engineer is shown %v", h)
	}
	if v.GetStatus() != request.Active || v.GetTenantName() != "The "+bank ||
		v.GetSubscriptionName() != "The prod of "+bank ||
		v.GetServiceName() == "" || v.GetScenarioName() == "" || v.GetIntent().GetTicketId() != "T-1" ||
		v.GetIntent().GetToken() != "" ||
		v.GetRequester().GetEmployer() == "" || v.GetCreatedAt() == nil || v.GetVersion() != 7 || v.GetEndedAt() != nil ||
		v.GetFault() != "" {
		t.Errorf("shown as %v", v)
	}
	if len(v.GetLockbox().GetApprovers()) != 1 || len(v.GetCustomerDecisions()) != 1 ||
		v.GetCustomerDecisions()[0].GetActor().GetPerson().GetEmail() != "otto@meadowbank.example" {
		t.Errorf("decided by %v of %v", v.GetCustomerDecisions(), v.GetLockbox())
	}
	if q := v.GetQuestions(); len(q) != 1 || q[0].GetAnswer() != "The first." ||
		q[0].GetAsker().GetPerson().GetDisplayName() != "Otto Owens" {
		t.Errorf("questions %v", q)
	}
	if g := v.GetGrant(); len(g.GetResourceIds()) != 1 ||
		g.GetEndsAt().AsTime().Sub(g.GetStartsAt().AsTime()) != 4*time.Hour {
		t.Errorf("granted %v", g)
	}
	var actions []string
	for _, e := range v.GetTimeline() {
		actions = append(actions, e.GetAction())
	}
	want := "Submit Access Intent, Evaluate Access Intent, Create Lockbox Request, Ask about Lockbox Request, Answer about Lockbox Request, Send Notification, Approve Lockbox Request, Grant Access"
	if got := strings.Join(actions, ", "); got != want {
		t.Errorf("timeline %s", got)
	}

	// The requester learns who decided, by name, and not whom else the customer could have asked.
	v = c.query("erin", getRequest(bank, id)).GetRequest()
	by := v.GetCustomerDecisions()[0].GetActor()
	if by.GetPerson().GetDisplayName() != "Otto Owens" || by.GetPerson().GetEmail() != "" ||
		by.GetPerson().GetSubject() != "" {
		t.Errorf("decided by %v", by)
	}
	if v.GetLockbox().GetExpiresAt() == nil || len(v.GetLockbox().GetApprovers()) != 0 || len(v.GetTimeline()) != 7 ||
		v.GetGrant() == nil {
		t.Errorf("shown to the requester as %v", v)
	}
	noneOf(t, "requester", c.query("erin", getRequest(bank, id)), "otto@", "grace")
	noneOf(t, "requester's activity", c.query("erin", listActivity(bank, &lockboxv1.ListActivity{})), "otto@", "grace")

	list := c.query("otto", listRequests(bank, &lockboxv1.ListRequests{})).GetRequests().GetRequests()
	if len(list) != 1 || list[0].GetTimeline() != nil || list[0].GetGrant() == nil {
		t.Errorf("listed as %v", list)
	}
	ticket := c.query("otto", getTicket(bank, "T-1")).GetTicket()
	if ticket.GetTitle() != "slow" || len(ticket.GetHistory()) != 1 ||
		ticket.GetOpenedBy().GetPerson().GetSubject() != "grace" {
		t.Errorf("its ticket: %v", ticket)
	}
}

// R26: at the instant of the deadline it is expired, recorded or not.
func TestARequestPastItsDeadlineIsShownAsWhatItIs(t *testing.T) {
	c := newCast(t)
	pending := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	active := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	c.story.Command(c.actor("grace"), story.Approve(bank, active))
	begun := c.story.Now
	for _, row := range []struct {
		id    string
		after time.Duration
		want  request.Status
	}{
		{pending, c.story.Terms.CustomerApproval - 1, request.CustomerNotified},
		{pending, c.story.Terms.CustomerApproval, request.Expired},
		{active, c.story.Terms.Grant - 1, request.Active},
		{active, c.story.Terms.Grant, request.Completed},
	} {
		c.story.Now = begun.Add(row.after)
		v := c.query("grace", getRequest(bank, row.id)).GetRequest()
		ended := v.GetStatus() == request.Expired || v.GetStatus() == request.Completed
		if v.GetStatus() != row.want || ended != (v.GetEndedAt() != nil) ||
			ended != strings.Contains(v.GetEndReason(), "not been recorded") {
			t.Errorf("after %v: %v, ended %v: %s", row.after, v.GetStatus(), v.GetEndedAt(), v.GetEndReason())
		}
		listed := c.query("grace", listRequests(bank,
			&lockboxv1.ListRequests{Statuses: []request.Status{row.want}})).GetRequests()
		if !slices.Contains(ids(listed), row.id) {
			t.Errorf("after %v: not listed among %v", row.after, row.want)
		}
	}
	// Once it is recorded, it is shown with what was recorded.
	c.story.Now = begun.Add(c.story.Terms.CustomerApproval + time.Second)
	c.story.Owed(aggregate.Request(bank, pending))
	if v := c.query("grace", getRequest(bank, pending)).GetRequest(); v.GetEndReason() != "" ||
		!v.GetEndedAt().AsTime().Equal(c.story.Now) {
		t.Errorf("recorded: %v, %q", v.GetEndedAt().AsTime(), v.GetEndReason())
	}
}

// Page by page, each as large as the bus carries, while new ones arrive.
func TestPagingThroughManyRequests(t *testing.T) {
	c := newCast(t)
	const many = 700
	erin := c.actor("erin")
	for range many {
		c.story.Submit(erin, story.Dump(bank, "prod", "a"))
	}
	seen, pages := map[string]bool{}, 0
	for token := ""; ; pages++ {
		reply := c.query("grace", listRequests(bank, &lockboxv1.ListRequests{Limit: 1000, PageToken: token}))
		list := reply.GetRequests()
		if size := proto.Size(reply); reply.GetRefusal() != nil || size > bus.MaxPayload || len(list.GetRequests()) == 0 {
			t.Fatalf("page %d: %d requests in %d bytes, %v", pages, len(list.GetRequests()), size, reply.GetRefusal())
		}
		for _, id := range ids(list) {
			if seen[id] {
				t.Fatalf("page %d: %s again", pages, id)
			}
			seen[id] = true
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
		if pages%2 == 0 {
			c.story.Submit(erin, story.Dump(bank, "prod", "new"))
		}
	}
	if len(seen) != many {
		t.Errorf("%d requests on %d pages", len(seen), pages)
	}
	activities, pages := 0, 0
	for token := ""; ; pages++ {
		reply := c.query("grace", listActivity(bank,
			&lockboxv1.ListActivity{Limit: 1000, PageToken: token, Actions: []string{"Create Lockbox Request"}}))
		if size := proto.Size(reply); size > bus.MaxPayload {
			t.Fatalf("page %d has %d bytes", pages, size)
		}
		activities += len(reply.GetActivity().GetActivities())
		if token = reply.GetActivity().GetNextPageToken(); token == "" {
			break
		}
	}
	if activities < many {
		t.Errorf("%d activities on %d pages", activities, pages)
	}
}

// The largest request that can be: many approvers, and every text as long as it may be, in characters of four bytes.
func TestTheLargestRequestFitsTheBus(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	long := strings.Repeat("𠮷", 4000)
	intent := story.Dump(bank, "prod", "a")
	intent.Justification = long
	id := c.story.Submit(c.actor("erin"), intent)
	for range 20 {
		ask := story.About(bank, id)
		ask.Action = &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: long}}
		c.story.Command(c.actor("otto"), ask)
		questions := c.story.States.Request(aggregate.Request(bank, id)).Questions
		answer := story.About(bank, id)
		answer.Action = &lockboxv1.Command_Answer{
			Answer: &lockboxv1.Answer{QuestionId: questions[len(questions)-1].GetQuestionId(), Text: long}}
		c.story.Command(c.actor("erin"), answer)
	}
	for name, q := range map[string]*lockboxv1.Query{
		"alone": getRequest(bank, id), "listed": listRequests(bank, &lockboxv1.ListRequests{}),
		"activity": listActivity(bank, &lockboxv1.ListActivity{}),
	} {
		reply := c.query("otto", q)
		if reply.GetRefusal() != nil || proto.Size(reply) > bus.MaxPayload {
			t.Errorf("%s: %d bytes, %v", name, proto.Size(reply), reply.GetRefusal())
		}
	}
	v := c.query("otto", getRequest(bank, id)).GetRequest()
	if len(v.GetQuestions()) != 20 || !strings.HasSuffix(v.GetQuestions()[0].GetText(), " […]") ||
		len(v.GetTimeline()) != 43 {
		t.Errorf("%d questions, %d entries", len(v.GetQuestions()), len(v.GetTimeline()))
	}
	// What was shortened for a list is whole in the fold that all lists share.
	s, err := c.store.Snapshot(t.Context())
	must(t, err)
	defer func() { must(t, s.Close()) }()
	rows, err := s.Requests(t.Context(), projection.Scope{All: true}, projection.RequestFilter{ID: id}, c.story.Now, 1)
	must(t, err)
	states, err := s.States(t.Context(), rows)
	must(t, err)
	for _, q := range states[0].Questions {
		if q.GetText() != long || q.GetAnswer() != long {
			t.Fatalf("a question of %d bytes with an answer of %d is left", len(q.GetText()), len(q.GetAnswer()))
		}
	}
}
