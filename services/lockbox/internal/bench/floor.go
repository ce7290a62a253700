package bench

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"google.golang.org/protobuf/proto"
)

// Floor is the baseline set by the disk: the durable writes of one request, made sequentially, each after the previous
// one is on disk, and without any readers.
type Floor struct {
	When string `json:"when"`
	// Writes is the number of writes per request.
	Writes int `json:"writes"`
	// Rate is the throughput in requests per second.
	Rate float64 `json:"requests_per_s"`
	Latency
}

func measureFloor(ctx context.Context, s *site, when string, d time.Duration) (Floor, error) {
	floor := Floor{When: when}
	var took []time.Duration
	var total time.Duration
	err := s.with(ctx, none, func(running *stack.Stack) error {
		p, err := connectAll(ctx, running, bus.Tool(tool), bus.Evaluator, bus.Orchestrator)
		if err != nil {
			return err
		}
		defer p.Close()
		w, err := newWriter(ctx, s, p[bus.Orchestrator].Journal)
		if err != nil {
			return err
		}
		for end := time.Now().Add(d); time.Now().Before(end); {
			l := w.generate(time.Now(), active)
			one, err := writeSingly(ctx, p, l)
			if err != nil {
				return err
			}
			took = append(took, one)
			total += one
			floor.Writes = 1 + len(l.events) + len(l.timers)
		}
		return nil
	})
	floor.Rate, floor.Latency = perSecond(len(took), total), latency(took)
	return floor, err
}

// writeSingly returns the duration of the writes, excluding the creation of the messages.
func writeSingly(ctx context.Context, p peers, l life) (time.Duration, error) {
	subject, err := bus.IntentSubject(tool, l.intent.GetTenant())
	if err != nil {
		return 0, err
	}
	data, err := proto.Marshal(l.intent)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if _, err := p[bus.Tool(tool)].js.Publish(ctx, subject, data); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	after, before := uint64(0), []byte(nil)
	timers := l.timers
	for _, e := range l.events {
		content, err := proto.Marshal(e)
		if err != nil {
			return 0, err
		}
		one, seq, err := publish(ctx, p[bus.Identity(aggregate.WriterOf(e))], e, after, content, before)
		if err != nil {
			return 0, err
		}
		took, after, before = took+one, seq, content
		if !setsTimer(e) {
			continue
		}
		begun := time.Now()
		if err := p[bus.Orchestrator].SetTimer(ctx, aggregate.KeyOf(e), timers[0]); err != nil {
			return 0, err
		}
		took, timers = took+time.Since(begun), timers[1:]
	}
	return took, nil
}

// setsTimer reports whether the orchestrator sets a timer after the event.
func setsTimer(e *lockboxv1.Event) bool {
	return e.GetCustomerNotified() != nil || e.GetAccessGranted() != nil
}

// publish stores an event the way an uncontended journal does, but without the journal. It is signed before the time is
// taken.
func publish(
	ctx context.Context, p peer, e *lockboxv1.Event, after uint64, content, before []byte,
) (time.Duration, uint64, error) {
	subject, err := bus.EventSubject(e)
	if err != nil {
		return 0, 0, err
	}
	u := signed.Unsigned{Subject: subject, Content: content}
	if before != nil {
		u.Previous = signed.Hash(before)
	}
	data, err := p.signer.Sign([]signed.Unsigned{u})
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	ack, err := p.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data[0]},
		jetstream.WithMsgID(e.GetId()), jetstream.WithExpectLastSequenceForSubject(after, bus.Filter(aggregate.KeyOf(e))))
	if err != nil {
		return 0, 0, err
	}
	return time.Since(begun), ack.Sequence, nil
}
