package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
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
	// Looked, unless nil, is called with Follow after each look that found everything which the answering replica had:
	// when that look began, and the sequence through which everything has been passed on.
	Looked func(begun time.Time, through uint64)
	// Undecoded leaves Event nil in the entries; their bytes are not validated.
	Undecoded bool
	// Misfit receives, in their order, the messages that cannot be events, as entries without Event. If nil, they are
	// skipped and logged.
	Misfit func(e Entry, m Misfit) error
}

const (
	// pullMessages and pullBytes limit one answer of the bus: large for speed, but small beside the 64 MiB at which the
	// server disconnects a client.
	pullMessages = 4000
	pullBytes    = 2 << 20
	// silence is how long a replay waits for an event that the leader has.
	silence = 30 * time.Second
	// firstLook and lastLook are the shortest and the longest time between two looks for new events.
	firstLook = 2 * time.Millisecond
	lastLook  = 25 * time.Millisecond
)

// Replay passes events to handle, one by one in stream order. It ends after the event that was the last at the leader
// when Replay began, or at the first error of handle, which it returns. With Follow it returns nil when ctx ends.
//
// A replay of everything expects every sequence; a gap is a *CorruptError, after everything before it. A replay of a
// part is refused (UNAVAILABLE) if the leader knows of a gap from there on: what is missing may have been a part of it.
//
// It asks for one part after the other, from whichever replica, and leaves nothing on the server: any number of replays
// can run with one key, and nobody who may read needs a right to create or change a consumer. With Follow it looks
// again after at most 25 ms (WithLook).
func (j *Journal) Replay(ctx context.Context, r Replay, handle func(Entry) error) error {
	filter, err := bus.ReplayFilter(r.Tenant, r.Kind, r.ID, r.Type)
	if err != nil {
		return err
	}
	if r.Misfit == nil {
		r.Misfit = func(_ Entry, m Misfit) error {
			j.skip(m)
			return nil
		}
	}
	reading := &reading{Replay: r, filter: filter, next: max(1, r.From), handle: handle,
		open: func(e *lockboxv1.Event) error { return j.open(ctx, e) }}
	if reading.all = r.Tenant == "" && r.Kind == "" && r.ID == "" && r.Type == ""; reading.all {
		reading.filter = ">" // whatever was stored, under whatever subject
	}
	reading.contiguous = reading.all && r.Since.IsZero()
	err = j.replay(ctx, reading)
	switch {
	case errors.Is(err, errEnd), r.Follow && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil
	case err != nil && ctx.Err() == nil && !reading.handled:
		return fmt.Errorf("journal: replay: %w", err)
	}
	return err
}

// reading is a replay in progress.
type reading struct {
	Replay
	filter string
	// all means that every event matches.
	all bool
	// contiguous means that every sequence is read, so that none may be missing.
	contiguous bool
	// next is the next sequence to ask for.
	next   uint64
	handle func(Entry) error
	// open decrypts an event.
	open func(*lockboxv1.Event) error
	// handled means that the error is the handler's.
	handled bool
}

// part is one answer of the bus, or why there is none.
type part struct {
	messages []storedMsg
	err      error
	// ahead is closed once all messages are decoded; nil if they are decoded one by one.
	ahead   chan struct{}
	decoded []decoded
}

// decoded is the event of a message, or the error of newEntry.
type decoded struct {
	event *lockboxv1.Event
	err   error
}

// decodeAhead decodes a part's messages while those before them are handled.
func (p *part) decodeAhead() {
	p.ahead, p.decoded = make(chan struct{}), make([]decoded, len(p.messages))
	messages, into, done := p.messages, p.decoded, p.ahead
	go func() {
		defer close(done)
		for i, m := range messages {
			e, err := newEntry(m.Seq, m.Time, m.Subject, m.Data)
			into[i] = decoded{e.Event, err}
		}
	}()
}

// of returns the message at i, decoded if all are.
func (p *part) of(i int) *decoded {
	if p.ahead == nil {
		return nil
	}
	return &p.decoded[i]
}

func (j *Journal) replay(ctx context.Context, r *reading) error {
	// A reader who follows outlives a bus that is away for a moment; anybody else is told at once.
	var patience time.Duration
	if r.Follow {
		patience = silence
	}
	// First, so that whatever matches up to its end is known to be at or before the last match.
	stream, err := patiently(ctx, patience, func() (Copies, error) { return j.Copies(ctx) })
	if err != nil {
		return err
	}
	gone, err := j.gone(ctx, stream, r.next)
	if err != nil {
		return err
	}
	if gone > 0 && !r.all {
		return incomplete(gone) // it may have matched
	}
	last := storedMsg{Seq: stream.Last}
	if !r.all || !r.Since.IsZero() {
		last, err = patiently(ctx, patience, func() (storedMsg, error) {
			return j.stored(ctx, bus.StreamEvents, wanted{Last: r.filter})
		})
		if err != nil {
			return err
		}
	}
	end := last.Seq
	if gone > 0 {
		end = min(end, gone-1)
	}
	if end >= r.next && (r.Since.IsZero() || !last.Time.Before(r.Since)) {
		if err := j.readUpTo(ctx, r, end); err != nil {
			return err
		}
	}
	if gone > 0 {
		return &CorruptError{gone, noneMissing}
	}
	if !r.Follow {
		return nil
	}
	r.next = max(r.next, stream.Last+1, last.Seq+1)
	return j.tail(ctx, r)
}

// noneMissing is what holds for the sequences of a stream.
const noneMissing = "no sequence is missing"

// readUpTo passes on what matches up to the sequence of the last match. The next part is read while one is handled.
func (j *Journal) readUpTo(ctx context.Context, r *reading, end uint64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts := make(chan part, 1)
	filter := r.filter
	if r.all {
		filter = "" // the server's short way
	}
	go func() {
		defer close(parts)
		since, next := r.Since, r.next
		if r.From > 0 {
			since = time.Time{} // a question begins at a sequence or at a time
		}
		long := r.all && since.IsZero() && end >= next && end-next >= j.longReplay
		pass := func(p part) bool {
			if long && !r.Undecoded {
				p.decodeAhead()
			}
			select {
			case parts <- p:
				return true
			case <-ctx.Done():
				return false
			}
		}
		if long {
			next = j.readTogether(ctx, next, end, pass)
		}
		for progress := time.Now(); next <= end; {
			found, err := j.following(ctx, filter, next, since)
			switch {
			case err == nil && len(found) > 0:
				next, since, progress = found[len(found)-1].Seq+1, time.Time{}, time.Now()
			case ctx.Err() != nil:
				return
			case err == nil && time.Since(progress) < silence, // that replica has not caught up
				err != nil && time.Since(progress) < silence && !errors.Is(err, nats.ErrPermissionViolation):
				_ = sleep(ctx, lastLook)
				continue
			case err == nil:
				err = refusal.Unavailable("", "I11", "the stream ends before sequence %d", end)
			}
			if !pass(part{messages: found, err: err}) || err != nil {
				return
			}
		}
	}()
	for p := range parts {
		if p.err != nil {
			return p.err
		}
		if p.ahead != nil {
			<-p.ahead
		}
		for i, m := range p.messages {
			if m.Seq > end {
				return nil
			}
			if err := r.process(m, m.Pending+behind(p.messages, i), p.of(i)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// tail passes on what is stored from now on. It reads everything, whatever the filter: to find that nothing matches,
// the server would search all that came since the last match, with each look.
//
// It looks at once when Look is called.
func (j *Journal) tail(ctx context.Context, r *reading) error {
	r.contiguous = true
	look := j.tails.add()
	defer j.tails.remove(look)
	soon := min(firstLook, j.lastLook)
	wait := soon
	for stuck := time.Now(); ; {
		begun := time.Now()
		found, err := j.news(ctx, r.next)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrPermissionViolation):
			return err
		case err != nil:
			j.log.Warn("the stream cannot be read; trying again", zap.Error(err))
			wait = time.Second
		case len(found) > 0:
			for i, m := range found {
				if err := r.process(m, m.Pending+behind(found, i), nil); err != nil {
					return err
				}
			}
			wait, stuck = soon, time.Now()
		case time.Since(stuck) > silence:
			if c, err := j.Copies(ctx); err == nil && c.Last >= r.next && time.Since(stuck) > 2*silence {
				return &CorruptError{r.next, noneMissing}
			} else if err != nil || c.Last < r.next {
				stuck = time.Now()
			}
		}
		if err == nil && r.Looked != nil && (len(found) == 0 || found[0].Pending == 0) {
			r.Looked(begun, r.next-1)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look:
			wait = soon
		case <-time.After(wait):
			wait = min(2*wait, j.lastLook)
		}
	}
}

// news returns what was stored from a sequence on, as some replica has it, once the leader has it as well: whoever is
// told of an event by one who follows the stream may ask others about it, who ask the leader.
func (j *Journal) news(ctx context.Context, from uint64) ([]storedMsg, error) {
	found, err := j.following(ctx, "", from, time.Time{})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	alone, err := j.standsAlone(ctx)
	if err == nil && !alone {
		_, err = j.awaitLeader(ctx, found[len(found)-1].Seq)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Look makes the replays that follow the stream look for new events at once.
func (j *Journal) Look() { j.tails.wake() }

// tails are the replays that follow the stream, each with a channel that says that it shall look.
type tails struct {
	mu  sync.Mutex
	all map[chan struct{}]struct{}
}

func (t *tails) add() chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[chan struct{}]struct{}{}
	}
	c := make(chan struct{}, 1)
	t.all[c] = struct{}{}
	return c
}

func (t *tails) remove(c chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, c)
}

func (t *tails) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.all {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// behind is how many messages of an answer come after the one at i.
func behind(messages []storedMsg, i int) uint64 {
	return uint64(len(messages) - 1 - i) //nolint:gosec // G115: never negative
}

var errEnd = errors.New("journal: the end of the replay")

func (r *reading) process(m storedMsg, pending uint64, d *decoded) error {
	if !r.Until.IsZero() && !m.Time.Before(r.Until) {
		return errEnd
	}
	if r.contiguous && m.Seq != r.next {
		return &CorruptError{r.next, noneMissing}
	}
	r.next = m.Seq + 1
	if m.Time.Before(r.Since) || !r.all && !bus.Matches(r.filter, m.Subject) {
		return nil
	}
	return r.pass(Entry{Seq: m.Seq, Stored: m.Time, Subject: m.Subject, Data: m.Data, Pending: pending}, d)
}

// pass decodes an entry, unless it shall not be or is already, and hands it over.
func (r *reading) pass(e Entry, d *decoded) error {
	handle := r.handle
	if !r.Undecoded {
		if d == nil {
			entry, err := newEntry(e.Seq, e.Stored, e.Subject, e.Data)
			d = &decoded{entry.Event, err}
		}
		var misfit *MisfitError
		switch {
		case d.err == nil:
			if err := r.open(d.event); err != nil {
				return err
			}
			e.Event = d.event
		case errors.As(d.err, &misfit):
			handle = func(e Entry) error { return r.Misfit(e, misfit.Misfit) }
		default:
			return d.err
		}
	}
	err := handle(e)
	r.handled = err != nil
	return err
}
