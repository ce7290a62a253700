package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
)

// Copies describes the servers' copies of EVENTS.
type Copies struct {
	// First and Last are the leader's first and last sequences; Missing is how many in between it knows to be deleted.
	First, Last, Missing uint64
	// Servers are the names of the servers that can be read; a stand-alone server is the empty name.
	Servers []string
	// Away are the names of the servers that cannot be read: offline or not up to date.
	Away []string
}

// Copies asks the stream's leader which servers have a copy of EVENTS.
func (j *Journal) Copies(ctx context.Context) (Copies, error) {
	s, err := j.js.Stream(ctx, bus.StreamEvents)
	if err != nil {
		return Copies{}, fmt.Errorf("journal: copies: %w", j.complaint(err))
	}
	info := s.CachedInfo()
	c := Copies{First: info.State.FirstSeq, Last: info.State.LastSeq, Missing: uint64(info.State.NumDeleted)} //nolint:gosec // G115: a number of messages
	if info.Cluster == nil || len(info.Cluster.Replicas) == 0 {
		c.Servers = []string{""}
		return c, nil
	}
	c.Servers = []string{info.Cluster.Leader}
	for _, r := range info.Cluster.Replicas {
		if r.Offline || !r.Current {
			c.Away = append(c.Away, r.Name)
			continue
		}
		c.Servers = append(c.Servers, r.Name)
	}
	return c, nil
}

// Stored is a message of EVENTS as one server stores it, not decoded.
type Stored struct {
	Sequence uint64
	Subject  string
	Data     []byte
}

const (
	// consumersTried is how many consumers are created until one is placed on the wanted server: the cluster chooses.
	consumersTried = 64
	// silent is how long a server that still answers may send no message before the scan ends: messages missing at the end
	// of its copy never arrive.
	silent = 10 * time.Second
	// scanMessages and scanBytes limit one pull request. They are small because other traffic on the connection queues
	// behind it.
	scanMessages = 2000
	scanBytes    = 1 << 20
	// idle is how long the server keeps a consumer that is not read.
	idle = 30 * time.Second
)

// Scan reads one server's own copy from the first message up to sequence last, skipping messages missing from that
// copy. It decodes nothing. An empty server name means a stand-alone server.
func (j *Journal) Scan(ctx context.Context, server string, last uint64, handle func(Stored) error) (err error) {
	stream, err := j.js.Stream(ctx, bus.StreamEvents)
	if err != nil {
		return fmt.Errorf("journal: scan: %w", j.complaint(err))
	}
	consumer, err := consumerOn(ctx, stream, server)
	if err != nil {
		return fmt.Errorf("journal: scan: %w", j.complaint(err))
	}
	defer func() {
		gone := stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name)
		if gone != nil && !errors.Is(gone, jetstream.ErrConsumerNotFound) {
			j.log.Debug("consumer not deleted; the server drops it when idle", zap.Error(gone))
		}
	}()
	if consumer.CachedInfo().NumPending == 0 || last == 0 {
		return nil
	}
	r := &reading{over: make(chan error, 1)}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ended {
			return
		}
		n := r.count.Add(1)
		meta, err := m.Metadata()
		switch {
		case err != nil:
		case meta.Sequence.Consumer != n: // it was sent, so the store has it
			err = refusal.Unavailable("", "I11", "a message was lost on its way from %q", server)
		case meta.Sequence.Stream <= last:
			err = handle(Stored{meta.Sequence.Stream, m.Subject(), m.Data()})
		}
		if err != nil || meta.Sequence.Stream >= last || meta.NumPending == 0 {
			r.ended = true
			r.finish(err)
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(scanMessages, scanBytes),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if !errors.Is(err, jetstream.ErrNoHeartbeat) {
				r.finish(fmt.Errorf("journal: scan: %w", err))
			}
		}))
	if err != nil {
		return fmt.Errorf("journal: scan: %w", j.complaint(err))
	}
	defer consuming.Stop()
	defer r.stop()
	tick := time.NewTicker(silent)
	defer tick.Stop()
	seen := uint64(0)
	for {
		select {
		case err := <-r.over:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			n := r.count.Load()
			if n == seen {
				_, err := consumer.Info(ctx)
				return err
			}
			seen = n
		}
	}
}

// consumerOn creates a consumer led by the named server, which therefore reads that server's copy.
func consumerOn(ctx context.Context, stream jetstream.Stream, server string) (jetstream.Consumer, error) {
	for range consumersTried {
		c, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy, Replicas: 1, MemoryStorage: true,
			InactiveThreshold: idle,
		})
		if err != nil {
			return nil, err
		}
		info := c.CachedInfo()
		if server == "" || info.Cluster != nil && info.Cluster.Leader == server {
			return c, nil
		}
		if err := stream.DeleteConsumer(ctx, info.Name); err != nil {
			return nil, err
		}
	}
	return nil, refusal.Unavailable("", "I11", "no consumer could be made on %s", server)
}
