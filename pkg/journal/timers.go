package journal

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// SetTimer sets or replaces the aggregate's timer: at that time, never earlier, FollowDue delivers the aggregate.
func (j *Journal) SetTimer(ctx context.Context, agg aggregate.Key, at time.Time) error {
	_, err := j.setTimer(ctx, agg, at, nil)
	return err
}

// MoveTimer is SetTimer on the condition that the aggregate's timer is the one of a sequence, or that it has none (0).
// It returns the sequence of the new one. ErrConflict means that the timer was set otherwise, or has fired.
func (j *Journal) MoveTimer(ctx context.Context, agg aggregate.Key, at time.Time, from uint64) (uint64, error) {
	return j.setTimer(ctx, agg, at, []string{strconv.FormatUint(from, 10)})
}

func (j *Journal) setTimer(ctx context.Context, agg aggregate.Key, at time.Time, from []string) (uint64, error) {
	target, err := bus.DueSubject(agg)
	if err != nil {
		return 0, err
	}
	subject, err := bus.TimerSubject(agg)
	if err != nil {
		return 0, err
	}
	header := nats.Header{
		// Set by hand: nats.go truncates the time to seconds, so the timer would fire early.
		"Nats-Schedule":        {"@at " + at.UTC().Format(time.RFC3339Nano)},
		"Nats-Schedule-Target": {target},
		// A fired timer waits this long for the orchestrator to come back; there is one message per aggregate.
		"Nats-Schedule-TTL": {"720h"},
	}
	if from != nil {
		header[jetstream.ExpectedLastSubjSeqHeader] = from
	}
	r := j.timers.persist(ctx, subject, &nats.Msg{Subject: subject, Header: header})
	switch {
	case conflict(r.err):
		return 0, fmt.Errorf("%w: timer of %s", ErrConflict, agg)
	case r.err != nil:
		return 0, fmt.Errorf("journal: timer of %s: %w", agg, j.complaint(r.err))
	}
	return r.seqs[0], nil
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
