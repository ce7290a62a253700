package keystore_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// js is JetStream as an identity reaches it.
func (w *world) js(id bus.Identity) jetstream.JetStream {
	w.Helper()
	js, err := bus.JetStream(w.bus.Connect(w, id))
	must(w.T, err)
	return js
}

// stored are the versions of a page that the servers have.
func (w *world) stored(page erasable.PageID) (all []*jetstream.RawStreamMsg) {
	w.Helper()
	stream, err := w.js(bus.Projector).Stream(w.Context(), bus.StreamKeys)
	must(w.T, err)
	for from := uint64(1); ; {
		m, err := stream.GetMsg(w.Context(), from,
			jetstream.WithGetMsgSubject(bus.KeyPageFilter(hex.EncodeToString(page[:]))))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		must(w.T, err)
		all, from = append(all, m), m.Sequence+1
	}
}

func TestADestroyedKeyCannotBeBroughtBack(t *testing.T) {
	w := newWorld(t, 1)
	evaluator, orchestrator := w.store(bus.Evaluator), w.store(bus.Orchestrator)
	sealed := w.seal(evaluator, answered("x"))
	key := erasable.Keys(sealed, true)[0]
	before := w.stored(key.Page)[0]
	_, err := orchestrator.Destroy(t.Context(), "an-erasure", key)
	must(t, err)
	// Whoever may add pages stores the old one where it was, which is free again.
	_, err = w.js(bus.Evaluator).Publish(t.Context(), before.Subject, before.Data)
	must(t, err)
	reader := w.store(bus.Projector)
	if got := w.open(reader, sealed).GetQuestionAnswered().GetText(); got != erasable.Erased {
		t.Fatalf("it reads %q", got)
	}
	// It lies there all the same, until it is destroyed again.
	left, err := orchestrator.Left(t.Context(), []erasable.KeyID{key})
	must(t, err)
	if len(left) != 1 {
		t.Error("nobody finds it")
	}
	_, err = orchestrator.Destroy(t.Context(), "again", left...)
	must(t, err)
	if left, err = orchestrator.Left(t.Context(), left); err != nil || len(left) != 0 || len(w.stored(key.Page)) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A process may end after any step. What it began is finished by the next one.
func TestADestructionThatWasInterruptedIsFinished(t *testing.T) {
	w := newWorld(t, 1)
	evaluator, orchestrator := w.store(bus.Evaluator), w.store(bus.Orchestrator)
	sealed := w.seal(evaluator, answered("x"))
	key := erasable.Keys(sealed, true)[0]
	before := w.stored(key.Page)[0]
	_, err := orchestrator.Destroy(t.Context(), "an-erasure", key)
	must(t, err)
	// As if the page without the key had been stored, and the one with it not yet deleted.
	after := w.stored(key.Page)[0]
	stream, err := w.js(bus.Orchestrator).Stream(t.Context(), bus.StreamKeys)
	must(t, err)
	must(t, stream.DeleteMsg(t.Context(), after.Sequence))
	for _, m := range []*jetstream.RawStreamMsg{before, after} {
		_, err = w.js(bus.Orchestrator).Publish(t.Context(), m.Subject, m.Data)
		must(t, err)
	}
	_, err = orchestrator.Destroy(t.Context(), "an-erasure", key)
	must(t, err)
	if got := w.open(w.store(bus.Projector), sealed).GetQuestionAnswered().GetText(); got != erasable.Erased {
		t.Errorf("it reads %q", got)
	}
	if v := w.stored(key.Page); len(v) != 1 {
		t.Errorf("%d versions", len(v))
	}
}

// Two orchestrators may carry out two erasures at once, or one twice.
func TestManyDestroyAtOnce(t *testing.T) {
	w := newWorld(t, 1)
	evaluator := w.store(bus.Evaluator)
	var keys []erasable.KeyID
	for range 6 {
		keys = append(keys, erasable.Keys(w.seal(evaluator, answered("x")), true)...)
	}
	kept := w.seal(evaluator, answered("kept"))
	done := make(chan error)
	for i := range 4 {
		s := w.store(bus.Orchestrator)
		go func() {
			_, err := s.Destroy(t.Context(), "erasure-"+string(rune('a'+i%3)), keys[i:i+3]...)
			done <- err
		}()
	}
	for range 4 {
		must(t, <-done)
	}
	s := w.store(bus.Orchestrator)
	if left, err := s.Left(t.Context(), keys); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if got := w.open(s, kept); !proto.Equal(got, answered("kept")) {
		t.Errorf("what was kept reads %v", got)
	}
}

// Where a server encrypts what it stores, it does not overwrite what is deleted.
func TestTheFilesOfDestroyedKeysAreRemoved(t *testing.T) {
	key := t.TempDir()
	must(t, bus.CreateStoreKey(key))
	secret, err := keystore.LoadOrCreate(t.TempDir())
	must(t, err)
	encrypted := func(o *bus.ServerOptions) { o.StoreKey = filepath.Join(key, bus.StoreKeyFile) }
	w := &world{t, journaltest.Start(t, 1, encrypted), secret}
	sealed := w.seal(w.store(bus.Evaluator), answered("x"))
	files := func() (paths []string) {
		must(t, filepath.WalkDir(w.bus.StoreDir(0), func(path string, _ fs.DirEntry, err error) error {
			if strings.Contains(path, bus.StreamKeys) && filepath.Ext(path) == ".blk" {
				paths = append(paths, path)
			}
			return err
		}))
		return paths
	}
	before := files()
	if len(before) == 0 {
		t.Fatal("there are no files")
	}
	_, err = w.store(bus.Orchestrator).Destroy(t.Context(), "an-erasure", erasable.Keys(sealed, false)...)
	must(t, err)
	for _, path := range files() {
		if slices.Contains(before, path) {
			t.Errorf("%s is still there", filepath.Base(path))
		}
	}
}

func TestADestroyedKeyIsGoneFromEveryServer(t *testing.T) {
	w := newWorld(t, 3)
	evaluator, reader := w.store(bus.Evaluator), w.store(bus.Projector)
	first, second := w.seal(evaluator, answered("first")), w.seal(evaluator, answered("second"))
	key := erasable.Keys(first, true)[0]
	page := w.stored(key.Page)[0].Data
	has := func(server int) (found bool) {
		must(t, filepath.WalkDir(w.bus.StoreDir(server), func(path string, _ fs.DirEntry, err error) error {
			// Not the servers' log of what they agree on, from which they delete by themselves after some minutes.
			if err == nil && filepath.Ext(path) == ".blk" && strings.Contains(path, filepath.Join("streams", bus.StreamKeys)) {
				data, err := os.ReadFile(path)
				found = found || bytes.Contains(data, page)
				return err
			}
			return err
		}))
		return found
	}
	for i := range 3 {
		eventually(t, func() bool { return has(i) })
	}
	// One is away while the key is destroyed.
	w.bus.StopServer(2)
	_, err := w.store(bus.Orchestrator).Destroy(t.Context(), "an-erasure", key)
	must(t, err)
	eventually(t, func() bool { return w.open(reader, first).GetQuestionAnswered().GetText() == erasable.Erased })
	if got := w.open(w.store(bus.Projector), second); !proto.Equal(got, answered("second")) {
		t.Errorf("while a server is away, the next text reads %v", got)
	}
	w.bus.Resume(t)
	for i := range 3 {
		eventually(t, func() bool { return !has(i) })
	}
}

func TestAnotherSecretReadsAndWritesNothing(t *testing.T) {
	w := newWorld(t, 1)
	sealed := w.seal(w.store(bus.Evaluator), answered("x"))
	stored := len(w.stored(erasable.Keys(sealed, false)[0].Page))
	other, err := keystore.LoadOrCreate(t.TempDir())
	must(t, err)
	s, err := keystore.New(t.Context(), w.bus.Connect(t, bus.Notifier), other, zap.NewNop())
	must(t, err)
	if err := s.Open(t.Context(), proto.CloneOf(sealed)); !errors.Is(err, keystore.ErrOtherSecret) {
		t.Errorf("reading: %v", err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, keystore.ErrOtherSecret) {
		t.Errorf("checking: %v", err)
	}
	if _, err := s.Seal(t.Context(), answered("y")); err == nil {
		t.Error("it writes")
	}
	if now := len(w.stored(erasable.Keys(sealed, false)[0].Page)); now != stored {
		t.Errorf("%d versions", now)
	}
	must(t, w.store(bus.Projector).Check(t.Context()))
}

// A page that somebody damages, or that was never one, stops nobody who reads on.
func TestADamagedPageIsUnreadable(t *testing.T) {
	w := newWorld(t, 1)
	evaluator := w.store(bus.Evaluator)
	w.seal(evaluator, answered("x"))
	forged := erasable.KeyID{Page: erasable.PageID{1}}
	subject := bus.KeyPageSubject(hex.EncodeToString(forged.Page[:]), 0)
	_, err := w.js(bus.Notifier).Publish(t.Context(), subject, []byte("forged"))
	must(t, err)
	e := answered(erasable.Encrypt(forged, erasable.Key{}, "x"))
	if got := w.open(w.store(bus.Projector), e).GetQuestionAnswered().GetText(); got != erasable.Unreadable {
		t.Errorf("it reads %q", got)
	}
	_, err = w.store(bus.Orchestrator).Destroy(t.Context(), "an-erasure", forged)
	must(t, err)
}
