package merkle

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// reference is the tree that tlog itself makes of the entries.
func reference(t testing.TB, entries [][]byte) (tlog.Tree, tlog.HashReader) {
	t.Helper()
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, i := range indexes {
			found = append(found, hashes[i])
		}
		return found, nil
	})
	for i, entry := range entries {
		stored, err := tlog.StoredHashes(int64(i), entry, reader)
		must(t, err)
		hashes = append(hashes, stored...)
	}
	root, err := tlog.TreeHash(int64(len(entries)), reader)
	must(t, err)
	return tlog.Tree{N: int64(len(entries)), Hash: root}, reader
}

func numbered(n int) [][]byte {
	var entries [][]byte
	for i := range n {
		entries = append(entries, fmt.Appendf(nil, "entry %d", i))
	}
	return entries
}

func TestTilesAreThoseOfTheReference(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 255, 256, 257, 511, 512, 65535, 65536, 65537, 66000} {
		store := memory{}
		log := NewLog(store)
		entries := numbered(n)
		for _, e := range entries {
			must(t, log.Append(e))
		}
		tree, err := log.Flush()
		must(t, err)
		want, reader := reference(t, entries)
		if tree != want {
			t.Fatalf("%d leaves: the tree is %v, want %v", n, tree, want)
		}
		files := 0
		for _, tile := range tlog.NewTiles(tileHeight, 0, int64(n)) {
			data, err := tlog.ReadTileData(tile, reader)
			must(t, err)
			if !bytes.Equal(store[Path(tile)], data) {
				t.Errorf("%d leaves: %s differs", n, Path(tile))
			}
			files++
			if tile.L > 0 {
				continue
			}
			var bundle []byte
			for i := range tile.W {
				bundle = appendEntry(bundle, entries[tile.N*tileWidth+int64(i)])
			}
			tile.L = entriesLevel
			if !bytes.Equal(store[Path(tile)], bundle) {
				t.Errorf("%d leaves: %s differs", n, Path(tile))
			}
			files++
		}
		if files != len(store) {
			t.Errorf("%d leaves: %d files, want %d: %v", n, len(store), files, sorted(store))
		}
	}
}

// openBank continues the bank's tree.
func openBank(store Store, salts *Salts, tree tlog.Tree) (*TenantLog, error) {
	heads, err := ReadHeads(store, tree)
	if err != nil {
		return nil, err
	}
	return OpenTenantLog(store, salts, "bank", tree, heads)
}

func TestATreeIsTheSameHoweverItWasBuilt(t *testing.T) {
	inEachFormat(t, testATreeIsTheSameHoweverItWasBuilt)
}

func testATreeIsTheSameHoweverItWasBuilt(t *testing.T, format uint8) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 1200).Draw(rt, "leaves")
		stops := rapid.SliceOfN(rapid.IntRange(1, n), 0, 4).Draw(rt, "flushes")
		reopen := rapid.Bool().Draw(rt, "reopened at each flush")
		at := map[int]bool{n: true}
		for _, stop := range stops {
			at[stop] = true
		}
		build := func(reopened bool) memory {
			s := newSample(t)
			store := memory{}
			log, err := NewTenantLog(store, s.salts, "bank")
			must(t, err)
			for i := 1; i <= n; i++ {
				e := Stored{uint64(3 * i), fmt.Sprintf("subject.%d", i), fmt.Appendf(nil, "bytes %d", i)}
				must(t, log.Append(formatAt(format, e.Sequence), e))
				if !at[i] {
					continue
				}
				tree, err := log.Flush()
				must(t, err)
				if reopened {
					log, err = openBank(store, s.salts, tree)
					must(t, err)
					if log.Tree() != tree || log.Last() != uint64(3*i) {
						t.Fatalf("opened is %v up to %d, want %v", log.Tree(), log.Last(), tree)
					}
				}
			}
			return store
		}
		if diff := cmp.Diff(build(false), build(reopen)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWhatAnUnfinishedRunLeftIsWrittenAgain(t *testing.T) {
	inEachFormat(t, testWhatAnUnfinishedRunLeftIsWrittenAgain)
}

func testWhatAnUnfinishedRunLeftIsWrittenAgain(t *testing.T, format uint8) {
	s := newSample(t)
	store := memory{}
	build := func(log *TenantLog, from, to int) tlog.Tree {
		for i := from; i <= to; i++ {
			must(t, log.Append(formatAt(format, uint64(i)), Stored{uint64(i), "subject", fmt.Append(nil, i)}))
		}
		tree, err := log.Flush()
		must(t, err)
		return tree
	}
	log, err := NewTenantLog(store, s.salts, "bank")
	must(t, err)
	kept := build(log, 1, 300)
	build(log, 301, 900) // its checkpoint was never kept
	want := maps.Clone(store)
	if log, err = openBank(store, s.salts, kept); err != nil {
		t.Fatal(err)
	}
	build(log, 301, 900)
	if diff := cmp.Diff(want, store); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedTilesAreNotContinued(t *testing.T) { inEachFormat(t, testDamagedTilesAreNotContinued) }

func testDamagedTilesAreNotContinued(t *testing.T, format uint8) {
	s := newSample(t)
	clean := memory{}
	log, err := NewTenantLog(clean, s.salts, "bank")
	must(t, err)
	for i := 1; i <= 520; i++ {
		must(t, log.Append(formatAt(format, uint64(i)), Stored{uint64(i), "subject", fmt.Append(nil, i)}))
	}
	tree, err := log.Flush()
	must(t, err)
	for _, path := range []string{"tile/0/002.p/8", "tile/1/000.p/2", "tile/entries/002.p/8", "events/002.p/8"} {
		for name, damage := range map[string]func([]byte) []byte{
			"a bit":     func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			"cut short": func(b []byte) []byte { return b[:len(b)-1] },
			"too long":  func(b []byte) []byte { return append(b, b...) },
			"empty":     func([]byte) []byte { return nil },
		} {
			store := maps.Clone(clean)
			store[path] = damage(bytes.Clone(store[path]))
			if _, err := openBank(store, s.salts, tree); err == nil {
				t.Errorf("%s with %s was taken", path, name)
			}
		}
		store := maps.Clone(clean)
		delete(store, path)
		if _, err := openBank(store, s.salts, tree); err == nil {
			t.Errorf("without %s it was taken", path)
		}
	}
	for _, path := range []string{"tile/0/002.p/8", "tile/1/000.p/2", "tile/entries/002.p/8"} {
		store := maps.Clone(clean)
		store[path] = bytes.Clone(store[path])
		store[path][30] ^= 1
		if _, err := OpenLog(store, tree); err == nil {
			t.Errorf("%s with a bit flipped was taken for any tree's", path)
		}
	}
	for _, other := range []tlog.Tree{{N: 520, Hash: tlog.Hash{1}}, {N: 519, Hash: tree.Hash}, {N: -1}, {N: 1<<63 - 1}} {
		if _, err := openBank(clean, s.salts, other); err == nil {
			t.Errorf("%v was taken", other)
		}
	}
}

func TestPartialTilesMayGoWhenTheFullOnesAreThere(t *testing.T) {
	inEachFormat(t, testPartialTilesMayGoWhenTheFullOnesAreThere)
}

func testPartialTilesMayGoWhenTheFullOnesAreThere(t *testing.T, format uint8) {
	s := newSample(t)
	store := memory{}
	log, err := NewTenantLog(store, s.salts, "bank")
	must(t, err)
	build := func(from, to int) tlog.Tree {
		for i := from; i <= to; i++ {
			must(t, log.Append(formatAt(format, uint64(i)), Stored{uint64(i), "test.bank.request.r1.1.Happened", nil}))
		}
		tree, err := log.Flush()
		must(t, err)
		return tree
	}
	older := build(1, 300)
	newer := build(301, 600)
	for path := range store {
		if strings.Contains(path, "001.p/") {
			delete(store, path)
		}
	}
	for _, tree := range []tlog.Tree{older, newer} {
		if _, err := ProveEvents(store, tree, shown(1, 299)); err != nil {
			t.Errorf("in the tree of %d: %v", tree.N, err)
		}
	}
	if _, err := openBank(store, s.salts, older); err != nil {
		t.Error(err)
	}
}

type failing struct {
	memory
	left int
}

func (f *failing) Write(path string, data []byte) error {
	if f.left--; f.left < 0 {
		return errors.New("disk full")
	}
	return f.memory.Write(path, data)
}

func TestAFailedWriteEndsTheLog(t *testing.T) { inEachFormat(t, testAFailedWriteEndsTheLog) }

func testAFailedWriteEndsTheLog(t *testing.T, format uint8) {
	s := newSample(t)
	for left := range 3 { // events, entries, hashes
		store := &failing{memory{}, left}
		log, err := NewTenantLog(store, s.salts, "bank")
		must(t, err)
		for i := uint64(1); err == nil && i <= 256; i++ {
			err = log.Append(formatAt(format, i), Stored{i, "subject", nil})
		}
		if err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Fatalf("after %d writes: %v", left, err)
		}
		store.left = 100
		if err := log.Append(Format2, Stored{1000, "subject", nil}); err == nil {
			t.Errorf("after %d writes it went on", left)
		}
		if _, err := log.Flush(); err == nil {
			t.Errorf("after %d writes it was flushed", left)
		}
	}
}

func TestEventsThatCannotBe(t *testing.T) { inEachFormat(t, testEventsThatCannotBe) }

func testEventsThatCannotBe(t *testing.T, format uint8) {
	s := newSample(t)
	for name, e := range map[string]Stored{
		"no sequence":           {0, "subject", nil},
		"no subject":            {10, "", nil},
		"a subject of 5000":     {10, strings.Repeat("x", 5000), nil},
		"the same sequence":     {5, "subject", nil},
		"an earlier sequence":   {4, "subject", nil},
		"bytes beyond measure":  {10, "subject", make([]byte, maxStored+1)},
		"before its own number": {1, "subject", nil},
		"a sequence of 2^53":    {1 << 53, "subject", nil},
	} {
		log, err := NewTenantLog(memory{}, s.salts, "bank")
		must(t, err)
		must(t, log.Append(formatAt(format, 5), Stored{5, "subject", nil}))
		before := log.Tree()
		if err := log.Append(formatAt(format, 10), e); err == nil {
			t.Errorf("%s: it was taken", name)
		}
		if log.Tree() != before {
			t.Errorf("%s: it changed the tree", name)
		}
		if err := log.Append(formatAt(format, 11), Stored{11, "subject", nil}); err != nil {
			t.Errorf("%s: nothing more is taken: %v", name, err)
		}
	}
	for _, tenant := range []string{"", strings.Repeat("x", 257)} {
		if _, err := NewTenantLog(memory{}, s.salts, tenant); err == nil {
			t.Errorf("tenant %q was taken", tenant)
		}
	}
	if _, err := NewSalts(make([]byte, 31)); err == nil {
		t.Error("a short secret was taken")
	}
	if err := NewLog(memory{}).Append(make([]byte, 1<<16)); err == nil {
		t.Error("an entry of 64 KiB was taken")
	}
}

func TestPathsAreThoseOfTheStandard(t *testing.T) {
	for path, tile := range map[string]tlog.Tile{
		"tile/0/000":                     {H: 8, L: 0, N: 0, W: 256},
		"tile/0/x001/x234/067":           {H: 8, L: 0, N: 1234067, W: 256},
		"tile/3/x001/000.p/255":          {H: 8, L: 3, N: 1000, W: 255},
		"tile/entries/x001/x234/067":     {H: 8, L: -1, N: 1234067, W: 256},
		"tile/entries/000.p/1":           {H: 8, L: -1, N: 0, W: 1},
		"tile/entries/x001/x234/067.p/8": {H: 8, L: -1, N: 1234067, W: 8},
	} {
		if got := Path(tile); got != path {
			t.Errorf("the path is %s, want %s", got, path)
		}
		if got, err := ParsePath(path); err != nil || got != tile {
			t.Errorf("%s is %v (%v), want %v", path, got, err, tile)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/8/0/000", "tile/data/000", "tile/0/0", "tile/0/1000", "tile/0/000.p/0", "tile/0/000.p/256",
		"tile/0/000.p/01", "tile/0/../000", "tile/-1/000", "tile/9/000", "tile/entries/entries/000", "events/000",
		"/tile/0/000",
		"tile/0/x000/001", "tile/0/000/", "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
	} {
		if tile, err := ParsePath(path); err == nil {
			t.Errorf("%q is taken for %v", path, tile)
		}
	}
}
