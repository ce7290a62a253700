package forwarder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Unless a target wants only certain other things, it gets access records.
func TestWhoGetsAccessRecords(t *testing.T) {
	for name, c := range map[string]struct {
		kind           string
		types          []string
		events, access bool
	}{
		"all":              {"", nil, true, true},
		"a kind":           {"request", nil, true, false},
		"access":           {"access", nil, false, true},
		"facts":            {"", []string{"CustomerDenied"}, true, false},
		"both":             {"", []string{"CustomerDenied", "access.read"}, true, true},
		"records":          {"", []string{"access.sign_in"}, false, true},
		"records, by kind": {"access", []string{"access.export"}, false, true},
	} {
		w := Target{Name: "a", Kind: c.kind, Types: c.types, Webhook: Webhook{URL: "http://localhost/", KeyFile: "x"}}
		if err := w.validate(); err != nil || w.events() != c.events || w.access() != c.access {
			t.Errorf("%s: %v, events %v, access records %v", name, err, w.events(), w.access())
		}
	}
	for _, bad := range []Target{{Types: []string{"access.look"}}, {Types: []string{"access."}},
		{Kind: "access", Types: []string{"CustomerDenied"}}, {Kind: "request", Types: []string{"access.read"}}} {
		bad.Name, bad.Webhook = "a", Webhook{URL: "http://localhost/", KeyFile: "x"}
		if err := bad.validate(); err == nil || !strings.Contains(err.Error(), "targets.types") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// records writes access records as the portal does.
func (w *world) records(t *testing.T, b *journaltest.Bus, kinds ...lockboxv1.AccessKind) {
	t.Helper()
	j := b.Journal(t, bus.Portal)
	for _, k := range kinds {
		must(t, j.PutAccess(t.Context(), &lockboxv1.AccessRecord{Id: fmt.Sprintf("id-%d", time.Now().UnixNano()),
			Tenant: "meadowbank", Time: timestamppb.Now(), Kind: k, Sender: "PORTAL", Service: "portal", Count: 1}))
	}
}

// Only what is wanted is sent, and after a restart nothing twice; a stream that was made anew is read from its start.
func TestAccessRecordsHaveACursorOfTheirOwn(t *testing.T) {
	w := begin(t)
	var mu sync.Mutex
	var types []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct{ Type string }
		_ = json.NewDecoder(r.Body).Decode(&e)
		mu.Lock()
		defer mu.Unlock()
		types = append(types, e.Type)
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("secret"), 0o600))
	target := Target{Name: "a", Types: []string{"access.sign_in", "access.export"},
		Webhook: Webhook{URL: server.URL, Authorization: Authorization{TokenFile: config.SecretFile(token)}}}
	file := filepath.Join(w.dir, "a.access.json")
	noted := func() uint64 {
		var c struct {
			Sequence uint64 `json:"sequence,string"`
		}
		mark, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(mark, &c)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return c.Sequence
	}
	arrived := func(sequence uint64, want ...string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			got := slices.Clone(types)
			mu.Unlock()
			// Whoever is stopped before it has noted that a record was taken sends it again.
			if slices.Equal(got, want) && noted() == sequence {
				return
			}
			if len(got) > len(want) || time.Now().After(end) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
	const signIn, export = "io.openlockbox.access.sign_in", "io.openlockbox.access.export"
	w.records(t, w.bus, lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN, lockboxv1.AccessKind_ACCESS_KIND_READ,
		lockboxv1.AccessKind_ACCESS_KIND_EXPORT)
	stop := w.run(target)
	arrived(3, signIn, export)
	must(t, stop())
	w.records(t, w.bus, lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN)
	stop = w.run(target)
	arrived(4, signIn, export, signIn)
	must(t, stop())
	if _, err := os.Stat(filepath.Join(w.dir, "a.json")); err == nil {
		t.Error("a target without events has a cursor for them")
	}
	mark, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte(strings.Replace(string(mark), `"stream": "`, `"stream": "another `, 1)), 0o600))
	stop = w.run(target)
	arrived(4, signIn, export, signIn, signIn, export, signIn)
	must(t, stop())
}
