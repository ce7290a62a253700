package answer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Counted is what would be listed, page by page, to that person at that moment.
func TestTheCountIsThatOfTheWholeList(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.assign("fleur", "test", lockboxApprover, false)
	c.assign("audrey", tenantRole, auditor, false)
	erin := c.actor("erin")
	var decided []string
	for i := range 5 {
		for _, sub := range []string{"prod", "test"} {
			intent := story.Dump(bank, sub, "a")
			if i == 0 {
				c.story.Ticket(c.actor("grace"), bank, "T-"+sub, "slow", sub)
				intent.TicketId = "T-" + sub
			}
			decided = append(decided, c.story.Submit(erin, intent))
			c.story.Submit(erin, story.Disk(bank, sub, "b"))
		}
	}
	c.story.Submit(erin, story.Dump(health, "clinic-prod", "a"))
	for i, where := range [][2]string{{bank, "prod"}, {bank, "test"}, {health, "clinic-prod"}} {
		in := story.Dump(where[0], where[1], "a")
		in.Scenario = "platform-health"
		c.story.Now = c.story.Now.Add(time.Duration(i) * time.Minute)
		c.story.Submit(erin, in)
	}
	c.story.Submit(erin, story.Disk(health, "clinic-prod", "a"))
	c.story.Command(c.actor("otto"), story.Approve(bank, decided[0]))
	c.story.Command(c.actor("otto"), story.Deny(bank, decided[2]))

	all := []request.Status{
		request.Submitted, request.AwaitingInternalApproval, request.CustomerNotified, request.Approved, request.Active,
		request.Completed,
		request.Denied, request.Expired, request.InternalExpired,
	}
	asks := map[string]*lockboxv1.ListRequests{
		"all": {}, "of a subscription": {SubscriptionId: "prod"}, "of another": {SubscriptionId: "elsewhere"},
		"awaiting":    {AwaitingMe: true},
		"of a ticket": {TicketId: "T-prod"}, "of another ticket": {TicketId: "T-test"}, "of no ticket": {TicketId: "T-none"},
		"pending":        {Statuses: []request.Status{request.AwaitingInternalApproval, request.CustomerNotified}},
		"pending of one": {SubscriptionId: "test", Statuses: []request.Status{request.CustomerNotified}},
		"over": {Statuses: []request.Status{request.Completed, request.Denied, request.Expired,
			request.InternalExpired}},
		"every status": {Statuses: all},
		"waived":       {Waived: true}, "waived of one": {Waived: true, SubscriptionId: "test"},
		"waived lately":   {Waived: true, WaivedSince: timestamppb.New(c.story.Now)},
		"waived, over":    {Waived: true, Statuses: []request.Status{request.Completed}},
		"awaiting of one": {AwaitingMe: true, SubscriptionId: "prod", Statuses: []request.Status{request.CustomerNotified}},
	}
	for _, s := range all {
		asks[s.String()] = &lockboxv1.ListRequests{Statuses: []request.Status{s}}
	}
	begun := c.story.Now
	for _, after := range []time.Duration{0, c.story.Terms.Grant, c.story.Terms.InternalApproval - 1,
		c.story.Terms.InternalApproval, c.story.Terms.CustomerApproval - 1, c.story.Terms.CustomerApproval} {
		c.story.Now = begun.Add(after)
		for _, viewer := range []struct{ who, of string }{
			{"grace", bank}, {"otto", bank}, {"fleur", bank}, {"audrey", bank}, {"hana", health},
			{"erin", ""}, {"erin", bank}, {"derek", ""}, {"lena", ""}, {"olga", ""}, {"olga", health},
		} {
			for name, ask := range asks {
				page := func(count bool, limit uint32, token string) *lockboxv1.RequestList {
					q := proto.CloneOf(ask)
					q.Count, q.Limit, q.PageToken = count, limit, token
					return c.query(viewer.who, listRequests(viewer.of, q)).GetRequests()
				}
				whole := page(false, 0, "")
				want := uint64(len(whole.GetRequests()))
				if whole.GetTotal() != 0 {
					t.Errorf("counted without being asked: %v", whole)
				}
				counted := page(true, 1, "")
				if counted.GetTotal() != want {
					t.Errorf("%s of %q, %s, after %v: counted %d, listed %d", viewer.who, viewer.of, name, after, counted.GetTotal(),
						want)
				}
				if next := counted.GetNextPageToken(); next != "" {
					second := page(true, 0, next)
					if second.GetTotal() != want || uint64(len(second.GetRequests())) != want-1 {
						t.Errorf("%s of %q, %s: counted %d on the second page of %d", viewer.who, viewer.of, name, second.GetTotal(),
							len(second.GetRequests()))
					}
				}
			}
		}
	}
	c.story.Now = begun
	if n := c.query("grace", listRequests(bank, &lockboxv1.ListRequests{Count: true})).GetRequests().GetTotal(); n != 22 {
		t.Errorf("the administrator's tenant has %d", n)
	}
	if got := ids(c.query("otto", listRequests(bank,
		&lockboxv1.ListRequests{TicketId: "T-prod"})).GetRequests()); !slices.Equal(got, decided[:1]) {
		t.Errorf("of a ticket: %v", got)
	}
}

// What fits on one page is counted as it is listed. Beyond that, the count goes by whom a request was put to: it may
// hold
// what the rules would not let them decide.
func TestTheCountOfWhatWaitsMayBeTooHighBeyondOnePage(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	c.story.Command(c.actor("grace"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
		Action: &lockboxv1.Command_RemoveRole{
			RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "of-otto"},
		}})
	c.story.Assign(c.actor("grace"), bank, "", "reads", c.actor("otto"), auditor, false)
	list := c.query("otto", listRequests(bank, &lockboxv1.ListRequests{AwaitingMe: true, Count: true})).GetRequests()
	if len(list.GetRequests()) != 0 || list.GetTotal() != 0 {
		t.Errorf("who still sees %s and cannot decide it any more: %v", id, list)
	}
	for range 3 {
		c.story.Submit(c.actor("erin"), story.Disk(bank, "prod", "another's"))
	}
	c.story.Submit(c.actor("derek"), story.Disk(bank, "prod", "his own"))
	for limit, want := range map[uint32]uint64{1: 4, 3: 3, 100: 3} {
		list = c.query("derek", listRequests("",
			&lockboxv1.ListRequests{AwaitingMe: true, Count: true, Limit: limit})).GetRequests()
		if list.GetTotal() != want {
			t.Errorf("on pages of %d, counted %d, want %d", limit, list.GetTotal(), want)
		}
	}
}
