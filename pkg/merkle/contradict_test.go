package merkle

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func (s *sample) seen(tenant string) Seen {
	next := s.sighting(tenant, tlog.Tree{}, tlog.Tree{})
	return Seen{tenant, next.Checkpoint, next.Opening, next.Directory}
}

// Of an honest log, no two checkpoints contradict each other, whoever cosigned them, in whatever order.
func TestNoTwoCheckpointsOfAnHonestLogContradictEachOther(t *testing.T) {
	inEachFormat(t, testHonestPairs)
}

func testHonestPairs(t *testing.T, format uint8) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSampleIn(t, format)
		var all []Seen
		for range rapid.IntRange(2, 8).Draw(rt, "checkpoints") {
			s.event("bank", "r0", 1, nil)
			for range rapid.IntRange(0, 5).Draw(rt, "events") {
				s.event(rapid.SampledFrom([]string{"bank", "clinic"}).Draw(rt, "tenant"), "r1", 1, nil)
			}
			s.checkpoint()
			for _, tenant := range s.order {
				all = append(all, s.seen(tenant))
			}
		}
		for _, a := range all {
			for _, b := range all {
				if err := Contradict(a, b, policy(t, "all")); err != nil {
					rt.Fatal(err)
				}
			}
		}
	})
}

// What contradicts does so in both orders, and without the witnesses; what is not signed, or is another's, accuses
// nobody.
func TestWhatContradictsItself(t *testing.T) { inEachFormat(t, testWhatContradicts) }

func testWhatContradicts(t *testing.T, format uint8) {
	tell := func(change func(s *sample), events ...string) *sample {
		s := newSampleIn(t, format)
		for i, e := range events {
			s.event("bank", "r1", i+1, []byte(e))
		}
		change(s)
		s.checkpoint()
		return s
	}
	longer := func(s *sample) { s.checkpoint() }
	same := func(*sample) {}
	before := tell(same, "asked", "denied", "told")
	a := before.seen("bank")
	second := func(s *sample) Seen { // of the same, at the next size
		return s.seen("bank")
	}
	for name, row := range map[string]struct {
		b    Seen
		says string
	}{
		"another tree of the same size": {second(tell(same, "asked", "approved", "told")), "two trees of size 1"},
		"events cut off":                {second(tell(longer, "asked", "denied")), "they were cut off"},
		"another tree of the tenant":    {second(tell(longer, "asked", "approved", "told")), "two trees of 3 events"},
		"only the notes": {Seen{Tenant: "bank", Checkpoint: second(tell(same, "asked", "approved")).Checkpoint},
			"two trees of size 1"},
	} {
		for _, pair := range [][2]Seen{{a, row.b}, {row.b, a}} {
			var convicted *ConvictionError
			if err := Contradict(pair[0], pair[1], policy(t, "all")); !errors.As(err, &convicted) ||
				!strings.Contains(err.Error(), row.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	var convicted *ConvictionError
	forged := a
	forged.Opening.Size++
	other := signedAs(t, "other.example/log", before).seen("bank")
	for name, b := range map[string]Seen{"what is not in the directory": forged, "another log's": other, "nothing": {}} {
		if err := Contradict(a, b, policy(t, "all")); err == nil || errors.As(err, &convicted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A tree is grown leaf by leaf from its frontier alone.
func TestAFrontierGrowsAsTheTreeDoes(t *testing.T) {
	store := memory{}
	log, f := NewLog(store), Frontier{}
	for i, e := range numbered(300) {
		if f.Tree() != log.Tree() || f.Check() != nil {
			t.Fatalf("at %d: %v, want %v", i, f.Tree(), log.Tree())
		}
		must(t, log.Append(e))
		f.Append(tlog.RecordHash(e))
	}
	one := f.Roots[:1]
	for _, bad := range []Frontier{{Size: -1}, {Size: 2}, {Size: 3, Roots: one}, {Size: 1 << 50, Roots: one}} {
		if bad.Check() == nil {
			t.Errorf("%+v is one", bad)
		}
	}
}

// Heads that were written down are the same ones, and go on as the others do.
func TestHeadsAreTheSameOnceReadAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		heads := NewHeads()
		grow := func(to ...*Heads) {
			for range rapid.IntRange(0, 60).Draw(rt, "events") {
				about, leaf := fmt.Sprint("r", rapid.IntRange(0, 20).Draw(rt, "about")), tlog.Hash{rapid.Byte().Draw(rt, "leaf")}
				for _, h := range to {
					h.Append(about, 1, leaf)
				}
			}
		}
		grow(heads)
		again, err := DecodeHeads(heads.Encode())
		must(t, err)
		grow(heads, again)
		if heads.View().Root() != again.View().Root() {
			rt.Fatal("other heads")
		}
		for i := range 22 {
			about := fmt.Sprint("r", i)
			is, found := again.Head(about)
			if want, there := heads.View().Head(about); is != want && there || found != there {
				rt.Fatalf("%s: %+v, %t", about, is, found)
			}
		}
	})
	one := NewHeads()
	one.Append("a", 1, tlog.Hash{})
	data := one.Encode()
	for name, bad := range map[string][]byte{"cut off": data[1:], "twice": append(data[:len(data):len(data)], data...),
		"none counted": make([]byte, len(data))} {
		if _, err := DecodeHeads(bad); err == nil {
			t.Errorf("heads that are %s", name)
		}
	}
}

// A policy decides about what is left of a note's cosignatures, by their times; a witness that cosigns again counts
// once.
func TestCosignaturesGetOldAndAreRenewed(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	signed := signedBy(t, c, "alpha", "beta")
	hour, second := time.Hour, noon.Add(1*time.Second) // when beta cosigned
	two := policy(t, "2")
	for _, row := range []struct {
		from, to time.Time
		holds    bool
	}{
		{noon, second, true}, {noon.Add(-hour), noon.Add(hour), true}, {second, noon.Add(hour), false},
		{noon.Add(-hour), noon.Add(-1 * time.Second), false},
	} {
		if _, err := two.Open(CosignedIn(signed, row.from, row.to)); (err == nil) != row.holds {
			t.Errorf("from %v to %v: %v", row.from, row.to, err)
		}
	}
	if _, err := two.LogAlone().Open(CosignedIn(signed, noon.Add(hour), noon.Add(hour))); err != nil {
		t.Errorf("the log's own: %v", err)
	}
	line, err := cosigner(t, "alpha").Line(signed, noon.Add(hour))
	must(t, err)
	_, err = two.Add(signed, line)
	wantBroken(t, err, Cosignatures)
	renewed, err := two.Renew(signed, line)
	must(t, err)
	now, err := two.Open(renewed)
	must(t, err)
	if len(now.Cosigned) != 2 || len(now.Unknown) != 0 {
		t.Errorf("%+v", now)
	}
	for _, by := range now.Cosigned {
		if want := map[string]time.Time{"alpha": noon.Add(hour), "beta": second}[by.Name]; !by.At.Equal(want) {
			t.Errorf("%s at %v", by.Name, by.At)
		}
	}
	stranger, err := cosigner(t, "delta").Line(signed, noon)
	must(t, err)
	another, err := cosigner(t, "alpha").Line(signedBy(t, Checkpoint{origin, tlog.Tree{N: 4}}), noon)
	must(t, err)
	for _, bad := range [][]byte{nil, []byte("x"), stranger, another, append(line, line...)} {
		if _, err := two.Renew(signed, bad); err == nil {
			t.Errorf("%q renews", bad)
		}
	}
}
