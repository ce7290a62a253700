package projection

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// few is the maximum number of requests that are looked up one by one; beyond it, the log is scanned and filtered.
const few = 500

// ActivityFilter selects events (R39). Empty fields match any.
type ActivityFilter struct {
	// Types are names of event types.
	Types []string
	// Since and Until bound the time in the event; Until is exclusive.
	Since, Until time.Time
	// Person is a subject, display name or e-mail address, case-insensitive.
	Person string
	// Resource is a resource ID, or the beginning of one, among those of the event's request. Both are compared as Azure
	// Resource Manager compares them (R49).
	Resource       string
	SubscriptionID string
	// TenantLevel selects what is about no subscription.
	TenantLevel bool
	RequestID   string
	// Before selects events older than this sequence; 0 for the newest.
	Before uint64
}

// Activities lists events, newest first.
func (v *Snapshot) Activities(ctx context.Context, of Scope, f ActivityFilter, limit int) ([]Event, error) {
	q := newSelect("")
	index, err := v.conditions(ctx, q, of, f)
	if err != nil || q.empty {
		return nil, err
	}
	q.head = "SELECT e.seq FROM events e " + index
	seqs, err := v.ids(ctx, q.text()+" ORDER BY e.seq DESC LIMIT ?", append(q.args, limit)...)
	if err != nil || len(seqs) == 0 {
		return nil, err
	}
	page := newSelect("SELECT 0, seq, bytes FROM stored")
	page.in("seq", seqs)
	rows, err := v.query(ctx, page.text()+" ORDER BY seq DESC", page.args...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	list := make([]Event, 0, len(seqs))
	err = v.events(ctx, rows, func(_ uint64, e Event) { list = append(list, e) })
	return list, v.store.checked(err)
}

// fewTypes is up to how many types of events it is quicker to find them by their types than to pass over all others.
const fewTypes = 8

// conditions turns a filter into SQL terms and chooses the index. SQLite could only guess: it does not know that a
// request has ten events and a tenant a million.
func (v *Snapshot) conditions(ctx context.Context, q *query, of Scope, f ActivityFilter) (index string, err error) {
	if of.Tenant != "" {
		index = "INDEXED BY events_by_tenant"
		q.tenant("e.tenant", of.Tenant)
	}
	if !of.Untold {
		q.and("(e.kind <> 'disclosure' OR e.about NOT IN " + untold + ")")
	}
	if f.Before > 0 {
		q.and("e.seq < ?", f.Before)
	}
	if err := v.times(ctx, q, f); err != nil {
		return "", err
	}
	if len(f.Types) > 0 {
		if len(f.Types) <= fewTypes {
			index = "INDEXED BY events_by_type"
		}
		q.in("e.type", typeNumbers(f.Types))
	}
	ids, some, err := v.within(ctx, of, f.SubscriptionID)
	if err != nil {
		return "", err
	}
	if some {
		index = "INDEXED BY events_by_subscription"
		q.and("e.subscription > 0")
		q.in("e.subscription", ids)
	}
	if f.TenantLevel {
		q.and("coalesce(e.subscription, 0) = 0")
	}
	if f.Person != "" {
		index = "INDEXED BY events_by_person"
		name := activity.Name(f.Person)
		ids, err := v.ids(ctx,
			"SELECT id FROM people WHERE subject = ? UNION SELECT id FROM people WHERE name = ? UNION SELECT id FROM people WHERE email = ?", name, name, name)
		if err != nil {
			return "", err
		}
		q.and("e.person > 0")
		q.in("e.person", ids)
	}
	return v.requests(ctx, q, of, f, index)
}

// times bounds the time, and through the table of hours also the sequences, so that an old week is found as fast as the
// last one.
func (v *Snapshot) times(ctx context.Context, q *query, f ActivityFilter) error {
	bound := func(text string, hour int64, term string) error {
		var seq sql.NullInt64
		if err := v.one(ctx, text, []any{hour}, &seq); err != nil {
			return v.store.checked(err)
		}
		q.empty = q.empty || !seq.Valid
		q.and(term, seq.Int64)
		return nil
	}
	if !f.Since.IsZero() {
		since := nanoseconds(f.Since.Unix(), f.Since.Nanosecond())
		q.and("e.time >= ?", since)
		if err := bound("SELECT min(first) FROM hours WHERE hour >= ?", since/int64(time.Hour), "e.seq >= ?"); err != nil {
			return err
		}
	}
	if !f.Until.IsZero() {
		until := nanoseconds(f.Until.Unix(), f.Until.Nanosecond())
		q.and("e.time < ?", until)
		return bound("SELECT max(last) FROM hours WHERE hour <= ?", until/int64(time.Hour), "e.seq <= ?")
	}
	return nil
}

// requests restricts the events' requests: to one by its ID, to those for a resource, to those that the scope may see.
func (v *Snapshot) requests(ctx context.Context, q *query, of Scope, f ActivityFilter, index string) (string, error) {
	var sets []*query
	if f.RequestID != "" {
		set := newSelect("SELECT seq FROM requests")
		set.tenant("tenant", of.Tenant)
		set.and("id = ?", f.RequestID)
		sets = append(sets, set)
	}
	if f.Resource != "" {
		set := newSelect("SELECT request FROM resources")
		set.tenant("tenant", of.Tenant)
		// With a slash at the end it is a whole id, or what is below it; without, it may be a part of a name.
		begins, whole := resource.Fold(f.Resource), resource.Canonical(f.Resource)
		if begins == whole {
			set.and("resource >= ? AND resource <= ?", begins, begins+"\U0010ffff")
		} else {
			set.and("(resource = ? OR resource >= ? AND resource <= ?)", whole, begins, begins+"\U0010ffff")
		}
		sets = append(sets, set)
	}
	if !of.All && len(of.Subscriptions) == 0 {
		q.and("e.kind = 'request'")
		set := newSelect("SELECT request FROM audience")
		set.and("principal IN ("+marks(len(of.Principals))+")", texts(of.Principals)...)
		sets = append(sets, set)
	}
	for _, set := range sets {
		ids, err := v.ids(ctx, set.text()+" LIMIT ?", append(set.args, few+1)...)
		if err != nil {
			return "", err
		}
		if len(ids) > few {
			q.and("e.about IN ("+set.text()+")", set.args...)
			continue
		}
		index = "INDEXED BY events_by_about"
		q.and("e.about > 0")
		q.in("e.about", ids)
	}
	return index, nil
}

var numberOfType = func() map[string]int64 {
	numbers := map[string]int64{}
	fields := factOneof.Fields()
	for i := range fields.Len() {
		numbers[string(fields.Get(i).Message().Name())] = int64(fields.Get(i).Number())
	}
	return numbers
}()

func typeNumbers(types []string) []any {
	var list []any
	for _, t := range types {
		if n, known := numberOfType[t]; known {
			list = append(list, n)
		}
	}
	return list
}

// events reads rows of a number, sequence and bytes, and closes them.
func (v *Snapshot) events(
	ctx context.Context, rows *sql.Rows, handle func(number uint64, e Event),
) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var number uint64
		e := Event{}
		if err := rows.Scan(&number, &e.Sequence, &e.Bytes); err != nil {
			return err
		}
		if e.Event, err = decoded(ctx, v.store.details, e.Bytes); err != nil {
			return err
		}
		handle(number, e)
	}
	return rows.Err()
}

// decoded returns the event that was stored, decrypted as far as it was not erased.
func decoded(ctx context.Context, details Details, data []byte) (*lockboxv1.Event, error) {
	e, err := input.DecodeEvent(data)
	if err != nil {
		return nil, errors.Join(ErrUnusable, err)
	}
	return e, details.Open(ctx, e)
}
