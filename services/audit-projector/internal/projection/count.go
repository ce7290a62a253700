package projection

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/cache"
)

// rememberedCounts is how many numbers of waiting requests readers share; at most twice as many.
const rememberedCounts = 1024

// counts are what somebody has counted at a sequence: every page of a reader shows how much waits for them, and to count is to
// look at all of it.
type counts struct {
	mu       sync.Mutex
	sequence uint64
	known    *cache.Cache[string, uint64]
}

func (c *counts) get(sequence uint64, what string) (n uint64, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sequence != c.sequence || c.known == nil {
		return 0, false
	}
	return c.known.Get(what)
}

func (c *counts) put(sequence uint64, what string, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sequence > c.sequence || c.known == nil {
		c.sequence, c.known = sequence, cache.New[string, uint64](rememberedCounts)
	}
	if sequence == c.sequence {
		c.known.Put(what, n)
	}
}

// CountRequests counts those that Requests lists, on all pages together.
func (v *Snapshot) CountRequests(ctx context.Context, of Scope, f RequestFilter, now time.Time) (uint64, error) {
	in, empty, err := v.reach(ctx, of, f)
	switch {
	case err != nil || empty:
		return 0, err
	case f.ID != "" || f.TicketID != "":
	case len(f.Waiting) == 0 && len(of.Principals) == 0:
		return v.countTally(ctx, in, f, now)
	case len(f.Waiting) > 0 && len(f.Statuses) == 0 && of.covers(f.Waiting):
		return v.countWaiting(ctx, in, f, now)
	}
	var total uint64
	for _, run := range runs(in, of, f, now) {
		n, err := v.number(ctx, "SELECT count(*) "+run.text(), run.args...)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// countWaiting looks only at those requests that are overdue, which wait for nobody, once the others have been counted.
func (v *Snapshot) countWaiting(ctx context.Context, in reach, f RequestFilter, now time.Time) (uint64, error) {
	q := newSelect("SELECT count(*) FROM waiting w")
	q.and("w.principal IN ("+marks(len(f.Waiting))+")", texts(f.Waiting)...)
	in.keep(q, "w")
	what := fmt.Sprintf("%s %#v", q.text(), q.args)
	waiting, known := v.store.counts.get(v.sequence, what)
	if !known {
		var err error
		if waiting, err = v.number(ctx, q.text(), q.args...); err != nil {
			return 0, err
		}
		v.store.counts.put(v.sequence, what, waiting)
	}
	if waiting == 0 {
		return 0, nil
	}
	q.head = "SELECT count(*) FROM requests r INDEXED BY requests_due CROSS JOIN waiting w ON w.request = r.seq"
	q.and("r.due > 0 AND r.due <= ?", now.UnixNano())
	over, err := v.number(ctx, q.text(), q.args...)
	return waiting - over, err
}

// countTally looks only at those requests that are overdue, for they are tallied as recorded.
func (v *Snapshot) countTally(ctx context.Context, in reach, f RequestFilter, now time.Time) (uint64, error) {
	q := newSelect("SELECT coalesce(sum(k.n), 0) FROM tally k")
	in.keep(q, "k")
	if len(f.Statuses) > 0 {
		q.in("k.status", numbers(f.Statuses))
	}
	n, err := v.number(ctx, q.text(), q.args...)
	if err != nil {
		return 0, err
	}
	for _, s := range standings(f.Statuses) {
		if s.when == whenever {
			continue
		}
		q := newSelect("SELECT count(*) FROM requests r INDEXED BY requests_due")
		in.keep(q, "r")
		q.and("r.status = ? AND r.due > 0 AND r.due <= ?", int64(s.status), now.UnixNano())
		over, err := v.number(ctx, q.text(), q.args...)
		if err != nil {
			return 0, err
		}
		if s.when == overdue {
			n += over
		} else {
			n -= over
		}
	}
	return n, nil
}

func (v *Snapshot) number(ctx context.Context, text string, args ...any) (n uint64, err error) {
	err = v.one(ctx, text, args, &n)
	return n, v.store.checked(err)
}
