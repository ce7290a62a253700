package verifier_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/openlockbox/lockbox/pkg/fact"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/verifier"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Evidence of bytes is not believed: what is left out of it, or changed, convinces nobody.
func TestEvidenceOfBytesIsCheckedAndNotBelieved(t *testing.T) {
	w, h := watched(t)
	events := told(t)
	n := of(events, "CustomerNotified").GetCustomerNotified()
	n.Approvers = append(n.Approvers, proto.CloneOf(n.GetApprovers()[0]))
	n.Approvers[2].Person.Subject = "mallory"
	h.writes("", events...)
	if err := once(t, w); !errors.Is(err, verifier.ErrContradiction) {
		t.Fatal(err)
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
	all := func(e map[string]any) []any { list, _ := e["events"].([]any); return list }
	for name, change := range map[string]func(e map[string]any){
		"the roles are left out":     func(e map[string]any) { e["events"] = all(e)[6:] },
		"the last role is left out":  func(e map[string]any) { e["events"] = append(all(e)[:4:4], all(e)[5:]...) },
		"heads are left out":         func(e map[string]any) { delete(e, "heads") },
		"an event stands twice":      func(e map[string]any) { e["events"] = append(all(e), all(e)[0]) },
		"another order":              func(e map[string]any) { l := all(e); l[0], l[1] = l[1], l[0] },
		"no events":                  func(e map[string]any) { delete(e, "events") },
		"one event":                  func(e map[string]any) { e["events"] = all(e)[9:10] },
		"a proof of another event":   func(e map[string]any) { field(all(e)[0])["proof"] = field(all(e)[1])["proof"] },
		"bytes of another event":     func(e map[string]any) { field(all(e)[0])["bytes"] = field(all(e)[1])["bytes"] },
		"a subject of another event": func(e map[string]any) { field(all(e)[0])["subject"] = field(all(e)[1])["subject"] },
	} {
		if err := check(change); !errors.Is(err, verifier.ErrNotProven) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func field(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// Somebody without any key changes the bytes on their way: nobody is accused.
func TestWhoeverChangesTheBytesOfEventsAccusesNobody(t *testing.T) {
	t.Parallel()
	w, h := watched(t)
	events := told(t)
	h.writes("", events[:13]...)
	must(t, once(t, w))
	seen, err := os.ReadFile(w.State)
	must(t, err)
	h.writes("", events[13])
	random := rand.New(rand.NewPCG(7, 4)) // #nosec G404 -- the same in each run
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if strings.Contains(r.URL.Path, "/events/") {
			body = changedBundle(t, random, body)
		}
		out.WriteHeader(answer.Code)
		_, _ = out.Write(body)
	}))
	defer server.Close()
	w.Log = server.URL
	for range 500 {
		must(t, os.WriteFile(w.State, seen, 0o600))
		if err := once(t, w); errors.Is(err, verifier.ErrContradiction) {
			t.Fatalf("it says %v", err)
		}
	}
	statements, err := merkle.Statements(h.leaves, h.own, 0)
	must(t, err)
	answer := httptest.NewRecorder()
	h.events(answer, httptest.NewRequest(http.MethodGet, "/?count=256", nil), "1")
	pinned, err := signed.Pin(h.deployed.key)
	must(t, err)
	held := 0
	for i := range mutations {
		if i == mutations/10 {
			pinned = nil // signatures are what takes time
		}
		switch n, err := verifier.Suspects(statements, changedBundle(t, random, answer.Body.Bytes()), pinned); {
		case n > 0:
			t.Fatalf("%d suspicions, %v", n, err)
		case err == nil:
			held++
		}
	}
	t.Logf("%d of %d changes were not noticed", held, mutations)
	if held > mutations/4 { // a bundle may end anywhere
		t.Error("too many of them change nothing")
	}
}

// changedBundle changes what a log shows of events.
func changedBundle(t *testing.T, random *rand.Rand, body []byte) []byte {
	t.Helper()
	body = bytes.Clone(body)
	var b merkle.Bundle
	must(t, json.Unmarshal(body, &b))
	i, j := random.IntN(len(b.Events)), random.IntN(len(b.Events))
	switch random.IntN(9) {
	case 0, 1:
		body[random.IntN(len(body))] ^= 1 << random.IntN(7)
		return body
	case 2:
		return body[:random.IntN(len(body))]
	case 3:
		b.Events[i].Bytes[random.IntN(len(b.Events[i].Bytes))] ^= 1 << random.IntN(8)
	case 4:
		b.Events[i].Salt[random.IntN(32)] ^= 1 << random.IntN(8)
	case 5:
		b.Events = b.Events[:i]
	case 6:
		b.Events[i] = merkle.Shown{Withheld: random.IntN(2) == 0}
	case 7:
		b.Events[i], b.Events[j] = b.Events[j], b.Events[i]
	case 8:
		n := random.IntN(len(b.Writers))
		b.Writers[n] = b.Writers[n][:random.IntN(len(b.Writers[n]))]
	}
	body, err := json.Marshal(b)
	must(t, err)
	return body
}

// A log of many events is read page by page, what was read is kept, and how far it is is said.
func TestALongLogIsReadPageByPage(t *testing.T) {
	const many = 20_000
	w, h := watched(t)
	h.writes("", told(t)...)
	at := timestamppb.New(morning.Add(13 * time.Hour))
	for i := range many {
		e := &lockboxv1.Event{Tenant: "contoso", Kind: "ticket", AggregateId: fmt.Sprintf("t%d", i/4),
			Version: uint64(i%4) + 1, Time: at, Fact: &lockboxv1.Event_TicketCommented{
				TicketCommented: &lockboxv1.TicketCommented{Text: "What now?"}}}
		data, err := proto.Marshal(e)
		must(t, err)
		h.sequence++
		must(t, h.tenant.Append(h.format, merkle.Stored{Sequence: h.sequence, Subject: subjectOf(e), Bytes: data}))
	}
	var err error
	h.own, err = h.tenant.Flush()
	must(t, err)
	h.heads = h.tenant.Heads()
	h.sign()
	w.Trust.Writers = "" // the tickets are not signed
	asked, failing := map[string]int{}, 40
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/events/") {
			if failing--; failing == 0 {
				http.Error(out, "not available now", http.StatusServiceUnavailable)
				return
			}
			asked[r.URL.Path]++
		}
		h.ServeHTTP(out, r)
	}))
	defer server.Close()
	w.Log = server.URL
	now := morning
	w.Now = func() time.Time { now = now.Add(time.Second); return now }
	if err := once(t, w); !unavailable(err) {
		t.Fatalf("it says %v", err)
	}
	other := *w // in another process
	other.Out, other.Err = w.Out, w.Err
	must(t, once(t, &other))
	for path, n := range asked {
		if n > 1 {
			t.Errorf("%s was asked for %d times", path, n)
		}
	}
	progress, is := w.Err.(*bytes.Buffer)
	if !is || !strings.Contains(progress.String(), "of 20014 events of contoso\n") {
		t.Errorf("of its progress it says %s", progress)
	}
	if out := said(w); !strings.Contains(out, "the log grew") && !strings.Contains(out, "nothing new") {
		t.Errorf("it says %s", out)
	}
	state, err := os.Stat(w.State)
	must(t, err)
	t.Logf("%d bytes of state, %d pages", state.Size(), len(asked))
}

// Whatever type of event is added, a monitor reads it: else it would say of an honest log that it shows no bytes.
func TestEveryTypeOfEventCanBeRead(t *testing.T) {
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for _, f := range fact.Facts() {
		e := &lockboxv1.Event{Tenant: "contoso", Kind: f.Kind, AggregateId: "a", Version: 1}
		key := "1"
		if fact.Reported(f.Kind) {
			e.Version, e.ReportKey, key = 0, "k", "k"
		}
		for i := range fields.Len() {
			if field := fields.Get(i); string(field.Message().Name()) == f.Type {
				e.ProtoReflect().Set(field, e.ProtoReflect().NewField(field))
			}
		}
		stored, err := proto.Marshal(e)
		must(t, err)
		s := merkle.Statement{Format: merkle.Format2, TenantSequence: 1,
			Subject:    strings.Join([]string{"lockbox.event.contoso", f.Kind, "a", key, f.Type}, "."),
			Commitment: merkle.Commit(merkle.Format2, merkle.Salt{}, stored)}
		if _, err := s.Open(merkle.Salt{}, stored); err != nil {
			t.Errorf("%s of %s: %v", f.Type, f.Kind, err)
		}
		if verifier.Counted(f.Kind) != fact.Decided(f.Kind) {
			t.Errorf("%s is decided: %t", f.Kind, fact.Decided(f.Kind))
		}
	}
}
