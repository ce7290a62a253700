package stack_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/lockbox/internal/repair"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

// written is a Lockbox that was stopped after it had done something, and a request that waits in it for an approval.
type written struct {
	*lockbox
	waiting string
	// recorded is what a checkpoint covers.
	recorded []journal.Entry
	// checkpoint is the event of that checkpoint, as it is stored.
	checkpoint []byte
	// yesterday is a copy of the server's store from before the request.
	yesterday string
}

func write(t *testing.T) *written {
	t.Helper()
	w := &written{lockbox: start(t, request.DefaultTerms()), yesterday: t.TempDir()}
	for range 3 {
		id := w.requested(w.intent("erin"), request.CustomerNotified)
		w.does("otto", approve(id))
		w.reaches(id, request.Active)
	}
	w.signed()
	w.close()
	must(t, os.CopyFS(w.yesterday, os.DirFS(filepath.Join(w.config.Dir, "nats"))))
	w.open()
	w.waiting = w.requested(w.intent("erin"), request.CustomerNotified)
	w.signed()
	w.close()
	return w
}

// signed waits until everybody was told of everything, and a checkpoint covers all that was recorded.
func (w *written) signed() {
	w.Helper()
	notifier, err := bus.JetStream(w.connect(bus.Notifier))
	must(w, err)
	within(w.T, patience, "the notifier to have nothing left to do", func() bool {
		mails, err := notifier.Consumer(w.Context(), bus.StreamEvents, bus.DurableNotifier)
		must(w, err)
		return mails.CachedInfo().NumPending == 0 && mails.CachedInfo().NumAckPending == 0
	})
	w.recorded = w.history(journal.Replay{})
	last := uint64(0)
	for _, e := range w.recorded {
		if e.Event.GetCheckpointSigned() == nil { // for which alone nothing is signed
			last = e.Seq
		}
	}
	w.recorded = w.recorded[:last]
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		e, err := w.watch.Latest(w.Context(), aggregate.MerkleLog)
		must(w, err)
		if e.Event.GetCheckpointSigned().GetCoveredSequence() >= last {
			w.checkpoint = e.Data
			return
		}
		if time.Now().After(end) {
			w.Fatal("nothing is signed")
		}
	}
}

// alarms hears what the services say.
type alarms struct {
	zapcore.Core
	mu   *sync.Mutex
	said *bytes.Buffer
}

func (a alarms) With([]zapcore.Field) zapcore.Core { return a }
func (a alarms) Enabled(zapcore.Level) bool        { return true }
func (a alarms) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, a)
}
func (a alarms) Write(e zapcore.Entry, fields []zapcore.Field) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	_, err := fmt.Fprintf(a.said, "%s %v\n", e.Message, m.Fields)
	return err
}

func (a alarms) all() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said.String()
}

func (a alarms) heard(what string) bool { return strings.Contains(a.all(), what) }

// file finds the one file below dir that a pattern of its path matches.
func file(t *testing.T, dir, pattern string) string {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if ok, err := filepath.Match(pattern, filepath.Base(name)); err != nil || ok && strings.Contains(name, "EVENTS") {
			found = append(found, name)
			return err
		}
		return nil
	}))
	if len(found) != 1 {
		t.Fatalf("%s: %v", pattern, found)
	}
	return found[0]
}

func flip(t *testing.T, name string, share float64) {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	data[int(float64(len(data))*share)] ^= 0x10
	must(t, os.WriteFile(name, data, 0o600))
}

// flipText changes the last place where a file says something.
func flipText(t *testing.T, name, text string) {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	at := bytes.LastIndex(data, []byte(text))
	if at < 0 {
		t.Fatalf("%s does not say %q", name, text)
	}
	data[at] ^= 2
	must(t, os.WriteFile(name, data, 0o600))
}

// The projection is disposable: what is damaged is found and made again, and whoever asks gets what the stream says.
func TestADamagedProjectionIsMadeAgain(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	(&written{lockbox: l}).signed()
	asked := l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindRequest, ID: id})[0].Data
	l.close()
	name := filepath.Join(l.config.Dir, "projection", "projection.db")
	flipText(t, name, string(asked[:64]))
	heard := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Log = zap.New(heard)
	l.open()
	within(t, time.Minute, "the projection is made again",
		func() bool { return heard.heard("the projection is damaged; rebuilding it") })
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
}

// spoil overwrites the beginning of a file, if it is still there.
func spoil(name string) {
	if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteAt([]byte("spoilt"), 40)
		_ = f.Close()
	}
}

func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// Each is noticed at the next start, and nobody gets access meanwhile.
//
// control: nist:SI-7
func TestDamageIsAnAlarmAndNothingIsGranted(t *testing.T) {
	t.Parallel()
	w := write(t)
	block := func(dir string) string { return file(t, filepath.Join(dir, "nats"), "1.blk") }
	index := func(dir string) string { return file(t, filepath.Join(dir, "nats"), "index.db") }
	trees := func(dir string, path ...string) string {
		return filepath.Join(append([]string{dir, "projection", "trees"}, path...)...)
	}
	partial := func(dir string, path ...string) string {
		entries, err := os.ReadDir(trees(dir, path...))
		must(t, err)
		// Of several, the one that is in use: the widest.
		widest := slices.MaxFunc(entries, func(a, b os.DirEntry) int {
			return cmp.Or(cmp.Compare(len(a.Name()), len(b.Name())), strings.Compare(a.Name(), b.Name()))
		})
		return trees(dir, append(path, widest.Name())...)
	}
	lastSigned := w.recorded[len(w.recorded)-1].Data
	bankTile := []string{"tenants", bank, "tile"}
	for name, c := range map[string]struct {
		damage func(dir string)
		says   string
		// unsigned is damage behind the last checkpoint: the guard vouches for what is signed, so it is found by whoever
		// follows the stream, and a grant may come before.
		unsigned bool
	}{
		"nothing": {func(string) {}, "", false},
		// it is made again, from whole blocks
		"the server's index": {func(dir string) { flip(t, index(dir), 0.5) }, "", false},
		"a bit of an event": {func(dir string) { flipText(t, block(dir), "memory-dump") },
			"DIFFERENCE_KIND_GAP", false},
		// Not of an event that others are decided from: what is decided without it, before the alarm, is found to be so for
		// good.
		"a bit of a request's subject": {func(dir string) { flipText(t, block(dir), w.waiting+".1.AccessRequested") },
			"ALARM", false},
		"a bit of an evaluation's subject": {func(dir string) { flipText(t, block(dir), w.waiting+".2.AccessEvaluated") },
			"ALARM", false},
		// whose outcome would be counted
		"a bit of an earlier request": {func(dir string) {
			first := slices.IndexFunc(w.recorded, func(e journal.Entry) bool { return e.Event.GetAccessRequested() != nil })
			flipText(t, block(dir), string(w.recorded[first].Data))
		}, "ALARM", false},
		"a bit of an event, index lost": {func(dir string) {
			flipText(t, block(dir), w.waiting+".2.AccessEvaluated")
			must(t, os.Remove(index(dir)))
		}, "ALARM", false},
		"a bit of the last signed event": {func(dir string) { flipText(t, block(dir), string(lastSigned)) }, "ALARM", false},
		"a bit of the last checkpoint":   {func(dir string) { flipText(t, block(dir), string(w.checkpoint)) }, "ALARM", true},
		"a block cut off":                {func(dir string) { must(t, os.Truncate(block(dir), 20_000)) }, "ALARM", false},
		"a block cut off, index lost": {func(dir string) {
			must(t, os.Truncate(block(dir), 20_000))
			must(t,
				os.Remove(index(dir)))
		}, "ALARM", false},
		"a block deleted": {func(dir string) { must(t, os.Remove(block(dir))) }, "ALARM", false},
		"yesterday's copy of the stream": {func(dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "nats")))
			must(t, os.CopyFS(filepath.Join(dir, "nats"), os.DirFS(w.yesterday)))
		}, "ALARM", false},
		"a tile of hashes": {func(dir string) {
			flip(t, partial(dir, append(bankTile, "0", "000.p")...),
				0.5)
		}, "ALARM", false},
		"a tile of entries": {func(dir string) {
			flip(t,
				partial(dir, append(bankTile, "entries", "000.p")...), 0.5)
		}, "ALARM", false},
		"the second copy of the events": {func(dir string) {
			flip(t, partial(dir, "tenants", bank, "events", "000.p"),
				0.5)
		}, "ALARM", false},
		"a tile that is gone": {func(dir string) {
			must(t,
				os.Remove(partial(dir, append(bankTile, "0", "000.p")...)))
		}, "ALARM", false},
		"a tile of the global tree": {func(dir string) {
			flip(t, partial(dir, "global", "tile", "0", "000.p"),
				0.5)
		}, "ALARM", false},
		"the checkpoint that the trees are of": {func(dir string) { flip(t, trees(dir, "state.json"), 0.3) }, "ALARM", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &lockbox{T: t, issuer: w.issuer, config: w.config}
			l.config.Dir, l.config.Metrics = t.TempDir(), observe.NewMetrics()
			l.config.LogInterval = 0 // the next signature would replace some of what is damaged
			must(t, os.CopyFS(l.config.Dir, os.DirFS(w.config.Dir)))
			keys, err := filepath.Glob(filepath.Join(l.config.Dir, "keys", "*.nk"))
			must(t, err)
			for _, key := range keys {
				must(t, os.Chmod(key, 0o600)) // the copy has other modes
			}
			c.damage(l.config.Dir)
			heard := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
			l.config.Log = zap.New(heard)
			if l.stack, err = stack.Start(context.Background(), l.config); err != nil {
				t.Logf("nothing starts at all: %v", err)
				if c.says == "" {
					t.Error(err)
				}
				return
			}
			stopped := false
			stop := func() {
				for _, nc := range l.conns {
					nc.Close()
				}
				if l.conns = nil; !stopped {
					_ = l.stack.Close()
				}
				stopped = true
			}
			defer stop()
			l.client, l.watch = l.connect(bus.Client), l.journal(bus.Compliance)
			if c.says == "" {
				l.does("otto", approve(w.waiting))
				l.reaches(w.waiting, request.Active)
				return
			}
			data := l.approval(w.waiting)
			m, err := l.client.Request(bus.CommandSubject(bus.Client, "approve"), data, patience)
			t.Logf("the approval: %v, %v", m != nil, err)
			within(t, time.Minute, c.says, func() bool { return heard.heard("ALARM") && heard.heard(c.says) })
			time.Sleep(time.Second) // a grant would have come by now
			err = l.watch.Replay(t.Context(), journal.Replay{ID: w.waiting}, func(e journal.Entry) error {
				if e.Event.GetAccessGranted() != nil && !c.unsigned {
					t.Errorf("access was granted at %d", e.Seq)
				}
				return nil
			})
			if corrupt := new(journal.CorruptError); err != nil && !errors.As(err, &corrupt) {
				t.Logf("the request cannot be read: %v", err)
			}
			t.Log(heard.all())
			stop()
			w.repaired(l)
		})
	}
}

func (l *lockbox) approval(id string) []byte {
	l.Helper()
	c := approve(id)
	c.Id, c.Tenant, c.Token = newID(l), bank, l.token("otto")
	data, err := proto.Marshal(c)
	must(l, err)
	return data
}

// repaired mends a stopped Lockbox, and goes on with it: everything that was recorded is there, the alarm is over, and
// the request that waits is granted.
func (w *written) repaired(l *lockbox) {
	l.Helper()
	before := l.Context()
	job := repairOf(l.T, l.config.Dir, l.Output())
	if err := job.Run(before); !errors.Is(err, repair.ErrDamaged) {
		l.Fatalf("shown first: %v", err)
	}
	job.Do, job.Now = true, func() time.Time { return time.Now().Add(time.Second) }
	must(l, job.Run(before))
	// What was set aside has no keys of what is erased later; the store that goes on has them.
	for in, stores := range map[string]int{"repair-*/nats": 0, "nats": 1} {
		found, err := filepath.Glob(filepath.Join(l.config.Dir, in, "*", "*", "*", bus.StreamKeys))
		if err != nil || len(found) != stores {
			l.Errorf("keys are in %v, %v", found, err)
		}
	}
	l.config.Log = zaptest.NewLogger(l, zaptest.Level(zap.WarnLevel))
	l.open()
	defer l.close()
	entries := l.history(journal.Replay{})
	for i, e := range w.recorded {
		if i >= len(entries) || entries[i].Subject != e.Subject || !bytes.Equal(entries[i].Data, e.Data) {
			l.Fatalf("event %d is not what was recorded", e.Seq)
		}
	}
	l.does("otto", approve(w.waiting)) // again, or for the first time
	l.reaches(w.waiting, request.Active)
	var history []invariant.Recorded
	for _, e := range l.history(journal.Replay{}) {
		history = append(history, invariant.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event})
	}
	if broken := invariant.Check(history); len(broken) > 0 {
		l.Errorf("audit verify finds %v", broken)
	}
	if err := repairOf(l.T, l.config.Dir, l.Output()).Run(before); err == nil {
		l.Error("it repairs while Lockbox runs")
	}
}

// While it runs, what is damaged is what the trees hold; the stream's own blocks lie in the server's memory for a
// while.
func TestDamageOfTheSecondCopyIsNoticedWhileItRuns(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	heard := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Notifier.Groups = map[string][]string{aggregate.SecurityOfficers: {"security@nimbus.example"}}
	l.config.Log, l.config.RescanEvery = zap.New(heard), 200*time.Millisecond
	l.open()
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	(&written{lockbox: l}).signed()
	events := filepath.Join(l.config.Dir, "projection", "trees", "tenants", bank, "events", "000.p")
	within(t, time.Minute, "an alarm in the stream", func() bool {
		// What was damaged is replaced when the tree grows, for example by a mail that was sent.
		if entries, err := os.ReadDir(events); err == nil && len(entries) > 0 {
			spoil(filepath.Join(events, entries[len(entries)-1].Name()))
		}
		time.Sleep(time.Second)
		e, err := l.watch.Latest(t.Context(), aggregate.Guard)
		must(t, err)
		return e.Event.GetDifferenceFound() != nil
	})
	within(t, time.Minute, "a mail to the security officer", func() bool {
		mails, err := filepath.Glob(filepath.Join(l.stack.MailboxDir(), "*"))
		must(t, err)
		for _, name := range mails {
			if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte("security@nimbus.example")) &&
				bytes.Contains(text, []byte("ALARM")) {
				return true
			}
		}
		return false
	})
}
