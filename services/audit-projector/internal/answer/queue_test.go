package answer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

var (
	byDeadline = lockboxv1.RequestOrder_REQUEST_ORDER_DEADLINE
	waits      = []lockboxv1.RequestStatus{request.AwaitingInternalApproval, request.CustomerNotified}
)

// Whoever has many to decide pages through them by deadline, forth and back, and comes by the same again.
func TestAQueueIsPagedForthAndBack(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	var all []string
	for i := range 7 {
		all = append(all, c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a")))
		if c.story.Now = c.story.Now.Add(time.Minute); i == 3 {
			c.story.Submit(c.actor("erin"), story.Dump(bank, "test", "a")) // not his to see
		}
	}
	newest := slices.Clone(all)
	slices.Reverse(newest)
	for name, row := range map[string]struct {
		ask  *lockboxv1.ListRequests
		want []string
	}{
		"by deadline":           {&lockboxv1.ListRequests{Order: byDeadline, Statuses: waits}, all},
		"his, by deadline":      {&lockboxv1.ListRequests{Order: byDeadline, AwaitingMe: true}, all},
		"newest":                {&lockboxv1.ListRequests{Statuses: waits}, newest},
		"of all that there are": {&lockboxv1.ListRequests{}, newest},
	} {
		row.ask.Limit, row.ask.Count = 3, true
		var pages [][]string
		for {
			list := c.query("otto", listRequests(bank, row.ask)).GetRequests()
			pages = append(pages, ids(list))
			if list.GetTotal() != 7 || (list.GetPreviousPageToken() == "") != (len(pages) == 1) {
				t.Errorf("%s: page %d of %d, before it %q", name, len(pages), list.GetTotal(), list.GetPreviousPageToken())
			}
			if row.ask.PageToken = list.GetNextPageToken(); row.ask.PageToken == "" {
				row.ask.PageToken = list.GetPreviousPageToken()
				break
			}
		}
		if got := slices.Concat(pages...); !slices.Equal(got, row.want) || len(pages) != 3 {
			t.Errorf("%s: %v, want %v", name, pages, row.want)
		}
		for i := 1; i >= 0; i-- {
			list := c.query("otto", listRequests(bank, row.ask)).GetRequests()
			if !slices.Equal(ids(list), pages[i]) || list.GetNextPageToken() == "" ||
				(list.GetPreviousPageToken() == "") != (i == 0) {
				t.Errorf("%s: back on page %d: %v, want %v", name, i, list, pages[i])
			}
			row.ask.PageToken = list.GetPreviousPageToken()
		}
	}
}

func TestAListByDeadlineIsOfWhatHasNotEnded(t *testing.T) {
	c := newCast(t)
	for name, ask := range map[string]*lockboxv1.ListRequests{
		"any status":              {Order: byDeadline},
		"one that is over":        {Order: byDeadline, Statuses: append(waits, request.Denied)},
		"no order":                {Order: 9, Statuses: waits},
		"a token of newest first": {Order: byDeadline, Statuses: waits, PageToken: "AQAAAAAAAAAB"},
	} {
		if got := c.query("grace", listRequests(bank, ask)).GetRefusal(); got.GetCode() != invalid {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRequestsAreFoundByNameAndGrouped(t *testing.T) {
	c := newCast(t)
	c.story.Ticket(c.actor("grace"), bank, "T-1", "slow", "prod")
	named := story.Dump(bank, "prod", "a")
	named.TicketId = "T-1"
	first := c.story.Submit(c.actor("erin"), named)
	second := c.story.Submit(c.actor("erin"), story.Dump(bank, "test", "b"))
	disk := c.story.Submit(c.actor("derek"), story.Disk(bank, "prod", "c"))
	for name, row := range map[string]struct {
		ask  *lockboxv1.ListRequests
		want []string
	}{
		"an engineer's name":    {&lockboxv1.ListRequests{Engineer: "eRIN"}, []string{second, first}},
		"an engineer":           {&lockboxv1.ListRequests{Requester: c.actor("derek").GetPerson()}, []string{disk}},
		"a subscription's name": {&lockboxv1.ListRequests{Subscription: "the TEST of"}, []string{second}},
		"a subscription's id":   {&lockboxv1.ListRequests{Subscription: "pro"}, []string{disk, first}},
		"none of that name":     {&lockboxv1.ListRequests{Subscription: "clinic"}, nil},
		"a service": {&lockboxv1.ListRequests{ResourceType: named.GetResourceType()}, []string{disk, second,
			first}},
		"no such service":      {&lockboxv1.ListRequests{ResourceType: "none"}, nil},
		"emergencies":          {&lockboxv1.ListRequests{Emergency: true}, nil},
		"text: a ticket":       {&lockboxv1.ListRequests{Text: "t-1"}, []string{first}},
		"text: an id":          {&lockboxv1.ListRequests{Text: second[len(second)-12:]}, []string{second}},
		"text: a subscription": {&lockboxv1.ListRequests{Text: "The prod"}, []string{disk, first}},
		"text: an operation":   {&lockboxv1.ListRequests{Text: "managed-DISK"}, []string{disk}},
		"text and an engineer": {&lockboxv1.ListRequests{Text: "prod", Engineer: "derek"}, []string{disk}},
	} {
		if got := ids(c.query("grace", listRequests(bank, row.ask)).GetRequests()); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
	if got := ids(c.query("hana", listRequests(health, &lockboxv1.ListRequests{Text: "erin"})).GetRequests()); got != nil {
		t.Errorf("another customer's are found: %v", got)
	}
	group := func(who, tenant string, by lockboxv1.RequestGrouping) map[string]uint64 {
		t.Helper()
		reply := c.query(who, &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GroupRequests{
			GroupRequests: &lockboxv1.GroupRequests{Of: &lockboxv1.ListRequests{Statuses: waits}, By: by}}})
		groups := map[string]uint64{}
		for _, g := range reply.GetGroups().GetGroups() {
			if g.GetNextDeadline() == nil {
				t.Errorf("%v has no deadline", g)
			}
			groups[g.GetTicketId()+g.GetRequester().GetPerson().GetSubject()] += g.GetCount()
		}
		return groups
	}
	erin, derek := c.actor("erin").GetPerson().GetSubject(), c.actor("derek").GetPerson().GetSubject()
	if got := group("grace", bank, lockboxv1.RequestGrouping_REQUEST_GROUPING_TICKET); got["T-1"] != 1 || got[""] != 2 {
		t.Errorf("by ticket: %v", got)
	}
	if got := group("grace", bank, lockboxv1.RequestGrouping_REQUEST_GROUPING_ENGINEER); got[erin] != 2 ||
		got[derek] != 1 {
		t.Errorf("by engineer: %v", got)
	}
	if got := group("erin", "", lockboxv1.RequestGrouping_REQUEST_GROUPING_ENGINEER); got[erin] != 2 || got[derek] != 0 {
		t.Errorf("an engineer sees others': %v", got)
	}
	if got := c.query("grace", &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_GroupRequests{
		GroupRequests: &lockboxv1.GroupRequests{}}}).GetRefusal(); got.GetCode() != invalid {
		t.Errorf("grouped by nothing: %v", got)
	}
}

// Buttons in a list are those of the request's own page.
func TestAListSaysWhatItsReaderCouldDo(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	for _, who := range []string{"otto", "grace"} {
		list := c.query(who, listRequests(bank, &lockboxv1.ListRequests{WithAllowed: true})).GetRequests().GetRequests()
		if want := c.query(who, getRequest(bank, id)).GetRequest().GetAllowed(); !slices.Equal(list[0].GetAllowed(), want) {
			t.Errorf("%s: %v, want %v", who, list[0].GetAllowed(), want)
		}
	}
}
