package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/openlockbox/lockbox/pkg/request"
)

// figure is what figures are made from for one request.
type figure struct {
	seq          uint64 // of its first event
	subscription int64
	// In nanoseconds since 1970; 0 for never.
	due               int64
	times             times
	engineer          uint32 // a number of the tally's
	status            request.Status
	emergency, waived bool
}

// counted is a request's figure, with where it is counted and what whoever asks is found by.
type counted struct {
	figure
	tenant, who string
	// made is when its first event happened, in nanoseconds since 1970.
	made int64
}

// tally holds the figures of all requests in memory: 80 bytes each. It follows the commits. When a projection is opened
// it is read from the requests' rows, beside everything else: questions about figures wait for that.
//
// A question about everything of a customer adds up weeks, and looks only at the requests that have not ended: what has
// ended is added up once for all readers, until something else in its week ends. A filtered question looks at each
// request of the weeks, which takes some 10 ns, and sorts how long decisions took.
type tally struct {
	// ready is closed once the rows are read; failed is why they could not be.
	ready  chan struct{}
	failed error

	mu sync.RWMutex
	// later are the changes since the reading began; nil once it is over.
	later   []counted
	tenants map[string]map[int64]*madeIn // by the week in which requests were made
	// engineers are the distinct texts by which engineers are found, and numbers their places in it.
	engineers []string
	numbers   map[string]uint32
}

// madeIn holds the requests of one week, in the order of the stream.
type madeIn struct {
	list []figure
	// open is how many of them have not ended as far as is recorded.
	open int
	// ended are the sums of the others; nil until somebody asks.
	ended atomic.Pointer[sums]
}

func newTally() *tally {
	return &tally{ready: make(chan struct{}), tenants: map[string]map[int64]*madeIn{}, numbers: map[string]uint32{}}
}

// isReady reports whether the rows are read, or none had to be.
func (t *tally) isReady() bool {
	select {
	case <-t.ready:
		return true
	default:
		return false
	}
}

// number returns the number of an engineer's text.
func (t *tally) number(engineer string) uint32 {
	n, known := t.numbers[engineer]
	if !known {
		n = uint32(len(t.engineers)) // #nosec G115 -- far fewer
		t.engineers, t.numbers[engineer] = append(t.engineers, engineer), n
	}
	return n
}

// putAll counts what a commit changed.
func (t *tally) putAll(list []counted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isReady() {
		t.later = append(t.later, list...)
		return
	}
	for _, c := range list {
		t.put(c)
	}
}

// put counts a request as it stands now, and no longer as it stood before.
func (t *tally) put(c counted) {
	c.engineer = t.number(c.who)
	weeks := t.tenants[c.tenant]
	if weeks == nil {
		weeks = map[int64]*madeIn{}
		t.tenants[c.tenant] = weeks
	}
	in := weeks[weekOf(c.made)]
	if in == nil {
		in = new(madeIn)
		weeks[weekOf(c.made)] = in
	}
	i, known := slices.BinarySearchFunc(in.list, c.seq, func(f figure, seq uint64) int { return cmp.Compare(f.seq, seq) })
	was := c.status
	if known {
		was, in.list[i] = in.list[i].status, c.figure
		if !request.Ended(was) {
			in.open--
		}
	} else {
		in.list = slices.Insert(in.list, i, c.figure)
	}
	if !request.Ended(c.status) {
		in.open++
	}
	if request.Ended(was) || request.Ended(c.status) {
		in.ended.Store(nil)
	}
}

// sweep forgets the texts by which engineers were found and nobody is found any more.
func (t *tally) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isReady() {
		return // what is being read is swept then
	}
	t.swept()
}

func (t *tally) swept() {
	used := make([]bool, len(t.engineers))
	for _, weeks := range t.tenants {
		for _, in := range weeks {
			for i := range in.list {
				used[in.list[i].engineer] = true
			}
		}
	}
	for n, is := range used {
		if !is {
			delete(t.numbers, t.engineers[n])
			t.engineers[n] = ""
		}
	}
}

// readTally reads the tally of a projection that is opened, as of a snapshot, which it closes, and adds what was
// committed since. What cannot be read is damaged.
func (s *Store) readTally(ctx context.Context, v *Snapshot) {
	rows, err := v.counted(ctx)
	if err = errors.Join(err, v.Close()); err != nil {
		err = fmt.Errorf("%w: %w", ErrUnusable, err)
		s.report(err)
	}
	t := v.store.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range append(rows, t.later...) {
		t.put(c)
	}
	t.later, t.failed = nil, err
	t.swept()
	close(t.ready)
}

// counted reads what the requests' rows say.
func (v *Snapshot) counted(ctx context.Context) (list []counted, err error) {
	rows, err := v.query(ctx, `SELECT t.name, r.seq, e.time, r.subscription, w.engineer, r.status, r.emergency,
		r.waived > 0, r.due, r.asked, r.decided, r.began, r.over FROM requests r JOIN tenants t ON t.id = r.tenant
		JOIN events e ON e.seq = r.seq JOIN words w ON w.request = r.seq ORDER BY r.seq`)
	if err != nil {
		return nil, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c counted
		if err := rows.Scan(&c.tenant, &c.seq, &c.made, &c.subscription, &c.who, &c.status, &c.emergency, &c.waived,
			&c.due, &c.times.asked, &c.times.decided, &c.times.began, &c.times.over); err != nil {
			return nil, v.store.checked(err)
		}
		if c.status < 0 || int(c.status) >= len(statuses) {
			return nil, fmt.Errorf("there is no status %d", c.status)
		}
		list = append(list, c)
	}
	return list, v.store.checked(rows.Err())
}
