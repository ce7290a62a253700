package projector

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"
)

// run is a follower at work.
type run struct {
	t      *testing.T
	log    *observer.ObservedLogs
	served chan *projection.Store // each time it begins to answer
	ended  chan error
	stop   context.CancelFunc

	mu     sync.Mutex
	alarms []string
	hints  [][]string
	built  [][2]uint64 // how far, of how many
}

func start(t *testing.T, dir string, source Source, change ...func(*follower)) *run {
	t.Helper()
	core, log := observer.New(zap.InfoLevel)
	r := &run{t: t, log: log, served: make(chan *projection.Store, 10), ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	f := &follower{
		dir: dir, source: source, log: zap.New(core),
		alarm: func(what string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.alarms = append(r.alarms, what)
		},
		serve: func(_ context.Context, store *projection.Store) (func() error, error) {
			r.served <- store
			return func() error { return nil }, nil
		},
		changed: func(tenants []string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.hints = append(r.hints, tenants)
		},
		building: func(done, of uint64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.built = append(r.built, [2]uint64{done, of})
		},
	}
	for _, c := range change {
		c(f)
	}
	go func() { r.ended <- f.run(ctx) }()
	return r
}

// store waits until it answers.
func (r *run) store() *projection.Store {
	r.t.Helper()
	select {
	case s := <-r.served:
		return s
	case err := <-r.ended:
		r.t.Fatalf("it ended: %v", err)
	case <-time.After(time.Minute):
		r.t.Fatal("it does not answer")
	}
	return nil
}

func (r *run) end() {
	r.t.Helper()
	r.stop()
	must(r.t, <-r.ended)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// log is everything that a projection holds, newest first.
func contents(t *testing.T, s *projection.Store) [][]byte {
	t.Helper()
	v, err := s.Snapshot(t.Context())
	must(t, err)
	events, err := v.Activities(t.Context(), projection.Scope{All: true}, projection.ActivityFilter{}, 1_000_000)
	must(t, errors.Join(err, v.Close()))
	all := make([][]byte, len(events))
	for i, e := range events {
		all[i] = e.Bytes
	}
	return all
}

func holds(t *testing.T, s *projection.Store, entries []journal.Entry) {
	t.Helper()
	must(t, s.Wait(t.Context(), uint64(len(entries))))
	got := contents(t, s)
	if len(got) != len(entries) {
		t.Fatalf("it holds %d events of %d", len(got), len(entries))
	}
	for i, e := range slices.Backward(entries) {
		if !bytes.Equal(got[len(entries)-1-i], e.Data) {
			t.Fatalf("event %d is another one", i+1)
		}
	}
}

// Whoever waits for a new projection hears how far it is, and that it is complete; of what comes later nobody hears so.
func TestItSaysHowFarABuildingIs(t *testing.T) {
	t.Parallel()
	entries := story.Crowd(400).Entries
	n := uint64(len(entries) - 1)
	stream := &story.Stream{Entries: entries[:n], More: make(chan journal.Entry)}
	r := start(t, t.TempDir(), stream)
	s := r.store()
	stream.More <- entries[n]
	holds(t, s, entries)
	r.end()
	if len(r.built) < 2 || r.built[len(r.built)-1] != [2]uint64{n, n} ||
		!slices.IsSortedFunc(r.built, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) }) {
		t.Errorf("it says %v of %d", r.built, n)
	}
}

func TestItGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	entries, dir := story.Crowd(20).Entries, t.TempDir()
	stream := &story.Stream{Entries: entries[:100], More: make(chan journal.Entry)}
	r := start(t, dir, stream)
	s := r.store()
	for _, e := range entries[100:150] {
		stream.More <- e
	}
	holds(t, s, entries[:150])
	r.end()

	r = start(t, dir, &story.Stream{Entries: entries})
	holds(t, r.store(), entries)
	if from := r.log.FilterMessage("following").All()[0].ContextMap()["from"]; from != uint64(151) {
		t.Errorf("it went on at %v", from)
	}
	r.end()
}

// A projection of another stream than ours is thrown away, and what is built anew is the same as ever.
func TestItIsBuiltAnewWhenItDoesNotFitTheStream(t *testing.T) {
	t.Parallel()
	entries := story.Crowd(20).Entries
	foreign := func(at int) []journal.Entry {
		e := proto.CloneOf(entries[at].Event)
		e.TraceParent = "00-another-01"
		data, err := proto.Marshal(e)
		must(t, err)
		other := slices.Clone(entries)
		other[at].Event, other[at].Data = e, data
		return other
	}
	file := func(dir string) string { return filepath.Join(dir, "projection.db") }
	for name, row := range map[string]struct {
		stream []journal.Entry
		spoil  func(dir string) error
		warned bool
	}{
		"as it was": {entries, func(string) error { return nil }, false},
		"missing":   {entries, func(dir string) error { return os.Remove(file(dir)) }, false},
		"truncated": {entries, func(dir string) error { return os.Truncate(file(dir), 50_000) }, true},
		"garbage": {entries,
			func(dir string) error { return os.WriteFile(file(dir), bytes.Repeat([]byte("x"), 99_999), 0o600) }, true},
		"a stream that is shorter":       {entries[:len(entries)-1], func(string) error { return nil }, true},
		"a stream that begins anew":      {foreign(0), func(string) error { return nil }, true},
		"a stream that ends otherwise":   {foreign(len(entries) - 1), func(string) error { return nil }, true},
		"a stream that has become empty": {nil, func(string) error { return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, dir, &story.Stream{Entries: entries})
			holds(t, r.store(), entries)
			r.end()
			must(t, row.spoil(dir))
			r = start(t, dir, &story.Stream{Entries: row.stream})
			holds(t, r.store(), row.stream)
			r.end()
			if warned := r.log.FilterMessage("the projection is thrown away and made again").Len() > 0; warned != row.warned {
				t.Errorf("told in the log: %v", warned)
			}
		})
	}
}

func TestDamageFoundWhileAnsweringIsMended(t *testing.T) {
	t.Parallel()
	entries, dir := story.Crowd(200).Entries, t.TempDir()
	r := start(t, dir, &story.Stream{Entries: entries})
	holds(t, r.store(), entries)
	r.end()
	path := filepath.Join(dir, "projection.db")
	info, err := os.Stat(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	// Most pages, but neither the first, where the schema is, nor the last, where the newest events are.
	for at := int64(30 * 4096); at < info.Size()*3/4; at += 4096 {
		_, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 100), at)
		must(t, err)
	}
	must(t, f.Close())
	r = start(t, dir, &story.Stream{Entries: entries})
	s := r.store()
	if r.log.FilterMessage("the projection is thrown away and made again").Len() == 0 {
		s = r.store() // the first could be opened, and was found out afterwards
		if !slices.Contains(r.alarms, alarmDamage) {
			t.Errorf("alarms: %v", r.alarms)
		}
	}
	holds(t, s, entries)
	r.end()
}

// An event of a type that this version does not know stops everything; what came before it is there.
func TestAnEventOfAnUnknownTypeStopsIt(t *testing.T) {
	t.Parallel()
	entries, dir := story.Crowd(20).Entries, t.TempDir()
	unknown := fmt.Errorf("journal: event 51: %w", input.ErrUnknownFact)
	stream := &story.Stream{Entries: entries[:50], Failure: unknown}
	f := start(t, dir, stream)
	if err := <-f.ended; !errors.Is(err, input.ErrUnknownFact) {
		t.Fatalf("it ended with %v", err)
	}
	if !slices.Equal(f.alarms, []string{alarmUnknownFact}) {
		t.Errorf("alarms: %v", f.alarms)
	}
	if errors := f.log.FilterLevelExact(zap.ErrorLevel).All(); len(errors) != 1 {
		t.Errorf("the log: %v", errors)
	}
	stream.Failure, stream.Entries = nil, entries // a newer version
	r := start(t, dir, stream)
	holds(t, r.store(), entries)
	if from := r.log.FilterMessage("following").All()[0].ContextMap()["from"]; from != uint64(51) {
		t.Errorf("it went on at %v", from)
	}
	r.end()
}

func TestAStreamThatContradictsItselfStopsIt(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), &story.Stream{Failure: &journal.CorruptError{Seq: 1, Rule: "no sequence is missing"}})
	var corrupt *journal.CorruptError
	if err := <-r.ended; !errors.As(err, &corrupt) {
		t.Errorf("it ended with %v", err)
	}
	if !slices.Equal(r.alarms, []string{alarmCorruptStream}) {
		t.Errorf("alarms: %v", r.alarms)
	}
}

func TestAContradictionIsAnAlarm(t *testing.T) {
	t.Parallel()
	st := story.Crowd(1)
	e := proto.CloneOf(st.Entries[len(st.Entries)-1].Event)
	e.Kind, e.AggregateId, e.ReportKey, e.Version = "request", st.ID(), "", 1
	e.Fact = &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}
	st.Write(e)
	r := start(t, t.TempDir(), &story.Stream{Entries: st.Entries})
	holds(t, r.store(), st.Entries)
	r.end()
	if !slices.Equal(r.alarms, []string{alarmContradiction}) {
		t.Errorf("alarms: %v", r.alarms)
	}
}

// Nothing is hinted at before it is in the answers, each tenant once, and an untold disclosure not at all (R46).
func TestWhatIsHintedAt(t *testing.T) {
	t.Parallel()
	st := story.Crowd(2)
	told := len(st.Entries)
	stream := &story.Stream{Entries: slices.Clone(st.Entries), More: make(chan journal.Entry)}
	r := start(t, t.TempDir(), stream)
	s := r.store()
	officer, admin := story.Provider("olga", "security-officers"), story.Customer("sakura", "admin")
	var exposure, demand string
	for _, row := range []struct {
		what string
		tell func()
		want []string
	}{
		{"a request of the bank's", func() {
			st.Submit(story.Provider("erin", "support-engineers"), story.Dump("meadowbank", "sub-01", "a"))
		}, []string{"meadowbank"}},
		{"a setting of the other's", func() {
			st.Assign(admin, "sakura", "", "new", story.Customer("sakura", "new"), lockboxv1.Role_ROLE_AUDITOR, false)
		}, []string{"sakura"}},
		{"a mail about a request", func() { st.Mail("meadowbank", st.ID(), "owner@meadowbank.example") },
			[]string{"meadowbank"}},
		{"an exposure", func() { exposure = st.Disclose(officer, "meadowbank", "a capture", 0) }, nil},
		{"a legal demand", func() { demand = st.Disclose(officer, "meadowbank", "mails", time.Hour) }, nil},
		{"the telling of the exposure", func() { st.Owed(aggregate.Disclosure("meadowbank", exposure)) },
			[]string{"meadowbank"}},
		{"before the end of the embargo", func() { st.Owed(aggregate.Disclosure("meadowbank", demand)) }, nil},
		{"the telling of the demand", func() {
			st.Now = st.Now.Add(time.Hour)
			st.Owed(aggregate.Disclosure("meadowbank", demand))
		}, []string{"meadowbank"}},
	} {
		row.tell()
		for _, e := range st.Entries[told:] {
			stream.More <- e
		}
		told = len(st.Entries)
		must(t, s.Wait(t.Context(), uint64(told)))
		r.expectHints(row.what, row.want)
	}
	r.end()
	batch := []projection.Event{
		{Event: &lockboxv1.Event{Tenant: "a", Kind: "request"}}, {Event: &lockboxv1.Event{Tenant: "_", Kind: "policy"}},
		{Event: &lockboxv1.Event{Tenant: "a", Kind: "delivery"}},
		{Event: &lockboxv1.Event{Tenant: "b", Kind: "disclosure", Fact: &lockboxv1.Event_ExposureDisclosed{}}},
		{Event: &lockboxv1.Event{Tenant: "c", Kind: "disclosure", Fact: &lockboxv1.Event_LegalDemandDisclosed{}}},
	}
	if got := touched(batch); !slices.Equal(got, []string{"a", "_"}) {
		t.Errorf("of one batch: %v", got)
	}
}

// expectHints takes the hints that were given since.
func (r *run) expectHints(what string, want []string) {
	r.t.Helper()
	for giveUp := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got := slices.Concat(r.hints...)
		r.mu.Unlock()
		slices.Sort(got)
		switch got = slices.Compact(got); {
		case slices.Equal(got, want) && len(want) > 0, len(want) == 0 && len(got) == 0:
		case len(got) < len(want) && time.Now().Before(giveUp):
			continue // it is given after the commit
		default:
			r.t.Errorf("%s: hints at %v, want %v", what, got, want)
		}
		r.mu.Lock()
		r.hints = nil
		r.mu.Unlock()
		return
	}
}

func TestADirectoryThatCannotBeUsedIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	r := start(t, file, &story.Stream{})
	if err := <-r.ended; err == nil {
		t.Error("a file was taken for a directory")
	}
}

// What is new is committed at once; what is known to be followed by more waits a little for it.
func TestBatches(t *testing.T) {
	t.Parallel()
	event := func(more bool) received { return received{projection.Event{Sequence: 1}, more} }
	for name, row := range map[string]struct {
		sent  []received
		close bool
		want  int
		after time.Duration
	}{
		"the newest":              {[]received{event(false)}, false, 1, 0},
		"several, then no more":   {[]received{event(true), event(true), event(false)}, false, 3, 0},
		"read ahead already":      {[]received{event(false), event(false)}, false, 2, 0},
		"more that does not come": {[]received{event(true), event(true)}, false, 2, batchTime},
		"the end":                 {[]received{event(true)}, true, 1, 0},
		"very many":               {slices.Repeat([]received{event(true)}, batchSize+5), false, batchSize, 0},
		"none":                    {nil, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := make(chan received, waitingEvents)
				for _, e := range row.sent {
					events <- e
				}
				if row.close {
					close(events)
				}
				begun := time.Now()
				if got := len(collect(events)); got != row.want || time.Since(begun) != row.after {
					t.Errorf("%d after %v, want %d after %v", got, time.Since(begun), row.want, row.after)
				}
			})
		})
	}
}
