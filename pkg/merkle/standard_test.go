package merkle

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What C2SP's texts say of notes, checkpoints, cosignatures and policies, beyond what our own log writes.

func mldsaCosigner(t testing.TB, name string) *Cosigner {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	c, err := NewMLDSACosigner(name, seed[:])
	must(t, err)
	return c
}

// TestAGroupOfGroupsIsAQuorum is the example of tlog-policy: two of one operator's and any of another's.
func TestAGroupOfGroupsIsAQuorum(t *testing.T) {
	text := "log " + logKey(t, origin) + "\n"
	for _, name := range []string{"X1", "X2", "X3", "Y1", "Y2", "out"} {
		text += "witness " + name + " " + cosigner(t, name).VerifierKey() + "\n"
	}
	p, err := ParsePolicy([]byte(text + "group X 2 X1 X2 X3\ngroup Y any Y1 Y2\ngroup X-and-Y all X Y\nquorum X-and-Y\n"))
	must(t, err)
	if p.Quorum() != 3 {
		t.Errorf("a quorum has %d witnesses at least", p.Quorum())
	}
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	for by, enough := range map[string]bool{
		"X1 X2 Y1": true, "X1 X3 Y2": true, "X1 X2 X3 Y1 Y2 out": true,
		"X1 X2 X3": false, "X1 X2 X3 out": false, "X1 Y1 Y2": false, "X1 X2 out": false, "": false,
	} {
		names := strings.Fields(by)
		signed, err := p.Open(signedBy(t, c, names...))
		if (err == nil) != enough || p.Enough(names) != enough {
			t.Errorf("%s: %v", by, err)
		}
		if err == nil && len(signed.Cosigned) != len(names) {
			t.Errorf("%s: %+v", by, signed.Cosigned)
		}
	}
}

// A quorum is as old as the cosignature without which it was none.
func TestAQuorumIsAsOldAsTheLastThatCompletedIt(t *testing.T) {
	signed := signedBy(t, Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}})
	for i, name := range []string{"alpha", "beta", "gamma"} {
		line, err := cosigner(t, name).Line(signed, noon.Add(time.Duration(i)*time.Hour))
		must(t, err)
		signed = append(signed, line...)
	}
	for quorum, ago := range map[string]int{"1": 2, "2": 1, "all": 0} {
		s, err := policy(t, quorum).Open(signed)
		if want := noon.Add(time.Duration(ago) * time.Hour); err != nil || !s.Quorum.Equal(want) {
			t.Errorf("%s: since %v, want %v (%v)", quorum, s.Quorum, want, err)
		}
	}
	none, err := KeysAlone(logKey(t, origin))
	must(t, err)
	if s, err := none.Open(signed); err != nil || !s.Quorum.IsZero() || !none.Enough(nil) {
		t.Errorf("%+v (%v)", s, err)
	}
}

// Extension lines belong to a checkpoint, and mean nothing.
func TestExtensionLinesAreTaken(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	signed, err := note.Sign(&note.Note{Text: c.Text() + "one\n— two\n"}, logSigner(t, origin))
	must(t, err)
	for _, by := range []*Cosigner{cosigner(t, "alpha"), mldsaCosigner(t, "pq")} {
		signed, err = by.Cosign(signed, noon)
		must(t, err)
	}
	p, err := ParsePolicy([]byte(fmt.Sprintf("log %s\nwitness a %s\nwitness pq %s\ngroup g all a pq\nquorum g\n",
		logKey(t, origin), cosigner(t, "alpha").VerifierKey(), mldsaCosigner(t, "pq").VerifierKey())))
	must(t, err)
	if got, err := p.Open(signed); err != nil || got.Checkpoint != c || got.Extension != "one\n— two\n" {
		t.Errorf("%+v (%v)", got, err)
	}
}

func TestSignaturesThatStandThereTwiceCountOnce(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	signed := signedBy(t, c, "alpha", "delta")
	again, err := cosigner(t, "alpha").Line(signed, noon.Add(time.Hour))
	must(t, err)
	lines := signed[len(c.Text())+1:]
	twice := slices.Concat(signed, lines, again)
	got, err := policy(t, "1").Open(twice)
	if err != nil || len(got.Cosigned) != 1 || !got.Cosigned[0].At.Equal(noon.Add(time.Hour)) || len(got.Unknown) != 1 ||
		!got.Repeated {
		t.Errorf("%+v (%v)", got, err)
	}
	_, err = policy(t, "2").Open(twice)
	wantBroken(t, err, Cosignatures)

	// The second is looked at, too.
	other, err := cosigner(t, "alpha").Line(signedBy(t, Checkpoint{origin, EmptyTree()}), noon)
	must(t, err)
	_, err = policy(t, "1").Open(slices.Concat(signed, other))
	wantBroken(t, err, Cosignatures)
}

func TestAPolicyOfSeveralLogs(t *testing.T) {
	p, err := ParsePolicy(fmt.Appendf(nil, "log %s\nlog %s\nquorum none\n", logKey(t, origin),
		logKey(t, "other.example/log")))
	must(t, err)
	for _, name := range []string{origin, "other.example/log"} {
		c := Checkpoint{name, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
		signed, err := Sign(c, logSigner(t, name))
		must(t, err)
		if got, err := p.Open(signed); err != nil || got.Checkpoint != c {
			t.Errorf("%+v (%v)", got, err)
		}
	}
	// One log cannot speak for the other, nor for one that is not there.
	for _, name := range []string{"other.example/log", "third.example/log"} {
		text := Checkpoint{name, EmptyTree()}.Text()
		signed, err := note.Sign(&note.Note{Text: text}, logSigner(t, origin))
		must(t, err)
		_, err = p.Open(signed)
		wantBroken(t, err, LogSignature)
	}
	if _, err := KeysAlone(logKey(t, origin) + "\n" + logKey(t, "other.example/log")); err == nil {
		t.Error("two logs are one")
	}
}

func TestMLDSACosignaturesAreThoseOfTheStandard(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	pq := mldsaCosigner(t, "pq")
	signed, err := pq.Cosign(signedBy(t, c), noon)
	must(t, err)
	verifier, err := cosignature.NewMLDSAVerifier(pq.VerifierKey())
	must(t, err)
	n, err := note.Open(signed, note.VerifierList(verifier))
	must(t, err)
	if at, err := cosignature.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(noon) {
		t.Errorf("it is of %v (%v)", at, err)
	}
	for _, name := range []string{"", "a b", "a+b", strings.Repeat("x", 256)} {
		if _, err := NewMLDSACosigner(name, make([]byte, 32)); err == nil {
			t.Errorf("a witness is named %q", name)
		}
	}
	if _, err := NewMLDSACosigner("pq", make([]byte, 31)); err == nil {
		t.Error("a seed of 31 bytes")
	}
}

// A log may sign with ML-DSA-44 as well.
func TestALogOfMLDSAIsTrusted(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	key := mldsaCosigner(t, origin)
	signed, err := note.Sign(&note.Note{Text: c.Text()}, cosigning{key, noon})
	must(t, err)
	p, err := KeysAlone(key.VerifierKey())
	must(t, err)
	if got, err := p.Open(signed); err != nil || got.Checkpoint != c || len(got.Cosigned) != 0 {
		t.Errorf("%+v (%v)", got, err)
	}
}

// TestAWitnessMayAnswerWithMoreThanItsLine: lines of keys that the policy does not have are ignored.
func TestAWitnessMayAnswerWithMoreThanItsLine(t *testing.T) {
	signed := signedBy(t, Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}})
	var lines []byte
	for _, name := range []string{"delta", "alpha", "epsilon"} {
		line, err := cosigner(t, name).Line(signed, noon)
		must(t, err)
		lines = append(lines, line...)
	}
	got, err := policy(t, "1").Add(signed, lines)
	must(t, err)
	if want := signedBy(t, Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}, "alpha"); string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// mutants is how many mutations of one thing are tried.
const mutants = 20_000

// mutated changes a note or a tile somewhere, in one of the ways in which bytes go wrong or are made to.
func mutated(random *rand.Rand, data []byte) []byte {
	changed := slices.Clone(data)
	at := random.IntN(len(changed))
	switch random.IntN(6) {
	case 0:
		changed[at] ^= 1 << random.IntN(8)
	case 1:
		changed = slices.Delete(changed, at, at+1+random.IntN(min(8, len(changed)-at)))
	case 2:
		changed = slices.Insert(changed, at, byte(random.Uint32()))
	case 3:
		from := random.IntN(len(changed))
		changed = slices.Insert(changed, at, data[from:min(len(data), from+1+random.IntN(40))]...)
	case 4:
		changed = changed[:at]
	case 5:
		lines := slices.Collect(strings.SplitAfterSeq(string(changed), "\n"))
		i, j := random.IntN(len(lines)), random.IntN(len(lines))
		lines[i], lines[j] = lines[j], lines[i]
		changed = []byte(strings.Join(lines, ""))
	}
	return changed
}

// However a cosigned note is changed: who takes it reads what was signed, and only who signed is a signer.
func TestMutatedCheckpointsProveNothingElse(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 1)) // #nosec G404 -- the same in each run
	c := Checkpoint{origin, tlog.Tree{N: 300, Hash: tlog.Hash{1}}}
	p, err := ParsePolicy([]byte(policyText(t, "1") + "witness pq " + mldsaCosigner(t, "pq").VerifierKey() + "\n"))
	must(t, err)
	all := signedBy(t, c, "alpha", "beta", "delta")
	long, err := mldsaCosigner(t, "pq").Cosign(all, noon)
	must(t, err)
	taken := 0
	for i := range mutants {
		signed := all
		if i%20 == 0 { // which takes longer
			signed = long
		}
		changed := mutated(random, signed)
		got, err := p.Open(changed)
		if err != nil {
			continue
		}
		taken++
		if got.Checkpoint != c || got.Extension != "" {
			t.Fatalf("%+v is taken:\n%s", got, changed)
		}
		for _, by := range got.Cosigned {
			at := map[string]time.Time{"alpha": noon, "beta": noon.Add(time.Second), "pq": noon}[by.Name]
			if !by.At.Equal(at) {
				t.Fatalf("%+v is taken:\n%s", by, changed)
			}
		}
	}
	if taken == 0 || taken > mutants/2 {
		t.Errorf("%d of %d are taken: the mutations do not try much", taken, mutants)
	}
}

// However a witness's answer is changed, what is added are its lines and no others.
func TestMutatedCosignaturesAddNothingElse(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 2)) // #nosec G404 -- the same in each run
	signed := signedBy(t, Checkpoint{origin, tlog.Tree{N: 300, Hash: tlog.Hash{1}}})
	line, err := cosigner(t, "alpha").Line(signed, noon)
	must(t, err)
	p := policy(t, "1")
	for range mutants {
		changed := mutated(random, line)
		got, err := p.Add(signed, changed)
		if err != nil {
			continue
		}
		if added := strings.TrimPrefix(string(got), string(signed)); strings.ReplaceAll(added, string(line), "") != "" {
			t.Fatalf("%q adds %q", changed, added)
		}
	}
}

// However tiles are changed: a proof from them is refused or says what it said.
func TestMutatedTilesProveNothingElse(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 3)) // #nosec G404 -- the same in each run
	store := memory{}
	log := NewLog(store)
	var leaves []tlog.Hash
	for i := range 700 {
		entry := fmt.Appendf(nil, "entry %d", i)
		leaves = append(leaves, tlog.RecordHash(entry))
		must(t, log.Append(entry))
	}
	tree, err := log.Flush()
	must(t, err)
	paths := slices.DeleteFunc(sorted(store), func(path string) bool { return strings.HasPrefix(path, "tile/entries/") })
	refused := 0
	for range mutants {
		path := paths[random.IntN(len(paths))]
		whole := store[path]
		store[path] = mutated(random, whole)
		at := random.Int64N(tree.N)
		hash, err := Hashes(store, tree).ReadHashes([]int64{tlog.StoredHashIndex(0, at)})
		if err == nil && hash[0] != leaves[at] {
			t.Fatalf("%s, changed, shows another leaf %d", path, at)
		}
		if err != nil {
			refused++
		}
		store[path] = whole
	}
	if refused < mutants/10 {
		t.Errorf("%d of %d are refused: the mutations do not try much", refused, mutants)
	}
}
