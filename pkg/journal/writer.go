package journal

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
)

const (
	// pipeline is how many single publishes are in flight at once: enough that the server is never idle, and few enough
	// that new writes queue up here.
	pipeline = 4
	// batchFrom is the queue length from which on an atomic batch is cheaper: the server syncs it only once, but staging
	// it costs as much as several single writes.
	batchFrom = 11
	// linger is how long, at most, the next commit after a batch waits for the callers that were just answered: most of
	// them write again soon, and two half batches cost nearly twice as much as a full one.
	linger = 15 * time.Millisecond
	// maxBatch and maxBatchBytes limit one commit. The server accepts 1000 messages.
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// BatchFromMemory is for WithBatchFrom where the server stages batches in memory (bus.ServerOptions.StageIn).
const BatchFromMemory = 4

// outgoing is a message to be stored.
type outgoing struct {
	*nats.Msg
	// previous is the hash of the content of the event that it follows; zero if it follows none.
	previous [sha256.Size]byte
	// signed means that Data ends with a signature, and stays as it is.
	signed bool
}

// write is a queued write: one message, or consecutive messages of one aggregate.
type write struct {
	msgs []*outgoing
	// key: at most one write per key is in flight.
	key  string
	done chan result
}

func (q *write) size() (bytes int) {
	for _, m := range q.msgs {
		bytes += m.Size()
	}
	return bytes
}

type result struct {
	// seqs are the sequences of the stored messages: all of them, unless there is an error.
	seqs      []uint64
	duplicate bool
	// err is a *jetstream.APIError if the server refused, ErrUnknown if it did not answer.
	err error
}

// commit is what is sent at once: an atomic batch, which is stored as a whole or not at all and acknowledged once, or
// the messages of one write, each of which is acknowledged.
//
// With one replica, a single write of several messages is no batch: the server would stage it in files of its own,
// which takes longer than the messages. They are sent together without waiting, each on the condition that the one
// before it is the stream's last message. If another writer's comes in between, the rest is sent one by one. Events
// missing after a crash are still due and are decided again. On a cluster, batches are staged in memory, and not every
// replica may know the id of its last message.
type commit struct {
	writes []*write
	batch  bool
	// stored are the sequences of the first messages of a write that is no batch.
	stored []uint64
	// unanswered is how many of the messages that were sent have no answer yet; failed is the first answer that says no.
	unanswered int
	failed     *ack
	reply      string
	timer      *time.Timer
	over       bool
	// connection is the reconnect count at the time of sending.
	connection uint64
}

// writer stores messages in one stream, grouping them into commits. See "The life of an append".
type writer struct {
	nc      *nats.Conn
	inbox   *inbox
	timeout time.Duration
	// batchFrom is the queue length from which on a batch is sent.
	batchFrom int
	// signer signs the messages of each commit when they are first sent; nil: nothing is signed.
	signer *signed.Signer
	// alone reports whether the stream is known to have one replica.
	alone func() bool
	// name is the prefix of this writer's batch ids. It is short because every stored message carries one.
	name string

	mu       sync.Mutex
	batches  uint64
	closed   bool
	queue    []*write
	busy     map[string]bool
	singles  int  // single writes in flight
	batching bool // a batch is in flight
	expected int  // nothing is sent until this many writes wait or linger has passed; 0: do not wait
	lingers  *time.Timer
	open     map[*commit]bool
}

func newWriter(nc *nats.Conn, b *inbox, timeout time.Duration, batchFrom int, alone func() bool) *writer {
	return &writer{nc: nc, inbox: b, timeout: timeout, batchFrom: batchFrom, alone: alone, name: nuid.Next()[12:],
		busy: map[string]bool{}, open: map[*commit]bool{}}
}

// store waits until the messages are stored, refused, or their outcome is unknown.
func (w *writer) store(ctx context.Context, key string, msgs ...*outgoing) result {
	mine := &write{msgs: msgs, key: key, done: make(chan result, 1)}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return result{err: refusal.Unavailable("", "I11", "the journal is closed")}
	}
	w.queue = append(w.queue, mine)
	w.pump()
	w.mu.Unlock()
	select {
	case r := <-mine.done:
		return r
	case <-ctx.Done():
	}
	if w.withdraw(mine) {
		return result{err: ctx.Err()}
	}
	// It is in flight: the answer or the timeout is more informative than the context's error.
	return <-mine.done
}

// withdraw removes a write that has not been sent from the queue; false if it was sent.
func (w *writer) withdraw(mine *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.queue, mine)
	if i < 0 {
		return false
	}
	w.queue = slices.Delete(w.queue, i, i+1)
	return true
}

// pump sends the queued writes that may be sent now. The lock is held.
func (w *writer) pump() {
	if w.batching || len(w.queue) < max(1, w.expected) {
		return
	}
	w.expected = 0
	limit := maxBatch
	if len(w.queue) < w.batchFrom {
		limit = pipeline - w.singles
	}
	ready := w.take(limit)
	if len(ready) >= w.batchFrom {
		w.batching = true
		w.send(ready, true)
		return
	}
	for i, q := range ready {
		if w.singles >= pipeline {
			w.queue = append(ready[i:len(ready):len(ready)], w.queue...)
			return
		}
		w.singles++
		w.send([]*write{q}, len(q.msgs) > 1 && !w.alone())
	}
}

// take removes from the queue, in order, up to limit writes with distinct keys that are not in flight.
func (w *writer) take(limit int) []*write {
	var taken, rest []*write
	messages, bytes := 0, 0
	keys := map[string]bool{}
	for i, q := range w.queue {
		if len(taken) >= limit || len(taken) > 0 && (messages+len(q.msgs) > maxBatch || bytes+q.size() > maxBatchBytes) {
			rest = append(rest, w.queue[i:]...)
			break
		}
		if w.busy[q.key] || keys[q.key] {
			rest = append(rest, q)
			continue
		}
		keys[q.key] = true
		messages, bytes = messages+len(q.msgs), bytes+q.size()
		taken = append(taken, q)
	}
	w.queue = rest
	return taken
}

// send publishes a commit. The lock is held.
func (w *writer) send(writes []*write, batch bool) {
	c := &commit{writes: writes, batch: batch, connection: w.nc.Stats().Reconnects}
	w.open[c] = true
	for _, q := range writes {
		w.busy[q.key] = true
	}
	if err := w.sign(writes); err != nil {
		go w.finish(c, nil, err)
		return
	}
	c.reply = w.inbox.expect(func(m *nats.Msg) { w.finish(c, m, nil) })
	c.timer = time.AfterFunc(w.timeout, func() { w.finish(c, nil, ErrUnknown) })
	publish := w.publish
	if batch {
		publish = w.publishBatch
	}
	if err := publish(c); err != nil {
		go w.finish(c, nil, notSent(err))
	}
}

// sign signs the messages of a commit that were not sent before, with one signature.
func (w *writer) sign(writes []*write) error {
	if w.signer == nil {
		return nil
	}
	var fresh []*outgoing
	var commit []signed.Unsigned
	for _, q := range writes {
		for _, m := range q.msgs {
			if !m.signed {
				fresh = append(fresh, m)
				commit = append(commit, signed.Unsigned{Subject: m.Subject, Previous: m.previous, Content: m.Data})
			}
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	stored, err := w.signer.Sign(commit)
	if err != nil {
		return refusal.Invalid("event", rule, "cannot be signed: %v", err)
	}
	for i, m := range fresh {
		m.Data, m.signed = stored[i], true
	}
	return nil
}

// notSent distinguishes a message that was certainly not sent (UNAVAILABLE) from one that may have been sent before the
// connection broke (ErrUnknown).
func notSent(err error) error {
	for _, certain := range []error{nats.ErrReconnectBufExceeded, nats.ErrConnectionClosed, nats.ErrConnectionDraining,
		nats.ErrMaxPayload} {
		if errors.Is(err, certain) {
			return fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "the bus does not take the message"), err)
		}
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// publish sends what is left of a single write: all of it, or one message if an answer says that the condition of the
// second did not hold.
func (w *writer) publish(c *commit) error {
	q, n := c.writes[0], len(c.stored)
	first := q.msgs[n].Msg
	if n > 0 {
		first = withHeader(first, jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(c.stored[n-1], 10))
		first.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{q.key}
	}
	rest := q.msgs[n+1:]
	if c.failed != nil || !w.alone() {
		c.failed, rest = nil, nil
	}
	c.unanswered = 1 + len(rest)
	for i := range c.unanswered {
		m := *first
		if i > 0 {
			m = *withHeader(rest[i-1].Msg, jetstream.ExpectedLastMsgIDHeader, q.msgs[n+i-1].Header.Get(jetstream.MsgIDHeader))
		}
		m.Reply = c.reply
		if err := w.nc.PublishMsg(&m); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) publishBatch(c *commit) error {
	w.batches++
	id := w.name + strconv.FormatUint(w.batches, 36)
	n := 0
	for i, q := range c.writes {
		for k, msg := range q.msgs {
			n++
			m := withHeader(msg.Msg, "Nats-Batch-Id", id)
			m.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(n)}
			if i == len(c.writes)-1 && k == len(q.msgs)-1 {
				m.Header["Nats-Batch-Commit"] = []string{"1"}
				m.Reply = c.reply
			}
			if err := w.nc.PublishMsg(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// withHeader returns a copy of a message with one more header; others may be reading the original's.
func withHeader(msg *nats.Msg, key, value string) *nats.Msg {
	m := &nats.Msg{Subject: msg.Subject, Data: msg.Data, Header: maps.Clone(msg.Header)}
	m.Header[key] = []string{value}
	return m
}

// finish passes the answer to a commit, or the lack of one, to its callers and sends what was waiting for it.
func (w *writer) finish(c *commit, answer *nats.Msg, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.over {
		return
	}
	a := ack{err: err}
	if answer != nil {
		a = parseAck(answer, c.expects())
	}
	if !c.batch && answer != nil {
		if c.take(a); c.unanswered > 0 {
			return
		}
		if len(c.stored) < len(c.writes[0].msgs) && (c.failed == nil || overtaken(c.failed.err)) && !w.closed {
			c.timer.Reset(w.timeout)
			if err := w.publish(c); err != nil {
				go w.finish(c, nil, notSent(err))
			}
			return
		}
		if a = (ack{}); c.failed != nil {
			a = *c.failed
		}
	}
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
	w.inbox.forget(c.reply)
	delete(w.open, c)
	for _, q := range c.writes {
		delete(w.busy, q.key)
	}
	if !c.batch {
		w.singles--
		c.writes[0].done <- result{seqs: c.stored, duplicate: a.duplicate, err: a.err}
	} else {
		if len(c.writes) == 1 {
			w.singles--
		} else {
			w.batching = false
			w.awaitCallers(len(c.writes) + len(w.queue))
		}
		var refused *jetstream.APIError
		if errors.As(a.err, &refused) && !w.closed {
			// The server does not say which write it refused, so each is sent alone.
			for _, q := range c.writes {
				w.singles++
				w.send([]*write{q}, false)
			}
			return
		}
		next := a.seq - uint64(c.expects()) + 1 // #nosec G115 -- a few hundred
		for _, q := range c.writes {
			r := result{err: a.err}
			for range q.msgs {
				if a.err == nil {
					r.seqs = append(r.seqs, next)
				}
				next++
			}
			q.done <- r
		}
	}
	w.pump()
}

// take notes the answer to one message of a single write. Answers come in the order of the messages.
func (c *commit) take(a ack) {
	c.unanswered--
	switch {
	case c.failed != nil: // so the condition of what followed did not hold either
	case a.err != nil || a.duplicate:
		c.failed = &a
	default:
		c.stored = append(c.stored, a.seq)
	}
}

// overtaken reports whether a message was refused because another came between it and the one before it.
func overtaken(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.ErrorCode == codeWrongLastID
}

// expects returns how many messages one acknowledgement covers.
func (c *commit) expects() (n int) {
	if !c.batch {
		return 1
	}
	for _, q := range c.writes {
		n += len(q.msgs)
	}
	return n
}

// awaitCallers delays the next commit until n writes wait or linger has passed. The lock is held.
func (w *writer) awaitCallers(n int) {
	w.expected = n
	if w.lingers != nil {
		w.lingers.Reset(linger)
		return
	}
	w.lingers = time.AfterFunc(linger, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.expected = 0
		w.pump()
	})
}

// reconnected ends the wait for commits sent before the connection was lost: their answers were lost with it.
func (w *writer) reconnected() {
	now := w.nc.Stats().Reconnects
	for _, c := range w.openCommits() {
		if c.connection != now {
			w.finish(c, nil, ErrUnknown)
		}
	}
}

func (w *writer) openCommits() []*commit {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.open))
}

// close fails all queued and open writes.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	queue := w.queue
	w.queue = nil
	w.mu.Unlock()
	for _, q := range queue {
		q.done <- result{err: refusal.Unavailable("", "I11", "the journal is closed")}
	}
	for _, c := range w.openCommits() {
		w.finish(c, nil, ErrUnknown)
	}
}

// ack is the server's acknowledgement of a commit.
type ack struct {
	seq       uint64 // of its last message
	duplicate bool
	err       error
}

func parseAck(m *nats.Msg, count int) ack {
	if m.Header.Get("Status") != "" {
		return ack{err: fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "no stream takes the message"), errUntaken)}
	}
	var answer struct {
		Error     *jetstream.APIError `json:"error"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Count     int                 `json:"count"`
	}
	err := json.Unmarshal(m.Data, &answer)
	switch {
	case err != nil, answer.Error == nil && answer.Sequence == 0, answer.Error == nil && count > 1 &&
		answer.Count != count:
		return ack{err: fmt.Errorf("%w: unexpected acknowledgement %q", ErrUnknown, m.Data)}
	case answer.Error != nil:
		return ack{err: answer.Error}
	}
	return ack{seq: answer.Sequence, duplicate: answer.Duplicate}
}
