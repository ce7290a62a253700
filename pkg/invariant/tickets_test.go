package invariant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// I20: whoever holds the keys of the services that write tickets and requests cannot give one ticket another's name,
// nor say that a request is about another ticket than its intent names.
func TestI20ForgedNamesOfTicketsAreFound(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	ticket := func(after time.Duration, id, reference string) *lockboxv1.Event {
		return &lockboxv1.Event{Tenant: story.Tenant, Kind: aggregate.KindTicket, AggregateId: id, Version: 1,
			Time: timestamppb.New(at.Add(after)), Fact: &lockboxv1.Event_TicketOpened{
				TicketOpened: &lockboxv1.TicketOpened{Title: "It hangs", Reference: reference}}}
	}
	request := func(id, named string) *lockboxv1.Event {
		const own = "019cadc7-9c00-7000-8000-000000000001"
		return &lockboxv1.Event{Tenant: story.Tenant, Kind: aggregate.KindRequest, AggregateId: own, Version: 1,
			Time: timestamppb.New(at.Add(time.Hour)), Actor: story.Provider("eve", aggregate.SupportEngineers),
			Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{TicketId: id,
				Intent: &lockboxv1.AccessIntent{Id: own, Tenant: story.Tenant, TicketId: named}}}}
	}
	hash := aggregate.TicketID("#1")
	for name, row := range map[string]struct {
		events []*lockboxv1.Event
		broken bool
	}{
		"two":                         {[]*lockboxv1.Event{ticket(0, "sr-1", "SR-1"), ticket(1, hash, "#1")}, false},
		"old ones that fall together": {[]*lockboxv1.Event{ticket(0, "SR-1", ""), ticket(1, "sr-1", "")}, false},
		"a new one beside an old one": {[]*lockboxv1.Event{ticket(0, "SR-1", ""), ticket(1, "sr-1", "Sr-1")}, true},
		"two of one reference":        {[]*lockboxv1.Event{ticket(0, hash, "# 1"), ticket(1, "x", "#  1")}, true},
		"a request":                   {[]*lockboxv1.Event{ticket(0, "sr-1", "SR-1"), request("sr-1", "SR-1")}, false},
		"a request about an old one":  {[]*lockboxv1.Event{ticket(0, "SR-1", ""), request("SR-1", "SR-1")}, false},
		"a request from before":       {[]*lockboxv1.Event{ticket(0, "SR-1", ""), request("", "SR-1")}, false},
		"a request about nothing":     {[]*lockboxv1.Event{ticket(0, "sr-1", "SR-1"), request("sr-2", "SR-2")}, false},
		"a request about another":     {[]*lockboxv1.Event{ticket(0, "sr-1", "SR-1"), request("sr-1", "SR-2")}, true},
		"a request in other words":    {[]*lockboxv1.Event{ticket(0, "sr-1", "SR-1"), request("sr-1", "sr-1")}, true},
		"a request that overlooks it": {[]*lockboxv1.Event{ticket(0, "SR-1", ""), request("sr-1", "SR-1")}, true},
	} {
		var history []invariant.Recorded
		for i, e := range row.events {
			history = append(history, invariant.Recorded{Sequence: uint64(i) + 1, Event: e})
		}
		found := slices.ContainsFunc(invariant.Check(history),
			func(v invariant.Violation) bool { return v.Invariant == "I20" })
		if found != row.broken {
			t.Errorf("%s: found %t; %v", name, found, invariant.Check(history))
		}
	}
}

// I20: whoever holds the keys of the services cannot pass a ticket of the provider's off as the customer's, nor begin
// or keep up access beside a closed ticket, nor end access by a closing that there was not (R61).
func TestI20ForgeriesAboutWhatRestsOnATicketAreFound(t *testing.T) {
	desk := story.Provider("desk", aggregate.TicketSystems)
	history := func(by *lockboxv1.Actor, closes, ends bool, later time.Duration) []invariant.Recorded {
		s := story.Case(gina, start)
		ticketed(s, by)
		submit(s, &lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
			Facts: &lockboxv1.EvaluationFacts{CustomerData: true, LockboxEnabled: true},
		})
		perform(s, request.Notify, start)
		s.At(start.Add(time.Minute)).Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{
			Approve: &lockboxv1.Approve{}}})
		perform(s, request.Grant, start.Add(time.Minute))
		if closes {
			s.At(start.Add(time.Hour)).Command(gina, closeTicket)
		}
		if ends {
			perform(s, request.TakeAway, start.Add(time.Hour))
		}
		s.At(start.Add(later)).Command(gina, &lockboxv1.Command{AggregateId: "T-1",
			Action: &lockboxv1.Command_CommentTicket{CommentTicket: &lockboxv1.CommentTicket{Text: "thanks"}}})
		return s.History()
	}
	change := func(typ string, with func(*lockboxv1.Event)) func([]invariant.Recorded) {
		return func(history []invariant.Recorded) {
			for i, r := range history {
				if aggregate.TypeOf(r.Event) == typ {
					history[i].Event = proto.CloneOf(r.Event)
					with(history[i].Event)
				}
			}
		}
	}
	honest := func([]invariant.Recorded) {}
	for name, row := range map[string]struct {
		history []invariant.Recorded
		forge   func([]invariant.Recorded)
		broken  bool
	}{
		"access goes on":              {history(gina, false, false, 2*time.Hour), honest, false},
		"it ended with its ticket":    {history(gina, true, true, 3*time.Hour), honest, false},
		"it has not ended yet":        {history(gina, true, false, 90*time.Minute), honest, false},
		"it does not end":             {history(gina, true, false, 3*time.Hour), honest, true},
		"the provider opened it":      {history(desk, false, false, 2*time.Hour), honest, true},
		"it is said not to be bound":  {history(gina, false, false, 2*time.Hour), change("AccessGranted", unbind), true},
		"somebody else closed it":     {history(gina, true, true, 3*time.Hour), change("AccessRevoked", blame), true},
		"at another time":             {history(gina, true, true, 3*time.Hour), change("AccessRevoked", mistime), true},
		"it began on no known ticket": {history(gina, false, false, 2*time.Hour), change("AccessGranted", unread), true},
	} {
		row.forge(row.history)
		found := slices.ContainsFunc(invariant.Check(row.history),
			func(v invariant.Violation) bool { return v.Invariant == "I20" })
		if found != row.broken {
			t.Errorf("%s: found %t; %v", name, found, invariant.Check(row.history))
		}
		booked, err := booked(t, inStream(t, row.history))
		if err != nil || slices.ContainsFunc(booked,
			func(v invariant.Violation) bool { return v.Invariant == "I20" }) != row.broken {
			t.Errorf("%s, as stored: %v, %v", name, booked, err)
		}
	}
}

// ticketed has the tenant's access end with its ticket, and opens the ticket T-1.
func ticketed(s *story.Story, by *lockboxv1.Actor) {
	s.Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
		Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en", AccessEndsWithTicket: true}}}})
	s.Command(by, &lockboxv1.Command{Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{
		Title: "It does not boot", Reference: "T-1"}}})
}

var closeTicket = &lockboxv1.Command{AggregateId: "T-1", Action: &lockboxv1.Command_CloseTicket{
	CloseTicket: &lockboxv1.CloseTicket{}}}

func unbind(e *lockboxv1.Event)  { e.GetAccessGranted().EndsWithTicket = false }
func unread(e *lockboxv1.Event)  { e.GetAccessGranted().TicketSequence = 1 }
func blame(e *lockboxv1.Event)   { e.GetAccessRevoked().TicketClosedBy = eve }
func mistime(e *lockboxv1.Event) { e.GetAccessRevoked().TicketSequence++ }
