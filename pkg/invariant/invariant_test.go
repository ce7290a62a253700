package invariant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

	eve  = story.Human("eve", story.Provider("eve", aggregate.SupportEngineers, aggregate.EmergencyResponders))
	sven = story.Human("sven", story.Provider("sven", aggregate.SecurityOfficers))
	leo  = story.Human("leo", story.Provider("leo", aggregate.SupportLeads))
	gina = story.Customer(story.Tenant, "gina")
	otto = story.Human("otto", story.Customer(story.Tenant, "otto"))
	olga = story.Human("olga", story.Customer(story.Tenant, "olga"))
	lena = story.Customer(story.Tenant, "lena") // has no role
	box  = story.System("lockbox")
)

var (
	approve         = story.Approve(story.Tenant, story.RequestID)
	deny            = story.Deny(story.Tenant, story.RequestID)
	internalApprove = story.InternalApprove(story.Tenant, story.RequestID)
)

// told is an honest story: eve asks for two disks, leo agrees, otto and olga of Contoso agree, the grant runs out.
func told() []invariant.Recorded {
	s := asked()
	for i, owner := range []*lockboxv1.Actor{otto, olga} {
		s.At(start.Add(time.Duration(2+i)*time.Hour)).Command(owner, approve)
	}
	perform(s, request.Grant, start.Add(4*time.Hour))
	perform(s, request.Complete, start.Add(12*time.Hour))
	return s.History()
}

// denied, expired and released end as they say, the last after a question and an answer.
func denied() []invariant.Recorded {
	s := asked()
	s.At(start.Add(2*time.Hour)).Command(otto, deny)
	return s.History()
}

func expired() []invariant.Recorded {
	s := asked()
	perform(s, request.Remind, start.Add(73*time.Hour))
	perform(s, request.Expire, start.Add(97*time.Hour))
	return s.History()
}

func released() []invariant.Recorded {
	s := asked()
	s.At(start.Add(time.Hour)).Command(otto,
		&lockboxv1.Command{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "why?"}}})
	s.Command(eve, &lockboxv1.Command{Action: &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{
		QuestionId: s.Request().Questions[0].GetQuestionId(), Text: "because"}}})
	for _, owner := range []*lockboxv1.Actor{otto, olga} {
		s.At(start.Add(2*time.Hour)).Command(owner, approve)
	}
	perform(s, request.Grant, start.Add(2*time.Hour))
	s.At(start.Add(4*time.Hour)).Command(eve,
		&lockboxv1.Command{Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{}}})
	return s.History()
}

// asked is a request that leo has let through and that waits for the approval of both otto and olga.
func asked() *story.Story {
	s := story.Case(gina, start)
	for _, owner := range []*lockboxv1.Actor{otto, olga} {
		s.Command(gina, story.Assign(owner.GetPerson().GetSubject(), owner, lockboxv1.Role_ROLE_OWNER,
			lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION))
	}
	s.Command(gina, demand(0))
	submit(s, &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
		Facts:             &lockboxv1.EvaluationFacts{CustomerData: true, LockboxEnabled: true},
		InternalStages:    []*lockboxv1.InternalStage{{Group: aggregate.SupportLeads, Count: 1}},
		InternalExpiresAt: timestamppb.New(start.Add(24 * time.Hour)),
	})
	s.At(start.Add(time.Minute)).Command(leo, internalApprove)
	perform(s, request.Notify, start.Add(time.Hour))
	return s
}

// waived is an honest story of a tenant that has Lockbox off.
func waived() []invariant.Recorded {
	s := story.Case(gina, start)
	s.Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: "quiet"}}})
	submit(s, &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED, Duration: durationpb.New(8 * time.Hour),
		Waiver: lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED, Facts: &lockboxv1.EvaluationFacts{CustomerData: true},
	})
	perform(s, request.Grant, start)
	return s.History()
}

// reminded is a request of which leo is reminded, in time; nobody answers the second stage within its own hour.
func reminded() []invariant.Recorded {
	s := story.Case(gina, start)
	submit(s, &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
		Facts: &lockboxv1.EvaluationFacts{CustomerData: true, LockboxEnabled: true},
		InternalStages: []*lockboxv1.InternalStage{
			{Group: aggregate.SupportLeads, Count: 1, AnswerWithin: durationpb.New(4 * time.Hour)},
			{Group: aggregate.DevOpsManagers, Count: 1, AnswerWithin: durationpb.New(time.Hour)},
		},
		InternalExpiresAt:    timestamppb.New(start.Add(24 * time.Hour)),
		InternalRemindBefore: []*durationpb.Duration{durationpb.New(2 * time.Hour)},
	})
	perform(s, request.Remind, start.Add(2*time.Hour))
	s.At(start.Add(3*time.Hour)).Command(leo, internalApprove)
	perform(s, request.Expire, start.Add(4*time.Hour))
	return s.History()
}

// hurried is an emergency that sven let through.
func hurried() []invariant.Recorded {
	s := story.Case(gina, start)
	submitAs(s, &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED, Duration: durationpb.New(time.Hour),
		Waiver:            lockboxv1.Waiver_WAIVER_EMERGENCY,
		Facts:             &lockboxv1.EvaluationFacts{CustomerData: true, LockboxEnabled: true, Emergency: true},
		InternalStages:    []*lockboxv1.InternalStage{{Group: aggregate.SecurityOfficers, Count: 1}},
		InternalExpiresAt: timestamppb.New(start.Add(24 * time.Hour)),
	}, true)
	s.At(start.Add(time.Minute)).Command(sven, internalApprove)
	perform(s, request.Grant, start.Add(time.Minute))
	return s.History()
}

func submit(s *story.Story, v *lockboxv1.AccessEvaluated) { submitAs(s, v, false) }

func submitAs(s *story.Story, v *lockboxv1.AccessEvaluated, emergency bool) {
	reason := lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT
	if emergency {
		reason = lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT
	}
	s.Record(must(s.Submitted(eve, &lockboxv1.AccessIntent{
		Emergency: emergency,
		Id:        story.RequestID, Tenant: story.Tenant, SubscriptionId: story.Subscription, ResourceType: "compute/disks",
		Scenario:    "read-disk",
		ResourceIds: []string{"/subscriptions/sub-1/disks/a", "/subscriptions/sub-1/disks/b"}, TicketId: "T-1",
		ReasonType: reason, Justification: "the machine does not boot",
	})))
	evaluated, _, err := request.RecordEvaluation(s.Request(), v, box, start)
	s.Record(must(evaluated, err))
}

func perform(s *story.Story, d request.Duty, at time.Time) { s.Record(must(s.At(at).Perform(d))) }

func must(e *lockboxv1.Event, err error) *lockboxv1.Event {
	if err != nil {
		panic(err)
	}
	return e
}

func TestAnHonestStoryBreaksNothing(t *testing.T) {
	for _, history := range [][]invariant.Recorded{told(), waived(), denied(), expired(), released(), reminded(),
		hurried()} {
		for n := range history {
			if broken := invariant.Check(history[:n+1]); len(broken) > 0 {
				t.Errorf("after %d events: %v", n+1, broken)
			}
		}
	}
}

// R49: ids are compared as Azure Resource Manager compares them.
func TestAGrantInOtherLettersIsNotWider(t *testing.T) {
	f := forgery{told(), "AccessGranted", func(e *lockboxv1.Event) {
		e.GetAccessGranted().ResourceIds[0] = strings.ToUpper(e.GetAccessGranted().GetResourceIds()[0]) + "/"
	}, nil, ""}
	if broken := invariant.GrantWithinPolicy(f.forged(t)); len(broken) > 0 {
		t.Error(broken)
	}
}

func TestReportsAreNoPartOfAHistory(t *testing.T) {
	history := told()
	history = append(history, invariant.Recorded{Sequence: uint64(len(history)) + 1, Event: &lockboxv1.Event{
		Tenant: story.Tenant, Kind: "delivery", AggregateId: history[0].Event.GetId(), ReportKey: "mail-1",
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}},
	}})
	if broken := invariant.Check(history); len(broken) > 0 {
		t.Errorf("%v", broken)
	}
}

// A forgery changes one stored event of a story, or writes one more.
type forgery struct {
	of     []invariant.Recorded
	event  string // the first event of this type …
	change func(e *lockboxv1.Event)
	after  *lockboxv1.Event // … or the event that is written after it
	breaks string
}

// control: nist:AU-6, nist:AU-9, soc2:CC7.2, iso:8.16
func TestAForgeryBreaksItsInvariant(t *testing.T) {
	at := func(hours int, by *lockboxv1.Actor, e *lockboxv1.Event) *lockboxv1.Event {
		e.Time, e.Actor = timestamppb.New(start.Add(time.Duration(hours)*time.Hour)), by
		return e
	}
	expiry := &lockboxv1.Event{Fact: &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}}
	approved := func(by *lockboxv1.Actor) *lockboxv1.Event {
		return at(5, by, &lockboxv1.Event{Fact: &lockboxv1.Event_CustomerApproved{
			CustomerApproved: &lockboxv1.CustomerApproved{
				Duration: durationpb.New(time.Hour), ResourceIds: []string{"/subscriptions/sub-1/disks/a"}, TenantSequence: 1,
				SubscriptionSequence: 4,
			}}})
	}
	for name, f := range map[string]forgery{
		// I1
		"approvals that were not enough": {told(), "CustomerNotified",
			func(e *lockboxv1.Event) { e.GetCustomerNotified().RequiredApprovals = 3 }, nil, "I1"},
		"fewer approvals than demanded": {told(), "CustomerNotified",
			func(e *lockboxv1.Event) { e.GetCustomerNotified().RequiredApprovals = 1 }, nil, "I1"},
		"approved twice by one person": {told(), "CustomerApproved", func(e *lockboxv1.Event) { e.Actor = olga }, nil,
			"I1"},
		"approved twice by one human": {told(), "CustomerApproved",
			func(e *lockboxv1.Event) { e.Actor = story.Human("olga", otto) }, nil, "I1"},
		"an emergency of the officer's own": {hurried(), "InternalApprovalGiven",
			func(e *lockboxv1.Event) { e.Actor = story.Human("eve", sven) }, nil, "I1"},
		"a frozen approver without a role": {told(), "CustomerNotified",
			func(e *lockboxv1.Event) { e.GetCustomerNotified().Approvers[0].Person = lena.GetPerson() }, nil, "I1"},
		"a role that was not held": {told(), "CustomerNotified",
			func(e *lockboxv1.Event) { e.GetCustomerNotified().Approvers[0].Roles[0] = 3 }, nil, "I1"},
		"a role from before it was given": {told(), "CustomerApproved",
			func(e *lockboxv1.Event) { e.GetCustomerApproved().SubscriptionSequence = 4 }, nil, "I1"},
		"a grant from before the role": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().SubscriptionSequence = 5 }, nil, "I1"},
		"a tenant that was not read": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().TenantSequence = 0 }, nil, "I1"},
		"a tenant read in the future": {told(), "CustomerApproved",
			func(e *lockboxv1.Event) { e.GetCustomerApproved().TenantSequence = 99 }, nil, "I1"},
		"a tenant as it no longer was": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().TenantSequence = 1 }, nil, "I1"},
		"a request's sequence as a tenant": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().TenantSequence = 8 }, nil, "I1"},
		"a grant that claims a waiver": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().Waiver = 1 }, nil, "I1"},
		"a waiver that was not granted on": {waived(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().Waiver = 0 }, nil, "I1"},
		"another waiver than evaluated": {waived(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().Waiver = 1 }, nil, "I1"},
		"a waiver against the facts": {waived(), "AccessEvaluated",
			func(e *lockboxv1.Event) { e.GetAccessEvaluated().Facts.LockboxEnabled = true }, nil, "I1"},
		"a waiver against the tenant": {waived(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().TenantSequence = 2 }, nil, "I1"},
		"a waiver nobody knows": {waived(), "AccessEvaluated",
			func(e *lockboxv1.Event) { e.GetAccessEvaluated().Waiver = 99 }, nil, "I1"},
		"an emergency of no responder": {hurried(), "AccessRequested",
			func(e *lockboxv1.Event) { e.Actor.Groups = []string{aggregate.SupportEngineers} }, nil, "I1"},
		"an emergency that nobody declared": {hurried(), "AccessRequested",
			func(e *lockboxv1.Event) { e.GetAccessRequested().Intent.Emergency = false }, nil, "I1"},
		"an emergency that was not weighed": {hurried(), "AccessEvaluated",
			func(e *lockboxv1.Event) { e.GetAccessEvaluated().Facts.Emergency = false }, nil, "I1"},
		"an emergency without an officer": {hurried(), "InternalApprovalGiven", func(e *lockboxv1.Event) {
			e.Actor.Groups = []string{aggregate.SupportLeads}
		}, nil, "I1"},
		"an emergency that asked no officer": {hurried(), "AccessEvaluated", func(e *lockboxv1.Event) {
			e.GetAccessEvaluated().InternalStages[0].Group = aggregate.SupportLeads
		}, nil, "I1"},
		"an emergency that asked nobody": {hurried(), "AccessEvaluated",
			func(e *lockboxv1.Event) { e.GetAccessEvaluated().Waiver = 3 }, nil, "I1"},
		"no internal approval": {told(), "InternalApprovalGiven",
			func(e *lockboxv1.Event) { e.GetInternalApprovalGiven().Stage = 1 }, nil, "I1"},
		"an internal approval of the wrong": {told(), "InternalApprovalGiven",
			func(e *lockboxv1.Event) { e.Actor.Groups = []string{aggregate.DevOpsManagers} }, nil, "I1"},
		// I2
		"denied after it was approved": {told(), "AccessGranted", nil,
			at(5, otto, &lockboxv1.Event{Fact: &lockboxv1.Event_CustomerDenied{}}), "I2"},
		"approved after it was":         {told(), "AccessGranted", nil, approved(otto), "I2"},
		"expired after it was approved": {told(), "AccessGranted", nil, at(97, box, expiry), "I2"},
		"granted twice": {told(), "AccessGranted", nil,
			at(5, box, &lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
				StartsAt: timestamppb.New(start.Add(5 * time.Hour)), EndsAt: timestamppb.New(start.Add(6 * time.Hour)),
				TenantSequence: 2, SubscriptionSequence: 6, OwnershipSequence: 3,
			}}}), "I2"},
		"granted after it was withdrawn": {told(), "CustomerApproved", nil,
			at(2, eve, &lockboxv1.Event{Fact: &lockboxv1.Event_RequestWithdrawn{}}), "I2"},
		"ended twice": {told(), "AccessGranted", nil,
			at(5, eve, &lockboxv1.Event{Fact: &lockboxv1.Event_AccessReleased{}}), "I2"},
		"evaluated twice": {told(), "AccessEvaluated", nil,
			at(0, box,
				&lockboxv1.Event{Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{
					Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED,
				}}}), "I2"},
		// I3
		"approved at the deadline": {told(), "CustomerApproved",
			func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(97 * time.Hour)) }, nil, "I3"},
		"approved internally too late": {told(), "InternalApprovalGiven",
			func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(24 * time.Hour)) }, nil, "I3"},
		"completed too early": {told(), "AccessCompleted",
			func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(12*time.Hour - 1)) }, nil, "I3"},
		"expired though nothing waits": {told(), "CustomerApproved", nil, at(96, box, expiry), "I3"},
		"reminded of what is no reminder": {told(), "CustomerNotified", nil,
			at(1, box,
				&lockboxv1.Event{Fact: &lockboxv1.Event_ApprovalReminderDue{
					ApprovalReminderDue: &lockboxv1.ApprovalReminderDue{Index: 9}}}), "I3"},
		"reminded before the time": {told(), "CustomerNotified", nil,
			at(1, box, &lockboxv1.Event{Fact: &lockboxv1.Event_ApprovalReminderDue{}}), "I3"},
		"given back after its end": {told(), "AccessCompleted",
			func(e *lockboxv1.Event) { e.Fact = &lockboxv1.Event_AccessReleased{} }, nil, "I3"},
		"asked after the deadline": {told(), "CustomerNotified", nil,
			at(97, otto, &lockboxv1.Event{Fact: &lockboxv1.Event_QuestionAsked{}}), "I3"},
		"withdrawn after the deadline": {told(), "CustomerNotified", nil,
			at(97, eve, &lockboxv1.Event{Fact: &lockboxv1.Event_RequestWithdrawn{}}), "I3"},
		"abandoned after the deadline": {told(), "CustomerNotified", nil,
			at(97, box, &lockboxv1.Event{Fact: &lockboxv1.Event_ApproversUnavailable{}}), "I3"},
		"reminded internally too early": {reminded(), "InternalReminderDue",
			func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(2*time.Hour - 1)) }, nil, "I3"},
		"reminded of what nobody recorded": {reminded(), "InternalReminderDue",
			func(e *lockboxv1.Event) { e.GetInternalReminderDue().Index = 1 }, nil, "I3"},
		"after the first stage's own time": {reminded(), "InternalApprovalGiven",
			func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(4 * time.Hour)) }, nil, "I3"},
		"before the second's own time": {reminded(), "InternalApprovalExpired",
			func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(4*time.Hour - 1)) }, nil, "I3"},
		"internally expired before it was": {told(), "AccessEvaluated", nil,
			at(1, box, &lockboxv1.Event{Fact: &lockboxv1.Event_InternalApprovalExpired{}}), "I3"},
		// I4
		"a longer grant": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().EndsAt = timestamppb.New(start.Add(12*time.Hour + 1)) }, nil, "I4"},
		"a grant that ends as it begins": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().EndsAt = e.GetAccessGranted().GetStartsAt() }, nil, "I4"},
		"a grant from earlier on": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().StartsAt = timestamppb.New(start) }, nil, "I4"},
		"a wider grant": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().ResourceIds[0] = "/subscriptions/sub-2/disks/a" }, nil, "I4"},
		"a grant on a resource that only looks like it": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().ResourceIds[0] = "/subscriptions/sub-1/dis\u212as/a" }, nil, "I4"},
		"a grant for another type": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().ResourceType = "storage/accounts" }, nil, "I4"},
		"a grant with more rights than were weighed": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().Mode = lockboxv1.AccessMode_ACCESS_MODE_ELEVATED }, nil, "I4"},
		"a grant on what is below": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().ResourceIds[0] = "/subscriptions/sub-1/disks/a/b" }, nil, "I4"},
		"longer than an approver allowed": {told(), "CustomerApproved", func(e *lockboxv1.Event) {
			e.GetCustomerApproved().Duration = durationpb.New(time.Hour)
		}, nil, "I4"},
		"wider than an approver allowed": {told(), "CustomerApproved", func(e *lockboxv1.Event) {
			e.GetCustomerApproved().ResourceIds = e.GetCustomerApproved().GetResourceIds()[:1]
		}, nil, "I4"},
		"longer than was asked for": {told(), "AccessRequested", func(e *lockboxv1.Event) {
			e.GetAccessRequested().Intent.Duration = durationpb.New(time.Hour)
		}, nil, "I4"},
		// I9
		"another tenant's event": {told(), "CustomerApproved", func(e *lockboxv1.Event) { e.Tenant = "fabrikam" },
			nil, "I9"},
		"another tenant's intent": {told(), "AccessRequested",
			func(e *lockboxv1.Event) { e.GetAccessRequested().Intent.Tenant = "fabrikam" }, nil, "I9"},
		"another request's intent": {told(), "AccessRequested",
			func(e *lockboxv1.Event) { e.GetAccessRequested().Intent.Id = "x" }, nil, "I9"},
		"a request without its beginning": {told(), "AccessRequested", func(e *lockboxv1.Event) { e.AggregateId = "x" }, nil,
			"I9"},
		"a version that is missing": {told(), "CustomerApproved", func(e *lockboxv1.Event) { e.Version++ }, nil, "I9"},
		"a subscription that was not read": {told(), "CustomerApproved",
			func(e *lockboxv1.Event) { e.GetCustomerApproved().SubscriptionSequence = 2 }, nil, "I1"},
		// I10
		"approved by the requester": {told(), "CustomerApproved", func(e *lockboxv1.Event) { e.Actor = eve }, nil,
			"I10"},
		"approved by somebody of the provider": {told(), "CustomerApproved",
			func(e *lockboxv1.Event) { e.Actor.Side = lockboxv1.Side_SIDE_PROVIDER }, nil, "I10"},
		"approved by somebody unasked": {told(), "CustomerApproved", func(e *lockboxv1.Event) { e.Actor = lena }, nil,
			"I10"},
		"the requester is to decide": {told(), "CustomerNotified",
			func(e *lockboxv1.Event) { e.GetCustomerNotified().Approvers[1].Person = eve.GetPerson() }, nil, "I10"},
		"the provider is to decide": {told(), "CustomerNotified",
			func(e *lockboxv1.Event) { e.GetCustomerNotified().Approvers[1].Person = leo.GetPerson() }, nil, "I10"},
		"internally by the requester": {told(), "InternalApprovalGiven", func(e *lockboxv1.Event) { e.Actor = eve },
			nil, "I10"},
		"internally by the requester's other account": {told(), "InternalApprovalGiven",
			func(e *lockboxv1.Event) { e.Actor = story.Human("eve", leo) }, nil, "I10"},
		"internally by the customer": {told(), "InternalApprovalGiven", func(e *lockboxv1.Event) { e.Actor = otto },
			nil, "I10"},
		"a role for somebody of the provider": {told(), "RoleAssigned",
			func(e *lockboxv1.Event) { e.GetRoleAssigned().Assignment.Person = leo.GetPerson() }, nil, "I10"},
		"an administrator of the provider": {told(), "TenantCreated",
			func(e *lockboxv1.Event) { e.GetTenantCreated().Administrator.Person = leo.GetPerson() }, nil, "I10"},
	} {
		t.Run(name, f.isFound)
	}
}

// forged is the story with the forgery in it; what was stored after it is renumbered, as a forger would.
func (f forgery) isFound(t *testing.T) {
	broken := invariant.Check(f.forged(t))
	if !slices.ContainsFunc(broken, func(v invariant.Violation) bool { return v.Invariant == f.breaks }) {
		t.Errorf("%s is not broken: %v", f.breaks, broken)
	}
}

func (f forgery) forged(t *testing.T) []invariant.Recorded {
	t.Helper()
	history := make([]invariant.Recorded, len(f.of))
	for i, r := range f.of {
		history[i] = invariant.Recorded{Sequence: r.Sequence, Event: stored(t, r.Event)}
	}
	i := slices.IndexFunc(history, func(r invariant.Recorded) bool { return factName(r.Event) == f.event })
	if i < 0 {
		t.Fatalf("no %s in the story", f.event)
	}
	if f.after == nil {
		f.change(history[i].Event)
		return history
	}
	before := history[i].Event
	f.after = stored(t, f.after)
	elsewhere := f.after.GetKind() != ""
	if !elsewhere {
		f.after.Tenant, f.after.Kind, f.after.AggregateId = before.GetTenant(), before.GetKind(), before.GetAggregateId()
	}
	history = slices.Insert(history, i+1, invariant.Recorded{Event: f.after})
	for j := i + 1; j < len(history); j++ {
		history[j].Sequence = uint64(j) + 1
		if !elsewhere {
			history[j].Event.Version = history[j-1].Event.GetVersion() + 1
		}
	}
	return history
}

// stored is an event as it comes back from the stream.
func stored(t *testing.T, e *lockboxv1.Event) *lockboxv1.Event {
	t.Helper()
	data, err := proto.Marshal(e)
	back := new(lockboxv1.Event)
	if err == nil {
		err = proto.Unmarshal(data, back)
	}
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func factName(e *lockboxv1.Event) string {
	m := e.ProtoReflect()
	return string(m.WhichOneof(m.Descriptor().Oneofs().ByName("fact")).Message().Name())
}

func TestI3LateExpiry(t *testing.T) {
	history, within := told(), 5*time.Second
	ended := func(after time.Duration) []invariant.Recorded {
		return forgery{history, "AccessCompleted",
			func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(12*time.Hour + after)) }, nil, ""}.forged(t)
	}
	end := start.Add(12 * time.Hour)
	running := history[:len(history)-1]
	for name, c := range map[string]struct {
		history []invariant.Recorded
		now     time.Time
		late    bool
	}{
		"recorded in time":       {ended(within), end.Add(time.Hour), false},
		"recorded late":          {ended(within + 1), end.Add(time.Hour), true},
		"not yet recorded":       {running, end.Add(within), false},
		"never recorded":         {running, end.Add(within + 1), true},
		"decided before the end": {history[:len(history)-2], end.Add(1000 * time.Hour), false},
	} {
		if broken := invariant.Late(c.history, within, c.now); len(broken) > 0 != c.late {
			t.Errorf("%s: %v", name, broken)
		}
	}
}

// control: nist:AU-8
func TestI3EventTimeAgainstStoredTime(t *testing.T) {
	for apart, honest := range map[time.Duration]bool{
		0: true, -2 * time.Second: true, -2*time.Second - 1: false, 2 * time.Minute: true, 2*time.Minute + 1: false,
	} {
		history := told()
		for i, r := range history {
			history[i].Stored = r.Event.GetTime().AsTime()
		}
		history[3].Stored = history[3].Stored.Add(apart)
		found := invariant.Check(history)
		if honest != (len(found) == 0) || !honest &&
			(len(found) != 1 || found[0].Invariant != "I3" || found[0].Sequence != history[3].Sequence) {
			t.Errorf("%s: %v", apart, found)
		}
		if !slices.Equal(found, invariant.Timely(history)) {
			t.Errorf("%s: by itself it finds %v", apart, invariant.Timely(history))
		}
	}
}
