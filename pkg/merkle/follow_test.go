package merkle

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// sighting is what the log shows a tenant that saw these trees before.
func (s *sample) sighting(tenant string, global, seen tlog.Tree) Sighting {
	s.t.Helper()
	opening, err := s.directory.Open(slices.Index(s.order, tenant))
	must(s.t, err)
	next := Sighting{Checkpoint: string(s.signed), Opening: opening}
	next.Directory, err = ProveLast(s.globalStore, s.tree)
	must(s.t, err)
	next.GlobalGrowth, err = ProveGrowth(s.globalStore, global.N, s.tree)
	must(s.t, err)
	next.TenantGrowth, err = ProveGrowth(s.stores[tenant], seen.N, s.trees[tenant])
	must(s.t, err)
	return next
}

func TestFollowingAnHonestLog(t *testing.T) { inEachFormat(t, testFollowingAnHonestLog) }

func testFollowingAnHonestLog(t *testing.T, format uint8) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSampleIn(t, format)
		tenants := []string{"bank", "clinic", "depot"}
		followers := map[string]Seen{}
		seen := map[string][2]tlog.Tree{}
		for round := range rapid.IntRange(1, 12).Draw(rt, "checkpoints") {
			for range rapid.IntRange(0, 300).Draw(rt, "events") {
				s.event(rapid.SampledFrom(tenants).Draw(rt, "tenant"), "r1", 1, nil)
			}
			s.event("bank", "r1", 1, []byte{byte(round)})
			s.checkpoint()
			for _, tenant := range s.order {
				if !rapid.Bool().Draw(rt, "looks") {
					continue
				}
				for range 2 { // looking again without growth is nothing special
					before := followers[tenant]
					before.Tenant = tenant
					next, err := Follow(before, s.sighting(tenant, seen[tenant][0], seen[tenant][1]), policy(t, "2"))
					if err != nil {
						rt.Fatalf("%s at %d: %v", tenant, s.tree.N, err)
					}
					followers[tenant], seen[tenant] = next, [2]tlog.Tree{s.tree, s.trees[tenant]}
				}
			}
		}
	})
}

// TestWhatAFollowerNotices has the provider rewrite history, with all its keys.
func TestWhatAFollowerNotices(t *testing.T) { inEachFormat(t, testWhatAFollowerNotices) }

func testWhatAFollowerNotices(t *testing.T, format uint8) {
	// tell makes a history of the bank's events, with checkpoints after the third and the fifth, behind those of others.
	tell := func(others []string, events ...string) (first, second *sample) {
		world := func(upTo int) *sample {
			s := newSampleIn(t, format)
			for _, other := range others {
				s.event(other, "r1", 1, nil)
			}
			for i, e := range events[:upTo] {
				s.event("bank", "r1", i+1, []byte(e))
				if i == 2 || i == len(events)-1 {
					s.checkpoint()
				}
			}
			return s
		}
		return world(3), world(len(events))
	}
	before, honest := tell([]string{"clinic"}, "asked", "denied", "told", "asked", "approved")
	_, rewritten := tell([]string{"clinic"}, "asked", "approved", "told", "asked", "approved")
	_, inserted := tell([]string{"clinic"}, "asked", "denied", "approved", "told", "asked", "approved")
	_, crowd := tell([]string{"clinic"}, "asked", "denied", "told", "asked", "approved")
	for i := range minSlots {
		crowd.event(fmt.Sprintf("tenant-%d", i), "r1", 1, nil)
	}
	crowd.checkpoint()
	_, moved := tell([]string{"clinic", "depot"}, "asked", "denied", "told", "asked", "approved")
	seen, err := Follow(Seen{Tenant: "bank"}, before.sighting("bank", tlog.Tree{}, tlog.Tree{}), policy(t, "2"))
	must(t, err)
	next := func(s *sample) Sighting { return s.sighting("bank", before.tree, before.trees["bank"]) }
	if _, err := Follow(seen, next(honest), policy(t, "2")); err != nil {
		t.Fatal(err)
	}

	for name, row := range map[string]struct {
		next Sighting
		part Part
	}{
		"a changed event":   {next(rewritten), Growth},
		"an inserted event": {next(inserted), Growth},
		"a second slot":     {next(moved), Slot},
		"an earlier checkpoint": {tweak(before.sighting("bank", tlog.Tree{}, tlog.Tree{}), func(s *Sighting) {
			s.Checkpoint = string(signedBy(t, Checkpoint{origin, EmptyTree()}, "alpha", "beta"))
		}), Global},
		"another tenant's": {next(honest).of(honest, "clinic"), Slot},
		"no global growth": {tweak(next(honest), func(s *Sighting) { s.GlobalGrowth = nil }), Growth},
		"no growth":        {tweak(next(honest), func(s *Sighting) { s.TenantGrowth = nil }), Growth},
		"the growth of another": {tweak(next(honest),
			func(s *Sighting) { s.TenantGrowth = next(inserted).TenantGrowth[1:] }), Growth},
		"a directory of earlier": {tweak(next(honest), func(s *Sighting) { s.Opening = seen.Opening }), Global},
		"too few witnesses": {tweak(next(honest),
			func(s *Sighting) { s.Checkpoint = string(signedBy(t, Checkpoint{origin, honest.tree}, "alpha")) }), Cosignatures},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := Follow(seen, row.next, policy(t, "2"))
			wantBroken(t, err, row.part)
			if fmt.Sprint(after) != fmt.Sprint(seen) {
				t.Error("what was seen is forgotten")
			}
		})
	}

	// Rolled back to what it was: the later state is known.
	later, err := Follow(seen, next(honest), policy(t, "2"))
	must(t, err)
	_, err = Follow(later, before.sighting("bank", tlog.Tree{}, tlog.Tree{}), policy(t, "2"))
	wantBroken(t, err, Growth)
	// Fewer slots: somebody was taken out.
	more, err := Follow(Seen{Tenant: "bank"}, crowd.sighting("bank", tlog.Tree{}, tlog.Tree{}), policy(t, "2"))
	must(t, err)
	known := crowd.tree
	crowd.order = crowd.order[:2]
	crowd.checkpoint()
	_, err = Follow(more, crowd.sighting("bank", known, crowd.trees["bank"]), policy(t, "2"))
	wantBroken(t, err, Growth)
	// A log of another name is another log.
	other := signedAs(t, "other.example/log", before)
	_, err = Follow(later, other.sighting("bank", tlog.Tree{}, tlog.Tree{}), otherPolicy(t, "other.example/log"))
	wantBroken(t, err, LogSignature)
}

func tweak(s Sighting, change func(*Sighting)) Sighting {
	change(&s)
	return s
}

func (s Sighting) of(world *sample, tenant string) Sighting {
	opening, err := world.directory.Open(slices.Index(world.order, tenant))
	must(world.t, err)
	s.Opening = opening
	return s
}

func signedAs(t *testing.T, name string, s *sample) *sample {
	t.Helper()
	other := *s
	var err error
	other.signed, err = Sign(Checkpoint{name, s.tree}, logSigner(t, name))
	must(t, err)
	return &other
}

func otherPolicy(t *testing.T, name string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte("log " + logKey(t, name) + "\nquorum none\n"))
	must(t, err)
	return p
}

func TestGrowth(t *testing.T) {
	store := memory{}
	log := NewLog(store)
	trees := []tlog.Tree{EmptyTree()}
	for _, e := range numbered(40) {
		must(t, log.Append(e))
		tree, err := log.Flush()
		must(t, err)
		trees = append(trees, tree)
	}
	for m, older := range trees {
		for n, newer := range trees {
			if m > n {
				wantBroken(t, CheckGrowth(older, newer, nil), Growth)
				continue
			}
			proof, err := ProveGrowth(store, older.N, newer)
			must(t, err)
			if err := CheckGrowth(older, newer, proof); err != nil {
				t.Fatalf("from %d to %d: %v", m, n, err)
			}
			wantBroken(t, CheckGrowth(older, newer, append(proof, tlog.Hash{})), Growth)
			if m == 0 {
				continue
			}
			older.Hash[0] ^= 1
			if CheckGrowth(older, newer, proof) == nil {
				t.Fatalf("from another %d to %d", m, n)
			}
			older.Hash[0] ^= 1
		}
	}
	wantBroken(t, CheckGrowth(tlog.Tree{N: 0, Hash: tlog.Hash{1}}, trees[1], nil), Growth)
	wantBroken(t, CheckGrowth(tlog.Tree{N: -1}, trees[1], nil), Format)
}

// TestATenantHasOneRootPerCheckpoint is what slots are for. Provider and witnesses agree on a directory in which the
// bank stands twice, so that different people can be shown different histories; their receipts name different slots.
func TestATenantHasOneRootPerCheckpoint(t *testing.T) {
	inEachFormat(t, testATenantHasOneRootPerCheckpoint)
}

func testATenantHasOneRootPerCheckpoint(t *testing.T, format uint8) {
	s := storyIn(t, format)
	twice := []TenantTree{{Tenant: "bank", Tree: s.trees["bank"]}, {Tenant: "bank", Tree: s.trees["clinic"]}}
	if _, err := NewDirectory(formatAt(format, s.sequence), s.salts, 4, twice); err == nil {
		t.Error("a directory holds a tenant twice")
	}
	for slots, number := range map[int]int64{0: 4, 1: -1} {
		if _, err := NewDirectory(formatAt(format, s.sequence), s.salts, number, twice[:slots]); err == nil {
			t.Errorf("directory %d of %d", number, slots)
		}
	}
	// The slot is in the entry, so nobody can show one entry as two slots.
	opening, err := s.directory.Open(1)
	must(t, err)
	last, err := ProveLast(s.globalStore, s.tree)
	must(t, err)
	for slot := range opening.Slots {
		opening.Slot = slot
		if err := opening.verify("bank", s.tree, last); (err == nil) != (slot == 1) {
			t.Errorf("slot %d: %v", slot, err)
		}
	}
}

// TestNeighboursShowNothing: an idle tenant's place in a directory changes as that of a busy one does.
func TestNeighboursShowNothing(t *testing.T) { inEachFormat(t, testNeighboursShowNothing) }

func testNeighboursShowNothing(t *testing.T, format uint8) {
	s := storyIn(t, format)
	before, err := s.directory.Open(1)
	must(t, err)
	s.checkpoint() // nothing happened since
	after, err := s.directory.Open(1)
	must(t, err)
	for i := range before.Proof {
		if before.Proof[i] == after.Proof[i] {
			t.Errorf("hash %d of the proof shows that nothing happened behind it", i)
		}
	}
	if before.Salt == after.Salt || before.Tree() != after.Tree() {
		t.Error("a salt is used twice, or the bank's tree changed")
	}
}
