package request_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Who is asked, and who may answer: R3, R12, R17-R23.

func TestR12TheRequesterMayBeAnotherEngineerThanTheTickets(t *testing.T) {
	s := contoso(owner(otto))
	play(t, s,
		row{0, fred, submits(diskIntent()), is(request.Submitted)}, // T-1 is eve's
		row{0, fred, submits(diskIntent()), already(request.Submitted)},
		row{0, eve, submits(diskIntent()), no(conflict, "id", "bad input")},
	)
}

// What an engineer pastes is taken as the customer will read it, and sent again through another client it is the same
// request, whether that leaves the text as it was or writes it otherwise.
func TestAPastedJustificationIsTakenOnce(t *testing.T) {
	pasted := func(justification string) deed {
		in := diskIntent()
		in.Justification = justification
		return submits(in)
	}
	s := contoso(owner(otto))
	play(t, s,
		row{0, eve, pasted("電源が落ちました\r\n\u200b" + "dump"), is(request.Submitted)},
		row{0, eve, pasted("電源が落ちました\r\n\u200b" + "dump"), already(request.Submitted)},
		row{0, eve, pasted("電源が落ちました\ndump"), already(request.Submitted)},
		row{0, eve, pasted("電源が落ちました\n dump"), no(conflict, "id", "bad input")},
	)
	if got := s.Request().Intent.GetJustification(); got != "電源が落ちました\ndump" {
		t.Errorf("%q", got)
	}
	play(t, contoso(owner(otto)), row{0, eve, pasted("電源が落ちました"), is(request.Submitted)})
	play(t, contoso(owner(otto)), row{0, eve, pasted("dump it"), no(invalid, "justification", "bad input")})
}

func TestAnIntentThatWaitedTooLongIsPublishedAnew(t *testing.T) {
	stored := func(age time.Duration) deed {
		return func(s *story.Story, by *lockboxv1.Actor, _ string) (*lockboxv1.Event, error) {
			submission, err := request.Receive(diskIntent(), "console", 1, s.Now.Add(-age))
			if err != nil {
				return nil, err
			}
			submission.By = by
			e, _, err := request.Submit(s.Request(), submission, s.Terms, s.Now)
			return e, err
		}
	}
	play(t, contoso(owner(otto)), row{0, eve, stored(24*time.Hour + 1), no(precondition, "id", "R13")})
	play(t, contoso(owner(otto)), row{0, eve, stored(24 * time.Hour), is(request.Submitted)},
		row{30 * time.Hour, eve, stored(30 * time.Hour), already(request.Submitted)}) // it was recorded in time
}

// control: mcsb:PA-8, nist:MA-4, iso:5.23
func TestR17TheCustomerIsNotifiedBeforeThereIsAnyAccess(t *testing.T) {
	play(t, contoso(owner(otto)),
		row{0, otto, does(approve()), no(notFound, "aggregate_id", "I9")},
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, otto, does(approve()), no(notFound, "aggregate_id", "I9")},
		row{0, box, owed(request.Notify), already(request.Submitted)},
		row{0, box, evaluates(customerDecides()), is(request.Submitted)},
		row{0, box, owed(request.Grant), already(request.Submitted)},
		row{0, otto, does(approve()), no(notFound, "aggregate_id", "I9")},
		row{0, box, owed(request.Notify), is(request.CustomerNotified)},
		row{0, box, owed(request.Grant), already(request.CustomerNotified)},
		row{0, eve, does(release()), no(precondition, "aggregate_id", "R32")},
		row{0, otto, does(approve()), is(request.Approved)},
		row{0, box, owed(request.Grant), is(request.Active)},
	)
}

// control: mcsb:PA-8, nist:AC-3, soc2:CC6.3
func TestR18OwnersAndLockboxApproversOfTheSubscriptionDecide(t *testing.T) {
	s := asked(t, contoso(
		owner(otto), assign(lena, approverRole, ofSubscription), assign(olga, approverRole, ofTenant),
	), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, "otto", "lena")
	play(t, s,
		row{1, gina, does(approve()), no(forbidden, "token", "R20")}, // the Global Administrator decides about the tenant
		row{1, olga, does(approve()), no(forbidden, "token", "R20")}, // and so does the tenant's Lockbox Approver
		row{1, lena, does(approve()), is(request.Approved)},
	)
}

func TestR19AdministratorsAndTenantLockboxApproversDecideAboutTheTenant(t *testing.T) {
	s := asked(t, contoso(
		owner(otto), assign(olga, approverRole, ofTenant), assign(lena, auditor, ofTenant),
	), tenantIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_TENANT, "gina", "olga")
	play(t, s,
		row{1, otto, does(approve()), no(forbidden, "token", "R20")}, // owns a subscription, not the tenant
		row{1, lena, does(approve()), no(forbidden, "token", "R20")}, // an auditor reads
		row{1, gina, does(approve()), is(request.Approved)},
	)
}

func TestR20ApproversAreFrozenWhenTheRequestIsCreated(t *testing.T) {
	play(t, contoso(owner(otto)),
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(customerDecides()), is(request.Submitted)},
		// After the intent, before the Lockbox request: counts.
		row{0, gina, does(owner(olga)), is(request.Submitted)},
		row{1, box, owed(request.Notify), is(request.CustomerNotified)},
		// After the Lockbox request: does not.
		row{2, gina, does(owner(lena)), is(request.CustomerNotified)},
		row{3, lena, does(approve()), no(forbidden, "token", "R20", "not an approver when")},
		row{3, lena, does(deny("no")), no(forbidden, "token", "R20", "not an approver when")},
		row{3, lena, does(ask("why?")), no(forbidden, "token", "R20", "not an approver when")},
		row{4, olga, does(approve()), is(request.Approved)},
	)
}

// control: nist:AC-3, soc2:CC6.2
func TestR20WhoeverDecidesHoldsTheRoleThen(t *testing.T) {
	play(t, asked(t, contoso(owner(otto), owner(olga)), diskIntent()),
		row{1, gina, does(remove("otto", ofSubscription)), is(request.CustomerNotified)},
		row{2, otto, does(approve()), no(forbidden, "token", "R20", "hold no active role")},
		row{2, otto, does(deny("no")), no(forbidden, "token", "R20", "hold no active role")},
		row{2, otto, does(ask("why?")), no(forbidden, "token", "R20", "hold no active role")},
		// Another role than the one that was frozen is a later assignment.
		row{3, gina, does(story.Assign("otto-2", otto, approverRole, ofSubscription)), is(request.CustomerNotified)},
		row{3, gina, does(story.Assign("otto-3", otto, administrator, ofTenant)), is(request.CustomerNotified)},
		row{4, otto, does(approve()), no(forbidden, "token", "R20", "hold no active role")},
		// The same role given back counts.
		row{5, gina, does(story.Assign("otto-4", otto, ownerRole, ofSubscription)), is(request.CustomerNotified)},
		row{6, otto, does(approve()), is(request.Approved)},
	)
}

func TestR20R26AnAssignmentEndsAtItsInstant(t *testing.T) {
	end := 2 * day
	asks := func() *story.Story { return asked(t, contoso(until(end, owner(otto)), owner(olga)), diskIntent()) }
	play(t, asks(), row{end - 1, otto, does(approve()), is(request.Approved)})
	play(t, asks(), row{end, otto, does(approve()), no(forbidden, "token", "R20")})
	play(t, asks(), row{end + 1, otto, does(approve()), no(forbidden, "token", "R20")})
}

func TestR20AnAssignmentThatHasEndedIsNotFrozen(t *testing.T) {
	for _, end := range []time.Duration{-1, 0} {
		s := asked(t, contoso(until(end, owner(otto)), owner(olga)), diskIntent())
		names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, "olga")
	}
	s := asked(t, contoso(until(1, owner(otto)), owner(olga)), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, "otto", "olga")
}

func TestR21AnEligibleAssignmentCountsOnlyWhileActivated(t *testing.T) {
	s := contoso(owner(otto), eligible(owner(olga)), eligible(owner(lena)))
	play(t, s, row{-time.Hour, olga, does(activate("olga", time.Hour)), is(request.None)})
	asked(t, s, diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, "otto", "olga")
	if x := s.Request().Notified.GetExcluded(); len(x) != 1 || x[0].GetPerson().GetSubject() != "lena" ||
		!said(x[0].GetReason(), "not activated") {
		t.Errorf("excluded: %v", x)
	}
	play(t, s,
		// Activated after the creation: not in the list.
		row{1, lena, does(activate("lena", day)), is(request.CustomerNotified)},
		row{2, lena, does(approve()), no(forbidden, "token", "R20", "not an approver when")},
		// The activation ends, at its instant.
		row{time.Hour - 1, olga, does(ask("still there?")), is(request.CustomerNotified)},
		row{time.Hour, olga, does(approve()), no(forbidden, "token", "R20", "hold no active role")},
		// Re-activation counts.
		row{2 * time.Hour, olga, does(activate("olga", 3*time.Hour)), is(request.CustomerNotified)},
		row{2 * time.Hour, olga, does(deactivate("olga")), is(request.CustomerNotified)},
		row{2 * time.Hour, olga, does(approve()), no(forbidden, "token", "R20", "hold no active role")},
		row{2 * time.Hour, olga, does(activate("olga", 3*time.Hour)), is(request.CustomerNotified)},
		row{3*time.Hour - 1, olga, does(approve()), is(request.Approved)},
	)
}

func TestR22ManagementGroupAssignmentsDoNotCount(t *testing.T) {
	s := asked(t, contoso(owner(otto), assign(olga, ownerRole, ofManagementGroup)), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, "otto")
	if x := s.Request().Notified.GetExcluded(); len(x) != 1 || x[0].GetPerson().GetSubject() != "olga" ||
		!said(x[0].GetReason(), "management-group") {
		t.Errorf("excluded: %v", x)
	}
	play(t, s,
		row{1, olga, does(approve()), no(forbidden, "token", "R20")},
		row{2, gina, does(remove("otto", ofSubscription)), is(request.CustomerNotified)},
		row{2, gina, does(story.Assign("otto-2", otto, ownerRole, ofManagementGroup)), is(request.CustomerNotified)},
		row{3, otto, does(approve()), no(forbidden, "token", "R20", "hold no active role")},
	)
}

func TestR23WithoutApproversTheFallbackDecides(t *testing.T) {
	s := asked(t, contoso(eligible(owner(olga)), assign(lena, approverRole, ofTenant)), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, "gina")
	play(t, s,
		row{1, lena, does(approve()), no(forbidden, "token", "R20")},
		row{2, gina, does(approve()), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
	)
}

func TestR23TheTenantChoosesItsFallback(t *testing.T) {
	s := asked(t, contoso(
		assign(lena, approverRole,
			ofTenant), set(&lockboxv1.TenantSettings{Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS}),
	), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, "lena")
	play(t, s,
		row{1, gina, does(approve()), no(forbidden, "token", "R20")},
		row{1, lena, does(approve()), is(request.Approved)},
	)
}

func TestR23WithNobodyAtAllItWaitsAndExpires(t *testing.T) {
	s := asked(t, contoso(set(&lockboxv1.TenantSettings{
		Fallback:   lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS,
		Alternates: []*lockboxv1.AlternateAddress{{Email: "soc@contoso.example"}},
	})), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY)
	if a := s.Request().Notified.GetAlternates(); len(a) != 1 || a[0].GetEmail() != "soc@contoso.example" {
		t.Errorf("alternates: %v", a)
	}
	play(t, s,
		// Nobody is added, and that nobody is left is not said again.
		row{1, gina, does(owner(otto)), is(request.CustomerNotified)},
		row{2, otto, does(approve()), no(forbidden, "token", "R20")},
		row{3, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		row{4*day - 1, box, owed(request.Expire), already(request.CustomerNotified)},
		row{4 * day, box, owed(request.Expire), is(request.Expired)},
	)
}

func TestR23IfEveryoneIsRemovedItIsSaidOnceAndItStaysPending(t *testing.T) {
	s := asked(t, contoso(owner(otto), owner(olga)), diskIntent())
	play(t, s,
		row{1, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		row{2, gina, does(remove("otto", ofSubscription)), is(request.CustomerNotified)},
		row{2, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		row{3, gina, does(remove("olga", ofSubscription)), is(request.CustomerNotified)},
		row{3, box, owed(request.ReportUnavailable), is(request.CustomerNotified)},
		row{4, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
	)
	if !s.Request().Abandoned {
		t.Error("it is not recorded that nobody can decide")
	}
	play(t, s,
		row{5, gina, does(owner(lena)), is(request.CustomerNotified)},
		row{6, lena, does(approve()), no(forbidden, "token", "R20")},
		row{6, gina, does(approve()), no(forbidden, "token", "R20")},
		row{4 * day, box, owed(request.Expire), is(request.Expired)},
	)
}

// An approval of somebody who has lost the role since is none when access is to begin. That too few are left is said
// when it happens, once; and again if nobody is left at all (R23, R30).
func TestR30AQuorumOutOfReachIsReportedWhenItHappens(t *testing.T) {
	unavailable := func(s *story.Story) lockboxv1.ReasonCode {
		return s.Entries[len(s.Entries)-1].Event.GetApproversUnavailable().GetCodedReason().GetCode()
	}
	const tooFew = lockboxv1.ReasonCode_REASON_CODE_TOO_FEW_APPROVERS
	s := asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent())
	play(t, s,
		row{1, otto, does(approve()), is(request.CustomerNotified)},
		row{1, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		row{2, gina, does(remove("otto", ofSubscription)), is(request.CustomerNotified)},
		row{2, box, owed(request.ReportUnavailable), is(request.CustomerNotified)},
		row{2, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
	)
	if s.Request().Abandoned || !s.Request().OutOfReach || unavailable(s) != tooFew {
		t.Errorf("recorded as %s", unavailable(s))
	}
	play(t, s,
		row{3, gina, does(remove("olga", ofSubscription)), is(request.CustomerNotified)},
		row{3, box, owed(request.ReportUnavailable), is(request.CustomerNotified)},
		row{3, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
	)
	if !s.Request().Abandoned || unavailable(s) != 0 {
		t.Errorf("recorded as %s", unavailable(s))
	}
	if broken := invariant.Check(s.History()); len(broken) > 0 {
		t.Error(broken)
	}
	// From the beginning: even with the fallback, one has to do what two are needed for.
	s = asked(t, contoso(owner(otto), demand(3)), diskIntent())
	play(t, s,
		row{1, box, owed(request.ReportUnavailable), is(request.CustomerNotified)},
		row{2, otto, does(deny("no")), is(request.Denied)},
	)
	if len(s.Request().Notified.GetApprovers()) != 2 {
		t.Errorf("asked are %v", s.Request().Notified.GetApprovers())
	}
}

func TestR23NobodyIsMissedOnceItIsOver(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, gina, does(remove("otto", ofSubscription)), is(request.CustomerNotified)},
		row{4 * day, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		row{4 * day, box, owed(request.Expire), is(request.Expired)},
		row{4 * day, box, owed(request.ReportUnavailable), already(request.Expired)},
	)
}

// control: mcsb:PA-8, nist:AC-3, nist:AC-5, soc2:CC6.3, iso:5.23
func TestI10NobodyDecidesForTheCustomerButTheCustomer(t *testing.T) {
	play(t, asked(t, contoso(owner(otto)), diskIntent()),
		row{1, eve, does(approve()), no(forbidden, "token", "I10")},
		row{1, sven, does(approve()), no(forbidden, "token", "I10")},
		row{1, leo, does(deny("no")), no(forbidden, "token", "I10")},
		row{1, box, does(approve()), no(forbidden, "token", "I10")},
	)
	// Somebody who signs in as the customer and made the request is still its requester.
	both := story.Customer(story.Tenant, "eve")
	both.Person.Issuer = story.ProviderIssuer
	play(t, asked(t, contoso(owner(otto)), diskIntent()), row{1, both, does(approve()), no(forbidden, "token", "I10")})
}

// control: nist:AC-3, soc2:CC6.1
func TestI9AnotherTenantsPersonSeesNothing(t *testing.T) {
	s := asked(t, contoso(owner(otto)), diskIntent())
	play(t, s,
		row{1, mole, does(approve()), no(notFound, "aggregate_id", "I9")},
		row{1, mole, does(deny("no")), no(notFound, "aggregate_id", "I9")},
		row{1, mole, does(ask("who?")), no(notFound, "aggregate_id", "I9")},
		row{2, otto, does(approve()), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
		row{3, mole, does(revoke("mine")), no(notFound, "aggregate_id", "I9")},
	)
}

// names holds on whose behalf people were asked, and who.
func names(t *testing.T, s *story.Story, basis lockboxv1.ApproverBasis, want ...string) {
	t.Helper()
	var got []string
	for _, a := range s.Request().Notified.GetApprovers() {
		got = append(got, a.GetPerson().GetSubject())
	}
	if s.Request().Notified.GetBasis() != basis || !slices.Equal(got, want) {
		t.Errorf("asked are %v by %s, want %v by %s", got, s.Request().Notified.GetBasis(), want, basis)
	}
}
