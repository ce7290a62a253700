package ledger

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
)

// signsAsBefore has a copy sign as versions did that knew only the first format; fate says what becomes of the report.
func signsAsBefore(t *testing.T, l *Ledger, s *stream, fate fate) {
	t.Helper()
	must(t, l.open())
	if reported, err := l.reported(t.Context()); len(reported) > 0 || errors.Is(err, errOther) {
		return // it would have had to adopt
	}
	for _, e := range s.entries[l.trees.appended:] {
		must(t, l.trees.append(merkle.Format1, e))
	}
	is, err := l.trees.cut(merkle.Format1)
	must(t, err)
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: l.policy.Origin(), Tree: is.Global}, l.Keys.Signers...)
	must(t, err)
	is.Checkpoint = string(signed)
	report := l.report(is)
	report.GetCheckpointSigned().Format = 0
	s.reports = append(s.reports, fate)
	if _, stored, err := s.Report(t.Context(), report); err != nil || !stored {
		l.close()
		return
	}
	l.last = is
	must(t, l.keep(is))
}

func formats(s *stream) (all []uint32) {
	for _, e := range s.checkpoints() {
		all = append(all, e.Event.GetCheckpointSigned().GetFormat())
	}
	return all
}

// Copies of the version before and of this one, killed and started again, with reports lost: the stream alone says what
// the trees are.
//
// control: nist:AU-9
func TestALogThatChangesItsFormatIsTheSameInEveryCopy(t *testing.T) {
	t.Parallel()
	for seed := range uint64(longtest.Count(8)) {
		random := rand.New(rand.NewPCG(seed, 3)) // #nosec G404 -- the same in each run
		s, k := &stream{t: t}, keys(t)
		dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
		copies := make([]*Ledger, len(dirs))
		change := 5 + random.IntN(5)
		for round := range 16 {
			s.comments(random, 1+random.IntN(60))
			i := random.IntN(len(copies))
			if copies[i] == nil || random.IntN(4) == 0 { // killed and started again, or starting late
				copies[i] = begin(t, s, dirs[i], k)
			}
			if round < change {
				signsAsBefore(t, copies[i], s, fate(random.IntN(3)))
				continue
			}
			s.reports = []fate{fate(random.IntN(3))}
			if err := copies[i].pass(t.Context()); errors.Is(err, ErrDiffers) {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			} else if err != nil {
				copies[i].close() // as Run does
			}
		}
		s.reports = nil
		for range 2 { // the last to sign may have been the last of them
			for i := range copies {
				if copies[i] == nil {
					copies[i] = begin(t, s, dirs[i], k)
				}
				passes(t, copies[i])
			}
		}
		fresh := t.TempDir()
		passes(t, begin(t, s, fresh, k))
		for i := range copies {
			same(t, fresh, dirs[i])
		}
		all := formats(s)
		first := 0
		for first < len(all) && all[first] == 0 {
			first++
		}
		if first == 0 || first == len(all) {
			t.Fatalf("seed %d: it did not change its format: %v", seed, all)
		}
		for _, format := range all[first:] {
			if format != merkle.Format2 {
				t.Fatalf("seed %d: the formats are %v", seed, all)
			}
		}
		wantWhole(t, fresh, k, s)
	}
}

// wantWhole checks that the second copy has everything that the last checkpoint covers, and that nothing shows a stream
// sequence but leaves of the first format.
func wantWhole(t *testing.T, dir string, k logkeys.Keys, s *stream) {
	t.Helper()
	c, err := OpenCopy(dir, k)
	must(t, err)
	at := uint64(0)
	for e, err := range c.Events() {
		must(t, err)
		is := s.entries[at]
		if at++; e.Sequence != is.Seq || e.Subject != is.Subject || string(e.Bytes) != string(is.Data) {
			t.Fatalf("the second copy has another event %d", is.Seq)
		}
	}
	if at != c.Covered {
		t.Errorf("the second copy ends with %d of %d events", at, c.Covered)
	}
}

// A copy of the version before is still running when one of this version signs, and the other way round.
func TestWhatIsNotCoveredYetFollowsWhoeverSigns(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	older, newer := begin(t, s, t.TempDir(), k), begin(t, s, t.TempDir(), k)
	s.comments(random, 10)
	signsAsBefore(t, older, s, stored)
	passes(t, newer) // adopts, and has the report itself as a leaf in memory
	s.comments(random, 10)
	signsAsBefore(t, older, s, stored)
	s.comments(random, 10)
	passes(t, newer)
	must(t, newer.Failed())
	if all := formats(s); len(all) != 3 || all[1] != 0 || all[2] != merkle.Format2 {
		t.Errorf("the formats are %v", all)
	}
	fresh := t.TempDir()
	passes(t, begin(t, s, fresh, k))
	same(t, fresh, newer.Dir)
}

func TestFormatsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		format  uint32
		differs bool
	}{
		"back to the first": {0, true},
		"by its number":     {merkle.Format1, true},
		"a later one":       {3, false}, // this version has to be upgraded
	} {
		s, random, k := &stream{t: t}, chance(), keys(t)
		l := begin(t, s, t.TempDir(), k)
		for range 2 {
			s.comments(random, 10)
			passes(t, l)
		}
		s.comments(random, 10)
		s.checkpoints()[1].Event.GetCheckpointSigned().Format = row.format
		n := len(s.entries)
		err := begin(t, s, t.TempDir(), k).pass(t.Context())
		if err == nil || errors.Is(err, ErrDiffers) != row.differs || errors.Is(err, errOther) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.entries) != n {
			t.Errorf("%s: something was signed", name)
		}
	}
}

// before is a log as the version before left it.
type before struct {
	keys   logkeys.Keys
	stream *stream
	dir    string
}

func readBefore(t *testing.T) before {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "format1.json"))
	must(t, err)
	var file struct {
		Key    string `json:"key"`
		Salts  string `json:"salts"`
		Stream []struct {
			Subject string `json:"subject"`
			Data    []byte `json:"data"`
		} `json:"stream"`
		Files map[string][]byte `json:"files"`
	}
	must(t, json.Unmarshal(data, &file))
	secrets := t.TempDir()
	key, salts := filepath.Join(secrets, logkeys.SigningKeyFile), filepath.Join(secrets, logkeys.SaltsFile)
	must(t, os.WriteFile(key, []byte(file.Key), 0o600))
	must(t, os.WriteFile(salts, []byte(file.Salts), 0o600))
	is := before{stream: &stream{t: t}, dir: t.TempDir()}
	is.keys, err = logkeys.Read(key, salts)
	must(t, err)
	for i, e := range file.Stream {
		event, err := input.DecodeEvent(e.Data)
		must(t, err)
		is.stream.entries = append(is.stream.entries, journal.Entry{
			Seq: uint64(i) + 1, Subject: e.Subject, Data: e.Data, Event: event})
	}
	for path, data := range file.Files {
		name := filepath.Join(is.dir, filepath.FromSlash(path))
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, data, 0o600))
	}
	return is
}

func TestADirectoryOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	is := readBefore(t)
	was := contents(t, is.dir)
	passes(t, begin(t, is.stream, is.dir, is.keys)) // there is nothing to sign
	for name, data := range contents(t, is.dir) {
		if data != was[name] {
			t.Errorf("%s was changed", name)
		}
	}
	fresh := t.TempDir()
	passes(t, begin(t, is.stream, fresh, is.keys)) // the same trees from the stream, byte for byte
	for name, data := range was {
		if there := contents(t, fresh)[name]; there != data && !strings.HasSuffix(name, stateFile) {
			t.Errorf("%s is another one", name)
		}
	}
	wantWhole(t, is.dir, is.keys, is.stream)

	is.stream.comments(chance(), 30)
	l := begin(t, is.stream, is.dir, is.keys)
	passes(t, l)
	if all := formats(is.stream); all[len(all)-1] != merkle.Format2 {
		t.Errorf("the formats are %v", all)
	}
	wantWhole(t, is.dir, is.keys, is.stream)
	passes(t, begin(t, is.stream, fresh, is.keys))
	same(t, is.dir, fresh)
}

func TestASteadyLogTellsNobodyThatSomethingHappened(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	dirs := []string{t.TempDir(), t.TempDir()}
	start := func(dir string) *Ledger {
		l := begin(t, s, dir, k)
		l.Steady, l.Interval, l.Now = true, 8*time.Second, func() time.Time { return now }
		return l
	}
	copies := []*Ledger{start(dirs[0]), start(dirs[1])}
	signed := func(i, want int) {
		t.Helper()
		passes(t, copies[i])
		if got := len(s.checkpoints()); got != want {
			t.Fatalf("%v: %d checkpoints, want %d", now, got, want)
		}
	}
	signed(0, 0) // there is nothing to sign
	s.comments(random, 5)
	signed(0, 1)
	now = now.Add(time.Second)
	s.comments(random, 5)
	signed(0, 1) // not before its time
	now = now.Add(7 * time.Second)
	signed(1, 2)
	signed(0, 2) // the other copy was faster
	copies[0] = start(dirs[0])
	signed(0, 2)                      // and it is still known after a restart
	for tick := 3; tick < 8; tick++ { // nothing happens
		now = now.Add(8 * time.Second)
		signed(tick%2, tick)
		signed((tick+1)%2, tick)
	}
	now = now.Add(30 * time.Second) // nobody was there
	signed(0, 8)
	if pause := copies[0].pause(time.Now()); pause != 2*time.Second {
		t.Errorf("the next pass is in %v", pause)
	}
}

// What is compared was inspected before the trees grew on, and changed their format.
func TestInspectedTreesStayReadable(t *testing.T) {
	t.Parallel()
	s, random, k := &stream{t: t}, chance(), keys(t)
	l := begin(t, s, t.TempDir(), k)
	sign := func(first bool) {
		s.comments(random, 150)
		if first {
			signsAsBefore(t, l, s, stored)
		} else {
			passes(t, l)
		}
	}
	for round := range 6 {
		sign(round < 3)
		is, err := l.Inspect()
		must(t, err)
		sign(round < 2)
		events := uint64(0)
		for _, of := range is.Tenants {
			for e, err := range merkle.Events(is.Tree(of.Tenant), of.Tree, 1) {
				must(t, err)
				if was := s.entries[e.Sequence-1]; e.Subject != was.Subject || string(e.Bytes) != string(was.Data) {
					t.Fatalf("event %d is another one", e.Sequence)
				}
				events++
			}
		}
		if events != is.Covered {
			t.Errorf("%d of %d events", events, is.Covered)
		}
	}
}
