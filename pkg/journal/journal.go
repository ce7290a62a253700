// Package journal reads and writes the streams: it appends events and reports, loads aggregates, follows a stream with
// a durable consumer, replays it, and manages timers. It knows the bus and the envelope of events, but not their
// meaning.
//
// # The life of an append
//
//  1. A service has loaded an aggregate, folded it and decided. It calls Append with the event and with `after`, the
//     stream sequence of the last event that it folded (0: there was none).
//  2. The subject is built from the envelope, which is checked on the way. The event is marshalled once; these bytes
//     are what is stored and hashed for ever; a writer with a key appends its signature when it sends them first.
//  3. The message carries two conditions for the server: the last sequence under the aggregate's filter is `after`, and
//     the stream keeps one message per subject. So only one of two contrary decisions is stored, and nothing is ever
//     replaced.
//  4. The writer sends it at once if little is waiting, otherwise together with everything that queued up during the
//     last commit, as one atomic batch that is synced to disk once. An aggregate is in flight at most once, because
//     inside a batch the server compares only with what was there before. A refused batch is retried one by one.
//     Several events that are appended together go together, too.
//  5. The acknowledgement comes after the sync. Its sequence is what Append returns.
//  6. If the server refuses or does not answer, Append loads the aggregate at the leader and looks for its own event
//     ID: an acknowledgement can be lost after the write, and a retry then conflicts with itself. If the event is
//     found, the append succeeded; if another event was first, it is ErrConflict; if there is no way to tell, it is
//     ErrUnknown, which is never treated as success.
package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

var (
	// ErrConflict means that another event of the aggregate was stored first. Nothing was stored; load and decide again.
	ErrConflict = errors.New("journal: another event was stored first")
	// ErrUnknown means that the bus did not answer and cannot be asked: the write may have been stored, or may yet be.
	ErrUnknown = errors.New("journal: no answer from the bus; whether it was stored is not known")
	// ErrFull means that nothing was stored because a sender's share of a stream is used up.
	ErrFull = errors.New("journal: the sender's share of the stream is used up")
)

// CorruptError means that the content of the stream is invalid. No decision may be based on it; an operator must
// investigate.
type CorruptError struct {
	// Seq is the stream sequence of the event.
	Seq  uint64
	Rule string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal: event %d contradicts the stream: %s", e.Seq, e.Rule)
}

// HistoryError means that an aggregate's events contradict each other. No decision may be made on that aggregate until
// an operator has investigated; other aggregates are unaffected.
type HistoryError struct {
	// Seq is the stream sequence of the first event that is invalid at its position.
	Seq  uint64
	Rule string
}

func (e *HistoryError) Error() string {
	return fmt.Sprintf("journal: event %d contradicts its aggregate's history: %s", e.Seq, e.Rule)
}

// Entry is a stored event.
type Entry struct {
	Seq     uint64
	Stored  time.Time
	Subject string
	// Data is the event exactly as stored; hashes are computed over it.
	Data  []byte
	Event *lockboxv1.Event
	// Pending is how many more matching events there were when this one was delivered; 0 means that the reader has caught
	// up. Load does not set it.
	Pending uint64
}

// Journal reads and writes over one connection, with the rights of its identity. It is safe for concurrent use.
type Journal struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	inbox   *inbox
	events  *writer
	timers  *writer
	tails   tails
	scans   scans
	long    long
	timeout time.Duration
	// written are the last events that this journal appended, by sequence.
	written *cache.Cache[uint64, Entry]
	// signing is how events are signed and judged.
	signing signatures
	// details encrypts and decrypts what can be erased; nil: nothing does. unread: there were events that are encrypted.
	details Details
	unread  atomic.Bool
	// questions are the reads that wait to be asked.
	questions questions
	// batchFrom is from how many waiting writes on they are sent as one batch.
	batchFrom int
	// lastLook is the longest time between two looks of a replay that follows the stream.
	lastLook time.Duration
	// longReplay is the number of events from which on a replay of everything shares its reading with others.
	longReplay uint64
	log        *zap.Logger
	// skipped is called for each misfit that a follower skips; it may be nil.
	skipped func(Misfit)
	aside   decisions
	// frontier is how far EVENTS was seen.
	frontier frontier
	// followers are the workers that Retry reaches.
	followers sync.Map
	// replicas is the replica count of EVENTS; 0 until it was queried.
	replicas atomic.Int64
	// replicasAsked is when replicas was queried, in Unix nanoseconds.
	replicasAsked atomic.Int64
	// connected receives when the connection is restored.
	connected chan nats.Status
}

// Option configures a Journal.
type Option func(*Journal)

// WithTimeout sets how long to wait for each answer of the bus. The default is 5 s.
func WithTimeout(d time.Duration) Option { return func(j *Journal) { j.timeout = d } }

// WithLook sets how often, at least, a replay that follows the stream looks for new events. The default is 25 ms.
func WithLook(d time.Duration) Option { return func(j *Journal) { j.lastLook = d } }

// WithBatchFrom sets from how many waiting writes on, at least 2, they are sent as one atomic batch. The default is 11,
// which is when a batch pays whose server stages it on disk.
func WithBatchFrom(n int) Option { return func(j *Journal) { j.batchFrom = max(2, n) } }

// WithLog makes the journal log handler failures and consumer errors.
func WithLog(log *zap.Logger) Option { return func(j *Journal) { j.log = log } }

// WithSkipped makes the journal call skipped for each misfit that it skips.
func WithSkipped(skipped func(Misfit)) Option { return func(j *Journal) { j.skipped = skipped } }

// Open returns a journal on a connection, which the caller still owns and closes.
func Open(_ context.Context, nc *nats.Conn, options ...Option) (*Journal, error) {
	j := &Journal{nc: nc, timeout: 5 * time.Second, lastLook: lastLook, batchFrom: batchFrom, log: zap.NewNop(),
		scans: newScans(), longReplay: longReplay, written: cache.New[uint64, Entry](rememberedEvents)}
	j.signing.contents = cache.New[place, content](rememberedContents)
	j.signing.passed = cache.New[uint64, passed](rememberedContents)
	learning, stop := context.WithCancel(context.Background()) // until Close
	j.signing.stop = stop
	for _, o := range options {
		o(j)
	}
	var err error
	if j.js, err = bus.JetStream(nc); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if j.inbox, err = newInbox(nc); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	alone := func() bool { return j.replicas.Load() == 1 }
	j.events = newWriter(nc, j.inbox, j.timeout, j.batchFrom, alone)
	j.events.signer = j.signing.signer
	j.timers = newWriter(nc, j.inbox, j.timeout, j.batchFrom, alone)
	if j.signing.keys != nil {
		go j.learns(learning)
	}
	j.OnForget(j.written.Clear)
	j.connected = nc.StatusChanged(nats.CONNECTED)
	go func() {
		for range j.connected {
			j.events.reconnected()
			j.timers.reconnected()
		}
	}()
	return j, nil
}

// Close abandons writes in flight: waiting appends return ErrUnknown. Followers end with their own context.
func (j *Journal) Close() {
	j.signing.stop()
	j.nc.RemoveStatusListener(j.connected)
	j.events.close()
	j.timers.close()
	j.inbox.close()
}

// rememberedEvents is how many events an append remembers, up to twice as many: those that its own follower is soon
// told of.
const rememberedEvents = 512

// entry is read, but does not decode again what this journal appended itself.
func (j *Journal) entry(ctx context.Context, m storedMsg) (Entry, error) {
	if e, own := j.written.Get(m.Seq); own && e.Subject == m.Subject && bytes.Equal(e.Data, m.Data) {
		e.Stored = m.Time
		return e, nil
	}
	return j.read(ctx, m)
}

// newEntry decodes an event and checks that it matches its subject. It returns input.ErrUnknownFact for an event type
// of a later version, of which it decodes the envelope, and a *MisfitError for anything else that is wrong.
func newEntry(seq uint64, stored time.Time, subject string, data []byte) (Entry, error) {
	e := Entry{Seq: seq, Stored: stored, Subject: subject, Data: data}
	event, rule := decode(subject, data)
	var err error
	switch {
	case rule != "":
		return e, &MisfitError{newMisfit(seq, subject, data, rule)}
	case event.GetFact() == nil:
		err = fmt.Errorf("journal: event %d on %s: %w", seq, subject, input.ErrUnknownFact)
	}
	e.Event = event
	return e, err
}
