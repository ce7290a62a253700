package projection

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
)

// RequestFilter selects requests. Empty fields match any.
type RequestFilter struct {
	ID string
	// IDPart selects requests whose id begins or ends with it; it consists of lower-case hexadecimal digits and dashes.
	IDPart         string
	Statuses       []request.Status
	SubscriptionID string
	// TicketID selects the requests that name a ticket of this id, and Tickets those of these tickets.
	TicketID string
	Tickets  []Row
	// Waived selects requests whose access began without asking the customer, and WaivedSince of those the ones whose
	// access began at that time or later; zero for all.
	Waived      bool
	WaivedSince time.Time
	// Waiting selects requests that await one of these principals.
	Waiting []string
	Named
	// Before selects requests whose first event is older than this sequence; 0 for the newest.
	Before uint64
	// ByDeadline lists by the deadline instead, and After selects what comes after this place; zero for the first.
	ByDeadline bool
	After      Place
	// Backward lists what comes before the place, nearest first.
	Backward bool
}

// Place is where a request stands in a list by deadline.
type Place struct {
	Due      int64
	Sequence uint64
}

// byDue is the order of a list by deadline: what has none comes last.
const byDue = "CASE WHEN r.due = 0 THEN 9223372036854775807 ELSE r.due END"

// notDue requires that a request does not end by the passing of time at a moment, or has not by then. The sign keeps
// SQLite from looking whether that moment allows for the index of what is due: it would compile the statement anew for
// each moment.
const notDue = "(r.due = 0 OR r.due > +?)"

// mostRuns is the maximum number of runs that are merged. It limits the length of a query, not the result.
const mostRuns = 64

// Requests lists requests, newest first or by deadline. The status is that at now: overdue requests count as expired,
// recorded or not, and await nobody.
//
// A list is merged from runs, each of which an index yields in the list's order. So the start of a list is found as
// fast among many requests as among few; on its own, SQLite would read and sort all of them. A list by deadline is
// sorted: it is meant for requests that have not ended, of which there are few.
func (v *Snapshot) Requests(ctx context.Context, of Scope, f RequestFilter, now time.Time, limit int) ([]Row, error) {
	in, empty, err := v.reach(ctx, of, f)
	if err != nil || empty {
		return nil, err
	}
	var texts []string
	var args []any
	columns, order := f.order()
	for _, run := range runs(in, of, f, now) {
		f.place(run)
		texts = append(texts, "SELECT * FROM (SELECT "+run.key+" AS seq, "+columns+" AS due "+run.text()+" ORDER BY "+
			order+" LIMIT ?)")
		args = append(append(args, run.args...), limit)
	}
	return v.places(ctx, `SELECT r.seq, t.name, r.id, r.last, found.due FROM (`+strings.Join(texts, " UNION ALL ")+`) AS found
		CROSS JOIN requests r ON r.seq = found.seq CROSS JOIN tenants t ON t.id = r.tenant ORDER BY `+
		strings.NewReplacer("due", "found.due", "seq", "found.seq").Replace(order)+` LIMIT ?`, append(args, limit)...)
}

// From returns the filter from after, or backward from before, a request that it listed.
func (f RequestFilter) From(r Row) RequestFilter {
	f.Before, f.After = r.Sequence, Place{r.Due, r.Sequence}
	if f.ByDeadline {
		f.Before = 0
	}
	return f
}

// order returns what a run is ordered by, with its columns seq and due.
func (f RequestFilter) order() (due, order string) {
	switch {
	case f.ByDeadline && f.Backward:
		return byDue, "due DESC, seq DESC"
	case f.ByDeadline:
		return byDue, "due, seq"
	case f.Backward:
		return "0", "seq"
	}
	return "0", "seq DESC"
}

// place restricts a run to what comes after or, backward, before the filter's place.
func (f RequestFilter) place(r run) {
	switch {
	case f.ByDeadline && f.After == (Place{}), !f.ByDeadline && f.Before == 0:
	case f.ByDeadline && f.Backward:
		r.and("("+byDue+", "+r.key+") < (?, ?)", f.After.Due, f.After.Sequence)
	case f.ByDeadline:
		r.and("("+byDue+", "+r.key+") > (?, ?)", f.After.Due, f.After.Sequence)
	case f.Backward:
		r.and(r.key+" > ?", f.Before)
	default:
		r.and(r.key+" < ?", f.Before)
	}
}

// run is a selection of requests r, without its columns, ordered by the key. Runs are disjoint.
type run struct {
	*query
	key string
}

// runs returns the runs of a scope and a filter.
func runs(in reach, of Scope, f RequestFilter, now time.Time) []run {
	common, standing := newSelect("FROM requests r"), standings(f.Statuses)
	if f.IDPart != "" {
		common.and("(r.id LIKE ? OR r.id LIKE ?)", f.IDPart+"%", "%"+f.IDPart)
	}
	f.keep(common)
	if f.ByDeadline { // the runs need the request's row
		common.and("r.due >= 0")
	}
	narrow := f.ID != "" || f.TicketID != "" || len(f.Tickets) > 0
	if len(f.Waiting) == 0 && len(of.Principals) == 0 && !narrow {
		if f.Waived {
			return in.waived(common, standing, f, now)
		}
		return in.runs(common, standing, now)
	}
	in.keep(common, "r")
	f.keepWaived(common)
	common.anyOf(standing, now)
	if f.ID != "" {
		common.and("r.id = ?", f.ID)
	}
	if f.TicketID != "" {
		common.and("r.ticket = ?", f.TicketID)
	}
	if n := len(f.Tickets); n > 0 {
		var ids, sequences []any
		for _, t := range f.Tickets {
			ids, sequences = append(ids, t.ID), append(sequences, t.Sequence)
		}
		common.and("r.ticket IN ("+marks(n)+")", ids...)
		common.and("EXISTS (SELECT 1 FROM tickets k WHERE k.id = r.ticket AND k.tenant = r.tenant AND k.seq IN ("+marks(n)+
			"))", sequences...)
	}
	switch {
	case len(f.Waiting) > 0:
		common.and(notDue, now.UnixNano())
		if !of.covers(f.Waiting) {
			common.and("EXISTS (SELECT 1 FROM audience a WHERE a.request = r.seq AND a.principal IN ("+
				marks(len(of.Principals))+"))", texts(of.Principals)...)
		}
		return common.each("waiting", f.Waiting, narrow)
	case len(of.Principals) > 0:
		return common.each("audience", of.Principals, narrow)
	}
	return []run{{common, "r.seq"}}
}

// covers reports whether the scope's principals cover all requests that await these principals: requests that await one
// of the provider's principals have it in their audience.
func (of Scope) covers(waiting []string) bool {
	return len(of.Principals) == 0 || !slices.ContainsFunc(waiting,
		func(p string) bool { return !slices.Contains(of.Principals, p) })
}

// each returns a run for each principal in a table, excluding what earlier runs contain. If narrow, few requests are
// expected; otherwise the table's own order is followed.
func (q *query) each(table string, principals []string, narrow bool) []run {
	runs := make([]run, len(principals))
	for i, p := range principals {
		runs[i] = run{q.clone(), "p.request"}
		switch {
		case narrow:
			runs[i].head = "FROM requests r CROSS JOIN " + table + " p ON p.request = r.seq"
		case len(q.terms) == 0:
			runs[i].head = "FROM " + table + " p"
		default:
			runs[i].head = "FROM " + table + " p CROSS JOIN requests r ON r.seq = p.request"
		}
		runs[i].and("p.principal = ?", p)
		if i > 0 {
			runs[i].and("NOT EXISTS (SELECT 1 FROM "+table+" e WHERE e.request = p.request AND e.principal IN ("+marks(i)+"))",
				texts(principals[:i])...)
		}
	}
	return runs
}

// reach is the combination of scope and filter: one tenant or all, and in it everything or some subscriptions.
type reach struct {
	tenant        string
	all           bool
	subscriptions []any
}

// reach determines that. empty reports that nothing can be found.
func (v *Snapshot) reach(ctx context.Context, of Scope, f RequestFilter) (in reach, empty bool, err error) {
	ids, some, err := v.within(ctx, of, f.SubscriptionID)
	in = reach{tenant: of.Tenant, all: !some, subscriptions: ids}
	nothing := !of.All && len(of.Subscriptions) == 0 && len(of.Principals) == 0
	return in, nothing || !in.all && len(in.subscriptions) == 0, err
}

// keep restricts a query to the reach, in a table with tenants and subscriptions.
func (in reach) keep(q *query, table string) {
	q.tenant(table+".tenant", in.tenant)
	if !in.all {
		q.in(table+".subscription", in.subscriptions)
	}
}

// runs returns one run for each combination of subscription, if restricted, and status.
func (in reach) runs(common *query, standing []standing, now time.Time) (list []run) {
	common.tenant("r.tenant", in.tenant)
	switch {
	case in.all && in.tenant == "":
		return common.along("", "INDEXED BY requests_by_status", standing, now)
	case in.all:
		return common.along("INDEXED BY requests_by_tenant", "INDEXED BY requests_by_status", standing, now)
	case len(in.subscriptions)*max(1, len(standing)) > mostRuns: // scan all instead
		common.and("r.subscription IN ("+marks(len(in.subscriptions))+")", in.subscriptions...)
		return common.along("INDEXED BY requests_by_tenant", "INDEXED BY requests_by_status", standing, now)
	}
	for _, id := range in.subscriptions {
		place := common.clone()
		place.and("r.subscription > 0 AND r.subscription = ?", id)
		list = append(list, place.along("INDEXED BY requests_by_subscription", "INDEXED BY requests_by_subscription_status",
			standing, now)...)
	}
	return list
}

// keepWaived restricts a query to what began without asking the customer, if that is wanted.
func (f RequestFilter) keepWaived(q *query) {
	if !f.Waived {
		return
	}
	q.and("r.waived > 0")
	if !f.WaivedSince.IsZero() {
		q.and("r.waived >= ?", nanoseconds(f.WaivedSince.Unix(), f.WaivedSince.Nanosecond()))
	}
}

// waived returns one run for each subscription, if restricted. They are along indexes of what was waived only, by the
// order of the list or, from a time on, by that time.
func (in reach) waived(common *query, standing []standing, f RequestFilter, now time.Time) (list []run) {
	suffix := ""
	if !f.WaivedSince.IsZero() {
		suffix = "_since"
	}
	common.tenant("r.tenant", in.tenant)
	common.anyOf(standing, now)
	f.keepWaived(common)
	switch {
	case in.all && in.tenant == "": // only the provider's officers look across customers
		return []run{{common, "r.seq"}}
	case in.all:
		common.head += " INDEXED BY requests_waived" + suffix
		return []run{{common, "r.seq"}}
	case len(in.subscriptions) > mostRuns:
		common.and("r.subscription IN ("+marks(len(in.subscriptions))+")", in.subscriptions...)
		common.head += " INDEXED BY requests_waived" + suffix
		return []run{{common, "r.seq"}}
	}
	for _, id := range in.subscriptions {
		place := common.clone()
		place.head += " INDEXED BY requests_by_subscription_waived" + suffix
		place.and("r.subscription > 0 AND r.subscription = ?", id)
		list = append(list, run{place, "r.seq"})
	}
	return list
}

// along returns a run for each status, or one for all, each along an index.
func (q *query) along(index, byStatus string, standing []standing, now time.Time) []run {
	if len(standing) == 0 {
		q.head += " " + index
		return []run{{q, "r.seq"}}
	}
	runs := make([]run, len(standing))
	for i, s := range standing {
		runs[i] = run{q.clone(), "r.seq"}
		if s.when == overdue {
			runs[i].head += " INDEXED BY requests_due"
		} else {
			runs[i].head += " " + byStatus
		}
		term, args := s.term(now)
		runs[i].and(term, args...)
	}
	return runs
}

// standing is a recorded status that counts as one of the wanted ones.
type standing struct {
	status request.Status
	when   when
}

// when says under which condition a recorded status counts as a wanted one.
type when int

const (
	whenever when = iota
	untilDue      // after that it becomes an unwanted status
	overdue       // it has become a wanted status, though that is not recorded
)

// standings lists the recorded statuses that count as wanted ones.
func standings(wanted []request.Status) (list []standing) {
	for _, s := range wanted {
		if slices.Contains(wanted, Overdue(s)) {
			list = append(list, standing{s, whenever})
		} else {
			list = append(list, standing{s, untilDue})
		}
	}
	for s := request.Submitted; s < request.Completed; s++ {
		if !slices.Contains(wanted, s) && slices.Contains(wanted, Overdue(s)) {
			list = append(list, standing{s, overdue})
		}
	}
	return list
}

func (s standing) term(now time.Time) (string, []any) {
	switch s.when {
	case untilDue:
		return "r.status = ? AND " + notDue, []any{int64(s.status), now.UnixNano()}
	case overdue:
		return "r.status = ? AND r.due > 0 AND r.due <= ?", []any{int64(s.status), now.UnixNano()}
	}
	return "r.status = ?", []any{int64(s.status)}
}

// anyOf requires one of these, if there are any.
func (q *query) anyOf(standing []standing, now time.Time) {
	if len(standing) == 0 {
		return
	}
	terms, all := make([]string, len(standing)), []any{}
	for i, s := range standing {
		term, args := s.term(now)
		terms[i], all = "("+term+")", append(all, args...)
	}
	q.and("("+strings.Join(terms, " OR ")+")", all...)
}
