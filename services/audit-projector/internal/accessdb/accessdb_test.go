package accessdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	signIn = lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN
	read   = lockboxv1.AccessKind_ACCESS_KIND_READ
	export = lockboxv1.AccessKind_ACCESS_KIND_EXPORT
	theirs = lockboxv1.Side_SIDE_TENANT
	ours   = lockboxv1.Side_SIDE_PROVIDER
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// stream is a stream of access records in memory.
type stream struct {
	mu      sync.Mutex
	created string
	entries []journal.AccessEntry
	asked   []uint64 // from where it was read
}

func (s *stream) add(r *lockboxv1.AccessRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, journal.AccessEntry{Seq: uint64(len(s.entries) + 1), Record: r})
}

func (s *stream) AccessStream(context.Context) (string, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.created, uint64(len(s.entries)), nil
}

func (s *stream) ReplayAccess(
	ctx context.Context, from uint64, _ bool, handle func(journal.AccessEntry) error,
) error {
	s.mu.Lock()
	entries := s.entries[from-1:]
	s.asked = append(s.asked, from)
	s.mu.Unlock()
	for i, e := range entries {
		e.Pending = uint64(len(entries) - 1 - i)
		if err := handle(e); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func record(n int, tenant string, kind lockboxv1.AccessKind, side lockboxv1.Side, name string, ago time.Duration,
) *lockboxv1.AccessRecord {
	r := &lockboxv1.AccessRecord{Id: fmt.Sprint("id-", n), Tenant: tenant, Kind: kind,
		Time: timestamppb.New(now.Add(-ago))}
	if name != "" {
		r.Who = &lockboxv1.AccessPerson{Issuer: "i", Subject: strings.ToLower(name) + "-1", Name: name, Side: side}
	}
	return r
}

// follow lets a DB follow a stream until the returned function is called.
func follow(t *testing.T, dir string, s *stream) (d *DB, stop func()) {
	t.Helper()
	d = New(dir, func() time.Time { return now }, zap.NewNop())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx, s)
	}()
	for end := time.Now().Add(time.Minute); !d.complete.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not read")
		}
	}
	return d, func() {
		cancel()
		<-ended
	}
}

func ids(t *testing.T, d *DB, f Filter, limit int) string {
	t.Helper()
	list, err := d.List(t.Context(), f, limit)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range list {
		all = append(all, strings.TrimPrefix(r.GetId(), "id-"))
	}
	return strings.Join(all, " ")
}

func TestFilters(t *testing.T) {
	s := &stream{created: "once"}
	for i, r := range []*lockboxv1.AccessRecord{
		record(1, "bank", signIn, theirs, "Grace", 50*time.Hour),
		record(2, "bank", read, ours, "Erin", 40*time.Hour),
		record(3, "bank", read, theirs, "Grace", 30*time.Hour),
		record(4, "health", read, ours, "Erin", 20*time.Hour),
		record(5, "bank", export, theirs, "Audrey", 10*time.Hour),
		record(6, "_", signIn, ours, "Olga", 5*time.Hour),
		record(7, "bank", read, 0, "", time.Hour),
		nil, // what was stored is no record
		record(7, "bank", read, 0, "", time.Hour),                        // written twice
		record(9, "bank", read, ours, "Olga", bus.AccessAge+time.Minute), // too old
	} {
		if r == nil {
			s.entries = append(s.entries, journal.AccessEntry{Seq: uint64(i + 1)})
			continue
		}
		s.add(r)
	}
	d, stop := follow(t, t.TempDir(), s)
	defer stop()
	for name, c := range map[string]struct {
		f    Filter
		want string
	}{
		"all":            {Filter{}, "7 6 5 4 3 2 1"},
		"a tenant":       {Filter{Tenant: "bank"}, "7 5 3 2 1"},
		"another":        {Filter{Tenant: "health"}, "4"},
		"nobody's":       {Filter{Tenant: "' OR 1=1"}, ""},
		"kinds":          {Filter{Kinds: []lockboxv1.AccessKind{signIn, export}}, "6 5 1"},
		"since":          {Filter{Since: now.Add(-30 * time.Hour)}, "7 6 5 4 3"},
		"until":          {Filter{Until: now.Add(-30 * time.Hour)}, "2 1"},
		"a name":         {Filter{Person: "gRaCe"}, "3 1"},
		"a subject":      {Filter{Person: "erin-1", Tenant: "bank"}, "2"},
		"the provider's": {Filter{Tenant: "bank", ProviderOnly: true}, "2"},
		"not their own":  {Filter{Tenant: "bank", NotReadsOf: theirs}, "7 2 1"},
		"older":          {Filter{Before: 4}, "3 2 1"},
	} {
		if got := ids(t, d, c.f, 100); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := ids(t, d, Filter{}, 2); got != "7 6" {
		t.Error(got)
	}
}

func TestNothingIsListedBeforeItIsRead(t *testing.T) {
	d := New(t.TempDir(), time.Now, zap.NewNop())
	if _, err := d.List(t.Context(), Filter{}, 1); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
		t.Error(err)
	}
}

func TestItGoesOnWhereItWasAndIsMadeAgain(t *testing.T) {
	dir, s := t.TempDir(), &stream{created: "once"}
	s.add(record(1, "bank", read, ours, "Erin", time.Hour))
	d, stop := follow(t, dir, s)
	if got := ids(t, d, Filter{}, 9); got != "1" {
		t.Error(got)
	}
	stop()
	s.add(record(2, "bank", read, ours, "Erin", time.Hour))
	d, stop = follow(t, dir, s)
	if got := ids(t, d, Filter{}, 9); got != "2 1" || s.asked[1] != 2 {
		t.Error(got, s.asked)
	}
	stop()
	// Another stream in its place.
	other := &stream{created: "again"}
	other.add(record(3, "bank", read, ours, "Erin", time.Hour))
	d, stop = follow(t, dir, other)
	if got := ids(t, d, Filter{}, 9); got != "3" {
		t.Error(got)
	}
	stop()
	// A file that is none.
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, fileName+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	d, stop = follow(t, dir, other)
	if got := ids(t, d, Filter{}, 9); got != "3" {
		t.Error(got)
	}
	stop()
}

func TestWhatIsTooOldIsDeleted(t *testing.T) {
	dir, s := t.TempDir(), &stream{created: "once"}
	s.add(record(1, "bank", read, ours, "Erin", bus.AccessAge+time.Minute))
	s.add(record(2, "bank", read, ours, "Erin", bus.AccessAge-time.Minute))
	_, stop := follow(t, dir, s)
	stop()
	d, stop := follow(t, dir, s)
	defer stop()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		d.deleteOld(t.Context())
		var left int
		if err := d.db.Load().QueryRowContext(t.Context(), "SELECT count(*) FROM records").Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d are kept", left)
		}
	}
}
