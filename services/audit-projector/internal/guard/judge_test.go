package guard

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// forged is a stream of seven messages, of which the third is signed by nobody.
type forged struct {
	slow
	judged []uint64
	away   error
	event  bool // the third is one after all
}

func (f *forged) Judge(_ context.Context, s journal.Stored) (journal.Misfit, bool, error) {
	if f.away != nil {
		return journal.Misfit{}, false, f.away
	}
	f.judged = append(f.judged, s.Sequence)
	return journal.Misfit{Seq: s.Sequence, SHA256: []byte{3}, Rule: "its writer has signed it"}, s.Sequence == 3, nil
}

func (f *forged) Misfit(_ context.Context, sequence uint64) (journal.Misfit, error) {
	if f.event {
		return journal.Misfit{}, refusal.Precondition("sequence", "I6", "message %d is an event", sequence)
	}
	return journal.Misfit{Seq: sequence}, nil
}

func begin(f *forged, file string) *Guard {
	return &Guard{Stream: f, Ledger: uptodate{}, Log: zap.NewNop(), File: file}
}

func sees(t *testing.T, g *Guard, from, to uint64) {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		if refused, err := g.Judge(t.Context(), journal.Stored{Sequence: seq}); err != nil || refused != (seq == 3) {
			t.Fatalf("message %d: refused %t, %v", seq, refused, err)
		}
	}
}

// Signatures are dear to verify, and a process that starts again has the same stream.
func TestEachMessageIsJudgedOnce(t *testing.T) {
	f, file := &forged{}, filepath.Join(t.TempDir(), "judged.json")
	g := begin(f, file)
	g.conclude(verdict{well: true, begun: time.Now()})
	sees(t, g, 1, 2)
	if _, vouched := g.vouches(); !vouched {
		t.Error("nothing is vouched for, although all is well")
	}
	sees(t, g, 3, 7) // the ledger
	if _, vouched := g.vouches(); vouched {
		t.Error("what nobody has signed is vouched for")
	}
	sees(t, g, 1, 7) // the comparison
	if want := []uint64{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(f.judged, want) {
		t.Errorf("judged %v, want %v", f.judged, want)
	}
	g.keep()
	again := begin(f, file)
	sees(t, again, 5, 9)
	if want := []uint64{8, 9}; !slices.Equal(f.judged[7:], want) {
		t.Errorf("after a restart judged %v, want %v", f.judged[7:], want)
	}
	found, err := again.notEvents(t.Context())
	if err != nil || len(found) != 1 || found[0].GetFirstSequence() != 3 ||
		found[0].GetKind() != lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT {
		t.Errorf("after a restart found %v, %v", found, err)
	}
	sees(t, again, 1, 9) // whoever reads it all again
}

// What the ledger judges first may come after what nobody has judged yet.
func TestWhatStandsBeforeIsJudgedToo(t *testing.T) {
	f := &forged{}
	g := begin(f, "")
	sees(t, g, 5, 6)
	sees(t, g, 1, 7)
	slices.Sort(f.judged)
	if want := []uint64{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(slices.Compact(f.judged), want) || !g.misfits.any() {
		t.Errorf("judged %v", f.judged)
	}
}

func TestWhatCannotBeJudgedIsJudgedLater(t *testing.T) {
	f := &forged{away: errors.New("the bus is away")}
	g := begin(f, "")
	if _, err := g.Judge(t.Context(), journal.Stored{Sequence: 1}); !errors.Is(err, f.away) {
		t.Error(err)
	}
	f.away = nil
	sees(t, g, 1, 1)
	if len(f.judged) != 1 {
		t.Errorf("judged %v", f.judged)
	}
}

// What was judged by an event that was missing then is judged again, so that nothing stays open after a repair.
func TestWhatIsAnEventAfterAllIsNotHeldAgainstTheStream(t *testing.T) {
	f := &forged{}
	g := begin(f, filepath.Join(t.TempDir(), "judged.json"))
	sees(t, g, 1, 7)
	if found, err := g.notEvents(t.Context()); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	f.event = true
	if found, err := g.notEvents(t.Context()); err != nil || len(found) > 0 || g.misfits.any() {
		t.Errorf("found %v, %v", found, err)
	}
	if refused, err := g.Judge(t.Context(), journal.Stored{Sequence: 3}); err != nil || refused {
		t.Errorf("it is still refused: %v", err)
	}
}
