package invariant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
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
