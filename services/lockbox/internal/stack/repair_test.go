package stack_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/repair"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A stream that fills several files is restored to the last bit, whatever has become of whichever file, and with or
// without the server's index of them.
func TestAStreamOfSeveralFilesIsRestored(t *testing.T) {
	t.Parallel()
	w := &written{lockbox: start(t, request.DefaultTerms())}
	fill(w.lockbox, 400)
	w.signed()
	w.close()
	t.Run("after it went on", w.wentOn)
	t.Run("both copies damaged", w.bothDamaged)
	files, _ := blocks(t, w.config.Dir)
	if len(files) < 4 {
		t.Fatalf("the stream is in %d files", len(files))
	}
	for place, i := range map[string]int{"the first file": 0, "a middle file": 1,
		"the last file": len(files) - 1} {
		for name, damage := range map[string]func(t *testing.T, file string){
			"cut off": func(t *testing.T, file string) {
				info, err := os.Stat(file)
				must(t, err)
				must(t, os.Truncate(file, info.Size()/2))
			},
			"with a flipped bit": func(t *testing.T, file string) { flip(t, file, 0.4) },
			"deleted":            func(t *testing.T, file string) { must(t, os.Remove(file)) },
		} {
			for index, lost := range map[string]bool{"index kept": false, "index lost": true} {
				t.Run(place+" "+name+", "+index, func(t *testing.T) {
					dir := t.TempDir()
					must(t, os.CopyFS(dir, os.DirFS(w.config.Dir)))
					found, db := blocks(t, dir)
					damage(t, found[i])
					if lost {
						must(t, os.Remove(db))
					}
					w.restores(t, dir)
				})
			}
		}
	}
}

// wentOn lets a server go on without a part of its middle file and without its index, and things happen again that it
// has forgotten: their places are taken, and what was recorded has them.
func (w *written) wentOn(t *testing.T) {
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(w.config.Dir)))
	found, db := blocks(t, dir)
	info, err := os.Stat(found[1])
	must(t, err)
	must(t, os.Truncate(found[1], info.Size()/2))
	must(t, os.Remove(db))
	var again, other *lockboxv1.Event
	on(t, dir, bus.Orchestrator, func(j *journal.Journal) {
		for _, e := range w.recorded {
			if e.Event.GetTicketCommented() == nil {
				continue
			}
			again = proto.CloneOf(e.Event)
			again.Id = journaltest.NewID()
			if _, err = j.Append(t.Context(), 0, again); err == nil {
				break
			}
		}
		must(t, err)
		other = journaltest.Event(aggregate.Ticket(bank, journaltest.NewID()), 1)
		_, err = j.Append(t.Context(), 0, other)
		must(t, err)
	})
	w.restores(t, dir)
	kept, err := filepath.Glob(filepath.Join(dir, "repair-*", "conflicts.jsonl"))
	must(t, err)
	if len(kept) != 1 {
		t.Fatalf("what contradicts is in %v", kept)
	}
	text, err := os.ReadFile(kept[0])
	must(t, err)
	var conflicts []journal.Stored
	for line := range bytes.Lines(text) {
		var c journal.Stored
		must(t, json.Unmarshal(line, &c))
		conflicts = append(conflicts, c)
	}
	for i, e := range []*lockboxv1.Event{again, other} {
		data, err := proto.Marshal(e)
		must(t, err)
		if len(conflicts) != 2 || !bytes.Equal(conflicts[i].Data, data) {
			t.Errorf("%d conflicts; event %d of those that came later is not kept", len(conflicts), i)
		}
	}
}

// bothDamaged damages the second copy, too: there is nothing to restore the stream from, so nothing is touched.
func (w *written) bothDamaged(t *testing.T) {
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(w.config.Dir)))
	found, _ := blocks(t, dir)
	must(t, os.Remove(found[1]))
	second, err := filepath.Glob(filepath.Join(dir, "projection", "trees", "tenants", bank, "events", "*"))
	must(t, err)
	for _, name := range second {
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			flip(t, name, 0.5)
		}
	}
	before := contents(t, dir)
	for _, do := range []bool{false, true} {
		job := repairOf(t, dir, io.Discard)
		job.Do = do
		err := job.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "both copies are damaged") ||
			!strings.Contains(err.Error(), "which lacks event ") {
			t.Errorf("repaired: %v", err)
		}
	}
	if !maps.Equal(before, contents(t, dir)) {
		t.Error("something was changed")
	}
}

// contents are the hashes of all files in a directory.
func contents(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	hashes := map[string][sha256.Size]byte{}
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var data []byte
			data, err = os.ReadFile(name)
			hashes[name] = sha256.Sum256(data)
		}
		return err
	}))
	return hashes
}

// fill appends so many large events, of which 130 fill a file.
func fill(l *lockbox, events int) {
	l.Helper()
	writer := l.journal(bus.Orchestrator)
	var all errgroup.Group
	all.SetLimit(32)
	for range events {
		all.Go(func() error {
			about := aggregate.Ticket(bank, journaltest.NewID())
			e := journaltest.Event(about, 1)
			e.Time = timestamppb.Now()                                                     // its writer's key counts now
			e.GetTicketCommented().Text = strings.Repeat("the disk reports errors ", 1875) // encrypted, a third longer
			_, err := writer.Append(context.Background(), 0, e)
			return err
		})
	}
	must(l, all.Wait())
}

// blocks returns the files in which a server stores EVENTS, in order, and its index of them.
func blocks(t *testing.T, dir string) (files []string, index string) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(dir, "nats"), func(name string, e fs.DirEntry, err error) error {
		if err == nil && strings.Contains(name, filepath.Join(bus.StreamEvents, "msgs")) && !e.IsDir() {
			if files = append(files, name); e.Name() == "index.db" {
				files, index = files[:len(files)-1], name
			}
		}
		return err
	}))
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	return files, index
}

// restores repairs a data directory, and compares the stream with what was recorded.
func (w *written) restores(t *testing.T, dir string) {
	t.Helper()
	var said bytes.Buffer
	job := repairOf(t, dir, &said)
	if err := job.Run(t.Context()); err != nil && !errors.Is(err, repair.ErrDamaged) {
		t.Fatalf("shown first: %v\n%s", err, &said)
	}
	job.Do, job.Now = true, func() time.Time { return time.Now().Add(time.Second) }
	if err := job.Run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	got := stored(t, dir)
	for i, e := range w.recorded {
		if i >= len(got) || got[i].Seq != e.Seq || got[i].Subject != e.Subject || !bytes.Equal(got[i].Data, e.Data) {
			t.Fatalf("of %d events, %d is not what was recorded\n%s", len(got), e.Seq, &said)
		}
	}
}

// stored reads the stream in a data directory.
func stored(t *testing.T, dir string) (entries []journal.Entry) {
	t.Helper()
	on(t, dir, bus.Compliance, func(j *journal.Journal) {
		must(t, j.Replay(t.Context(), journal.Replay{}, func(e journal.Entry) error {
			entries = append(entries, e)
			return nil
		}))
	})
	return entries
}

// on runs a server on a data directory for as long as an identity does something.
func on(t *testing.T, dir string, as bus.Identity, do func(*journal.Journal)) {
	t.Helper()
	seed, err := bus.NewSeed()
	must(t, err)
	public, err := bus.Keys{as: seed}.Public()
	must(t, err)
	options := bus.ServerOptions{StoreDir: filepath.Join(dir, "nats"), PublicKeys: public}
	server, err := embedded.Start(t.Context(), options, nil)
	must(t, err)
	defer server.Shutdown()
	nc, err := bus.Connect(bus.Connection{InProcess: server, Identity: as, Seed: seed})
	must(t, err)
	defer nc.Close()
	j, err := journal.Open(t.Context(), nc)
	must(t, err)
	defer j.Close()
	do(j)
}

// repairOf is a repair of a data directory that only looks, and signs what it says of itself.
func repairOf(t *testing.T, dir string, out io.Writer) *repair.Job {
	t.Helper()
	keys, err := writerkeys.In(filepath.Join(dir, "keys"), bus.Repairer)
	must(t, err)
	return &repair.Job{Dir: dir, Signer: keys.Signer, Out: out, Now: time.Now, Log: zap.NewNop()}
}
