package projection_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap"
)

// crowd is as it comes from the stream: bytes.
var crowd = sync.OnceValue(func() []projection.Event {
	var events []projection.Event
	for _, e := range story.Crowd(20_000).Entries {
		events = append(events, projection.Event{Sequence: e.Seq, Bytes: e.Data})
	}
	return events
})

func decoded(b *testing.B, batch []projection.Event) []projection.Event {
	b.Helper()
	list := make([]projection.Event, len(batch))
	for i, e := range batch {
		event, err := input.DecodeEvent(e.Bytes)
		if err != nil {
			b.Error(err)
		}
		list[i] = projection.Event{Sequence: e.Sequence, Bytes: e.Bytes, Event: event}
	}
	return list
}

func build(b *testing.B, dir string, events []projection.Event) *projection.Store {
	b.Helper()
	s, err := projection.Open(context.Background(), dir, projection.Options{Log: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	for batch := range slices.Chunk(events, 2000) {
		if err := s.Apply(context.Background(), decoded(b, batch)); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Complete(context.Background()); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkRebuild is decoding and writing everything, with the indexes at the end.
func BenchmarkRebuild(b *testing.B) {
	events := crowd()
	b.ResetTimer()
	for range b.N {
		start, used := time.Now(), processor(b)
		s, err := projection.Open(context.Background(), b.TempDir(), projection.Options{Log: zap.NewNop()})
		if err != nil {
			b.Fatal(err)
		}
		batches := make(chan []projection.Event, 4)
		go func() {
			for batch := range slices.Chunk(events, 2000) {
				batches <- decoded(b, batch)
			}
			close(batches)
		}()
		for batch := range batches {
			if err := s.Apply(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
		}
		written := time.Since(start)
		if err := s.Complete(context.Background()); err != nil {
			b.Fatal(err)
		}
		n := float64(len(events))
		b.ReportMetric(n/time.Since(start).Seconds(), "events/s")
		b.ReportMetric(n/written.Seconds(), "written/s")
		b.ReportMetric(n, "events")
		b.ReportMetric(float64((processor(b)-used).Microseconds())/n, "cpu-µs/event")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// processor is the time that all processors have worked for this process, which tells more than the clock does where
// others work too.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFollow is writing what arrives, in batches of that many, with all indexes in place.
func BenchmarkFollow(b *testing.B) {
	events := crowd()
	half := len(events) / 2
	for _, batch := range []int{1, 10, 100, 2000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			s := build(b, b.TempDir(), events[:half])
			defer func() { _ = s.Close() }()
			written, rest := 0, slices.Collect(slices.Chunk(events[half:], batch))
			start := time.Now()
			for i := range min(len(rest), 20_000/batch) {
				if err := s.Apply(context.Background(), decoded(b, rest[i])); err != nil {
					b.Fatal(err)
				}
				written += len(rest[i])
			}
			b.ReportMetric(float64(written)/time.Since(start).Seconds(), "events/s")
			b.ReportMetric(float64(time.Since(start).Microseconds())/1000/float64(written)*float64(batch), "ms/commit")
		})
	}
}

// BenchmarkActivity asks for the first page of several filters.
func BenchmarkActivity(b *testing.B) {
	events := crowd()
	s := build(b, b.TempDir(), events)
	defer func() { _ = s.Close() }()
	bank := projection.Scope{Tenant: "meadowbank", All: true}
	ends := decoded(b, []projection.Event{events[0], events[len(events)-1]})
	first, last := ends[0].Event.GetTime().AsTime(), ends[1].Event.GetTime().AsTime()
	middle := first.Add(last.Sub(first) / 2)
	for name, row := range map[string]struct {
		scope  projection.Scope
		filter projection.ActivityFilter
	}{
		"none": {bank, projection.ActivityFilter{}},
		"action, person, subscription": {bank,
			projection.ActivityFilter{Types: []string{"CustomerApproved"}, Person: "owner-01-1@meadowbank.example",
				SubscriptionID: "sub-01"}},
		"action, resource, old time": {bank,
			projection.ActivityFilter{Types: []string{"CustomerDenied"}, Since: first, Until: middle,
				Resource: "/subscriptions/sub-00/providers/Microsoft.Compute/virtualMachines/vm-000"}},
		"person, subscription, time": {bank,
			projection.ActivityFilter{Person: "Engineer 03", SubscriptionID: "sub-01", Since: middle}},
		"action, subscription, resource": {bank,
			projection.ActivityFilter{Types: []string{"AccessGranted"}, SubscriptionID: "sub-05",
				Resource: "/subscriptions/sub-05/providers/Microsoft.Compute/virtualMachines/vm-00005"}},
		"nothing fits": {bank,
			projection.ActivityFilter{Types: []string{"CustomerDenied"}, Person: "Engineer 07", SubscriptionID: "sub-03"}},
		"everywhere, action, person": {projection.Scope{All: true},
			projection.ActivityFilter{Types: []string{"AccessRequested"}, Person: "Engineer 07"}},
		"own requests, action": {projection.Scope{Principals: []string{projection.Person(
			story.Provider("engineer-07").GetPerson())}}, projection.ActivityFilter{Types: []string{"CustomerApproved"}}},
		"group's requests": {projection.Scope{Principals: []string{projection.Group("devops-managers")}},
			projection.ActivityFilter{}},
		"two subscriptions' owner, action": {projection.Scope{Tenant: "meadowbank",
			Subscriptions: []string{"sub-03", "sub-05"}}, projection.ActivityFilter{Types: []string{"CustomerNotified"}}},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			found := 0
			for range b.N {
				start := time.Now()
				v, err := s.Snapshot(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				list, err := v.Activities(context.Background(), row.scope, row.filter, 100)
				if err != nil {
					b.Fatal(err)
				}
				found = len(list)
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
			b.ReportMetric(float64(found), "found")
			b.ReportMetric(0, "ns/op")
		})
	}
}
