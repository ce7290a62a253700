package journaltest

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// NewID is a UUID of version 7.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// NewTenant is a tenant that no other case uses.
func NewTenant() string { return "t-" + strings.ReplaceAll(uuid.NewString(), "-", "")[:20] }

func newAggregate(tenant, kind string) aggregate.Key {
	return aggregate.Key{Tenant: tenant, Kind: kind, ID: NewID()}
}

// Event is some event of a decided kind that the orchestrator may write.
func Event(agg aggregate.Key, version uint64) *lockboxv1.Event {
	e := &lockboxv1.Event{Id: NewID(), Tenant: agg.Tenant, Kind: agg.Kind, AggregateId: agg.ID, Version: version}
	switch agg.Kind {
	case aggregate.KindTicket:
		e.Fact = &lockboxv1.Event_TicketCommented{
			TicketCommented: &lockboxv1.TicketCommented{Text: "the disk reports errors"}}
	case aggregate.KindSubscription, aggregate.KindTenant:
		e.Fact = &lockboxv1.Event_RoleRemoved{RoleRemoved: &lockboxv1.RoleRemoved{AssignmentId: "a-1"}}
	default:
		e.Fact = &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "not now"}}
	}
	return e
}

// report is what the notifier writes about one message to one recipient.
func report(agg aggregate.Key, key string) *lockboxv1.Event {
	return &lockboxv1.Event{
		Id: NewID(), Tenant: agg.Tenant, Kind: agg.Kind, AggregateId: agg.ID, ReportKey: key,
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}},
	}
}

// mustAppend appends n events to an aggregate and returns them with their sequences.
func mustAppend(t testing.TB, j *journal.Journal, agg aggregate.Key, n int) (events []*lockboxv1.Event, seqs []uint64) {
	t.Helper()
	after := uint64(0)
	for v := range n {
		e := Event(agg, uint64(v+1))
		seq, err := j.Append(context.Background(), after, e)
		if err != nil {
			t.Fatalf("append %d: %v", v+1, err)
		}
		events, seqs, after = append(events, e), append(seqs, seq), seq
	}
	return events, seqs
}

func mustLoad(t testing.TB, j *journal.Journal, agg aggregate.Key) []journal.Entry {
	t.Helper()
	entries, err := j.LoadAtLeader(context.Background(), agg)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
