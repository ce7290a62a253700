package ledger

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// BenchmarkBuild builds, signs and keeps the trees of a stream that is in memory, second copy included, beside the
// floor: one hash over each event's bytes.
func BenchmarkBuild(b *testing.B) {
	const events, tenants = 100_000, 5
	s := &stream{t: b}
	text := string(make([]byte, 200))
	for i := range events {
		id := uuid.Must(uuid.NewV7()).String()
		s.add(&lockboxv1.Event{
			Id: id, Tenant: fmt.Sprintf("tenant-%d", i%tenants), Kind: aggregate.KindTicket, AggregateId: id, Version: 1,
			Fact: &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: text}},
		})
	}
	k := keys(b)
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			for _, e := range s.entries[:events] {
				sha256.Sum256(e.Data)
			}
		}
		b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("trees", func(b *testing.B) {
		for b.Loop() {
			s.entries = s.entries[:events]
			passes(b, begin(b, s, b.TempDir(), k))
		}
		b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
