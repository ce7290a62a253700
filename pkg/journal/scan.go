package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
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

// scanMessages and scanBytes limit one answer. They are small because other traffic on the connection queues behind it.
const (
	scanMessages = 2000
	scanBytes    = 1 << 20
)

// Scan reads one server's own copy from the first message up to sequence last, skipping messages missing from that
// copy. It decodes nothing. An empty server name means a stand-alone server.
func (j *Journal) Scan(ctx context.Context, server string, last uint64, handle func(Stored) error) error {
	done, err := j.scans.wait(ctx)
	if err != nil {
		return err
	}
	defer done()
	return j.scan(ctx, server, 1, last, func(found []storedMsg) error {
		for _, m := range found {
			if err := handle(Stored{m.Seq, m.Subject, m.Data}); err != nil {
				return err
			}
		}
		return nil
	})
}

// scan reads a server's own copy from one sequence up to another, in parts. An empty name means any server.
func (j *Journal) scan(
	ctx context.Context, server string, from, last uint64, handle func([]storedMsg) error,
) (err error) {
	consumer, err := j.readerOn(ctx, server)
	if err != nil {
		return fmt.Errorf("journal: scan: %w", j.complaint(err))
	}
	for at := from - 1; at < last && err == nil; {
		var ended bool
		if at, ended, err = j.scanFrom(ctx, consumer.CachedInfo().Name, server, at, last, handle); ended {
			break
		}
	}
	return err
}

// scanFrom is scan after sequence at, up to the next message without any bytes: such a message ends an answer to
// another account, and what the server sends after it is lost. It returns how far it has come, and whether that is the
// end.
func (j *Journal) scanFrom(
	ctx context.Context, reader, server string, at, last uint64, handle func([]storedMsg) error,
) (through uint64, ended bool, err error) {
	if err := j.rewind(ctx, reader, at+1); err != nil {
		return at, true, fmt.Errorf("journal: scan: %w", j.complaint(err))
	}
	// Messages that a consumer delivers keep their subjects, so each answer has a subscription of its own.
	answers, err := j.nc.SubscribeSync(j.nc.NewInbox())
	if err != nil {
		return at, true, fmt.Errorf("journal: scan: %w", err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	for delivered := uint64(0); at < last; {
		found, err := j.pull(ctx, reader, answers, last-at)
		if err != nil || len(found) == 0 {
			return at, true, err
		}
		part := make([]storedMsg, 0, len(found))
		for _, m := range found {
			meta, err := m.Metadata()
			if err != nil {
				return at, true, fmt.Errorf("journal: scan: %w", err)
			}
			// Lost on its way, or taken by another process with the same key: the server has it.
			if delivered++; meta.Sequence.Consumer != delivered {
				return at, true, refusal.Unavailable("", "I11", "a message from %q was lost on its way", server)
			}
			if meta.Sequence.Stream > last {
				return at, true, handle(part)
			}
			at = meta.Sequence.Stream
			part = append(part, storedMsg{Subject: m.Subject, Seq: at, Data: m.Data, Time: meta.Timestamp,
				Pending: meta.NumPending})
		}
		for i := range part { // of each, what was left after the answer
			part[i].Pending = part[len(part)-1].Pending
		}
		if err := handle(part); err != nil {
			return at, true, err
		}
		if last := found[len(found)-1]; isEmpty(last.Data, last.Header) {
			return at, false, nil
		}
	}
	return at, true, nil
}

func isEmpty(data []byte, header nats.Header) bool { return len(data) == 0 && len(header) == 0 }

// pull returns the next messages of a reader, at most so many; none at the end of its copy, after a second. It asks for
// no more than there should be: what is left of a question outlives the one who asked, and takes later messages.
func (j *Journal) pull(
	ctx context.Context, consumer string, answers *nats.Subscription, most uint64,
) (found []*nats.Msg, err error) {
	// Each message has its time: on a busy machine a whole answer may take longer.
	waiting, give := context.WithCancel(ctx)
	defer give()
	patience := time.AfterFunc(j.timeout, give)
	defer patience.Stop()
	batch := int(min(most, scanMessages))
	request := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d}`, batch, scanBytes, time.Second)
	if err := j.nc.PublishRequest(bus.ConsumerNextSubject(bus.StreamEvents, consumer), answers.Subject,
		request); err != nil {
		return nil, fmt.Errorf("journal: scan: %w", err)
	}
	for len(found) < batch {
		m, err := answers.NextMsgWithContext(waiting)
		if errors.Is(err, context.Canceled) && ctx.Err() == nil {
			err = context.DeadlineExceeded
		}
		if err != nil {
			return nil, fmt.Errorf("journal: scan: %w", j.complaint(err))
		}
		patience.Reset(j.timeout)
		switch status := m.Header.Get("Status"); {
		case m.Reply != "": // it can be acknowledged, so it is a message
			if found = append(found, m); isEmpty(m.Data, m.Header) {
				return found, nil
			}
		case status == "404", status == "408", status == "409" && len(found) > 0: // no more, or too large together
			return found, nil
		case status == "409": // the end of the answer before
		default:
			return nil, refusal.Unavailable("", "I11", "the bus answers %s %s", status, m.Header.Get("Description"))
		}
	}
	return found, nil
}

// readerOn returns this identity's reader on the named server, which therefore reads that server's copy. It asks all
// readers at once, because the reader on a server that is down does not answer.
func (j *Journal) readerOn(ctx context.Context, server string) (jetstream.Consumer, error) {
	ctx, stop := context.WithTimeout(ctx, j.timeout)
	defer stop()
	type answer struct {
		jetstream.Consumer
		err error
	}
	names := bus.CopyReaders(bus.Identity(j.nc.Opts.Name))
	answers := make(chan answer, len(names))
	for _, name := range names {
		go func() {
			c, err := j.js.Consumer(ctx, bus.StreamEvents, name)
			answers <- answer{c, err}
		}()
	}
	var failed error
	for range names {
		switch a := <-answers; {
		case errors.Is(a.err, jetstream.ErrConsumerNotFound):
		case a.err != nil:
			failed = a.err
		default:
			if info := a.CachedInfo(); server == "" || info.Cluster != nil && info.Cluster.Leader == server {
				return a.Consumer, nil
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, refusal.Unavailable("", "I11", "%q has no reader on the server %q: run lockbox provision",
		j.nc.Opts.Name, server)
}

// rewind moves a reader to a sequence.
func (j *Journal) rewind(ctx context.Context, consumer string, to uint64) error {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	request := fmt.Appendf(nil, `{"seq":%d}`, to)
	if err := j.ask(ctx, bus.ConsumerResetSubject(bus.StreamEvents, consumer), request, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}
