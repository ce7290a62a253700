package merkle

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// TestSeveralLeavesHaveOneProof proves any leaves of trees of any size, and refuses every other proof of them.
func TestSeveralLeavesHaveOneProof(t *testing.T) {
	salts, err := NewSalts(make([]byte, 32))
	must(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(1, 700).Draw(rt, "size")
		store := memory{}
		log, err := NewTenantLog(store, salts, "bank")
		must(t, err)
		for n := range uint64(size) {
			must(t, log.Append(Format2, Stored{n + 1, fmt.Sprintf("s%d", n), nil}))
		}
		tree, err := log.Flush()
		must(t, err)
		numbers := rapid.SliceOfNDistinct(rapid.Int64Range(0, size-1), 1, -1, rapid.ID).Draw(rt, "leaves")
		slices.Sort(numbers)
		var wanted []Wanted
		var leaves []tlog.Hash
		for _, n := range numbers {
			wanted = append(wanted, Wanted{TenantSequence: uint64(n) + 1})
		}
		events, proof, err := ProveTogether(store, tree, wanted)
		must(t, err)
		for _, e := range events {
			leaves = append(leaves, tlog.RecordHash(e.Statement().Append(nil)))
		}
		must(t, checkTogether(tree, numbers, leaves, proof))

		if len(numbers) == 1 {
			single, err := ProveEvents(store, tree, wanted)
			must(t, err)
			if len(single[0].Proof) != len(proof) {
				rt.Fatalf("one leaf takes %d hashes, and %d with its own proof", len(proof), len(single[0].Proof))
			}
		}
		refused := func(name string, tree tlog.Tree, numbers []int64, leaves, proof []tlog.Hash) {
			if checkTogether(tree, numbers, leaves, proof) == nil {
				rt.Fatalf("taken: %s", name)
			}
		}
		changed := func(hashes []tlog.Hash) []tlog.Hash {
			hashes = slices.Clone(hashes)
			hashes[rapid.IntRange(0, len(hashes)-1).Draw(rt, "hash")][rapid.IntRange(0, 31).Draw(rt, "byte")] ^= 1
			return hashes
		}
		refused("a leaf changed", tree, numbers, changed(leaves), proof)
		refused("a hash more", tree, numbers, leaves, append(slices.Clone(proof), tlog.Hash{}))
		refused("a leaf less", tree, numbers[1:], leaves[1:], proof)
		if len(proof) > 0 {
			refused("a hash changed", tree, numbers, leaves, changed(proof))
			refused("a hash less", tree, numbers, leaves, proof[1:])
		}
	})
}

// TestAReceiptOfManyEventsIsMostlyEvents: with a proof in each event, half of such a receipt is hashes.
func TestAReceiptOfManyEventsIsMostlyEvents(t *testing.T) {
	s := newSampleIn(t, Format2)
	const events = 1000
	var wanted []Wanted
	for version := 1; version <= events; version++ {
		s.event("bank", "r1", version, make([]byte, 400))
		wanted = append(wanted, Wanted{TenantSequence: uint64(s.logs["bank"].Tree().N)})
		for range 3 {
			s.event("bank", "r2", int(s.sequence), nil)
		}
	}
	s.checkpoint()
	r := s.receipt("bank", "r1", wanted...)
	each := encoded(t, r)
	var err error
	r.Events, r.Proof, err = ProveTogether(s.stores["bank"], s.trees["bank"], wanted)
	must(t, err)
	r.Writers = []string{}
	together := encoded(t, r)
	report, err := verifiedProofs(together, policy(t, "all"))
	must(t, err)
	if !report.Complete() || len(report.Events) != events {
		t.Errorf("it proves %d events, all: %v", len(report.Events), report.Complete())
	}
	hashes := 0
	for _, e := range s.receipt("bank", "r1", wanted...).Events {
		hashes += len(e.Proof)
	}
	t.Logf("%d bytes with %d hashes; %d bytes with %d", len(each), hashes, len(together), len(r.Proof))
	if len(r.Proof)*4 > hashes || len(together)*3 > len(each)*2 {
		t.Error("one proof saves too little")
	}
}
