package repository_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// R11: a ticket is found by its reference in any spelling, one from before there were references too. Two that fall
// together stay two, and only their own spelling finds them.
func TestATicketIsFoundByItsReferenceInAnySpelling(t *testing.T) {
	t.Parallel()
	j := shared.Bus(t).Journal(t, bus.Orchestrator)
	tenant, other := journaltest.NewTenant(), journaltest.NewTenant()
	open := func(tenant, id, reference string) {
		t.Helper()
		if _, err := j.Append(t.Context(), 0, &lockboxv1.Event{
			Id: newID(t), Tenant: tenant, Kind: aggregate.KindTicket, AggregateId: id, Version: 1, Time: timestamppb.Now(),
			Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
				Person: &lockboxv1.Person{Issuer: "https://acme.example", Subject: "cora"}},
			Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{Title: "It hangs", Reference: reference}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	hash := aggregate.TicketID("Org/Repo#12")
	for _, old := range []string{"SR-1", "sr-1", "SR-2", "sr-3"} {
		open(tenant, old, "")
	}
	open(tenant, "sr-4", "SR-4")
	open(tenant, hash, "Org/Repo#12")
	open(other, "SR-5", "")
	r := repository.New(j)
	finds := func(rows map[string]string) {
		t.Helper()
		for named, want := range rows {
			key, err := r.TicketKey(t.Context(), "ticket_id", tenant, named)
			got := key.ID
			if refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT) && refusal.Of(err).GetField() == "ticket_id" {
				got = refusal.Of(err).GetMessage()
			} else if err != nil || key.Tenant != tenant {
				t.Errorf("%q: %v, %v", named, key, err)
			}
			if got != want {
				t.Errorf("%q: %s, want %s", named, got, want)
			}
		}
	}
	for range 2 { // read from the stream, and then remembered
		finds(map[string]string{
			"SR-1": "SR-1", "sr-1": "sr-1", " SR-1 ": "SR-1",
			"Sr-1": "fits several tickets (SR-1, sr-1); write it exactly as one of them",
			"SR-2": "SR-2", "sr-2": "SR-2", "SR-3": "sr-3", "sr-3": "sr-3",
			"SR-4": "sr-4", "sr-4": "sr-4", "org/repo#12": hash, hash: hash,
			"SR-5": "sr-5", "#9": aggregate.TicketID("#9"), // there is none
		})
	}
	// While an older version runs beside this one, tickets without references are still opened.
	open(tenant, "SR-5", "")
	finds(map[string]string{"sr-5": "SR-5"})
}
