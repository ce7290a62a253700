package projection

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"
)

// Named selects requests by what they name. Empty fields match any; texts are compared in lower case.
type Named struct {
	// Service is a resource type, and Requester the principal who asks.
	Service, Requester string
	Emergency          bool
	// Engineer is part of the name, the address or the ID of who asks.
	Engineer string
	// Subscription and Text select by a part of a subscription's ID or, for Text, of anything that a request names.
	Subscription, Text string
	// Subscriptions and TextSubscriptions are the IDs of those whose display names contain that part too.
	Subscriptions, TextSubscriptions []string
}

// keep restricts a query to that.
func (n Named) keep(q *query) {
	if n.Service != "" {
		q.and("r.service = ?", n.Service)
	}
	if n.Requester != "" {
		q.and("r.requester = ?", n.Requester)
	}
	if n.Emergency {
		q.and("r.emergency = 1")
	}
	if n.Engineer != "" {
		q.and("EXISTS (SELECT 1 FROM words w WHERE w.request = r.seq AND instr(w.engineer, ?) > 0)",
			strings.ToLower(n.Engineer))
	}
	if n.Subscription != "" {
		text, args := subscriptionLike(n.Subscription, n.Subscriptions)
		q.and(text, args...)
	}
	if n.Text != "" {
		text, args := subscriptionLike(n.Text, n.TextSubscriptions)
		q.and("(EXISTS (SELECT 1 FROM words w WHERE w.request = r.seq AND instr(w.words, ?) > 0) OR "+text+")",
			append([]any{strings.ToLower(n.Text)}, args...)...)
	}
}

// subscriptionLike requires one of subscriptionsLike.
func subscriptionLike(part string, ids []string) (string, []any) {
	text, args := subscriptionsLike(part, ids)
	return "r.subscription IN (" + text + ")", args
}

// subscriptionsLike selects the numbers of the subscriptions whose ID contains the part, or is one of these.
func subscriptionsLike(part string, ids []string) (string, []any) {
	text, args := "instr(lower(s.name), ?) > 0", []any{strings.ToLower(part)}
	if len(ids) > 0 {
		text, args = text+" OR s.name COLLATE NOCASE IN ("+marks(len(ids))+")", append(args, texts(ids)...)
	}
	return "SELECT s.id FROM subscriptions s WHERE " + text, args
}

// Grouping is what requests have in common.
type Grouping string

// The groupings: the columns that are equal. A group is of one customer.
const (
	ByTicket   Grouping = "r.tenant, r.ticket"
	ByEngineer Grouping = "r.tenant, r.requester"
)

// Grouped is a group of requests.
type Grouped struct {
	// Newest is the newest of them.
	Newest Row
	Count  uint64
}

// mostGrouped limits how many requests are looked at to group them.
const mostGrouped = 10_000

// Groups groups the requests that Requests lists, at most limit groups; Newest.Due is the first deadline in the group.
// more reports that there may be more requests or groups.
func (v *Snapshot) Groups(
	ctx context.Context, of Scope, f RequestFilter, by Grouping, now time.Time, limit int,
) (list []Grouped, more bool, err error) {
	in, empty, err := v.reach(ctx, of, f)
	if err != nil || empty {
		return nil, false, err
	}
	var texts []string
	var args []any
	for _, run := range runs(in, of, f, now) {
		texts = append(texts, "SELECT * FROM (SELECT "+run.key+" AS seq "+run.text()+" LIMIT ?)")
		args = append(append(args, run.args...), mostGrouped)
	}
	rows, err := v.query(ctx, `SELECT r.seq, t.name, r.id, r.last, g.due, g.n FROM (
		SELECT max(r.seq) AS newest, count(*) AS n, min(`+byDue+`) AS due
		FROM (`+strings.Join(texts, " UNION ALL ")+` LIMIT ?) AS found CROSS JOIN requests r ON r.seq = found.seq
		GROUP BY `+string(by)+` ORDER BY due, newest DESC LIMIT ?) AS g
		CROSS JOIN requests r ON r.seq = g.newest CROSS JOIN tenants t ON t.id = r.tenant ORDER BY g.due, r.seq DESC`,
		append(args, mostGrouped, limit+1)...)
	if err != nil {
		return nil, false, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	looked := uint64(0)
	for rows.Next() {
		var g Grouped
		if err := rows.Scan(&g.Newest.Sequence, &g.Newest.Tenant, &g.Newest.ID, &g.Newest.Last, &g.Newest.Due,
			&g.Count); err != nil {
			return nil, false, v.store.checked(err)
		}
		looked += g.Count
		list = append(list, g)
	}
	if more = looked >= mostGrouped || len(list) > limit; len(list) > limit {
		list = list[:limit]
	}
	return list, more, v.store.checked(rows.Err())
}

// Deadline returns when the request, or the first of a group, ends by the passing of time; the zero time for never.
func (r Row) Deadline() time.Time {
	if r.Due == 0 || r.Due == math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(0, r.Due)
}
