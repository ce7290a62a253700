package request_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// A human counts once: R51.

// Rosa's and Leo's second accounts are in groups that approve, Olga's is an owner too.
var (
	rosaOncall  = story.Human("rosa", rosa)
	rosaOfficer = story.Human("rosa", story.Provider("rosa-admin", aggregate.SecurityOfficers, aggregate.SupportLeads))
	leoLead     = story.Human("leo", leo)
	leoAdmin    = story.Human("leo", story.Provider("leo-admin", aggregate.SupportLeads, aggregate.DevOpsManagers))
	olgaOwner   = story.Human("olga", olga)
	olgaAdmin   = story.Human("olga", story.Customer(story.Tenant, "olga-admin"))
)

// mailing is an account with that address.
func mailing(address string, account *lockboxv1.Actor) *lockboxv1.Actor {
	account = story.Human("", account)
	account.Person.Email = address
	return account
}

// control: nist:AC-5, iso:8.2
func TestR51NobodyLetsTheirOwnEmergencyThroughWithAnotherAccount(t *testing.T) {
	play(t, emergencyWaits(t, rosaOncall, hurried()),
		row{1, rosaOncall, does(internalApprove()), no(forbidden, "token", "I10")},
		row{1, rosaOfficer, does(internalApprove()), no(forbidden, "token", "R51", "another account")},
		row{1, rosaOfficer, does(internalRefuse("no")), no(forbidden, "token", "R51", "another account")},
		row{1, box, owed(request.Grant), already(request.AwaitingInternalApproval)},
		row{2, sven, does(internalApprove()), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
		// Access is ended by whoever may, and nobody gives another account's grant back.
		row{3, rosaOfficer, does(release()), no(forbidden, "token", "R32")},
		row{3, rosaOfficer, does(revoke("done")), is(request.Revoked)},
	)
	// Where the claim is missing from one of the tokens, or another issuer made it, nothing is known.
	play(t, emergencyWaits(t, rosa, hurried()), row{1, rosaOfficer, does(internalApprove()), is(request.Approved)})
	foreign := story.Human("rosa", story.Provider("rosa-admin", aggregate.SecurityOfficers))
	foreign.Person.Issuer = "https://login.brightline.example"
	play(t, emergencyWaits(t, rosaOncall, hurried()), row{1, foreign, does(internalApprove()), is(request.Approved)})
}

func TestR51OneHumanIsOneInternalApprover(t *testing.T) {
	play(t, staged(t, customerDecides(stage(aggregate.SupportLeads, 2))),
		row{1, leoLead, does(internalApprove()), is(request.AwaitingInternalApproval)},
		row{1, leoLead, does(internalApprove()), already(request.AwaitingInternalApproval)},
		row{2, leoAdmin, does(internalApprove()), no(conflict, "token", "R51", "another account")},
		row{3, lisa, does(internalApprove()), is(request.Submitted)},
	)
	play(t, staged(t, customerDecides(stage(aggregate.SupportLeads, 1), stage(aggregate.DevOpsManagers, 1))),
		row{1, leoLead, does(internalApprove()), is(request.AwaitingInternalApproval)},
		row{2, leoAdmin, does(internalApprove()), no(conflict, "token", "R51", "another account")},
		row{2, leoAdmin, does(internalRefuse("no")), no(forbidden, "token", "R15")},
		row{3, dana, does(internalApprove()), is(request.Submitted)},
	)
}

func TestR51OneHumanIsOneApproverOfTheCustomers(t *testing.T) {
	two := func() *story.Story {
		return asked(t, contoso(owner(olga), owner(olgaAdmin), owner(lena), demand(2)), diskIntent())
	}
	play(t, two(),
		row{1, olgaOwner, does(approve()), is(request.CustomerNotified)},
		row{2, olgaOwner, does(approve()), already(request.CustomerNotified)},
		row{2, olgaAdmin, does(approve()), no(conflict, "token", "R51", "another account")},
		row{2, box, owed(request.Grant), already(request.CustomerNotified)},
		row{3, lena, does(approve()), is(request.Approved)},
		row{3, box, owed(request.Grant), is(request.Active)},
	)
	// One denial ends it, as when somebody thinks better of it with the same account.
	play(t, two(),
		row{1, olgaOwner, does(approve()), is(request.CustomerNotified)},
		row{2, olgaAdmin, does(deny("after all")), is(request.Denied)},
		row{2, olgaOwner, does(deny("after all")), already(request.Denied)},
	)
}

// identified records which human somebody's account is of, once that is known.
func identified() deed {
	return func(s *story.Story, by *lockboxv1.Actor, id string) (*lockboxv1.Event, error) {
		return tenant.Identify(s.States.Tenant(story.Tenant), by, id, s.Now)
	}
}

// A role is given to an account, of which nobody knows the human yet. Once both accounts are known, a quorum that needs
// both is out of reach, and that is said at once, as if the approvers were gone (R23, R51).
//
// control: nist:AC-5
func TestR51AQuorumOfOneHumanIsReportedAtOnce(t *testing.T) {
	s := asked(t, contoso(owner(olga), owner(olgaAdmin), demand(2)), diskIntent())
	play(t, s,
		row{1, olgaOwner, does(approve()), is(request.CustomerNotified)},
		row{1, olgaOwner, identified(), is(request.CustomerNotified)},
		row{1, olgaOwner, identified(), already(request.CustomerNotified)},
		row{2, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		row{2, olgaAdmin, does(approve()), no(conflict, "token", "R51", "another account")},
		row{2, olgaAdmin, identified(), is(request.CustomerNotified)},
		row{2, box, owed(request.ReportUnavailable), is(request.CustomerNotified)},
		row{3, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
	)
	last := s.Entries[len(s.Entries)-1].Event.GetApproversUnavailable()
	if last.GetCodedReason().GetCode() != lockboxv1.ReasonCode_REASON_CODE_ONE_HUMAN_ASKED_TWICE {
		t.Errorf("recorded as %v", last)
	}
	play(t, s, row{4, olgaAdmin, does(deny("no")), is(request.Denied)})
	// With somebody else, it is not out of reach; nor if one approval is enough.
	for _, given := range [][]*lockboxv1.Command{{owner(olga), owner(olgaAdmin), owner(lena), demand(2)},
		{owner(olga), owner(olgaAdmin)}} {
		play(t, asked(t, contoso(given...), diskIntent()),
			row{1, olgaOwner, identified(), is(request.CustomerNotified)},
			row{1, olgaAdmin, identified(), is(request.CustomerNotified)},
			row{1, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		)
	}
}

// Where it is known before, the fallback is asked too. Both accounts are, and either may decide.
func TestR51WhoIsAskedWithTwoAccountsCountsOnce(t *testing.T) {
	s := contoso(owner(olga), owner(olgaAdmin), demand(2))
	play(t, s,
		row{0, olgaOwner, identified(), is(request.None)},
		row{0, olgaAdmin, identified(), is(request.None)},
		row{0, story.Human("", olga), identified(), already(request.None)},
		row{0, story.Human("olga", leo), identified(), already(request.None)}, // the provider's
	)
	asked(t, s, diskIntent())
	var who []string
	for _, a := range s.Request().Notified.GetApprovers() {
		who = append(who, a.GetPerson().GetSubject()+"/"+a.GetPerson().GetHuman())
	}
	if basis := s.Request().Notified.GetBasis(); basis != lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK ||
		!slices.Equal(who, []string{"olga/olga", "olga-admin/olga", "gina/"}) {
		t.Errorf("asked are %v by %s", who, basis)
	}
	play(t, s,
		row{1, box, owed(request.ReportUnavailable), already(request.CustomerNotified)},
		row{1, olgaAdmin, does(approve()), is(request.CustomerNotified)},
		row{2, olgaOwner, does(approve()), no(conflict, "token", "R51", "another account")},
		row{3, signedIn(gina, 3), does(approve()), is(request.Approved)},
	)
	if broken := invariant.Check(s.History()); len(broken) > 0 {
		t.Error(broken)
	}
}

func TestR51AnAddressIsSharedBetweenApproversAndNotWithTheRequester(t *testing.T) {
	team := "Team@nimbus.example"
	// Between approvers of a team's mailbox it is no reason to count fewer.
	ann, ben := mailing(team, otto), mailing(strings.ToLower(team), olga)
	play(t, asked(t, contoso(owner(ann), owner(ben), demand(2)), diskIntent()),
		row{1, ann, does(approve()), is(request.CustomerNotified)},
		row{2, ben, does(approve()), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
	)
	s := staged(t, customerDecides(stage(aggregate.SupportLeads, 2)))
	play(t, s,
		row{1, mailing(team, leo), does(internalApprove()), is(request.AwaitingInternalApproval)},
		row{1, mailing(strings.ToUpper(team), lisa), does(internalApprove()), is(request.Submitted)},
	)
	// With the requester's address nobody is asked, and nobody decides.
	requesters := strings.ToUpper(eve.GetPerson().GetEmail())
	s = asked(t, contoso(owner(mailing(requesters, otto)), owner(olga)), diskIntent())
	names(t, s, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, "olga")
	out := s.Request().Notified.GetExcluded()
	if len(out) != 1 || out[0].GetPerson().GetSubject() != "otto" ||
		out[0].GetReason() != tenant.Recorded(lockboxv1.ReasonCode_REASON_CODE_REQUESTERS_ADDRESS) {
		t.Errorf("excluded: %v", out)
	}
	play(t, s,
		row{1, mailing(requesters, olga), does(ask("why?")), no(forbidden, "token", "R51", "address")},
		row{1, mailing(requesters, olga), does(approve()), no(forbidden, "token", "R51", "address")},
		row{1, mailing(requesters, olga), does(deny("no")), no(forbidden, "token", "R51", "address")},
		row{2, olga, does(approve()), is(request.Approved)},
	)
	play(t, staged(t, customerDecides(stage(aggregate.SupportLeads, 1))),
		row{1, mailing(requesters, leo), does(internalApprove()), no(forbidden, "token", "R51", "address")},
		row{1, mailing(requesters, leo), does(internalRefuse("no")), no(forbidden, "token", "R51", "address")},
		row{2, leo, does(internalApprove()), is(request.Submitted)},
	)
	// No address is nobody's.
	s = contoso(owner(otto))
	play(t, s,
		row{0, mailing("", eve), submits(diskIntent()), is(request.Submitted)},
		row{0, box, evaluates(customerDecides()), is(request.Submitted)},
		row{0, box, owed(request.Notify), is(request.CustomerNotified)},
		row{1, mailing("", otto), does(approve()), is(request.Approved)},
	)
}

// A history from before addresses were compared folds as it did.
func TestR51AnApprovalWithTheRequestersAddressFromBeforeStillCounts(t *testing.T) {
	s := asked(t, contoso(owner(otto)), diskIntent())
	e, err := s.At(start).Decide(otto, s.ID(), approve())
	if err != nil {
		t.Fatal(err)
	}
	e.Actor = mailing(eve.GetPerson().GetEmail(), otto)
	if after := request.Evolve(s.Request(), uint64(len(s.Entries))+1, e); after.Fault != nil ||
		after.Status != request.Approved {
		t.Errorf("%s, %v", after.Status, after.Fault)
	}
}
