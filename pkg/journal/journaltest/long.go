package journaltest

import (
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

func (c *contract) longAggregate(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	const n = 1100
	events := make([]*lockboxv1.Event, n)
	for i := range events {
		events[i] = Event(agg, uint64(i+1)) // #nosec G115 -- a small number
	}
	after := uint64(0)
	for chunk := range slices.Chunk(events, 50) {
		stored, err := c.writer.AppendAll(t.Context(), after, chunk...)
		if err != nil {
			t.Fatal(err)
		}
		after = stored[len(stored)-1]
	}
	entries := mustLoad(t, c.reader, agg)
	if len(entries) != n {
		t.Fatalf("%d events", len(entries))
	}
	for i, e := range entries {
		if !proto.Equal(e.Event, events[i]) {
			t.Fatalf("event %d is %v", i, e.Event)
		}
	}
}
