package request_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const day = 24 * time.Hour

// start is when each request is made. A story is told in time since then, so the customer's deadline is 4*day.
var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// The cast. Engineers and leads are the provider's; gina, otto, olga and lena are Contoso's.
var (
	eve  = story.Provider("eve", aggregate.SupportEngineers)
	fred = story.Provider("fred", aggregate.SupportEngineers)
	leo  = story.Provider("leo", aggregate.SupportLeads)
	lisa = story.Provider("lisa", aggregate.SupportLeads)
	dana = story.Provider("dana", aggregate.DevOpsManagers)
	sven = story.Provider("sven", aggregate.SecurityOfficers)
	box  = story.System("lockbox")

	gina = story.Customer(story.Tenant, "gina") // the first Global Administrator
	otto = story.Customer(story.Tenant, "otto") // an Owner, where there is one
	olga = story.Customer(story.Tenant, "olga")
	lena = story.Customer(story.Tenant, "lena")
	mole = story.Customer("fabrikam", "otto") // of another tenant, with a name like otto's
)

// does is a command about the request.
func does(c *lockboxv1.Command) deed {
	return func(s *story.Story, by *lockboxv1.Actor, id string) (*lockboxv1.Event, error) {
		return s.Decide(by, id, c)
	}
}

// seeing is a command given with a version of the request before one's eyes.
func seeing(version uint64, d *lockboxv1.Command) deed {
	d.SeenVersion = version
	return does(d)
}

func approve() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}}
}

func approveFor(d time.Duration, resources ...string) *lockboxv1.Command {
	a := &lockboxv1.Approve{ResourceIds: resources}
	if d != 0 {
		a.Duration = durationpb.New(d)
	}
	return &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: a}}
}

func deny(reason string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: reason}}}
}

func ask(text string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: text}}}
}

func withdraw() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{Reason: "solved"}}}
}

func release() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{Reason: "done"}}}
}

func revoke(reason string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: reason}}}
}

func internalApprove() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_InternalApprove{
		InternalApprove: &lockboxv1.InternalApprove{Comment: "fine"}}}
}

func internalRefuse(reason string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_InternalRefuse{
		InternalRefuse: &lockboxv1.InternalRefuse{Reason: reason}}}
}

// answers the n-th question, counted from 0.
func answers(n int, text string) deed {
	return func(s *story.Story, by *lockboxv1.Actor, id string) (*lockboxv1.Event, error) {
		question := "none"
		if n < len(s.Request().Questions) {
			question = s.Request().Questions[n].GetQuestionId()
		}
		answer := &lockboxv1.Command{Action: &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: question,
			Text: text}}}
		return s.Decide(by, id, answer)
	}
}

// owed performs a duty.
func owed(d request.Duty) deed {
	return func(s *story.Story, _ *lockboxv1.Actor, _ string) (*lockboxv1.Event, error) {
		return s.Perform(d)
	}
}

func submits(in *lockboxv1.AccessIntent) deed {
	return func(s *story.Story, by *lockboxv1.Actor, _ string) (*lockboxv1.Event, error) {
		return s.Submitted(by, in)
	}
}

func evaluates(v *lockboxv1.AccessEvaluated) deed {
	return func(s *story.Story, by *lockboxv1.Actor, _ string) (*lockboxv1.Event, error) {
		e, _, err := request.RecordEvaluation(s.Request(), v, by, s.Now)
		return e, err
	}
}

func disk(n string) string { return "/subscriptions/" + story.Subscription + "/disks/" + n }

// diskIntent reaches three disks of the subscription; tenantIntent the tenant itself.
func diskIntent() *lockboxv1.AccessIntent {
	return &lockboxv1.AccessIntent{
		Id: story.RequestID, Tenant: story.Tenant, SubscriptionId: story.Subscription, ResourceType: "compute/disks",
		Scenario:      "read-disk",
		ResourceIds:   []string{disk("a"), disk("b"), disk("c")},
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
		Justification: "the machine does not boot", TicketId: "T-1", Token: "eyJ…",
	}
}

func tenantIntent() *lockboxv1.AccessIntent {
	in := diskIntent()
	in.SubscriptionId, in.ResourceIds = "", []string{"/tenants/" + story.Tenant + "/directory"}
	return in
}

// customerDecides is an evaluation that puts it to the customer, after the internal stages if there are any.
// answering is an evaluation that says how long the customer has to answer.
func answering(within time.Duration, remindBefore ...time.Duration) *lockboxv1.AccessEvaluated {
	v := customerDecides()
	v.CustomerAnswerWithin = durationpb.New(within)
	for _, d := range remindBefore {
		v.CustomerRemindBefore = append(v.CustomerRemindBefore, durationpb.New(d))
	}
	return v
}

func customerDecides(stages ...*lockboxv1.InternalStage) *lockboxv1.AccessEvaluated {
	v := &lockboxv1.AccessEvaluated{
		Outcome:  lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES,
		Duration: durationpb.New(8 * time.Hour), InternalStages: stages,
		Facts: &lockboxv1.EvaluationFacts{
			CustomerData: true, LockboxEnabled: true, PreviewSignedUp: true, Stage: lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW,
		},
	}
	if len(stages) > 0 {
		v.InternalExpiresAt = timestamppb.New(start.Add(day))
	}
	return v
}

// waived is an evaluation by which the customer is not asked.
func waived(w lockboxv1.Waiver, stages ...*lockboxv1.InternalStage) *lockboxv1.AccessEvaluated {
	v := customerDecides(stages...)
	v.Outcome, v.Waiver = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED, w
	switch w {
	case lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA:
		v.Facts.CustomerData = false
	case lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP:
		v.Facts.PreviewSignedUp = false
	case lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED:
		v.Facts.LockboxEnabled = false
	}
	return v
}

func stage(group string, count uint32) *lockboxv1.InternalStage {
	return &lockboxv1.InternalStage{Group: group, Count: count}
}

// contoso is the customer on the day before, with gina as Global Administrator and what else gina set up.
func contoso(gave ...*lockboxv1.Command) *story.Story {
	s := story.Case(gina, start.Add(-day))
	for _, c := range gave {
		s.Command(signedIn(gina, -day), c)
	}
	return s
}

// asks are the rows by which a request comes before the customer, all at time 0.
func asks(in *lockboxv1.AccessIntent) []row {
	return []row{
		{0, eve, submits(in), is(request.Submitted)},
		{0, box, evaluates(customerDecides()), is(request.Submitted)},
		{0, box, owed(request.Notify), is(request.CustomerNotified)},
	}
}

// asked is contoso with a request before it, made of those rows.
func asked(t *testing.T, s *story.Story, in *lockboxv1.AccessIntent) *story.Story {
	t.Helper()
	play(t, s, asks(in)...)
	return s
}

const (
	ofTenant          = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
	ofSubscription    = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	ofManagementGroup = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP

	administrator = lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
	ownerRole     = lockboxv1.Role_ROLE_OWNER
	approverRole  = lockboxv1.Role_ROLE_LOCKBOX_APPROVER
	auditor       = lockboxv1.Role_ROLE_AUDITOR
)

// assign gives somebody a role; the assignment's id is the person's name.
func assign(to *lockboxv1.Actor, role lockboxv1.Role, scope lockboxv1.AssignmentScope) *lockboxv1.Command {
	return story.Assign(to.GetPerson().GetSubject(), to, role, scope)
}

func owner(to *lockboxv1.Actor) *lockboxv1.Command { return assign(to, ownerRole, ofSubscription) }

// eligible is an assignment that counts only while activated; until ends one by itself.
func eligible(c *lockboxv1.Command) *lockboxv1.Command {
	c.GetAssignRole().GetAssignment().EligibleOnly = true
	return c
}

func until(at time.Duration, c *lockboxv1.Command) *lockboxv1.Command {
	c.GetAssignRole().GetAssignment().ExpiresAt = timestamppb.New(start.Add(at))
	return c
}

// remove takes away the assignment of that id, on the subscription or the tenant.
func remove(id string, from lockboxv1.AssignmentScope) *lockboxv1.Command {
	c := &lockboxv1.Command{Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: id}}}
	if from == ofSubscription {
		c.AggregateId = story.Subscription
	}
	return c
}

// activate is the holder's own activation of an eligible assignment on the subscription.
func activate(id string, until time.Duration) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: story.Subscription,
		Action: &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{
			AssignmentId: id, Until: timestamppb.New(start.Add(until)),
		}}}
}

func deactivate(id string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: story.Subscription,
		Action: &lockboxv1.Command_DeactivateRole{DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: id}}}
}

func set(settings *lockboxv1.TenantSettings) *lockboxv1.Command {
	settings.DefaultLanguage = "en"
	return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: settings}}}
}

// demand is the setting that so many must approve.
func demand(approvals uint32) *lockboxv1.Command {
	return set(&lockboxv1.TenantSettings{RequiredApprovals: approvals})
}
