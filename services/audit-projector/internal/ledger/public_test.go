package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"go.uber.org/zap/zaptest"
)

// quorum is two of three witnesses, which the test has cosign.
type quorum struct {
	t      *testing.T
	policy *merkle.Policy
	keys   []*merkle.Cosigner
}

func (q *quorum) Sizes(context.Context) (map[string]int64, error) { return map[string]int64{}, nil }
func (q *quorum) Follow(context.Context, map[string]int64) error  { return nil }
func (q *quorum) Enough(signed []byte) bool {
	_, err := q.policy.Open(signed)
	return err == nil
}

// cosigns has a witness cosign a note, and the ledger take the cosignature.
func (q *quorum) cosigns(l *Ledger, witness int, note []byte, at time.Time) error {
	q.t.Helper()
	line, err := q.keys[witness].Line(note, at)
	must(q.t, err)
	return l.Cosign(q.policy, line)
}

func witnessed(t *testing.T, s Journal, dir string, k logkeys.Keys) (*Ledger, *quorum) {
	t.Helper()
	q := &quorum{t: t}
	policy := "log " + k.Verifiers[0] + "\n"
	for i := range 3 {
		c, err := merkle.NewCosigner(fmt.Sprintf("w%d", i), ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%032d", i))))
		must(t, err)
		q.keys = append(q.keys, c)
		policy += fmt.Sprintf("witness w%d %s\n", i, c.VerifierKey())
	}
	var err error
	q.policy, err = merkle.ParsePolicy([]byte(policy + "group two 2 w0 w1 w2\nquorum two\n"))
	must(t, err)
	l, err := Open(Options{Dir: dir, Journal: s, Keys: k, Interval: time.Hour, Now: time.Now, Log: zaptest.NewLogger(t),
		Alarm: func() {}, Witnesses: q})
	must(t, err)
	return l, q
}

// Everybody is shown a checkpoint once its quorum has cosigned it, and the last one that it has until then, also after
// a restart; the log goes on meanwhile. What is shown is proven from the tiles of the larger trees.
func TestWhatIsShownHasItsQuorum(t *testing.T) {
	s, k, dir := &stream{t: t}, keys(t), t.TempDir()
	l, q := witnessed(t, s, dir, k)
	now := time.Now()
	var seen merkle.Seen
	shows := func(want int64) {
		t.Helper()
		note, err := l.Public().Checkpoint()
		if want == 0 {
			if !errors.Is(err, ErrNone) {
				t.Fatalf("it shows %s, %v", note, err)
			}
			return
		}
		must(t, err)
		signed, err := q.policy.Open(note)
		must(t, err)
		if signed.Tree.N != want {
			t.Fatalf("it shows size %d, want %d", signed.Tree.N, want)
		}
		size := int64(0)
		if seen.Checkpoint != "" {
			before, err := q.policy.Open([]byte(seen.Checkpoint))
			must(t, err)
			size = before.Tree.N
		}
		seen.Tenant = "tenant-1"
		next, err := l.Public().Sighting("tenant-1", size, seen.Opening.Size)
		must(t, err)
		seen, err = merkle.Follow(seen, next, q.policy)
		must(t, err)
		must(t, merkle.Scrub(served{l, "tenant-1"}, seen.Opening.Tree()))
		for _, path := range []int64{0, 1, want} {
			g, err := l.Public().Growth(path)
			must(t, err)
			if g.Checkpoint != string(note) {
				t.Error("the growth is to another checkpoint")
			}
		}
		if _, err := l.Public().Growth(want + 1); !errors.Is(err, ErrNoTree) {
			t.Errorf("growth from what is not shown: %v", err)
		}
	}
	random := chance()
	grow := func() []byte {
		t.Helper()
		s.comments(random, 40)
		passes(t, l)
		note, err := l.Checkpoint()
		must(t, err)
		return note
	}
	first := grow()
	shows(0)
	must(t, q.cosigns(l, 0, first, now))
	shows(0)
	must(t, q.cosigns(l, 2, first, now))
	shows(1)
	second, third := grow(), grow()
	shows(1)
	must(t, q.cosigns(l, 1, third, now))
	must(t, q.cosigns(l, 0, second, now)) // by a witness that is slow
	must(t, q.cosigns(l, 1, second, now))
	shows(2)
	must(t, q.cosigns(l, 2, third, now))
	shows(3)
	fourth := grow()
	shows(3)
	must(t, q.cosigns(l, 1, third, now.Add(time.Hour))) // cosigned again
	note, err := l.Public().Checkpoint()
	must(t, err)
	renewed, err := q.policy.Open(note)
	must(t, err)
	if len(renewed.Cosigned) != 2 || renewed.Cosigned[1].At.Sub(now) < time.Minute {
		t.Errorf("the later cosignature is not shown: %+v", renewed.Cosigned)
	}
	if err := q.cosigns(l, 0, first, now); err == nil {
		t.Error("a checkpoint of before is cosigned")
	}

	l, q = witnessed(t, s, dir, k) // started again
	passes(t, l)
	shows(3)
	_, err = l.Public().Receipt(t.Context(), "tenant-1", "x", []Wanted{{Sequence: 1}}, 1)
	if !errors.Is(err, ErrNotCovered) {
		t.Errorf("without heads: %v", err)
	}
	must(t, q.cosigns(l, 0, fourth, now))
	must(t, q.cosigns(l, 1, fourth, now))
	shows(4)
	l, q = witnessed(t, s, dir, k)
	passes(t, l)
	shows(4)
	must(t, os.WriteFile(filepath.Join(dir, publicFile), []byte(`{"checkpoint":"x"}`), 0o600))
	l, _ = witnessed(t, s, dir, k)
	passes(t, l)
	shows(0)
}

// A checkpoint that covers what contradicts itself covers the record of that too, whoever signs it.
func TestNothingIsSignedThatDoesNotSayWhatIsWrongWithIt(t *testing.T) {
	s, k := &stream{t: t}, keys(t)
	said := map[uint64]bool{}
	watched := func() *Ledger {
		l := begin(t, s, t.TempDir(), k)
		var found []uint64
		l.Order = func(_ context.Context, m journal.Stored) error {
			if len(found) == 0 { // what follows it is wrong for the same reason
				found = append(found, m.Sequence)
			}
			return nil
		}
		l.Say = func(ctx context.Context) (through uint64, err error) {
			for _, sequence := range found {
				at := aggregate.Guard
				seq, _, err := s.Report(ctx, &lockboxv1.Event{
					Id: fmt.Sprintf("019b0000-0000-7000-9000-%012d", sequence), Tenant: at.Tenant, Kind: at.Kind,
					AggregateId: at.ID, ReportKey: fmt.Sprint(sequence),
					Fact: &lockboxv1.Event_DifferenceFound{DifferenceFound: &lockboxv1.DifferenceFound{FirstSequence: sequence}},
				})
				if err != nil {
					return 0, err
				}
				said[sequence] = true
				through = max(through, seq)
			}
			return through, nil
		}
		return l
	}
	one, other := watched(), watched()
	comment(s, 1)
	comment(s, 2)
	passes(t, one)
	if len(said) > 0 || len(s.checkpoints()) != 1 {
		t.Fatalf("of an honest history %v is said", said)
	}
	wrong := comment(s, 2)
	comment(s, 3)
	passes(t, one)
	if n := len(s.checkpoints()); n != 1 || !said[wrong] {
		t.Fatalf("%d checkpoints, and said is %v", n, said)
	}
	if one.pause(time.Now()) > FirstInterval {
		t.Error("it is not said soon")
	}
	passes(t, one)
	passes(t, other)
	all := s.checkpoints()
	covered := all[len(all)-1].Event.GetCheckpointSigned().GetCoveredSequence()
	subject, err := bus.EventSubject(s.entries[covered-1].Event)
	must(t, err)
	if len(all) != 2 || s.entries[covered-1].Event.GetDifferenceFound() == nil {
		t.Errorf("%d checkpoints, and the last covers %s", len(all), subject)
	}
	comment(s, 4)
	passes(t, other)
	if len(s.checkpoints()) != 3 {
		t.Error("afterwards nothing is signed")
	}
}
