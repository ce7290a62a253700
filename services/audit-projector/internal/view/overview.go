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

const week = 7 * 24 * time.Hour

// WeeksUntil returns the beginnings of the weeks of an overview at now, oldest first: Mondays, at midnight UTC.
func WeeksUntil(now time.Time) []time.Time {
	now = now.UTC()
	monday := time.Date(now.Year(), now.Month(), now.Day()-(int(now.Weekday())+6)%7, 0, 0, 0, 0, time.UTC)
	list := make([]time.Time, Weeks)
	for i := range list {
		list[i] = monday.Add(week * time.Duration(i-Weeks+1))
	}
	return list
}

// Open returns the figures of what is open; nil counts as nothing.
func Open(o *projection.OpenCount) *lockboxv1.OpenFigures {
	if o == nil {
		return new(lockboxv1.OpenFigures)
	}
	return &lockboxv1.OpenFigures{Internal: o.Internal, Waiting: o.Waiting, Running: o.Running,
		Emergencies: o.Emergencies, OldestWaiting: stamp(o.OldestWaiting), NextDeadline: stamp(o.NextDeadline),
		NextEnd: stamp(o.NextEnd)}
}

// limits are where one group of decision times ends and the next begins.
var limits = []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	2 * 24 * time.Hour}

// Recent adds the figures of the requests of the weeks, and of access in them. Requests from before the first week
// count for nothing but the access that they led to.
func Recent(into *lockboxv1.Overview, made []projection.Made, weeks []time.Time, now time.Time) {
	into.Since = stamp(weeks[0])
	outcomes, access := map[lockboxv1.RequestOutcome]uint64{}, make([]time.Duration, len(weeks))
	for _, begins := range weeks {
		into.Weeks = append(into.Weeks, &lockboxv1.WeekFigures{BeginsAt: stamp(begins)})
	}
	var took []time.Duration
	for _, m := range made {
		for i, begins := range weeks {
			access[i] += overlap(m, begins, begins.Add(week), now)
		}
		if m.Week == 0 {
			continue
		}
		of := into.Weeks[m.Week-1]
		of.Requests++
		if m.Emergency {
			of.Emergencies++
		}
		outcomes[outcome(m)]++
		if !m.Decided.IsZero() && !m.Asked.IsZero() {
			took = append(took, m.Decided.Sub(m.Asked))
		}
	}
	for i, a := range access {
		into.Weeks[i].Access = durationpb.New(a)
	}
	for o := lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED; int(o) < len(lockboxv1.RequestOutcome_name); o++ {
		into.Outcomes = append(into.Outcomes, &lockboxv1.OutcomeFigures{Outcome: o, Count: outcomes[o]})
	}
	into.Decisions = decisions(took)
}

// overlap returns how long access existed between two times, until now.
func overlap(m projection.Made, from, to, now time.Time) time.Duration {
	if m.Began.IsZero() {
		return 0
	}
	begins, ends := m.Began, m.Over
	for _, end := range []time.Time{to, now} {
		if end.Before(ends) {
			ends = end
		}
	}
	if from.After(begins) {
		begins = from
	}
	return max(0, ends.Sub(begins))
}

func outcome(m projection.Made) lockboxv1.RequestOutcome {
	switch m.Status {
	case request.Active, request.Completed, request.Released, request.Revoked:
		switch {
		case !m.Waived:
			return lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED
		case m.Emergency:
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

func decisions(took []time.Duration) *lockboxv1.DecisionFigures {
	f := &lockboxv1.DecisionFigures{Count: uint64(len(took))}
	for _, limit := range limits {
		f.Buckets = append(f.Buckets, &lockboxv1.DecisionBucket{Below: durationpb.New(limit)})
	}
	f.Buckets = append(f.Buckets, new(lockboxv1.DecisionBucket))
	if len(took) == 0 {
		return f
	}
	slices.Sort(took)
	for _, t := range took {
		i, is := slices.BinarySearch(limits, t)
		if is {
			i++
		}
		f.Buckets[i].Count++
	}
	// The nearest rank: a time that a decision really took.
	rank := func(percent int) *durationpb.Duration { return durationpb.New(took[(len(took)*percent+99)/100-1]) }
	f.Median, f.Ninetieth = rank(50), rank(90)
	return f
}
