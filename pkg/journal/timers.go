package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// SetTimer sets or replaces the aggregate's timer: at that time, never earlier, FollowDue delivers the aggregate.
func (j *Journal) SetTimer(ctx context.Context, agg aggregate.Key, at time.Time) error {
	target, err := bus.DueSubject(agg)
	if err != nil {
		return err
	}
	subject, err := bus.TimerSubject(agg)
	if err != nil {
		return err
	}
	header := nats.Header{
		// Set by hand: nats.go truncates the time to seconds, so the timer would fire early.
		"Nats-Schedule":        {"@at " + at.UTC().Format(time.RFC3339Nano)},
		"Nats-Schedule-Target": {target},
		// A fired timer waits this long for the orchestrator to come back; there is one message per aggregate.
		"Nats-Schedule-TTL": {"720h"},
	}
	r := j.timers.persist(ctx, subject, &outgoing{Msg: &nats.Msg{Subject: subject, Header: header}})
	if r.err != nil {
		return fmt.Errorf("journal: timer of %s: %w", agg, j.complaint(r.err))
	}
	return nil
}

// Timers lists the aggregates of one kind that have a timer pending; an empty tenant means all tenants.
func (j *Journal) Timers(ctx context.Context, tenant, kind string) ([]aggregate.Key, error) {
	filter, err := bus.TimersFilter(tenant, kind)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*j.timeout)
	defer cancel()
	stream, err := j.js.Stream(ctx, bus.StreamTimers)
	if err != nil {
		return nil, fmt.Errorf("journal: timers: %w", j.complaint(err))
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("journal: timers: %w", j.complaint(err))
	}
	aggregates := make([]aggregate.Key, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		agg, err := bus.ParseTimerSubject(subject)
		if err != nil {
			return nil, fmt.Errorf("journal: timers: %w", err)
		}
		aggregates = append(aggregates, agg)
	}
	return aggregates, nil
}
