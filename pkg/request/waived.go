package request

import (
	"cmp"
	"slices"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

const (
	day = 24 * time.Hour
	// mostReported and mostReportedBytes bound what a report lists; it counts everything.
	mostReported      = 50
	mostReportedBytes = 40 << 10
	// longestAppend is longer than an event takes from its decision until it is stored, or is never stored.
	longestAppend = 2 * time.Minute
)

// reportAt returns when the customer is told of access that begins now without asking them: at the end of the period.
func (t Terms) reportAt(now time.Time) time.Time {
	return now.UTC().Truncate(t.WaivedReport).Add(t.WaivedReport)
}

// ReportMadeAt returns when the report that is due at a time can be made: everything that belongs to it is stored by
// then. Of a period shorter than a day, a tenth is enough.
func (t Terms) ReportMadeAt(due time.Time) time.Time {
	return due.Add(min(longestAppend, t.WaivedReport/10))
}

// ReportSince returns the earliest time at which access can have begun that a report due at that time lists, whatever
// the terms were.
func ReportSince(due time.Time) time.Time { return due.Add(-day) }

// reported reports whether a grant names a time for its report if, and only if, the customer was not asked. Earlier
// versions named none.
func reported(g *lockboxv1.AccessGranted) bool {
	if g.GetReportAt() == nil {
		return true
	}
	at := g.GetReportAt().AsTime()
	return g.GetWaiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED && at.After(g.GetStartsAt().AsTime()) &&
		!ReportSince(at).After(g.GetStartsAt().AsTime())
}

// waived returns an access as the customer is told of it. The request may be anything that could be read of it.
func waived(id string, g *lockboxv1.AccessGranted, s State) *lockboxv1.WaivedAccess {
	a := &lockboxv1.WaivedAccess{
		RequestId: id, Requester: s.Requester.GetPerson(), Employer: s.Requester.GetEmployer(),
		SubscriptionId: s.Intent.GetSubscriptionId(),
		ResourceCount:  uint32(len(g.GetResourceIds())), // #nosec G115 -- at most 50
		ServiceName:    cmp.Or(s.Evaluation.GetFacts().GetServiceName(), g.GetResourceType()),
		ScenarioName:   cmp.Or(s.Evaluation.GetFacts().GetScenarioName(), g.GetScenario()),
		Waiver:         g.GetWaiver(), StartsAt: g.GetStartsAt(), EndsAt: g.GetEndsAt(),
	}
	if ids := g.GetResourceIds(); len(ids) > 0 {
		a.ResourceId = ids[0]
	}
	return a
}

// Unasked are the grants of one report, with their requests' ids.
type Unasked map[string]*lockboxv1.AccessGranted

// Listed returns the ids of those that the report lists: emergencies first, what reached no customer data last, and
// then the oldest first.
func (u Unasked) Listed() []string {
	ids := u.ordered()
	return ids[:min(len(ids), mostReported)]
}

func (u Unasked) ordered() []string {
	var ids []string
	for id := range u {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(u[b].GetWaiver(), u[a].GetWaiver()),
			u[a].GetStartsAt().AsTime().Compare(u[b].GetStartsAt().AsTime()), cmp.Compare(a, b))
	})
	return ids
}

// Report returns what the customer is told of these grants at that time, with as many of the listed ones as it has room
// for. States are those of their requests, as far as they could be read.
func (u Unasked) Report(due time.Time, terms Terms, states map[string]State) *lockboxv1.WaivedAccessReported {
	since := due.Add(-terms.WaivedReport)
	f := &lockboxv1.WaivedAccessReported{Until: timestamp(due)}
	for _, id := range u.ordered() {
		g := u[id]
		if begun := g.GetStartsAt().AsTime(); begun.Before(since) { // under terms with longer periods
			since = begun
		}
		if n := len(f.Counts); n == 0 || f.Counts[n-1].GetWaiver() != g.GetWaiver() {
			f.Counts = append(f.Counts, &lockboxv1.WaivedCount{Waiver: g.GetWaiver()})
		}
		f.Counts[len(f.Counts)-1].Count++
	}
	f.Since = timestamp(since)
	for _, id := range u.Listed() {
		f.Accesses = append(f.Accesses, waived(id, u[id], states[id]))
		if proto.Size(f) > mostReportedBytes {
			f.Accesses = f.Accesses[:len(f.Accesses)-1]
			break
		}
	}
	return f
}
