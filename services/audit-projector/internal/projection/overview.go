package projection

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
)

// firstSince returns the first sequence of an event at a whole hour or later; beyond all if there is none.
func (v *Snapshot) firstSince(ctx context.Context, at time.Time) (uint64, error) {
	seq := v.sequence + 1
	err := v.one(ctx, "SELECT coalesce(min(first), ?) FROM hours WHERE hour >= ?", []any{seq, at.Unix() / 3600}, &seq)
	return seq, v.store.checked(err)
}

// EventsOf counts the events of a type since a whole hour, by tenant.
func (v *Snapshot) EventsOf(
	ctx context.Context, of Scope, typ string, since time.Time,
) (_ map[string]uint64, err error) {
	if !of.All {
		return nil, nil
	}
	first, err := v.firstSince(ctx, since)
	if err != nil {
		return nil, err
	}
	q := newSelect("SELECT e.tenant, count(*) AS n FROM events e INDEXED BY events_by_type")
	q.and("e.type = ?", numberOfType[typ])
	q.tenant("e.tenant", of.Tenant)
	q.and("e.seq >= ?", first)
	rows, err := v.query(ctx, "SELECT t.name, c.n FROM ("+q.text()+
		" GROUP BY e.tenant) AS c CROSS JOIN tenants t ON t.id = c.tenant", q.args...)
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
	return v.the(ctx, `SELECT 0, seq, bytes FROM stored WHERE seq = (SELECT max(seq) FROM events
		INDEXED BY events_by_type WHERE type = ? AND tenant = (SELECT id FROM tenants WHERE name = ?))`,
		numberOfType[typ], aggregate.ProviderTenant)
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
