package signed_test

import (
	"fmt"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/signed"
)

func commitOf(b *testing.B, count int) (commit []signed.Unsigned) {
	for i := range count {
		e := comment(1, "The disk reports errors since the last start.")
		e.AggregateId = fmt.Sprint("t", i)
		commit = append(commit, unsigned(b, e, nil))
	}
	return commit
}

// What it costs to sign an event, by how many are stored together.
func BenchmarkSign(b *testing.B) {
	s := signer(b, aggregate.Orchestrator, "orchestrator")
	for _, count := range []int{1, 2, 16, 256} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			commit := commitOf(b, count)
			for b.Loop() {
				sign(b, s, commit...)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/event")
		})
	}
}

// What it costs to judge an event, by how many were stored together.
func BenchmarkCheck(b *testing.B) {
	s := signer(b, aggregate.Orchestrator, "orchestrator")
	for _, count := range []int{1, 2, 16, 256} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			commit := commitOf(b, count)
			stored := sign(b, s, commit...)
			events := make([]signed.Message, count)
			for i := range events {
				e := comment(1, "")
				e.AggregateId = fmt.Sprint("t", i)
				events[i] = signed.Message{Sequence: uint64(20 + i), Subject: commit[i].Subject, Stored: stored[i], Event: e}
			}
			for b.Loop() {
				b.StopTimer()
				ring := ours(b).began() // which has verified none of them
				b.StartTimer()
				for _, m := range events {
					if err := ring.CheckAlone(m); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/event")
		})
	}
}
