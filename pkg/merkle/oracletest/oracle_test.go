package oracletest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// site is what a log serves, as tessera asks for it.
type site map[string][]byte

func (s site) Read(path string) ([]byte, error) {
	if data, ok := s[path]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (s site) Write(path string, data []byte) error {
	s[path] = bytes.Clone(data)
	return nil
}

func (s site) ReadCheckpoint(context.Context) ([]byte, error) { return s.Read(layout.CheckpointPath) }

func (s site) ReadTile(_ context.Context, level, n uint64, width uint8) ([]byte, error) {
	return s.Read(layout.TilePath(level, n, width))
}

func (s site) ReadEntryBundle(_ context.Context, n uint64, width uint8) ([]byte, error) {
	return s.Read(layout.EntriesPath(n, width))
}

// leafHashes is how any log of C2SP tlog-tiles makes leaves of entries.
func leafHashes(bundle []byte) ([][]byte, error) {
	var parsed api.EntryBundle
	if err := parsed.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, entry := range parsed.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}

const origin = "log.example/audit"

func keys(t *testing.T) (note.Signer, note.Verifier) {
	t.Helper()
	// Zeros instead of chance: the key signs nothing but this test's checkpoints.
	secret, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 2*ed25519.SeedSize)), origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// check signs the tree and has fsck judge it.
func check(t *testing.T, s site, tree tlog.Tree) error {
	t.Helper()
	signer, verifier := keys(t)
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: origin, Tree: tree}, signer)
	if err != nil {
		t.Fatal(err)
	}
	// A copy of its own: workers of an fsck that has found a fault may go on reading when it has ended. Two of them,
	// because one that finds a fault ends, and fsck goes on to hand out work.
	served := maps.Clone(s)
	served[layout.CheckpointPath] = signed
	return fsck.New(origin, verifier, served, leafHashes, fsck.Opts{N: 2}).Check(t.Context())
}

// format changes in the middle of a log of n leaves.
func format(i, n int) uint8 {
	if i <= n/2 {
		return merkle.Format1
	}
	return merkle.Format2
}

// tenantTree builds a tenant's tree of n events, flushed now and then.
func tenantTree(t *testing.T, n int) (site, tlog.Tree) {
	t.Helper()
	salts, err := merkle.NewSalts(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := site{}
	log, err := merkle.NewTenantLog(s, salts, "bank")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		e := merkle.Stored{Sequence: uint64(2 * i), Subject: fmt.Sprintf("subject.%d", i),
			Bytes: fmt.Appendf(nil, "event %d", i)}
		if err := log.Append(format(i, n), e); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if _, err := log.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	tree, err := log.Flush()
	if err != nil {
		t.Fatal(err)
	}
	return s, tree
}

func TestTesseraAcceptsTheTilesOfATenant(t *testing.T) {
	for _, n := range []int{1, 2, 255, 256, 257, 1000, 65536, 70000} {
		s, tree := tenantTree(t, n)
		if err := check(t, s, tree); err != nil {
			t.Errorf("%d events: %v", n, err)
		}
	}
}

func TestTesseraAcceptsTheTilesOfTheGlobalTree(t *testing.T) {
	salts, err := merkle.NewSalts(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := site{}
	log := merkle.NewLog(s)
	for number := range int64(600) {
		d, err := merkle.NewDirectory(format(int(number), 600), salts, number, []merkle.TenantTree{
			{Tenant: "bank", Tree: tlog.Tree{N: number + 1}}, {Tenant: "clinic", Tree: tlog.Tree{N: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Append(d.Entry()); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := log.Flush()
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, s, tree); err != nil {
		t.Error(err)
	}
}

// TestTesseraRefusesDamage shows that it looks at every file of the tree.
func TestTesseraRefusesDamage(t *testing.T) {
	s, tree := tenantTree(t, 300)
	for _, path := range []string{"tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000",
		"tile/entries/001.p/44"} {
		if s[path] == nil {
			t.Fatalf("no %s", path)
		}
		clean := s[path]
		s[path] = bytes.Clone(clean)
		s[path][len(clean)/2] ^= 1
		if err := check(t, s, tree); err == nil {
			t.Errorf("a changed %s is accepted", path)
		}
		s[path] = clean
	}
	if err := check(t, s, tree); err != nil {
		t.Errorf("the damage was not undone: %v", err)
	}
}

// TestPathsAreThoseOfTessera compares names, which fsck would not find otherwise, also of tiles that are far away.
func TestPathsAreThoseOfTessera(t *testing.T) {
	for _, n := range []int64{0, 1, 999, 1000, 1234067, 999999999, 1000000000} {
		for _, width := range []int{1, 255, 256} {
			for level := range 8 {
				if got, want := merkle.Path(tlog.Tile{H: 8, L: level, N: n, W: width}),
					layout.TilePath(uint64(level), uint64(n), uint8(width)); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
			entries := tlog.Tile{H: 8, L: -1, N: n, W: width}
			want := layout.EntriesPath(uint64(n), uint8(width))
			if got := merkle.Path(entries); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if got := merkle.EventsPath(entries); got != strings.Replace(want, "tile/entries", "events", 1) {
				t.Errorf("the events of %s are in %s", want, got)
			}
		}
	}
}
