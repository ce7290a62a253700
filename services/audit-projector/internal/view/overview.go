package view

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Weeks is the number of weeks that an overview covers, the present one included.
const Weeks = 13

// WeeksUntil returns the beginnings of the weeks of an overview at now, oldest first: Mondays, at midnight UTC.
func WeeksUntil(now time.Time) []time.Time {
	now = now.UTC()
	monday := time.Date(now.Year(), now.Month(), now.Day()-(int(now.Weekday())+6)%7, 0, 0, 0, 0, time.UTC)
	list := make([]time.Time, Weeks)
	for i := range list {
		list[i] = monday.Add(projection.Week * time.Duration(i-Weeks+1))
	}
	return list
}

// Open returns the figures of what is open.
func Open(o projection.OpenCount) *lockboxv1.OpenFigures {
	return &lockboxv1.OpenFigures{Internal: o.Internal, Waiting: o.Waiting, Running: o.Running,
		Emergencies: o.Emergencies, OldestWaiting: stamp(o.OldestWaiting), NextDeadline: stamp(o.NextDeadline),
		NextEnd: stamp(o.NextEnd)}
}

// Recent adds the figures of the weeks that begin at these times.
func Recent(into *lockboxv1.Overview, f *projection.Figures, weeks []time.Time) {
	into.Since = stamp(weeks[0])
	for i, w := range f.Weeks {
		into.Weeks = append(into.Weeks, &lockboxv1.WeekFigures{BeginsAt: stamp(weeks[i]), Requests: w.Requests,
			Emergencies: w.Emergencies, Access: durationpb.New(w.Access)})
	}
	outcomes := map[lockboxv1.RequestOutcome]uint64{}
	for standing, n := range f.Made {
		outcomes[outcome(standing)] += n
	}
	for o := lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED; int(o) < len(lockboxv1.RequestOutcome_name); o++ {
		into.Outcomes = append(into.Outcomes, &lockboxv1.OutcomeFigures{Outcome: o, Count: outcomes[o]})
	}
	into.Decisions = decisions(f.Took)
}

func outcome(s projection.Standing) lockboxv1.RequestOutcome {
	switch s.Status {
	case request.Active, request.Completed, request.Released, request.Revoked:
		switch {
		case !s.Waived:
			return lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED
		case s.Emergency:
			return lockboxv1.RequestOutcome_REQUEST_OUTCOME_EMERGENCY
		}
		return lockboxv1.RequestOutcome_REQUEST_OUTCOME_NOT_ASKED
	case request.Denied:
		return lockboxv1.RequestOutcome_REQUEST_OUTCOME_DENIED
	case request.Expired:
		return lockboxv1.RequestOutcome_REQUEST_OUTCOME_EXPIRED
	case request.Withdrawn:
		return lockboxv1.RequestOutcome_REQUEST_OUTCOME_WITHDRAWN
	case request.Refused, request.InternallyDenied, request.InternalExpired:
		return lockboxv1.RequestOutcome_REQUEST_OUTCOME_STOPPED
	case request.Lapsed:
		return lockboxv1.RequestOutcome_REQUEST_OUTCOME_LAPSED
	default:
		return lockboxv1.RequestOutcome_REQUEST_OUTCOME_OPEN
	}
}

// limits are where one group of decision times ends and the next begins.
var limits = []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	2 * 24 * time.Hour}

// decisions is made of sorted lists of how long decisions took.
func decisions(took [][]time.Duration) *lockboxv1.DecisionFigures {
	f := new(lockboxv1.DecisionFigures)
	for _, list := range took {
		f.Count += uint64(len(list))
	}
	before := uint64(0)
	for _, limit := range limits {
		below := uint64(0)
		for _, list := range took {
			n, _ := slices.BinarySearch(list, limit)
			below += uint64(n) // #nosec G115 -- a length
		}
		f.Buckets = append(f.Buckets, &lockboxv1.DecisionBucket{Below: durationpb.New(limit), Count: below - before})
		before = below
	}
	f.Buckets = append(f.Buckets, &lockboxv1.DecisionBucket{Count: f.GetCount() - before})
	if f.GetCount() > 0 {
		// The nearest rank: a time that a decision really took.
		rank := func(percent uint64) *durationpb.Duration {
			return durationpb.New(nth(slices.Clone(took), (f.GetCount()*percent+99)/100-1))
		}
		f.Median, f.Ninetieth = rank(50), rank(90)
	}
	return f
}

// nth returns what would be at an index if these sorted lists were one. It cuts the lists.
func nth(lists [][]time.Duration, n uint64) time.Duration {
	for {
		longest := slices.MaxFunc(lists, func(a, b []time.Duration) int { return len(a) - len(b) })
		middle := longest[len(longest)/2]
		less, same := uint64(0), uint64(0)
		begins, ends := make([]int, len(lists)), make([]int, len(lists))
		for i, list := range lists {
			begins[i], _ = slices.BinarySearch(list, middle)
			ends[i], _ = slices.BinarySearch(list, middle+1)
			less, same = less+uint64(begins[i]), same+uint64(ends[i]-begins[i]) // #nosec G115 -- lengths
		}
		if n >= less && n < less+same {
			return middle
		}
		for i, list := range lists {
			if n < less {
				lists[i] = list[:begins[i]]
			} else {
				lists[i] = list[ends[i]:]
			}
		}
		if n >= less {
			n -= less + same
		}
	}
}
