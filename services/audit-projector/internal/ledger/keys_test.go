package ledger

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"golang.org/x/mod/sumdb/note"
)

func read(t *testing.T, dir string) logkeys.Keys {
	t.Helper()
	k, err := logkeys.LoadOrCreate(dir, origin)
	must(t, err)
	return k
}

// The old keys say themselves which one is the next, before anything is signed with it.
func TestANewKeyIsRecordedBeforeItSigns(t *testing.T) {
	s, dir, secrets := &stream{t: t}, t.TempDir(), t.TempDir()
	first := read(t, secrets)
	s.comments(chance(), 5)
	passes(t, begin(t, s, dir, first))
	must(t, logkeys.Rotate(secrets))
	overlap := read(t, secrets)
	for range 2 { // the second time, it is on record
		s.comments(chance(), 5)
		passes(t, begin(t, s, dir, overlap))
	}
	must(t, logkeys.Finish(secrets))
	s.comments(chance(), 5)
	passes(t, begin(t, s, dir, read(t, secrets)))

	old, err := note.NewVerifier(first.Verifiers[0])
	must(t, err)
	next, err := note.NewVerifier(overlap.Verifiers[0])
	must(t, err)
	var order []string
	for _, e := range s.entries {
		var text string
		by := note.VerifierList(old, next)
		switch {
		case e.Event.GetLogKeyChanged() != nil:
			text = "change by " + signers(t, e.Event.GetLogKeyChanged().GetNote(), by)
		case e.Event.GetCheckpointSigned() != nil:
			text = "checkpoint by " + signers(t, e.Event.GetCheckpointSigned().GetNote(), by)
		default:
			continue
		}
		if len(order) == 0 || order[len(order)-1] != text {
			order = append(order, text)
		}
	}
	want := []string{"checkpoint by 1", "change by 2", "checkpoint by 2", "checkpoint by 1"}
	if !slices.Equal(order, want) {
		t.Errorf("the stream says %q, want %q", order, want)
	}
	// From nothing, with the key that counts now, the same trees.
	rebuilt := t.TempDir()
	passes(t, begin(t, s, rebuilt, read(t, secrets)))
	same(t, dir, rebuilt)
}

func signers(t *testing.T, signed string, by note.Verifiers) string {
	t.Helper()
	n, err := note.Open([]byte(signed), by)
	must(t, err)
	return strconv.Itoa(len(n.Sigs))
}

// Trees that are ahead of the stream were signed before the stream was replaced by an older copy of it.
func TestTreesAheadOfTheStreamSignNothing(t *testing.T) {
	s, dir, k := &stream{t: t}, t.TempDir(), keys(t)
	s.comments(chance(), 5)
	passes(t, begin(t, s, dir, k))
	backup := len(s.entries)
	s.comments(chance(), 5)
	passes(t, begin(t, s, dir, k))
	s.entries = s.entries[:backup]
	s.comments(rand.New(rand.NewPCG(3, 4)), 20) // #nosec G404 -- it goes on, differently
	signed := len(s.checkpoints())
	l := begin(t, s, dir, k)
	for pass := 1; ; pass++ {
		err := l.pass(t.Context())
		if err == nil {
			t.Fatal("a pass came to its end")
		}
		l.close()
		if errors.Is(err, ErrDiffers) {
			if pass < doubtful {
				t.Errorf("a replica that lags would be called a contradiction: %v", err)
			}
			break
		}
		if pass > doubtful {
			t.Fatalf("pass %d: %v", pass, err)
		}
	}
	if now := len(s.checkpoints()); now != signed {
		t.Errorf("%d checkpoints were signed", now-signed)
	}
}

// What no tree holds no repair brings back: the report of the last checkpoint. It is made once more.
func TestAReportThatARepairCannotBringBackIsMadeAgain(t *testing.T) {
	s, dir, k := &stream{t: t}, t.TempDir(), keys(t)
	s.comments(chance(), 5)
	l := begin(t, s, dir, k)
	passes(t, l)
	s.entries = s.entries[:l.Covered()]
	passes(t, begin(t, s, dir, k))
	s.comments(chance(), 5)
	passes(t, begin(t, s, dir, k))
	if n := len(s.checkpoints()); n != 2 {
		t.Errorf("%d checkpoints are reported, want 2", n)
	}
	rebuilt := t.TempDir()
	passes(t, begin(t, s, rebuilt, k))
	same(t, dir, rebuilt)
}
