package forwarder

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// post is a request as a receiver got it.
type post struct {
	header http.Header
	path   string
	body   []byte
}

// receiver is a real HTTP server that remembers what it took.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	posts  []post
	now    int // requests that it is answering
	most   int // the most of them at a time
	answer func(n int, p post) (status int, body string)
	n      int
}

func receive(t *testing.T, answer func(n int, p post) (status int, body string)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	p := post{q.Header, q.URL.RequestURI(), body}
	r.mu.Lock()
	r.n++
	r.now++
	r.most = max(r.most, r.now)
	status, said := r.answer(r.n, p)
	r.mu.Unlock()
	time.Sleep(5 * time.Millisecond) // so that others can be under way
	r.mu.Lock()
	if status/100 == 2 {
		r.posts = append(r.posts, p)
	}
	r.now--
	r.mu.Unlock()
	w.WriteHeader(status)
	_, _ = io.WriteString(w, said)
}

// took returns what was taken, once it satisfies enough.
func (r *receiver) took(t *testing.T, enough func([]post) bool) []post {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		r.mu.Lock()
		posts := append([]post(nil), r.posts...)
		r.mu.Unlock()
		if enough(posts) {
			return posts
		}
		if time.Now().After(end) {
			t.Fatalf("only %d requests were taken", len(posts))
		}
	}
}

func always(status int) func(int, post) (int, string) {
	return func(int, post) (int, string) { return status, "" }
}

// cloudEvent is what the tests read of an event.
type cloudEvent struct {
	ID, Sequence, Subject, Type string
}

func (e cloudEvent) sequence() uint64 {
	n, _ := strconv.ParseUint(e.Sequence, 10, 64)
	return n
}

// eventsOf reads posts that are one event or an array.
func eventsOf(t *testing.T, posts []post) (all []cloudEvent) {
	t.Helper()
	for _, p := range posts {
		text := string(p.body)
		if !strings.HasPrefix(text, "[") {
			text = "[" + text + "]"
		}
		var some []cloudEvent
		must(t, json.Unmarshal([]byte(text), &some))
		all = append(all, some...)
	}
	return all
}

func different(events []cloudEvent) int {
	seen := map[string]bool{}
	for _, e := range events {
		seen[e.ID] = true
	}
	return len(seen)
}

func (w *world) secret(text string) config.SecretFile {
	w.Helper()
	name := filepath.Join(w.TempDir(), "secret")
	must(w, os.WriteFile(name, []byte(text+"\n"), 0o600))
	return config.SecretFile(name)
}

func TestSeveralRequestsInFlightLoseNothingAndKeepEachAggregatesOrder(t *testing.T) {
	t.Parallel()
	w := begin(t)
	const tickets, each = 6, 5
	var about []aggregate.Key
	last := make([]uint64, tickets)
	for range tickets {
		about = append(about, aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTicket, ID: journaltest.NewID()})
	}
	happen := func(from uint64) {
		for v := from; v < from+each; v++ {
			for i, key := range about {
				var err error
				last[i], err = w.writer.Append(t.Context(), last[i], journaltest.Event(key, v))
				must(t, err)
			}
		}
	}
	happen(1)
	r := receive(t, func(n int, _ post) (int, string) {
		if n%7 == 3 { // it fails now and then
			return http.StatusServiceUnavailable, ""
		}
		return http.StatusNoContent, ""
	})
	target := Target{Name: "many", Webhook: Webhook{URL: r.URL, InFlight: 4,
		Authorization: Authorization{TokenFile: w.secret("t")}}}
	stop := w.run(target)
	r.took(t, func(p []post) bool { return different(eventsOf(t, p)) == tickets*each })
	must(t, stop())
	happen(each + 1)
	stop = w.run(target) // it goes on where it was
	posts := r.took(t, func(p []post) bool { return different(eventsOf(t, p)) == 2*tickets*each })
	must(t, stop())
	seen, first := map[string]bool{}, map[string]uint64{}
	for _, e := range eventsOf(t, posts) {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		if e.sequence() < first[e.Subject] {
			t.Errorf("event %d of %s comes after %d", e.sequence(), e.Subject, first[e.Subject])
		}
		first[e.Subject] = e.sequence()
	}
	if r.most < 2 || r.most > 4 {
		t.Errorf("%d requests were under way at a time", r.most)
	}
}

func TestABatchCarriesManyEventsInOneRequest(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(25)
	key, public := w.key()
	r := receive(t, always(http.StatusOK))
	stop := w.run(Target{Name: "a", Webhook: Webhook{URL: r.URL, KeyFile: key, Batch: Batch{Events: 10}}},
		Target{Name: "b", Format: "ocsf", Webhook: Webhook{URL: r.URL + "/lines", KeyFile: key, Body: "lines",
			Batch: Batch{Events: 100}}})
	posts := r.took(t, func(p []post) bool { return len(p) >= 4 })
	must(t, stop())
	next := uint64(1)
	for _, p := range posts {
		w.verify(public, p.header, p.body)
		if p.path == "/lines" {
			if n := strings.Count(string(p.body), "\n"); n != 25 || p.header.Get("Content-Type") != "application/x-ndjson" {
				t.Errorf("%d lines of %s", n, p.header.Get("Content-Type"))
			}
			continue
		}
		if kind := p.header.Get("Content-Type"); kind != "application/cloudevents-batch+json" {
			t.Errorf("a batch came as %s", kind)
		}
		for _, e := range eventsOf(t, []post{p}) {
			if e.sequence() != next {
				t.Errorf("event %d came instead of %d", e.sequence(), next)
			}
			next++
		}
	}
	if len(posts) != 4 || next != 26 {
		t.Errorf("%d requests, up to %d", len(posts), next)
	}
}

func TestATargetGetsOnlyTheTypesAndTheTimeThatItWants(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(4)
	other := aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindSubscription, ID: "sub-1"}
	_, err := w.writer.Append(t.Context(), 0, journaltest.Event(other, 1)) // the fifth
	must(t, err)
	w.happen(2)
	r := receive(t, always(http.StatusOK))
	hook := Webhook{URL: r.URL, Authorization: Authorization{TokenFile: w.secret("t")}}
	stop := w.run(Target{Name: "a", Types: []string{"RoleRemoved"}, Webhook: hook})
	posts := r.took(t, func(p []post) bool { return len(p) > 0 })
	must(t, stop())
	hook.URL += "/late"
	stop = w.run(Target{Name: "b", From: 6, Webhook: hook})
	posts = r.took(t, func(p []post) bool { return len(p) >= len(posts)+2 })
	must(t, stop())
	var got []uint64
	for _, e := range eventsOf(t, posts) {
		got = append(got, e.sequence())
	}
	if len(got) != 3 || got[0] != 5 || got[1] != 6 || got[2] != 7 {
		t.Errorf("it got %v", got)
	}
}

// watched runs a forwarder of which log, metrics and health can be looked at.
func (w *world) watched(target Target) (logs *observer.ObservedLogs, m *prometheus.Registry, sick func() error,
	stop func() error) {
	w.Helper()
	c := Config{Cursors: w.dir, Targets: []Target{target}}
	must(w, c.Check())
	core, logs := observer.New(zapcore.DebugLevel)
	m = prometheus.NewRegistry()
	check := make(chan observe.Check, 1)
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&Forwarder{Config: c, Source: w.reader, Now: time.Now, Log: zap.New(core), Metrics: m,
			Health: func(c observe.Check) { check <- c }}).Run(ctx)
	}()
	healthy := <-check
	return logs, m, func() error { return healthy(ctx) }, func() error {
		cancel()
		return <-ended
	}
}

// bad refuses whatever holds the third event.
func bad(_ int, p post) (int, string) {
	if strings.Contains(string(p.body), `"sequence":"00000000000000000003"`) {
		return http.StatusUnprocessableEntity, "no"
	}
	return http.StatusOK, ""
}

func TestAnEventThatIsRefusedStopsItsTargetLoudly(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(5)
	r := receive(t, bad)
	key, _ := w.key()
	logs, m, sick, stop := w.watched(Target{Name: "a", Webhook: Webhook{URL: r.URL, KeyFile: key}})
	for end := time.Now().Add(time.Minute); sick() == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it stays healthy")
		}
	}
	must(t, stop())
	if n := len(eventsOf(t, r.posts)); n != 2 {
		t.Errorf("%d events came", n)
	}
	if logs.FilterMessageSnippet("ALARM").Len() == 0 {
		t.Error("there was no alarm")
	}
	if n, err := testutil.GatherAndCount(m, "lockbox_forward_refusals_total"); err != nil || n != 2 {
		t.Errorf("%d metrics, %v", n, err)
	}
}

// What is taken behind it, at the same time, does not make the target look well.
func TestARefusedEventShowsAlsoWithOthersInFlight(t *testing.T) {
	t.Parallel()
	w := begin(t)
	for range 8 {
		key := aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTicket, ID: journaltest.NewID()}
		_, err := w.writer.Append(t.Context(), 0, journaltest.Event(key, 1))
		must(t, err)
	}
	r := receive(t, bad)
	key, _ := w.key()
	_, _, sick, stop := w.watched(Target{Name: "a", Webhook: Webhook{URL: r.URL, KeyFile: key, InFlight: 4}})
	for end := time.Now().Add(time.Minute); sick() == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it stays healthy")
		}
	}
	must(t, stop())
	var c struct {
		Sequence uint64 `json:"sequence,string"`
	}
	data, err := os.ReadFile(filepath.Join(w.dir, "a.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &c))
	if c.Sequence != 2 {
		t.Errorf("the cursor is at %d", c.Sequence)
	}
}

func TestAnEventThatIsRefusedIsLeftOutIfTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(8)
	r := receive(t, bad)
	key, _ := w.key()
	logs, m, sick, stop := w.watched(Target{Name: "a", Refused: "skip",
		Webhook: Webhook{URL: r.URL, KeyFile: key, Batch: Batch{Events: 8}}})
	posts := r.took(t, func(p []post) bool { return different(eventsOf(t, p)) == 7 })
	must(t, stop())
	for _, e := range eventsOf(t, posts) {
		if e.sequence() == 3 {
			t.Error("the refused event was taken")
		}
	}
	alarms := logs.FilterMessageSnippet("left out").All()
	if len(alarms) != 1 || alarms[0].ContextMap()["sequence"] != uint64(3) || sick() != nil {
		t.Errorf("%v, %v", alarms, sick())
	}
	want := "# HELP lockbox_forward_skipped_total Events that were left out because a target refused them.\n" +
		"# TYPE lockbox_forward_skipped_total counter\nlockbox_forward_skipped_total{target=\"a\"} 1\n" +
		"lockbox_forward_skipped_total{target=\"a.access\"} 0\n"
	if err := testutil.GatherAndCompare(m, strings.NewReader(want), "lockbox_forward_skipped_total"); err != nil {
		t.Error(err)
	}
}

func TestCredentialsAreReadFromFilesAndNeverLogged(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(2)
	r := receive(t, func(n int, _ post) (int, string) {
		if n == 1 {
			return http.StatusUnauthorized, "hunter2-password"
		}
		return http.StatusOK, ""
	})
	logs, _, _, stop := w.watched(Target{Name: "a", Webhook: Webhook{URL: r.URL + "/?sig=hunter2-query",
		Authorization: Authorization{User: "lockbox", PasswordFile: w.secret("hunter2-password")},
		Headers:       map[string]string{"X-Scope": "audit"},
		SecretHeaders: map[string]config.SecretFile{"DD-API-KEY": w.secret("hunter2-header")}}})
	posts := r.took(t, func(p []post) bool { return len(p) == 2 })
	r.CloseClientConnections()
	r.Close() // and what is logged of a target that is not there
	w.happen(1)
	for end := time.Now().Add(time.Minute); logs.FilterMessageSnippet("retrying").Len() < 2; {
		if time.Now().After(end) {
			t.Fatal("nothing was logged of it")
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(t, stop())
	q := http.Request{Header: posts[0].header}
	if user, password, is := q.BasicAuth(); !is || user != "lockbox" || password != "hunter2-password" ||
		q.Header.Get("X-Scope") != "audit" || q.Header.Get("Dd-Api-Key") != "hunter2-header" ||
		q.Header.Get("Webhook-Signature") != "" {
		t.Errorf("it came with %v", q.Header)
	}
	for _, entry := range logs.All() {
		text, err := json.Marshal(entry.ContextMap())
		if err != nil || strings.Contains(entry.Message+string(text), "hunter2") {
			t.Errorf("%s %s, %v", entry.Message, text, err)
		}
	}
}

func TestATargetSaysWhenItWantsMore(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for after, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "7": 7 * time.Second, "99999999": time.Hour,
		"Mon, 02 Mar 2026 09:00:30 GMT": 30 * time.Second, "Mon, 02 Mar 2026 08:00:00 GMT": 0,
	} {
		if got := asked(after, now); got != want {
			t.Errorf("%q: %v, want %v", after, got, want)
		}
	}
	r := receive(t, always(http.StatusTooManyRequests))
	w, err := newWebhook(Webhook{URL: r.URL}, "ocsf", time.Now)
	must(t, err)
	defer w.close()
	if l := new(later); !errors.As(w.deliver(t.Context(), []message{{id: "a", row: []byte("{}\n")}}), &l) {
		t.Error("429 is not for later")
	}
}
