package merkle

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// TestALeafShowsNothingOfOthers: whatever others did between a tenant's events, its entries are the same but for what
// looks like chance, and no two of those are alike.
func TestALeafShowsNothingOfOthers(t *testing.T) {
	salts, err := NewSalts([]byte(vectorSecret))
	must(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		sequences := [2]uint64{0, 1_000_000} // none of which is the other's
		chance := map[tlog.Hash]bool{}
		count := rapid.IntRange(1, 300).Draw(rt, "events")
		stores := [2]memory{{}, {}}
		var logs [2]*TenantLog
		for world := range logs {
			logs[world], err = NewTenantLog(stores[world], salts, "bank")
			must(t, err)
			for n := range count {
				sequences[world] += rapid.Uint64Range(1, 1000).Draw(rt, "others")
				e := Stored{sequences[world], fmt.Sprintf("lockbox.event.bank.request.r1.%d.Happened", n+1), []byte("the same")}
				must(t, logs[world].Append(Format2, e))
			}
			_, err := logs[world].Flush()
			must(t, err)
		}
		for n := 0; n < count; n += tileWidth {
			one, err := readEntries(stores[0], int64(n), int64(count))
			must(t, err)
			other, err := readEntries(stores[1], int64(n), int64(count))
			must(t, err)
			for i := range one {
				a, err := ParseStatement(one[i])
				must(t, err)
				b, err := ParseStatement(other[i])
				must(t, err)
				for _, hash := range []tlog.Hash{a.Position, a.Commitment} {
					if chance[hash] {
						rt.Fatalf("event %d has a hash of another", a.TenantSequence)
					}
					chance[hash] = true
				}
				a.Position, a.Commitment, b.Position, b.Commitment = tlog.Hash{}, tlog.Hash{}, tlog.Hash{}, tlog.Hash{}
				if a != b || len(one[i]) != len(other[i]) {
					rt.Fatalf("%+v here, %+v there", a, b)
				}
			}
		}
	})
}

// TestADirectoryDoesNotShowHowManyThereAre: with one tenant or with 64, a slot's opening is of the same form.
func TestADirectoryDoesNotShowHowManyThereAre(t *testing.T) {
	salts, err := NewSalts([]byte(vectorSecret))
	must(t, err)
	var all []TenantTree
	for i := range 200 {
		all = append(all, TenantTree{Tenant: fmt.Sprintf("tenant-%d", i), Tree: tlog.Tree{N: 1}})
		d, err := NewDirectory(Format2, salts, 7, all)
		must(t, err)
		o, err := d.Open(0)
		must(t, err)
		slots, levels := int64(64), 6
		for slots < int64(len(all)) {
			slots, levels = 2*slots, levels+1
		}
		if o.Slots != slots || len(o.Proof) != levels || len(d.Entry()) != 41 {
			t.Fatalf("%d tenants: %d slots and a proof of %d", len(all), o.Slots, len(o.Proof))
		}
	}
}
