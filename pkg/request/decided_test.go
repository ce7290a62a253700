package request_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// How the customer decides: R26-R31.

// control: mcsb:PA-8
func TestR26AtTheInstantOfTheDeadlineItIsExpired(t *testing.T) {
	pending := func() *story.Story { return asked(t, contoso(owner(otto)), diskIntent()) }
	for _, does := range []deed{does(approve()), does(deny("no")), does(ask("why?"))} {
		play(t, pending(), row{4*day - 1, otto, does, is(afterwards(t, pending(), does))})
		play(t, pending(), row{4 * day, otto, does,
			no(precondition, "aggregate_id", "R26", "expired at 2026-03-06 09:00:00 UTC")})
		play(t, pending(), row{4*day + 1, otto, does,
			no(precondition, "aggregate_id", "R26", "expired at 2026-03-06 09:00:00 UTC")})
	}
	play(t, pending(), row{4*day - 1, eve, does(withdraw()), is(request.Withdrawn)})
	play(t, pending(), row{4 * day, eve, does(withdraw()), no(precondition, "aggregate_id", "R26")})
}

// afterwards is where a request stands after a deed that is in good time.
func afterwards(t *testing.T, s *story.Story, does deed) request.Status {
	t.Helper()
	e, err := does(s.At(start.Add(1)), otto, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	s.Record(e)
	return s.Request().Status
}

func TestR26ItExpiresByItselfAndOnlyThen(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{4*day - 1, box, owed(request.Expire), already(request.CustomerNotified)},
		row{4 * day, box, owed(request.Remind), already(request.CustomerNotified)},
		row{4 * day, box, owed(request.Expire), is(request.Expired)},
		row{4*day + 1, box, owed(request.Expire), already(request.Expired)},
		row{4*day + 1, box, owed(request.Grant), already(request.Expired)},
		row{4*day + 1, otto, does(approve()), no(precondition, "aggregate_id", "R26", "expired at 2026-03-06 09:00:00 UTC")},
		row{4*day + 1, otto, does(deny("late")), no(precondition, "aggregate_id", "R26")},
		row{4*day + 1, eve, does(withdraw()), no(conflict, "aggregate_id", "R32")},
	)
}

// control: nist:AC-6, iso:8.2
func TestR27AccessIsForEightHoursUnlessLessWasAskedOrAllowed(t *testing.T) {
	short := diskIntent()
	short.Duration = seconds(2 * time.Hour)
	evaluated := customerDecides()
	evaluated.Duration = short.Duration
	for _, c := range []struct {
		asked *lockboxv1.AccessIntent
		given *lockboxv1.AccessEvaluated
		yes   *lockboxv1.Command
		lasts time.Duration
		reach []string
	}{
		{diskIntent(), customerDecides(), approve(), 8 * time.Hour, []string{disk("a"), disk("b"), disk("c")}},
		{short, evaluated, approve(), 2 * time.Hour, []string{disk("a"), disk("b"), disk("c")}},
		{short, evaluated, approveFor(2 * time.Hour), 2 * time.Hour, []string{disk("a"), disk("b"), disk("c")}},
		{diskIntent(), customerDecides(), approveFor(time.Hour), time.Hour, []string{disk("a"), disk("b"), disk("c")}},
		{diskIntent(), customerDecides(), approveFor(time.Hour, disk("c"), disk("b")), time.Hour,
			[]string{disk("b"), disk("c")}},
		{diskIntent(), customerDecides(), approveFor(0, disk("b")), 8 * time.Hour, []string{disk("b")}},
	} {
		s := contoso(owner(otto))
		play(t, s,
			row{0, eve, submits(c.asked), is(request.Submitted)},
			row{0, box, evaluates(c.given), is(request.Submitted)},
			row{0, box, owed(request.Notify), is(request.CustomerNotified)},
			row{1, otto, does(c.yes), is(request.Approved)},
			row{time.Minute, box, owed(request.Grant), is(request.Active)},
		)
		g := s.Request().Grant
		starts, ends := g.GetStartsAt().AsTime(), g.GetEndsAt().AsTime()
		if !starts.Equal(start.Add(time.Minute)) || ends.Sub(starts) != c.lasts ||
			!slices.Equal(g.GetResourceIds(), c.reach) {
			t.Errorf("%v gives %s from %s to %v", c.yes, ends.Sub(starts), starts, g.GetResourceIds())
		}
	}
}

// control: nist:AC-6, iso:8.2
func TestR27AnApproverNeverWidens(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, otto, does(approveFor(8*time.Hour + 1)), no(invalid, "approve.duration", "R27", "8h0m0s")},
		row{1, otto, does(approveFor(-time.Hour)), no(invalid, "approve.duration", "R27")},
		row{1, otto, does(noTime()), no(invalid, "approve.duration", "R27")},
		row{1, otto, does(brokenTime()), no(invalid, "approve.duration", "R27", "not a duration")},
		row{1, otto, does(approveFor(0, disk("a"), disk("d"))), no(invalid, "approve.resource_ids", "R27")},
		row{1, otto, does(approveFor(0, disk("a"), disk("a"))), no(invalid, "approve.resource_ids", "R27")},
		row{1, otto, does(approveFor(0, "/subscriptions/sub-1/disks")), no(invalid, "approve.resource_ids", "R27")},
		row{1, otto, does(approveFor(8*time.Hour, disk("a"), disk("b"), disk("c"))), is(request.Approved)},
	)
}

func TestR27AShorterRequestIsNotLengthened(t *testing.T) {
	short := diskIntent()
	short.Duration = seconds(time.Hour)
	play(t, contoso(owner(otto)),
		row{0, eve, submits(short), is(request.Submitted)},
		// eight hours where one was asked
		row{0, box, evaluates(customerDecides()), no(precondition, "aggregate_id", "I6", "no longer than was asked for")},
	)
}

// control: mcsb:PA-8, iso:5.23
func TestR28DenyNeedsAReasonAndEndsIt(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, otto, does(deny("")), no(invalid, "deny.reason", "R28", "required")},
		row{1, otto, does(deny(" \n")), no(invalid, "deny.reason", "R28")},
		row{1, otto, does(deny("\u202edeny")), no(invalid, "deny.reason", "R28")},
		row{2, otto, does(deny("not today")), is(request.Denied)},
		row{3, box, owed(request.Grant), already(request.Denied)},
		row{4 * day, box, owed(request.Expire), already(request.Denied)},
		row{4 * day, eve, does(withdraw()), no(conflict, "aggregate_id", "R32", "denied by Otto at")},
	)
}

func TestR28AReasonIsOptionalForApprove(t *testing.T) {
	why := approve()
	why.GetApprove().Reason = "ticket T-1 is ours"
	play(t, asked(t, contoso(owner(otto)), diskIntent()), row{1, otto, does(why), is(request.Approved)})
	hidden := approve()
	hidden.GetApprove().Reason = "yes\u200b"
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, otto, does(hidden), no(invalid, "approve.reason", "bad input")})
}

func TestR29TheFirstDecisionWins(t *testing.T) {
	play(t, asked(t, contoso(owner(otto), owner(olga)), diskIntent()),
		row{time.Hour, otto, does(approve()), is(request.Approved)},
		row{2 * time.Hour, olga, does(deny("no")),
			no(conflict, "aggregate_id", "R29", "approved by Otto at 2026-03-02 10:00:00 UTC")},
		row{2 * time.Hour, olga, does(approve()),
			no(conflict, "aggregate_id", "R29", "approved by Otto at 2026-03-02 10:00:00 UTC")},
		row{2 * time.Hour, otto, does(approve()), already(request.Approved)},
		row{2 * time.Hour, otto, does(approveFor(time.Hour)), no(conflict, "approve", "R29", "on other terms")},
		row{2 * time.Hour, otto, does(approveFor(8 * time.Hour)), already(request.Approved)},
		row{2 * time.Hour, otto, does(deny("after all")), no(conflict, "aggregate_id", "R29", "approved by Otto")},
		row{2 * time.Hour, box, owed(request.Grant), is(request.Active)},
		row{3 * time.Hour, olga, does(deny("no")),
			no(conflict, "aggregate_id", "R29", "approved by Otto at 2026-03-02 10:00:00 UTC")},
		row{3 * time.Hour, otto, does(approve()), already(request.Active)},
		row{4 * time.Hour, olga, does(revoke("enough")), is(request.Revoked)},
		row{5 * time.Hour, otto, does(approve()), no(conflict, "aggregate_id", "R29", "revoked by Olga")},
	)
	play(t, asked(t, contoso(owner(otto), owner(olga)), diskIntent()),
		row{time.Hour, otto, does(deny("no")), is(request.Denied)},
		row{2 * time.Hour, otto, does(deny("no, and no")), already(request.Denied)},
		row{2 * time.Hour, olga, does(deny("no")),
			no(conflict, "aggregate_id", "R29", "denied by Otto at 2026-03-02 10:00:00 UTC")},
		row{2 * time.Hour, otto, does(approve()),
			no(conflict, "aggregate_id", "R29", "denied by Otto at 2026-03-02 10:00:00 UTC")},
	)
}

func TestR29WithoutTheRoleNothingIsSaidAboutTheDecision(t *testing.T) {
	play(t, asked(t, contoso(owner(otto), owner(olga)), diskIntent()),
		row{1, otto, does(approve()), is(request.Approved)},
		row{2, gina, does(remove("olga", ofSubscription)), is(request.Approved)},
		row{3, olga, does(deny("no")), no(forbidden, "token", "R20")},
	)
}

func TestR29ADecisionRestsOnWhatTheApproverSaw(t *testing.T) {
	play(t, asked(t, contoso(owner(otto), owner(olga)), diskIntent()), // versions 1, 2, 3
		row{1, otto, seeing(2, approve()), no(conflict, "seen_version", "R29", "version 2 then, 3 now")},
		row{2, olga, does(ask("which machine?")), is(request.CustomerNotified)}, // 4
		row{3, otto, seeing(3, approve()),
			no(conflict, "seen_version", "R29", "version 3 then, 4 now; Olga asked a question")},
		row{4, eve, answers(0, "the red one"), is(request.CustomerNotified)}, // 5
		row{5, otto, seeing(4, deny("no")), no(conflict, "seen_version", "R29")},
		row{3 * day, box, owed(request.Remind), is(request.CustomerNotified)}, // 6, which matters to no decision
		row{3 * day, otto, seeing(5, approve()), is(request.Approved)},
	)
	play(t, asked(t, contoso(owner(otto)), diskIntent()), row{1, otto, seeing(3, approve()), is(request.Approved)})
	// Less was allowed meanwhile: what the second approver was shown is not what would come of it (R27, R30).
	play(t, asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent()),
		row{1, olga, does(approveFor(time.Hour)), is(request.CustomerNotified)}, // 4
		row{2, otto, seeing(3, approve()), no(conflict, "seen_version", "R29", "Olga approved")},
		row{3, otto, seeing(4, approve()), is(request.Approved)},
	)
	play(t, asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent()),
		row{1, olga, does(approve()), is(request.CustomerNotified)},
		row{2, otto, seeing(3, approve()), is(request.Approved)},
	)
}

func TestR30SoManyDifferentPeopleMustApprove(t *testing.T) {
	s := asked(t, contoso(owner(otto), owner(olga), owner(lena), demand(2)), diskIntent())
	play(t, s,
		row{1, otto, does(approve()), is(request.CustomerNotified)},
		row{2, otto, does(approve()), already(request.CustomerNotified)}, // the same person is one
		row{2, box, owed(request.Grant), already(request.CustomerNotified)},
		row{3, olga, does(approve()), is(request.Approved)},
		row{4, lena, does(approve()), no(conflict, "aggregate_id", "R29", "approved by Olga")},
		row{5, box, owed(request.Grant), is(request.Active)},
	)
}

func TestR30OneDenialEndsIt(t *testing.T) {
	play(t, asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent()),
		row{1, otto, does(approve()), is(request.CustomerNotified)},
		row{2, olga, does(deny("no")), is(request.Denied)},
		row{3, otto, does(approve()), no(conflict, "aggregate_id", "R29", "denied by Olga")},
	)
	// Also from somebody who approved and thought better of it in time.
	play(t, asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent()),
		row{1, otto, does(approve()), is(request.CustomerNotified)},
		row{2, otto, does(deny("after all")), is(request.Denied)},
	)
}

func TestR30TooFewApprovalsExpire(t *testing.T) {
	play(t, asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent()),
		row{1, otto, does(approve()), is(request.CustomerNotified)},
		row{4 * day, olga, does(approve()), no(precondition, "aggregate_id", "R26")},
		row{4 * day, otto, does(approve()), already(request.CustomerNotified)},
		row{4 * day, box, owed(request.Expire), is(request.Expired)},
		row{4 * day, otto, does(approve()), no(precondition, "aggregate_id", "R26")},
	)
}

func TestR30MoreApprovalsThanApproversUseTheFallback(t *testing.T) {
	s := asked(t, contoso(owner(otto), demand(2)), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, "otto", "gina")
	play(t, s,
		row{1, gina, does(approve()), is(request.CustomerNotified)},
		row{2, otto, does(approve()), is(request.Approved)},
		row{3, box, owed(request.Grant), is(request.Active)},
	)
}

func TestR30TheApprovalThatCountsIsTheOneOfThen(t *testing.T) {
	s := asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent())
	play(t, s,
		// A later setting changes nothing for what runs.
		row{1, gina, does(demand(1)), is(request.CustomerNotified)},
		row{2, otto, does(approve()), is(request.CustomerNotified)},
		row{3, olga, does(approve()), is(request.Approved)},
	)
}

func TestR27R30TheGrantIsTheLeastOfAllApprovals(t *testing.T) {
	s := asked(t, contoso(owner(otto), owner(olga), owner(lena), demand(3)), diskIntent())
	play(t, s,
		row{1, otto, does(approveFor(4*time.Hour, disk("a"), disk("b"))), is(request.CustomerNotified)},
		row{2, olga, does(approveFor(0, disk("c"))), no(invalid, "approve.resource_ids", "R27", "in common")},
		row{3, olga, does(approveFor(2*time.Hour, disk("b"), disk("c"))), is(request.CustomerNotified)},
		row{4, lena, does(approveFor(0, disk("a"))), no(invalid, "approve.resource_ids", "R27", "in common")},
		row{5, lena, does(approve()), is(request.Approved)},
		row{6, box, owed(request.Grant), is(request.Active)},
	)
	if g := s.Request().Grant; !slices.Equal(g.GetResourceIds(), []string{disk("b")}) ||
		g.GetEndsAt().AsTime() != start.Add(2*time.Hour+6) {
		t.Errorf("granted %v until %s", g.GetResourceIds(), g.GetEndsAt().AsTime())
	}
}

func TestR31AnApproverAsksAndTheRequesterAnswers(t *testing.T) {
	s := asked(t, contoso(owner(otto)), diskIntent())
	play(t, s,
		row{1, otto, does(ask("")), no(invalid, "ask.text", "bad input")},
		row{1, gina, does(ask("why?")), no(forbidden, "token", "R20")},
		row{1, eve, does(ask("why?")), no(forbidden, "token", "I10")},
		row{2, otto, does(ask("which machine?")), is(request.CustomerNotified)},
		row{3, fred, answers(0, "the red one"), no(forbidden, "token", "R32")},
		row{3, otto, answers(0, "the red one"), no(forbidden, "token", "R32")},
		row{3, eve, answers(1, "the red one"), no(notFound, "answer.question_id", "R31")},
		row{3, eve, answers(0, ""), no(invalid, "answer.text", "bad input")},
		row{4, eve, answers(0, "the red one"), is(request.CustomerNotified)},
		row{5, eve, answers(0, "the red one"), already(request.CustomerNotified)},
		row{5, eve, answers(0, "the blue one"), no(conflict, "answer.question_id", "R31")},
		row{6, otto, does(ask("and when?")), is(request.CustomerNotified)},
		// The four days keep running.
		row{4 * day, eve, answers(1, "now"), no(precondition, "aggregate_id", "R26")},
		row{4 * day, box, owed(request.Expire), is(request.Expired)},
	)
	if q := s.Request().Questions; len(q) != 2 || q[0].GetAnswer() != "the red one" || q[1].GetAnswerer() != nil {
		t.Errorf("questions: %v", q)
	}
}

func TestR31QuestionsHaveAnEnd(t *testing.T) {
	s := asked(t, contoso(owner(otto)), diskIntent())
	for range 20 {
		play(t, s, row{1, otto, does(ask("and?")), is(request.CustomerNotified)})
	}
	play(t, s, row{1, otto, does(ask("and?")), no(precondition, "ask.text", "R31")})
}

func TestR31NothingIsAskedOnceItIsDecided(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, otto, does(ask("why?")), is(request.CustomerNotified)},
		row{2, otto, does(approve()), is(request.Approved)},
		row{3, otto, does(ask("and now?")), no(conflict, "aggregate_id", "R29")},
		row{3, eve, answers(0, "because"), no(conflict, "aggregate_id", "R29")},
	)
}

func TestR33ApproversAreRemindedBeforeTheDeadline(t *testing.T) {
	s := asked(t, contoso(owner(otto)), diskIntent())
	due(t, s, 3*day)
	play(t, s,
		row{3*day - 1, box, owed(request.Remind), already(request.CustomerNotified)},
		row{3 * day, box, owed(request.Remind), is(request.CustomerNotified)},
		row{3*day + 1, box, owed(request.Remind), already(request.CustomerNotified)},
	)
	due(t, s, 4*day-4*time.Hour)
	play(t, s, row{4*day - 4*time.Hour, box, owed(request.Remind), is(request.CustomerNotified)})
	due(t, s, 4*day)
	play(t, s, row{4*day - 1, box, owed(request.Remind), already(request.CustomerNotified)})
}

func TestR33AfterAPauseThereIsOneReminder(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{4*day - time.Hour, box, owed(request.Remind), is(request.CustomerNotified)},
		row{4*day - time.Hour, box, owed(request.Remind), already(request.CustomerNotified)},
		row{4*day - 1, otto, does(approve()), is(request.Approved)},
	)
}

func TestR33NobodyIsRemindedOfWhatIsDecided(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, otto, does(deny("no")), is(request.Denied)},
		row{3 * day, box, owed(request.Remind), already(request.Denied)},
	)
}

func TestR33AReminderThatWouldComeTooLateOrTooEarlyIsLeftOut(t *testing.T) {
	s := contoso(owner(otto))
	s.Terms.RemindBefore = []time.Duration{0, 4 * day, time.Hour, 2 * time.Hour, -time.Hour}
	asked(t, s, diskIntent())
	var at []time.Duration
	for _, r := range s.Request().Notified.GetRemindAt() {
		at = append(at, r.AsTime().Sub(start))
	}
	if !slices.Equal(at, []time.Duration{4*day - 2*time.Hour, 4*day - time.Hour}) {
		t.Errorf("reminded at %v", at)
	}
}

// due holds when something will be owed next.
func due(t *testing.T, s *story.Story, want time.Duration) {
	t.Helper()
	if at, ok := request.NextDue(s.Request()); !ok || at.Sub(start) != want {
		t.Errorf("next due after %s, %t; want %s", at.Sub(start), ok, want)
	}
}
