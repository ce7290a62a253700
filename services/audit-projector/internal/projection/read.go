package projection

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Snapshot is the projection as of one event. It must be closed.
type Snapshot struct {
	known
	store *Store
	all   readers
	*reader
}

// Snapshot begins a read. It waits while the maximum number of others are open.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	all, err := s.readers()
	if err != nil {
		return nil, err
	}
	r, err := all.take(ctx) // before the lock, so that waiting does not block the writer
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, refusal.Unavailable("", "I11", "the projection was closed")
	}
	v := &Snapshot{store: s, all: all, reader: r}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v.known = s.known
	err = r.exec(ctx, "BEGIN")
	if err == nil {
		// SQLite takes its snapshot at the first read, which must come before the next commit.
		var seq uint64
		err = r.one(ctx, "SELECT coalesce(max(seq), 0) FROM stored", nil, &seq)
	}
	if err != nil {
		err = errors.Join(s.checked(err), r.drop())
		all <- r
		return nil, err
	}
	return v, nil
}

// Customers returns all tenants by name, as of the last commit, without a snapshot. The map must not be modified.
func (s *Store) Customers() (map[string]*Customer, error) {
	if _, err := s.readers(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.customers, nil
}

func (s *Store) readers() (readers, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.all == nil {
		return nil, refusal.OfKind(
			refusal.Unavailable("", "I11", "the projection is being built; it is at sequence %d", s.sequence),
			"being-built")
	}
	return s.all, nil
}

// Close ends the read. It may be called once.
func (v *Snapshot) Close() error {
	err := v.exec(context.Background(), "ROLLBACK") // even if the read's context has ended
	if err != nil {
		err = errors.Join(v.store.checked(err), v.drop())
	}
	v.all <- v.reader
	return err
}

// Sequence returns the sequence of the last event in the snapshot.
func (v *Snapshot) Sequence() uint64 { return v.sequence }

// Catalogue returns the last published service catalogue.
func (v *Snapshot) Catalogue() policy.Published { return v.catalogue }

// Customer returns a tenant by its name, or nil.
func (v *Snapshot) Customer(name string) *Customer { return v.customers[name] }

// Customers returns all tenants by name. The map must not be modified.
func (v *Snapshot) Customers() map[string]*Customer { return v.customers }

// Scope is what a caller may see. The zero value is nothing.
type Scope struct {
	// Tenant restricts the scope to one tenant; empty for all.
	Tenant string
	// All of the requests and events there.
	All bool
	// Untold includes disclosures that the customer has not been notified of (R46).
	Untold bool
	// Subscriptions of the tenant whose requests and events are included.
	Subscriptions []string
	// Principals include the requests that have them in their audience.
	Principals []string
}

// Row identifies a request or ticket.
type Row struct {
	// Sequence of its first event.
	Sequence uint64
	Tenant   string
	ID       string
	// Last is the sequence of a request's last event.
	Last uint64
	// Due is when a request in a list by deadline ends by the passing of time, in nanoseconds since 1970.
	Due int64
}

// Tickets lists tickets, newest first; if named, only those whose reference in any spelling, or whose id, this is.
// Callers see those that they opened, and those of the requests and subscriptions that they see.
func (v *Snapshot) Tickets(
	ctx context.Context, of Scope, opener *lockboxv1.Person, named string, limit int,
) ([]Row, error) {
	q := newSelect("SELECT k.seq, t.name, k.id, 0, 0 FROM tickets k JOIN tenants t ON t.id = k.tenant")
	q.tenant("k.tenant", of.Tenant)
	if named != "" {
		folded := aggregate.FoldReference(named)
		q.and("(k.folded = ? OR k.id = ?)", folded, folded)
	}
	if !of.All {
		ids, err := v.subscriptionIDs(ctx, of.Tenant, of.Subscriptions)
		if err != nil {
			return nil, err
		}
		in := marks(len(ids))
		args := append([]any{Person(opener)}, ids...)
		q.and(`(k.opener = ? OR k.subscription IN (`+in+`) OR EXISTS (
			SELECT 1 FROM requests r WHERE r.ticket = k.id AND r.tenant = k.tenant AND r.ticket <> '' AND r.subscription IN (`+in+`)))`, append(args, ids...)...)
	}
	return v.rows(ctx, q, "k.seq", limit)
}

func (v *Snapshot) rows(ctx context.Context, q *query, key string, limit int) ([]Row, error) {
	if q.empty {
		return nil, nil
	}
	return v.places(ctx, q.text()+" ORDER BY "+key+" DESC LIMIT ?", append(q.args, limit)...)
}

// places reads rows of a sequence, a tenant's name, an ID, the last event's sequence and a deadline.
func (v *Snapshot) places(ctx context.Context, text string, args ...any) (list []Row, err error) {
	rows, err := v.query(ctx, text, args...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r Row
		if err := rows.Scan(&r.Sequence, &r.Tenant, &r.ID, &r.Last, &r.Due); err != nil {
			return nil, v.store.checked(err)
		}
		list = append(list, r)
	}
	return list, v.store.checked(rows.Err())
}

// History returns the events of requests and tickets, by their rows' sequences, each in stream order. With reports, it
// includes the reports about them.
func (v *Snapshot) History(ctx context.Context, rows []Row, reports bool) (map[uint64][]Event, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	args := make([]any, len(rows))
	for i, r := range rows {
		args[i] = r.Sequence
	}
	text := "SELECT about, seq, bytes FROM events JOIN stored USING (seq) WHERE about > 0 AND about IN (" +
		marks(len(args)) + ")"
	if !reports {
		text += " AND kind IN ('request', 'ticket', 'disclosure', 'erasure')"
	}
	found, err := v.query(ctx, text+" ORDER BY seq", args...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	history := make(map[uint64][]Event, len(rows))
	err = v.events(ctx, found, func(about uint64, e Event) { history[about] = append(history[about], e) })
	return history, v.store.checked(err)
}

// subscriptionIDs returns the numbers of subscriptions, of one tenant or all. A request may spell a subscription's id
// otherwise than its owner registered it: ids are compared as Azure Resource Manager compares them (R49).
func (v *Snapshot) subscriptionIDs(ctx context.Context, tenant string, names []string) ([]any, error) {
	if len(names) == 0 {
		return nil, nil
	}
	q := newSelect("SELECT id FROM subscriptions")
	q.tenant("tenant", tenant)
	q.and("name COLLATE NOCASE IN ("+marks(len(names))+")", texts(names)...)
	return v.ids(ctx, q.text(), q.args...)
}

// within returns the numbers of the subscriptions that a scope and a filter leave; some is false if neither restricts
// them.
func (v *Snapshot) within(ctx context.Context, of Scope, filter string) (ids []any, some bool, err error) {
	names := of.Subscriptions
	switch {
	case filter != "" && len(names) == 0:
		names = []string{filter}
	case filter != "":
		other := func(name string) bool { return resource.Fold(name) != resource.Fold(filter) }
		names = slices.DeleteFunc(slices.Clone(names), other)
	}
	ids, err = v.subscriptionIDs(ctx, of.Tenant, names)
	return ids, filter != "" || len(of.Subscriptions) > 0, err
}

func (v *Snapshot) ids(ctx context.Context, text string, args ...any) (list []any, err error) {
	rows, err := v.query(ctx, text, args...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, v.store.checked(err)
		}
		list = append(list, id)
	}
	return list, v.store.checked(rows.Err())
}

// query is a SELECT under construction. Only constants and placeholders are added to its text.
type query struct {
	head  string
	terms []string
	args  []any
	empty bool // no row can match
}

func newSelect(head string) *query { return &query{head: head} }

func (q *query) clone() *query {
	return &query{head: q.head, terms: slices.Clone(q.terms), args: slices.Clone(q.args), empty: q.empty}
}

func (q *query) and(term string, args ...any) {
	q.terms = append(q.terms, term)
	q.args = append(q.args, args...)
}

// in requires one of these values; if there are none, no row matches.
func (q *query) in(column string, values []any) {
	switch len(values) {
	case 0:
		q.empty = true
	case 1:
		q.and(column+" = ?", values[0]) // equality keeps the index's order
	default:
		q.and(column+" IN ("+marks(len(values))+")", values...)
	}
}

func (q *query) tenant(column, name string) {
	if name != "" {
		q.and(column+" = (SELECT id FROM tenants WHERE name = ?)", name)
	}
}

func (q *query) text() string {
	if len(q.terms) == 0 {
		return q.head
	}
	return q.head + " WHERE " + strings.Join(q.terms, " AND ")
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func texts(list []string) []any {
	args := make([]any, len(list))
	for i, s := range list {
		args[i] = s
	}
	return args
}
