package projector_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

// Each of three servers keeps a copy of its own, and most readers get another server's. What one of them has lost is
// named, and nothing is granted until that server has copied it from the others again.
//
// control: nist:SI-7
func TestADamagedCopyOfOneServerStopsTheLease(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, 3)
	const bank = devissuer.TenantBank
	w.story.Create(bank, "Meadow Bank", w.issuer.TenantIssuer(bank), w.actor("grace"))
	w.story.Subscription(bank, "prod", "Production")
	for range 5 {
		id := w.story.Submit(w.actor("erin"), story.Dump(bank, "prod", "vm1"))
		w.story.Command(w.actor("grace"), story.Approve(bank, id))
	}
	last := w.store()
	leases, err := w.bus.Connect(t, bus.Orchestrator).SubscribeSync(bus.LeaseSubject)
	must(t, err)
	watch := w.bus.Journal(t, bus.Compliance)
	stop := w.run(t.TempDir())
	defer stop()
	renewed(t, leases)
	// It answers once it has started; one that is still starting ends when the stream has no leader.
	w.ask("grace", &lockboxv1.Query{Tenant: bank,
		Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}})

	const victim = 1
	w.damage(victim, func(dir string) { flipIn(t, streamDir(t, dir)) })
	found := w.alarm(watch)
	// Where in a message the byte lies decides whether the server gives it away changed, or not any more.
	kinds := []lockboxv1.DifferenceKind{lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP,
		lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED}
	if found.GetWhere() != "replica n1" || !slices.Contains(kinds, found.GetKind()) ||
		found.GetFirstSequence() == 0 || found.GetLastSequence() > last ||
		len(found.GetSubjects()) == 0 {
		t.Errorf("the alarm says %v", found)
	}
	forget(leases)
	if m, err := leases.NextMsg(lease.Lifetime); err == nil {
		t.Fatalf("the lease is renewed: %q", m.Data)
	}

	// The way in the README: what the server has is set aside, and it copies everything from the others.
	w.damage(victim, func(dir string) { must(t, os.RemoveAll(streamDir(t, dir))) })
	renewed(t, leases)

	// What a server has of the agreement between the three, it makes good itself.
	w.damage(2, func(dir string) {
		for _, group := range raftLogs(t, dir) {
			flipIn(t, group)
		}
	})
	forget(leases)
	renewed(t, leases)
	for _, server := range []string{"n0", "n1", "n2"} {
		w.has(server, last)
	}
}

// has waits until a server, which may have been started a moment ago, has every message up to one.
func (w *world) has(server string, last uint64) {
	w.t.Helper()
	reader := w.bus.Journal(w.t, bus.Projector)
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		n := uint64(0)
		err := reader.Scan(w.t.Context(), server, last, func(journal.Stored) error {
			n++
			return nil
		})
		if err == nil && n == last {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s has %d of %d messages: %v", server, n, last, err)
		}
	}
}

// damage changes what a stopped server has, and starts it.
func (w *world) damage(server int, change func(dir string)) {
	w.t.Helper()
	w.bus.StopServer(server)
	change(w.bus.StoreDir(server))
	w.bus.Resume(w.t)
}

// alarm waits for the guard's report about what a server has: one that is slow to start is reported as missing before.
func (w *world) alarm(watch *journal.Journal) *lockboxv1.DifferenceFound {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		e, err := watch.Latest(w.t.Context(), aggregate.Guard)
		if found := e.Event.GetDifferenceFound(); err == nil && found != nil &&
			found.GetKind() != lockboxv1.DifferenceKind_DIFFERENCE_KIND_MISSING {
			return found
		}
		if time.Now().After(end) {
			w.t.Fatalf("no alarm: %v", err)
		}
	}
}

// renewed waits for a lease.
func renewed(t *testing.T, leases *nats.Subscription) {
	t.Helper()
	if _, err := leases.NextMsg(time.Minute); err != nil {
		t.Fatalf("the lease is not renewed: %v", err)
	}
}

func forget(leases *nats.Subscription) {
	for {
		if _, err := leases.NextMsg(time.Millisecond); err != nil {
			return
		}
	}
}

// streamDir is where a server keeps the messages of the events.
func streamDir(t *testing.T, dir string) string {
	t.Helper()
	return only(t, dir, func(path string) bool { return filepath.Base(path) == bus.StreamEvents })[0]
}

// raftLogs are where it keeps what the servers have agreed on about streams.
func raftLogs(t *testing.T, dir string) []string {
	t.Helper()
	return only(t, dir, func(path string) bool { return strings.HasPrefix(filepath.Base(path), "S-R3F-") })
}

// only returns the directories that are meant, of which there is one at least.
func only(t *testing.T, dir string, meant func(path string) bool) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && meant(path) {
			found = append(found, path)
			return fs.SkipDir
		}
		return err
	}))
	if len(found) == 0 {
		t.Fatal("the server keeps it elsewhere")
	}
	return found
}

// flipIn changes a bit in the middle of the first block of messages in a directory.
func flipIn(t *testing.T, dir string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
	must(t, err)
	for _, path := range blocks {
		data, err := os.ReadFile(path)
		must(t, err)
		if len(data) == 0 {
			continue
		}
		data[len(data)/2] ^= 0x10
		must(t, os.WriteFile(path, data, 0o600))
		return
	}
	t.Logf("%s holds nothing", dir)
}
