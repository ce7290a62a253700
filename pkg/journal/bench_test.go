package journal_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

var inFlight = []int{1, 64, 256}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// comment is an event of about 300 bytes.
func comment(agg aggregate.Key, version uint64) *lockboxv1.Event {
	return &lockboxv1.Event{
		Id: newID(), Tenant: agg.Tenant, Kind: agg.Kind, AggregateId: agg.ID, Version: version, CausationId: newID(),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Contoso", Person: &lockboxv1.Person{
			Issuer: "https://login.example.org", Subject: "u-4711", DisplayName: "Erika Beispiel", Email: "erika@example.org",
		}},
		Fact: &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{
			Text: "The disk of the second node reports errors since this morning; I need to read its kernel log.",
		}},
	}
}

func newTicket() aggregate.Key {
	return aggregate.Key{Tenant: "acme", Kind: aggregate.KindTicket, ID: newID()}
}

// concurrently runs one b.N times, at most n at once, and reports the rate and nothing else.
func concurrently(b *testing.B, n int, one func(worker int) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for w := range n {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := one(w); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range inFlight {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			j := journaltest.Start(b, 1).Journal(b, bus.Orchestrator)
			concurrently(b, n, func(int) error {
				_, err := j.Append(context.Background(), 0, comment(newTicket(), 1))
				return err
			})
		})
	}
}

// BenchmarkPlainPublish is the floor: the same messages, published and awaited singly.
func BenchmarkPlainPublish(b *testing.B) {
	for _, n := range inFlight {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			js, err := bus.JetStream(journaltest.Start(b, 1).Connect(b, bus.Orchestrator))
			if err != nil {
				b.Fatal(err)
			}
			concurrently(b, n, func(int) error {
				ev := comment(newTicket(), 1)
				subject, err := bus.EventSubject(ev)
				if err != nil {
					return err
				}
				data, err := proto.Marshal(ev)
				if err != nil {
					return err
				}
				_, err = js.PublishMsg(context.Background(), &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}},
					jetstream.WithMsgID(ev.GetId()),
					jetstream.WithExpectLastSequenceForSubject(0, bus.Filter(aggregate.KeyOf(ev))))
				return err
			})
		})
	}
}

// fill stores many tickets of six events each.
func fill(b *testing.B, j *journal.Journal, tickets int) []aggregate.Key {
	b.Helper()
	aggs := make([]aggregate.Key, tickets)
	var all errgroup.Group
	all.SetLimit(512)
	for i := range aggs {
		aggs[i] = newTicket()
		all.Go(func() error {
			seq := uint64(0)
			for v := uint64(1); v <= 6; v++ {
				var err error
				if seq, err = j.Append(context.Background(), seq, comment(aggs[i], v)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
	return aggs
}

func BenchmarkRead(b *testing.B) {
	const tickets = 20_000
	server := journaltest.Start(b, 1)
	j := server.Journal(b, bus.Orchestrator, journal.WithTimeout(time.Minute))
	aggs := fill(b, j, tickets)
	b.Run(fmt.Sprintf("load among %d", tickets*6), func(b *testing.B) {
		for i := range b.N {
			if entries, err := j.Load(context.Background(), aggs[i%tickets]); err != nil || len(entries) != 6 {
				b.Fatal(len(entries), err)
			}
		}
	})
	b.Run("replay", func(b *testing.B) {
		reader := server.Journal(b, bus.Compliance)
		count := 0
		for b.Loop() {
			if err := reader.Replay(context.Background(), journal.Replay{},
				func(journal.Entry) error { count++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "events/s")
	})
}
