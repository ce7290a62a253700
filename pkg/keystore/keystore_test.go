package keystore_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// world is a bus with the key stores of several services, which share a secret.
type world struct {
	*testing.T
	bus    *journaltest.Bus
	secret keystore.Secret
}

func newWorld(t *testing.T, servers int) *world {
	secret, err := keystore.LoadOrCreate(t.TempDir())
	must(t, err)
	return &world{t, journaltest.Start(t, servers), secret}
}

func (w *world) store(id bus.Identity) *keystore.Store {
	w.Helper()
	s, err := keystore.New(w.Context(), w.bus.Connect(w, id), w.secret, zap.NewNop())
	must(w.T, err)
	return s
}

func answered(question string) *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: "contoso", Kind: "request", AggregateId: "r", Version: 6,
		Actor: &lockboxv1.Actor{Person: &lockboxv1.Person{Issuer: "https://id.example", Subject: "erin",
			DisplayName: "Erin Engineer", Email: "erin@provider.example"}},
		Fact: &lockboxv1.Event_QuestionAnswered{QuestionAnswered: &lockboxv1.QuestionAnswered{Text: question}},
	}
}

func (w *world) seal(s *keystore.Store, e *lockboxv1.Event) *lockboxv1.Event {
	w.Helper()
	sealed, err := s.Seal(w.Context(), e)
	must(w.T, err)
	if !erasable.Sealed(sealed) || erasable.Sealed(e) {
		w.Fatal("the event is not encrypted, or the one that was given is")
	}
	return sealed
}

func (w *world) open(s *keystore.Store, e *lockboxv1.Event) *lockboxv1.Event {
	w.Helper()
	opened := proto.CloneOf(e)
	must(w.T, s.Open(w.Context(), opened))
	return opened
}

func TestOneServiceReadsWhatAnotherEncrypted(t *testing.T) {
	w := newWorld(t, 1)
	evaluator, notifier := w.store(bus.Evaluator), w.store(bus.Notifier)
	for range 150 { // more than two pages hold keys for
		e := answered("The disk is full.")
		if got := w.open(notifier, w.seal(evaluator, e)); !proto.Equal(got, e) {
			t.Fatalf("read: %v", got)
		}
	}
	// Two writers give one person one key.
	a, b := w.seal(evaluator, answered("x")), w.seal(notifier, answered("y"))
	if a.GetActor().GetPerson().GetEmail() != b.GetActor().GetPerson().GetEmail() {
		t.Error("a person has two keys")
	}
}

func TestADestroyedKeyIsGoneEverywhere(t *testing.T) {
	w := newWorld(t, 1)
	evaluator, orchestrator, projector := w.store(bus.Evaluator), w.store(bus.Orchestrator), w.store(bus.Projector)
	var told atomic.Int32
	projector.OnForget(func() { told.Add(1) })
	first, second := w.seal(evaluator, answered("first")), w.seal(evaluator, answered("second"))
	w.open(projector, first) // and is remembered
	n, err := orchestrator.Destroy(t.Context(), "an-erasure", erasable.Keys(first, true)...)
	must(t, err)
	if n != 1 {
		t.Errorf("%d keys were destroyed", n)
	}
	eventually(t, func() bool { return w.open(projector, first).GetQuestionAnswered().GetText() == erasable.Erased })
	if told.Load() == 0 {
		t.Error("nobody was told to forget")
	}
	if got := w.open(projector, second); !proto.Equal(got, answered("second")) {
		t.Errorf("the next text, with a key on the same page, reads %v", got)
	}
	if got := w.open(projector, first).GetActor(); !proto.Equal(got, answered("").GetActor()) {
		t.Errorf("the person who wrote it reads %v", got)
	}
	// Once more, as after a crash.
	n, err = orchestrator.Destroy(t.Context(), "an-erasure", erasable.Keys(first, true)...)
	must(t, err)
	if n != 0 {
		t.Errorf("%d keys were destroyed again", n)
	}
	// The servers have nothing but a version of the page without it.
	if v := w.stored(erasable.Keys(first, true)[0].Page); len(v) != 1 || v[0].Subject[len(v[0].Subject)-2:] == ".0" {
		t.Errorf("%d versions of the page are there: %v", len(v), v)
	}
}

func TestAPersonWhoComesBackGetsAnotherKey(t *testing.T) {
	w := newWorld(t, 1)
	orchestrator := w.store(bus.Orchestrator)
	erin := erasable.Owner{Issuer: "https://id.example", Subject: "erin"}
	before := w.seal(orchestrator, answered("x"))
	ids, err := orchestrator.OwnerKeys(t.Context(), "contoso", erin)
	must(t, err)
	if len(ids) != 1 {
		t.Fatalf("%d keys", len(ids))
	}
	_, err = orchestrator.Destroy(t.Context(), "an-erasure", ids...)
	must(t, err)
	after := w.seal(orchestrator, answered("x"))
	if p := w.open(orchestrator, before).GetActor().GetPerson(); !p.GetErased() || p.GetDisplayName() != "" {
		t.Errorf("before, they were %v", p)
	}
	if p := w.open(orchestrator, after).GetActor().GetPerson(); p.GetErased() || p.GetDisplayName() == "" {
		t.Errorf("after, they are %v", p)
	}
	// Elsewhere the same person has another key.
	elsewhere := answered("x")
	elsewhere.Tenant = "fabrikam"
	w.seal(orchestrator, elsewhere)
	if ids, err = orchestrator.OwnerKeys(t.Context(), "fabrikam", erin); err != nil || len(ids) != 1 {
		t.Errorf("%d keys, %v", len(ids), err)
	}
}

func TestKeysCanBeTakenAwayOnlyByWhoeverMay(t *testing.T) {
	w := newWorld(t, 1)
	evaluator := w.store(bus.Evaluator)
	sealed := w.seal(evaluator, answered("x"))
	for _, id := range []bus.Identity{bus.Evaluator, bus.Notifier, bus.Projector, bus.Compliance} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if n, err := w.store(id).Destroy(ctx, "an-erasure", erasable.Keys(sealed, false)...); err == nil {
			t.Errorf("%s destroyed %d keys", id, n)
		}
		cancel()
	}
	if got := w.open(w.store(bus.Notifier), sealed); !proto.Equal(got, answered("x")) {
		t.Errorf("read: %v", got)
	}
}

func TestASecretIsReadBack(t *testing.T) {
	dir := t.TempDir()
	made, err := keystore.LoadOrCreate(dir)
	must(t, err)
	again, err := keystore.LoadOrCreate(dir)
	must(t, err)
	read, err := keystore.ReadSecret(config.SecretFile(filepath.Join(dir, keystore.SecretFile)))
	must(t, err)
	if made != again || made != read {
		t.Error("it is another")
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never is")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
