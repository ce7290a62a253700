package merkle

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// badTrie is a trie that somebody made as they liked: any bits in any order, keys on wrong sides, several heads for one
// key. It returns its root and every way from there to a head.
func badTrie(rt *rapid.T, names []string, depth int) (tlog.Hash, []HeadProof) {
	if depth == 0 || rapid.IntRange(0, 3).Draw(rt, "leaf") == 0 {
		head := Head{Key: HeadKey(rapid.SampledFrom(names).Draw(rt, "about"))}
		for range rapid.IntRange(0, 2).Draw(rt, "events") {
			head = head.Then(1, tlog.Hash{})
		}
		return head.hash(), []HeadProof{{Head: head}}
	}
	bit := rapid.Uint8Range(0, 5).Draw(rt, "bit")
	left, onLeft := badTrie(rt, names, depth-1)
	right, onRight := badTrie(rt, names, depth-1)
	for i := range onLeft {
		onLeft[i].Path = slices.Insert(onLeft[i].Path, 0, HeadStep{bit, right})
	}
	for i := range onRight {
		onRight[i].Path = slices.Insert(onRight[i].Path, 0, HeadStep{bit, left})
	}
	return hashNode(bit, left, right), append(onLeft, onRight...)
}

// TestARootSaysOneThingAboutAnAggregate: whatever trie the log makes up, no two of its proofs show two heads of one
// aggregate, or one and none.
func TestARootSaysOneThingAboutAnAggregate(t *testing.T) {
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprint("aggregate ", i))
	}
	taken := 0
	rapid.Check(t, func(rt *rapid.T) {
		root, proofs := badTrie(rt, names, 5)
		for _, about := range names {
			said := map[string]bool{}
			for _, proof := range proofs {
				if head, ok, err := CheckHead(root, proof, about); err == nil {
					said[fmt.Sprintf("%+v %v", head, ok)] = true
					taken++
				}
			}
			if len(said) > 1 {
				rt.Fatalf("one root says %v about %q", said, about)
			}
		}
	})
	if taken == 0 {
		t.Error("no proof was taken at all, so nothing was tried")
	}
}

// sampleHeads is a trie of 40 aggregates, the same in each run.
func sampleHeads() *HeadsView {
	heads := NewHeads()
	for i := range 100 {
		about := fmt.Sprintf("lockbox.event.bank.request.r%d", i%40)
		heads.Append(about, uint64(1+i/40), tlog.RecordHash([]byte{byte(i)}))
	}
	return heads.View()
}

// changeHead changes one thing in a proof.
func changeHead(random *rand.Rand, proof HeadProof) HeadProof {
	flip := func(h *tlog.Hash) { h[random.IntN(tlog.HashSize)] ^= 1 << random.IntN(8) }
	proof.Path = slices.Clone(proof.Path)
	at := random.IntN(len(proof.Path))
	step := &proof.Path[at]
	switch random.IntN(10) {
	case 0:
		flip(&proof.Head.Key)
	case 1:
		flip(&proof.Head.Running)
	case 2:
		proof.Head.Version ^= 1 << random.IntN(64)
	case 3:
		proof.Head.Count ^= 1 << random.IntN(64)
	case 4:
		flip(&step.Sibling)
	case 5:
		step.Bit ^= 1 << random.IntN(8)
	case 6:
		proof.Path = slices.Delete(proof.Path, at, at+1)
	case 7:
		proof.Path = slices.Insert(proof.Path, at, *step)
	case 8:
		proof.Path = slices.Insert(proof.Path, at, HeadStep{Bit: step.Bit + 1})
	case 9:
		other := random.IntN(len(proof.Path) - 1)
		if other >= at {
			other++
		}
		proof.Path[at], proof.Path[other] = proof.Path[other], *step
	}
	return proof
}

// TestEveryChangeOfAHeadsProofIsRefused makes 20,000 changes, half of them in proofs that there is no head.
func TestEveryChangeOfAHeadsProofIsRefused(t *testing.T) {
	view := sampleHeads()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		about := fmt.Sprintf("lockbox.event.bank.request.r%d", random.IntN(40)+i%2*40)
		proof := view.Prove(about)
		if _, ok, err := CheckHead(view.Root(), proof, about); err != nil || ok != (i%2 == 0) {
			t.Fatalf("%s: %v, %v", about, ok, err)
		}
		changed := changeHead(random, proof)
		head, ok, err := CheckHead(view.Root(), changed, about)
		if err == nil {
			t.Fatalf("taken for %s: %+v (%v) by %+v", about, head, ok, changed)
		}
		wantBroken(t, err, AggregateHead)
	}
}

func FuzzHeads(f *testing.F) {
	view := sampleHeads()
	const present, absent = "lockbox.event.bank.request.r7", "lockbox.event.bank.request.r77"
	for _, about := range []string{present, absent} {
		proof := view.Prove(about)
		data := append(proof.Head.Key[:], proof.Head.Running[:]...)
		data = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(data, proof.Head.Version), proof.Head.Count)
		for _, step := range proof.Path {
			data = append(append(data, step.Bit), step.Sibling[:]...)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 80 {
			return
		}
		proof := HeadProof{Head: Head{
			Key: tlog.Hash(data[:32]), Running: tlog.Hash(data[32:64]),
			Version: binary.BigEndian.Uint64(data[64:]), Count: binary.BigEndian.Uint64(data[72:]),
		}}
		for data = data[80:]; len(data) >= 33; data = data[33:] {
			proof.Path = append(proof.Path, HeadStep{data[0], tlog.Hash(data[1:33])})
		}
		want, _ := view.Head(present)
		if head, ok, err := CheckHead(view.Root(), proof, present); err == nil && (!ok || head != want) {
			t.Errorf("%+v, %v", head, ok)
		}
		if _, ok, err := CheckHead(view.Root(), proof, absent); err == nil && ok {
			t.Errorf("%+v", proof)
		}
	})
}

// vector is a proof about an aggregate and what a verifier must say to it: present, absent or refused.
type vector struct {
	Name   string     `json:"name"`
	About  string     `json:"about"`
	Root   tlog.Hash  `json:"root"`
	Head   vectorHead `json:"head"`
	Path   []HeadStep `json:"path"`
	Answer string     `json:"answer"`
}

type vectorHead struct {
	Key     tlog.Hash `json:"key"`
	Version uint64    `json:"version"`
	Count   uint64    `json:"count"`
	Running tlog.Hash `json:"running"`
}

type vectorEvent struct {
	About   string    `json:"about"`
	Version uint64    `json:"version"`
	Leaf    tlog.Hash `json:"leaf"`
}

// vectors are what every implementation must agree on: the events of a trie, its root after each of them, and proofs.
type vectors struct {
	Events []vectorEvent `json:"events"`
	Roots  []tlog.Hash   `json:"roots"`
	Proofs []vector      `json:"proofs"`
}

func headVectors() vectors {
	var all vectors
	heads := NewHeads()
	for i := range 24 {
		about := fmt.Sprintf("lockbox.event.bank.request.r%d", i*i%11)
		e := vectorEvent{about, uint64(1 + i/11), tlog.RecordHash([]byte{byte(i)})}
		heads.Append(e.About, e.Version, e.Leaf)
		all.Events, all.Roots = append(all.Events, e), append(all.Roots, heads.View().Root())
	}
	view := heads.View()
	const present, absent = "lockbox.event.bank.request.r4", "lockbox.event.bank.request.r100"
	add := func(name, about string, root tlog.Hash, proof HeadProof) {
		answer := "refused"
		if _, ok, err := CheckHead(root, proof, about); ok {
			answer = "present"
		} else if err == nil {
			answer = "absent"
		}
		path := slices.Clone(proof.Path)
		if path == nil {
			path = []HeadStep{}
		}
		all.Proofs = append(all.Proofs, vector{name, about, root, vectorHead(proof.Head), path, answer})
	}
	change := func(name, about string, change func(*HeadProof)) {
		proof := view.Prove(about)
		change(&proof)
		add(name, about, view.Root(), proof)
	}
	change("a head", present, func(*HeadProof) {})
	change("no head", absent, func(*HeadProof) {})
	add("no head in an empty trie", present, tlog.Hash{}, HeadProof{})
	change("a version more", present, func(p *HeadProof) { p.Head.Version++ })
	change("an event less", present, func(p *HeadProof) { p.Head.Count-- })
	change("another running hash", present, func(p *HeadProof) { p.Head.Running[31] ^= 1 })
	change("another bit", present, func(p *HeadProof) { p.Path[0].Bit++ })
	change("another sibling", present, func(p *HeadProof) { p.Path[len(p.Path)-1].Sibling[0] ^= 1 })
	change("a node left out", present, func(p *HeadProof) { p.Path = p.Path[1:] })
	change("a node too many", present, func(p *HeadProof) { p.Path = append(p.Path, HeadStep{255, tlog.Hash{}}) })
	change("two nodes exchanged", present, func(p *HeadProof) { p.Path[0], p.Path[1] = p.Path[1], p.Path[0] })
	change("no proof", present, func(p *HeadProof) { *p = HeadProof{} })
	change("no head, by a head that stands elsewhere", absent, func(p *HeadProof) { *p = view.Prove(present) })
	add("an empty path to an empty trie, with a head", present, tlog.Hash{}, view.Prove(present))

	// Tries that an honest log does not make: their hashes are right.
	one := Head{Key: HeadKey(present)}
	side := func(bit uint8, on, sibling tlog.Hash) tlog.Hash {
		if bitOf(&one.Key, bit) == 0 {
			return hashNode(bit, on, sibling)
		}
		return hashNode(bit, sibling, on)
	}
	add("a head of no event", present, one.hash(), HeadProof{Head: one})
	one = one.Then(1, tlog.Hash{1})
	add("the only head", present, one.hash(), HeadProof{Head: one})
	add("no head beside the only one", absent, one.hash(), HeadProof{Head: one})
	add("bits that fall", present, side(9, side(3, one.hash(), tlog.Hash{}), tlog.Hash{}),
		HeadProof{one, []HeadStep{{9, tlog.Hash{}}, {3, tlog.Hash{}}}})
	add("one bit twice", present, side(9, side(9, one.hash(), tlog.Hash{}), tlog.Hash{}),
		HeadProof{one, []HeadStep{{9, tlog.Hash{}}, {9, tlog.Hash{}}}})
	add("the last bit", present, side(255, one.hash(), tlog.Hash{}), HeadProof{one, []HeadStep{{255, tlog.Hash{}}}})
	wrong := hashNode(9, tlog.Hash{}, one.hash())
	if bitOf(&one.Key, 9) == 1 {
		wrong = hashNode(9, one.hash(), tlog.Hash{})
	}
	add("a head on the wrong side", present, wrong, HeadProof{one, []HeadStep{{9, tlog.Hash{}}}})
	huge := one
	huge.Count = 1<<48 + 1
	add("more events than a tree has leaves", present, huge.hash(), HeadProof{Head: huge})
	return all
}

func TestHeadsAreFrozen(t *testing.T) {
	file, err := json.MarshalIndent(headVectors(), "", "  ")
	must(t, err)
	golden(t, "heads.json", append(file, '\n'))
	answers := map[string]int{}
	for _, v := range headVectors().Proofs {
		answers[v.Answer]++
	}
	if answers["present"] != 3 || answers["absent"] != 3 || answers["refused"] != 16 {
		t.Errorf("the answers are %v", answers)
	}
}

// BenchmarkHeads is what one more event of any of a million aggregates costs, with a view after every thousand.
func BenchmarkHeads(b *testing.B) {
	const many = 1_000_000
	name := func(i int) string { return fmt.Sprintf("lockbox.event.bank.request.0192f0c1-7a5e-7c3e-9d55-%012x", i) }
	heads := NewHeads()
	for i := range many {
		heads.Append(name(i), 1, tlog.Hash{})
	}
	heads.View()
	random := rand.New(rand.NewPCG(1, 2))
	b.ResetTimer()
	for i := range b.N {
		heads.Append(name(random.IntN(many)), 2, tlog.Hash{})
		if i%1000 == 0 {
			heads.View()
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(heapInUse())/many, "B/aggregate")
	if _, ok, err := CheckHead(heads.View().Root(), heads.View().Prove(name(7)), name(7)); !ok {
		b.Fatal(err)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var is runtime.MemStats
	runtime.ReadMemStats(&is)
	return is.HeapInuse
}
