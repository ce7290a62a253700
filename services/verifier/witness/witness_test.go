package witness

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "log.example/lockbox"

type tiles map[string][]byte

func (t tiles) Read(path string) ([]byte, error) {
	if data, ok := t[path]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (t tiles) Write(path string, data []byte) error {
	t[path] = bytes.Clone(data)
	return nil
}

// history is a log that grows, and remembers every size.
type history struct {
	t      testing.TB
	signer note.Signer
	store  tiles
	log    *merkle.Log
	trees  []tlog.Tree // by size
}

func grown(t testing.TB, signer note.Signer, entries ...string) *history {
	t.Helper()
	h := &history{t: t, signer: signer, store: tiles{}, trees: []tlog.Tree{merkle.EmptyTree()}}
	h.log = merkle.NewLog(h.store)
	for _, e := range entries {
		must(t, h.log.Append([]byte(e)))
		tree, err := h.log.Flush()
		must(t, err)
		h.trees = append(h.trees, tree)
	}
	return h
}

// request is what a log sends to have the tree of one size cosigned after that of another.
func (h *history) request(old, size int64) string {
	h.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", old)
	if old <= size {
		proof, err := merkle.ProveGrowth(h.store, old, h.trees[size])
		must(h.t, err)
		for _, hash := range proof {
			b.WriteString(base64.StdEncoding.EncodeToString(hash[:]) + "\n")
		}
	}
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: h.signer.Name(), Tree: h.trees[size]}, h.signer)
	must(h.t, err)
	return b.String() + "\n" + string(signed)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type world struct {
	*testing.T
	signer note.Signer
	public string
	dir    string
	key    *merkle.Cosigner
	w      *Witness
}

func begin(t *testing.T) *world {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, origin)
	must(t, err)
	signer, err := note.NewSigner(private)
	must(t, err)
	file := filepath.Join(t.TempDir(), "key")
	_, err = CreateKey(file, "witness.example")
	must(t, err)
	key, err := ReadKey(file)
	must(t, err)
	w := &world{T: t, signer: signer, public: public, dir: t.TempDir(), key: key}
	w.open()
	t.Cleanup(func() { must(t, w.w.Close()) })
	return w
}

func (w *world) open() {
	w.Helper()
	var err error
	w.w, err = Open(w.dir, w.key, []string{w.public}, time.Now)
	must(w, err)
}

func (w *world) send(body string) (status int, answer string) {
	w.Helper()
	r := httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(body))
	out := httptest.NewRecorder()
	w.w.Handler().ServeHTTP(out, r)
	text, err := io.ReadAll(out.Body)
	must(w, err)
	return out.Code, string(text)
}

func TestItCosignsALogThatGrows(t *testing.T) {
	w := begin(t)
	h := grown(t, w.signer, "a", "b", "c", "d", "e")
	policy, err := merkle.ParsePolicy([]byte("log " + w.public + "\nwitness w " + w.key.VerifierKey() + "\nquorum w\n"))
	must(t, err)
	old := int64(0)
	for _, size := range []int64{1, 3, 3, 5} { // the same again is cosigned again
		body := h.request(old, size)
		status, line := w.send(body)
		if status != http.StatusOK {
			t.Fatalf("from %d to %d: %d %q", old, size, status, line)
		}
		_, signed, _ := strings.Cut(body, "\n\n")
		if _, err := policy.Open([]byte(signed + line)); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
		old = size
		must(t, w.w.Close())
		w.open() // it remembers over a restart
	}
}

// control: nist:AU-9
func TestItNeverCosignsTwoHistories(t *testing.T) {
	w := begin(t)
	h, other := grown(t, w.signer, "a", "b", "c", "d"), grown(t, w.signer, "a", "X", "c", "d", "e")
	if status, _ := w.send(h.request(0, 3)); status != http.StatusOK {
		t.Fatal(status)
	}
	stranger, _, err := note.GenerateKey(rand.Reader, origin)
	must(t, err)
	forger, err := note.NewSigner(stranger)
	must(t, err)
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"a smaller tree":             {h.request(2, 2), http.StatusConflict},
		"from the beginning again":   {h.request(0, 4), http.StatusConflict},
		"from a size before":         {h.request(2, 4), http.StatusConflict},
		"from a size to come":        {h.request(4, 4), http.StatusConflict},
		"another tree of that size":  {other.request(3, 3), http.StatusUnprocessableEntity},
		"another history":            {other.request(3, 5), http.StatusUnprocessableEntity},
		"a proof that is missing":    {"old 3\n\n" + h.request(0, 4)[len("old 0\n\n"):], http.StatusUnprocessableEntity},
		"older than it says":         {h.request(3, 2), http.StatusBadRequest},
		"signed by somebody else":    {grown(t, forger, "a", "b", "c", "d").request(3, 4), http.StatusForbidden},
		"of a log that nobody named": {strings.Replace(h.request(3, 4), origin, "other.example/log", 1), http.StatusNotFound},
		"nothing":                    {"", http.StatusBadRequest},
		"a size that is none":        {strings.Replace(h.request(3, 4), "old 3", "old 03", 1), http.StatusBadRequest},
		"a hash that is none":        {strings.Replace(h.request(3, 4), "old 3\n", "old 3\nabc\n", 1), http.StatusBadRequest},
		"too long":                   {strings.Repeat("x", mostBody+1), http.StatusBadRequest},
		"a proof of too many hashes": {"old 3\n" +
			strings.Repeat(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n", 64) + "\n" +
			h.request(3, 4)[strings.Index(h.request(3, 4), "\n\n")+2:], http.StatusBadRequest},
	} {
		status, answer := w.send(c.body)
		if status != c.status {
			t.Errorf("%s: %d %q", name, status, answer)
		}
		if status == http.StatusConflict && answer != "3\n" {
			t.Errorf("%s: the size is %q", name, answer)
		}
	}
	if status, _ := w.send(h.request(3, 4)); status != http.StatusOK {
		t.Errorf("and then the true one: %d", status)
	}
}

// Of many who ask at once with different histories, one is cosigned.
func TestManyAtOnce(t *testing.T) {
	w := begin(t)
	var asking sync.WaitGroup
	cosigned := make([]bool, 20)
	for i := range cosigned {
		body := grown(t, w.signer, fmt.Sprint("entry ", i)).request(0, 1)
		asking.Go(func() {
			out := httptest.NewRecorder()
			w.w.Handler().ServeHTTP(out, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(body)))
			cosigned[i] = out.Code == http.StatusOK
		})
	}
	asking.Wait()
	n := 0
	for _, is := range cosigned {
		if is {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d histories were cosigned", n)
	}
}

func TestOneProcessToAState(t *testing.T) {
	w := begin(t)
	if _, err := Open(w.dir, w.key, []string{w.public}, time.Now); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two processes have one state: %v", err)
	}
	if _, err := Open(t.TempDir(), w.key, nil, time.Now); err == nil {
		t.Error("it cosigns for nobody")
	}
	file := filepath.Join(t.TempDir(), "key")
	_, err := CreateKey(file, "w")
	must(t, err)
	if _, err := CreateKey(file, "w"); err == nil {
		t.Error("a key was written over")
	}
}
