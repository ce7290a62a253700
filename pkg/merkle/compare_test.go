package merkle

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// tenantOf reads the tenant from a subject of the sample.
func tenantOf(subject string) string { return strings.Split(subject, ".")[1] }

// compare holds a stream against the sample's trees.
func (s *sample) compare(stream []Stored) []string {
	s.t.Helper()
	c := Compare(s.salts, s.sequence)
	for _, tenant := range s.order {
		must(s.t, c.Add(tenant, s.stores[tenant], s.trees[tenant]))
	}
	var said []string
	for _, e := range stream {
		found, err := c.Next(tenantOf(e.Subject), e)
		must(s.t, err)
		for _, d := range found {
			said = append(said, text(d))
		}
	}
	found, err := c.End()
	must(s.t, err)
	for _, d := range found {
		said = append(said, text(d))
	}
	slices.Sort(said)
	return said
}

// busy is a world with 700 events of three tenants.
func busy(t testing.TB, format uint8) *sample {
	t.Helper()
	s := newSampleIn(t, format)
	for i := range 700 {
		s.event([]string{"bank", "bank", "clinic", "depot"}[i%4], "r1", i+1, fmt.Appendf(nil, "event %d", i))
	}
	s.checkpoint()
	return s
}

func TestDifferencesOfStreamAndTree(t *testing.T) { inEachFormat(t, testDifferencesOfStreamAndTree) }

func testDifferencesOfStreamAndTree(t *testing.T, format uint8) {
	s := busy(t, format)
	all := func(of string, kind Kind, sequences ...int) (said []string) {
		for _, n := range sequences {
			said = append(said, fmt.Sprintf("event %d of the stream, of tenant %s: %s", n, of, kind))
		}
		return said
	}
	for name, row := range map[string]struct {
		change func([]Stored) []Stored
		want   []string
	}{
		"none": {func(e []Stored) []Stored { return e }, nil},
		"a bit": {func(e []Stored) []Stored { e[500].Bytes = []byte("event 501"); return e },
			all("bank", Changed, 501)},
		"a subject": {func(e []Stored) []Stored { e[500].Subject += "x"; return e }, all("bank", Changed, 501)},
		"a hole": {func(e []Stored) []Stored { return slices.Delete(e, 298, 300) },
			slices.Concat(all("clinic", Gap, 299), all("depot", Gap, 300))},
		"the first lost": {func(e []Stored) []Stored { return e[1:] }, all("bank", Gap, 1)},
		"the end lost": {func(e []Stored) []Stored { return e[:697] },
			slices.Concat(all("bank", Regression, 698), all("clinic", Regression, 699), all("depot", Regression, 700))},
		"one tenant's end": {func(e []Stored) []Stored { return slices.Delete(e, 698, 699) }, all("clinic", Gap, 699)},
		"sequences used again": {func(e []Stored) []Stored { e[699].Bytes = []byte("something else"); return e },
			all("depot", Changed, 700)},
		"an event of another tenant instead": {
			func(e []Stored) []Stored { e[3].Subject = "test.bank.request.r1.4.Happened"; return e },
			slices.Concat(all("bank", Unrecorded, 4), all("depot", Gap, 4))},
		"an event of nobody's instead": {func(e []Stored) []Stored {
			e[3].Subject = "test.nobody.request.r1.4.Happened"
			return e
		},
			slices.Concat(all("depot", Gap, 4), all("nobody", Unrecorded, 4))},
		"more than is recorded yet": {func(e []Stored) []Stored {
			return append(e,
				Stored{701, "test.bank.request.r1.701.Happened", nil})
		}, nil},
		"nothing left": {func(e []Stored) []Stored { return e[:0] }, s.regressed()},
	} {
		t.Run(name, func(t *testing.T) {
			slices.Sort(row.want)
			if diff := cmp.Diff(row.want, s.compare(row.change(slices.Clone(s.stream)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func (s *sample) regressed() (all []string) {
	for _, e := range s.stream {
		all = append(all, text(Difference{Kind: Regression, Tenant: tenantOf(e.Subject), Sequence: e.Sequence}))
	}
	return all
}

func TestAnyOneDifferenceIsFound(t *testing.T) { inEachFormat(t, testAnyOneDifferenceIsFound) }

func testAnyOneDifferenceIsFound(t *testing.T, format uint8) {
	s := busy(t, format)
	rapid.Check(t, func(rt *rapid.T) {
		stream := slices.Clone(s.stream)
		i := rapid.IntRange(0, len(stream)-1).Draw(rt, "event")
		e := &stream[i]
		e.Bytes = bytes.Clone(e.Bytes)
		switch rapid.IntRange(0, 3).Draw(rt, "kind") {
		case 0:
			e.Bytes[rapid.IntRange(0, len(e.Bytes)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case 1:
			e.Bytes = append(e.Bytes, 0)
		case 2:
			e.Subject += "."
		case 3:
			stream = slices.Delete(stream, i, i+1)
		}
		if found := s.compare(stream); len(found) != 1 || !strings.HasPrefix(found[0], fmt.Sprintf("event %d ", i+1)) {
			rt.Errorf("found %v", found)
		}
	})
}

func TestTreesThatLostEvents(t *testing.T) { inEachFormat(t, testTreesThatLostEvents) }

func testTreesThatLostEvents(t *testing.T, format uint8) {
	s := busy(t, format)
	c := Compare(s.salts, 700)
	must(t, c.Add("bank", s.stores["bank"], s.trees["bank"])) // the others' are gone
	count := map[string]int{}
	for _, e := range s.stream {
		found, err := c.Next(tenantOf(e.Subject), e)
		must(t, err)
		for _, d := range found {
			count[d.Tenant+" "+string(d.Kind)]++
		}
	}
	if diff := cmp.Diff(map[string]int{"clinic unrecorded": 175, "depot unrecorded": 175}, count); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Next("bank", s.stream[0]); err == nil {
		t.Error("an event came twice")
	}
	if err := c.Add("clinic", s.stores["clinic"], s.trees["clinic"]); err == nil {
		t.Error("a tree came late")
	}
}

// TestADamagedTreeIsNoDifference: what the stream would be blamed for is in the tiles.
func TestADamagedTreeIsNoDifference(t *testing.T) { inEachFormat(t, testADamagedTreeIsNoDifference) }

func testADamagedTreeIsNoDifference(t *testing.T, format uint8) {
	s := busy(t, format)
	for path, needed := range map[string]bool{"tile/0/000": true, "tile/entries/000": false} {
		damaged := maps.Clone(s.stores["bank"])
		damaged[path] = bytes.Clone(damaged[path])
		damaged[path][40] ^= 1
		for _, e := range []Stored{s.stream[0], {1, s.stream[0].Subject, []byte("changed")}} {
			c := Compare(s.salts, 700)
			must(t, c.Add("bank", damaged, s.trees["bank"]))
			found, err := c.Next("bank", e)
			if changed := string(e.Bytes) == "changed"; len(found) > 0 || (err != nil) != (needed || changed) {
				t.Errorf("%s: %v, %v", path, found, err)
			}
		}
		c := Compare(s.salts, 700)
		must(t, c.Add("bank", damaged, s.trees["bank"]))
		if _, err := c.End(); err == nil {
			t.Errorf("%s: no error at the end", path)
		}
	}
}

func TestTheSecondCopyIsReadAndProven(t *testing.T) {
	inEachFormat(t, testTheSecondCopyIsReadAndProven)
}

func testTheSecondCopyIsReadAndProven(t *testing.T, format uint8) {
	s := busy(t, format)
	var want, got []Stored
	for _, e := range s.stream {
		if tenantOf(e.Subject) == "bank" {
			want = append(want, e)
		}
	}
	for _, from := range []uint64{1, 100, 256, 257, 350, 351, 1000} {
		got = nil
		for w, err := range Events(s.stores["bank"], s.trees["bank"], from) {
			must(t, err)
			got = append(got, Stored{w.Sequence, w.Subject, w.Bytes})
		}
		if diff := cmp.Diff(want[min(from-1, 350):], got, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	}
	for _, path := range []string{"tile/0/000", "tile/0/001.p/94", "tile/1/000.p/1", "tile/entries/000",
		"tile/entries/001.p/94", "events/000", "events/001.p/94"} {
		damaged := maps.Clone(s.stores["bank"])
		damaged[path] = bytes.Clone(damaged[path])
		damaged[path][len(damaged[path])/2] ^= 1
		var failed error
		for _, err := range Events(damaged, s.trees["bank"], 1) {
			failed = err
		}
		if failed == nil {
			t.Errorf("a changed %s was read", path)
		}
	}
	for _, err := range Events(s.stores["bank"], s.trees["bank"], 0) {
		if err == nil {
			t.Error("there is an event 0")
		}
	}
}

func text(d Difference) string {
	return fmt.Sprintf("event %d of the stream, of tenant %s: %s", d.Sequence, d.Tenant, d.Kind)
}
