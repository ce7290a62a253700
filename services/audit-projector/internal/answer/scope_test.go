package answer_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// place is a cast where everything has happened, at both tenants, and what can be asked about one of them.
type place struct {
	*cast
	// of a tenant: a request on prod that waits, a denied one on test.
	prod, test map[string]string
}

const secret = "himitsu" // in everything that is the health tenant's

func newPlace(t *testing.T) *place {
	p := &place{newCast(t), map[string]string{}, map[string]string{}}
	p.assign("fleur", "prod", lockboxApprover, false)
	erin, s := p.actor("erin"), p.story
	for tenant, admin := range map[string]string{bank: "grace", health: "hana"} {
		mark, clinic := "", ""
		if tenant == health {
			mark, clinic = secret, "clinic-"
		}
		s.Ticket(p.actor(admin), tenant, "T-prod", "slow disks "+mark, clinic+"prod")
		s.Ticket(p.actor(admin), tenant, "T-test", "slow network "+mark, clinic+"test")
		for sub, of := range map[string]map[string]string{"prod": p.prod, "test": p.test} {
			intent := story.Dump(tenant, clinic+sub, "machine-"+sub+mark)
			intent.Justification += mark
			intent.TicketId = "T-" + sub
			of[tenant] = s.Submit(erin, intent)
			s.Mail(tenant, of[tenant], admin+mark+"@example.org")
		}
		s.Command(p.actor(admin), story.Deny(tenant, p.test[tenant]))
	}
	s.Ticket(p.actor("otto"), bank, "T-own", "my own", "")
	return p
}

// questions are all queries, by name, about one tenant; empty: about none.
func (p *place) questions(tenant string) map[string]*lockboxv1.Query {
	of := tenant
	if p.prod[of] == "" {
		of = bank
	}
	return map[string]*lockboxv1.Query{
		"requests":     listRequests(tenant, &lockboxv1.ListRequests{}),
		"awaiting me":  listRequests(tenant, &lockboxv1.ListRequests{AwaitingMe: true}),
		"request prod": getRequest(tenant, p.prod[of]), "request test": getRequest(tenant, p.test[of]),
		"activity":              listActivity(tenant, &lockboxv1.ListActivity{}),
		"activity of a request": listActivity(tenant, &lockboxv1.ListActivity{RequestId: p.prod[of]}),
		"tenant":                getTenant(tenant),
		"ticket prod":           getTicket(tenant, "T-prod"), "ticket test": getTicket(tenant, "T-test"),
		"ticket own": getTicket(tenant, "T-own"), "tickets": listTickets(tenant),
		"disclosures": listDisclosures(tenant),
		"self":        getSelf(tenant), "services": listServices(tenant),
		"preview prod": preview(tenant, "prod"), "preview test": preview(tenant, "test"),
		"preview tenant": preview(tenant, ""),
		"overview":       getOverview(tenant, &lockboxv1.GetOverview{}),
		"dashboard":      getDashboard(tenant, &lockboxv1.GetDashboard{}),
	}
}

var everything = []string{
	"requests", "awaiting me", "request prod", "request test", "activity", "activity of a request", "tenant",
	"ticket prod", "ticket test",
	"ticket own", "tickets", "disclosures", "preview prod", "preview test", "preview tenant", "self", "services",
	"overview",
}

// What whoever is of the tenant may ask, and whoever may activate a role.
var (
	ofAnybody  = []string{"ticket own", "tickets", "self", "services"}
	ofEligible = append([]string{"tenant"}, ofAnybody...)
)

// What Otto of the bank may ask with each role that he could hold.
var rolesOfTheCustomer = map[string]struct {
	give    func(p *place)
	granted []string
}{
	"Global Administrator":          {func(p *place) { p.assign("otto", tenantRole, globalAdmin, false) }, everything},
	"tenant Lockbox Approver":       {func(p *place) { p.assign("otto", tenantRole, lockboxApprover, false) }, everything},
	"Auditor":                       {func(p *place) { p.assign("otto", tenantRole, auditor, false) }, everything},
	"Owner of prod":                 {func(p *place) { p.assign("otto", "prod", owner, false) }, ofProd},
	"Lockbox Approver of prod":      {func(p *place) { p.assign("otto", "prod", lockboxApprover, false) }, ofProd},
	"eligible Owner of prod":        {func(p *place) { p.assign("otto", "prod", owner, true) }, ofEligible},
	"eligible Global Administrator": {func(p *place) { p.assign("otto", tenantRole, globalAdmin, true) }, ofEligible},
	"eligible Owner who activated": {func(p *place) {
		p.assign("otto", "prod", owner, true)
		p.story.Command(p.actor("otto"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
			Action: &lockboxv1.Command_ActivateRole{
				ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "of-otto"},
			}})
	}, ofProd},
	"Owner whose activation is over": {func(p *place) {
		p.assign("otto", "prod", owner, true)
		p.story.Command(p.actor("otto"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
			Action: &lockboxv1.Command_ActivateRole{
				ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "of-otto", Until: timestamppb.New(p.story.Now.Add(time.Hour))},
			}})
		p.story.Now = p.story.Now.Add(time.Hour)
	}, ofEligible},
	"Owner through a management group": {func(p *place) {
		p.story.Command(p.actor("grace"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
			Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
				Assignment: &lockboxv1.RoleAssignment{Id: "of-otto", Person: p.actor("otto").GetPerson(), Role: owner,
					Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP},
			}}})
	}, ofEligible},
	"Owner whose role was removed": {func(p *place) {
		p.assign("otto", "prod", owner, false)
		p.story.Command(p.actor("grace"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
			Action: &lockboxv1.Command_RemoveRole{
				RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "of-otto"},
			}})
	}, ofAnybody},
	"none": {func(*place) {}, ofAnybody},
}

var ofProd = []string{"requests", "awaiting me", "request prod", "activity", "activity of a request", "tenant",
	"ticket prod", "ticket own", "tickets", "preview prod", "self", "services", "overview"}

// I9: a role reaches so far and no further, and nothing of another tenant is there.
//
// control: soc2:CC6.1
func TestWhatEachRoleOfTheCustomerSees(t *testing.T) {
	for role, row := range rolesOfTheCustomer {
		t.Run(role, func(t *testing.T) {
			p := newPlace(t)
			row.give(p)
			for name, q := range p.questions(bank) {
				reply := p.query("otto", q)
				granted := slices.Contains(row.granted, name)
				if granted && reply.GetRefusal() != nil {
					t.Errorf("%s: %v", name, reply.GetRefusal())
				}
				if !granted && reply.GetRefusal().GetCode() != notFound {
					t.Errorf("%s: is seen: %v", name, reply)
				}
				noneOf(t, name, reply, secret)
				if slices.Equal(row.granted, ofProd) && name != "tickets" {
					noneOf(t, name, reply, "machine-test", "slow network")
				}
			}
			var refusals []*lockboxv1.Refusal
			for _, tenant := range []string{health, "nowhere"} {
				for name, q := range p.questions(tenant) {
					reply := p.query("otto", q)
					if reply.GetRefusal().GetCode() != notFound {
						t.Errorf("%s of %s: %v", name, tenant, reply)
					}
					noneOf(t, name+" of "+tenant, reply, secret, health)
					refusals = append(refusals, reply.GetRefusal())
				}
			}
			// What is not there, what is another tenant's and what the role does not reach read the same.
			refusals = append(refusals, p.query("otto", getRequest(bank, p.story.ID())).GetRefusal(),
				p.query("otto", getTicket(bank, "T-none")).GetRefusal())
			for _, r := range refusals {
				if !proto.Equal(r, refusals[0]) {
					t.Errorf("%v reads unlike %v", r, refusals[0])
				}
			}
		})
	}
}

// noneOf holds that an answer does not hold a byte of somebody else's.
func noneOf(t *testing.T, name string, reply *lockboxv1.QueryReply, words ...string) {
	t.Helper()
	data, err := proto.Marshal(reply)
	must(t, err)
	for _, word := range words {
		if bytes.Contains(bytes.ToLower(data), []byte(word)) {
			t.Errorf("%s: the answer holds %q", name, word)
		}
	}
}

func TestWhatTheProvidersPeopleSee(t *testing.T) {
	asRequester := []string{"requests", "awaiting me", "request prod", "request test", "activity", "activity of a request",
		"ticket prod", "ticket test", "ticket own", "tickets", "self", "services"}
	asColleague := []string{"requests", "awaiting me", "activity", "activity of a request", "ticket prod", "ticket test",
		"ticket own", "tickets", "self", "services"}
	for who, granted := range map[string][]string{
		"erin": asRequester, "sam": asColleague, "lena": asColleague, "derek": asColleague,
		"olga": append([]string{"dashboard"}, everything...),
		"onboarding": {"requests", "awaiting me", "activity", "activity of a request", "tickets", "self", "services",
			"tenant"},
		"desk": {"requests", "awaiting me", "activity", "activity of a request", "tickets", "self", "services"},
	} {
		t.Run(who, func(t *testing.T) {
			p := newPlace(t)
			for name, q := range p.questions(bank) {
				reply := p.query(who, q)
				seen := slices.Contains(granted, name)
				if seen && reply.GetRefusal() != nil || !seen && reply.GetRefusal().GetCode() != notFound {
					t.Errorf("%s: %v", name, reply.GetRefusal())
				}
				noneOf(t, name, reply, secret)
				if who == "olga" {
					continue
				}
				if who != "erin" && len(reply.GetRequests().GetRequests())+len(reply.GetActivity().GetActivities()) > 0 {
					t.Errorf("%s: sees something: %v", name, reply)
				}
				if !strings.HasPrefix(name, "ticket") { // nobody's role, and no address but the provider's own
					noneOf(t, name, reply, "meadowbank.example", "sakura.example", "@example.org", "fleur")
				}
			}
			if who != "olga" {
				return
			}
			for name, q := range p.questions("nowhere") {
				aboutTheTenant := !strings.HasPrefix(name, "ticket") && name != "self" && name != "services"
				if reply := p.query(who, q); aboutTheTenant && reply.GetRefusal().GetCode() != notFound {
					t.Errorf("%s of nowhere: %v", name, reply)
				}
			}
		})
	}
}

func TestAcrossTenants(t *testing.T) {
	p := newPlace(t)
	for who, want := range map[string]int{"olga": 4, "erin": 4, "sam": 0} {
		if got := p.query(who, listRequests("", &lockboxv1.ListRequests{})); got.GetRefusal() != nil ||
			len(got.GetRequests().GetRequests()) != want {
			t.Errorf("%s sees %d requests, %v", who, len(got.GetRequests().GetRequests()), got.GetRefusal())
		}
	}
	if got := p.query("erin", getRequest("", p.prod[health])).GetRequest(); got.GetTenant() != health {
		t.Errorf("by id alone: %v", got)
	}
	if got := p.query("sam", listTickets("")).GetTickets().GetTickets(); len(got) != 5 {
		t.Errorf("%d tickets", len(got))
	}
	if got := p.query("sam", getTicket("", "T-prod")).GetRefusal(); got.GetCode() != invalid ||
		got.GetField() != "tenant" {
		t.Errorf("a ticket's id that two tenants use: %v", got)
	}
	if got := p.query("olga", listActivity("",
		&lockboxv1.ListActivity{Limit: 1000})).GetActivity().GetActivities(); len(got) != len(p.story.Entries) {
		t.Errorf("%d activities of %d", len(got), len(p.story.Entries))
	}
	for name, q := range p.questions("") {
		if name == "self" {
			continue // see TestATokenFindsItsTenant
		}
		if got := p.query("grace", q).GetRefusal(); got.GetCode() != invalid || got.GetField() != "tenant" {
			t.Errorf("%s, by the customer: %v", name, got)
		}
	}
	for _, q := range []*lockboxv1.Query{getTenant(""), preview("", "prod")} {
		if got := p.query("olga", q).GetRefusal(); got.GetCode() != notFound {
			t.Errorf("%v of no tenant: %v", q.GetAsk(), got)
		}
	}
}

// R11, R25: whoever sees a request sees the ticket that it names.
func TestATicketIsSeenFromItsRequests(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.assign("eli", "test", owner, false)
	c.story.Ticket(c.actor("grace"), bank, "T-9", "of no subscription", "")
	intent := story.Dump(bank, "prod", "a")
	intent.TicketId = "T-9"
	c.story.Submit(c.actor("erin"), intent)
	if got := c.query("otto", getTicket(bank, "T-9")).GetTicket(); got.GetTitle() != "of no subscription" {
		t.Errorf("the approver of its request sees %v", got)
	}
	if got := c.query("eli", getTicket(bank, "T-9")).GetRefusal().GetCode(); got != notFound {
		t.Errorf("somebody else's owner: %v", got)
	}
}

// Subscriptions of two tenants may have one name.
func TestASubscriptionIsOfOneTenant(t *testing.T) {
	p := newPlace(t)
	p.assign("otto", "prod", owner, false)
	reply := p.query("otto", listRequests(bank, &lockboxv1.ListRequests{SubscriptionId: "prod"}))
	if got := ids(reply.GetRequests()); !slices.Equal(got, []string{p.prod[bank]}) {
		t.Errorf("got %v", got)
	}
	if got := p.query("otto", listRequests(bank,
		&lockboxv1.ListRequests{SubscriptionId: "test"})); len(got.GetRequests().GetRequests()) > 0 {
		t.Errorf("the other subscription: %v", got)
	}
	noneOf(t, "all", p.query("otto", listActivity(bank, &lockboxv1.ListActivity{SubscriptionId: "test"})), "test")
}

func TestWhoMayActivateSeesTheirOwnAssignmentOnly(t *testing.T) {
	p := newPlace(t)
	p.assign("otto", "prod", owner, true)
	v := p.query("otto", getTenant(bank)).GetTenant()
	if len(v.GetAssignments()) != 0 || len(v.GetSubscriptions()) != 1 || !v.GetPartial() ||
		v.GetSettings().GetRequiredApprovals() != 1 || len(v.GetSettings().GetAlternates()) != 0 {
		t.Fatalf("sees %v", v)
	}
	if a := v.GetSubscriptions()[0].GetAssignments(); len(a) != 1 || a[0].GetAssignment().GetId() != "of-otto" ||
		a[0].GetActive() || !strings.Contains(a[0].GetReason(), "not activated") {
		t.Errorf("sees %v", a)
	}
	if v.GetVersion() == 0 || v.GetSubscriptions()[0].GetVersion() == 0 || v.GetDisplayName() == "" {
		t.Errorf("cannot act on %v", v)
	}
}

// Whoever was asked while their role was active finds the request by the link in their mail, and what they lack;
// whoever lost the role, or was never asked, finds nothing (R20, R21).
func TestR21WhoeverWasAskedSeesWhatToActivate(t *testing.T) {
	p := newPlace(t)
	p.assign("eli", "prod", owner, true)
	p.assign("otto", "prod", owner, true)
	activate := &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
		Action: &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "of-eli",
			Until: timestamppb.New(p.story.Now.Add(time.Hour))}}}
	p.story.Command(p.actor("eli"), activate)
	id := p.story.Submit(p.actor("erin"), story.Dump(bank, "prod", "machine-9"))
	if v := p.query("eli", getRequest(bank, id)).GetRequest(); v.GetActivateFirst() || len(v.GetAllowed()) == 0 {
		t.Errorf("while it is active: %v", v.GetAllowed())
	}
	p.story.Now = p.story.Now.Add(2 * time.Hour)
	v := p.query("eli", getRequest(bank, id)).GetRequest()
	if v.GetRequestId() != id || !v.GetActivateFirst() || slices.Contains(v.GetAllowed(), "approve") {
		t.Errorf("after it ended: %v", v)
	}
	for what, reply := range map[string]*lockboxv1.QueryReply{
		"whoever was never asked":           p.query("otto", getRequest(bank, id)),
		"another request":                   p.query("eli", getRequest(bank, p.prod[bank])),
		"somebody of another tenant":        p.query("hana", getRequest(bank, id)),
		"another tenant's, by the same one": p.query("eli", getRequest(bank, p.prod[health])),
	} {
		if reply.GetRefusal().GetCode() != notFound {
			t.Errorf("%s: %v", what, reply)
		}
	}
	p.story.Command(p.actor("grace"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
		Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "of-eli"}}})
	if reply := p.query("eli", getRequest(bank, id)); reply.GetRefusal().GetCode() != notFound {
		t.Errorf("whoever lost the role: %v", reply)
	}
}

// control: iso:5.18
func TestAdministratorsSeeAllAssignmentsAndWhetherTheyCount(t *testing.T) {
	p := newPlace(t)
	p.assign("eli", "prod", owner, true)
	v := p.query("grace", getTenant(bank)).GetTenant()
	if len(v.GetAssignments()) != 1 || len(v.GetSubscriptions()) != 2 || v.GetSettings() == nil || v.GetPartial() ||
		!v.GetLockboxEnabled() || v.GetIssuer() == "" {
		t.Fatalf("sees %v", v)
	}
	for _, a := range v.GetSubscriptions()[0].GetAssignments() {
		if eligible := a.GetAssignment().GetId() == "of-eli"; a.GetActive() == eligible || (a.GetReason() != "") != eligible {
			t.Errorf("%v", a)
		}
	}
	if who := p.query("grace", preview(bank, "prod")).GetApprovers(); len(who.GetApprovers()) != 1 ||
		len(who.GetExcluded()) != 1 || who.GetRequiredApprovals() != 1 {
		t.Errorf("would be asked: %v", who)
	}
}
