package journal

import (
	"context"
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
)

const (
	// pipeline is how many single publishes are on their way at once: enough that the server never waits for the next one,
	// and few enough that what comes meanwhile gathers here.
	pipeline = 4
	// batchAbove is how much must wait for an atomic batch to be cheaper: the server syncs it once, though staging it costs
	// as much as several singles.
	batchAbove = 10
	// linger is how long after a batch the next commit waits, at most, for the callers that were just answered: most of them
	// write again soon, and two half batches cost nearly twice as much as a whole one.
	linger = 15 * time.Millisecond
	// maxBatch and maxBatchBytes bound one commit. The server takes 1000 messages.
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// write is one message that wants to be stored.
type write struct {
	msg *nats.Msg
	// key names what is written at most once at a time.
	key  string
	done chan result
}

type result struct {
	seq       uint64
	duplicate bool
	// err is a *jetstream.APIError if the server refused, ErrUnknown if it said nothing.
	err error
}

// commit is what the server answers once: one message, or an atomic batch of several.
type commit struct {
	writes []*write
	reply  string
	timer  *time.Timer
	over   bool
	// connection counts which of the connection's lives it was sent in.
	connection uint64
}

// writer stores messages in one stream, in groups. See "The life of an append".
type writer struct {
	nc      *nats.Conn
	inbox   *inbox
	timeout time.Duration
	// name is the beginning of all batch ids of this writer; every stored message carries one.
	name string

	mu       sync.Mutex
	batches  uint64
	closed   bool
	queue    []*write
	busy     map[string]bool
	singles  int  // commits of one on their way
	batching bool // a batch is on its way
	expected int  // until that many wait again, or linger has passed, nothing is sent; 0: do not wait
	lingers  *time.Timer
	open     map[*commit]bool
}

func newWriter(nc *nats.Conn, b *inbox, timeout time.Duration) *writer {
	return &writer{nc: nc, inbox: b, timeout: timeout, name: nuid.Next()[12:], busy: map[string]bool{}, open: map[*commit]bool{}}
}

// store waits until the message is stored, refused, or its fate is not known.
func (w *writer) store(ctx context.Context, key string, msg *nats.Msg) result {
	mine := &write{msg: msg, key: key, done: make(chan result, 1)}
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
	// It is on its way, and the answer or the timeout will say more than the context could.
	return <-mine.done
}

// withdraw takes a write back that has not been sent.
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

// pump sends what may go now. The lock is held.
func (w *writer) pump() {
	if w.batching || len(w.queue) < max(1, w.expected) {
		return
	}
	w.expected = 0
	limit := maxBatch
	if len(w.queue) <= batchAbove {
		limit = pipeline - w.singles
	}
	ready := w.take(limit)
	if len(ready) > batchAbove {
		w.batching = true
		w.send(ready)
		return
	}
	for i, one := range ready {
		if w.singles >= pipeline {
			w.queue = append(ready[i:len(ready):len(ready)], w.queue...)
			return
		}
		w.singles++
		w.send([]*write{one})
	}
}

// take cuts from the queue, in order, up to limit writes whose keys are free and differ.
func (w *writer) take(limit int) []*write {
	var taken, rest []*write
	bytes := 0
	keys := map[string]bool{}
	for i, q := range w.queue {
		if len(taken) >= limit || bytes+q.msg.Size() > maxBatchBytes && len(taken) > 0 {
			rest = append(rest, w.queue[i:]...)
			break
		}
		if w.busy[q.key] || keys[q.key] {
			rest = append(rest, q)
			continue
		}
		keys[q.key] = true
		bytes += q.msg.Size()
		taken = append(taken, q)
	}
	w.queue = rest
	return taken
}

// send publishes a commit. The lock is held.
func (w *writer) send(writes []*write) {
	c := &commit{writes: writes, connection: w.nc.Stats().Reconnects}
	w.open[c] = true
	for _, q := range writes {
		w.busy[q.key] = true
	}
	c.reply = w.inbox.expect(func(m *nats.Msg) { w.finish(c, m, nil) })
	c.timer = time.AfterFunc(w.timeout, func() { w.finish(c, nil, ErrUnknown) })
	if err := w.publish(c); err != nil {
		go w.finish(c, nil, notSent(err))
	}
}

// notSent tells a message that certainly stayed here from one that may have left before the connection broke.
func notSent(err error) error {
	for _, certain := range []error{nats.ErrReconnectBufExceeded, nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrMaxPayload} {
		if errors.Is(err, certain) {
			return fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "the bus does not take the message"), err)
		}
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

func (w *writer) publish(c *commit) error {
	if len(c.writes) == 1 {
		m := *c.writes[0].msg
		m.Reply = c.reply
		return w.nc.PublishMsg(&m)
	}
	w.batches++
	id := w.name + strconv.FormatUint(w.batches, 36)
	for i, q := range c.writes {
		m := nats.Msg{Subject: q.msg.Subject, Data: q.msg.Data, Header: nats.Header{}}
		for k, v := range q.msg.Header {
			m.Header[k] = v
		}
		m.Header["Nats-Batch-Id"] = []string{id}
		m.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		if i == len(c.writes)-1 {
			m.Header["Nats-Batch-Commit"] = []string{"1"}
			m.Reply = c.reply
		}
		if err := w.nc.PublishMsg(&m); err != nil {
			return err
		}
	}
	return nil
}

// finish hands out the answer to a commit, or its absence, and sends what has been waiting for it.
func (w *writer) finish(c *commit, answer *nats.Msg, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	c.timer.Stop()
	w.inbox.forget(c.reply)
	delete(w.open, c)
	for _, q := range c.writes {
		delete(w.busy, q.key)
	}
	first := uint64(0)
	r := result{err: err}
	if answer != nil {
		r = parseAck(answer, len(c.writes))
		first = r.seq - uint64(len(c.writes)) + 1
	}
	if len(c.writes) == 1 {
		w.singles--
		c.writes[0].done <- r
	} else {
		w.batching = false
		w.awaitCallers(len(c.writes) + len(w.queue))
		var refused *jetstream.APIError
		if errors.As(r.err, &refused) && !w.closed {
			// The server does not say whose fault it was.
			for _, q := range c.writes {
				w.singles++
				w.send([]*write{q})
			}
			return
		}
		for i, q := range c.writes {
			q.done <- result{seq: first + uint64(i), err: r.err}
		}
	}
	w.pump()
}

// awaitCallers puts the next commit off until n writes wait, or linger has passed. The lock is held.
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

// reconnected gives up waiting for what was sent before the connection was lost: its answers were lost with it.
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

// close fails everything that waits.
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

func parseAck(m *nats.Msg, count int) result {
	if m.Header.Get("Status") != "" {
		return result{err: fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "no stream takes the message"), errUntaken)}
	}
	var ack struct {
		Error     *jetstream.APIError `json:"error"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Count     int                 `json:"count"`
	}
	err := json.Unmarshal(m.Data, &ack)
	switch {
	case err != nil, ack.Error == nil && ack.Sequence == 0, ack.Error == nil && count > 1 && ack.Count != count:
		return result{err: fmt.Errorf("%w: unexpected acknowledgement %q", ErrUnknown, m.Data)}
	case ack.Error != nil:
		return result{err: ack.Error}
	}
	return result{seq: ack.Sequence, duplicate: ack.Duplicate}
}
