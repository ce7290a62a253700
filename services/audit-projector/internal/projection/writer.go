package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

const (
	// rowsAtOnce is the number of rows per INSERT statement.
	rowsAtOnce = 32
	// Size of the cache of requests and tickets between events; it holds at most twice as many.
	rememberedStates = 1024
	rememberedPlaces = 32768
	// unwritten is the number of changed requests held back while a projection is built.
	unwritten        = 4096
	rememberedPeople = 16384
)

// Event is an event with its position in the stream.
type Event struct {
	Sequence uint64
	// Bytes is the event as stored.
	Bytes []byte
	// Event is nil for a message that cannot be an event. Its bytes are kept, to compare them; no question finds it.
	Event *lockboxv1.Event
}

// writer writes events in stream order on one connection.
type writer struct {
	conn          *sql.Conn
	log           *zap.Logger
	details       Details
	contradiction func(*lockboxv1.Event)
	statements    map[string]*statement

	known
	// building reports whether the projection is new and has no readers yet.
	building bool
	// indexed reports whether a new projection has its first index.
	indexed bool
	buffers map[string]*buffer // rows not yet inserted, by table

	tenants, subscriptions, people *dictionary
	places                         *cache.Cache[key, place]
	states                         *cache.Cache[key, *folded]
	dirty                          map[key]*folded // requests whose rows are behind
	counted                        []counted       // what this batch changes in the tally
	tally                          *tally
	hours                          map[int64]hour // touched by this batch

	// published customers are shared with readers; owned ones have been copied since, and may be changed.
	published bool
	owned     map[string]bool

	// later is what a new projection still has to forget once it has its indexes; forgot: something is forgotten in this
	// batch; uncut: what was forgotten may be in the file's log of changes.
	later         []erased
	forgot, uncut bool
	// quiet: what contradicts its history is not said again.
	quiet bool
}

// key identifies a request or ticket.
type key struct {
	table  string
	tenant int64
	id     string
}

// place is the position of a request or ticket in the projection.
type place struct{ about, subscription int64 }

type hour struct{ first, last uint64 }

func newWriter(
	ctx context.Context, s *Store, building bool, contradiction func(*lockboxv1.Event),
) (*writer, error) {
	conn, err := s.writing.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		conn: conn, building: building, log: s.log, details: s.details, contradiction: contradiction,
		statements: map[string]*statement{},
		places:     cache.New[key, place](rememberedPlaces), states: cache.New[key, *folded](rememberedStates),
		dirty: map[key]*folded{},
		hours: map[int64]hour{}, buffers: map[string]*buffer{}, known: known{customers: map[string]*Customer{}},
		owned: map[string]bool{}, tally: s.tally,
	}
	if contradiction == nil {
		w.contradiction = func(*lockboxv1.Event) {}
	}
	w.tenants = newDictionary(w, math.MaxInt,
		"SELECT id FROM tenants WHERE name = ?", "INSERT INTO tenants (name) VALUES (?)")
	w.subscriptions = newDictionary(w, math.MaxInt,
		"SELECT id FROM subscriptions WHERE tenant = ? AND name = ?",
		"INSERT INTO subscriptions (tenant, name) VALUES (?, ?)")
	w.people = newDictionary(w, rememberedPeople,
		"SELECT id FROM people WHERE issuer = ? AND subject = ? AND name = ? AND email = ?",
		"INSERT INTO people (issuer, subject, name, email) VALUES (?, ?, ?, ?)")
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// A projection that is being built is of no use before it is complete, so it needs no protection from a crash. What is
// deleted is overwritten.
const (
	careless = "PRAGMA secure_delete = ON; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; " +
		"PRAGMA cache_size = -32000"
	careful = "PRAGMA secure_delete = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; " +
		"PRAGMA cache_size = -16000; PRAGMA shrink_memory"
)

func (w *writer) start(ctx context.Context) error {
	if w.building {
		_, err := w.conn.ExecContext(ctx, careless)
		return err
	}
	if _, err := w.conn.ExecContext(ctx, careful); err != nil {
		return err
	}
	return w.resume(ctx)
}

// finish writes what was held back, and creates the indexes.
func (w *writer) finish(ctx context.Context) error {
	if err := w.writeRequests(ctx); err != nil {
		return err
	}
	w.count()
	if _, err := w.conn.ExecContext(ctx, indexes); err != nil {
		return err
	}
	return w.forgetLater(ctx)
}

// release ends the build once everything is safely on disk.
func (w *writer) release(ctx context.Context) error {
	if _, err := w.conn.ExecContext(ctx, careful); err != nil {
		return err
	}
	w.building = false
	return w.exec(ctx, "PRAGMA user_version = "+strconv.FormatInt(schemaVersion(), 10))
}

// resume reads the cursor and rebuilds what is held in memory.
func (w *writer) resume(ctx context.Context) error {
	if err := w.conn.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM stored").Scan(&w.sequence); err != nil {
		return err
	}
	rows, err := w.conn.QueryContext(ctx,
		"SELECT seq, bytes FROM events JOIN stored USING (seq) WHERE kind IN ('tenant', 'subscription', 'policy', 'keys') ORDER BY seq")
	if err != nil {
		return err
	}
	return w.eachEvent(ctx, rows, w.remember)
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.prepared.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// statement is prepared once and closed together with its cache.
type statement struct{ prepared *sql.Stmt }

func (w *writer) statement(ctx context.Context, text string) (*statement, error) {
	if s, ok := w.statements[text]; ok {
		return s, nil
	}
	prepared, err := w.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	w.statements[text] = &statement{prepared}
	return w.statements[text], nil
}

func (w *writer) exec(ctx context.Context, text string, args ...any) error {
	s, err := w.statement(ctx, text)
	if err == nil {
		_, err = s.prepared.ExecContext(ctx, args...)
	}
	return err
}

// first reads a single row; false if there is none.
func (w *writer) first(ctx context.Context, text string, args []any, into ...any) (bool, error) {
	s, err := w.statement(ctx, text)
	if err != nil {
		return false, err
	}
	err = s.prepared.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// apply writes a batch into a transaction, which commit ends.
func (w *writer) apply(ctx context.Context, batch []Event) error {
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, e := range batch {
		if e.Sequence <= w.sequence {
			return fmt.Errorf("projection: event %d comes after %d", e.Sequence, w.sequence)
		}
		if err := w.one(ctx, e); err != nil {
			return fmt.Errorf("projection: event %d: %w", e.Sequence, err)
		}
		w.sequence = e.Sequence
	}
	for h, of := range w.hours {
		if err := w.exec(ctx, "INSERT INTO hours VALUES (?, ?, ?) ON CONFLICT (hour) DO UPDATE SET last = excluded.last", h,
			of.first, of.last); err != nil {
			return err
		}
	}
	clear(w.hours)
	if err := w.flush(ctx); err != nil || w.building && len(w.dirty) < unwritten {
		return err
	}
	return w.writeRequests(ctx)
}

func (w *writer) commit(ctx context.Context) error {
	err := w.exec(ctx, "COMMIT")
	if err == nil {
		w.count()
	}
	return err
}

// count has what is written counted, too.
func (w *writer) count() {
	w.tally.putAll(w.counted)
	w.counted = w.counted[:0]
}

// publish returns the current state for readers, which is immutable from then on.
func (w *writer) publish() known {
	clear(w.owned)
	w.published = true
	return w.known
}

// one writes one event and its consequences.
func (w *writer) one(ctx context.Context, e Event) error {
	if e.Event == nil {
		return w.insert(ctx, "stored", e.Sequence, e.Bytes)
	}
	fact := e.Event.ProtoReflect().WhichOneof(factOneof)
	if fact == nil {
		return input.ErrUnknownFact
	}
	tenantID, err := w.tenants.id(ctx, e.Event.GetTenant())
	if err != nil {
		return err
	}
	at, err := w.place(ctx, e, tenantID)
	if err != nil {
		return err
	}
	person, err := w.person(ctx, e.Event.GetActor().GetPerson())
	if err != nil {
		return err
	}
	when := nanoseconds(e.Event.GetTime().GetSeconds(), int(e.Event.GetTime().GetNanos()))
	h := when / int64(time.Hour)
	if of, touched := w.hours[h]; touched {
		w.hours[h] = hour{of.first, e.Sequence}
	} else {
		w.hours[h] = hour{e.Sequence, e.Sequence}
	}
	return errors.Join(
		w.insert(ctx, "events", e.Sequence, tenantID, e.Event.GetKind(), int64(fact.Number()), when, person, at.about,
			at.subscription),
		w.insert(ctx, "stored", e.Sequence, e.Bytes))
}

// buffer collects rows of a table, because one statement for many rows is faster.
type buffer struct {
	one, many string
	width     int
	values    []any
}

// insert adds a row to a table, at the latest with the next flush.
func (w *writer) insert(ctx context.Context, table string, values ...any) error {
	b, known := w.buffers[table]
	if !known {
		row := "(" + marks(len(values)) + ")"
		one := "INSERT INTO " + table + " VALUES " + row
		b = &buffer{one: one, many: one + strings.Repeat(","+row, rowsAtOnce-1), width: len(values)}
		w.buffers[table] = b
	}
	b.values = append(b.values, values...)
	if len(b.values) < rowsAtOnce*b.width {
		return nil
	}
	err := w.exec(ctx, b.many, b.values...)
	b.values = b.values[:0]
	return err
}

// flush inserts the buffered rows.
func (w *writer) flush(ctx context.Context) error {
	for _, b := range w.buffers {
		for v := b.values; len(v) > 0; v = v[b.width:] {
			if err := w.exec(ctx, b.one, v[:b.width]...); err != nil {
				return err
			}
		}
		b.values = b.values[:0]
	}
	return nil
}

// place writes what an event changes besides the log, and returns the position that it belongs to.
func (w *writer) place(ctx context.Context, e Event, tenantID int64) (place, error) {
	concern := activity.Concerned(e.Event)
	switch e.Event.GetKind() {
	case aggregate.KindRequest:
		return w.request(ctx, e, tenantID)
	case aggregate.KindTicket:
		return w.ticket(ctx, e, tenantID, concern)
	case aggregate.KindDisclosure:
		return w.disclosure(ctx, e, tenantID)
	case aggregate.KindErasure:
		return w.erasure(ctx, e, tenantID)
	case aggregate.KindPolicy, aggregate.KindKeys:
		w.remember(e.Sequence, e.Event)
		return place{}, nil
	case aggregate.KindTenant, aggregate.KindSubscription:
		w.remember(e.Sequence, e.Event)
		id, err := w.subscription(ctx, tenantID, concern.SubscriptionID)
		return place{0, id}, err
	}
	if concern.RequestID == "" {
		return place{}, nil
	}
	at, _, err := w.find(ctx, "requests", tenantID, concern.RequestID)
	return at, err
}

// find looks up a request or ticket.
func (w *writer) find(ctx context.Context, table string, tenantID int64, id string) (at place, found bool, err error) {
	which := key{table, tenantID, id}
	if at, found = w.places.Get(which); found {
		return at, true, nil
	}
	found, err = w.first(ctx, "SELECT seq, subscription FROM "+table+" WHERE id = ? AND tenant = ?", []any{id, tenantID},
		&at.about, &at.subscription)
	if found {
		w.places.Put(which, at)
	}
	return at, found, err
}

func (w *writer) ticket(ctx context.Context, e Event, tenantID int64, concern activity.Concern) (place, error) {
	id := e.Event.GetAggregateId()
	at, found, err := w.find(ctx, "tickets", tenantID, id)
	if err != nil || found {
		return at, err
	}
	if at.subscription, err = w.subscription(ctx, tenantID, concern.SubscriptionID); err != nil {
		return place{}, err
	}
	at.about = int64(e.Sequence) // #nosec G115 -- a stream never holds as many events
	w.places.Put(key{"tickets", tenantID, id}, at)
	return at, w.insert(ctx, "tickets", at.about, tenantID, id, at.subscription, Person(e.Event.GetActor().GetPerson()),
		aggregate.FoldReference(ticket.Reference(e.Event)))
}

// remember applies an event to what is held in memory.
func (w *writer) remember(seq uint64, e *lockboxv1.Event) {
	switch {
	case e.GetKind() != aggregate.KindPolicy:
		w.customer(seq, e)
	case aggregate.KeyOf(e) == aggregate.Catalogue:
		w.catalogue = evolved(w, w.catalogue, seq, e, policy.Evolve)
	}
}

// checkFault raises the alarm about an aggregate's first event that contradicts its history.
func (w *writer) checkFault(faulty bool, seq uint64, e *lockboxv1.Event) {
	if !faulty || w.quiet {
		return
	}
	w.contradiction(e)
	w.log.Error("ALARM: inconsistent history; no more decisions are based on it",
		observe.AboutEvent(e, zap.Uint64("sequence", seq))...)
}

func (w *writer) subscription(ctx context.Context, tenantID int64, id string) (int64, error) {
	if id == "" {
		return 0, nil
	}
	return w.subscriptions.id(ctx, strconv.FormatInt(tenantID, 10), id)
}

func (w *writer) person(ctx context.Context, p *lockboxv1.Person) (int64, error) {
	if p == nil {
		return 0, nil
	}
	names := activity.Names(p)
	return w.people.id(ctx, p.GetIssuer(), names[0], names[1], names[2])
}

var factOneof = (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact")

// nanoseconds since 1970, saturating for times out of range.
func nanoseconds(seconds int64, nanos int) int64 {
	const most = math.MaxInt64/int64(time.Second) - 1
	return max(-most, min(most, seconds))*int64(time.Second) + int64(nanos)
}

// dictionary assigns numbers to the names in the stream.
type dictionary struct {
	w            *writer
	find, insert string
	known        *cache.Cache[[4]string, int64]
}

func newDictionary(w *writer, remembered int, find, insert string) *dictionary {
	return &dictionary{w, find, insert, cache.New[[4]string, int64](remembered)}
}

// id returns the number of a name of up to four parts, which are the parameters of the statements.
func (d *dictionary) id(ctx context.Context, parts ...string) (int64, error) {
	var name [4]string
	copy(name[:], parts)
	if id, known := d.known.Get(name); known {
		return id, nil
	}
	var id int64
	found, err := d.w.first(ctx, d.find, texts(parts), &id)
	if err == nil && !found {
		_, err = d.w.first(ctx, d.insert+" RETURNING id", texts(parts), &id)
	}
	if err == nil {
		d.known.Put(name, id)
	}
	return id, err
}
