package merkle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// directoryVectors are what every implementation must agree on about directories, and about what followers are shown.
type directoryVectors struct {
	Secret      []byte            `json:"secret"`
	Directories []directoryVector `json:"directories"`
	Openings    []openingVector   `json:"openings"`
	// Policy is whose signatures the follower trusts.
	Policy    string           `json:"policy"`
	Sightings []sightingVector `json:"sightings"`
}

type directoryVector struct {
	Name    string       `json:"name"`
	Answer  string       `json:"answer"`
	Format  uint8        `json:"format"`
	Number  int64        `json:"number"`
	Tenants []slotVector `json:"tenants"`
	// What it becomes, if it can be.
	Slots   int64     `json:"slots"`
	Entries [][]byte  `json:"entries"`
	Root    tlog.Hash `json:"root"`
	Entry   []byte    `json:"entry"`
}

type slotVector struct {
	Tenant string    `json:"tenant"`
	Size   int64     `json:"size"`
	Root   tlog.Hash `json:"root"`
	Heads  tlog.Hash `json:"heads"`
}

type openingVector struct {
	Name    string  `json:"name"`
	Answer  string  `json:"answer"`
	Tenant  string  `json:"tenant"`
	Opening Opening `json:"opening"`
	// Size and Root are those of the global tree, Last is the proof of its last leaf.
	Size int64       `json:"size"`
	Root tlog.Hash   `json:"root"`
	Last []tlog.Hash `json:"directoryProof"`
}

type sightingVector struct {
	Name   string   `json:"name"`
	Answer string   `json:"answer"`
	Before Seen     `json:"before"`
	Next   Sighting `json:"next"`
}

func makeDirectoryVectors(t testing.TB) directoryVectors {
	salts, err := NewSalts([]byte(vectorSecret))
	must(t, err)
	all := directoryVectors{Secret: []byte(vectorSecret), Policy: policyText(t, "2")}
	tree := func(tenant string, n int64) TenantTree {
		return TenantTree{tenant, tlog.Tree{N: n, Hash: tlog.RecordHash([]byte(tenant))}, tlog.RecordHash([]byte{byte(n)})}
	}
	directory := func(name string, format uint8, number int64, tenants ...TenantTree) {
		v := directoryVector{Name: name, Format: format, Number: number, Tenants: []slotVector{}, Entries: [][]byte{}}
		for _, is := range tenants {
			v.Tenants = append(v.Tenants, slotVector{is.Tenant, is.Tree.N, is.Tree.Hash, is.Heads})
		}
		d, err := NewDirectory(format, salts, number, tenants)
		if v.Answer = answer(err); err == nil {
			v.Slots, v.Root, v.Entry = d.slots, d.root, d.Entry()
			for slot := range d.slots {
				is := TenantTree{}
				if int(slot) < len(tenants) {
					is = tenants[slot]
				}
				v.Entries = append(v.Entries, slotEntry(format, d.salts[slot], slot, is))
			}
		}
		all.Directories = append(all.Directories, v)
	}
	bank, clinic := tree("bank", 7), tree("clinic", 2)
	directory("format 1", Format1, 3, bank, clinic)
	directory("format 2", Format2, 3, bank, clinic)
	directory("the next number", Format2, 4, bank, clinic)
	var many []TenantTree
	for i := range int64(65) {
		many = append(many, tree(fmt.Sprintf("tenant-%d", i), 1+i))
	}
	directory("64 tenants", Format2, 3, many[:64]...)
	directory("65 tenants", Format2, 3, many...)
	directory("format 3", 3, 3, bank)
	directory("a number below 0", Format2, -1, bank)
	directory("nobody", Format2, 3)
	directory("a tenant twice", Format2, 3, bank, clinic, bank)
	directory("a tenant without a name", Format2, 3, bank, tree("", 2))
	directory("a name of 257 bytes", Format2, 3, tree(strings.Repeat("t", 257), 2))
	directory("a tenant without events", Format2, 3, bank, tree("clinic", 0))

	all.openings(t)
	all.sightings(t)
	return all
}

func (all *directoryVectors) openings(t testing.TB) {
	add := func(name, tenant string, o Opening, global tlog.Tree, last []tlog.Hash) {
		v := openingVector{Name: name, Tenant: tenant, Opening: o, Size: global.N, Root: global.Hash, Last: last}
		v.Answer = answer(v.check())
		all.Openings = append(all.Openings, v)
	}
	for _, format := range []uint8{Format1, Format2} {
		s := storyIn(t, format)
		last, err := ProveLast(s.globalStore, s.tree)
		must(t, err)
		changed := func(name string, change func(*Opening)) {
			o, err := s.directory.Open(1)
			must(t, err)
			o.Proof = slices.Clone(o.Proof)
			change(&o)
			add(fmt.Sprintf("format %d, %s", format, name), "bank", o, s.tree, last)
		}
		changed("as it is", func(*Opening) {})
		changed("another size", func(o *Opening) { o.Size-- })
		changed("size 0", func(o *Opening) { o.Size = 0 })
		changed("a size above 2^48", func(o *Opening) { o.Size = 1<<48 + 1 })
		changed("another root", func(o *Opening) { o.Root[0] ^= 1 })
		changed("another salt", func(o *Opening) { o.Salt[0] ^= 1 })
		changed("another slot", func(o *Opening) { o.Slot++ })
		changed("a slot below 0", func(o *Opening) { o.Slot = -1 })
		changed("a slot beyond", func(o *Opening) { o.Slot = o.Slots })
		changed("twice the slots", func(o *Opening) { o.Slots *= 2 })
		changed("a slot less", func(o *Opening) { o.Slots-- })
		changed("another directory", func(o *Opening) { o.Directory[0] ^= 1 })
		changed("another proof", func(o *Opening) { o.Proof[0][0] ^= 1 })
		changed("no proof", func(o *Opening) { o.Proof = []tlog.Hash{} })
		if format == Format1 {
			changed("called format 2", func(o *Opening) { o.Heads = &tlog.Hash{} })
		} else {
			changed("called format 1", func(o *Opening) { o.Heads = nil })
			changed("other heads", func(o *Opening) { o.Heads = &tlog.Hash{1} })
		}
		o, err := s.directory.Open(1)
		must(t, err)
		name := func(what string) string { return fmt.Sprintf("format %d, %s", format, what) }
		add(name("another tenant"), "clinic", o, s.tree, last)
		add(name("no tenant"), "", o, s.tree, last)
		add(name("a name of 257 bytes"), strings.Repeat("t", 257), o, s.tree, last)
		add(name("another last leaf"), "bank", o, tlog.Tree{N: 4, Hash: tlog.Hash{1}}, last)
		add(name("not the last leaf"), "bank", o, tlog.Tree{N: 5, Hash: s.tree.Hash}, last)
		add(name("an empty global tree"), "bank", o, EmptyTree(), last)
	}
	// Directories that an honest log does not sign; their hashes are right.
	for _, slots := range []int64{1, 32, 63, 96} {
		is := TenantTree{"bank", tlog.Tree{N: 7, Hash: tlog.Hash{7}}, tlog.Hash{8}}
		var d Directory
		for slot := range slots {
			stored, err := tlog.StoredHashes(slot, slotEntry(Format2, Salt{}, slot, is), tlog.HashReaderFunc(d.read))
			must(t, err)
			d.hashes = append(d.hashes, stored...)
		}
		root, err := tlog.TreeHash(slots, tlog.HashReaderFunc(d.read))
		must(t, err)
		proof, err := tlog.ProveRecord(slots, 0, tlog.HashReaderFunc(d.read))
		must(t, err)
		o := Opening{Size: 7, Root: is.Tree.Hash, Heads: &is.Heads, Slots: slots, Directory: root, Proof: proof}
		global := tlog.Tree{N: 1, Hash: tlog.RecordHash(directoryEntry(Format2, slots, root))}
		add(fmt.Sprintf("%d slots", slots), "bank", o, global, []tlog.Hash{})
	}
}

func (v openingVector) check() error {
	return v.Opening.verify(v.Tenant, tlog.Tree{N: v.Size, Hash: v.Root}, v.Last)
}

func (all *directoryVectors) sightings(t testing.TB) {
	follow := policy(t, "2")
	add := func(name string, before Seen, next Sighting) Seen {
		after, err := Follow(before, next, follow)
		all.Sightings = append(all.Sightings, sightingVector{name, answer(err), before, next})
		return after
	}
	// A log that changes its format between two sightings; beside it one that goes back.
	s := newSampleIn(t, Format1)
	s.event("bank", "r1", 1, []byte("asked"))
	s.event("clinic", "r1", 1, nil)
	s.checkpoint()
	first := s.sighting("bank", tlog.Tree{}, tlog.Tree{})
	seen1 := add("the first sighting, of format 1", Seen{Tenant: "bank"}, first)
	tree1, own1 := s.tree, s.trees["bank"]
	s.format = Format2
	s.event("bank", "r1", 2, []byte("denied"))
	s.checkpoint()
	second := s.sighting("bank", tree1, own1)
	seen2 := add("the log changes to format 2", seen1, second)
	tree2, own2 := s.tree, s.trees["bank"]
	add("the same once more", seen2, s.sighting("bank", tree2, own2))
	add("another tenant's log", Seen{Tenant: "clinic"}, second)
	add("no growth of the global tree", seen1, tweak(second, func(s *Sighting) { s.GlobalGrowth = []tlog.Hash{} }))
	add("no growth of the tenant's tree", seen1, tweak(second, func(s *Sighting) { s.TenantGrowth = []tlog.Hash{} }))
	add("rolled back", seen2, first)
	heads := *second.Opening.Heads
	heads[0] ^= 1
	add("other heads", seen1, tweak(second, func(s *Sighting) { s.Opening.Heads = &heads }))
	unsigned, _, _ := strings.Cut(second.Checkpoint, "— ")
	add("no signature", seen1, tweak(second, func(s *Sighting) { s.Checkpoint = unsigned }))

	// What the log signs from here on is no honest log's.
	s.format = Format1
	s.checkpoint()
	add("the directory is of format 1 again", seen2, s.sighting("bank", tree2, own2))
	s.format = Format2
	for i := range 64 {
		s.event(fmt.Sprintf("tenant-%d", i), "r1", 1, nil)
	}
	s.checkpoint()
	seen3 := add("more slots", seen2, s.sighting("bank", tree2, own2))
	tree3 := s.tree
	s.order = s.order[:2]
	s.checkpoint()
	add("fewer slots", seen3, s.sighting("bank", tree3, own2))
	s.order = []string{"clinic", "bank"}
	s.checkpoint()
	add("another slot", seen2, s.sighting("bank", tree2, own2))
}

func TestDirectoriesAreFrozen(t *testing.T) {
	all := makeDirectoryVectors(t)
	file, err := json.MarshalIndent(all, "", "  ")
	must(t, err)
	golden(t, "directories.json", append(file, '\n'))
	answers := map[string]int{}
	for _, v := range all.Directories {
		answers[v.Answer]++
	}
	for _, v := range all.Openings {
		answers[v.Answer]++
	}
	for _, v := range all.Sightings {
		answers[v.Answer]++
	}
	if answers["valid"] != 11 || answers["refused"] != 61 {
		t.Errorf("the answers are %v", answers)
	}
}
