package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/note"
)

// told collects what the witness says.
func (w *world) told() *[]string {
	var all []string
	w.w.Say = func(alarm bool, what string) { all = append(all, fmt.Sprint(alarm, " ", what)) }
	return &all
}

// A witness that only says no forgets the only proof that there is: both sides of a fork, signed by the log.
func TestItKeepsBothSidesOfAFork(t *testing.T) {
	for name, old := range map[string]int64{"after what it cosigned": 3, "as if it knew nothing": 0} {
		t.Run(name, func(t *testing.T) {
			w := begin(t)
			said := w.told()
			h, other := grown(t, w.signer, "a", "b", "c", "d"), grown(t, w.signer, "a", "X", "c", "d", "e")
			if status, _ := w.send(h.request(0, 3)); status != http.StatusOK {
				t.Fatal(status)
			}
			for range 2 {
				w.send(other.request(old, 3))
			}
			if len(*said) != 1 || !strings.HasPrefix((*said)[0], "true ALARM") {
				t.Errorf("it said %q", *said)
			}
			must(t, w.w.Close())
			w.open() // it is on disk
			all, err := ReadEvidence(w.dir)
			must(t, err)
			if len(all) != 1 || all[0].Kind != Fork || !strings.Contains(List(all), all[0].File) {
				t.Fatalf("%+v", all)
			}
			// Anybody with the log's key is convinced.
			policy, err := merkle.KeysAlone(w.public)
			must(t, err)
			one, err := policy.Open([]byte(all[0].Cosigned))
			must(t, err)
			two, err := policy.Open([]byte(all[0].Refused))
			must(t, err)
			if one.Tree.N != two.Tree.N || one.Tree == two.Tree || one.Tree != h.trees[3] || two.Tree != other.trees[3] {
				t.Errorf("%+v\n%+v", one, two)
			}
			if status, _ := w.send(h.request(3, 4)); status != http.StatusOK {
				t.Errorf("and then the true one: %d", status)
			}
		})
	}
}

// After a backup was restored the log is smaller than what the witness cosigned last, and is signed anew from there.
func TestItKeepsAForkThatIsSmallerThanWhatItCosignedLast(t *testing.T) {
	w := begin(t)
	w.told()
	h, other := grown(t, w.signer, "a", "b", "c", "d"), grown(t, w.signer, "a", "X", "c")
	w.send(h.request(0, 1))
	w.send(h.request(1, 2))
	w.send(h.request(2, 4))
	must(t, w.w.Close())
	w.open()
	for _, body := range []string{h.request(0, 1), h.request(0, 2), h.request(0, 3)} { // its own history
		w.send(body)
	}
	if all, err := ReadEvidence(w.dir); err != nil || len(all) != 0 {
		t.Fatalf("%+v (%v)", all, err)
	}
	if status, answer := w.send(other.request(0, 2)); status != http.StatusConflict || answer != "4\n" {
		t.Errorf("%d %q", status, answer)
	}
	all, err := ReadEvidence(w.dir)
	must(t, err)
	if len(all) != 1 || all[0].Kind != Fork || all[0].Tree != h.trees[2] ||
		!strings.HasPrefix(all[0].Cosigned, origin+"\n2\n") {
		t.Errorf("%+v", all)
	}
	// As many are remembered as there is room for.
	long := grown(t, w.signer, strings.Split(strings.Repeat("x ", mostRecent+20), " ")...)
	must(t, w.w.Close())
	w.dir = t.TempDir()
	w.open()
	for size := range int64(mostRecent + 10) {
		must(t, w.w.remember(state{origin, long.trees[size+1], ""}))
	}
	files, err := os.ReadDir(w.w.recentDir(origin))
	must(t, err)
	if len(files) != mostRecent || w.w.recall(state{Origin: origin, Tree: long.trees[mostRecent+10]}, 11).Tree.N != 11 ||
		w.w.recall(state{Origin: origin, Tree: long.trees[mostRecent+10]}, 10).Tree.N == 10 {
		t.Errorf("%d are remembered", len(files))
	}
}

// A growth that nobody proved convicts the log only if it has no proof: anybody can send a wrong one.
func TestItKeepsAGrowthThatWasNotProved(t *testing.T) {
	w := begin(t)
	w.told()
	h, other := grown(t, w.signer, "a", "b", "c", "d"), grown(t, w.signer, "a", "X", "c", "d", "e")
	w.send(h.request(0, 3))
	for _, body := range []string{
		other.request(3, 5), h.request(3, 2), h.request(0, 2), h.request(0, 4), "nonsense",
		strings.Replace(h.request(3, 4), origin, "other.example/log", 1),
	} {
		w.send(body)
	}
	all, err := ReadEvidence(w.dir)
	must(t, err)
	if len(all) != 1 || all[0].Kind != Growth || len(all[0].Proof) == 0 ||
		!strings.HasPrefix(all[0].Refused, origin+"\n5\n") {
		t.Errorf("%+v", all)
	}
}

// Nobody fills the disk of a witness, not even a log that signs whatever comes.
func TestEvidenceIsBounded(t *testing.T) {
	w := begin(t)
	said := w.told()
	w.send(grown(t, w.signer, "a").request(0, 1))
	for i := range mostEvidence + 5 {
		w.send(grown(t, w.signer, fmt.Sprint("fork ", i)).request(0, 1))
	}
	all, err := ReadEvidence(w.dir)
	must(t, err)
	if len(all) != mostEvidence || len(*said) != mostEvidence {
		t.Errorf("%d are kept, and %d were told", len(all), len(*said))
	}
}

// C2SP tlog-witness: 422 is for what does not follow, whatever the sizes, and so for an empty tree that is not empty.
func TestWhatDoesNotFollowIsRefusedAsSuch(t *testing.T) {
	w := begin(t)
	w.told()
	h := grown(t, w.signer, "a", "b")
	odd := merkle.EmptyTree()
	odd.Hash[0] ^= 1
	h.trees[0] = odd
	if status, answer := w.send(h.request(0, 0)); status != http.StatusUnprocessableEntity {
		t.Errorf("an empty tree with another root: %d %q", status, answer)
	}
	hash := base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))
	if status, _ := w.send(strings.Replace(h.request(0, 1), "old 0\n", "old 0\n"+hash+"\n", 1)); status !=
		http.StatusUnprocessableEntity {
		t.Errorf("a proof where there is nothing to prove: %d", status)
	}
	h.trees[0] = merkle.EmptyTree()
	if status, _ := w.send(h.request(0, 0)); status != http.StatusOK {
		t.Errorf("the empty tree: %d", status)
	}
	if status, _ := w.send(h.request(0, 2)); status != http.StatusOK {
		t.Errorf("the first that is not empty: %d", status)
	}
}

// Signatures of strangers and repeated ones are no reason to refuse; extension lines are cosigned as they are.
func TestItTakesEveryCheckpointOfTheStandard(t *testing.T) {
	w := begin(t)
	h := grown(t, w.signer, "a", "b", "c")
	private, _, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "stranger.example")
	must(t, err)
	stranger, err := note.NewSigner(private)
	must(t, err)
	text := merkle.Checkpoint{Origin: origin, Tree: h.trees[1]}.Text()
	signed, err := note.Sign(&note.Note{Text: text + "an extension\n"}, stranger, w.signer)
	must(t, err)
	body := "old 0\n\n" + string(signed) + strings.SplitAfter(string(signed), "\n\n")[1]
	status, line := w.send(body)
	if status != http.StatusOK || !strings.HasPrefix(line, "— witness.example ") {
		t.Fatalf("%d %q", status, line)
	}
	// Sixteen signatures, each as long as they get.
	long := "— stranger.example " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 5000)) + "\n"
	if status, answer := w.send(h.request(1, 2) + strings.Repeat(long, 15)); status != http.StatusOK {
		t.Errorf("%d %q", status, answer)
	}
}

// Whoever watches a log asks its witnesses how far they saw it grow (C2SP tlog-witness, monitoring).
func TestMonitorsGetWhatItCosignedLast(t *testing.T) {
	w := begin(t)
	h := grown(t, w.signer, "a", "b", "c")
	sum := sha256.Sum256([]byte(origin))
	get := func(path string) (int, string) {
		out := httptest.NewRecorder()
		w.w.Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, path, nil))
		return out.Code, out.Body.String()
	}
	path := fmt.Sprintf("/%x/checkpoint", sum)
	if status, _ := get(path); status != http.StatusNotFound {
		t.Errorf("before the first: %d", status)
	}
	policy, err := merkle.ParsePolicy([]byte("log " + w.public + "\nwitness w " + w.key.VerifierKey() + "\nquorum w\n"))
	must(t, err)
	for _, size := range []int64{1, 3} {
		stranger := "— stranger.example " + base64.StdEncoding.EncodeToString(make([]byte, 68)) + "\n"
		if status, answer := w.send(h.request(size/3, size) + stranger); status != http.StatusOK {
			t.Fatalf("%d %q", status, answer)
		}
		must(t, w.w.Close())
		w.open()
		status, signed := get(path)
		got, err := policy.Open([]byte(signed))
		if status != http.StatusOK || err != nil || got.Tree != h.trees[size] || len(got.Unknown) > 0 {
			t.Errorf("%d %+v (%v)", status, got, err)
		}
	}
	for _, path := range []string{fmt.Sprintf("/%X/checkpoint", sum), "/" + origin + "/checkpoint",
		fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte("other"))), "/checkpoint"} {
		if status, _ := get(path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// A state that an earlier version wrote has no note.
func TestAnOlderStateIsRead(t *testing.T) {
	w := begin(t)
	w.told()
	h, other := grown(t, w.signer, "a", "b"), grown(t, w.signer, "X", "b")
	text := fmt.Sprintf(`{"origin":%q,"tree":{"N":1,"Hash":%q}}`, origin, h.trees[1].Hash.String())
	must(t, os.WriteFile(w.w.file(origin), []byte(text), 0o600))
	if status, _ := w.send(other.request(1, 1)); status != http.StatusUnprocessableEntity {
		t.Errorf("a fork: %d", status)
	}
	if all, err := ReadEvidence(w.dir); err != nil || len(all) != 1 || all[0].Tree != h.trees[1] || all[0].Cosigned != "" {
		t.Errorf("%+v (%v)", all, err)
	}
	if status, _ := w.send(h.request(1, 2)); status != http.StatusOK {
		t.Errorf("it does not go on: %d", status)
	}
}

func TestItCounts(t *testing.T) {
	w := begin(t)
	w.told()
	h, other := grown(t, w.signer, "a", "b"), grown(t, w.signer, "X", "b")
	w.send(h.request(0, 1))
	w.send(other.request(0, 1))
	w.send("nonsense")
	out := httptest.NewRecorder()
	w.w.Metrics().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`lockbox_witness_answers_total{status="200"} 1`, `lockbox_witness_answers_total{status="400"} 1`,
		`lockbox_witness_answers_total{status="409"} 1`,
		`lockbox_witness_refused_total{log="` + origin + `",kind="fork"} 1`,
		`lockbox_witness_refused_total{log="` + origin + `",kind="growth"} 0`,
		`lockbox_witness_tree_size{log="` + origin + `"} 1`, `lockbox_witness_last_cosigned_timestamp_seconds{`,
	} {
		if !strings.Contains(out.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, out.Body)
		}
	}
}

func TestAWitnessMayHaveAKeyOfMLDSA(t *testing.T) {
	w := begin(t)
	file := filepath.Join(t.TempDir(), "key")
	_, err := Create(file, "pq.example", "ml-dsa-44")
	must(t, err)
	must(t, w.w.Close())
	w.key, err = ReadKey(file)
	must(t, err)
	w.open()
	policy, err := merkle.ParsePolicy([]byte("log " + w.public + "\nwitness w " + w.key.VerifierKey() + "\nquorum w\n"))
	must(t, err)
	body := grown(t, w.signer, "a").request(0, 1)
	status, line := w.send(body)
	if _, err := policy.Open([]byte(strings.SplitN(body, "\n\n", 2)[1] + line)); status != http.StatusOK || err != nil {
		t.Errorf("%d: %v", status, err)
	}
	if _, err := Create(file+"2", "pq.example", "rsa"); err == nil {
		t.Error("a key of another type")
	}
}
