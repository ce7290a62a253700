package projection

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Person returns the principal of a person.
func Person(p *lockboxv1.Person) string { return "person\n" + p.GetIssuer() + "\n" + p.GetSubject() }

// Group returns the principal of a group of the provider's people.
func Group(name string) string { return "group\n" + name }

// folded is a request's state between two of its events.
type folded struct {
	place
	state request.State
	// asked are the groups of the internal stages reached so far; they may always see the request.
	asked  []string
	tenant int64
	// tenantName is the tenant, engineer what whoever asks is found by, and made when its first event happened, in
	// nanoseconds since 1970.
	tenantName, engineer string
	made                 int64
	// last is the sequence of its last event.
	last uint64
	// The row and the waiting principals as last written.
	written row
	waiting []string
}

// row is the mutable part of a request's row.
type row struct {
	status request.Status
	due    int64
	last   uint64
	waived int64
	times  times
}

func (r *folded) row() row {
	return row{r.state.Status, deadline(r.state), r.last, waivedAt(r.state), timesOf(r.state)}
}

// counted is the request as it was last written.
func (r *folded) counted() counted {
	return counted{figure: figure{seq: uint64(r.about), // #nosec G115 -- a sequence
		subscription: r.subscription, due: r.written.due, times: r.written.times, status: r.written.status,
		emergency: r.state.Intent.GetEmergency(), waived: r.written.waived > 0},
		tenant: r.tenantName, who: r.engineer, made: r.made}
}

// request folds an event of a request. Changes are written once at the end of the batch.
func (w *writer) request(ctx context.Context, e Event, tenantID int64) (place, error) {
	which := key{"requests", tenantID, e.Event.GetAggregateId()}
	r, err := w.load(ctx, which)
	if err != nil {
		return place{}, err
	}
	r.tenantName = e.Event.GetTenant()
	sound, asked := r.state.Fault == nil, len(r.asked)
	r.evolve(e.Sequence, e.Event)
	w.checkFault(sound && r.state.Fault != nil, e.Sequence, e.Event)
	w.dirty[which] = r
	if r.about == 0 {
		if err := w.insertRequest(ctx, e, which, r); err != nil {
			return place{}, err
		}
	}
	for _, group := range r.asked[asked:] {
		if err := w.insert(ctx, "audience", Group(group), r.about); err != nil {
			return place{}, err
		}
	}
	return r.place, nil
}

func (r *folded) evolve(seq uint64, e *lockboxv1.Event) {
	if r.last == 0 {
		r.made = stamped(e.GetTime())
	}
	r.state, r.last = request.Evolve(r.state, seq, e), seq
	if r.state.Status != request.AwaitingInternalApproval {
		return
	}
	if stage, _ := r.state.Stage(); !slices.Contains(r.asked, stage.GetGroup()) {
		r.asked = append(r.asked, stage.GetGroup())
	}
}

// load returns a request as of the previous event, from memory or by folding its events again.
func (w *writer) load(ctx context.Context, which key) (*folded, error) {
	if r, known := w.states.Get(which); known {
		return r, nil
	}
	if r, known := w.dirty[which]; known {
		w.states.Put(which, r)
		return r, nil
	}
	at, found, err := w.find(ctx, which.table, which.tenant, which.id)
	if err != nil {
		return nil, err
	}
	r := &folded{place: at, tenant: which.tenant}
	if found {
		if err := w.flush(ctx); err != nil {
			return nil, err
		}
		if err := w.indexByAbout(ctx); err != nil {
			return nil, err
		}
		s, err := w.statement(ctx,
			"SELECT seq, bytes FROM events JOIN stored USING (seq) WHERE about = ? AND about > 0 AND kind = 'request' ORDER BY seq")
		if err != nil {
			return nil, err
		}
		rows, err := s.prepared.QueryContext(ctx, at.about)
		if err != nil {
			return nil, err
		}
		if err := w.eachEvent(ctx, rows, r.evolve); err != nil {
			return nil, err
		}
		r.written, r.waiting = r.row(), waitingFor(r.state)
		r.engineer, _ = wordsOf(r.state)
	}
	w.states.Put(which, r)
	return r, nil
}

// indexByAbout makes the events of one request quick to find, once they are looked for: a build that remembers every
// request that goes on is spared an index meanwhile.
func (w *writer) indexByAbout(ctx context.Context) error {
	if !w.building || w.indexed {
		return nil
	}
	w.indexed = true
	_, err := w.conn.ExecContext(ctx, byAbout)
	return err
}

func (w *writer) insertRequest(ctx context.Context, e Event, which key, r *folded) (err error) {
	intent := r.state.Intent
	if r.subscription, err = w.subscription(ctx, which.tenant, intent.GetSubscriptionId()); err != nil {
		return err
	}
	r.about = int64(e.Sequence) // #nosec G115 -- a stream never holds as many events
	w.places.Put(which, r.place)
	r.written = r.row()
	if err := w.insert(ctx, "requests",
		r.about, r.tenant, which.id, r.subscription, r.state.TicketID, int64(r.written.status), r.written.due,
		r.written.last, r.written.waived, r.state.Tool, intent.GetResourceType(), principalOf(r.state.Requester),
		emergency(intent), r.written.times.asked, r.written.times.decided, r.written.times.began,
		r.written.times.over); err != nil {
		return err
	}
	var words string
	r.engineer, words = wordsOf(r.state)
	w.counted = append(w.counted, r.counted())
	if err := w.insert(ctx, "words", r.about, r.engineer, words); err != nil {
		return err
	}
	for _, id := range intent.GetResourceIds() {
		if err := w.insert(ctx, "resources", resource.Canonical(id), which.tenant, r.about); err != nil {
			return err
		}
	}
	if p := r.state.Requester.GetPerson(); p != nil {
		return w.insert(ctx, "audience", Person(p), r.about)
	}
	return nil
}

func emergency(in *lockboxv1.AccessIntent) int64 {
	if in.GetEmergency() {
		return 1
	}
	return 0
}

// principalOf returns the principal of the person who acted; empty if it was none.
func principalOf(a *lockboxv1.Actor) string {
	if a.GetPerson() == nil {
		return ""
	}
	return Person(a.GetPerson())
}

// wordsOf returns what people find a request by, in lower case: who asks, and everything that it names.
func wordsOf(s request.State) (engineer, words string) {
	p, in := s.Requester.GetPerson(), s.Intent
	engineer = strings.Join([]string{p.GetDisplayName(), p.GetEmail(), p.GetSubject()}, "\n")
	words = strings.Join(append([]string{engineer, s.ID, in.GetTicketId(), in.GetResourceType(), in.GetScenario()},
		in.GetResourceIds()...), "\n")
	return strings.ToLower(engineer), strings.ToLower(words)
}

// writeRequests updates the rows of changed requests in stream order.
func (w *writer) writeRequests(ctx context.Context) error {
	changed := slices.SortedFunc(maps.Values(w.dirty), func(a, b *folded) int { return cmp.Compare(a.about, b.about) })
	clear(w.dirty)
	for _, r := range changed {
		if now := r.row(); now != r.written {
			if err := w.exec(ctx, `UPDATE requests SET status = ?, due = ?, last = ?, waived = ?, asked = ?, decided = ?,
				began = ?, over = ? WHERE seq = ?`, int64(now.status), now.due, now.last, now.waived, now.times.asked,
				now.times.decided, now.times.began, now.times.over, r.about); err != nil {
				return err
			}
			r.written = now
			w.counted = append(w.counted, r.counted())
		}
		if err := w.wait(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// wait writes the principals whose decision a request awaits, if they have changed.
func (w *writer) wait(ctx context.Context, r *folded) error {
	wanted := waitingFor(r.state)
	if slices.Equal(r.waiting, wanted) {
		return nil
	}
	if len(r.waiting) > 0 {
		if err := w.exec(ctx, "DELETE FROM waiting WHERE request = ?", r.about); err != nil {
			return err
		}
	}
	r.waiting = wanted
	for _, principal := range wanted {
		if err := w.exec(ctx, "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?, ?)", principal, r.about, r.tenant,
			r.subscription); err != nil {
			return err
		}
	}
	return nil
}

// waitingFor lists the principals whose decision a request awaits.
func waitingFor(s request.State) []string {
	switch {
	case s.Fault != nil:
		return nil
	case s.Status == request.AwaitingInternalApproval:
		stage, _ := s.Stage()
		return []string{Group(stage.GetGroup())}
	case s.Status != request.CustomerNotified:
		return nil
	}
	var people []string
	for _, a := range s.Notified.GetApprovers() {
		if !slices.ContainsFunc(s.CustomerDecisions, func(d *lockboxv1.Decision) bool {
			return tenant.SamePerson(d.GetActor().GetPerson(), a.GetPerson())
		}) {
			people = append(people, Person(a.GetPerson()))
		}
	}
	return people
}

// deadline returns when the request's status ends automatically, in nanoseconds since 1970; 0 for never.
func deadline(s request.State) int64 {
	if s.Fault != nil {
		return 0
	}
	if at := Deadline(s); at != nil {
		return nanoseconds(at.GetSeconds(), int(at.GetNanos()))
	}
	return 0
}

// waivedAt returns when access began for which the customer was not asked, in nanoseconds since 1970; 0 if none did.
func waivedAt(s request.State) int64 {
	if s.Grant.GetWaiver() == lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		return 0
	}
	return nanoseconds(s.Grant.GetStartsAt().GetSeconds(), int(s.Grant.GetStartsAt().GetNanos()))
}

// Deadline returns when the request's status ends automatically, recorded or not; nil for never. Reminders do not
// count.
func Deadline(s request.State) *timestamppb.Timestamp {
	switch s.Status {
	case request.AwaitingInternalApproval:
		return timestamppb.New(s.InternalDeadline())
	case request.CustomerNotified:
		return s.Notified.GetExpiresAt()
	case request.Active:
		return s.Grant.GetEndsAt()
	default:
		return nil // no deadline in this state
	}
}

// Overdue returns what a status becomes at its deadline, before that is recorded.
func Overdue(s request.Status) request.Status {
	switch s {
	case request.AwaitingInternalApproval:
		return request.InternalExpired
	case request.CustomerNotified:
		return request.Expired
	case request.Active:
		return request.Completed
	default:
		return s
	}
}

// eachEvent reads rows of sequence and bytes, and closes them.
func (w *writer) eachEvent(
	ctx context.Context, rows *sql.Rows, handle func(seq uint64, e *lockboxv1.Event),
) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq uint64
		var data []byte
		if err := rows.Scan(&seq, &data); err != nil {
			return err
		}
		e, err := decoded(ctx, w.details, data)
		if err != nil {
			return err
		}
		handle(seq, e)
	}
	return rows.Err()
}
