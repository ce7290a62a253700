package keystore_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

func TestALostStoreComesBackWithoutWhatWasErased(t *testing.T) {
	w := newWorld(t, 1)
	evaluator, orchestrator := w.store(bus.Evaluator), w.store(bus.Orchestrator)
	first, second := w.seal(evaluator, answered("first")), w.seal(evaluator, answered("second"))
	at := time.Date(2026, 5, 1, 2, 3, 4, 5, time.UTC)
	b, err := keystore.TakeBackup(t.Context(), w.bus.Connect(t, bus.Compliance), at)
	must(t, err)
	gone := erasable.Keys(first, true)
	_, err = orchestrator.Destroy(t.Context(), "an-erasure", gone...)
	must(t, err)
	file := b.Bytes()
	if b, err = keystore.ParseBackup(file); err != nil || !b.At.Equal(at.Truncate(time.Second)) || b.Pages() != 3 {
		t.Fatalf("read back: %v, %v", b, err)
	}
	// While the store is there, nothing of it is replaced.
	n, err := orchestrator.Restore(t.Context(), b, nil)
	must(t, err)
	left, err := orchestrator.Left(t.Context(), gone)
	if n != 0 || err != nil || len(left) != 0 {
		t.Errorf("%d pages were restored; left are %v, %v", n, left, err)
	}
	// Another bus, whose store is empty.
	w.bus = journaltest.Start(t, 1)
	other, err := keystore.LoadOrCreate(t.TempDir())
	must(t, err)
	stranger, err := keystore.New(t.Context(), w.bus.Connect(t, bus.Orchestrator), other, zap.NewNop())
	must(t, err)
	if n, err := stranger.Restore(t.Context(), b, nil); n != 0 || err == nil {
		t.Errorf("with another secret %d pages were restored", n)
	}
	orchestrator = w.store(bus.Orchestrator)
	n, err = orchestrator.Restore(t.Context(), b, gone)
	must(t, err)
	if n != b.Pages() {
		t.Errorf("%d pages of %d were restored", n, b.Pages())
	}
	reader := w.store(bus.Projector)
	must(t, reader.Check(t.Context()))
	if got := w.open(reader, second); !proto.Equal(got, answered("second")) {
		t.Errorf("the second reads %v", got)
	}
	if got := w.open(reader, first).GetQuestionAnswered().GetText(); got != erasable.Erased {
		t.Errorf("what was erased reads %q", got)
	}
	if left, err = orchestrator.Left(t.Context(), gone); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	// The person keeps their key.
	if again := w.seal(w.store(bus.Evaluator), answered("x")); email(again) != email(second) {
		t.Error("they have another key")
	}
}

func email(e *lockboxv1.Event) string { return e.GetActor().GetPerson().GetEmail() }

func TestABackupThatIsNotWholeIsRefused(t *testing.T) {
	w := newWorld(t, 1)
	w.seal(w.store(bus.Evaluator), answered("x"))
	b, err := keystore.TakeBackup(t.Context(), w.bus.Connect(t, bus.Compliance), time.Now())
	must(t, err)
	file := b.Bytes()
	for at := range file {
		changed := bytes.Clone(file)
		changed[at] ^= 1
		if _, err := keystore.ParseBackup(changed); err == nil {
			t.Fatalf("with byte %d changed it is read", at)
		}
		if _, err := keystore.ParseBackup(file[:at]); err == nil {
			t.Fatalf("the first %d bytes are read", at)
		}
	}
	if bytes.Contains(file, []byte("erin")) {
		t.Error("it names people")
	}
}
