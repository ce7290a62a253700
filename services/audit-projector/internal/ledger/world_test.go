package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

// stream is a stream in memory, which can fail where a real one cannot be made to.
type stream struct {
	t       testing.TB
	entries []journal.Entry
	// missing is how many events the stream has lost.
	missing uint64
	// reports decides what becomes of the next reports; empty: they are stored.
	reports []fate
}

type fate int

const (
	stored  fate = iota
	lost         // not stored, and an error says so
	unheard      // stored, and an error says that nobody knows
)

func (s *stream) Copies(context.Context) (journal.Copies, error) {
	return journal.Copies{First: 1, Last: uint64(len(s.entries)) + s.missing, Missing: s.missing}, nil
}

func (s *stream) Replay(_ context.Context, r journal.Replay, handle func(journal.Entry) error) error {
	end := len(s.entries) // what comes meanwhile is for the next replay
	for i := max(1, int(r.From)) - 1; i < end; i++ {
		e := s.entries[i]
		e.Pending = uint64(end - i - 1)
		if r.Kind != "" && e.Event.GetKind() != r.Kind {
			continue
		}
		if err := handle(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) Report(_ context.Context, ev *lockboxv1.Event) (uint64, bool, error) {
	fate := stored
	if len(s.reports) > 0 {
		fate, s.reports = s.reports[0], s.reports[1:]
	}
	if fate == lost {
		return 0, false, errors.New("the bus is away")
	}
	subject, err := bus.EventSubject(ev)
	must(s.t, err)
	for _, e := range s.entries {
		if e.Subject == subject {
			return e.Seq, false, nil
		}
	}
	seq := s.add(ev)
	if fate == unheard {
		return 0, false, journal.ErrUnknown
	}
	return seq, true, nil
}

func (s *stream) add(ev *lockboxv1.Event) uint64 {
	s.t.Helper()
	subject, err := bus.EventSubject(ev)
	must(s.t, err)
	data, err := proto.Marshal(ev)
	must(s.t, err)
	seq := uint64(len(s.entries)) + 1
	s.entries = append(s.entries, journal.Entry{Seq: seq, Subject: subject, Data: data, Event: ev})
	return seq
}

// comments adds so many events of tenants, chosen by chance.
func (s *stream) comments(random *rand.Rand, n int) {
	s.t.Helper()
	for range n {
		id := uuid.UUID{}
		for i := range id {
			id[i] = byte(random.Uint32())
		}
		s.add(&lockboxv1.Event{
			Id: id.String(), Tenant: fmt.Sprintf("tenant-%d", random.IntN(5)), Kind: aggregate.KindTicket,
			AggregateId: id.String(), Version: 1,
			Fact: &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: strings.Repeat("x",
				random.IntN(300))}},
		})
	}
}

func (s *stream) checkpoints() (found []journal.Entry) {
	for _, e := range s.entries {
		if e.Event.GetCheckpointSigned() != nil {
			found = append(found, e)
		}
	}
	return found
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const origin = "log.example/lockbox"

func keys(t testing.TB) logkeys.Keys {
	t.Helper()
	k, err := logkeys.LoadOrCreate(t.TempDir(), origin)
	must(t, err)
	return k
}

func begin(t testing.TB, s Journal, dir string, k logkeys.Keys) *Ledger {
	t.Helper()
	l, err := Open(Options{Dir: dir, Journal: s, Keys: k, Interval: time.Hour, Now: time.Now, Log: zaptest.NewLogger(t),
		Alarm: func() {}})
	must(t, err)
	return l
}

// passes goes on until nobody else is in the way, as Run does.
func passes(t testing.TB, l *Ledger) {
	t.Helper()
	for {
		err := l.pass(t.Context())
		if errors.Is(err, errOther) {
			l.close()
			continue
		}
		must(t, err)
		return
	}
}

// contents are all files below a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		found[strings.TrimPrefix(name, dir)] = string(data)
		return err
	}))
	return found
}

func same(t testing.TB, a, b string) {
	t.Helper()
	one, other := contents(t, a), contents(t, b)
	for name, data := range one {
		if there, ok := other[name]; !ok || there != data {
			t.Errorf("%s: there %t, equal %t", name, ok, there == data)
		}
	}
	for name := range other {
		if _, ok := one[name]; !ok {
			t.Errorf("%s is only in the other", name)
		}
	}
}

func chance() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) } // #nosec G404 -- the same in each run
