package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
)

// Replay selects which part of EVENTS to read. Empty fields match anything.
type Replay struct {
	// From is the first sequence to read; 0 means the beginning of the stream.
	From uint64
	// Since and Until bound the time of storage; Until is exclusive.
	Since, Until time.Time
	// Tenant, Kind, ID and Type are plain tokens; wildcards are refused.
	Tenant, Kind, ID, Type string
	// Follow continues with events stored later, until ctx ends.
	Follow bool
	// Undecoded leaves Event nil in the entries; their bytes are not validated.
	Undecoded bool
}

const (
	// pullMessages and pullBytes limit one pull request. They are large for speed, but the server disconnects a client
	// with more than 64 MiB pending.
	pullMessages = 10_000
	pullBytes    = 16 << 20
	// silence is how long a replay that has not reached its end waits for the next event.
	silence = 30 * time.Second
)

// Replay passes events to handle, one by one in stream order. It ends after the event that was the last at the leader
// when Replay began, or at the first error of handle, which it returns. With Follow it returns nil when ctx ends.
//
// A replay of everything expects every sequence; a gap is a *CorruptError.
func (j *Journal) Replay(ctx context.Context, r Replay, handle func(Entry) error) error {
	filter, err := bus.ReplayFilter(r.Tenant, r.Kind, r.ID, r.Type)
	if err != nil {
		return err
	}
	all := r.Tenant == "" && r.Kind == "" && r.ID == "" && r.Type == ""
	end := uint64(0)
	if !r.Follow {
		last, err := j.stored(ctx, bus.StreamEvents, wanted{Last: filter})
		if err != nil {
			return fmt.Errorf("journal: replay: %w", err)
		}
		if last.Seq < max(1, r.From) || last.Time.Before(r.Since) {
			return nil
		}
		end = last.Seq
	}
	reading := &reading{Replay: r, end: end, handle: handle, over: make(chan error, 1)}
	if all && r.Since.IsZero() {
		reading.next = max(1, r.From)
	}
	return j.read(ctx, filter, reading)
}

// reading is a replay in progress.
type reading struct {
	Replay
	end    uint64 // 0: none
	next   uint64 // the sequence that must come next; 0: any
	handle func(Entry) error
	over   chan error
	count  atomic.Uint64

	// mu serialises the handler: an ordered consumer that is recreated does not wait for the old one's last event.
	mu    sync.Mutex
	ended bool
}

func (j *Journal) read(ctx context.Context, filter string, r *reading) error {
	config := jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}}
	switch {
	case r.From > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.From
	case !r.Since.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.Since
	}
	consumer, err := j.js.OrderedConsumer(ctx, bus.StreamEvents, config)
	if err != nil {
		return fmt.Errorf("journal: replay: %w", j.complaint(err))
	}
	consuming, err := consumer.Consume(r.accept,
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if errors.Is(err, jetstream.ErrConnectionClosed) {
				r.finish(fmt.Errorf("journal: replay: %w", err))
				return
			}
			j.log.Warn("replay consumer error", zap.Error(err)) // the ordered consumer recreates itself
		}))
	if err != nil {
		return fmt.Errorf("journal: replay: %w", err)
	}
	defer consuming.Stop()
	defer r.stop()
	return r.wait(ctx)
}

func (r *reading) wait(ctx context.Context) error {
	tick := time.NewTicker(silence)
	defer tick.Stop()
	seen := uint64(0)
	for {
		select {
		case err := <-r.over:
			return err
		case <-ctx.Done():
			if r.Follow {
				return nil
			}
			return ctx.Err()
		case <-tick.C:
			n := r.count.Load()
			if !r.Follow && n == seen {
				return refusal.Unavailable("", "I11", "the stream ends before sequence %d", r.end)
			}
			seen = n
		}
	}
}

// stop ensures that handle is not called again.
func (r *reading) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

func (r *reading) accept(m jetstream.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	if err := r.process(m); err != nil {
		r.ended = true
		if errors.Is(err, errEnd) {
			err = nil
		}
		r.finish(err)
	}
}

var errEnd = errors.New("journal: the end of the replay")

func (r *reading) process(m jetstream.Msg) error {
	r.count.Add(1)
	meta, err := m.Metadata()
	if err != nil {
		return &CorruptError{0, "an event has a sequence and a time"}
	}
	seq := meta.Sequence.Stream
	if r.end > 0 && seq > r.end || !r.Until.IsZero() && !meta.Timestamp.Before(r.Until) {
		return errEnd
	}
	if r.next > 0 {
		if seq != r.next {
			return &CorruptError{r.next, "no sequence is missing"}
		}
		r.next++
	}
	if r.Since.IsZero() || !meta.Timestamp.Before(r.Since) {
		entry := Entry{Seq: seq, Stored: meta.Timestamp, Subject: m.Subject(), Data: m.Data()}
		if !r.Undecoded {
			if entry, err = newEntry(seq, meta.Timestamp, m.Subject(), m.Data()); err != nil {
				return err
			}
		}
		entry.Pending = meta.NumPending
		if err := r.handle(entry); err != nil {
			return err
		}
	}
	if seq == r.end {
		return errEnd
	}
	return nil
}

func (r *reading) finish(err error) {
	select {
	case r.over <- err:
	default:
	}
}
