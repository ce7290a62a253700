package bus_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// BenchmarkQuietCaller measures how long one caller waits for an answer while another has a number of requests open,
// and sends one more for each that is answered, or a second after it was refused. Each takes 50 ms, as a command does
// when the disk is busy; the responder is as large as the orchestrator's.
func BenchmarkQuietCaller(b *testing.B) {
	for _, flood := range []int{0, 1_000, 10_000} {
		b.Run(fmt.Sprintf("flood=%d", flood), func(b *testing.B) {
			server := journaltest.New(b, 1)
			nc := server.Connect(b, bus.Orchestrator)
			stop, err := bus.Responder{
				Name: "responder", Endpoint: "test", Subject: bus.AnyCommand, AtOnce: 512, MostWaiting: 4096,
				TimeLimit: time.Minute, Log: zap.NewNop(),
				Lane: func(_ string, data []byte) (string, bool) { return string(data), true },
				Answer: func(context.Context, string, []byte) proto.Message {
					time.Sleep(50 * time.Millisecond)
					return wrapperspb.String("done")
				},
				Refuse: func(*lockboxv1.Refusal) proto.Message { return wrapperspb.String("refused") },
			}.Serve(b.Context(), nc)
			if err != nil {
				b.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				b.Fatal(err)
			}
			loud := server.Connect(b, bus.Client)
			var sent, answered, refused atomic.Int64
			again := func() { // each with a reply subject of its own, or the server lets only one be answered
				reply := fmt.Sprint("_INBOX.client.loud.", sent.Add(1))
				_ = loud.PublishRequest(bus.CommandSubject(bus.Client, "approve"), reply, []byte("loud"))
			}
			_, err = loud.Subscribe("_INBOX.client.loud.*", func(m *nats.Msg) {
				if len(m.Data) != len("done")+2 {
					refused.Add(1)
					time.AfterFunc(time.Second, again)
					return
				}
				answered.Add(1)
				again()
			})
			if err != nil {
				b.Fatal(err)
			}
			for range flood {
				again()
			}
			time.Sleep(500 * time.Millisecond)
			client := server.Connect(b, bus.Client)
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				if _, err := client.Request(bus.CommandSubject(bus.Client, "approve"), []byte("quiet"), time.Minute); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
			}
			loud.Close()
			_ = stop()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/float64(time.Millisecond), "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100])/float64(time.Millisecond), "p99-ms")
			b.ReportMetric(float64(answered.Load()), "of-the-flood-answered")
			b.ReportMetric(float64(refused.Load()), "refused")
			b.ReportMetric(0, "ns/op")
		})
	}
}
