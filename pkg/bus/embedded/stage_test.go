package embedded_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/durable/durabletest"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// stage is a server that stages in memory.
type stage struct {
	*testing.T
	o    bus.ServerOptions
	keys bus.Keys
	*embedded.Server
	stop func()
}

// staging starts a server on a disk in memory of that many MB, and waits until it stages there.
func staging(t *testing.T, megabytes int, with func(*bus.ServerOptions)) *stage {
	t.Helper()
	o, keys := options(t)
	o.StageIn = durabletest.Disk(t, megabytes)
	if with != nil {
		with(&o)
	}
	s := &stage{T: t, o: o, keys: keys, Server: start(t, o)}
	must(t, bus.Provision(t.Context(), s.as(bus.Provisioner), 1))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx) }()
	s.stop = func() {
		cancel()
		must(t, <-ended)
	}
	s.inMemory(true)
	return s
}

func (s *stage) as(id bus.Identity) *nats.Conn {
	return connect(s.T, bus.Connection{InProcess: s, Identity: id, Seed: s.keys[id]})
}

func (s *stage) journal() *journal.Journal {
	j, err := journal.Open(s.Context(), s.as(bus.Orchestrator), journal.WithBatchFrom(journal.BatchFromMemory))
	must(s.T, err)
	s.Cleanup(j.Close)
	return j
}

// inMemory waits until batches are staged in memory, or on disk.
func (s *stage) inMemory(want bool) {
	s.Helper()
	for deadline := time.Now().Add(waiting); ; time.Sleep(10 * time.Millisecond) {
		is := true
		for _, link := range bus.BatchDirs(s.o.StoreDir) {
			target, err := os.Readlink(link)
			is = is && err == nil && strings.HasPrefix(target, s.o.StageIn)
		}
		if is == want {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("staged in memory: %t", is)
		}
	}
}

// record is a message in a block, as the server writes it: length, sequence, time, length of the subject, subject,
// length of the headers, headers, content and checksum.
type record struct {
	start, end int
	seq        uint64
	batch      string
}

func (s *stage) block() string {
	found, err := fs.Glob(os.DirFS(s.o.StoreDir),
		filepath.Join(bus.StoreName, "*/streams", bus.StreamEvents, "msgs/*.blk"))
	must(s.T, err)
	if len(found) != 1 {
		s.Fatalf("blocks: %v", found)
	}
	return found[0]
}

func (s *stage) records() (all []record) {
	text, err := os.ReadFile(filepath.Join(s.o.StoreDir, s.block()))
	must(s.T, err)
	for at := 0; at < len(text); {
		long := int(binary.LittleEndian.Uint32(text[at:]) &^ (1 << 31))
		r := record{start: at, end: at + long, seq: binary.LittleEndian.Uint64(text[at+4:])}
		if _, rest, found := bytes.Cut(text[at:r.end], []byte("Nats-Batch-Id: ")); found {
			id, _, _ := bytes.Cut(rest, []byte("\r\n"))
			r.batch = string(id)
		}
		all, at = append(all, r), r.end
	}
	return all
}

// appends are what callers append at once: 1, 2 or 3 events of an aggregate of its own each.
func appends(name string, n int) (all [][]*lockboxv1.Event) {
	for i := range n {
		about := aggregate.Request("acme", fmt.Sprintf("%s-%d", name, i))
		var events []*lockboxv1.Event
		for version := range i%3 + 1 {
			events = append(events, journaltest.Event(about, uint64(version+1)))
		}
		all = append(all, events)
	}
	return all
}

// appendAll makes all of these appends at once.
func appendAll(t *testing.T, j *journal.Journal, all [][]*lockboxv1.Event) {
	t.Helper()
	var calls sync.WaitGroup
	for _, events := range all {
		calls.Go(func() {
			if _, err := j.AppendAll(t.Context(), 0, events...); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	calls.Wait()
}

// found returns the ids of everything that is stored, in order; nothing may be missing between.
func found(t *testing.T, j *journal.Journal) (ids []string) {
	t.Helper()
	must(t, j.Replay(t.Context(), journal.Replay{}, func(e journal.Entry) error {
		if ids = append(ids, e.Event.GetId()); e.Seq != uint64(len(ids)) {
			return fmt.Errorf("%d follows %d", e.Seq, len(ids)-1)
		}
		return nil
	}))
	return ids
}

// whole checks that every one of these appends is stored once and whole.
func whole(t *testing.T, j *journal.Journal, all [][]*lockboxv1.Event) {
	t.Helper()
	for _, events := range all {
		entries, err := j.LoadAtLeader(t.Context(), aggregate.KeyOf(events[0]))
		must(t, err)
		if !slices.EqualFunc(entries, events, func(e journal.Entry, want *lockboxv1.Event) bool {
			return proto.Equal(e.Event, want)
		}) {
			t.Errorf("of the %d events of %s, %d are stored", len(events), events[0].GetAggregateId(), len(entries))
		}
	}
}

// again starts a server on a copy of the files, as they are after the machine or the process has ended.
func (s *stage) again(files string, staged bool, look func(j *journal.Journal)) {
	s.Helper()
	o := s.o
	o.StoreDir = filepath.Join(s.TempDir(), "store")
	must(s.T, os.CopyFS(o.StoreDir, os.DirFS(files)))
	if !staged {
		o.StageIn = ""
	}
	server, err := embedded.Start(s.Context(), o, nil)
	must(s.T, err)
	defer server.Shutdown()
	nc, err := bus.Connect(bus.Connection{InProcess: server, Identity: bus.Orchestrator,
		Seed: s.keys[bus.Orchestrator]})
	must(s.T, err)
	defer nc.Close()
	j, err := journal.Open(s.Context(), nc, journal.WithBatchFrom(journal.BatchFromMemory))
	must(s.T, err)
	defer j.Close()
	look(j)
}

// lose keeps the newest block up to a place; what comes after it was not on disk yet, or only its length was.
func lose(t *testing.T, block string, text []byte, from int, zeros bool) {
	t.Helper()
	left := slices.Clone(text)
	clear(left[from:])
	if !zeros {
		left = left[:from]
	}
	must(t, os.WriteFile(block, left, 0o600))
}

// The power is cut while a batch is being stored, anywhere: what was acknowledged is there, of the batch there is a
// beginning, nothing contradicts itself, and whoever was told nothing gets it stored by trying again.
func TestWhatIsAcknowledgedOutlivesAPowerCut(t *testing.T) {
	t.Parallel()
	s := staging(t, 64, nil)
	j := s.journal()
	before, batch := appends("before", 20), [][]*lockboxv1.Event(nil)
	appendAll(t, j, before)
	var last []record
	for round := 0; len(last) < 8; round++ { // the first ones are on their way singly while the others queue up
		if round == 100 {
			t.Fatal("there is no batch")
		}
		before = append(before, batch...)
		batch = appends("batch-"+strconv.Itoa(round), 16)
		appendAll(t, j, batch)
		all := s.records()
		id := all[len(all)-1].batch
		last = slices.DeleteFunc(all, func(r record) bool { return id == "" || r.batch != id })
	}
	ids := found(t, j)
	followed(t, j, ids)
	files, block := t.TempDir(), s.block()
	must(t, os.CopyFS(files, os.DirFS(s.o.StoreDir)))
	text, err := os.ReadFile(filepath.Join(files, block)) // #nosec G304 -- the server's own
	must(t, err)
	s.stop()
	s.Shutdown()
	// What the follower has done was on disk before the batch was.
	consumers := filepath.Join(filepath.Dir(filepath.Dir(block)), "obs")
	must(t, os.RemoveAll(filepath.Join(files, consumers)))
	must(t, os.CopyFS(filepath.Join(files, consumers), os.DirFS(filepath.Join(s.o.StoreDir, consumers))))

	for _, r := range last {
		for name, cut := range map[string]struct {
			at    int
			zeros bool
		}{"at its beginning": {r.start, false}, "within": {(r.start + r.end) / 2, false}, "zeros": {r.start + 9, true}} {
			lose(t, filepath.Join(files, block), text, cut.at, cut.zeros)
			s.again(files, name != "within", func(j *journal.Journal) {
				kept := found(t, j)
				if want := ids[:r.seq-1]; !slices.Equal(kept, want) {
					t.Errorf("message %d lost, %s: %d of %d messages are there", r.seq, name, len(kept), len(want))
				}
				whole(t, j, before)
				appendAll(t, j, batch)
				whole(t, j, batch)
				followed(t, j, ids[r.seq-1:]) // although their sequences are some that were followed before
			})
		}
	}
}

// followed follows the stream until these events have come.
func followed(t *testing.T, j *journal.Journal, ids []string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), waiting)
	defer stop()
	var mu sync.Mutex
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	must(t, j.Follow(ctx, journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator, Concurrency: 16},
		func(_ context.Context, e journal.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			if delete(missing, e.Event.GetId()); len(missing) == 0 {
				stop()
			}
			return nil
		}))
	if len(missing) > 0 {
		t.Errorf("a follower is not told of %d events", len(missing))
	}
}

// uncommitted publishes all of a batch but the last message, which it returns, and waits until it is staged.
func (s *stage) uncommitted(n int) *nats.Msg {
	s.Helper()
	nc := s.as(bus.Orchestrator)
	var last *nats.Msg
	for i := 1; i <= n; i++ {
		e := journaltest.Event(aggregate.Request("acme", "staged-"+strconv.Itoa(i)), 1)
		subject, err := bus.EventSubject(e)
		must(s.T, err)
		data, err := proto.Marshal(e)
		must(s.T, err)
		last = &nats.Msg{Subject: subject, Data: data, Header: nats.Header{"Nats-Batch-Id": {"a-batch"},
			"Nats-Batch-Sequence": {strconv.Itoa(i)}}}
		if i == n {
			last.Header.Set("Nats-Batch-Commit", "1")
			break
		}
		_, err = nc.RequestMsg(last, waiting)
		must(s.T, err)
	}
	return last
}

// staged returns the size of what lies in memory.
func (s *stage) staged() (size int64) {
	must(s.T, filepath.WalkDir(s.o.StageIn, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(d.Name(), ".blk") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	}))
	return size
}

// The process ends while a batch is being stored: the server that starts next finishes it from memory, unless what lies
// there may be somebody else's.
func TestAServerFinishesWhatIsStagedInMemory(t *testing.T) {
	t.Parallel()
	const n = 12
	s := staging(t, 64, nil)
	appendAll(t, s.journal(), appends("before", 20))
	commit := s.uncommitted(n)
	// All but the last message: each has more bytes than its data, so that it has to stay as it is, too.
	for size, before, deadline := int64(0), int64(-1), time.Now().Add(waiting); size < (n-1)*int64(len(commit.Data)) ||
		size != before; before, size = size, s.staged() {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are staged", size)
		}
		time.Sleep(200 * time.Millisecond)
	}
	memory := t.TempDir()
	must(t, os.CopyFS(memory, os.DirFS(s.o.StageIn)))
	answer, err := s.as(bus.Orchestrator).RequestMsg(commit, waiting)
	must(t, err)
	if !strings.Contains(string(answer.Data), `"count":12`) {
		t.Fatalf("the batch is answered with %s", answer.Data)
	}
	files, block := t.TempDir(), s.block()
	must(t, os.CopyFS(files, os.DirFS(s.o.StoreDir)))
	text, err := os.ReadFile(filepath.Join(files, block)) // #nosec G304 -- the server's own
	must(t, err)
	all := s.records()
	first := all[len(all)-n]
	s.stop()
	s.Shutdown()

	nothing := func(string) error { return nil }
	for name, c := range map[string]struct {
		lost    int // the first message of the batch that is not in the stream
		prepare func(dir string) error
		want    int // how many of its messages are there then
	}{
		"none of it was stored":  {0, nothing, 0},
		"one":                    {1, nothing, n - 1},
		"most":                   {n - 2, nothing, n - 1},
		"another's":              {2, func(dir string) error { return os.Chown(dir, 65534, 65534) }, 2},
		"others may write there": {2, func(dir string) error { return os.Chmod(dir, 0o777) }, 2}, // #nosec G302 -- refused
		"it is gone":             {2, os.RemoveAll, 2},
	} {
		lose(t, filepath.Join(files, block), text, all[len(all)-n+c.lost].start, false)
		for _, on := range []bool{false, true} { // whether it goes on to stage in memory, or not
			dir := s.remember(memory)
			must(t, c.prepare(dir))
			s.again(files, on, func(j *journal.Journal) {
				if got := len(found(t, j)) - int(first.seq-1); got != c.want {
					t.Errorf("%s: %d of the batch are there, not %d", name, got, c.want)
				}
				appendAll(t, j, appends("after", 20))
			})
			left, err := os.ReadDir(s.o.StageIn)
			if must(t, err); len(left) > 0 && c.want != c.lost {
				t.Errorf("%s: %v is left in memory", name, left)
			}
			must(t, os.RemoveAll(dir))
		}
	}
}

// remember puts back what was staged in memory, and returns the server's directory there.
func (s *stage) remember(memory string) (dir string) {
	s.Helper()
	must(s.T, os.CopyFS(s.o.StageIn, os.DirFS(memory)))
	dirs, err := filepath.Glob(filepath.Join(s.o.StageIn, "*"))
	must(s.T, err)
	if len(dirs) != 1 {
		s.Fatalf("in memory are %v", dirs)
	}
	must(s.T, os.Chmod(dirs[0], 0o700))                                  // #nosec G302 -- a directory
	must(s.T, os.Chmod(filepath.Join(dirs[0], bus.StreamEvents), 0o700)) // #nosec G302 -- likewise
	return dirs[0]
}

// With a key, what is staged is encrypted like the streams.
func TestWhatIsStagedIsEncrypted(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"with a key": false, "without": true} {
		s := staging(t, 64, func(o *bus.ServerOptions) {
			if !want {
				dir := t.TempDir()
				must(t, bus.CreateStoreKey(dir))
				o.StoreKey = filepath.Join(dir, bus.StoreKeyFile)
			}
		})
		commit := s.uncommitted(12)
		for deadline := time.Now().Add(waiting); s.staged() < 11*int64(len(commit.Data)); {
			if time.Now().After(deadline) {
				t.Fatal("nothing is staged")
			}
		}
		if is := readable(t, s.o.StageIn, "staged-3"); is != want {
			t.Errorf("%s: what is staged is readable: %t", name, is)
		}
		s.stop()
	}
}

// The memory is full: batches are refused or staged on disk, nothing is lost, and once there is room they are in memory
// again.
func TestBatchesFindRoomElsewhere(t *testing.T) {
	t.Parallel()
	s := staging(t, 64, nil)
	j := s.journal()
	all := appends("roomy", 64)
	appendAll(t, j, all)
	for round := range 2 {
		free := durabletest.Fill(t, s.o.StageIn)
		for i := range 20 { // some of them before anybody has noticed
			more := appends(fmt.Sprintf("full-%d-%d", round, i), 64)
			appendAll(t, j, more)
			all = append(all, more...)
		}
		s.inMemory(false)
		more := appends(fmt.Sprintf("on-disk-%d", round), 64)
		appendAll(t, j, more)
		free()
		s.inMemory(true)
		all = append(all, more...)
	}
	appendAll(t, j, appends("roomy-again", 64))
	whole(t, j, all)

	// Somebody clears the memory.
	dirs, err := filepath.Glob(filepath.Join(s.o.StageIn, "*"))
	must(t, err)
	for _, dir := range dirs {
		must(t, os.RemoveAll(dir))
	}
	appendAll(t, j, appends("cleared", 64))
	for deadline := time.Now().Add(waiting); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(bus.BatchDirs(s.o.StoreDir)[0]); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("there is nowhere to stage")
		}
	}
	s.stop()
}

func TestBatchesAreStagedOnlyWhereThatWorks(t *testing.T) {
	locked := durabletest.Disk(t, 64)
	must(t, syscall.Mount("", locked, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	for dir, says := range map[string]string{
		"/proc":                   "not in memory",
		durabletest.Disk(t, 8):    "too small",
		locked:                    "read-only",
		"/dev/shm/missing/indeed": "no such file",
		"shm":                     "no such file",
	} {
		o, _ := options(t)
		o.StageIn = dir
		s, err := embedded.Start(t.Context(), o, nil)
		if err == nil {
			s.Shutdown()
		}
		var refused *bus.StageError
		if !errors.As(err, &refused) || refused.Dir != dir || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", dir, err)
		}
		if _, err := os.Stat(o.StoreDir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was made in %s (%v)", dir, o.StoreDir, err)
		}
	}
	o, _ := options(t)
	o.StageIn, o.Cluster = durabletest.Disk(t, 64), &bus.ClusterOptions{Name: "lockbox", Host: "127.0.0.1"}
	var refused *bus.StageError
	if _, err := bus.ServerConfig(o); !errors.As(err, &refused) || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("in a cluster: %v", err)
	}
}
