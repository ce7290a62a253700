package journal_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// BenchmarkQuietTenant measures how long a tenant's event waits at most until it is handled, from when it was appended,
// while a number of another tenant's events wait that were appended before. Each of those takes 50 ms, 256 at once:
// about what a service does that writes for each.
func BenchmarkQuietTenant(b *testing.B) {
	for _, flood := range []int{0, 1_500, 10_000} {
		b.Run(fmt.Sprintf("flood=%d", flood), func(b *testing.B) {
			for b.Loop() {
				quiet(b, flood)
			}
		})
	}
}

func quiet(b *testing.B, flood int) {
	server := journaltest.Start(b, 1)
	j := server.Journal(b, bus.Orchestrator)
	subscription := func(tenant string) aggregate.Key {
		return aggregate.Key{Tenant: tenant, Kind: aggregate.KindSubscription, ID: newID()}
	}
	add := func(about aggregate.Key) {
		if _, err := j.Append(b.Context(), 0, journaltest.Event(about, 1)); err != nil {
			b.Error(err)
		}
	}
	var left atomic.Int64
	left.Store(int64(flood))
	var all sync.WaitGroup
	for range 256 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				add(subscription("loud"))
			}
		})
	}
	all.Wait()
	ctx, stop := context.WithCancel(b.Context())
	ended, handled := make(chan error, 1), make(chan struct{}, 1)
	var loud atomic.Int64
	go func() {
		following := journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator, Concurrency: 512}
		ended <- j.Follow(ctx, following, func(_ context.Context, e journal.Entry) error {
			if e.Event.GetTenant() == "quiet" {
				handled <- struct{}{}
				return nil
			}
			time.Sleep(50 * time.Millisecond)
			loud.Add(1)
			return nil
		})
	}()
	var took []time.Duration
	for len(took) < 10 || loud.Load() < int64(flood) {
		begun := time.Now()
		add(subscription("quiet"))
		<-handled
		took = append(took, time.Since(begun))
	}
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(slices.Max(took))/float64(time.Millisecond), "longest-ms")
	b.ReportMetric(0, "ns/op")
}
