package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// naive is what heads are by their definition: all leaves of each aggregate, hashed from the beginning each time.
type naive map[string][]naiveEvent

type naiveEvent struct {
	version uint64
	leaf    tlog.Hash
}

func (n naive) head(about string) Head {
	head := Head{Key: sha256.Sum256([]byte("lockbox/v2 aggregate\n" + about))}
	for _, e := range n[about] {
		head.Version = max(head.Version, e.version)
		head.Count++
		head.Running = sha256.Sum256(slices.Concat([]byte("lockbox/v2 head\n"), head.Running[:], e.leaf[:]))
	}
	return head
}

func (n naive) root() tlog.Hash {
	var heads []Head
	for about := range n {
		heads = append(heads, n.head(about))
	}
	if len(heads) == 0 {
		return tlog.Hash{}
	}
	return naiveTrie(heads, 0)
}

// naiveTrie splits heads by one bit after the other, and leaves out the bits that do not split them.
func naiveTrie(heads []Head, bit int) tlog.Hash {
	if len(heads) == 1 {
		data := append([]byte{2, 2}, heads[0].Key[:]...)
		data = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(data, heads[0].Version), heads[0].Count)
		return sha256.Sum256(append(data, heads[0].Running[:]...))
	}
	var sides [2][]Head
	for _, h := range heads {
		side := h.Key[bit/8] >> (7 - bit%8) & 1
		sides[side] = append(sides[side], h)
	}
	if len(sides[0]) == 0 || len(sides[1]) == 0 {
		return naiveTrie(heads, bit+1)
	}
	left, right := naiveTrie(sides[0], bit+1), naiveTrie(sides[1], bit+1)
	return sha256.Sum256(slices.Concat([]byte{3, byte(bit)}, left[:], right[:]))
}

func (n naive) append(about string, version uint64, leaf tlog.Hash) {
	n[about] = append(n[about], naiveEvent{version, leaf})
}

func (n naive) copy() naive {
	to := naive{}
	for about, events := range n {
		to[about] = slices.Clone(events)
	}
	return to
}

// wantHeads checks that a view has these heads, proves them, and proves that there are no others.
func wantHeads(t interface{ Fatalf(string, ...any) }, v *HeadsView, want naive, names []string) {
	if v.Root() != want.root() {
		t.Fatalf("the root of %d heads is not that of the same heads made at once", len(want))
	}
	for _, about := range names {
		got, ok, err := CheckHead(v.Root(), v.Prove(about), about)
		if err != nil || ok != (len(want[about]) > 0) || ok && got != want.head(about) {
			t.Fatalf("the head of %s is %+v, %v, %v", about, got, ok, err)
		}
		if is, there := v.Head(about); there != ok || there && is != got {
			t.Fatalf("the view has %+v, %v for %s and proves %+v", is, there, about, got)
		}
	}
}

// TestHeadsAreThoseOfTheirDefinition grows heads in any order, takes views now and then, and looks at every view again
// after all that came later.
func TestHeadsAreThoseOfTheirDefinition(t *testing.T) {
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("lockbox.event.bank.request.r%d", i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		heads, now := NewHeads(), naive{}
		views, then := []*HeadsView{heads.View()}, []naive{{}}
		used := rapid.IntRange(1, len(names)-5).Draw(rt, "aggregates")
		for i := range rapid.IntRange(0, 120).Draw(rt, "events") {
			about := names[rapid.IntRange(0, used-1).Draw(rt, "about")]
			version, leaf := rapid.Uint64Range(0, 9).Draw(rt, "version"), tlog.RecordHash([]byte{byte(i)})
			heads.Append(about, version, leaf)
			now.append(about, version, leaf)
			if rapid.IntRange(0, 6).Draw(rt, "view") == 0 {
				views, then = append(views, heads.View()), append(then, now.copy())
			}
		}
		views, then = append(views, heads.View(), heads.View()), append(then, now, now)
		for i, v := range views {
			wantHeads(rt, v, then[i], names)
		}
	})
}

// TestHeadsGoBack: what was appended after a view is as if it had never been, also for the views before it.
func TestHeadsGoBack(t *testing.T) {
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("lockbox.event.bank.request.r%d", i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		heads, now := NewHeads(), naive{}
		views, then := []*HeadsView{heads.View()}, []naive{{}}
		for round := range 5 {
			first := rapid.IntRange(0, len(names)-1).Draw(rt, "first")
			for i := range rapid.SampledFrom([]int{0, 3, 30, 1500}).Draw(rt, "events") {
				about, leaf := names[(first+i)%len(names)], tlog.Hash{byte(round), byte(i)}
				heads.Append(about, 1, leaf)
				now.append(about, 1, leaf)
			}
			views, then = append(views, heads.View()), append(then, now.copy())
			if rapid.Bool().Draw(rt, "back") {
				to := rapid.IntRange(0, len(views)-1).Draw(rt, "view")
				heads.Append(names[0], 9, tlog.Hash{})
				heads.Back(views[to])
				views, then, now = views[:to+1], then[:to+1], then[to].copy()
			}
		}
		for i, v := range views {
			wantHeads(rt, v, then[i], names[:20])
		}
		if heads.View().Root() != now.root() {
			rt.Error("the heads are not those of the last view")
		}
	})
}

// TestHeadsOfManyAggregates fills many chunks, and deep ways.
func TestHeadsOfManyAggregates(t *testing.T) {
	heads, now := NewHeads(), naive{}
	var names []string
	var view *HeadsView
	var then naive
	for i := range 5000 {
		about := fmt.Sprintf("lockbox.event.bank.request.%d", i%4000)
		names = append(names, about)
		heads.Append(about, uint64(1+i/4000), tlog.Hash{byte(i), byte(i >> 8)})
		now.append(about, uint64(1+i/4000), tlog.Hash{byte(i), byte(i >> 8)})
		if i == 3000 {
			view, then = heads.View(), now.copy()
		}
	}
	wantHeads(t, heads.View(), now, append(names, "another"))
	wantHeads(t, view, then, append(names, "another"))
}

func TestAnUnchangedViewIsTheSame(t *testing.T) {
	heads := NewHeads()
	if v := heads.View(); v != heads.View() || v.Root() != (tlog.Hash{}) {
		t.Error("the view of nothing")
	}
	heads.Append("a", 1, tlog.Hash{})
	if v := heads.View(); v != heads.View() || v.Root() == (tlog.Hash{}) {
		t.Error("the view of one head")
	}
}

// TestViewsAreReadWhileHeadsGrow is for the race detector as well.
func TestViewsAreReadWhileHeadsGrow(t *testing.T) {
	heads, want := NewHeads(), naive{}
	name := func(i int) string { return fmt.Sprint("aggregate ", i%37) }
	var readers sync.WaitGroup
	for i := range 400 {
		heads.Append(name(i), uint64(i), tlog.Hash{byte(i)})
		want.append(name(i), uint64(i), tlog.Hash{byte(i)})
		if i%40 != 0 {
			continue
		}
		view, then := heads.View(), want.copy()
		readers.Go(func() {
			for j := range 40 {
				head, ok, err := CheckHead(view.Root(), view.Prove(name(j)), name(j))
				if err != nil || ok != (len(then[name(j)]) > 0) || ok && head != then.head(name(j)) {
					t.Errorf("%s: %+v, %v, %v", name(j), head, ok, err)
				}
			}
		})
	}
	readers.Wait()
}
