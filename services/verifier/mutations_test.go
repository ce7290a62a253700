package verifier_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/services/verifier"
)

// mutations is how many changed receipts are verified.
const mutations = 20_000

var (
	value   = regexp.MustCompile(`"[^"\n]*"|: \d+`)
	base64s = regexp.MustCompile(`"[A-Za-z0-9+/]{24,}={0,2}"`)
)

// wholly is everything that is concluded from a receipt, byte for byte.
func wholly(r merkle.Report) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Tenant, r.About, r.Slot, r.Tree, r.Head, r.Signed.Checkpoint, r.Signed.Cosigned, r.Complete(),
		r.Claims())
	for _, e := range r.Events {
		fmt.Fprintf(&b, "%d %d %s %v %x %s\n", e.StreamSequence, e.TenantSequence, e.Subject, e.Withheld, e.Bytes, e.Writer)
	}
	return b.String()
}

// TestAChangedReceiptIsRefusedOrConcludesTheSame changes receipts, most so that they stay well spelled, with parts of
// other receipts of the same log. What is free, by the paper: signatures that nobody asked for, and certificates.
func TestAChangedReceiptIsRefusedOrConcludesTheSame(t *testing.T) {
	s := denial(t, merkle.Format2)
	at := morning.Add(time.Hour)
	witnessed := func(r merkle.Receipt) merkle.Receipt { return seen(t, seen(t, r, "alpha", at), "beta", at) }
	early := witnessed(s.shows(aboutR1, 1, 2, 3))
	s.tells(version(4, granted), orchestrator)
	late := witnessed(s.hiding(s.shows(aboutR1, 1, 2, 3, 4), 1))
	old := denial(t, merkle.Format1)
	former := witnessed(old.shows(aboutR1, 1, 2, 3))
	each := witnessed(s.receipt(aboutR1, []merkle.Wanted{{TenantSequence: 1}, {TenantSequence: 2}, {TenantSequence: 3}}))
	var files [][]byte
	for _, r := range []merkle.Receipt{early, late, each, former} {
		file, err := r.Encode()
		must(t, err)
		files = append(files, file)
	}
	policy, err := merkle.ParsePolicy([]byte(s.both()))
	must(t, err)
	pinned, err := signed.Pin(s.deployed.key)
	must(t, err)
	var want []string
	var trusts []merkle.Trust
	for i, file := range files {
		trust := merkle.Trust{Policy: policy}
		if i < 2 {
			trust.Writers = pinned
		}
		report, err := trust.VerifyReceipt(file)
		must(t, err)
		want, trusts = append(want, wholly(report)), append(trusts, trust)
	}
	random := rand.New(rand.NewPCG(20, 4)) // #nosec G404 -- the same in each run
	same, equal := 0, 0
	for n := range mutations {
		i := random.IntN(len(files))
		changed := mutate(random, files[i], files[random.IntN(len(files))])
		if bytes.Equal(changed, files[i]) {
			equal++
			continue
		}
		report, err := trusts[i].VerifyReceipt(changed)
		if err != nil {
			continue
		}
		got := wholly(report)
		if same++; got != want[i] {
			t.Fatalf("mutation %d of %d concludes\n%s\nand not\n%s\nfrom\n%s", n, i, got, want[i], changed)
		}
	}
	t.Logf("%d changes of nothing, %d that conclude the same", equal, same)
	if equal > mutations/10 || same > mutations/10 {
		t.Error("too many of them change nothing")
	}
}

// mutate changes a receipt in one place, or two; other is where parts come from.
func mutate(random *rand.Rand, file, other []byte) []byte {
	file = bytes.Clone(file)
	lines, others := bytes.SplitAfter(file, []byte("\n")), bytes.SplitAfter(other, []byte("\n"))
	switch at := random.IntN(len(file)); random.IntN(8) {
	case 0:
		file[at] ^= 1 << random.IntN(8)
	case 1:
		file = slices.Delete(file, at, min(len(file), at+1+random.IntN(64)))
	case 2: // a bit of what base64 stands for
		places := base64s.FindAllIndex(file, -1)
		place := places[random.IntN(len(places))]
		raw, err := base64.StdEncoding.DecodeString(string(file[place[0]+1 : place[1]-1]))
		if err == nil {
			raw[random.IntN(len(raw))] ^= 1 << random.IntN(8)
			copy(file[place[0]+1:], base64.StdEncoding.EncodeToString(raw))
		}
	case 3, 4: // a value in the place of another
		places, from := value.FindAllIndex(file, -1), value.FindAll(other, -1)
		place := places[random.IntN(len(places))]
		file = slices.Concat(file[:place[0]], from[random.IntN(len(from))], file[place[1]:])
	case 5: // a field of another receipt
		lines[random.IntN(len(lines))] = others[random.IntN(len(others))]
		file = bytes.Join(lines, nil)
	case 6: // lines exchanged
		i, j := random.IntN(len(lines)), random.IntN(len(lines))
		lines[i], lines[j] = lines[j], lines[i]
		file = bytes.Join(lines, nil)
	case 7: // a value of the very field in another receipt
		i := random.IntN(len(lines))
		name, _, _ := bytes.Cut(lines[i], []byte(": "))
		for _, line := range others {
			if found, _, _ := bytes.Cut(line, []byte(": ")); bytes.Equal(found, name) && random.IntN(2) == 0 {
				lines[i] = line
			}
		}
		file = bytes.Join(lines, nil)
	}
	if random.IntN(4) == 0 {
		return mutate(random, file, other)
	}
	return file
}

// TestAHostileFileIsCheap: what is done to a file before and after it is parsed is bounded by its size as well.
func TestAHostileFileIsCheap(t *testing.T) {
	const size = 6 << 20
	_, public, _ := written(t, unchanged)
	deep := strings.Repeat("[", 9000) + strings.Repeat("0,", size/2) + "0" + strings.Repeat("]", 9000)
	for name, text := range map[string]string{
		"lists in lists":  deep,
		"carriage return": strings.Repeat("\r", size),
		"wide nonsense":   "\xff\xfe" + strings.Repeat("{\x00", size/2),
		"a web page":      "<!doctype" + strings.Repeat(" ", size),
		"no end":          strings.Repeat("{", size),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "receipt.json")
			must(t, os.WriteFile(file, []byte(text), 0o600))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := verifier.CheckFile(file, verifier.Trust{Key: public})
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("it was taken")
			}
			const share = 16
			if got := after.TotalAlloc - before.TotalAlloc; got > share*uint64(len(text)) {
				t.Errorf("%d bytes were allocated for a file of %d (%v)", got, len(text), err)
			} else {
				t.Logf("%.1f of the file: %v", float64(got)/float64(len(text)), err)
			}
		})
	}
}
