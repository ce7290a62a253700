package journal_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// BenchmarkJudge is a replay of a signed stream with and without a keyring, in turns: what all processors work for each
// event, the server's included, and how many times as much it is with one.
func BenchmarkJudge(b *testing.B) {
	for _, commit := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("%d a commit", commit), func(b *testing.B) { judge(b, commit) })
	}
}

func judge(b *testing.B, commit int) {
	const events = 16_000
	b.Helper()
	server, d := journaltest.Start(b, 1), signedtest.New(b, "ours")
	orch := server.Journal(b, bus.Orchestrator, journal.WithSigner(d.Writer(aggregate.Orchestrator)),
		journal.WithTimeout(time.Minute), journal.WithBatchFrom(1<<30)) // nothing but what is appended together
	if _, err := orch.Append(b.Context(), 0, d.Began(journaltest.NewID(), time.Now())); err != nil {
		b.Fatal(err)
	}
	var all errgroup.Group
	all.SetLimit(64)
	for range events / 16 {
		all.Go(func() error {
			about, after := newTicket(), uint64(0)
			for v := uint64(1); v <= 16; {
				together := make([]*lockboxv1.Event, commit)
				for i := range together {
					together[i] = comment(about, v)
					together[i].Time = timestamppb.Now()
					v++
				}
				at, err := orch.AppendAll(context.Background(), after, together...)
				if err != nil {
					return err
				}
				after = at[len(at)-1]
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
	replay := func(options ...journal.Option) time.Duration {
		reader := server.Journal(b, bus.Projector, options...)
		used, count := processors(b), 0
		err := reader.Replay(context.Background(), journal.Replay{Misfit: func(e journal.Entry, m journal.Misfit) error {
			return fmt.Errorf("%d: %s", e.Seq, m.Rule)
		}}, func(journal.Entry) error { count++; return nil })
		if err != nil || count != events+1 {
			b.Fatal(count, err)
		}
		return processors(b) - used
	}
	var without, with time.Duration
	var verified uint64
	n := 0
	for b.Loop() {
		keys := d.Keyring()
		without += replay()
		with += replay(journal.WithKeyring(keys))
		verified, n = keys.Verifications(), n+events
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(without.Microseconds())/float64(n), "cpu-µs/event-before")
	b.ReportMetric(float64(with.Microseconds())/float64(n), "cpu-µs/event-judged")
	b.ReportMetric(float64(with)/float64(without), "ratio")
	b.ReportMetric(float64(events)/float64(verified), "events/signature")
}

// processors is the time that all processors have worked for this process.
func processors(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
