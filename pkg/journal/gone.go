package journal

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
)

// Whole reports whether the leader knows of no message that was removed: the stream begins at 1 and has no gap.
func (c Copies) Whole() bool { return c.Missing == 0 && (c.First <= 1 || c.Last == 0) }

// gone returns the first sequence, from one on, whose message the leader knows to have been removed; 0 if there is
// none.
func (j *Journal) gone(ctx context.Context, c Copies, from uint64) (uint64, error) {
	switch {
	case c.Whole() || from > c.Last:
		return 0, nil
	case from < c.First:
		return from, nil
	}
	var info struct {
		Error *jetstream.APIError `json:"error"`
		State struct {
			Deleted []uint64 `json:"deleted"`
		} `json:"state"`
	}
	details := []byte(`{"deleted_details":true}`)
	if err := j.ask(ctx, bus.StreamInfoSubject(bus.StreamEvents), details, &info); err != nil {
		return 0, err
	}
	if info.Error != nil {
		return 0, info.Error
	}
	first := uint64(0)
	for _, sequence := range info.State.Deleted {
		if sequence >= from && (first == 0 || sequence < first) {
			first = sequence
		}
	}
	return first, nil
}

// incomplete refuses what cannot be said of a stream that has lost a message (I6).
func incomplete(sequence uint64) error {
	return refusal.Unavailable("", "I6", "event %d is missing from the stream; what happened cannot be told until it is "+
		"restored", sequence)
}

// confirmNothing returns nil if the bus may be believed that there is nothing under any of some filters. A server whose
// stream ends in a message that was removed says so about everything.
func (j *Journal) confirmNothing(ctx context.Context) error {
	c, err := j.Copies(ctx)
	if err != nil {
		return err
	}
	sequence, err := j.gone(ctx, c, 1)
	if err == nil && sequence > 0 {
		err = incomplete(sequence)
	}
	return err
}

// watchGaps logs, until ctx ends, that a message was removed from EVENTS: a durable consumer passes over the place.
func (j *Journal) watchGaps(ctx context.Context) {
	for known := uint64(0); ; {
		if c, err := j.Copies(ctx); err == nil && !c.Whole() {
			if sequence, err := j.gone(ctx, c, 1); err == nil && sequence != known {
				known = sequence
				j.log.Error("ALARM: an event is missing from the stream; whoever follows it was not told of it",
					zap.Uint64("sequence", sequence), zap.Uint64("missing", c.Missing))
			}
		}
		if sleep(ctx, WatchInterval) != nil {
			return
		}
	}
}
