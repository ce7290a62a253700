package projection_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

var some = sync.OnceValue(func() []projection.Event { return asEvents(story.Crowd(60).Entries) })

func asEvents(entries []journal.Entry) []projection.Event {
	events := make([]projection.Event, len(entries))
	for i, e := range entries {
		events[i] = projection.Event{Sequence: e.Seq, Bytes: e.Data, Event: e.Event}
	}
	return events
}

func open(t *testing.T, dir string) *projection.Store {
	t.Helper()
	s, err := projection.Open(t.Context(), dir, projection.Options{Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// built is a complete projection of events, closed when the test ends.
func built(t *testing.T, events []projection.Event) *projection.Store {
	t.Helper()
	s := open(t, t.TempDir())
	must(t, s.Apply(t.Context(), events))
	must(t, s.Complete(t.Context()))
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func snapshot(t *testing.T, s *projection.Store) *projection.Snapshot {
	t.Helper()
	v, err := s.Snapshot(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	return v
}

// dump is everything in the file, in an order of its own.
func dump(t *testing.T, dir string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "projection.db"))
	must(t, err)
	defer func() { must(t, db.Close()) }()
	var out strings.Builder
	for _, table := range column(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		names := column(t, db, "SELECT name FROM pragma_table_info('"+table+"')")
		quoted := "quote(" + strings.Join(names, ") || ' ' || quote(") + ")"
		rows := column(t, db, "SELECT "+quoted+" FROM "+table+" ORDER BY "+strings.Join(names, ", "))
		fmt.Fprintf(&out, "%s (%d)\n%s\n", table, len(rows), strings.Join(rows, "\n"))
	}
	fmt.Fprintln(&out, strings.Join(column(t, db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"),
		"\n"))
	return out.String()
}

func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	must(t, err)
	defer func() { must(t, rows.Close()) }()
	var list []string
	for rows.Next() {
		var s string
		must(t, rows.Scan(&s))
		list = append(list, s)
	}
	must(t, rows.Err())
	return list
}

// I8: however a stream is cut into batches, and however often the projection is closed in between.
func TestReplayingTwiceGivesTheSame(t *testing.T) {
	events := some()
	want := ""
	for name, row := range map[string]struct{ batch, complete, reopen int }{
		"at once":                        {len(events), len(events), 0},
		"one by one":                     {1, len(events), 0},
		"complete from the start":        {7, 0, 0},
		"closed and opened all the time": {13, 200, 4},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			batches := 0
			for batch := range slices.Chunk(events, row.batch) {
				if s.Sequence() >= uint64(row.complete) {
					must(t, s.Complete(t.Context()))
				}
				must(t, s.Apply(t.Context(), batch))
				if batches++; row.reopen > 0 && batches%row.reopen == 0 && !s.Building() {
					must(t, s.Close())
					s = open(t, dir)
				}
			}
			must(t, s.Complete(t.Context()))
			must(t, s.Close())
			got := dump(t, dir)
			if want == "" {
				want = got
			}
			if got != want {
				a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
				for i := range min(len(a), len(b)) {
					if a[i] != b[i] {
						t.Fatalf("line %d differs:\n%s\n%s", i, a[i], b[i])
					}
				}
				t.Fatalf("%d lines, and %d", len(a), len(b))
			}
		})
	}
}

func TestAProjectionThatCannotBeUsedIsMadeAgain(t *testing.T) {
	events := some()[:200]
	path := func(dir string) string { return filepath.Join(dir, "projection.db") }
	build := func(t *testing.T, dir string) {
		t.Helper()
		s := open(t, dir)
		if got := s.Sequence(); got != 0 || !s.Building() {
			t.Errorf("it is at %d, building: %v", got, s.Building())
		}
		must(t, s.Apply(t.Context(), events))
		must(t, s.Complete(t.Context()))
		must(t, s.Close())
	}
	first := t.TempDir()
	build(t, first)
	want := dump(t, first)
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"missing": func(t *testing.T, dir string) { must(t, os.Remove(path(dir))) },
		"empty":   func(t *testing.T, dir string) { must(t, os.Truncate(path(dir), 0)) },
		"garbage": func(t *testing.T, dir string) {
			must(t, os.WriteFile(path(dir), bytes.Repeat([]byte("garbage "), 5000), 0o600))
		},
		"its beginning overwritten": func(t *testing.T, dir string) {
			overwrite(t, path(dir), 0, bytes.Repeat([]byte{0}, 4096))
		},
		"truncated": func(t *testing.T, dir string) {
			info, err := os.Stat(path(dir))
			must(t, err)
			must(t, os.Truncate(path(dir), info.Size()/3))
		},
		"of another version": func(t *testing.T, dir string) {
			db, err := sql.Open("sqlite", "file:"+path(dir))
			must(t, err)
			_, err = db.Exec("PRAGMA user_version = 4711")
			must(t, errors.Join(err, db.Close()))
		},
		"somebody else's database": func(t *testing.T, dir string) {
			must(t, os.Remove(path(dir)))
			db, err := sql.Open("sqlite", "file:"+path(dir))
			must(t, err)
			_, err = db.Exec("CREATE TABLE events (seq INTEGER PRIMARY KEY)")
			must(t, errors.Join(err, db.Close()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			build(t, dir)
			spoil(t, dir)
			build(t, dir)
			if dump(t, dir) != want {
				t.Error("what was made again is not what a new one is")
			}
		})
	}
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(data, at)
	must(t, errors.Join(err, f.Close()))
}

func TestAProjectionThatWasNeverCompletedIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.Apply(t.Context(), some()))
	must(t, s.Close())
	s = open(t, dir)
	defer func() { must(t, s.Close()) }()
	if s.Sequence() != 0 {
		t.Errorf("it goes on at %d", s.Sequence())
	}
}

func TestDamageIsFoundByExaminingOrByAsking(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.Apply(t.Context(), some()))
	must(t, s.Complete(t.Context()))
	must(t, s.Close())
	info, err := os.Stat(filepath.Join(dir, "projection.db"))
	must(t, err)
	for at := int64(20 * 4096); at < info.Size()-10*4096; at += 4096 {
		overwrite(t, filepath.Join(dir, "projection.db"), at, bytes.Repeat([]byte{0xff}, 512))
	}
	s = open(t, dir)
	defer func() { must(t, s.Discard()) }()
	if s.Building() {
		return // opening met it already
	}
	if err := s.Examine(t.Context()); !errors.Is(err, projection.ErrUnusable) {
		t.Errorf("examining says %v", err)
	}
	select {
	case err := <-s.Damaged():
		if !errors.Is(err, projection.ErrUnusable) {
			t.Error(err)
		}
	default:
		t.Error("nobody is told")
	}
}

func TestWhatIsStoredIsHeldAgainstTheStream(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]projection.Event) []projection.Event
		broken bool
	}{
		"the same": {func(l []projection.Event) []projection.Event { return l }, false},
		"more in the stream": {func(l []projection.Event) []projection.Event {
			return append(l, projection.Event{Sequence: l[len(l)-1].Sequence + 1, Bytes: []byte("new")})
		}, false},
		"other bytes": {func(l []projection.Event) []projection.Event {
			l = slices.Clone(l) // other tests have the same events
			l[1].Bytes = append(bytes.Clone(l[1].Bytes), 0)
			return l
		}, true},
	} {
		s := open(t, t.TempDir())
		must(t, s.Apply(t.Context(), some()))
		must(t, s.Complete(t.Context()))
		compared, err := s.Compare(t.Context())
		must(t, err)
		var found error
		for _, e := range c.change(some()) {
			if found = compared.Next(e.Sequence, e.Bytes); found != nil {
				break
			}
		}
		must(t, compared.Close())
		if errors.Is(found, projection.ErrUnusable) != c.broken {
			t.Errorf("%s: %v", name, found)
		}
		must(t, s.Close())
	}
}

func TestTheFilesAreTheirOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	must(t, s.Apply(t.Context(), some()))
	must(t, s.Complete(t.Context()))
	v, err := s.Snapshot(t.Context())
	must(t, err)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if len(entries) < 3 {
		t.Errorf("only %v", entries)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	must(t, v.Close())
	must(t, s.Close())
}

func TestOneProcessHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := projection.Open(t.Context(), dir, projection.Options{Log: zaptest.NewLogger(t)}); err == nil ||
		!strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one: %v", err)
	}
	must(t, s.Close())
	s = open(t, dir)
	must(t, s.Close())
}

func TestNobodyReadsAProjectionThatIsBeingBuilt(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	must(t, s.Apply(t.Context(), some()[:10]))
	if _, err := s.Snapshot(t.Context()); err == nil {
		t.Error("it can be read")
	}
}

func TestASnapshotStaysAsItIs(t *testing.T) {
	events := some()
	s := open(t, t.TempDir())
	t.Cleanup(func() { must(t, s.Close()) }) // after the snapshots
	must(t, s.Complete(t.Context()))
	cut := slices.IndexFunc(events, func(e projection.Event) bool { return e.Event.GetAccessRequested() != nil })
	must(t, s.Apply(t.Context(), events[:cut]))
	before := snapshot(t, s)
	must(t, s.Apply(t.Context(), events[cut:]))
	all := projection.Scope{All: true}
	rows, err := before.Requests(t.Context(), all, projection.RequestFilter{}, time.Now(), 10)
	must(t, err)
	if len(rows) != 0 || before.Sequence() != uint64(cut) {
		t.Errorf("%d requests at %d", len(rows), before.Sequence())
	}
	rows, err = snapshot(t, s).Requests(t.Context(), all, projection.RequestFilter{}, time.Now(), 1000)
	must(t, err)
	if len(rows) != 60 {
		t.Errorf("%d requests afterwards", len(rows))
	}
}

// However many read, and wait for their turn, events are written.
func TestReadersKeepNobodyFromWriting(t *testing.T) {
	s := built(t, some()[:20])
	var open []*projection.Snapshot
	for range 8 {
		v, err := s.Snapshot(t.Context())
		must(t, err)
		open = append(open, v)
	}
	ninth := make(chan error)
	go func() {
		v, err := s.Snapshot(t.Context())
		if err == nil {
			err = v.Close()
		}
		ninth <- err
	}()
	for batch := range slices.Chunk(some()[20:40], 1) {
		must(t, s.Apply(t.Context(), batch))
	}
	for _, v := range open {
		must(t, v.Close())
	}
	must(t, <-ninth)
}

func TestWaiting(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	must(t, s.Apply(t.Context(), some()[:5]))
	must(t, s.Wait(t.Context(), 5))
	reached := make(chan error)
	go func() { reached <- s.Wait(t.Context(), 9) }()
	must(t, s.Apply(t.Context(), some()[5:8]))
	select {
	case err := <-reached:
		t.Fatalf("it waited for 9 only until 8: %v", err)
	default:
	}
	must(t, s.Apply(t.Context(), some()[8:9]))
	must(t, <-reached)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("in the end: %v", err)
	}
}

func TestEventsComeInTheOrderOfTheStream(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	must(t, s.Apply(t.Context(), some()[:5]))
	if err := s.Apply(t.Context(), some()[4:6]); err == nil {
		t.Error("an event was written twice")
	}
}

func TestAContradictionIsToldOnceAndShown(t *testing.T) {
	st := story.New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	grace := story.Customer("meadowbank", "grace")
	st.Create("meadowbank", "Meadow Bank", nil, grace)
	st.Subscription("meadowbank", "prod", "Production")
	id := st.Submit(story.Provider("erin", "support-engineers"), story.Dump("meadowbank", "prod", "vm"))
	e := proto.CloneOf(st.Entries[len(st.Entries)-1].Event)
	for range 2 {
		e.Version++
		e.Fact = &lockboxv1.Event_AccessCompleted{AccessCompleted: &lockboxv1.AccessCompleted{}} // access never began
		st.Write(proto.CloneOf(e))
	}
	told := 0
	s, err := projection.Open(t.Context(), t.TempDir(),
		projection.Options{Log: zaptest.NewLogger(t), Contradiction: func(*lockboxv1.Event) { told++ }})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) }) // after the snapshot
	must(t, s.Apply(t.Context(), asEvents(st.Entries)))
	must(t, s.Complete(t.Context()))
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	v := snapshot(t, s)
	rows, err := v.Requests(t.Context(), projection.Scope{All: true}, projection.RequestFilter{ID: id}, st.Now, 10)
	must(t, err)
	history, err := v.History(t.Context(), rows, false)
	must(t, err)
	var state request.State
	for _, e := range history[rows[0].Sequence] {
		state = request.Evolve(state, e.Sequence, e.Event)
	}
	if len(rows) != 1 || state.Fault == nil || len(history[rows[0].Sequence]) != 5 {
		t.Errorf("%d requests, fault %v, %d events", len(rows), state.Fault, len(history[rows[0].Sequence]))
	}
}

// Ten thousand requests, page by page, while new ones arrive.
func TestPagingThroughTenThousandRequests(t *testing.T) {
	const many, page = 10_000, 1000
	st := story.New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	// who may not: refused at once
	grace, erin := story.Customer("meadowbank", "grace"), story.Provider("erin", "onboarding")
	st.Create("meadowbank", "Meadow Bank", nil, grace)
	st.Subscription("meadowbank", "prod", "Production")
	submit := func(n int) []projection.Event {
		from := len(st.Entries)
		for range n {
			st.Submit(erin, story.Dump("meadowbank", "prod", "vm"))
		}
		return asEvents(st.Entries[from:])
	}
	first := asEvents(st.Entries)
	s := built(t, append(first, submit(many)...))
	f, seen, pages := projection.RequestFilter{Statuses: []request.Status{request.Refused}}, map[string]bool{}, 0
	for {
		v, err := s.Snapshot(t.Context())
		must(t, err)
		rows, err := v.Requests(t.Context(), projection.Scope{Tenant: "meadowbank", All: true}, f, st.Now, page)
		must(t, errors.Join(err, v.Close()))
		for _, r := range rows {
			if seen[r.ID] {
				t.Fatalf("page %d: %s again", pages, r.ID)
			}
			seen[r.ID], f.Before = true, r.Sequence
		}
		if len(rows) < page {
			break
		}
		pages++
		must(t, s.Apply(t.Context(), submit(1)))
	}
	if len(seen) != many || pages != many/page {
		t.Errorf("%d requests on %d pages", len(seen), pages)
	}
}
