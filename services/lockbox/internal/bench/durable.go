package bench

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"golang.org/x/sync/errgroup"
)

// consumer names a durable consumer.
type consumer struct{ stream, name string }

func durables(id bus.Identity) []consumer {
	switch id {
	case bus.Evaluator:
		return []consumer{{bus.StreamIntents, bus.DurableEvaluator}}
	case bus.Orchestrator:
		return []consumer{{bus.StreamEvents, bus.DurableOrchestrator}, {bus.StreamTimers, bus.DurableDue}}
	case bus.Notifier:
		return []consumer{{bus.StreamEvents, bus.DurableNotifier}}
	}
	return nil
}

// pollEvery is the polling interval.
const pollEvery = 20 * time.Millisecond

// awaitIdle waits until a service's consumers have delivered all messages and received all acknowledgements.
func awaitIdle(ctx context.Context, running *stack.Stack, id bus.Identity) error {
	return consumers(ctx, running, id, func(c jetstream.Consumer) error { return idle(ctx, c) })
}

// skip acknowledges all pending messages on a service's behalf.
func skip(ctx context.Context, running *stack.Stack, id bus.Identity) error {
	return consumers(ctx, running, id, func(c jetstream.Consumer) error {
		// After a lost acknowledgement, the message is redelivered.
		consuming, err := c.Consume(func(m jetstream.Msg) { _ = m.Ack() }, jetstream.PullMaxMessages(bus.MaxAckPending))
		if err != nil {
			return err
		}
		defer consuming.Stop()
		return idle(ctx, c)
	})
}

// consumers calls do for each of a service's consumers, with the service's permissions.
func consumers(ctx context.Context, running *stack.Stack, id bus.Identity, do func(jetstream.Consumer) error) error {
	p, err := connect(ctx, running, id)
	if err != nil {
		return err
	}
	defer p.Close()
	for _, d := range durables(id) {
		consumer, err := p.js.Consumer(ctx, d.stream, d.name)
		if err != nil {
			return err
		}
		if err := do(consumer); err != nil {
			return err
		}
	}
	return nil
}

func idle(ctx context.Context, consumer jetstream.Consumer) error {
	for {
		info, err := consumer.Info(ctx)
		if err != nil {
			return err
		}
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// eachAtOnce calls do for each item, up to n at a time, and stops at the first error.
func eachAtOnce[T any](ctx context.Context, n int, items []T, do func(context.Context, T) error) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(n)
	for _, item := range items {
		all.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return do(ctx, item)
		})
	}
	return all.Wait()
}
