package verifier_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/verifier"
)

const aRequest = "lockbox.event.contoso.request.r1"

// asked adds a request's first versions.
func (h *history) asked() {
	h.t.Helper()
	for i, typ := range []string{"AccessRequested", "AccessEvaluated", "CustomerAsked"} {
		h.add(fmt.Sprintf("%s.%d.%s", aRequest, i+1, typ), nil)
	}
}

// said returns what the watcher has written so far, and forgets it.
func said(w *verifier.Watcher) string {
	out, is := w.Out.(*bytes.Buffer)
	if !is {
		return ""
	}
	defer out.Reset()
	return out.String()
}

// convinces checks the one file of evidence beside the state, by the log's key alone, and returns what it proves.
func convinces(t *testing.T, w *verifier.Watcher) []string {
	t.Helper()
	kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*.json")
	must(t, err)
	if len(kept) != 1 {
		t.Fatalf("kept: %v", kept)
	}
	e, err := verifier.CheckEvidence(kept[0], w.Trust)
	must(t, err)
	must(t, os.Rename(kept[0], kept[0]+".checked"))
	return e.Proves
}

// A log whose history contradicts itself is convicted by its own entries, whether the watcher saw the first of them
// before or not; growth alone is honest in each.
func TestAMonitorConvictsALogByItsEntries(t *testing.T) {
	heads := func(h *history) {
		h.heads = merkle.NewHeads() // as if the request had no event
		h.add(aRequest+".4.CustomerDenied", nil)
	}
	for name, row := range map[string]struct {
		contradict func(h *history)
		says       string
		// stuck means that nothing can be read on.
		stuck bool
	}{
		"a second event beside a decision": {func(h *history) {
			h.add(aRequest+".4.CustomerDenied", nil)
			h.add(aRequest+".4.CustomerApproved", nil)
		}, "a second version 4 of " + aRequest + ": CustomerApproved", false},
		"a version that is missing": {func(h *history) { h.add(aRequest+".5.CustomerDenied", nil) }, "version 4 is missing",
			false},
		"an aggregate that begins late": {func(h *history) { h.add("lockbox.event.contoso.ticket.t1.2.TicketClosed", nil) },
			"version 1 is missing", false},
		"another customer's event": {func(h *history) { h.add("lockbox.event.fabrikam.request.r9.1.AccessRequested", nil) },
			"is not contoso’s", false},
		"heads that are not those of the entries": {heads, "it counts others than there are", true},
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, seen before: %t", name, before), func(t *testing.T) {
				w, show, signer := follow(t)
				h := begin(t, signer)
				show.history = h
				if h.asked(); before {
					must(t, once(t, w))
				}
				row.contradict(h)
				h.grow("more")
				err := once(t, w)
				if !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), row.says) {
					t.Fatalf("it says %v", err)
				}
				if proves := strings.Join(convinces(t, w), "; "); !strings.Contains(proves, row.says) {
					t.Errorf("the evidence proves %s", proves)
				}
				h.grow("and more")
				err = once(t, w)
				if !errors.Is(err, verifier.ErrContradiction) || !row.stuck && !strings.Contains(err.Error(), "found before") {
					t.Errorf("afterwards it says %v", err)
				}
				w.Acknowledge = true
				if err := once(t, w); (err == nil) == row.stuck {
					t.Errorf("once it is acknowledged it says %v", err)
				}
			})
		}
	}
}

// What an honest log may look like, the monitor reads on.
func TestAMonitorReadsAnHonestLog(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	h.add("lockbox.event.contoso.disclosure.d1.2.DisclosureTold", nil) // the first version is under an embargo
	h.asked()
	h.add("lockbox.event.contoso.delivery.e1.erin.MailSent", nil)
	must(t, once(t, w))
	if out := said(w); !strings.Contains(out, "first seen") || !strings.Contains(out, "; 5 entries read") ||
		!strings.Contains(out, "the log serves no bytes of events") {
		t.Errorf("it says %s", out)
	}
	for i := range 700 { // several bundles, none of which is read twice
		h.add(fmt.Sprintf("lockbox.event.contoso.request.q%d.1.AccessRequested", i), nil)
	}
	h.add(aRequest+".4.CustomerDenied", nil)
	h.add("lockbox.event.contoso.disclosure.d1.3.DisclosureTold", nil)
	must(t, once(t, w))
	if out := said(w); !strings.Contains(out, "the log grew; 702 entries read") {
		t.Errorf("it says %s", out)
	}
	must(t, once(t, w))
	if out := said(w); !strings.Contains(out, "nothing new\n") {
		t.Errorf("it says %s", out)
	}
	h.add("lockbox.event.contoso.nonsense", nil)
	must(t, once(t, w))
	if out := said(w); !strings.Contains(out, "odd: 1 entries are no events by their subject") {
		t.Errorf("it says %s", out)
	}
}

// A file of a watcher of before there were monitors is read on with, from the first entry.
func TestAMonitorGoesOnFromAFormerFile(t *testing.T) {
	for _, format := range []uint8{merkle.Format1, merkle.Format2} {
		w, show, signer := follow(t)
		h := begin(t, signer)
		h.format, show.history = format, h
		h.asked()
		must(t, once(t, w))
		var kept map[string]any
		data, err := os.ReadFile(w.State)
		must(t, err)
		must(t, json.Unmarshal(data, &kept))
		for _, key := range []string{"format", "read", "earlier", "times", "found"} {
			delete(kept, key)
		}
		data, err = json.Marshal(kept)
		must(t, err)
		must(t, os.WriteFile(w.State, data, 0o600))
		h.format = merkle.Format2
		h.add(aRequest+".4.CustomerDenied", nil)
		said(w)
		must(t, once(t, w))
		if out := said(w); !strings.Contains(out, "the log grew; 4 entries read") {
			t.Errorf("it says %s", out)
		}
		h.add(aRequest+".4.CustomerApproved", nil)
		if err := once(t, w); !errors.Is(err, verifier.ErrContradiction) {
			t.Fatalf("it says %v", err)
		}
		convinces(t, w)
	}
}

// A log of the first format signs no heads, so that only all entries are evidence.
func TestAMonitorConvictsALogOfTheFirstFormat(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	h.format, show.history = merkle.Format1, h
	h.asked()
	h.add(aRequest+".4.CustomerDenied", nil)
	must(t, once(t, w))
	h.add(aRequest+".4.CustomerApproved", nil)
	if err := once(t, w); !errors.Is(err, verifier.ErrContradiction) {
		t.Fatalf("it says %v", err)
	}
	convinces(t, w)
}

// cosigned has a log cosigned by so many witnesses, and the watcher demand two of them.
func cosigned(t *testing.T, w *verifier.Watcher, h *history, witnesses int) {
	t.Helper()
	h.now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.Now = func() time.Time { return h.now }
	if h.public == "" {
		h.public = w.Trust.Key
	}
	policy := "log " + h.public + "\n"
	h.witnesses = nil
	for i := range 3 {
		c, err := merkle.NewCosigner(fmt.Sprintf("w%d.example", i), ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%032d", i))))
		must(t, err)
		policy += fmt.Sprintf("witness w%d %s\n", i, c.VerifierKey())
		if i < witnesses {
			h.witnesses = append(h.witnesses, c)
		}
	}
	file := filepath.Join(t.TempDir(), "policy.txt")
	must(t, os.WriteFile(file, []byte(policy+"group two 2 w0 w1 w2\nquorum two\n"), 0o600))
	w.Trust = verifier.Trust{Policy: file}
}

// Nothing of this is the log's fault, and none of it is called a contradiction. The watcher goes on afterwards.
func TestAnHonestLogIsNeverAccused(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	cosigned(t, w, h, 2)
	h.asked()
	must(t, once(t, w))

	h.witnesses = h.witnesses[:1] // one is slow, or down
	h.grow("one")
	if err := once(t, w); !errors.Is(err, verifier.ErrNotTrusted) {
		t.Errorf("with one cosignature it says %v", err)
	}
	cosigned(t, w, h, 2)
	h.grow("two")
	lagging := *h
	must(t, once(t, w))
	h.grow("three")
	must(t, once(t, w))
	show.history = &lagging // another copy behind the same address
	if err := once(t, w); !errors.Is(err, verifier.ErrStale) || !strings.Contains(err.Error(), "grew out of this") {
		t.Errorf("of a copy that lags it says %v", err)
	}
	show.history = h
	must(t, once(t, w))
	if kept, err := filepath.Glob(filepath.Join(filepath.Dir(w.State), "*contradiction*")); err != nil || len(kept) > 0 {
		t.Errorf("evidence was kept: %v, %v", kept, err)
	}
}

// A copy that lags and was never seen at this size is compared by proofs; without them nothing is said.
func TestACopyThatLagsIsProvedToBeTheSameLog(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	h.asked()
	lagging := *h
	h.grow("one")
	must(t, once(t, w))
	answers := http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/growth" {
			h.ServeHTTP(out, r) // the copy that does not lag
			return
		}
		lagging.ServeHTTP(out, r)
	})
	server := httptest.NewServer(answers)
	defer server.Close()
	w.Log = server.URL
	if err := once(t, w); !errors.Is(err, verifier.ErrStale) {
		t.Errorf("it says %v", err)
	}
	alone := httptest.NewServer(&lagging)
	defer alone.Close()
	w.Log = alone.URL
	if err := once(t, w); !errors.Is(err, verifier.ErrInconclusive) {
		t.Errorf("without a proof it says %v", err)
	}
}

// Somebody without any key changes bytes on their way.
func TestWhoeverChangesBytesOnTheWayAccusesNobody(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	cosigned(t, w, h, 3)
	show.history = h
	h.asked()
	must(t, once(t, w))
	seen, err := os.ReadFile(w.State)
	must(t, err)
	h.add(aRequest+".4.CustomerDenied", nil)
	h.grow("more")
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same in each run
	held := 0
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if len(body) > 0 && (strings.Contains(r.URL.Path, "sighting") || random.IntN(2) == 0) {
			body[random.IntN(len(body))] ^= 1 << random.IntN(7)
		}
		out.WriteHeader(answer.Code)
		_, _ = out.Write(body)
	}))
	defer server.Close()
	w.Log = server.URL
	for range 1500 {
		must(t, os.WriteFile(w.State, seen, 0o600))
		switch err := once(t, w); {
		case errors.Is(err, verifier.ErrContradiction):
			t.Fatalf("it says %v", err)
		case err == nil:
			held++
		}
	}
	if held > 300 { // such as a byte of a key's name that nobody reads
		t.Errorf("%d of 1500 changes were not noticed", held)
	}
	w.Log = serve(t, h)
	must(t, os.WriteFile(w.State, seen, 0o600))
	must(t, once(t, w))
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// Evidence is not believed: what an honest log signed convicts it in no arrangement, and what was changed convinces
// nobody.
func TestEvidenceIsCheckedAndNotBelieved(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	h.asked()
	must(t, once(t, w))
	h.add(aRequest+".4.CustomerDenied", nil)
	honest := *h
	h.add(aRequest+".4.CustomerApproved", nil)
	if err := once(t, w); !errors.Is(err, verifier.ErrContradiction) {
		t.Fatalf("it says %v", err)
	}
	kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*.json")
	must(t, err)
	data, err := os.ReadFile(kept[0])
	must(t, err)
	check := func(change func(e map[string]any)) error {
		var e map[string]any
		must(t, json.Unmarshal(data, &e))
		change(e)
		text, err := json.Marshal(e)
		must(t, err)
		name := filepath.Join(t.TempDir(), "evidence.json")
		must(t, os.WriteFile(name, text, 0o600))
		_, err = verifier.CheckEvidence(name, w.Trust)
		return err
	}
	must(t, check(func(map[string]any) {}))
	opening, err := honest.directory.Open(0)
	must(t, err)
	last, err := merkle.ProveLast(honest.globals, honest.tree)
	must(t, err)
	for name, change := range map[string]func(e map[string]any){
		"no contradiction": func(e map[string]any) {
			e["entries"] = list(e)[:1]
			e["shown"] = merkle.Seen{Tenant: "contoso", Checkpoint: honest.note, Opening: opening, Directory: last}
		},
		"an entry is missing": func(e map[string]any) { e["entries"] = list(e)[1:] },
		"an entry stands twice": func(e map[string]any) {
			e["entries"] = append(list(e), list(e)[0])
		},
		"other heads": func(e map[string]any) {
			heads := merkle.NewHeads()
			heads.Append(aRequest, 4, [32]byte{})
			before, _ := e["before"].(map[string]any)
			before["heads"] = heads.Encode()
		},
		"no heads":      func(e map[string]any) { delete(e, "before") },
		"one side":      func(e map[string]any) { delete(e, "shown") },
		"the same side": func(e map[string]any) { e["shown"] = e["seen"]; delete(e, "entries") },
		"nothing": func(e map[string]any) {
			for _, key := range []string{"seen", "shown", "before", "entries"} {
				delete(e, key)
			}
		},
	} {
		if err := check(change); !errors.Is(err, verifier.ErrNotProven) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, _, _ := follow(t)
	if _, err := verifier.CheckEvidence(kept[0], other.Trust); !errors.Is(err, verifier.ErrNotProven) {
		t.Errorf("of another log: %v", err)
	}
}

// list returns the entries of evidence.
func list(e map[string]any) []any {
	entries, _ := e["entries"].([]any)
	return entries
}

// One tenant in two slots is two histories of it; each has growth that is proven.
func TestTwoSlotsOfATenantConvictTheLog(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	h.grow("one")
	must(t, once(t, w))
	h.beside = []merkle.TenantTree{{Tenant: "fabrikam", Tree: h.own}}
	h.sign()
	err := once(t, w)
	if !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), "two slots, 0 and 1") {
		t.Fatalf("it says %v", err)
	}
	convinces(t, w)
}

// A checkpoint has no time but its witnesses', and whoever holds it back cannot make it newer.
func TestWhatIsTooOldIsStale(t *testing.T) {
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	cosigned(t, w, h, 2)
	w.MaxAge = time.Hour
	h.grow("one")
	must(t, once(t, w))
	now := h.now.Add(2 * time.Hour)
	w.Now = func() time.Time { return now }
	if err := once(t, w); !errors.Is(err, verifier.ErrStale) {
		t.Errorf("after two hours it says %v", err)
	}
	renewed := []byte(h.note)
	policy, _, err := w.Trust.Read()
	must(t, err)
	for _, c := range h.witnesses {
		line, err := c.Line([]byte(h.note), now)
		must(t, err)
		renewed, err = policy.Renew(renewed, line)
		must(t, err)
	}
	h.note = string(renewed)
	said(w)
	must(t, once(t, w))
	if out := said(w); !strings.Contains(out, "nothing new, cosigned again") {
		t.Errorf("it says %s", out)
	}

	// A time to come would be fresh for ever.
	h.now = now.Add(24 * time.Hour)
	h.grow("two")
	if err := once(t, w); !errors.Is(err, verifier.ErrStale) || !strings.Contains(said(w), "says a time to come") {
		t.Errorf("of a time to come it says %v", err)
	}
	h.now = now.Add(-time.Minute)
	h.grow("three")
	must(t, once(t, w)) // the former time was none that one could go back from
	h.now = now.Add(-2 * time.Minute)
	h.grow("four")
	if must(t, once(t, w)); !strings.Contains(said(w), "went back in time") {
		t.Error("a leap backwards is not named")
	}
	w.Trust = verifier.Trust{Key: h.public}
	var wrong *verifier.UsageError
	if err := once(t, w); !errors.As(err, &wrong) {
		t.Errorf("without witnesses it says %v", err)
	}
}
