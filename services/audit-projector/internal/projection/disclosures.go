package projection

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/disclosure"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// untold selects the disclosures that the customer has not been notified of, by their first events.
const untold = "(SELECT seq FROM disclosures WHERE told = 0)"

// disclosure writes an event of a disclosure. The folded state says whether the customer was notified: a notification
// before the embargo ends is a fault, and reveals nothing.
func (w *writer) disclosure(ctx context.Context, e Event, tenantID int64) (place, error) {
	id := e.Event.GetAggregateId()
	var at place
	var told int64
	found, err := w.first(ctx, "SELECT seq, told FROM disclosures WHERE id = ? AND tenant = ?", []any{id, tenantID},
		&at.about, &told)
	if err != nil {
		return place{}, err
	}
	if !found {
		at.about = int64(e.Sequence) // #nosec G115 -- a stream never holds as many events
		first := disclosure.Evolve(disclosure.State{}, e.Sequence, e.Event)
		w.checkFault(first.Fault != nil, e.Sequence, e.Event)
		return at, w.exec(ctx, "INSERT INTO disclosures VALUES (?, ?, ?, 0)", at.about, tenantID, id)
	}
	s, err := w.disclosed(ctx, at)
	if err != nil {
		return place{}, err
	}
	sound := s.Fault == nil
	s = disclosure.Evolve(s, e.Sequence, e.Event)
	w.checkFault(sound && s.Fault != nil, e.Sequence, e.Event)
	if s.Fault != nil || s.ToldAt.IsZero() || told > 0 {
		return at, nil
	}
	return at, w.exec(ctx, "UPDATE disclosures SET told = ? WHERE seq = ?", e.Sequence, at.about)
}

// disclosed folds the stored events of a disclosure.
func (w *writer) disclosed(ctx context.Context, at place) (s disclosure.State, err error) {
	if err := w.flush(ctx); err != nil {
		return s, err
	}
	text, err := w.statement(ctx,
		"SELECT seq, bytes FROM events JOIN stored USING (seq) WHERE about = ? AND about > 0 AND kind = 'disclosure' ORDER BY seq")
	if err != nil {
		return s, err
	}
	rows, err := text.prepared.QueryContext(ctx, at.about)
	if err != nil {
		return s, err
	}
	err = w.eachEvent(ctx, rows, func(seq uint64, e *lockboxv1.Event) { s = disclosure.Evolve(s, seq, e) })
	return s, err
}

// Disclosures lists disclosures, newest first.
func (v *Snapshot) Disclosures(ctx context.Context, of Scope, limit int) ([]Row, error) {
	q := newSelect("SELECT d.seq, t.name, d.id, 0, 0 FROM disclosures d JOIN tenants t ON t.id = d.tenant")
	q.tenant("d.tenant", of.Tenant)
	q.empty = !of.All
	if !of.Untold {
		q.and("d.told > 0")
	}
	return v.rows(ctx, q, "d.seq", limit)
}
