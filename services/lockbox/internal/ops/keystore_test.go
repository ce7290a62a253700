package ops

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// erasing is a bus with a ticket whose texts were erased and one whose texts were not, with a backup from before.
type erasing struct {
	*testing.T
	bus          *journaltest.Bus
	keys, backup string
	secret       keystore.Secret
	store        *keystore.Store
	js           jetstream.JetStream
	erased, kept aggregate.Key
	key          erasable.KeyID
	// before are the store's messages when the backup was made.
	before []*jetstream.RawStreamMsg
}

func newErasing(t *testing.T) *erasing {
	t.Helper()
	w := &erasing{T: t, bus: journaltest.Start(t, 1), keys: t.TempDir()}
	for id, seed := range w.bus.Keys {
		must(t, os.WriteFile(filepath.Join(w.keys, bus.SeedFile(id)), seed, 0o600))
	}
	var err error
	w.secret, err = keystore.LoadOrCreate(w.keys)
	must(t, err)
	nc := w.bus.Connect(t, bus.Orchestrator)
	w.js, err = bus.JetStream(nc)
	must(t, err)
	w.store, err = keystore.New(t.Context(), nc, w.secret, zap.NewNop())
	must(t, err)
	j := w.bus.Journal(t, bus.Orchestrator, journal.WithDetails(w.store))
	tenant := journaltest.NewTenant()
	w.erased, w.kept = aggregate.Ticket(tenant, journaltest.NewID()), aggregate.Ticket(tenant, journaltest.NewID())
	for _, about := range []aggregate.Key{w.erased, w.kept} {
		_, err := j.Append(t.Context(), 0, journaltest.Event(about, 1))
		must(t, err)
	}
	entries, err := w.bus.Journal(t, bus.Orchestrator).Load(t.Context(), w.erased)
	must(t, err)
	stored := new(lockboxv1.Event)
	must(t, proto.Unmarshal(entries[0].Data, stored))
	w.key = erasable.Keys(stored, true)[0]

	w.backup = filepath.Join(t.TempDir(), "keys")
	answers(t, "pages are in", "keystore", "backup", w.backup, "--url", w.bus.URL(), "--keys", w.keys)
	w.before = w.messages()
	by := &lockboxv1.Person{Issuer: "https://id.example", Subject: "grace"}
	about := aggregate.Erasure(tenant, journaltest.NewID())
	target := &lockboxv1.ErasureTarget{KeyIds: [][]byte{w.key.Bytes()}, What: &lockboxv1.ErasureTarget_Texts{
		Texts: &lockboxv1.ErasedTexts{Kind: w.erased.Kind, AggregateId: w.erased.ID, Version: "1"}}}
	decided, done := journaltest.Event(about, 1), journaltest.Event(about, 2)
	decided.Time, done.Time = timestamppb.Now(), timestamppb.Now()
	decided.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: by}
	decided.Fact = &lockboxv1.Event_ErasureDecided{ErasureDecided: &lockboxv1.ErasureDecided{
		Targets: []*lockboxv1.ErasureTarget{target}, Reason: "they asked"}}
	after, err := j.Append(t.Context(), 0, decided)
	must(t, err)
	_, err = w.store.Destroy(t.Context(), about.ID, w.key)
	must(t, err)
	done.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: orchestrator.Name}
	done.Fact = &lockboxv1.Event_KeysDestroyed{KeysDestroyed: &lockboxv1.KeysDestroyed{Count: 1}}
	_, err = j.Append(t.Context(), after, done)
	must(t, err)
	return w
}

// messages are all of the key store.
func (w *erasing) messages() (all []*jetstream.RawStreamMsg) {
	w.Helper()
	stream, err := w.js.Stream(w.Context(), bus.StreamKeys)
	must(w.T, err)
	for from := uint64(1); ; {
		m, err := stream.GetMsg(w.Context(), from, jetstream.WithGetMsgSubject(">"))
		if err != nil {
			return all
		}
		all, from = append(all, m), m.Sequence+1
	}
}

// lose deletes the whole key store.
func (w *erasing) lose() {
	w.Helper()
	stream, err := w.js.Stream(w.Context(), bus.StreamKeys)
	must(w.T, err)
	for _, m := range w.messages() {
		must(w.T, stream.DeleteMsg(w.Context(), m.Sequence))
	}
}

// reads is what a ticket's text is for somebody who reads it now.
func (w *erasing) reads(about aggregate.Key) string {
	w.Helper()
	store, err := keystore.New(w.Context(), w.bus.Connect(w.T, bus.Projector), w.secret, zap.NewNop())
	must(w.T, err)
	entries, err := w.bus.Journal(w.T, bus.Projector, journal.WithDetails(store)).Load(w.Context(), about)
	must(w.T, err)
	return entries[0].Event.GetTicketCommented().GetText()
}

func TestWhatWasErasedStaysSoAfterARestore(t *testing.T) {
	w := newErasing(t)
	at := []string{"--url", w.bus.URL(), "--keys", w.keys}
	if info, err := os.Stat(w.backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	if code, _, _ := lockbox(t.Context(), append([]string{"keystore", "backup", w.backup}, at...)...); code == 0 {
		t.Error("a backup was replaced")
	}
	w.lose()
	if got := w.reads(w.kept); got != erasable.Unreadable {
		t.Fatalf("without the store it reads %q", got)
	}
	// One that should have been deleted long ago.
	b, err := keystore.TakeBackup(t.Context(), w.bus.Connect(t, bus.Compliance), time.Now().Add(-31*24*time.Hour))
	must(t, err)
	old := filepath.Join(t.TempDir(), "old")
	must(t, os.WriteFile(old, b.Bytes(), 0o600))
	code, _, errs := lockbox(t.Context(), append([]string{"keystore", "restore", old}, at...)...)
	if code == 0 || !strings.Contains(errs, old) || !strings.Contains(errs, "31 days old") ||
		!strings.Contains(errs, "--older") {
		t.Errorf("an old backup: %d, %s", code, errs)
	}
	answers(t, "0 of 0 pages", append([]string{"keystore", "restore", old, "--older"}, at...)...)

	answers(t, "pages were missing, and are there again", append([]string{"keystore", "restore", w.backup}, at...)...)
	if got := w.reads(w.kept); got != "the disk reports errors" {
		t.Errorf("what was kept reads %q", got)
	}
	if got := w.reads(w.erased); got != erasable.Erased {
		t.Errorf("what was erased reads %q", got)
	}
}

func TestBackupsOfKeysAreDeletedInTime(t *testing.T) {
	w := newErasing(t)
	dir := t.TempDir()
	made := func(days int) string { return time.Now().UTC().AddDate(0, 0, -days).Format(backupName) }
	old, young := made(31), made(29)
	for _, name := range []string{old, young, "notes.keys", "lockbox-2020.keys"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	answers(t, "Deleted "+filepath.Join(dir, old), "keystore", "backup", dir, "--url", w.bus.URL(), "--keys", w.keys)
	left := files(dir)
	if len(left) != 4 || slices.Contains(left, old) || !slices.Contains(left, young) {
		t.Errorf("left are %v", left)
	}
}

// The files of the bus were restored, with the key store as it was before the erasure. What was erased is destroyed
// again before the orchestrator does anything else.
func TestWhatWasErasedIsDestroyedAgainAtTheStart(t *testing.T) {
	w := newErasing(t)
	w.lose()
	for _, m := range w.before {
		_, err := w.js.Publish(t.Context(), m.Subject, m.Data)
		must(t, err)
	}
	if got := w.reads(w.erased); got != "the disk reports errors" {
		t.Fatalf("before the start it reads %q", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	rt, err := service.Open(ctx, bus.Connection{InProcess: w.bus, Identity: bus.Orchestrator,
		Seed: w.bus.Keys[bus.Orchestrator], Log: zap.NewNop()}, nil, observe.NewMetrics().For(orchestrator.Name),
		service.WithSecret(&w.secret))
	must(t, err)
	defer rt.Close()
	ended := make(chan error)
	go func() { ended <- orchestrator.Run(ctx, rt, orchestrator.Config{Terms: request.DefaultTerms()}) }()
	within(t, "the key is destroyed again", func() bool { return w.reads(w.erased) == erasable.Erased })
	if got := w.reads(w.kept); got != "the disk reports errors" {
		t.Errorf("what was kept reads %q", got)
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func answers(t *testing.T, want string, args ...string) {
	t.Helper()
	if out := succeeds(t, args...); !strings.Contains(out, want) {
		t.Errorf("lockbox %v says %q, which has no %q", args, out, want)
	}
}
