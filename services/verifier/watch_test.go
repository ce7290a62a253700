package verifier_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/verifier"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles is a store in memory.
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

// history is a log of one tenant, as a provider would have it.
type history struct {
	t               *testing.T
	format          uint8
	signer          note.Signer
	salts           *merkle.Salts
	global          *merkle.Log
	tenant          *merkle.TenantLog
	heads           *merkle.Heads
	globals, leaves tiles
	tree            tlog.Tree
	own             tlog.Tree
	directory       *merkle.Directory
	note            string
	sequence        uint64
	// witnesses cosign each checkpoint, now.
	witnesses []*merkle.Cosigner
	now       time.Time
	// public is the log's key.
	public string
	// beside is who stands before the tenant in the directory.
	beside []merkle.TenantTree
	// shows is what the log shows of an event; nil: it serves no bytes, as earlier versions.
	shows func(merkle.Whole, *lockboxv1.Event) merkle.Shown
	// certificates are shown with all bytes, and said is what the log says of messages that are no events.
	certificates []string
	said         map[uint64]merkle.Shown
}

func begin(t *testing.T, signer note.Signer) *history {
	t.Helper()
	salts, err := merkle.NewSalts(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	h := &history{
		t: t, format: merkle.Format2, signer: signer, salts: salts, heads: merkle.NewHeads(),
		globals: tiles{}, leaves: tiles{},
	}
	h.global = merkle.NewLog(h.globals)
	h.tenant, err = merkle.NewTenantLog(h.leaves, salts, "contoso")
	must(t, err)
	return h
}

// grow adds an event and a checkpoint over it.
func (h *history) grow(text string) {
	h.t.Helper()
	h.add("s", []byte(text))
}

func (h *history) add(subject string, data []byte) {
	h.t.Helper()
	h.sequence++
	must(h.t, h.tenant.Append(h.format, merkle.Stored{Sequence: h.sequence, Subject: subject, Bytes: data}))
	var err error
	h.own, err = h.tenant.Flush()
	must(h.t, err)
	leaf, err := merkle.Hashes(h.leaves, h.own).ReadHashes([]int64{tlog.StoredHashIndex(0, h.own.N-1)})
	must(h.t, err)
	if tokens := strings.Split(subject, "."); len(tokens) == 7 {
		version, _ := strconv.ParseUint(tokens[5], 10, 64)
		h.heads.Append(strings.Join(tokens[:5], "."), version, leaf[0])
	}
	h.sign()
}

// sign adds a checkpoint over what there is.
func (h *history) sign() {
	h.t.Helper()
	var err error
	h.directory, err = merkle.NewDirectory(h.format, h.salts, h.tree.N, append(slices.Clone(h.beside),
		merkle.TenantTree{Tenant: "contoso", Tree: h.own, Heads: h.heads.View().Root()}))
	must(h.t, err)
	must(h.t, h.global.Append(h.directory.Entry()))
	h.tree, err = h.global.Flush()
	must(h.t, err)
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: h.signer.Name(), Tree: h.tree}, h.signer)
	must(h.t, err)
	for _, w := range h.witnesses {
		signed, err = w.Cosign(signed, h.now)
		must(h.t, err)
	}
	h.note = string(signed)
}

func (h *history) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var global, size int64
	_, _ = fmt.Sscan(r.URL.Query().Get("global"), &global)
	_, _ = fmt.Sscan(r.URL.Query().Get("size"), &size)
	if r.URL.Path == "/growth" && size > h.tree.N {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if r.URL.Path == "/growth" {
		root, err := tlog.TreeHash(size, merkle.Hashes(h.globals, h.tree))
		must(h.t, err)
		growth, err := merkle.ProveGrowth(h.globals, size, h.tree)
		must(h.t, err)
		must(h.t, json.NewEncoder(w).Encode(map[string]any{"checkpoint": h.note, "root": root, "growth": growth}))
		return
	}
	if r.Header.Get("Authorization") != "Bearer a-token" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if path, is := strings.CutPrefix(r.URL.Path, "/tenants/contoso/tile/"); is {
		data, err := h.leaves.Read("tile/" + path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
		return
	}
	if from, is := strings.CutPrefix(r.URL.Path, "/tenants/contoso/events/"); is {
		h.events(w, r, from)
		return
	}
	if global > h.tree.N || size > h.own.N {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	s := merkle.Sighting{Checkpoint: h.note}
	var err error
	s.Opening, err = h.directory.Open(len(h.beside))
	must(h.t, err)
	s.Directory, err = merkle.ProveLast(h.globals, h.tree)
	must(h.t, err)
	s.GlobalGrowth, err = merkle.ProveGrowth(h.globals, global, h.tree)
	must(h.t, err)
	s.TenantGrowth, err = merkle.ProveGrowth(h.leaves, size, h.own)
	must(h.t, err)
	must(h.t, json.NewEncoder(w).Encode(s))
}

// events serves bytes as the projector's ledger does.
func (h *history) events(w http.ResponseWriter, r *http.Request, from string) {
	var first, count int64
	_, _ = fmt.Sscan(from, &first)
	_, _ = fmt.Sscan(r.URL.Query().Get("count"), &count)
	if h.shows == nil || first < 1 || first > h.own.N {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	shown, err := merkle.ShowEvents(h.leaves, h.own, first-1, count,
		func(w merkle.Whole, e *lockboxv1.Event) (merkle.Shown, error) {
			is := h.shows(w, e)
			if said, known := h.said[w.TenantSequence]; known && r.URL.Query().Get("explained") != "" {
				is.Alarm, is.SetAside = said.Alarm, said.SetAside
			}
			return is, nil
		})
	must(h.t, err)
	must(h.t, json.NewEncoder(w).Encode(merkle.Bundle{Events: shown, Writers: h.certificates}))
}

// honestly shows what an honest log shows.
func honestly(w merkle.Whole, e *lockboxv1.Event) merkle.Shown {
	if e == nil || e.GetAccessEvaluated().GetFacts().GetHistory() != nil {
		return merkle.Shown{Withheld: true}
	}
	salt := tlog.Hash(w.Salt)
	return merkle.Shown{Salt: &salt, Bytes: w.Bytes}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shown is what the log shows now; nil: it is not there.
type shown struct{ *history }

func (s *shown) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.history == nil {
		http.Error(w, "not available now", http.StatusServiceUnavailable)
		return
	}
	s.history.ServeHTTP(w, r)
}

func follow(t *testing.T) (w *verifier.Watcher, show *shown, signer note.Signer) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "log.example/lockbox")
	must(t, err)
	signer, err = note.NewSigner(private)
	must(t, err)
	show = &shown{}
	server := httptest.NewServer(show)
	t.Cleanup(server.Close)
	return &verifier.Watcher{
		Trust: verifier.Trust{Key: public}, Log: server.URL, Tenant: "contoso",
		State: filepath.Join(t.TempDir(), "seen.json"),
		Token: func(context.Context) (string, error) { return "a-token", nil },
		Out:   new(bytes.Buffer), Err: new(bytes.Buffer), Now: time.Now, Zone: time.UTC,
	}, show, signer
}

func once(t *testing.T, w *verifier.Watcher) error {
	t.Helper()
	return w.Watch(t.Context(), time.Minute, true)
}

func unavailable(err error) bool {
	return refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE)
}

// control: nist:AU-9
func TestAFollowerNoticesARewrittenLog(t *testing.T) {
	for name, rewrite := range map[string]func(h *history, other *history) *history{
		"an event was changed": func(_, other *history) *history {
			for _, text := range []string{"one", "TWO", "three", "four"} {
				other.grow(text)
			}
			return other
		},
		"the end was cut off, and the log went on": func(_, other *history) *history {
			other.grow("one")
			for range 3 {
				other.sign()
			}
			return other
		},
		"another one of the same size": func(_, other *history) *history {
			for _, text := range []string{"one", "two", "THREE"} {
				other.grow(text)
			}
			return other
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, show, signer := follow(t)
			h := begin(t, signer)
			show.history = h
			for _, text := range []string{"one", "two", "three"} {
				h.grow(text)
				must(t, once(t, w))
			}
			before, err := os.ReadFile(w.State)
			must(t, err)
			show.history = rewrite(h, begin(t, signer))
			if err := w.Watch(t.Context(), time.Second, false); !errors.Is(err, verifier.ErrContradiction) {
				t.Fatalf("it says %v", err)
			}
			if after, err := os.ReadFile(w.State); err != nil || !bytes.Equal(before, after) {
				t.Errorf("what was seen is not there any more: %v", err)
			}
			kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*.json")
			if err != nil || len(kept) != 1 {
				t.Fatalf("kept: %v, %v", kept, err)
			}
			if _, err := verifier.CheckEvidence(kept[0], w.Trust); err != nil {
				t.Errorf("it convinces nobody: %v", err)
			}
		})
	}
}

func TestALogThatIsAwayProvesNothing(t *testing.T) {
	w, show, signer := follow(t)
	if err := once(t, w); !unavailable(err) {
		t.Errorf("it says %v", err)
	}
	h := begin(t, signer)
	h.grow("one")
	show.history = h
	must(t, once(t, w))
	show.history = nil
	if err := once(t, w); !unavailable(err) {
		t.Errorf("it says %v", err)
	}
	show.history = h
	h.grow("two")
	must(t, once(t, w)) // and goes on from what was seen
}

func TestAMailIsHeldAgainstTheLog(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	h.grow("one")
	mail := fmt.Sprintf("%d:%s", h.tree.N, hex.EncodeToString(h.tree.Hash[:16]))
	h.grow("two")
	must(t, w.Compare(t.Context(), mail, ""))
	must(t, w.Compare(t.Context(), strings.ToUpper(mail), ""))
	other := begin(t, signer)
	other.grow("ONE")
	other.grow("two")
	show.history = other
	if err := w.Compare(t.Context(), mail, ""); !errors.Is(err, verifier.ErrNotProven) {
		t.Errorf("it says %v", err)
	}
	root := strings.Repeat("a", 32)
	for _, bad := range []string{"", "1", "1:", "1:abcd", "0:" + root, "x:" + root, "1:" + strings.Repeat("z", 32)} {
		var wrong *verifier.UsageError
		if err := w.Compare(t.Context(), bad, ""); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
