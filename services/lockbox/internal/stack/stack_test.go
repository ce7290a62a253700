package stack_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	invalid         = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	unauthenticated = lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED
	forbidden       = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN
	notFound        = lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND
	conflict        = lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT
	precondition    = lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION
)

const (
	// moment is as long as a test waits for a deadline of its terms.
	moment = time.Second
	// busy is how late something may come that has its time, on a machine that does much else.
	busy = patience
)

// grantsEnd are terms in which there is all the time to decide, and a grant ends in a moment.
func grantsEnd() request.Terms {
	terms := request.DefaultTerms()
	terms.Grant, terms.EmergencyGrant = 2*moment, moment
	return terms
}

// nobodyAnswers are terms in which approvers' time is over soon. The reminders come at its beginning: each is given
// though it comes late, unless it comes as late as busy.
func nobodyAnswers() request.Terms {
	terms := request.DefaultTerms()
	terms.InternalApproval, terms.CustomerApproval = 8*moment, 8*moment
	terms.RemindBefore = []time.Duration{8 * moment, 7 * moment, 6 * moment}
	return terms
}

// control: mcsb:PA-8, nist:MA-4, nist:SA-9, iso:8.15
func TestAnIntentBecomesAGrantAndEndsByItself(t *testing.T) {
	t.Parallel()
	l := start(t, grantsEnd())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{
		Reason: "Go ahead.", Duration: durationpb.New(moment),
		ResourceIds: []string{demo.Machine(demo.BankProduction, "payments-1")},
	}}})
	s := l.reaches(id, request.Active)
	if d := s.Grant.GetEndsAt().AsTime().Sub(s.Grant.GetStartsAt().AsTime()); d != moment ||
		len(s.Grant.GetResourceIds()) != 1 {
		t.Errorf("the approver allowed a moment and one machine, granted were %v and %v (R27)", d, s.Grant.GetResourceIds())
	}
	s = l.reaches(id, request.Completed)
	if late := s.EndedAt.Sub(s.Grant.GetEndsAt().AsTime()); late < 0 || late > busy {
		t.Errorf("the grant completed %v after its end", late)
	}
}

func TestNobodyAnswersInTime(t *testing.T) {
	t.Parallel()
	l := start(t, nobodyAnswers())
	elevated := l.intent("erin")
	elevated.Scenario = "managed-disk"
	id, inside := l.requested(l.intent("erin"), request.CustomerNotified),
		l.requested(elevated, request.AwaitingInternalApproval)

	s := l.reaches(id, request.Expired)
	if late := s.EndedAt.Sub(s.ExpiresAt()); late < 0 || late > busy {
		t.Errorf("expired %v after the deadline (R26, I3)", late)
	}
	if s.Reminders != 2 {
		t.Errorf("approvers were reminded %d times of 2 (R33)", s.Reminders)
	}
	l.mayNot("otto", approve(id), precondition, "R26")

	// The earliest reminder would come as the stage begins, and is left out.
	if s := l.reaches(inside, request.AwaitingInternalApproval); s.Reminders != 1 {
		t.Errorf("%d reminders passed over at the beginning", s.Reminders)
	}
	s = l.reaches(inside, request.InternalExpired)
	if late := s.EndedAt.Sub(s.InternalDeadline()); s.Reminders != 3 || late < 0 || late > busy {
		t.Errorf("reminded %d times of 3, ended %v after the deadline (R15)", s.Reminders, late)
	}
}

func TestExpiryComesAfterADowntimeThatItFellInto(t *testing.T) {
	t.Parallel()
	l := start(t, nobodyAnswers())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.restart(time.Until(l.state(id).ExpiresAt()) + moment)
	if s := l.reaches(id, request.Expired); s.EndedAt.Before(s.ExpiresAt()) {
		t.Errorf("expired before its time: %v", s.EndedAt)
	}
}

// control: iso:8.2
func TestInternalApprovalComesFirst(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	elevated := func() *lockboxv1.AccessIntent {
		in := l.intent("erin")
		in.Scenario = "managed-disk"
		return in
	}
	yes := func(id string) *lockboxv1.Command {
		return &lockboxv1.Command{AggregateId: id,
			Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{Comment: "It cannot wait."}}}
	}
	t.Run("given", func(*testing.T) {
		id := l.requested(elevated(), request.AwaitingInternalApproval)
		l.mayNot("erin", yes(id), forbidden, "I10")
		l.mayNot("lena", yes(id), forbidden, "R15")
		l.mayNot("otto", approve(id), notFound, "I9")
		l.does("derek", yes(id))
		l.reaches(id, request.CustomerNotified)
	})
	t.Run("refused", func(*testing.T) {
		id := l.requested(elevated(), request.AwaitingInternalApproval)
		l.does("derek", &lockboxv1.Command{AggregateId: id,
			Action: &lockboxv1.Command_InternalRefuse{InternalRefuse: &lockboxv1.InternalRefuse{Reason: "Use the logs."}}})
		l.reaches(id, request.InternallyDenied)
	})
}

func TestWhatNeedsNoCustomerIsGrantedOnItsBasis(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	in := l.intent("erin")
	in.Scenario = "platform-health"
	id := l.requested(in, request.Active)
	if w := l.state(id).Grant.GetWaiver(); w != lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA {
		t.Errorf("the basis is %v (R3)", w)
	}
	l.does("grace", revoke(id, "Not now."))
	l.reaches(id, request.Revoked)
}

func TestAnEmergencyIsLetThroughInsideAndToldToTheCustomer(t *testing.T) {
	t.Parallel()
	l := start(t, grantsEnd())
	hurry := func(as string) *lockboxv1.AccessIntent {
		in := l.intent(as)
		in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
		return in
	}
	refused := l.requested(hurry("erin"), request.Refused)
	if r := l.state(refused).Evaluation.GetRefusal(); r.GetRule() != "R43" || r.GetCode() != forbidden {
		t.Errorf("without the permission: %v", r)
	}
	id := l.requested(hurry("rosa"), request.AwaitingInternalApproval)
	yes := &lockboxv1.Command{AggregateId: id,
		Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{Comment: "It cannot wait."}}}
	l.mayNot("rosa", yes, forbidden, "I10")
	yes.Id, yes.Token = "", ""
	l.mayNot("rosa-admin", yes, forbidden, "R51") // a security officer's account, and Rosa's
	yes.Id, yes.Token = "", ""
	l.does("olga", yes)
	s := l.reaches(id, request.Completed)
	if g := s.Grant; g.GetWaiver() != lockboxv1.Waiver_WAIVER_EMERGENCY ||
		g.GetEndsAt().AsTime().Sub(g.GetStartsAt().AsTime()) != moment || s.Notified != nil {
		t.Errorf("the grant %v", g)
	}
	for _, template := range []string{"emergency-access", "access-completed"} {
		for _, who := range []string{"otto@", "fleur@", "grace@", "security-desk@"} {
			l.mailed(id, template, who)
		}
	}
}

func TestADisclosureIsToldWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	what := func() *lockboxv1.Occurrence {
		return &lockboxv1.Occurrence{What: "Account records", HappenedAt: timestamppb.Now(), Description: "Two accounts.",
			Reason: "The order binds us."}
	}
	exposure, demand := newID(l), newID(l)
	disclose := &lockboxv1.Command{AggregateId: exposure,
		Action: &lockboxv1.Command_DiscloseExposure{DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: what()}}}
	l.mayNot("erin", disclose, forbidden, "R46")
	disclose.Id, disclose.Token = "", ""
	l.mayNot("grace", disclose, forbidden, "R46")
	disclose.Id, disclose.Token = "", ""
	l.does("olga", disclose)
	end := time.Now().Add(4 * moment)
	l.does("olga", &lockboxv1.Command{AggregateId: demand,
		Action: &lockboxv1.Command_DiscloseLegalDemand{DiscloseLegalDemand: &lockboxv1.DiscloseLegalDemand{
			Occurrence: what(), Authority: "A court", Reference: "12/34", EmbargoUntil: timestamppb.New(end),
		}}})
	for _, who := range []string{"grace@", "security-desk@"} {
		l.mailed("", "exposure-disclosed", who)
		l.mailed("", "legal-demand-disclosed", who)
	}
	for id, earliest := range map[string]time.Time{exposure: {}, demand: end} {
		told := l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindDisclosure, ID: id, Type: "DisclosureTold"})
		if len(told) != 1 || told[0].Event.GetTime().AsTime().Before(earliest) ||
			time.Since(told[0].Event.GetTime().AsTime()) > patience {
			t.Errorf("told: %v, not before %v", told, earliest)
		}
	}
	for _, e := range l.history(journal.Replay{Kind: aggregate.KindRequest}) {
		t.Errorf("a disclosure triggers no request, and yet: %v", e.Event)
	}
}

// mailed waits until a mail about a request is reported.
func (l *lockbox) mailed(id, template, recipient string) {
	l.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		for _, e := range l.history(journal.Replay{Kind: aggregate.KindDelivery}) {
			n := e.Event.GetNotificationSent().GetNotification()
			if e.Event.GetCorrelationId() == id && n.GetTemplate() == template &&
				strings.HasPrefix(n.GetRecipient(), recipient) {
				return
			}
		}
	}
	l.Errorf("%s was not sent %s", recipient, template)
}

// control: nist:IA-2
func TestEvaluationRefuses(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	for name, c := range map[string]struct {
		as     string
		change func(*lockboxv1.AccessIntent)
		rule   string
	}{
		"an engineer without a second factor": {"sam", func(*lockboxv1.AccessIntent) {}, "R13"},
		"a type that is not in the catalogue": {"erin",
			func(in *lockboxv1.AccessIntent) { in.ResourceType = "compute/mainframes" }, "R10"},
		"a subscription that does not exist": {"erin", func(in *lockboxv1.AccessIntent) {
			in.SubscriptionId, in.ResourceIds = "nowhere", []string{demo.Machine("nowhere", "x")}
		}, "R18"},
		"a ticket that does not exist": {"erin", func(in *lockboxv1.AccessIntent) { in.TicketId = "SR-1" }, "R11"},
	} {
		t.Run(name, func(t *testing.T) {
			in := l.intent(c.as)
			c.change(in)
			id := l.requested(in, request.Refused)
			if r := l.state(id).Evaluation.GetRefusal(); r.GetRule() != c.rule || r.GetField() == "" {
				t.Errorf("want a refusal by %s, got %v", c.rule, r)
			}
		})
	}
	id := l.requested(l.intent("ivan"), request.CustomerNotified) // an isolated identity needs no second factor
	if !l.state(id).Evaluation.GetFacts().GetIsolatedIdentity() {
		t.Error("the fact that it weighed is not recorded (R14)")
	}
}

func TestOnlyTheFrozenApproversWhoStillHoldARoleDecide(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.mayNot("erin", approve(id), forbidden, "I10")
	l.mayNot("olga", approve(id), forbidden, "I10")
	l.mayNot("audrey", approve(id), forbidden, "R20")
	l.mayNot("grace", approve(id), forbidden, "R20") // an administrator, but not of the list
	l.does("eli", &lockboxv1.Command{AggregateId: demo.BankProduction,
		Action: &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "eli-eligible"}}})
	l.mayNot("eli", approve(id), forbidden, "R20") // activated too late
	l.does("grace", &lockboxv1.Command{AggregateId: demo.BankProduction,
		Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"}}})
	l.mayNot("otto", approve(id), forbidden, "R20")
	l.mayNot("kenji", approve(id), unauthenticated, "R13")
	foreign := approve(id)
	foreign.Tenant = health
	l.mayNot("kenji", foreign, notFound, "I9")
	l.does("fleur", approve(id))
	l.reaches(id, request.Active)
}

func TestEverybodyIsRemovedWhileItWaits(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	for _, assignment := range []string{"otto-owner", "fleur-approver"} {
		l.does("grace", &lockboxv1.Command{AggregateId: demo.BankProduction,
			Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: assignment}}})
	}
	if s := l.until(id, "abandoned (R23)",
		func(s request.State) bool { return s.Abandoned }); s.Status != request.CustomerNotified {
		t.Errorf("it must wait until it expires, and is %v", s.Status)
	}
}

// control: nist:AU-12
func TestTwoContraryDecisionsAtOnce(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	for range 20 {
		id := l.requested(l.intent("erin"), request.CustomerNotified)
		var both sync.WaitGroup
		replies := make([]*lockboxv1.CommandReply, 2)
		both.Go(func() { replies[0] = l.command("otto", approve(id)) })
		both.Go(func() { replies[1] = l.command("fleur", deny(id, "Not on a payment system.")) })
		both.Wait()
		won, lost := replies[0], replies[1]
		if won.GetRefusal() != nil {
			won, lost = lost, won
		}
		if won.GetRefusal() != nil || lost.GetRefusal().GetCode() != conflict || lost.GetRefusal().GetRule() != "R29" {
			t.Fatalf("want one winner and one who is told so: %v, %v", replies[0], replies[1])
		}
		decisions := l.history(journal.Replay{Tenant: bank, Kind: "request", ID: id, Type: "CustomerApproved"})
		decisions = append(decisions, l.history(journal.Replay{Tenant: bank, Kind: "request", ID: id,
			Type: "CustomerDenied"})...)
		if len(decisions) != 1 {
			t.Fatalf("%d decisions are stored (I2)", len(decisions))
		}
	}
}

func TestTheSameDecisionAgainIsNoDecision(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	c := approve(id)
	first := l.does("otto", c)
	for _, again := range []*lockboxv1.Command{c, approve(id)} {
		if r := l.does("otto", again); r.GetEventId() != "" || r.GetMessage() == "" || r.GetSequence() < first.GetSequence() {
			t.Errorf("want nothing new and a sentence that says so, got %v", r)
		}
	}
	l.mayNot("fleur", deny(id, "No."), conflict, "R29")
}

func TestQuestionsAndAnswersAndTheWaysOut(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	seen := l.state(id).Version
	l.does("fleur", &lockboxv1.Command{AggregateId: id,
		Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "Does the dump leave the country?"}}})
	q := l.state(id).Questions[0]
	answer := func() *lockboxv1.Command {
		return &lockboxv1.Command{AggregateId: id,
			Action: &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: q.GetQuestionId(), Text: "No."}}}
	}
	l.mayNot("bob", answer(), forbidden, "R32")
	l.does("erin", answer())
	stale := approve(id)
	stale.SeenVersion = seen
	l.mayNot("otto", stale, conflict, "R29")
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	l.mayNot("bob", &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{}}},
		forbidden, "R32")
	l.does("erin", &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{}}})
	l.reaches(id, request.Released)

	id = l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	l.does("olga", revoke(id, "A key was lost."))
	l.reaches(id, request.Revoked)

	id = l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("erin", &lockboxv1.Command{AggregateId: id,
		Action: &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{}}})
	l.reaches(id, request.Withdrawn)
	l.mayNot("otto", approve(id), conflict, "R29")
}

func TestStoppingAndStartingLosesNothing(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	before := l.history(journal.Replay{})
	l.restart(0)
	after := l.history(journal.Replay{})
	if len(after) < len(before) {
		t.Fatalf("%d events before, %d after", len(before), len(after))
	}
	for i := range before {
		if string(before[i].Data) != string(after[i].Data) || before[i].Seq != after[i].Seq {
			t.Fatalf("event %d has changed", before[i].Seq)
		}
	}
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
}
