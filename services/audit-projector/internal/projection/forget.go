package projection

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// The projection has names and addresses in the clear to find people by, and folded states in memory. When something is
// erased, it makes anew from the stored events whatever may have come from there, so that a projection that forgot and
// one that never knew are the same (R63).

// Details decrypts what can be erased of events: *keystore.Store.
type Details interface {
	// Open decrypts an event in place, as far as it was not erased.
	Open(ctx context.Context, e *lockboxv1.Event) error
	// Forget forgets what is known of keys, so that one that was destroyed is not used again.
	Forget()
}

// closed is Details without any keys.
type closed struct{}

func (closed) Open(_ context.Context, e *lockboxv1.Event) error {
	return erasable.Open(e, func(erasable.KeyID) (key erasable.Key, s erasable.Standing, err error) {
		return key, erasable.Unknown, nil
	})
}

func (closed) Forget() {}

// erased is what an erasure made unreadable.
type erased struct {
	tenantID int64
	tenant   string
	targets  []*lockboxv1.ErasureTarget
}

// pageOfEvents is how many events are read at once while something is forgotten.
const pageOfEvents = 500

// erasure writes an event of an erasure. Once its keys are destroyed, what they opened is forgotten.
func (w *writer) erasure(ctx context.Context, e Event, tenantID int64) (at place, err error) {
	id := e.Event.GetAggregateId()
	found, err := w.first(ctx, "SELECT seq FROM erasures WHERE id = ? AND tenant = ?", []any{id, tenantID}, &at.about)
	if err != nil {
		return at, err
	}
	var s erasure.State
	if !found {
		at.about = int64(e.Sequence) // #nosec G115 -- a stream never holds as many events
		err = w.exec(ctx, "INSERT INTO erasures VALUES (?, ?, ?)", at.about, tenantID, id)
	} else {
		s, err = w.erasureAt(ctx, at.about)
	}
	if err != nil {
		return at, err
	}
	sound := s.Fault == nil
	s = erasure.Evolve(s, e.Sequence, e.Event)
	w.checkFault(sound && s.Fault != nil, e.Sequence, e.Event)
	if s.Fault != nil || s.Status != erasure.Destroyed {
		return at, nil
	}
	w.details.Forget()
	return at, w.forget(ctx, []erased{{tenantID, e.Event.GetTenant(), s.Targets}})
}

// erasureAt folds the stored events of an erasure.
func (w *writer) erasureAt(ctx context.Context, about int64) (s erasure.State, err error) {
	if err := w.flush(ctx); err != nil {
		return s, err
	}
	if err := w.indexByAbout(ctx); err != nil {
		return s, err
	}
	rows, err := w.conn.QueryContext(ctx, `SELECT seq, bytes FROM events JOIN stored USING (seq)
		WHERE about = ? AND about > 0 AND kind = 'erasure' ORDER BY seq`, about)
	if err != nil {
		return s, err
	}
	err = w.eachEvent(ctx, rows, func(seq uint64, e *lockboxv1.Event) { s = erasure.Evolve(s, seq, e) })
	return s, err
}

// forget makes anew what was made from events that cannot be read any more, in rows and in memory. A new projection
// does so when it is built.
func (w *writer) forget(ctx context.Context, all []erased) error {
	w.forgot = true
	if w.building {
		w.later = append(w.later, all...)
		return nil
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	if err := w.writeRequests(ctx); err != nil {
		return err
	}
	w.states.Clear()
	tenants := map[string]int64{}
	for _, one := range all {
		tenants[one.tenant] = one.tenantID
		for _, t := range one.targets {
			if p := t.GetPerson(); p != nil {
				if err := w.forgetPerson(ctx, one, p); err != nil {
					return err
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tenants)) {
		if err := w.refold(ctx, name, tenants[name]); err != nil {
			return err
		}
	}
	return nil
}

// forgetLater forgets what was erased while the projection was built, and what had been erased before: an event may
// have been read before that.
func (w *writer) forgetLater(ctx context.Context) error {
	later := w.later
	if w.later = nil; len(later) == 0 {
		return nil
	}
	w.building = false
	err := w.forget(ctx, later)
	w.building = true
	w.count()
	return err
}

// forgetPerson writes anew who acted in a tenant's events, and by which words its requests are found, wherever a
// person is called something.
func (w *writer) forgetPerson(ctx context.Context, of erased, p *lockboxv1.ErasedPerson) error {
	called, err := w.numbers(ctx,
		`SELECT id FROM people WHERE subject = ? AND issuer = ? AND (name <> '' OR email <> '')`,
		activity.Name(p.GetSubject()), p.GetIssuer())
	if err != nil {
		return err
	}
	for _, id := range called {
		for last := int64(0); ; {
			events, err := w.actedAs(ctx, id, of.tenantID, last)
			if err != nil {
				return err
			}
			for _, e := range events {
				if err := w.renamed(ctx, of, id, e); err != nil {
					return err
				}
			}
			if len(events) < pageOfEvents {
				break
			}
			last = int64(events[len(events)-1].Sequence) // #nosec G115 -- it was one
		}
		if err := w.exec(ctx, `DELETE FROM people WHERE id = ?
			AND NOT EXISTS (SELECT 1 FROM events WHERE person = ? AND person > 0)`, id, id); err != nil {
			return err
		}
		w.people.known.Clear() // it may be gone
	}
	return nil
}

// actedAs reads the next events of a tenant that a person caused under one name.
func (w *writer) actedAs(ctx context.Context, person, tenantID, after int64) (list []Event, err error) {
	rows, err := w.conn.QueryContext(ctx, `SELECT seq, bytes FROM events INDEXED BY events_by_person
		JOIN stored USING (seq) WHERE person = ? AND person > 0 AND tenant = ? AND seq > ? ORDER BY seq LIMIT ?`,
		person, tenantID, after, pageOfEvents)
	if err != nil {
		return nil, err
	}
	err = w.eachEvent(ctx, rows, func(seq uint64, e *lockboxv1.Event) {
		list = append(list, Event{Sequence: seq, Event: e})
	})
	return list, err
}

// renamed writes anew who caused an event, if they are called otherwise than under the number that they had. If a
// request began with it, it is found by other words, too.
func (w *writer) renamed(ctx context.Context, of erased, was int64, e Event) error {
	now, err := w.person(ctx, e.Event.GetActor().GetPerson())
	if err != nil || now == was {
		return err
	}
	if err := w.exec(ctx, "UPDATE events SET person = ? WHERE seq = ?", now, e.Sequence); err != nil {
		return err
	}
	if e.Event.GetAccessRequested() == nil {
		return nil
	}
	engineer, words := wordsOf(request.Evolve(request.State{}, e.Sequence, e.Event))
	if err := w.exec(ctx, "UPDATE words SET engineer = ?, words = ? WHERE request = ?", engineer, words,
		e.Sequence); err != nil {
		return err
	}
	r, err := w.load(ctx, key{"requests", of.tenantID, e.Event.GetAggregateId()})
	if err != nil || r.about != int64(e.Sequence) { // #nosec G115 -- it was one
		return err
	}
	r.tenantName = of.tenant
	w.counted = append(w.counted, r.counted())
	return nil
}

// refold makes what is remembered of a tenant anew. What contradicts its history was said before.
func (w *writer) refold(ctx context.Context, name string, tenantID int64) error {
	if w.published {
		w.customers, w.published = maps.Clone(w.customers), false
	}
	delete(w.customers, name)
	if name == aggregate.ProviderTenant {
		w.catalogue = policy.Published{}
	}
	rows, err := w.conn.QueryContext(ctx, `SELECT seq, bytes FROM events JOIN stored USING (seq)
		WHERE tenant = ? AND kind IN ('tenant', 'subscription', 'policy', 'keys') ORDER BY seq`, tenantID)
	if err != nil {
		return err
	}
	w.quiet = true
	err = w.eachEvent(ctx, rows, w.remember)
	w.quiet = false
	return err
}

// numbers reads a column of numbers.
func (w *writer) numbers(ctx context.Context, text string, args ...any) (list []int64, err error) {
	rows, err := w.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

// Forget makes anew what may have come from events of which something was erased, wherever that was noticed: a key
// store's backup that was put back may have made them readable meanwhile. After an error the Store must not be used any
// more.
func (s *Store) Forget(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	s.applying.Lock()
	defer s.applying.Unlock()
	s.folds.forget()
	if s.writer == nil || s.writer.building {
		return nil // it forgets when it is complete
	}
	if err := s.writer.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return s.checked(err)
	}
	all, err := s.writer.everErased(ctx)
	if err == nil {
		err = s.writer.forget(ctx, all)
	}
	if err != nil {
		return s.checked(err)
	}
	return s.commit(ctx)
}

// everErased is all that was decided to be erased.
func (w *writer) everErased(ctx context.Context) (all []erased, err error) {
	abouts, err := w.numbers(ctx, "SELECT seq FROM erasures ORDER BY seq")
	if err != nil {
		return nil, err
	}
	for _, about := range abouts {
		s, err := w.erasureAt(ctx, about)
		if err != nil {
			return nil, err
		}
		if s.Status != erasure.Decided && s.Status != erasure.Destroyed {
			continue
		}
		tenantID, err := w.tenants.id(ctx, s.Tenant)
		if err != nil {
			return nil, err
		}
		all = append(all, erased{tenantID, s.Tenant, s.Targets})
	}
	return all, nil
}

// forgotten removes, after a commit in which something was forgotten, what else there is of it: states that readers
// share, and the file's log of changes. A reader that is still at work may keep the log from being cut; then it is
// tried again with the next commit.
func (s *Store) forgotten(ctx context.Context) error {
	w := s.writer
	if w.forgot {
		w.forgot, w.uncut = false, !w.building
		s.folds.forget()
		s.tally.sweep()
	}
	if !w.uncut {
		return nil
	}
	var busy, pages, moved int
	_, err := w.conn.ExecContext(ctx, "PRAGMA busy_timeout = 0")
	if err == nil {
		err = w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	}
	w.uncut = busy != 0
	_, restored := w.conn.ExecContext(ctx, "PRAGMA busy_timeout = "+busyTimeout)
	return errors.Join(err, restored)
}

// Erasures lists erasures, newest first; if an id is given, only those with it.
func (v *Snapshot) Erasures(ctx context.Context, of Scope, id string, limit int) ([]Row, error) {
	q := newSelect("SELECT x.seq, t.name, x.id, 0, 0 FROM erasures x JOIN tenants t ON t.id = x.tenant")
	q.tenant("x.tenant", of.Tenant)
	q.empty = !of.All
	if id != "" {
		q.and("x.id = ?", id)
	}
	return v.rows(ctx, q, "x.seq", limit)
}

// tableOf are the tables in which aggregates with events of their own are found.
var tableOf = map[string]string{aggregate.KindRequest: "requests", aggregate.KindTicket: "tickets",
	aggregate.KindDisclosure: "disclosures", aggregate.KindErasure: "erasures"}

// At returns the event at a place: at a version of an aggregate. It is nil if there is none, if it is of a disclosure
// that the scope does not include, and for reports and kinds that nobody looks for.
func (v *Snapshot) At(ctx context.Context, of Scope, about aggregate.Key, place string) (*Event, error) {
	version, err := strconv.ParseUint(place, 10, 64)
	if err != nil || version == 0 {
		return nil, nil //nolint:nilnil,nilerr // a report's
	}
	q := newSelect("SELECT 0, seq, bytes FROM events JOIN stored USING (seq)")
	q.tenant("tenant", about.Tenant)
	q.and("kind = ?", about.Kind)
	table, listed := tableOf[about.Kind]
	switch {
	case listed:
		q.and("about > 0 AND about = (SELECT x.seq FROM "+table+
			" x JOIN tenants t ON t.id = x.tenant WHERE x.id = ? AND t.name = ?)", about.ID, about.Tenant)
		if !of.Untold {
			q.and("about NOT IN " + untold)
		}
	case about.Kind == aggregate.KindSubscription:
		q.and("subscription > 0")
		q.and(`subscription = (SELECT s.id FROM subscriptions s JOIN tenants t ON t.id = s.tenant
			WHERE s.name = ? AND t.name = ?)`, about.ID, about.Tenant)
	case about.Kind != aggregate.KindTenant && about.Kind != aggregate.KindKeys:
		return nil, nil //nolint:nilnil // nobody looks for it
	}
	return v.the(ctx, q.text()+" ORDER BY seq LIMIT 1 OFFSET ?", append(q.args, version-1)...)
}

// LastOf returns the last event of a tenant that a person caused and in which their name can be read; nil if there is
// none.
func (v *Snapshot) LastOf(ctx context.Context, tenant string, p *lockboxv1.Person) (*Event, error) {
	return v.the(ctx, `SELECT 0, seq, bytes FROM events INDEXED BY events_by_person JOIN stored USING (seq)
		WHERE person > 0 AND person IN (SELECT id FROM people WHERE subject = ? AND issuer = ? AND name <> '')
		AND tenant = (SELECT id FROM tenants WHERE name = ?) ORDER BY seq DESC LIMIT 1`,
		activity.Name(p.GetSubject()), p.GetIssuer(), tenant)
}

// the reads a row of a number, sequence and bytes; nil if there is none.
func (v *Snapshot) the(ctx context.Context, text string, args ...any) (found *Event, err error) {
	rows, err := v.query(ctx, text, args...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	err = v.events(ctx, rows, func(_ uint64, e Event) { found = &e })
	return found, v.store.checked(err)
}
