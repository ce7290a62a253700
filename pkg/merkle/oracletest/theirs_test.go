package oracletest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// served serves a tree's files.
func served(t *testing.T, s site) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, there := s[strings.TrimPrefix(r.URL.Path, "/")]
		if !there {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data) // #nosec G705 -- tiles for a test
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// torchwood's client reads the tiles and checks every entry against the root.
func TestTorchwoodReadsOurTiles(t *testing.T) {
	for _, n := range []int{1, 255, 256, 257, 1000} {
		s, tree := tenantTree(t, n)
		fetch, err := torchwood.NewTileFetcher(served(t, s))
		must(t, err)
		reader, err := torchwood.NewClient(fetch)
		must(t, err)
		next := int64(0)
		for next < tree.N { // it stops before a tile that is not full, and goes on when asked again
			from := next
			for i, entry := range reader.Entries(t.Context(), tree, from) {
				if statement, err := merkle.ParseStatement(entry); i != next || err != nil ||
					statement.TenantSequence != uint64(i)+1 {
					t.Fatalf("%d events: entry %d is %+v (%v)", n, i, statement, err)
				}
				next++
			}
			must(t, reader.Err())
			if next == from {
				t.Fatalf("%d events: it ends after %d", n, next)
			}
		}
		entry, proof, err := reader.Entry(t.Context(), tree, tree.N-1)
		must(t, err)
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, tree.N-1, tlog.RecordHash(entry)); err != nil {
			t.Error(err)
		}
	}
}

func TestTorchwoodRefusesDamage(t *testing.T) {
	s, tree := tenantTree(t, 300)
	for _, path := range []string{"tile/0/000", "tile/0/001.p/44", "tile/entries/001.p/44"} {
		clean := s[path]
		s[path] = bytes.Clone(clean)
		s[path][len(clean)-1] ^= 1
		fetch, err := torchwood.NewTileFetcher(served(t, s))
		must(t, err)
		reader, err := torchwood.NewClient(fetch)
		must(t, err)
		var wrong error
		for _, from := range []int64{0, 256} { // it leaves a tile that is not full for the next time
			for range reader.Entries(t.Context(), tree, from) { // it is checked on the way
			}
			if err := reader.Err(); err != nil {
				wrong = err
			}
		}
		if wrong == nil {
			t.Errorf("a changed %s is accepted", path)
		}
		s[path] = clean
	}
}

// Tessera's client makes from the tiles the proofs that we make.
func TestTesserasClientProvesWhatWeProve(t *testing.T) {
	s, tree := tenantTree(t, 1000)
	builder, err := client.NewProofBuilder(t.Context(), uint64(tree.N), s.ReadTile)
	must(t, err)
	for older := int64(1); older < tree.N; older += 37 {
		theirs, err := builder.ConsistencyProof(t.Context(), uint64(older), uint64(tree.N))
		must(t, err)
		ours, err := merkle.ProveGrowth(s, older, tree)
		must(t, err)
		if len(theirs) != len(ours) {
			t.Fatalf("from %d: %d hashes, ours has %d", older, len(theirs), len(ours))
		}
		for i, hash := range ours {
			if !bytes.Equal(hash[:], theirs[i]) {
				t.Errorf("from %d: hash %d differs", older, i)
			}
		}
	}
}

func TestTorchwoodCosignsAsWeDo(t *testing.T) {
	signer, _ := keys(t)
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: origin, Tree: tlog.Tree{N: 7, Hash: tlog.Hash{1}}}, signer)
	must(t, err)
	secret := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	theirs, err := torchwood.NewCosignatureSigner("witness.example", secret)
	must(t, err)
	ours, err := merkle.NewCosigner("witness.example", secret)
	must(t, err)
	if theirs.Verifier().String() != ours.VerifierKey() {
		t.Errorf("the key is %s, ours %s", theirs.Verifier(), ours.VerifierKey())
	}
	line, err := ours.Line(signed, time.Now())
	must(t, err)
	opened, err := note.Open(slices.Concat(signed, line), note.VerifierList(theirs.Verifier()))
	must(t, err)
	if at, err := torchwood.CosignatureTimestamp(opened.Sigs[0]); err != nil || time.Since(time.Unix(at, 0)) > time.Hour {
		t.Errorf("%d (%v)", at, err)
	}
	if c, err := torchwood.ParseCheckpoint(opened.Text); err != nil || c.N != 7 || c.Origin != origin {
		t.Errorf("%+v (%v)", c, err)
	}
	cosigned, err := note.Sign(&note.Note{Text: opened.Text}, signer, theirs)
	must(t, err)
	policy, err := merkle.ParsePolicy([]byte("log " + logKey(t) + "\nwitness w " + ours.VerifierKey() + "\nquorum w\n"))
	must(t, err)
	if _, err := policy.Open(cosigned); err != nil {
		t.Error(err)
	}
}

func logKey(t *testing.T) string {
	t.Helper()
	_, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 2*ed25519.SeedSize)), origin)
	must(t, err)
	return public
}

// TestTesseraReadsPoliciesAsWeDo compares who is a quorum: of policies made by chance, of groups of groups, with
// lines in any order that is allowed, and of witnesses that cosigned by chance.
func TestTesseraReadsPoliciesAsWeDo(t *testing.T) {
	random := rand.New(rand.NewPCG(20, 1)) // #nosec G404 -- the same in each run
	signer, _ := keys(t)
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: origin, Tree: tlog.Tree{N: 7, Hash: tlog.Hash{1}}}, signer)
	must(t, err)
	var witnesses []*merkle.Cosigner
	for i := range 8 {
		name, seed := fmt.Sprintf("w%d.example", i), bytes.Repeat([]byte{byte(i)}, 32)
		key, err := merkle.NewCosigner(name, ed25519.NewKeyFromSeed(seed))
		if i%2 == 1 {
			key, err = merkle.NewMLDSACosigner(name, seed)
		}
		must(t, err)
		witnesses = append(witnesses, key)
	}
	enough := 0
	for range 300 {
		var text strings.Builder
		var free []string // what no group has yet
		for i, w := range witnesses {
			fmt.Fprintf(&text, "witness w%d %s https://w%d.example\n", i, w.VerifierKey(), i)
			free = append(free, fmt.Sprint("w", i))
		}
		for g := 0; len(free) > 1; g++ {
			random.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
			n := 1 + random.IntN(len(free))
			k := []string{"any", "all", fmt.Sprint(1 + random.IntN(n))}[random.IntN(3)]
			fmt.Fprintf(&text, " group\tg%d %s  %s # comment\n", g, k, strings.Join(free[:n], " "))
			free = append(free[n:], fmt.Sprint("g", g))
		}
		fmt.Fprintf(&text, "quorum %s\nlog %s\n", free[0], logKey(t))
		theirs, err := tessera.NewWitnessGroupFromPolicy([]byte(text.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		ours, err := merkle.ParsePolicy([]byte(text.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		for range 6 {
			cosigned, names := signed, []string(nil)
			for i, w := range witnesses {
				if random.IntN(2) == 0 {
					continue
				}
				line, err := w.Line(signed, time.Now())
				must(t, err)
				cosigned, names = slices.Concat(cosigned, line), append(names, fmt.Sprint("w", i))
			}
			_, err := ours.Open(cosigned)
			if (err == nil) != theirs.Satisfied(cosigned) || (err == nil) != ours.Enough(names) ||
				err == nil && len(names) < ours.Quorum() {
				t.Fatalf("%v cosigned: %v, by tessera %t\n%s", names, err, theirs.Satisfied(cosigned), text.String())
			}
			if err == nil {
				enough++
			}
		}
	}
	if enough < 100 || enough > 1700 {
		t.Errorf("%d of 1800 are a quorum: chance does not try much", enough)
	}
}

// submit is what a log asks a witness (C2SP tlog-witness).
func submit(t *testing.T, url string, old int64, proof []tlog.Hash, signed []byte) (status int, answer string) {
	t.Helper()
	body := fmt.Sprintf("old %d\n", old)
	for _, h := range proof {
		body += base64.StdEncoding.EncodeToString(h[:]) + "\n"
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/add-checkpoint",
		strings.NewReader(body+"\n"+string(signed)))
	must(t, err)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(got.Body)
	must(t, err)
	must(t, got.Body.Close())
	return got.StatusCode, b.String()
}
