package ticket_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	invalid      = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	forbidden    = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN
	notFound     = lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND
	conflict     = lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT
	precondition = lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION
)

var (
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

	cora = story.Customer(story.Tenant, "cora") // of the customer, with no role at all
	eve  = story.Provider("eve", aggregate.SupportEngineers)
	fred = story.Provider("fred", aggregate.SupportEngineers)
	leo  = story.Provider("leo", aggregate.SupportLeads)
	sven = story.Provider("sven", aggregate.SecurityOfficers)
	desk = story.Provider("desk", aggregate.TicketSystems) // a program
)

func open(title, description, subscription string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{Title: title,
		Description: description, SubscriptionId: subscription}}}
}

func assign(to *lockboxv1.Actor, team, reason string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_AssignTicket{
		AssignTicket: &lockboxv1.AssignTicket{Engineer: to.GetPerson(), Team: team, Reason: reason}}}
}

func comment(text string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_CommentTicket{
		CommentTicket: &lockboxv1.CommentTicket{Text: text}}}
}

// row is one line of a ticket's history. An event, "already", or a refusal's code, field and rule.
type row struct {
	who  *lockboxv1.Actor
	does *lockboxv1.Command
	then string
}

func no(code lockboxv1.RefusalCode, field, rule string) string {
	return fmt.Sprint(code, " ", field, " ", rule)
}

// play tells the story of ticket T-1 of a tenant that exists. The same command again gives no events.
func play(t *testing.T, rows ...row) ticket.State {
	t.Helper()
	of := story.Case(story.Customer(story.Tenant, "gina"), start).States.Tenant(story.Tenant)
	var s ticket.State
	for i, r := range rows {
		if r.does.GetAggregateId() == "" {
			r.does.AggregateId = "T-1"
		}
		r.does.Id, r.does.Tenant = fmt.Sprint("command ", i), story.Tenant
		c := aggregate.Command{Command: r.does, By: r.who}
		e, err := ticket.Decide(s, of, c, start)
		got := "already"
		if err != nil {
			why := refusal.Of(err)
			got = no(why.GetCode(), why.GetField(), why.GetRule())
		}
		if e != nil {
			s = ticket.Evolve(s, uint64(i)+1, e)
			got = strings.TrimPrefix(reflect.TypeOf(e.GetFact()).String(), "*lockboxv1.Event_")
		}
		if got != r.then || s.Fault != nil {
			t.Fatalf("row %d: %s (%v), want %s; fault %v", i+1, got, err, r.then, s.Fault)
		}
		if again, err := ticket.Decide(s, of, c, start); e != nil && (again != nil || err != nil) {
			t.Errorf("row %d: the same command again gives %v, %v", i+1, again, err)
		}
	}
	return s
}

func TestR11ATicketIsOpenedAssignedAndHandedOn(t *testing.T) {
	s := play(t,
		row{cora, open("It does not boot", "Since\nyesterday", "sub-1"), "TicketOpened"},
		row{cora, open("Another one", "", ""), no(conflict, "aggregate_id", "R11")},
		row{cora, comment("please"), "TicketCommented"},
		row{leo, assign(eve, "Compute", ""), "TicketAssigned"},
		row{leo, assign(eve, "Compute", "again"), "already"},
		row{eve, comment("looking"), "TicketCommented"},
		row{eve, assign(fred, "Compute", "knows disks"), "TicketReassigned"},
		row{fred, assign(fred, "Storage", "escalated"), "TicketReassigned"}, // to another team
	)
	if s.Title != "It does not boot" || s.SubscriptionID != "sub-1" || s.OpenedBy.GetPerson().GetSubject() != "cora" ||
		!s.OpenedAt.Equal(start) {
		t.Errorf("opened: %+v", s)
	}
	if s.Engineer.GetSubject() != "fred" || s.Team != "Storage" {
		t.Errorf("with %s of %s", s.Engineer.GetSubject(), s.Team)
	}
}

func closes(reason string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_CloseTicket{
		CloseTicket: &lockboxv1.CloseTicket{Reason: reason}}}
}

func reopens() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ReopenTicket{ReopenTicket: &lockboxv1.ReopenTicket{}}}
}

func TestR61ATicketIsClosedAndOpenedAgain(t *testing.T) {
	s := play(t,
		row{cora, closes("early"), no(notFound, "aggregate_id", "R11")},
		row{cora, open("It does not boot", "", ""), "TicketOpened"},
		row{cora, reopens(), "already"},
		row{sven, closes("tidy"), no(forbidden, "token", "R61")},
		row{cora, closes(strings.Repeat("x", 1001)), no(invalid, "close_ticket.reason", "bad input")},
		row{eve, closes("it boots"), "TicketClosed"},
		row{cora, closes("it boots"), "already"},
		row{cora, comment("thank you"), "TicketCommented"},
		row{leo, assign(fred, "Storage", ""), no(precondition, "aggregate_id", "R61")},
		row{sven, reopens(), no(forbidden, "token", "R61")},
		row{cora, reopens(), "TicketReopened"},
		row{leo, assign(fred, "Storage", ""), "TicketAssigned"},
		row{cora, closes(""), "TicketClosed"},
	)
	if !s.Closed() || s.ClosedBy.GetPerson().GetSubject() != "cora" || !s.ClosedAt.Equal(start) {
		t.Errorf("closed by %v at %s", s.ClosedBy, s.ClosedAt)
	}
}

// The provider's ticket system opens tickets, and nobody else of the provider does; it can do nothing else to one.
func TestR61TheProvidersTicketSystemOpensTicketsToo(t *testing.T) {
	s := play(t,
		row{leo, open("It does not boot", "", ""), no(forbidden, "token", "R61")},
		row{sven, open("It does not boot", "", ""), no(forbidden, "token", "R61")},
		row{desk, open("It does not boot", "", "sub-1"), "TicketOpened"},
		row{desk, comment("please"), no(forbidden, "token", "R11")},
		row{desk, assign(eve, "", ""), no(forbidden, "token", "R11")},
		row{desk, closes("it boots"), no(forbidden, "token", "R61")},
		row{cora, comment("what is this?"), "TicketCommented"},
		row{cora, closes("not ours"), "TicketClosed"},
		row{desk, reopens(), no(forbidden, "token", "R61")},
	)
	if !s.OfProvider() || s.OpenedBy.GetPerson().GetSubject() != "desk" {
		t.Errorf("opened by %v, of the provider: %t", s.OpenedBy, s.OfProvider())
	}
	if s := play(t, row{cora, open("It does not boot", "", ""), "TicketOpened"}); s.OfProvider() {
		t.Error("the customer's ticket is taken for the provider's")
	}
}

// Whoever holds the key of the service that writes tickets cannot open one in the name of the provider's people, or of
// a program of the customer's that calls a group of its own the same.
func TestR61TheFoldBelievesNoOtherOpener(t *testing.T) {
	named := story.Customer(story.Tenant, "bot")
	named.Groups = []string{aggregate.TicketSystems}
	for name, row := range map[string]struct {
		by               *lockboxv1.Actor
		faulty, provider bool
	}{
		"the customer": {cora, false, false}, "the ticket system": {desk, false, true}, "an engineer": {eve, true, false},
		"Lockbox":                         {story.System("lockbox-orchestrator"), true, false},
		"a customer's group of that name": {named, false, false},
	} {
		s := ticket.Evolve(ticket.State{}, 1, &lockboxv1.Event{Tenant: story.Tenant, Kind: aggregate.KindTicket,
			AggregateId: "sr-1", Version: 1, Time: timestamppb.New(start), Actor: row.by, Fact: &lockboxv1.Event_TicketOpened{
				TicketOpened: &lockboxv1.TicketOpened{Title: "It hangs", Reference: "SR-1"}}})
		if (s.Fault != nil) != row.faulty || s.OfProvider() != row.provider {
			t.Errorf("%s: fault %v, of the provider: %t", name, s.Fault, s.OfProvider())
		}
	}
}

func TestATicketHasAnEnd(t *testing.T) {
	rows := []row{{cora, open("It does not boot", "", ""), "TicketOpened"}}
	for range 499 {
		rows = append(rows, row{cora, comment("please"), "TicketCommented"})
	}
	play(t, append(rows, row{cora, comment("please"), no(precondition, "aggregate_id", "R11")},
		row{cora, closes("enough"), "TicketClosed"}, row{cora, reopens(), no(precondition, "aggregate_id", "R11")})...)
}

func TestR11WhoMayDoWhatToATicket(t *testing.T) {
	play(t,
		row{eve, open("It does not boot", "", ""), no(forbidden, "token", "R61")},
		row{cora, comment("hello?"), no(notFound, "aggregate_id", "R11")},
		row{leo, assign(eve, "", ""), no(notFound, "aggregate_id", "R11")},
		row{cora, open("It does not boot", "", ""), "TicketOpened"},
		row{cora, assign(eve, "", ""), no(forbidden, "token", "R11")},
		row{sven, assign(eve, "", ""), no(forbidden, "token", "R11")},
		row{sven, comment("hm"), no(forbidden, "token", "R11")},
		row{leo, assign(cora, "", ""), no(invalid, "assign_ticket.engineer.issuer", "R11")},
	)
}

func TestWhatATicketMaySay(t *testing.T) {
	nobody, unnamed, hidden := story.Provider(""), story.Provider("eve"), story.Provider("eve")
	unnamed.Person.DisplayName = ""
	hidden.Person.Email = "eve@example.org\r\nBcc: x@example.org"
	called := func(reference string) *lockboxv1.Command {
		c := open("It does not boot", "", "")
		c.GetOpenTicket().Reference = reference
		return c
	}
	play(t,
		row{cora, called(strings.Repeat("T", 201)), no(invalid, "open_ticket.reference", "bad input")},
		row{cora, called("  "), no(invalid, "open_ticket.reference", "bad input")},
		row{cora, called(aggregate.TicketID("#12345")), no(invalid, "open_ticket.reference", "R11")},
		row{cora, open("It", "", ""), no(invalid, "open_ticket.title", "bad input")},
		row{cora, open("It does\nnot boot", "", ""), no(invalid, "open_ticket.title", "bad input")},
		row{cora, open("It \u202edoes not", "", ""), no(invalid, "open_ticket.title", "bad input")},
		row{cora, open("It does not boot", "\x00", ""), no(invalid, "open_ticket.description", "bad input")},
		row{cora, open("It does not boot", "", "sub.1"), no(invalid, "open_ticket.subscription_id", "bad input")},
		row{cora, open("It does not boot", "", ""), "TicketOpened"},
		row{cora, comment(""), no(invalid, "comment_ticket.text", "bad input")},
		row{cora, comment("see\u200b"), no(invalid, "comment_ticket.text", "bad input")},
		row{leo, assign(nobody, "", ""), no(invalid, "assign_ticket.engineer.subject", "bad input")},
		row{leo, assign(unnamed, "", ""), no(invalid, "assign_ticket.engineer.display_name", "bad input")},
		row{leo, assign(hidden, "", ""), no(invalid, "assign_ticket.engineer.email", "bad input")},
		row{leo, assign(story.Human("N-1", eve), "", ""), no(invalid, "assign_ticket.engineer.human", "R51")},
		row{leo, assign(eve, "a\nb", ""), no(invalid, "assign_ticket.team", "bad input")},
		row{leo, assign(eve, "", "\u202e"), no(invalid, "assign_ticket.reason", "bad input")},
		row{leo, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{}}, no(invalid, "action", "bad input")},
	)
}

func TestATicketOfNoTenantOrAFaultyOneIsNotDecided(t *testing.T) {
	c := aggregate.Command{Command: open("It does not boot", "", ""), By: cora}
	if _, err := ticket.Decide(ticket.State{}, tenant.State{}, c, start); !refusal.Is(err, notFound) {
		t.Errorf("no tenant: %v", err)
	}
	var faulty ticket.State
	faulty.Fail(7, "somebody wrote nonsense")
	of := story.Case(cora, start).States.Tenant(story.Tenant)
	if _, err := ticket.Decide(faulty, of, c, start); !refusal.Is(err, precondition) {
		t.Errorf("a faulty ticket: %v", err)
	}
}

// R11: a ticket keeps its reference as it was given, and all its events repeat it.
func TestATicketIsCalledWhatTheCustomerCallsIt(t *testing.T) {
	called := open("It does not boot", "", "")
	called.GetOpenTicket().Reference = " org/Repo#12 "
	taken := open("It hangs", "", "")
	taken.AggregateId, taken.GetOpenTicket().Reference = aggregate.TicketID("ORG/repo#12"), "ORG/repo#12"
	rows := []row{{cora, called, "TicketOpened"}, {cora, taken, no(conflict, "open_ticket.reference", "R11")},
		{leo, assign(eve, "", ""), "TicketAssigned"}, {leo, assign(fred, "", ""), "TicketReassigned"},
		{cora, comment("please"), "TicketCommented"}}
	called.AggregateId = aggregate.TicketID("org/Repo#12")
	s := play(t, rows...)
	if s.Reference != "org/Repo#12" || s.ID != aggregate.TicketID("org/repo#12") {
		t.Errorf("%q, %q", s.Reference, s.ID)
	}
	// Of a ticket from before there were references, the id is the reference.
	if s := play(t, row{cora, open("It does not boot", "", ""), "TicketOpened"}); s.Reference != "T-1" || s.ID != "t-1" {
		t.Errorf("%q, %q", s.Reference, s.ID)
	}
}

// Whoever holds the key of the service that writes tickets cannot give one another's name.
func TestTheFoldBelievesNoOtherReference(t *testing.T) {
	opened := func(id, reference string) *lockboxv1.Event {
		return &lockboxv1.Event{Tenant: story.Tenant, Kind: aggregate.KindTicket, AggregateId: id, Version: 1,
			Time: timestamppb.New(start), Actor: cora, Fact: &lockboxv1.Event_TicketOpened{
				TicketOpened: &lockboxv1.TicketOpened{Title: "It hangs", Reference: reference}}}
	}
	for name, row := range map[string]struct {
		event  *lockboxv1.Event
		faulty bool
	}{
		"its own":                 {opened("sr-1", "SR-1"), false},
		"its hash":                {opened(aggregate.TicketID("#1"), "#1"), false},
		"none, as before":         {opened("SR-1", ""), false},
		"the id as it was before": {opened("SR-1", "SR-1"), true},
		"another's":               {opened("sr-1", "SR-2"), true},
		"with blanks around it":   {opened("sr-1", " SR-1"), true},
		"of several lines":        {opened(aggregate.TicketID("SR 1"), "SR\n1"), true},
		"like an id":              {opened(aggregate.TicketID("#1"), aggregate.TicketID("#1")), true},
	} {
		s := ticket.Evolve(ticket.State{}, 1, row.event)
		if (s.Fault != nil) != row.faulty {
			t.Errorf("%s: %v", name, s.Fault)
		}
	}
	s := ticket.Evolve(ticket.State{}, 1, opened("sr-1", "SR-1"))
	e := opened("sr-1", "")
	e.Version, e.Fact = 2, &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{
		Text: "please", Reference: "SR-2"}}
	if s = ticket.Evolve(s, 2, e); s.Fault == nil {
		t.Error("a comment on another ticket is believed")
	}
}

// R11: of old tickets that differ in letter case only, each is found as it is spelled, and nothing else finds one.
func TestWhichTicketIsMeant(t *testing.T) {
	hash := aggregate.TicketID("#1")
	upper, lower := ticket.Name{ID: "SR-1", Reference: "SR-1"}, ticket.Name{ID: "sr-1", Reference: "sr-1"}
	hashed := ticket.Name{ID: hash, Reference: "#1"}
	all := []ticket.Name{upper, lower, {ID: "sr-2", Reference: "SR-2"}, hashed}
	for named, want := range map[string]string{
		"SR-1": "SR-1", " sr-1 ": "sr-1", "SR-2": "sr-2", "sr-2": "sr-2", "#1": hash, hash: hash, "SR-3": "",
		"Sr-1": "fits several tickets (SR-1, sr-1); write it exactly as one of them",
	} {
		var fits []ticket.Name
		for _, n := range all {
			if n.Fits(named) {
				fits = append(fits, n)
			}
		}
		picked, found, err := ticket.Pick("ticket_id", named, fits)
		got := picked.ID
		if err != nil {
			got = refusal.Of(err).GetMessage()
		}
		if got != want || found != (err == nil && want != "") {
			t.Errorf("%q: %s, %t", named, got, found)
		}
		if err != nil && (!refusal.Is(err, conflict) || refusal.Of(err).GetField() != "ticket_id") {
			t.Errorf("%q: %v", named, err)
		}
	}
}
