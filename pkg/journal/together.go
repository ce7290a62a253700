package journal

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
)

const (
	longReplay = 10_000
	// windowBytes is about how much of the stream is held for replays that read it together.
	windowBytes = 6 << 20
	// windowMessage is what a message takes there besides its bytes.
	windowMessage = 150
	// laggard is for how long the others wait for the slowest.
	laggard = 5 * time.Second
)

// long is the reading that long replays of everything share, so that a service which folds the stream in two ways has
// the bus read it once.
type long struct {
	mu sync.Mutex
	*together
}

// together is one reading from which several replays take the same parts at about the same time. It goes no further
// ahead of the slowest than the window is large. Whoever cannot take part reads alone.
type together struct {
	stop context.CancelFunc

	mu sync.Mutex
	// parts are the last ones read, without a gap.
	parts [][]storedMsg
	bytes int
	// next is the sequence after them.
	next uint64
	// ended means that no further part comes.
	ended bool
	// readers are the replays that take part, with the sequence that each wants next.
	readers map[*uint64]bool
	// moved is closed when anything above changes.
	moved chan struct{}
}

// readTogether passes on what is stored from next to end, as far as it can be read together with other replays or
// faster than by asking for each part, until pass returns false. It returns the next sequence to ask for.
func (j *Journal) readTogether(ctx context.Context, next, end uint64, pass func(part) bool) uint64 {
	t, mine := j.join(next, end)
	if t == nil {
		return next
	}
	defer t.leave(mine)
	for next <= end {
		found := t.take(ctx, mine)
		if found == nil || !pass(part{messages: found}) {
			return next
		}
		next = found[len(found)-1].Seq + 1
	}
	return next
}

// join returns the reading in progress if it can still be joined at a sequence, or begins one; nil if neither is
// possible.
func (j *Journal) join(next, end uint64) (*together, *uint64) {
	mine := &next
	j.long.mu.Lock()
	defer j.long.mu.Unlock()
	if t := j.long.together; t != nil {
		if t.enter(mine) {
			return t, mine
		}
		if !t.over() {
			return nil, nil
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	t := &together{stop: stop, next: next, readers: map[*uint64]bool{mine: true}, moved: make(chan struct{})}
	j.long.together = t
	go func() {
		defer stop()
		defer t.end()
		// After an error the replays go on by themselves, and are told what is wrong if something is.
		_ = j.scanTogether(ctx, t, end)
	}()
	return t, mine
}

// errAlone ends a way of reading together.
var errAlone = errors.New("journal: this is read in another way")

// scanTogether reads up to a sequence, through the identity's reader of some server's copy if it has any: a consumer
// costs the server half of what it costs to ask for each part. It makes way for whoever wants to scan.
func (j *Journal) scanTogether(ctx context.Context, t *together, end uint64) error {
	put := func(found []storedMsg) error {
		for i, m := range found {
			if m.Seq != t.next+uint64(i) {
				return errAlone // whether it is missing, or only from this copy, is for the replays to find out
			}
		}
		return t.put(ctx, found)
	}
	if done, free := j.scans.try(); free {
		if bus.ReadsCopies(bus.Identity(j.nc.Opts.Name)) {
			// An answer of a busy server may come too late. As long as others come, that is no reason to ask in the dearer way;
			// that another process uses this reader is one.
			late := context.DeadlineExceeded
			for before, err := uint64(0), late; errors.Is(err, late) && before < t.next && ctx.Err() == nil; {
				before = t.next
				err = j.scan(ctx, "", t.next, end, func(found []storedMsg) error {
					if j.scans.wanted() {
						return errAlone
					}
					return put(found)
				})
			}
		}
		done()
	}
	for t.next <= end && ctx.Err() == nil {
		found, err := j.following(ctx, "", t.next, time.Time{})
		if err != nil || len(found) == 0 {
			return errors.Join(err, errAlone)
		}
		if err := put(found); err != nil {
			return err
		}
	}
	return nil
}

// enter joins at the reader's sequence, if that is held or comes next.
func (t *together) enter(mine *uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || *mine > t.next || *mine < t.next && (len(t.parts) == 0 || *mine < t.parts[0][0].Seq) {
		return false
	}
	t.readers[mine] = true
	return true
}

func (t *together) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended && len(t.readers) == 0
}

func (t *together) leave(mine *uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.readers, mine)
	if len(t.readers) == 0 {
		t.stop()
		t.parts, t.ended = nil, true
	}
	t.move()
}

func (t *together) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.move()
}

// move wakes whoever waits. The caller holds mu.
func (t *together) move() {
	close(t.moved)
	t.moved = make(chan struct{})
}

// take returns what follows for a reader, waiting for it; nil if nothing does.
func (t *together) take(ctx context.Context, mine *uint64) []storedMsg {
	for {
		t.mu.Lock()
		found, over, moved := t.held(*mine), t.ended || !t.readers[mine], t.moved
		if found != nil && t.readers[mine] {
			*mine = found[len(found)-1].Seq + 1
			t.move()
			t.mu.Unlock()
			return found
		}
		t.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil
		}
	}
}

// held returns the rest of the part that has a sequence.
func (t *together) held(sequence uint64) []storedMsg {
	for _, p := range t.parts {
		if first, last := p[0].Seq, p[len(p)-1].Seq; sequence >= first && sequence <= last {
			return p[sequence-first:]
		}
	}
	return nil
}

// put adds a part once there is room for it. For whom there is none to come, it makes room without them.
func (t *together) put(ctx context.Context, found []storedMsg) error {
	if len(found) == 0 {
		return nil
	}
	size := sizeOf(found)
	late := time.NewTimer(laggard)
	defer late.Stop()
	for {
		t.mu.Lock()
		for len(t.parts) > 0 && t.bytes+size > windowBytes && t.all(t.parts[0]) {
			t.drop()
		}
		if len(t.parts) == 0 || t.bytes+size <= windowBytes {
			t.parts, t.bytes, t.next = append(t.parts, found), t.bytes+size, found[len(found)-1].Seq+1
			t.move()
			t.mu.Unlock()
			return nil
		}
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-late.C:
			t.mu.Lock()
			for r := range t.readers {
				if *r <= t.parts[0][len(t.parts[0])-1].Seq {
					delete(t.readers, r)
				}
			}
			t.move()
			t.mu.Unlock()
		}
	}
}

// all reports whether every reader has taken a part.
func (t *together) all(p []storedMsg) bool {
	for r := range t.readers {
		if *r <= p[len(p)-1].Seq {
			return false
		}
	}
	return true
}

func (t *together) drop() {
	t.bytes -= sizeOf(t.parts[0])
	t.parts[0] = nil
	t.parts = t.parts[1:]
}

func sizeOf(found []storedMsg) (bytes int) {
	for _, m := range found {
		bytes += len(m.Data) + len(m.Subject) + windowMessage
	}
	return bytes
}

// scans lets one at a time read through this identity's readers.
type scans struct {
	turn    chan struct{}
	waiting *atomic.Int64
}

func newScans() scans { return scans{make(chan struct{}, 1), new(atomic.Int64)} }

// wait returns once it is the caller's turn, who calls done.
func (s scans) wait(ctx context.Context) (done func(), err error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// try takes the turn if it is nobody's.
func (s scans) try() (done func(), free bool) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, true
	default:
		return nil, false
	}
}

// wanted reports whether somebody waits.
func (s scans) wanted() bool { return s.waiting.Load() > 0 }
