package projection

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/request"
)

// OpenCount is how many requests of a tenant are open, and what is next.
type OpenCount struct {
	Internal, Waiting, Running, Emergencies uint64
	// OldestWaiting is when the customer was asked about the one that has waited longest; NextDeadline is when the first
	// that waits for the customer expires, NextEnd when the first access ends. Zero for none.
	OldestWaiting, NextDeadline, NextEnd time.Time
}

// Open counts the requests that have not ended, by tenant. It reads one index, in which nothing that has ended is.
func (v *Snapshot) Open(ctx context.Context, of Scope, n Named, now time.Time) (_ map[string]*OpenCount, err error) {
	in, empty, err := v.reach(ctx, of, RequestFilter{})
	if err != nil || empty {
		return nil, err
	}
	q := newSelect(`SELECT r.tenant AS tenant, r.status AS status, count(*) AS n, sum(r.emergency) AS urgent,
		min(CASE WHEN r.due > 0 THEN r.due END) AS due, min(CASE WHEN r.asked > 0 THEN r.asked END) AS asked
		FROM requests r INDEXED BY requests_open`)
	q.and("r.status < 6")
	q.and("(r.due = 0 OR r.due > ?)", now.UnixNano())
	in.keep(q, "r")
	n.keep(q)
	rows, err := v.query(ctx, "SELECT t.name, o.status, o.n, o.urgent, o.due, o.asked FROM ("+q.text()+
		" GROUP BY r.tenant, r.status) AS o CROSS JOIN tenants t ON t.id = o.tenant", q.args...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	found := map[string]*OpenCount{}
	for rows.Next() {
		var tenant string
		var status request.Status
		var count, urgent uint64
		var due, asked sql.NullInt64
		if err := rows.Scan(&tenant, &status, &count, &urgent, &due, &asked); err != nil {
			return nil, v.store.checked(err)
		}
		o := found[tenant]
		if o == nil {
			o = new(OpenCount)
			found[tenant] = o
		}
		o.Emergencies += urgent
		switch status {
		case request.CustomerNotified:
			o.Waiting, o.OldestWaiting, o.NextDeadline = count, moment(asked.Int64), moment(due.Int64)
		case request.Approved:
			o.Running += count
		case request.Active:
			o.Running, o.NextEnd = o.Running+count, moment(due.Int64)
		default:
			o.Internal += count
		}
	}
	return found, v.store.checked(rows.Err())
}

// Made is a request as figures need it.
type Made struct {
	Status request.Status
	// Week is how many of the beginnings that were asked for its first event comes after.
	Week              int
	Emergency, Waived bool
	// The times are zero for what did not happen. Over is when access ended, or will.
	Asked, Decided, Began, Over time.Time
}

// MostMade limits how many requests are looked at for figures.
const MostMade = 10_000

// Made returns the requests that were made since a time, newest first. more reports that there are more than MostMade,
// which are not looked at. The weeks' beginnings are ascending; all are whole hours.
func (v *Snapshot) Made(
	ctx context.Context, of Scope, n Named, since time.Time, weeks []time.Time, now time.Time,
) (list []Made, more bool, err error) {
	in, empty, err := v.reach(ctx, of, RequestFilter{})
	if err != nil || empty {
		return nil, false, err
	}
	first, err := v.firstSince(ctx, since)
	if err != nil {
		return nil, false, err
	}
	begins := make([]uint64, len(weeks))
	for i, w := range weeks {
		if begins[i], err = v.firstSince(ctx, w); err != nil {
			return nil, false, err
		}
	}
	common, fits := newSelect("FROM requests r"), newSelect("")
	common.and("r.seq >= ?", first)
	var parts []run
	if n.Emergency && in.all {
		common.head += " INDEXED BY requests_emergency"
		common.and("r.emergency = 1")
		common.tenant("r.tenant", in.tenant)
		parts = []run{{common, "r.seq"}}
	} else {
		parts = in.runs(common, nil, now)
	}
	n.keep(fits)
	var texts []string
	args := fits.args
	for _, p := range parts {
		texts = append(texts, "SELECT * FROM (SELECT r.seq AS seq "+p.text()+" ORDER BY seq DESC LIMIT ?)")
		args = append(append(args, p.args...), MostMade+1)
	}
	fit := "1"
	if len(fits.terms) > 0 {
		fit = strings.Join(fits.terms, " AND ")
	}
	rows, err := v.query(ctx, `SELECT r.seq, r.status, r.due, r.emergency, r.waived, r.asked, r.decided, r.began,
		r.over, `+fit+` FROM (`+strings.Join(texts, " UNION ALL ")+` ORDER BY seq DESC LIMIT ?) AS found
		CROSS JOIN requests r ON r.seq = found.seq`, append(args, MostMade+1)...)
	if err != nil {
		return nil, false, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for looked := 0; rows.Next(); looked++ {
		if looked == MostMade {
			more = true
			break
		}
		var m Made
		var seq uint64
		var fits bool
		var due, waived, asked, decided, began, over int64
		if err := rows.Scan(&seq, &m.Status, &due, &m.Emergency, &waived, &asked, &decided, &began, &over,
			&fits); err != nil {
			return nil, false, v.store.checked(err)
		}
		if !fits {
			continue
		}
		if due > 0 && due <= now.UnixNano() {
			m.Status = Overdue(m.Status)
		}
		for m.Week < len(begins) && seq >= begins[m.Week] {
			m.Week++
		}
		m.Waived = waived > 0
		m.Asked, m.Decided, m.Began, m.Over = moment(asked), moment(decided), moment(began), moment(over)
		list = append(list, m)
	}
	return list, more, v.store.checked(rows.Err())
}

// firstSince returns the first sequence of an event at a whole hour or later; beyond all if there is none.
func (v *Snapshot) firstSince(ctx context.Context, at time.Time) (uint64, error) {
	seq := v.sequence + 1
	err := v.one(ctx, "SELECT coalesce(min(first), ?) FROM hours WHERE hour >= ?", []any{seq, at.Unix() / 3600}, &seq)
	return seq, v.store.checked(err)
}

// Emergencies counts the emergencies that were asked for since a whole hour, by tenant.
func (v *Snapshot) Emergencies(ctx context.Context, of Scope, n Named, since time.Time) (map[string]uint64, error) {
	q := newSelect("SELECT r.tenant, count(*) AS n FROM requests r INDEXED BY requests_emergency")
	q.and("r.emergency = 1")
	n.keep(q)
	return v.byTenant(ctx, q, of, "r", since)
}

// EventsOf counts the events of a type since a whole hour, by tenant.
func (v *Snapshot) EventsOf(ctx context.Context, of Scope, typ string, since time.Time) (map[string]uint64, error) {
	q := newSelect("SELECT e.tenant, count(*) AS n FROM events e INDEXED BY events_by_type")
	q.and("e.type = ?", numberOfType[typ])
	return v.byTenant(ctx, q, of, "e", since)
}

// byTenant counts rows of a table by tenant, in the order of an index.
func (v *Snapshot) byTenant(
	ctx context.Context, q *query, of Scope, table string, since time.Time,
) (_ map[string]uint64, err error) {
	if !of.All {
		return nil, nil
	}
	first, err := v.firstSince(ctx, since)
	if err != nil {
		return nil, err
	}
	q.tenant(table+".tenant", of.Tenant)
	q.and(table+".seq >= ?", first)
	rows, err := v.query(ctx, "SELECT t.name, c.n FROM ("+q.text()+" GROUP BY "+table+
		".tenant) AS c CROSS JOIN tenants t ON t.id = c.tenant", q.args...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	found := map[string]uint64{}
	for rows.Next() {
		var tenant string
		var n uint64
		if err := rows.Scan(&tenant, &n); err != nil {
			return nil, v.store.checked(err)
		}
		found[tenant] = n
	}
	return found, v.store.checked(rows.Err())
}

// Newest returns the provider's newest event of a type; nil if there is none.
func (v *Snapshot) Newest(ctx context.Context, typ string) (*Event, error) {
	rows, err := v.query(ctx, `SELECT 0, seq, bytes FROM stored WHERE seq = (SELECT max(seq) FROM events
		INDEXED BY events_by_type WHERE type = ? AND tenant = (SELECT id FROM tenants WHERE name = ?))`,
		numberOfType[typ], aggregate.ProviderTenant)
	if err != nil {
		return nil, v.store.checked(err)
	}
	var newest *Event
	err = events(rows, func(_ uint64, e Event) { newest = &e })
	return newest, v.store.checked(err)
}

// CountNewest counts the provider's events of a type since a whole hour, up to input.MaxCount + 1.
func (v *Snapshot) CountNewest(ctx context.Context, typ string, since time.Time) (n uint64, err error) {
	first, err := v.firstSince(ctx, since)
	if err != nil {
		return 0, err
	}
	err = v.one(ctx, `SELECT count(*) FROM (SELECT 1 FROM events INDEXED BY events_by_type WHERE type = ? AND tenant =
		(SELECT id FROM tenants WHERE name = ?) AND seq >= ? LIMIT ?)`,
		[]any{numberOfType[typ], aggregate.ProviderTenant, first, input.MaxCount + 1}, &n)
	return n, v.store.checked(err)
}

// UnsignedSince returns the time of the first event after a sequence that has to be in a checkpoint; zero if there is
// none.
func (v *Snapshot) UnsignedSince(ctx context.Context, covered uint64) (time.Time, error) {
	var at sql.NullInt64
	err := v.one(ctx, "SELECT min(time) FROM (SELECT time FROM events WHERE seq > ? AND kind <> ? ORDER BY seq LIMIT 1)",
		[]any{covered, aggregate.KindCheckpoint}, &at)
	return moment(at.Int64), v.store.checked(err)
}
