package answer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A part of an id is looked for among all requests that the caller sees, and tells nothing of others (R25, I9).
func TestR25APartOfAnIDFindsOnlyWhatTheCallerSees(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	erin, bob := c.actor("erin"), c.actor("bob")
	first := c.story.Submit(erin, story.Dump(bank, "prod", "a"))
	test := c.story.Submit(bob, story.Dump(bank, "test", "a"))
	other := c.story.Submit(erin, story.Dump(health, "clinic-prod", "a"))
	for range 120 { // more than a page
		c.story.Submit(erin, story.Dump(bank, "prod", "b"))
	}
	find := func(who, of, part string) *lockboxv1.QueryReply {
		return c.query(who, listRequests(of, &lockboxv1.ListRequests{IdPart: part}))
	}
	for _, row := range []struct {
		who, of, id string
		found       bool
	}{
		{"grace", bank, first, true}, {"grace", bank, test, true}, {"grace", bank, other, false},
		{"otto", bank, first, true}, {"otto", bank, test, false}, {"erin", bank, first, true}, {"erin", bank, test, false},
		{"bob", bank, test, true}, {"hana", health, other, true}, {"hana", health, first, false}, {"olga", "", other, true},
	} {
		part := row.id[len(row.id)-12:]
		if got := ids(find(row.who, row.of, part).GetRequests()); slices.Contains(got, row.id) != row.found ||
			slices.ContainsFunc(got, func(id string) bool { return id[len(id)-12:] != part }) {
			t.Errorf("%s of %q looks for %s: %v", row.who, row.of, part, got)
		}
	}
	if got := find("grace", bank, first[:8]).GetRequests(); len(got.GetRequests()) < 100 {
		t.Errorf("a common beginning finds %d", len(got.GetRequests()))
	}
	for _, part := range []string{"abc", "%%%%", "____", "' OR", "0000000z"} {
		if r := find("grace", bank, part).GetRefusal(); r.GetCode() != invalid || r.GetField() != "list_requests.id_part" {
			t.Errorf("%q: %v", part, r)
		}
	}
}

// Whoever asks for access is told of what is open or running for the same, whoever asked for it.
func TestWhatIsOpenOrRunningForTheSameIsNamed(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	erin, otto := c.actor("erin"), c.actor("otto")
	open := c.story.Submit(erin, story.Dump(bank, "prod", "a", "b"))
	runs := c.story.Submit(c.actor("bob"), story.Dump(bank, "prod", "a"))
	c.story.Command(otto, story.Approve(bank, runs))
	denied := c.story.Submit(erin, story.Dump(bank, "prod", "a"))
	c.story.Command(otto, story.Deny(bank, denied))
	c.story.Submit(erin, story.Dump(bank, "prod", "c"))
	c.story.Submit(erin, story.Dump(bank, "test", "a"))
	c.story.Submit(erin, story.Dump(health, "clinic-prod", "a"))
	wanted := story.Dump(bank, "prod", "A")
	ask := func(who, of string, change func(*lockboxv1.ListSimilar)) *lockboxv1.QueryReply {
		l := &lockboxv1.ListSimilar{SubscriptionId: "PROD", ResourceType: wanted.GetResourceType(),
			Scenario: wanted.GetScenario(), ResourceIds: wanted.GetResourceIds()}
		change(l)
		return c.query(who, &lockboxv1.Query{Tenant: of, Ask: &lockboxv1.Query_ListSimilar{ListSimilar: l}})
	}
	same := func(*lockboxv1.ListSimilar) {}
	got := ask("erin", bank, same).GetSimilar().GetRequests()
	if len(got) != 2 || got[0].GetRequestId() != runs || got[0].GetStatus() != request.Active || got[0].GetOwn() ||
		got[0].GetUntil() == nil || got[1].GetRequestId() != open || !got[1].GetOwn() || len(got[1].GetResourceIds()) != 1 {
		t.Errorf("%v", got)
	}
	for name, change := range map[string]func(*lockboxv1.ListSimilar){
		"another scenario": func(l *lockboxv1.ListSimilar) { l.Scenario = "remote-desktop" },
		"another resource": func(l *lockboxv1.ListSimilar) { l.ResourceIds = []string{"/subscriptions/prod/x"} },
		"of the tenant":    func(l *lockboxv1.ListSimilar) { l.SubscriptionId = "" },
	} {
		if got := ask("erin", bank, change).GetSimilar().GetRequests(); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	itself := func(l *lockboxv1.ListSimilar) { l.RequestId = open }
	if got := ask("erin", bank, itself).GetSimilar().GetRequests(); len(got) > 0 {
		t.Errorf("to what was submitted before: %v", got)
	}
	c.story.Now = c.story.Now.Add(4 * 24 * time.Hour) // overdue, and nobody has recorded it
	if got := ask("erin", bank, same).GetSimilar().GetRequests(); len(got) > 0 {
		t.Errorf("what is over: %v", got)
	}
	for _, who := range []string{"otto", "grace", "hana", "olga"} {
		if r := ask(who, bank, same).GetRefusal(); r.GetCode() != notFound {
			t.Errorf("%s: %v", who, r)
		}
	}
}

// Every entry about a request names what it is about, also to those who see a part of it only (R39).
func TestR39EveryEntryOfARequestSaysWhatItIsAbout(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.story.Ticket(c.actor("otto"), bank, "SR-1", "It hangs", "prod")
	in := story.Dump(bank, "prod", "a")
	in.ReasonType, in.TicketId = lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, "SR-1"
	id := c.story.Submit(c.actor("erin"), in)
	c.story.Command(c.actor("otto"), story.Deny(bank, id))
	for _, who := range []string{"grace", "otto", "erin"} {
		list := c.query(who, listActivity(bank, &lockboxv1.ListActivity{RequestId: id})).GetActivity().GetActivities()
		if len(list) < 4 {
			t.Errorf("%s sees %d entries", who, len(list))
		}
		for _, a := range list {
			if a.GetSubscriptionId() != "prod" || len(a.GetRequestedResourceIds()) != 1 || a.GetTicketId() != "SR-1" ||
				a.GetRequester().GetPerson().GetDisplayName() == "" {
				t.Errorf("%s sees of %s: %v", who, a.GetEntry().GetType(), a)
			}
		}
	}
	for _, a := range c.query("grace", listActivity(bank, &lockboxv1.ListActivity{Actions: []string{"TicketOpened"}})).
		GetActivity().GetActivities() {
		if a.GetTicketId() != "SR-1" || a.GetSubscriptionId() != "prod" {
			t.Errorf("of a ticket: %v", a)
		}
	}
}

// The customer wishes how the engineer sees who decided: by name, or as the organisation (R29).
func TestR29WhoDecidedIsShownAsTheCustomerWishes(t *testing.T) {
	for shown, want := range map[lockboxv1.DecidersShown]string{
		lockboxv1.DecidersShown_DECIDERS_SHOWN_UNSPECIFIED:  "Otto Owens",
		lockboxv1.DecidersShown_DECIDERS_SHOWN_NAME:         "Otto Owens",
		lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION: "The " + bank,
	} {
		c := newCast(t)
		c.assign("otto", "prod", owner, false)
		c.story.Command(c.actor("grace"), &lockboxv1.Command{Tenant: bank,
			Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
				Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en", DecidersShown: shown}}}})
		id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
		c.story.Command(c.actor("otto"), story.Deny(bank, id))
		v := c.query("erin", getRequest(bank, id)).GetRequest()
		for what, who := range map[string]*lockboxv1.Actor{"decided": v.GetCustomerDecisions()[0].GetActor(),
			"ended": v.GetEndedBy(), "told": v.GetTimeline()[len(v.GetTimeline())-1].GetActor()} {
			if who.GetPerson().GetDisplayName() != want || who.GetPerson().GetEmail() != "" {
				t.Errorf("%s: %s by %v", shown, what, who)
			}
		}
		if !v.GetPartial() {
			t.Error("what is hidden from the engineer is not said to be hidden")
		}
		guess := c.query("erin", listActivity(bank, &lockboxv1.ListActivity{Person: "Otto Owens"})).GetActivity()
		if named := want == "Otto Owens"; (len(guess.GetActivities()) > 0) != named {
			t.Errorf("%s: who guesses the name finds %v", shown, guess)
		}
		own := c.query("grace", getRequest(bank, id)).GetRequest()
		if own.GetPartial() || own.GetEndedBy().GetPerson().GetDisplayName() != "Otto Owens" {
			t.Errorf("the customer sees %v", own.GetEndedBy())
		}
	}
}

// What is hidden from a reader is said to be hidden: a view that lacks anything which others see is partial.
func TestI9APartialViewSaysThatItIsPartial(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.assign("fleur", tenantRole, lockboxApprover, false)
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	whole := c.query("grace", getRequest(bank, id)).GetRequest()
	for _, who := range []string{"otto", "fleur", "erin", "olga"} {
		v := c.query(who, getRequest(bank, id)).GetRequest()
		less := lacks(whole.GetLockbox().ProtoReflect(), v.GetLockbox().ProtoReflect())
		if (len(less) > 0) != v.GetPartial() {
			t.Errorf("%s does not see %v of the request, partial %t", who, less, v.GetPartial())
		}
	}
	all := c.query("grace", getTenant(bank)).GetTenant()
	for _, who := range []string{"otto", "fleur", "olga"} {
		v := c.query(who, getTenant(bank)).GetTenant()
		if less := lacks(all.ProtoReflect(), v.ProtoReflect()); (len(less) > 0) != v.GetPartial() {
			t.Errorf("%s does not see %v of the tenant, partial %t", who, less, v.GetPartial())
		}
	}
}

// lacks names the fields that a whole view has and another has not, or has less of.
func lacks(whole, part protoreflect.Message) (names []protoreflect.Name) {
	whole.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !part.Has(f) || f.IsList() && part.Get(f).List().Len() < v.List().Len() {
			names = append(names, f.Name())
		}
		return true
	})
	return names
}
