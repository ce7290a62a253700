package request_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What the provider decides, and what becomes of a grant: R3, R8, R15, R27, R32.

func seconds(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

func noTime() *lockboxv1.Command {
	c := approveFor(0)
	c.GetApprove().Duration = durationpb.New(0)
	return c
}

func brokenTime() *lockboxv1.Command {
	c := approveFor(0)
	c.GetApprove().Duration = &durationpb.Duration{Seconds: 1, Nanos: -1}
	return c
}

const (
	noCustomerData = lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA
	preview        = lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP
	notEnabled     = lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED
)

var disable = &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
	DisableLockbox: &lockboxv1.DisableLockbox{Reason: "quiet"}}}
var enable = &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
var signUp = &lockboxv1.Command{Action: &lockboxv1.Command_SignUpPreview{
	SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: "compute/disks"}}}

func TestR3WithoutCustomerDataTheCustomerIsNotAsked(t *testing.T) {
	s := contoso(owner(otto))
	play(t, s,
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(waived(noCustomerData)), is(request.Approved)},
		row{0, box, owed(request.Notify), already(request.Approved)},
		row{1, otto, does(approve()), no(notFound, "aggregate_id", "I9")},
		row{1, box, owed(request.Grant), is(request.Active)},
	)
	if s.Request().Notified != nil || s.Request().Grant.GetWaiver() != noCustomerData {
		t.Errorf("the grant's basis is %s", s.Request().Grant.GetWaiver())
	}
}

// Whoever holds the evaluator's key can write that a customer need not be asked; access does not begin by that.
func TestI1NobodyIsTakenAtTheWordOfTheEvaluationThatWaivedTheCustomer(t *testing.T) {
	data, public := &request.Resource{CustomerData: true}, &request.Resource{Preview: true}
	long := func(w lockboxv1.Waiver) deed {
		v := waived(w)
		v.Duration = durationpb.New(10_000 * time.Hour)
		return evaluates(v)
	}
	for name, c := range map[string]struct {
		says   *request.Resource
		forged deed
		ends   request.Status
	}{
		"no customer data, says the evaluation":  {data, evaluates(waived(noCustomerData)), request.Lapsed},
		"and the catalogue says so too":          {public, evaluates(waived(noCustomerData)), request.Active},
		"a preview, says the evaluation":         {data, evaluates(waived(preview)), request.Lapsed},
		"and the catalogue says so as well":      {public, evaluates(waived(preview)), request.Active},
		"for longer than the terms allow anyone": {public, long(noCustomerData), request.Lapsed},
	} {
		t.Run(name, func(t *testing.T) {
			s := contoso(owner(otto))
			s.Resource = c.says
			play(t, s,
				row{0, eve, submits(diskIntent()), is(request.Submitted)},
				row{0, box, c.forged, is(request.Approved)},
				row{1, box, owed(request.Grant), is(c.ends)},
			)
		})
	}
}

func TestR8APreviewThatNobodySignedUpForIsWaivedUntilTheyDo(t *testing.T) {
	play(t, contoso(owner(otto)),
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(waived(preview)), is(request.Approved)},
		row{1, box, owed(request.Grant), is(request.Active)},
		// Signing up afterwards takes nothing away; the customer can.
		row{2, gina, does(signUp), is(request.Active)},
		row{3, otto, does(revoke("we did not know")), is(request.Revoked)},
	)
	s := contoso(owner(otto))
	play(t, s,
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(waived(preview)), is(request.Approved)},
		row{1, gina, does(signUp), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Lapsed)},
		row{3, box, owed(request.Grant), already(request.Lapsed)},
	)
	if !said(s.Request().EndReason, "signed up") {
		t.Errorf("lapsed because %q", s.Request().EndReason)
	}
}

func TestR2WithoutLockboxTheCustomerIsWaivedUntilTheySwitchItOn(t *testing.T) {
	s := contoso()
	play(t, s,
		row{-1, gina, does(disable), is(request.None)},
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(waived(notEnabled)), is(request.Approved)},
		row{1, gina, does(enable), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Lapsed)},
	)
	if !said(s.Request().EndReason, "switched Lockbox on") {
		t.Errorf("lapsed because %q", s.Request().EndReason)
	}
	play(t, contoso(),
		row{-1, gina, does(disable), is(request.None)},
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(waived(notEnabled)), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
	)
}

// control: soc2:CC6.2, iso:5.15
func TestI1AWaiverRestsOnItsFacts(t *testing.T) {
	against := func(w lockboxv1.Waiver, change func(*lockboxv1.AccessEvaluated)) deed {
		v := waived(w)
		change(v)
		return evaluates(v)
	}
	bad := no(precondition, "aggregate_id", "I6", "waive")
	play(t, contoso(owner(otto)),
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, against(noCustomerData, func(v *lockboxv1.AccessEvaluated) { v.Facts.CustomerData = true }), bad},
		row{0, box, against(notEnabled, func(v *lockboxv1.AccessEvaluated) { v.Facts.LockboxEnabled = true }), bad},
		row{0, box, against(preview, func(v *lockboxv1.AccessEvaluated) { v.Facts.PreviewSignedUp = true }), bad},
		row{0, box, against(preview, func(v *lockboxv1.AccessEvaluated) {
			v.Facts.Stage = lockboxv1.ServiceStage_SERVICE_STAGE_GENERALLY_AVAILABLE
		}), bad},
		row{0, box, against(noCustomerData, func(v *lockboxv1.AccessEvaluated) { v.Waiver = 99 }), bad}, // of a later version
		row{0, box, against(noCustomerData, func(v *lockboxv1.AccessEvaluated) { v.Waiver = 0 }), bad},
		row{0, box, against(noCustomerData, func(v *lockboxv1.AccessEvaluated) {
			v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES
		}), bad},
		row{0, box, against(noCustomerData, func(v *lockboxv1.AccessEvaluated) { v.Outcome = 99 }),
			no(precondition, "aggregate_id", "I6", "an outcome")},
		row{0, box, against(noCustomerData, func(v *lockboxv1.AccessEvaluated) { v.Outcome = 0 }),
			no(precondition, "aggregate_id", "I6", "an outcome")},
		row{0, box, against(noCustomerData, func(v *lockboxv1.AccessEvaluated) { v.Duration = nil }),
			no(precondition, "aggregate_id", "I6", "duration")},
		row{0, box, evaluates(customerDecides()), is(request.Submitted)},
		row{0, box, evaluates(waived(noCustomerData)), already(request.Submitted)}, // evaluated once
	)
}

func TestR14ARefusalByEvaluationEndsIt(t *testing.T) {
	play(t, contoso(owner(otto)),
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(&lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED,
			Refusal: &lockboxv1.Refusal{Message: "no second factor"},
		}), is(request.Refused)},
		row{1, box, owed(request.Notify), already(request.Refused)},
		row{1, box, owed(request.Grant), already(request.Refused)},
		row{1, box, evaluates(customerDecides()), already(request.Refused)},
		row{1, eve, does(withdraw()), no(conflict, "aggregate_id", "R32", "refused by evaluation")},
	)
}

// staged is contoso with a request that waits for internal approval until time 1*day.
func staged(t *testing.T, v *lockboxv1.AccessEvaluated) *story.Story {
	t.Helper()
	s := contoso(owner(otto))
	play(t, s,
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(v), is(request.AwaitingInternalApproval)},
	)
	return s
}

// control: nist:AC-5, soc2:CC6.3, iso:8.2
func TestR15InternalStagesComeInOrderEachWithDifferentPeople(t *testing.T) {
	both := story.Provider("bo", aggregate.SupportLeads, aggregate.DevOpsManagers)
	lead := story.Provider("eve", aggregate.SupportLeads) // the requester, who happens to be a lead
	s := staged(t, customerDecides(stage(aggregate.SupportLeads, 2), stage(aggregate.DevOpsManagers, 1)))
	play(t, s,
		row{1, box, owed(request.Notify), already(request.AwaitingInternalApproval)},
		row{1, otto, does(internalApprove()), no(forbidden, "token", "R15")},
		row{1, fred, does(internalApprove()), no(forbidden, "token", "R15")},
		row{1, lead, does(internalApprove()), no(forbidden, "token", "I10")},
		row{1, dana, does(internalApprove()), no(forbidden, "token", "R15", "customer support leads")}, // not her stage yet
		row{2, leo, does(internalApprove()), is(request.AwaitingInternalApproval)},
		row{2, leo, does(internalApprove()), already(request.AwaitingInternalApproval)},
		row{2, leo, does(internalRefuse("no")), no(forbidden, "token", "R15")},
		row{3, both, does(internalApprove()), is(request.AwaitingInternalApproval)},
		row{4, both, does(internalApprove()), already(request.AwaitingInternalApproval)}, // not for the second stage as well
		row{4, lisa, does(internalApprove()), no(forbidden, "token", "R15", "DevOps managers")},
		row{5, dana, does(internalApprove()), is(request.Submitted)},
		row{6, lisa, does(internalApprove()), no(conflict, "aggregate_id", "R15")},
		row{6, box, owed(request.Notify), is(request.CustomerNotified)},
	)
	if n := len(s.Request().InternalDecisions); n != 3 {
		t.Errorf("%d internal decisions", n)
	}
}

func TestR15ARefusalInsideEndsIt(t *testing.T) {
	play(t, staged(t, customerDecides(stage(aggregate.SupportLeads, 1))),
		row{1, leo, does(internalRefuse("")), no(invalid, "internal_refuse.reason", "R15")},
		row{2, leo, does(internalRefuse("ask the customer by phone")), is(request.InternallyDenied)},
		row{3, leo, does(internalRefuse("again")), already(request.InternallyDenied)},
		row{3, lisa, does(internalApprove()), no(conflict, "aggregate_id", "R15", "refused internally by Leo")},
		row{3, box, owed(request.Notify), already(request.InternallyDenied)},
	)
}

func TestR15AnUnansweredInternalApprovalExpiresAtItsInstant(t *testing.T) {
	waits := func() *story.Story { return staged(t, customerDecides(stage(aggregate.SupportLeads, 1))) }
	due(t, waits(), day)
	play(t, waits(), row{day - 1, leo, does(internalApprove()), is(request.Submitted)})
	play(t, waits(), row{day, leo, does(internalApprove()), no(precondition, "aggregate_id", "R15", "expired at")})
	play(t, waits(), row{day + 1, leo, does(internalRefuse("no")), no(precondition, "aggregate_id", "R15")})
	play(t, waits(), row{day - 1, eve, does(withdraw()), is(request.Withdrawn)})
	play(t, waits(), row{day, eve, does(withdraw()), no(precondition, "aggregate_id", "R26")})
	play(t, waits(),
		row{day - 1, box, owed(request.Expire), already(request.AwaitingInternalApproval)},
		row{day, box, owed(request.Expire), is(request.InternalExpired)},
		row{day, leo, does(internalApprove()), no(precondition, "aggregate_id", "R15", "expired at")},
		row{day, box, owed(request.Notify), already(request.InternalExpired)},
	)
}

func TestR15AStageAsksForSomebodyUntilATime(t *testing.T) {
	noTime := customerDecides(stage(aggregate.SupportLeads, 1))
	noTime.InternalExpiresAt = nil
	play(t, contoso(owner(otto)),
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(noTime), no(precondition, "aggregate_id", "I6", "cannot follow")},
		row{0, box, evaluates(customerDecides(stage(aggregate.SupportLeads, 0))),
			no(precondition, "aggregate_id", "I6", "cannot follow")},
	)
}

// within gives a stage its own time to answer.
func within(d time.Duration, s *lockboxv1.InternalStage) *lockboxv1.InternalStage {
	s.AnswerWithin = durationpb.New(d)
	return s
}

// reminding has those asked reminded so long before each deadline.
func reminding(v *lockboxv1.AccessEvaluated, before ...time.Duration) *lockboxv1.AccessEvaluated {
	for _, d := range before {
		v.InternalRemindBefore = append(v.InternalRemindBefore, durationpb.New(d))
	}
	return v
}

func TestR15EachStageHasItsOwnTimeFromWhenItBegins(t *testing.T) {
	const four, six = 4 * time.Hour, 6 * time.Hour
	waits := func() *story.Story {
		return staged(t, customerDecides(within(six, stage(aggregate.SupportLeads, 2)),
			within(four, stage(aggregate.DevOpsManagers, 1))))
	}
	due(t, waits(), six)
	play(t, waits(), row{six - 1, leo, does(internalApprove()), is(request.AwaitingInternalApproval)})
	play(t, waits(), row{six, leo, does(internalApprove()), no(precondition, "aggregate_id", "R15", "expired at")})
	play(t, waits(), row{six + 1, leo, does(internalApprove()), no(precondition, "aggregate_id", "R15", "expired at")})
	play(t, waits(),
		row{six - 1, box, owed(request.Expire), already(request.AwaitingInternalApproval)},
		row{six, box, owed(request.Expire), is(request.InternalExpired)},
	)
	// The first of two approvals begins nothing; the second does.
	second := func() *story.Story {
		s := waits()
		play(t, s, row{time.Hour, leo, does(internalApprove()), is(request.AwaitingInternalApproval)})
		due(t, s, six)
		play(t, s, row{2 * time.Hour, lisa, does(internalApprove()), is(request.AwaitingInternalApproval)})
		due(t, s, 2*time.Hour+four)
		return s
	}
	end := 2*time.Hour + four
	play(t, second(), row{end - 1, dana, does(internalApprove()), is(request.Submitted)})
	play(t, second(), row{end, dana, does(internalApprove()), no(precondition, "aggregate_id", "R15", "expired at")})
	play(t, second(), row{end + 1, dana, does(internalRefuse("no")),
		no(precondition, "aggregate_id", "R15", "expired at")})
	play(t, second(),
		row{end - 1, box, owed(request.Expire), already(request.AwaitingInternalApproval)},
		row{end, box, owed(request.Expire), is(request.InternalExpired)},
	)
}

func TestR15NoStageOutlastsAllOfThem(t *testing.T) {
	s := staged(t, customerDecides(stage(aggregate.SupportLeads, 1),
		within(4*time.Hour, stage(aggregate.DevOpsManagers, 1))))
	due(t, s, day)
	play(t, s, row{23 * time.Hour, leo, does(internalApprove()), is(request.AwaitingInternalApproval)})
	due(t, s, day)
	play(t, s,
		row{day - 1, box, owed(request.Expire), already(request.AwaitingInternalApproval)},
		row{day, box, owed(request.Expire), is(request.InternalExpired)},
	)
}

func TestR15ThoseAskedAreRemindedBeforeTheirStagesDeadline(t *testing.T) {
	const four = 4 * time.Hour
	s := staged(t, reminding(customerDecides(stage(aggregate.SupportLeads, 1),
		within(6*time.Hour, stage(aggregate.DevOpsManagers, 1))), 2*day, four, time.Hour))
	due(t, s, day-four) // two days before would be before the stage began
	play(t, s,
		row{day - four - 1, box, owed(request.Remind), already(request.AwaitingInternalApproval)},
		row{day - four, box, owed(request.Remind), is(request.AwaitingInternalApproval)},
		row{day - four + 1, box, owed(request.Remind), already(request.AwaitingInternalApproval)},
	)
	due(t, s, day-time.Hour)
	play(t, s, row{day - 3*time.Hour, leo, does(internalApprove()), is(request.AwaitingInternalApproval)})
	// The next stage has three hours left, and so one reminder.
	due(t, s, day-time.Hour)
	play(t, s,
		row{day - time.Hour, box, owed(request.Remind), is(request.AwaitingInternalApproval)},
		row{day - time.Hour, dana, does(internalApprove()), is(request.Submitted)},
		row{day - 1, box, owed(request.Remind), already(request.Submitted)},
		// The customer's reminders are counted anew.
		row{day - 1, box, owed(request.Notify), is(request.CustomerNotified)},
	)
	due(t, s, 4*day-1)
	play(t, s, row{4*day - 1, box, owed(request.Remind), is(request.CustomerNotified)})
}

func TestR15AfterAPauseThereIsOneInternalReminder(t *testing.T) {
	s := staged(t, reminding(customerDecides(stage(aggregate.SupportLeads, 1)), 4*time.Hour, time.Hour))
	play(t, s,
		row{day - 1, box, owed(request.Remind), is(request.AwaitingInternalApproval)},
		row{day - 1, box, owed(request.Remind), already(request.AwaitingInternalApproval)},
	)
	due(t, s, day)
}

func TestR15AnEvaluationGivesTimeAndRemindsInOrder(t *testing.T) {
	bad := no(precondition, "aggregate_id", "I6", "cannot follow")
	play(t, contoso(owner(otto)),
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(customerDecides(within(0, stage(aggregate.SupportLeads, 1)))), bad},
		row{0, box, evaluates(customerDecides(within(-1, stage(aggregate.SupportLeads, 1)))), bad},
		row{0, box, evaluates(reminding(customerDecides(stage(aggregate.SupportLeads, 1)), time.Hour, 2*time.Hour)), bad},
		row{0, box, evaluates(reminding(customerDecides(stage(aggregate.SupportLeads, 1)), time.Hour, time.Hour)), bad},
		row{0, box, evaluates(reminding(customerDecides(stage(aggregate.SupportLeads, 1)), 0)), bad},
		row{0, box, evaluates(reminding(customerDecides(within(1, stage(aggregate.SupportLeads, 1))), time.Hour, 1)),
			is(request.AwaitingInternalApproval)},
		row{1, box, owed(request.Expire), is(request.InternalExpired)},
	)
}

func TestR15TermsRemindInternalApproversEachOnce(t *testing.T) {
	terms := request.Terms{RemindBefore: []time.Duration{0, time.Hour, 4 * time.Hour, time.Hour, -1}}
	got := terms.Reminders()
	if len(got) != 2 || got[0].AsDuration() != 4*time.Hour || got[1].AsDuration() != time.Hour {
		t.Errorf("%v", got)
	}
}

func TestR15InternalApprovalComesBeforeAWaivedGrantToo(t *testing.T) {
	play(t, staged(t, waived(noCustomerData, stage(aggregate.DevOpsManagers, 1))),
		row{1, box, owed(request.Grant), already(request.AwaitingInternalApproval)},
		row{1, dana, does(internalApprove()), is(request.Approved)},
		row{1, box, owed(request.Grant), is(request.Active)},
	)
}

// active is contoso with a grant that runs from 0 for eight hours.
func active(t *testing.T) *story.Story {
	t.Helper()
	s := asked(t, contoso(owner(otto), assign(olga, approverRole, ofTenant)), diskIntent())
	play(t, s,
		row{0, otto, does(approve()), is(request.Approved)},
		row{0, box, owed(request.Grant), is(request.Active)},
	)
	return s
}

// control: nist:AC-6, nist:MA-4, soc2:CC6.3, iso:8.2
func TestR27AGrantEndsAtItsInstant(t *testing.T) {
	end := 8 * time.Hour
	due(t, active(t), end)
	play(t, active(t),
		row{end - 1, box, owed(request.Complete), already(request.Active)},
		row{end, box, owed(request.Complete), is(request.Completed)},
		row{end, box, owed(request.Complete), already(request.Completed)},
	)
	play(t, active(t), row{end - 1, eve, does(release()), is(request.Released)})
	play(t, active(t), row{end, eve, does(release()),
		no(precondition, "aggregate_id", "R32", "ended by itself at 2026-03-02 17:00:00 UTC")})
	play(t, active(t), row{end - 1, otto, does(revoke("no")), is(request.Revoked)})
	play(t, active(t), row{end, otto, does(revoke("no")), no(precondition, "aggregate_id", "R32", "ended by itself")})
	play(t, active(t), row{end + 1, sven, does(revoke("no")), no(precondition, "aggregate_id", "R32", "ended by itself")})
}

// control: mcsb:PA-8, nist:MA-4, soc2:CC6.3
func TestR32TheCustomerOrTheSecurityOfficerRevokes(t *testing.T) {
	for _, who := range []*lockboxv1.Actor{otto, olga, gina, sven} {
		play(t, active(t),
			row{time.Hour, who, does(revoke("")), no(invalid, "revoke.reason", "R32")},
			row{time.Hour, who, does(revoke("enough")), is(request.Revoked)},
			row{time.Hour, who, does(revoke("enough")), already(request.Revoked)},
			row{time.Hour, eve, does(release()), no(precondition, "aggregate_id", "R32",
				"revoked by "+who.GetPerson().GetDisplayName())},
			row{8 * time.Hour, box, owed(request.Complete), already(request.Revoked)},
		)
	}
	play(t, active(t),
		row{1, eve, does(revoke("x")), no(forbidden, "token", "R32")},
		row{1, leo, does(revoke("x")), no(forbidden, "token", "R32")},
		row{1, lena, does(revoke("x")), no(forbidden, "token", "R32")},
		row{2, gina, does(remove("otto", ofSubscription)), is(request.Active)},
		row{3, otto, does(revoke("x")), no(forbidden, "token", "R32")},
		row{4, gina, does(owner(lena)), is(request.Active)},
		row{5, lena, does(revoke("whoever is an Owner now")), is(request.Revoked)},
		row{6, sven, does(revoke("x")), no(precondition, "aggregate_id", "R32", "revoked by Lena")},
	)
}

func TestR32AccessThatIsAboutToBeginIsRevokedToo(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, otto, does(revoke("x")), no(precondition, "aggregate_id", "R32", "waits for the customer")},
		row{2, otto, does(approve()), is(request.Approved)},
		row{3, sven, does(revoke("stop")), is(request.Revoked)},
		row{4, box, owed(request.Grant), already(request.Revoked)},
	)
}

// control: nist:MA-4
func TestR32TheRequesterWithdrawsOrGivesBack(t *testing.T) {
	play(t, active(t),
		row{1, fred, does(release()), no(forbidden, "token", "R32")},
		row{1, otto, does(release()), no(forbidden, "token", "R32")},
		row{1, eve, does(withdraw()), no(conflict, "aggregate_id", "R32", "approved by Otto")},
		row{2, eve, does(release()), is(request.Released)},
		row{3, eve, does(release()), already(request.Released)},
		row{3, otto, does(revoke("x")), no(precondition, "aggregate_id", "R32", "given back by Eve")},
		row{8 * time.Hour, box, owed(request.Complete), already(request.Released)},
	)
	play(t, contoso(owner(otto)),
		row{0, eve, does(withdraw()), no(notFound, "aggregate_id", "I9")},
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{1, fred, does(withdraw()), no(forbidden, "token", "R32")},
		row{1, eve, does(withdraw()), is(request.Withdrawn)},
		row{2, eve, does(withdraw()), already(request.Withdrawn)},
		row{2, box, evaluates(customerDecides()), already(request.Withdrawn)},
		row{2, box, owed(request.Notify), already(request.Withdrawn)},
	)
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, eve, does(withdraw()), is(request.Withdrawn)},
		row{2, otto, does(approve()), no(conflict, "aggregate_id", "R29", "withdrawn by Eve")},
		row{4 * day, box, owed(request.Expire), already(request.Withdrawn)},
	)
}

// control: nist:AC-3, soc2:CC6.2
func TestI1AccessLapsesIfAnApproverLostTheRole(t *testing.T) {
	s := asked(t, contoso(owner(otto), owner(olga)), diskIntent())
	play(t, s,
		row{1, otto, does(approve()), is(request.Approved)},
		row{2, gina, does(remove("otto", ofSubscription)), is(request.Approved)},
		row{3, box, owed(request.Grant), is(request.Lapsed)},
		row{4, otto, does(approve()), no(forbidden, "token", "R20")},
		row{4, olga, does(approve()), no(conflict, "aggregate_id", "R29", "lapsed")},
	)
	if !said(s.Request().EndReason, "lost the role") {
		t.Errorf("lapsed because %q", s.Request().EndReason)
	}
	play(t, asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent()),
		row{1, otto, does(approve()), is(request.CustomerNotified)},
		row{2, gina, does(remove("otto", ofSubscription)), is(request.CustomerNotified)},
		row{3, olga, does(approve()), is(request.Approved)},
		row{4, box, owed(request.Grant), is(request.Lapsed)},
	)
	// Whoever has the role again by then has it.
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, otto, does(approve()), is(request.Approved)},
		row{2, gina, does(remove("otto", ofSubscription)), is(request.Approved)},
		row{3, gina, does(owner(otto)), is(request.Approved)},
		row{4, box, owed(request.Grant), is(request.Active)},
	)
}

func TestR1R2SwitchingLockboxOffChangesNothingForWhatRuns(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, gina, does(disable), is(request.CustomerNotified)},
		row{2, box, owed(request.Grant), already(request.CustomerNotified)},
		row{2, otto, does(approve()), is(request.Approved)},
		row{3, box, owed(request.Grant), is(request.Active)},
	)
}
