package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestWhatIsCountedIsShown(t *testing.T) {
	m := NewMetrics()
	c := m.For("jit-evaluator")
	c.Event("AccessRequested")
	c.Event("AccessRequested")
	c.DeadLetter()
	c.Refused(refusal.Of(refusal.Unauthenticated("token", "R13", "no")))
	c.Refused(refusal.Of(errors.New("anything")))
	m.For("notifier").Event("NotificationDelivered")
	_, body := get(t, m.Handler(nil), "/metrics")
	for _, want := range []string{
		`lockbox_events_total{service="jit-evaluator",type="AccessRequested"} 2`,
		`lockbox_events_total{service="notifier",type="NotificationDelivered"} 1`,
		`lockbox_deadletters_total{service="jit-evaluator"} 1`,
		`lockbox_deadletters_total{service="notifier"} 0`,
		`lockbox_refusals_total{code="unauthenticated",rule="R13",service="jit-evaluator"} 1`,
		`lockbox_refusals_total{code="unavailable",rule="I11",service="jit-evaluator"} 1`,
		"go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not shown", want)
		}
	}
}

func TestReadingsAreTakenAtEachScrape(t *testing.T) {
	m := NewMetrics()
	c := m.For("notifier")
	away := false
	c.Read(BusConnected, func(say Say) { say(1) })
	c.Read(BusConnected, func(say Say) { say(Truth(!away)) }) // in place of the first
	c.Read(BusReconnects, func(say Say) { say(3) })
	c.Read(ConsumerPending, func(say Say) {
		say(7, "notifier")
		say(8, "notifier") // a scrape must not fail for it
		say(9, "notifier-alarms")
	})
	c.Certificates("bus", func() map[string]time.Time { return map[string]time.Time{"": time.Unix(1000, 0)} })
	c.Certificates("issuer", func() map[string]time.Time {
		return map[string]time.Time{"https://a.example": time.Unix(2000, 5e8), "https://unseen.example": {}}
	})
	c.Disk("here", t.TempDir())
	c.Disk("nowhere", "/nowhere/at/all")
	c.Read(PartState, Parts(map[string]Check{
		"bus":     func(context.Context) error { return errors.New("away") },
		"issuers": func(context.Context) error { return Warning(errors.New("away")) },
		"clock":   func(context.Context) error { return nil },
	}))
	m.For("portal").Read(BusConnected, func(say Say) { say(1) })
	_, body := get(t, m.Handler(nil), "/metrics")
	for _, want := range []string{
		`lockbox_bus_connected{service="notifier"} 1`, `lockbox_bus_connected{service="portal"} 1`,
		"# TYPE lockbox_bus_reconnects_total counter", "# TYPE lockbox_bus_connected gauge",
		`lockbox_consumer_pending_messages{consumer="notifier",service="notifier"} 7`,
		`lockbox_consumer_pending_messages{consumer="notifier-alarms",service="notifier"} 9`,
		`lockbox_certificate_expiry_timestamp_seconds{certificate="bus",name="",service="notifier"} 1000`,
		`lockbox_certificate_expiry_timestamp_seconds{certificate="issuer",name="https://a.example",service="notifier"} 2000.5`,
		`lockbox_disk_free_bytes{directory="here",service="notifier"}`,
		`lockbox_part_state{part="bus",service="notifier",state="failing"} 1`,
		`lockbox_part_state{part="issuers",service="notifier",state="warning"} 1`,
		`lockbox_part_state{part="clock",service="notifier",state="ok"} 1`,
		`lockbox_build_info{`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not shown", want)
		}
	}
	if strings.Contains(body, "unseen") || strings.Contains(body, "nowhere") {
		t.Error("it tells what it does not know")
	}
	away = true
	_, body = get(t, m.Handler(nil), "/metrics")
	if !strings.Contains(body, `lockbox_bus_connected{service="notifier"} 0`) {
		t.Error("it tells what was")
	}
}

// What a reading means stands in one place, and all that a process can tell can be asked for.
func TestEveryReadingIsDescribed(t *testing.T) {
	m := NewMetrics()
	all := make(chan *prometheus.Desc)
	go func() {
		m.Describe(all)
		close(all)
	}()
	var names []string
	for d := range all {
		names = append(names, d.String())
	}
	for name, d := range descriptions {
		if len(d.help) < 20 || !strings.HasSuffix(d.help, ".") && !strings.Contains(d.help, ". ") {
			t.Errorf("%s says %q", name, d.help)
		}
		if !slices.ContainsFunc(names, func(told string) bool { return strings.Contains(told, `"`+string(name)+`"`) }) {
			t.Errorf("%s is not told", name)
		}
	}
	own := prometheus.NewCounter(prometheus.CounterOpts{Name: "own_total"})
	if err := m.Register(own); err != nil || m.Register(own) == nil {
		t.Errorf("it can be registered twice, or not at all: %v", err)
	}
	if !m.Unregister(own) || m.Register(own) != nil {
		t.Error("it cannot be replaced")
	}
}

func TestWithoutMetricsNothingIsCounted(t *testing.T) {
	var m *Metrics
	c := m.For("notifier")
	c.Event("X")
	c.DeadLetter()
	c.Refused(&lockboxv1.Refusal{})
	c.Read(BusConnected, func(Say) {})
	c.Disk("x", "/")
	c.Alarm("x")
	c.ExpectAlarms("x")
	c.Answered("x", 0, nil)
	c.Mail(MailSent, 0)
	c.ExpectMails()
	if h := http.NotFoundHandler(); c.HTTP(h) == nil {
		t.Error("there is no handler")
	}
	if m.Registerer() != nil {
		t.Error("there is a registerer")
	}
	if code, _ := get(t, m.Handler(nil), "/metrics"); code != http.StatusNotFound {
		t.Errorf("metrics: %d", code)
	}
	if code, body := get(t, m.Handler(nil), "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("health: %d %s", code, body)
	}
}

func TestHealthSaysWhatIsWrongAndKeepsSecrets(t *testing.T) {
	well := func(context.Context) error { return nil }
	checks := map[string]Check{
		"clock": func(context.Context) error { return refusal.Unavailable("clock", "I11", "is 3 s off") },
		"bus":   func(context.Context) error { return errors.New("dial nats://user:hunter2@bus") },
		"disk":  well,
	}
	code, body := get(t, NewMetrics().Handler(checks), "/healthz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "clock: is 3 s off\n") ||
		!strings.Contains(body, "bus: not available") {
		t.Errorf("%d %s", code, body)
	}
	if strings.Contains(body, "hunter2") || strings.Contains(body, "disk") {
		t.Errorf("it says too much: %s", body)
	}
}

// A probe that restarts asks whether the process answers; one that sends work asks whether the service can do its own.
func TestReadinessListsPartsAndWarningsDoNotUnready(t *testing.T) {
	issuer := func(context.Context) error {
		return Warning(refusal.Unavailable("", "I11", "no keys of https://login.example"))
	}
	checks := map[string]Check{"bus": func(context.Context) error { return Warning(nil) }, "issuers": issuer}
	code, body := get(t, NewMetrics().Handler(checks), "/readyz")
	want := "ok       bus\nwarning  issuers: no keys of https://login.example\n"
	if code != http.StatusOK || body != want {
		t.Errorf("%d %s", code, body)
	}
	if code, body := get(t, NewMetrics().Handler(checks), "/healthz"); code != http.StatusOK ||
		body != "issuers: no keys of https://login.example\n" {
		t.Errorf("%d %s", code, body)
	}
	checks["bus"] = func(ctx context.Context) error {
		<-ctx.Done() // it hangs
		return refusal.Unavailable("", "I11", "does not answer")
	}
	code, body = get(t, NewMetrics().Handler(checks), "/readyz")
	if code != http.StatusServiceUnavailable || !strings.HasPrefix(body, "failing  bus: does not answer\n") {
		t.Errorf("%d %s", code, body)
	}
	if code, body := get(t, NewMetrics().Handler(checks), "/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %s", code, body)
	}
}

func TestServeUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- NewMetrics().serve(ctx, l, nil) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || string(body) != "ok\n" {
		t.Errorf("%s, %v", body, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

func TestServeIsOptionalAndSaysWhenItCannot(t *testing.T) {
	if err := NewMetrics().Serve(t.Context(), "", nil); err != nil {
		t.Error(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := NewMetrics().Serve(t.Context(), l.Addr().String(), nil); err == nil {
		t.Error("two listen on one port")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestLinesAreObjectsUnlessOnATerminal(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(LogOptions{Service: "notifier", Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("too quiet")
	log.Info("sent", zap.Duration("after", 1500*time.Millisecond))
	var line struct{ Time, Level, Message, Service, After string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if line.Level != "info" || line.Message != "sent" || line.Service != "notifier" || line.After != "1.5s" {
		t.Errorf("%+v", line)
	}
	if _, err := time.Parse(time.RFC3339, line.Time); err != nil || !strings.HasSuffix(line.Time, "Z") {
		t.Errorf("time %s: %v", line.Time, err)
	}
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(LogOptions{Level: "error", Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	log.Warn("not this")
	if out.Len() != 0 {
		t.Errorf("logged %s", out.String())
	}
	for _, level := range []string{"loud", "panic", "fatal"} {
		if _, err := NewLogger(LogOptions{Level: level}); err == nil {
			t.Errorf("%s is a level", level)
		}
	}
}
