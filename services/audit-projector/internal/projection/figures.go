package projection

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
)

// Week is the length of a week; weeks begin on Mondays, at midnight UTC.
const Week = 7 * 24 * time.Hour

// firstMonday is in 1970.
const firstMonday = int64(4 * 24 * time.Hour)

// weekOf returns the number of the week of a time in nanoseconds since 1970.
func weekOf(ns int64) int64 {
	n := (ns - firstMonday) / int64(Week)
	if (ns-firstMonday)%int64(Week) < 0 {
		n--
	}
	return n
}

// longestLife is more weeks than a request may wait and run: who wants to know of access in a week looks that far back.
const longestLife = 5

// Figures are about the requests of a scope.
type Figures struct {
	// Open is what has not ended, whenever it was made.
	Open OpenCount
	// Weeks are those that were asked for, oldest first.
	Weeks []WeekCount
	// Made counts the requests made in these weeks by how they stand.
	Made map[Standing]uint64
	// Took is how long customers took for the decisions about these requests: sorted lists, which must not be modified.
	Took [][]time.Duration
}

// OpenCount is how many requests are open, and what is next.
type OpenCount struct {
	Internal, Waiting, Running, Emergencies uint64
	// OldestWaiting is when the customer was asked about the one that has waited longest; NextDeadline is when the first
	// that waits for the customer expires, NextEnd when the first access ends. Zero for none.
	OldestWaiting, NextDeadline, NextEnd time.Time
}

// Add adds what is open elsewhere.
func (o *OpenCount) Add(other OpenCount) {
	o.Internal += other.Internal
	o.Waiting += other.Waiting
	o.Running += other.Running
	o.Emergencies += other.Emergencies
	first := func(at *time.Time, than time.Time) {
		if at.IsZero() || !than.IsZero() && than.Before(*at) {
			*at = than
		}
	}
	first(&o.OldestWaiting, other.OldestWaiting)
	first(&o.NextDeadline, other.NextDeadline)
	first(&o.NextEnd, other.NextEnd)
}

// WeekCount is what happened in a week.
type WeekCount struct {
	Requests, Emergencies uint64
	// Access is how long access existed in this week, of all requests together, until now.
	Access time.Duration
}

// Standing is how a request stands.
type Standing struct {
	Status            request.Status
	Emergency, Waived bool
}

// Emergencies counts those that were made in the weeks.
func (f *Figures) Emergencies() (n uint64) {
	for _, w := range f.Weeks {
		n += w.Emergencies
	}
	return n
}

// question is which requests are counted.
type question struct {
	// first and last are the numbers of the weeks, now is in nanoseconds since 1970.
	first, last, now int64
	emergency        bool
	// subscriptions and engineers are those that count; nil: all.
	subscriptions map[int64]bool
	engineers     []bool
}

func (q *question) everything() bool {
	return !q.emergency && q.subscriptions == nil && q.engineers == nil
}

func (q *question) wants(f *figure) bool {
	return (!q.emergency || f.emergency) && (q.subscriptions == nil || q.subscriptions[f.subscription]) &&
		(q.engineers == nil || q.engineers[f.engineer])
}

// sums are of requests that were made in the same week.
type sums struct {
	requests, emergencies uint64
	made                  [len(statuses)][2][2]uint64 // by status, whether it is an emergency, and whether waived
	took                  []time.Duration             // sorted once all are added
	// access is how long access existed in that week and in those after it.
	access [longestLife + 1]time.Duration
}

// statuses has a place for each status.
var statuses [request.Lapsed + 1]struct{}

// add adds a request of the week with this number, which stands so, and whose access ends then.
func (s *sums) add(f *figure, week int64, status request.Status, over int64) {
	s.requests++
	if f.emergency {
		s.emergencies++
	}
	s.made[status][bit(f.emergency)][bit(f.waived)]++
	if f.times.decided != 0 && f.times.asked != 0 {
		s.took = append(s.took, time.Duration(f.times.decided-f.times.asked))
	}
	for n := range s.access {
		begins := firstMonday + (week+int64(n))*int64(Week)
		if f.times.began == 0 || over <= begins {
			return
		}
		s.access[n] += time.Duration(max(0, min(over, begins+int64(Week))-max(f.times.began, begins)))
	}
}

func bit(is bool) int {
	if is {
		return 1
	}
	return 0
}

// sumsOfEnded returns the sums of the requests that have ended, as far as is recorded: so they do not depend on the
// time.
func (in *madeIn) sumsOfEnded(week int64) *sums {
	s := in.ended.Load()
	if s == nil {
		s = new(sums)
		for i := range in.list {
			if f := &in.list[i]; request.Ended(f.status) {
				s.add(f, week, f.status, f.times.over)
			}
		}
		slices.Sort(s.took)
		in.ended.Store(s)
	}
	return s
}

// counter adds up the figures of a question. Times are in nanoseconds since 1970, and 0 for none.
type counter struct {
	*question
	found                 Figures
	oldest, deadline, end int64
	made                  [len(statuses)][2][2]uint64
}

// count adds the requests of a tenant.
func (c *counter) count(weeks map[int64]*madeIn) {
	for number, in := range weeks {
		recent := number >= c.first-longestLife && number <= c.last
		summed := !recent
		if recent && c.everything() {
			c.add(in.sumsOfEnded(number), number)
			summed = true
		}
		if summed && in.open == 0 {
			continue
		}
		rest := new(sums)
		for i := range in.list {
			f := &in.list[i]
			status, over := f.status, f.times.over
			if request.Ended(status) && summed || !c.wants(f) {
				continue
			}
			if !request.Ended(status) {
				status, over = c.open(f), min(over, c.now)
			}
			if recent {
				rest.add(f, number, status, over)
			}
		}
		slices.Sort(rest.took)
		c.add(rest, number)
	}
}

// open counts a request that has not ended as far as is recorded, unless it has by now, and returns how it stands.
func (c *counter) open(f *figure) request.Status {
	if f.due > 0 && f.due <= c.now {
		return Overdue(f.status)
	}
	o := &c.found.Open
	if f.emergency {
		o.Emergencies++
	}
	switch f.status {
	case request.CustomerNotified:
		o.Waiting++
		earlier(&c.oldest, f.times.asked)
		earlier(&c.deadline, f.due)
	case request.Approved:
		o.Running++
	case request.Active:
		o.Running++
		earlier(&c.end, f.due)
	default:
		o.Internal++
	}
	return f.status
}

func earlier(at *int64, than int64) {
	if than != 0 && (*at == 0 || than < *at) {
		*at = than
	}
}

// add adds the sums of a week.
func (c *counter) add(s *sums, week int64) {
	for n, lasted := range s.access {
		if at := week + int64(n) - c.first; at >= 0 && at < int64(len(c.found.Weeks)) {
			c.found.Weeks[at].Access += lasted
		}
	}
	if week < c.first || week > c.last || s.requests == 0 {
		return
	}
	in := &c.found.Weeks[week-c.first]
	in.Requests += s.requests
	in.Emergencies += s.emergencies
	for status, of := range s.made {
		for e, each := range of {
			for w, n := range each {
				c.made[status][e][w] += n
			}
		}
	}
	c.found.Took = append(c.found.Took, s.took)
}

func (c *counter) figures() *Figures {
	o := &c.found.Open
	o.OldestWaiting, o.NextDeadline, o.NextEnd = moment(c.oldest), moment(c.deadline), moment(c.end)
	c.found.Made = map[Standing]uint64{}
	for status, of := range c.made {
		for e, each := range of {
			for w, n := range each {
				if n > 0 {
					c.found.Made[Standing{request.Status(status), e == 1, w == 1}] = n // #nosec G115 -- it is one
				}
			}
		}
	}
	return &c.found
}

// Figures returns the figures of a scope's requests, of all together, about the weeks that end with that of now. They
// may be of a moment after the snapshot.
func (v *Snapshot) Figures(ctx context.Context, of Scope, n Named, weeks int, now time.Time) (*Figures, error) {
	c := &counter{found: Figures{Weeks: make([]WeekCount, weeks)}}
	err := v.counting(ctx, of, n, weeks, now, func(_ string, made map[int64]*madeIn, q *question) {
		c.question = q
		c.count(made)
	})
	return c.figures(), err
}

// FiguresByTenant is Figures of each tenant that has any requests.
func (v *Snapshot) FiguresByTenant(
	ctx context.Context, of Scope, n Named, weeks int, now time.Time,
) (map[string]*Figures, error) {
	found := map[string]*Figures{}
	err := v.counting(ctx, of, n, weeks, now, func(tenant string, made map[int64]*madeIn, q *question) {
		c := &counter{question: q, found: Figures{Weeks: make([]WeekCount, weeks)}}
		c.count(made)
		found[tenant] = c.figures()
	})
	return found, err
}

// counting calls count with each tenant in the scope.
func (v *Snapshot) counting(
	ctx context.Context, of Scope, n Named, weeks int, now time.Time,
	count func(tenant string, made map[int64]*madeIn, q *question),
) error {
	in, empty, err := v.reach(ctx, of, RequestFilter{})
	if err != nil || empty {
		return err
	}
	last := weekOf(now.UnixNano())
	q := question{first: last - int64(weeks) + 1, last: last, now: now.UnixNano(), emergency: n.Emergency}
	if !in.all {
		q.subscriptions = among(in.subscriptions, nil)
	}
	if n.Subscription != "" {
		text, args := subscriptionsLike(n.Subscription, n.Subscriptions)
		ids, err := v.ids(ctx, text, args...)
		if err != nil {
			return err
		}
		q.subscriptions = among(ids, q.subscriptions)
	}
	t := v.store.tally
	select {
	case <-t.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.failed != nil {
		return t.failed
	}
	if n.Engineer != "" {
		part := strings.ToLower(n.Engineer)
		q.engineers = make([]bool, len(t.engineers))
		for i, text := range t.engineers {
			q.engineers[i] = strings.Contains(text, part)
		}
	}
	if of.Tenant != "" {
		count(of.Tenant, t.tenants[of.Tenant], &q)
		return nil
	}
	for tenant, made := range t.tenants {
		count(tenant, made, &q)
	}
	return nil
}

// among returns the set of the numbers that are in a set too; nil is the set of all.
func among(ids []any, set map[int64]bool) map[int64]bool {
	found := map[int64]bool{}
	for _, id := range ids {
		if id, is := id.(int64); is && (set == nil || set[id]) {
			found[id] = true
		}
	}
	return found
}
