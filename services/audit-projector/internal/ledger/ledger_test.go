package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

func TestACheckpointForWhatIsNewAndForNothingElse(t *testing.T) {
	t.Parallel()
	s, random := &stream{t: t}, chance()
	l := begin(t, s, t.TempDir(), keys(t))
	if passes(t, l); len(s.entries) != 0 {
		t.Fatal("an empty stream was signed")
	}
	if _, err := l.Checkpoint(); !errors.Is(err, ErrNone) {
		t.Errorf("it shows a checkpoint: %v", err)
	}
	for round := 1; round <= 5; round++ {
		s.comments(random, 7)
		passes(t, l)
		passes(t, l) // nothing came but the checkpoint itself
		passes(t, l)
		if n := len(s.checkpoints()); n != round {
			t.Fatalf("%d checkpoints after %d rounds", n, round)
		}
		last := s.checkpoints()[round-1].Event
		if shown, err := l.Checkpoint(); err != nil || string(shown) != last.GetCheckpointSigned().GetNote() {
			t.Errorf("it shows another checkpoint than the stream has: %v", err)
		}
		if covered := last.GetCheckpointSigned().GetCoveredSequence(); covered != uint64(round*8-1) ||
			l.Covered() != covered {
			t.Errorf("round %d covers %d, and shows %d", round, covered, l.Covered())
		}
	}
}

// What happens while the stream lacks an event may be about what it lacks, and take its place. The trees would then
// hold both, and nothing could be restored from them.
func TestNothingIsSignedWhileTheStreamLacksAnEvent(t *testing.T) {
	s := &stream{t: t}
	l := begin(t, s, t.TempDir(), keys(t))
	s.comments(chance(), 10)
	passes(t, l)
	s.missing = 1
	s.comments(rand.New(rand.NewPCG(3, 4)), 5) // #nosec G404 -- the same in each run
	passes(t, l)
	if n := len(s.checkpoints()); n != 1 || l.Covered() != 10 {
		t.Errorf("%d checkpoints cover %d events", n, l.Covered())
	}
	s.missing = 0
	passes(t, l)
	if n := len(s.checkpoints()); n != 2 || l.Covered() != 16 {
		t.Errorf("afterwards, %d checkpoints cover %d events", n, l.Covered())
	}
}

// control: nist:AU-9
func TestWhateverHappensToACopyAllHaveTheSameTrees(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	copies := make([]*Ledger, len(dirs))
	for round := range longtest.Count(60) {
		s.comments(random, random.IntN(40))
		i := random.IntN(len(copies))
		if copies[i] == nil || random.IntN(10) == 0 { // killed and started again
			copies[i] = begin(t, s, dirs[i], k)
		}
		s.reports = []fate{fate(random.IntN(3))}
		if err := copies[i].pass(t.Context()); errors.Is(err, ErrDiffers) {
			t.Fatalf("round %d: %v", round, err)
		} else if err != nil {
			copies[i].trees = nil // as Run does
		}
	}
	s.reports = nil
	for i := range copies {
		if copies[i] == nil {
			copies[i] = begin(t, s, dirs[i], k)
		}
		passes(t, copies[i])
	}
	for i := range copies { // the last to sign may have been the last of them
		passes(t, copies[i])
	}
	fresh := t.TempDir()
	passes(t, begin(t, s, fresh, k))
	for i := range copies {
		same(t, fresh, dirs[i])
	}
	sizes := map[string]bool{}
	for _, e := range s.checkpoints() {
		if key := e.Event.GetReportKey(); sizes[key] {
			t.Errorf("two checkpoints of size %s", key)
		} else {
			sizes[key] = true
		}
	}
	if len(sizes) < 20 {
		t.Errorf("only %d checkpoints", len(sizes))
	}
}

// A process may end after any of its writes. What it leaves is never taken for more than it is.
func TestCutOffAfterAnyWrite(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	dir := t.TempDir()
	l := begin(t, s, dir, k)
	for range 20 {
		s.comments(random, 30)
		before := t.TempDir()
		must(t, os.CopyFS(before, os.DirFS(dir)))
		passes(t, l)
		// Everything that the pass wrote or removed, done by half: the new files are there, the state is the old one, and the
		// other way round for those that it removed.
		half := t.TempDir()
		must(t, os.CopyFS(half, os.DirFS(before)))
		for name, data := range contents(t, dir) {
			if strings.HasSuffix(name, stateFile) || random.IntN(2) == 0 {
				continue
			}
			must(t, os.MkdirAll(filepath.Dir(half+name), 0o700))
			must(t, os.WriteFile(half+name, []byte(data), 0o600))
		}
		again := begin(t, s, half, k)
		passes(t, again)
		same(t, dir, half)
	}
}

// A rebuild that was cut off leaves files of a checkpoint at which the next one may not stop.
func TestWhatIsOfNoCheckpointIsRemoved(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	dir := t.TempDir()
	l := begin(t, s, dir, k)
	s.comments(random, 2000)
	passes(t, l)
	whole := t.TempDir()
	must(t, os.CopyFS(whole, os.DirFS(dir)))
	for _, stray := range []string{
		"global/tile/0/000.p/7", "global/tile/1/000.p/1", "tenants/tenant-0/tile/0/000.p/255", "tenants/tenant-0/tile/0/004",
		"tenants/tenant-0/events/000.p/12", "tenants/tenant-0/events/007", "tenants/tenant-0/tile/0/000.next",
		"tenants/stranger/tile/0/000.p/3",
	} {
		name := filepath.Join(dir, stray)
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, []byte("of a run that was cut off"), 0o600))
	}
	passes(t, begin(t, s, dir, k))
	same(t, whole, dir)
}

func TestDamageIsAnAlarmAndNothingIsThrownAway(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	whole := t.TempDir()
	l := begin(t, s, whole, k)
	for range 3 {
		s.comments(random, 100)
		passes(t, l)
	}
	s.comments(random, 20)
	for name := range contents(t, whole) {
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(whole)))
		data, err := os.ReadFile(dir + name)
		must(t, err)
		data[len(data)/2] ^= 4
		must(t, os.WriteFile(dir+name, data, 0o600))
		before := contents(t, dir)
		if err := begin(t, s, dir, k).pass(t.Context()); !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for name, data := range before {
			if contents(t, dir)[name] != data {
				t.Errorf("%s was changed", name)
			}
		}
	}
	if len(s.checkpoints()) != 3 {
		t.Error("something was signed over damaged trees")
	}
}

func TestAStreamThatContradictsItsCheckpoints(t *testing.T) {
	t.Parallel()
	made := func() *stream {
		s, random := &stream{t: t}, chance()
		l := begin(t, s, t.TempDir(), keys(t))
		for range 3 {
			s.comments(random, 10)
			passes(t, l)
		}
		return s
	}
	k := keys(t)
	base := func() (*stream, string) {
		s, random := &stream{t: t}, chance()
		dir := t.TempDir()
		l := begin(t, s, dir, k)
		for range 3 {
			s.comments(random, 10)
			passes(t, l)
		}
		return s, dir
	}
	for name, spoil := range map[string]func(s *stream){
		"a changed byte": func(s *stream) { s.entries[4].Data = append(bytes.Clone(s.entries[4].Data), 0) },
		"two in another order": func(s *stream) {
			s.entries[4].Data, s.entries[5].Data = s.entries[5].Data,
				s.entries[4].Data
		},
		"a checkpoint of other keys": func(s *stream) { s.entries[10] = made().entries[10] },
		"a note that was cut short": func(s *stream) {
			c := s.entries[10].Event.GetCheckpointSigned()
			c.Note = c.GetNote()[:len(c.GetNote())-10] + "\n"
		},
		"a checkpoint that covers itself": func(s *stream) {
			s.entries[10].Event.GetCheckpointSigned().CoveredSequence = 11
		},
		"a checkpoint that does not go on": func(s *stream) {
			s.entries[21].Event.GetCheckpointSigned().CoveredSequence = 10
		},
		"a checkpoint of an earlier moment": func(s *stream) {
			s.entries[21].Event.GetCheckpointSigned().CoveredSequence = 20
		},
	} {
		s, _ := base()
		n := len(s.entries)
		spoil(s)
		if err := begin(t, s, t.TempDir(), k).pass(t.Context()); !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.entries) != n {
			t.Errorf("%s: something was signed", name)
		}
	}
}

func TestReceiptsAndSightingsHold(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	l := begin(t, s, t.TempDir(), k)
	policy, err := k.Policy()
	must(t, err)
	seen := map[string]merkle.Seen{}
	for range 12 {
		s.comments(random, 80)
		passes(t, l)
		for i := range 5 {
			tenant := fmt.Sprintf("tenant-%d", i)
			before, known := seen[tenant]
			if !known {
				before = merkle.Seen{Tenant: tenant}
			}
			next, err := l.Public().Sighting(tenant, globalSize(t, policy, before), before.Opening.Size)
			must(t, err)
			if seen[tenant], err = merkle.Follow(before, next, policy); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 50 {
		e := s.entries[random.IntN(len(s.entries)-2)]
		if e.Event.GetTicketCommented() == nil {
			continue
		}
		about := strings.TrimSuffix(e.Subject, ".1.TicketCommented")
		file, err := l.Public().Receipt(t.Context(), e.Event.GetTenant(), about,
			[]Wanted{{Sequence: e.Seq, Withhold: random.IntN(2) == 0}}, e.Seq)
		must(t, err)
		report, err := merkle.VerifyReceipt(file, policy)
		must(t, err)
		p := report.Events[0]
		if p.Subject != e.Subject || !report.Complete() || !p.Withheld && !bytes.Equal(p.Bytes, e.Data) {
			t.Fatalf("the receipt of event %d is about %s", e.Seq, p.Subject)
		}
	}
	last := s.entries[len(s.entries)-1]
	_, err = l.Public().Receipt(t.Context(), aggregate.ProviderTenant, "x", []Wanted{{Sequence: last.Seq}}, last.Seq)
	if !errors.Is(err, ErrNotCovered) {
		t.Errorf("the last checkpoint itself: %v", err)
	}
	if _, err := l.Public().Sighting("nobody", 0, 0); !errors.Is(err, ErrNoTree) {
		t.Errorf("a tenant that is not: %v", err)
	}
	for size := int64(1); size <= 12; size++ {
		g, err := l.Growth(size)
		must(t, err)
		now, err := policy.Open([]byte(g.Checkpoint))
		must(t, err)
		then, err := policy.Open([]byte(s.checkpoints()[size-1].Event.GetCheckpointSigned().GetNote()))
		must(t, err)
		if g.Root != then.Tree.Hash {
			t.Errorf("another root of size %d", size)
		}
		must(t, merkle.CheckGrowth(then.Tree, now.Tree, g.Growth))
	}
}

func globalSize(t *testing.T, policy *merkle.Policy, seen merkle.Seen) int64 {
	t.Helper()
	if seen.Checkpoint == "" {
		return 0
	}
	signed, err := policy.Open([]byte(seen.Checkpoint))
	must(t, err)
	return signed.Tree.N
}

// Whoever saw a tree earlier asks for tiles of that width.
func TestTilesOfEveryEarlierSize(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	l := begin(t, s, t.TempDir(), k)
	type sized struct {
		tenant  string
		opening merkle.Opening
	}
	var earlier []sized
	for range 15 {
		s.comments(random, 120)
		passes(t, l)
		for i := range 5 {
			tenant := fmt.Sprintf("tenant-%d", i)
			is, err := l.Public().Sighting(tenant, 0, 0)
			must(t, err)
			earlier = append(earlier, sized{tenant, is.Opening})
		}
	}
	for _, then := range earlier {
		var leaves []int64
		for n := range then.opening.Size {
			leaves = append(leaves, tlog.StoredHashIndex(0, n))
		}
		hashes, err := merkle.Hashes(served{l, then.tenant}, then.opening.Tree()).ReadHashes(leaves)
		must(t, err)
		for _, tile := range merkle.Partials(then.opening.Size) {
			data, err := l.Public().Tile(then.tenant, merkle.Path(tile))
			must(t, err)
			if tile.L >= 0 {
				if len(data) != tile.W*tlog.HashSize {
					t.Errorf("%s has %d bytes", merkle.Path(tile), len(data))
				}
				continue
			}
			entries, err := merkle.Entries(data)
			must(t, err)
			for i, entry := range entries {
				if len(entries) != tile.W || tlog.RecordHash(entry) != hashes[tile.N<<tile.H+int64(i)] {
					t.Fatalf("entry %d of %s of %s is another one", i, merkle.Path(tile), then.tenant)
				}
			}
		}
	}
	for _, path := range []string{"tile/0/000.p/255", "tile/0/x", "events/000", "../state.json", "tile/entries/999"} {
		if data, err := l.Public().Tile("tenant-0", path); err == nil && len(data) > 0 && path != "tile/0/000.p/255" {
			t.Errorf("%s was served", path)
		}
	}
}

// served reads a tenant's tiles as HTTP would.
type served struct {
	l      *Ledger
	tenant string
}

func (s served) Read(path string) ([]byte, error) { return s.l.Public().Tile(s.tenant, path) }
