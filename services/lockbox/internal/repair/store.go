package repair

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	streamDir = bus.StreamEvents
	patience  = time.Minute
	// atOnce is the number of messages in flight.
	atOnce = 1000
)

// store is a private NATS server on a data directory; only this process has its key.
type store struct {
	server  *embedded.Server
	conn    *nats.Conn
	journal *journal.Journal
	js      jetstream.JetStream
	closed  bool
	last    uint64
	pending []jetstream.PubAckFuture
	// signer signs what the repair says of itself; nil: it is not signed.
	signer *signed.Signer
}

// openStore runs a server on a store. What it records itself is signed if there is a signer.
func openStore(ctx context.Context, dir string, signer *signed.Signer, log *zap.Logger) (s *store, err error) {
	seed, err := bus.NewSeed()
	if err != nil {
		return nil, err
	}
	public, err := bus.Keys{bus.Repairer: seed}.Public()
	if err != nil {
		return nil, err
	}
	s = &store{signer: signer}
	if s.server, err = embedded.Start(ctx, bus.ServerOptions{StoreDir: dir, PublicKeys: public}, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.conn, err = bus.Connect(bus.Connection{InProcess: s.server, Identity: bus.Repairer, Seed: seed,
		Log: log}); err != nil {
		return nil, err
	}
	if s.journal, err = journal.Open(ctx, s.conn, journal.WithTimeout(patience)); err != nil {
		return nil, err
	}
	s.js, err = bus.JetStream(s.conn, jetstream.WithPublishAsyncMaxPending(atOnce))
	return s, err
}

func (s *store) close() {
	if s.closed {
		return
	}
	s.closed = true
	if s.journal != nil {
		s.journal.Close()
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.server.Shutdown()
}

func (s *store) provision(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return bus.Provision(ctx, s.conn, 1)
}

// messages returns all messages that the server can still read, in order; none if the stream is lost.
func (s *store) messages(ctx context.Context) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		c, err := s.journal.Copies(ctx)
		if lost(err) || err == nil && c.Last == 0 {
			return
		}
		if err != nil {
			yield(message{}, err)
			return
		}
		if err := bus.ProvisionReader(ctx, s.js, bus.Repairer); err != nil {
			yield(message{}, err)
			return
		}
		ctx, stop := context.WithCancel(ctx)
		read, ended := make(chan message, atOnce), make(chan error, 1)
		go func() {
			ended <- s.journal.Scan(ctx, "", c.Last, func(m message) error {
				select {
				case read <- m:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			close(read)
		}()
		defer func() {
			stop()
			for range read { // unblocks the reader until it has stopped
			}
		}()
		for m := range read {
			if !yield(m, nil) {
				return
			}
		}
		if err := <-ended; err != nil {
			yield(message{}, err)
		}
	}
}

// publish stores a message at its original sequence. Acknowledgements arrive in order.
func (s *store) publish(m message) error {
	msg := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{
		jetstream.ExpectedLastSeqHeader: {strconv.FormatUint(m.Sequence-1, 10)},
	}}
	f, err := s.js.PublishMsgAsync(msg)
	if err != nil {
		return err
	}
	if s.pending = append(s.pending, f); len(s.pending) >= atOnce {
		return s.settle()
	}
	return nil
}

func (s *store) settle() error {
	for _, f := range s.pending {
		select {
		case ack := <-f.Ok():
			s.last = ack.Sequence
		case err := <-f.Err():
			return fmt.Errorf("after event %d: %w", s.last, err)
		case <-time.After(patience):
			return fmt.Errorf("no answer after event %d", s.last)
		}
	}
	s.pending = s.pending[:0]
	return nil
}

// restored records the repair in the stream itself.
func (s *store) restored(ctx context.Context, p Plan, aside string, now time.Time) error {
	if s.last != p.last {
		return fmt.Errorf("%d events were written instead of %d", s.last, p.last)
	}
	at := aggregate.Guard
	e := &lockboxv1.Event{
		Id: uuid.Must(uuid.NewV7()).String(), Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID,
		ReportKey: "restored-" + strconv.FormatUint(p.last, 10) + "-" + now.UTC().Format("20060102T150405Z"),
		Time:      timestamppb.New(now),
		Actor:     &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Repairer)},
		Fact: &lockboxv1.Event_StreamRestored{StreamRestored: &lockboxv1.StreamRestored{
			ThroughSequence: p.last, Restored: p.Restored, Conflicts: p.Conflicts, SetAside: aside,
		}},
	}
	subject, err := bus.EventSubject(e)
	if err != nil {
		return err
	}
	data, err := proto.Marshal(e)
	if err == nil && s.signer != nil {
		var stored [][]byte
		if stored, err = s.signer.Sign([]signed.Unsigned{{Subject: subject, Content: data}}); err == nil {
			data = stored[0]
		}
	}
	if err != nil {
		return err
	}
	_, err = s.js.Publish(ctx, subject, data, jetstream.WithExpectLastSequence(p.last))
	return err
}

// lost reports whether err means that the stream no longer exists.
func lost(err error) bool { return errors.Is(err, jetstream.ErrStreamNotFound) }
