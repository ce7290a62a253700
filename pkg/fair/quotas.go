package fair

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/cache"
)

const (
	// rememberedQuotas is how many callers are counted at least, twice as many at most. Whoever is forgotten begins anew;
	// for that, so many others must have called since.
	rememberedQuotas = 8192
	quotaTime        = time.Minute
)

// Quotas limit how often each caller may do something within a minute, which begins with the first time. It is safe for
// concurrent use.
type Quotas struct {
	most  int
	spent *cache.Cache[string, spent]
}

type spent struct {
	since time.Time
	times int
}

// NewQuotas returns quotas of so many times a minute; 0 or less: any number.
func NewQuotas(most int) *Quotas {
	return &Quotas{most, cache.New[string, spent](rememberedQuotas)}
}

// Over reports whether a caller has spent its quota, and until when. It counts nothing.
func (q *Quotas) Over(caller string, now time.Time) (until time.Time, over bool) {
	s, _ := q.spent.Get(caller)
	return q.over(s, now)
}

// Spend counts once more for a caller, unless the quota is spent; it then returns until when.
func (q *Quotas) Spend(caller string, now time.Time) (until time.Time, over bool) {
	q.spent.Update(caller, func(s spent) (spent, bool) {
		if until, over = q.over(s, now); over {
			return s, false
		}
		if ended(s, now) {
			s = spent{since: now}
		}
		s.times++
		return s, true
	})
	return until, over
}

func (q *Quotas) over(s spent, now time.Time) (until time.Time, over bool) {
	if q.most <= 0 || s.times < q.most || ended(s, now) {
		return time.Time{}, false
	}
	return s.since.Add(quotaTime), true
}

// ended reports whether a caller's minute is over, or lies in the future because the clock was set back.
func ended(s spent, now time.Time) bool { return now.Before(s.since) || now.Sub(s.since) >= quotaTime }
