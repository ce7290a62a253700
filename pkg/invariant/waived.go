package invariant

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	// longestUntold is how long after access began at the latest its report is due; reportMissing how long after that a
	// report is missing, if other events were stored meanwhile.
	longestUntold = 24 * time.Hour
	reportMissing = time.Hour
)

// unasked are the grants for which the customer was not asked, by the digest that has to report them.
type unasked struct {
	mu     sync.Mutex
	grants map[aggregate.Key][]Recorded
}

func (u *unasked) add(in aggregate.Key, r Recorded) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.grants == nil {
		u.grants = map[aggregate.Key][]Recorded{}
	}
	u.grants[in] = append(u.grants[in], r)
}

// toldOfWaived is the part of I17 that one request shows: a grant says when the customer is told that they were not
// asked, within a day. Earlier versions, which reported nothing, did not say it.
func toldOfWaived(b *book, of aggregate.Key, events []Recorded, broken say) {
	for _, r := range events {
		g := r.Event.GetAccessGranted()
		if g == nil {
			continue
		}
		waived, at := g.GetWaiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED, g.GetReportAt().AsTime()
		starts := g.GetStartsAt().AsTime()
		switch {
		case g.GetReportAt() == nil:
			if waived && b.reporting > 0 && r.Sequence > b.reporting {
				broken("I17", r, "the customer was not asked, and nothing says when they are told")
			}
		case !waived:
			broken("I17", r, "is to be reported as access that the customer was not asked for, and they were")
		case !at.After(starts) || at.Sub(starts) > longestUntold:
			broken("I17", r, "begins at %s and is reported to the customer at %s", starts, at)
		default:
			b.unasked.add(aggregate.Digest(of.Tenant, at), r)
		}
	}
}

// untold is the rest of I17, once all requests were looked at: each digest counts all grants that are its own, and
// lists none that is not; and none is missing.
func (b *book) untold() (found []Violation) {
	for _, of := range b.order {
		if of.Kind == aggregate.KindDigest {
			found = append(found, b.look(countsAll, of, b.about[of])...)
		}
	}
	for of, grants := range b.unasked.grants {
		due := grants[0].Event.GetAccessGranted().GetReportAt().AsTime()
		if len(b.about[of]) == 0 && b.newest.Sub(due) > reportMissing {
			first := slices.MinFunc(grants, func(a, b Recorded) int { return cmp.Compare(a.Sequence, b.Sequence) })
			found = append(found, Violation{"I17", first.Sequence,
				"the customer was not asked, and not told of it when that was due, at " + due.String()})
		}
	}
	b.unasked.grants = nil
	return found
}

func countsAll(b *book, of aggregate.Key, events []Recorded, broken say) {
	counts, grants := map[lockboxv1.Waiver]uint32{}, map[string]*lockboxv1.AccessGranted{}
	for _, r := range b.unasked.grants[of] {
		g := r.Event.GetAccessGranted()
		counts[g.GetWaiver()]++
		grants[r.Event.GetAggregateId()] = g
	}
	for i, r := range events {
		f := r.Event.GetWaivedAccessReported()
		told := map[lockboxv1.Waiver]uint32{}
		for _, c := range f.GetCounts() {
			told[c.GetWaiver()] += c.GetCount()
		}
		until := f.GetUntil().AsTime()
		switch {
		case i > 0:
			broken("I17", r, "the customer is told a second time")
		case of != aggregate.Digest(of.Tenant, until) || instant(r).Before(until):
			broken("I17", r, "reports until %s, in %s", until, of)
		case !maps.Equal(told, counts):
			broken("I17", r, "counts %v where %v began without asking the customer", told, counts)
		}
		seen := map[string]bool{}
		for _, a := range f.GetAccesses() {
			g := grants[a.GetRequestId()]
			if g == nil || seen[a.GetRequestId()] || a.GetWaiver() != g.GetWaiver() ||
				!a.GetStartsAt().AsTime().Equal(g.GetStartsAt().AsTime()) ||
				!a.GetEndsAt().AsTime().Equal(g.GetEndsAt().AsTime()) {
				broken("I17", r, "lists request %s otherwise than it was granted", a.GetRequestId())
			}
			seen[a.GetRequestId()] = true
		}
	}
}
