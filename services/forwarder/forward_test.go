package forwarder

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/service"
	"go.uber.org/zap/zaptest"
)

// world is a real stream, and what has arrived somewhere.
type world struct {
	*testing.T
	bus            *journaltest.Bus
	writer, reader *journal.Journal
	version        uint64
	last           uint64
	about          aggregate.Key
	dir            string

	mu      sync.Mutex
	arrived []uint64 // sequences, in their order
}

func begin(t *testing.T) *world {
	t.Helper()
	b := journaltest.Start(t, 1)
	return &world{
		T: t, bus: b, writer: b.Journal(t, bus.Orchestrator), reader: b.Journal(t, bus.Compliance), dir: t.TempDir(),
		about: aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTicket, ID: journaltest.NewID()},
	}
}

// happen stores so many events.
func (w *world) happen(n int) {
	w.Helper()
	for range n {
		w.version++
		var err error
		w.last, err = w.writer.Append(w.Context(), w.last, journaltest.Event(w.about, w.version))
		must(w, err)
	}
}

func (w *world) arrives(sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrived = append(w.arrived, sequence)
}

// until waits until an event has arrived, and checks that none before it is missing: whatever arrives is the next, or
// was there.
func (w *world) until(sequence uint64) {
	w.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		next := uint64(1)
		for _, s := range w.arrived {
			if s > next {
				w.Fatalf("event %d arrives before %d: %v", s, next, w.arrived)
			}
			next = max(next, s+1)
		}
		w.mu.Unlock()
		if next > sequence {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("event %d has not arrived: %v", next, w.arrived)
		}
	}
}

// run forwards until the returned function is called.
func (w *world) run(targets ...Target) (stop func() error) {
	w.Helper()
	c := Config{Cursors: w.dir, Targets: targets}
	must(w, c.Check())
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&Forwarder{Config: c, Source: w.reader, Now: time.Now, Log: zaptest.NewLogger(w)}).Run(ctx)
	}()
	return func() error {
		cancel()
		return <-ended
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hook is a webhook's receiver with TLS of its own.
func (w *world) hook(public string, answer func(n int) int) Target {
	w.Helper()
	n := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		must(w, err)
		n++
		if status := answer(n); status != http.StatusOK {
			out.WriteHeader(status)
			return
		}
		w.verify(public, r.Header, body)
		if kind := r.Header.Get("Content-Type"); kind != "application/cloudevents+json" {
			w.Errorf("an event came as %s", kind)
		}
		var event struct {
			ID       string `json:"id"`
			Sequence string `json:"sequence"`
		}
		if err := json.Unmarshal(body, &event); err != nil || event.ID != r.Header.Get("Webhook-Id") {
			w.Errorf("%v: %s", err, body)
		}
		sequence, err := strconv.ParseUint(event.Sequence, 10, 64)
		if err != nil {
			w.Errorf("%v: %s", err, body)
		}
		w.arrives(sequence)
	}))
	w.Cleanup(server.Close)
	ca := filepath.Join(w.TempDir(), "ca.pem")
	must(w, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	return Target{Name: "hook", Webhook: Webhook{URL: server.URL, CAFile: ca}}
}

// verify is how a receiver checks a Standard Webhook, written from its specification.
func (w *world) verify(public string, h http.Header, body []byte) {
	w.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	must(w, err)
	signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.Get("webhook-signature"), "v1a,"))
	must(w, err)
	at, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	must(w, err)
	if age := time.Since(time.Unix(at, 0)); age < -time.Minute || age > time.Minute {
		w.Errorf("signed %v ago", age)
	}
	if !ed25519.Verify(key, []byte(h.Get("webhook-id")+"."+h.Get("webhook-timestamp")+"."+string(body)), signature) {
		w.Error("the signature is wrong")
	}
}

func (w *world) key() (file config.SecretFile, public string) {
	w.Helper()
	name := filepath.Join(w.TempDir(), "key")
	public, err := CreateKey(name)
	must(w, err)
	return config.SecretFile(name), public
}

func TestAWebhookGetsEverythingInOrderWhateverItAnswers(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(5)
	key, public := w.key()
	hook := w.hook(public, func(n int) int {
		switch n { // it fails now and then
		case 2, 7:
			return http.StatusInternalServerError
		case 4:
			return http.StatusFound
		}
		return http.StatusOK
	})
	hook.Webhook.KeyFile = key
	away := Target{Name: "away", Webhook: Webhook{URL: "http://127.0.0.1:1/", KeyFile: key}} // and holds up nobody
	stop := w.run(hook, away)
	w.until(5)
	w.happen(5)
	w.until(10)
	must(t, stop())
	w.happen(3)
	before := len(w.arrived)
	stop = w.run(hook, away) // it goes on where it was
	w.until(13)
	must(t, stop())
	if repeated := len(w.arrived) - before; repeated > 3+1 {
		t.Errorf("%d events came after a clean end, of which 3 are new", repeated)
	}
}

// Of two copies with the same cursors one sends; when it stops, the other goes on where it was.
func TestASecondCopyStandsBy(t *testing.T) {
	w := begin(t)
	key, public := w.key()
	hook := w.hook(public, func(int) int { return http.StatusOK })
	hook.Webhook.KeyFile = key
	first := w.run(hook)
	w.happen(5)
	w.until(5)
	second := w.run(hook)
	w.happen(5)
	w.until(10)
	must(t, first())
	w.happen(5)
	w.until(15)
	must(t, second())
	w.mu.Lock()
	defer w.mu.Unlock()
	// The event that was under way when the first stopped may come once more.
	if once := slices.Compact(slices.Clone(w.arrived)); len(once) != 15 || !slices.IsSorted(once) || len(w.arrived) > 16 {
		t.Errorf("15 events arrived as %v", w.arrived)
	}
}

func TestAWebhookThatIsGoneGetsNothingMore(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(3)
	key, public := w.key()
	hook := w.hook(public, func(n int) int {
		if n > 2 {
			return http.StatusGone
		}
		return http.StatusOK
	})
	hook.Webhook.KeyFile = key
	c := Config{Cursors: w.dir, Targets: []Target{hook}}
	must(t, c.Check())
	err := (&Forwarder{Config: c, Source: w.reader, Now: time.Now, Log: zaptest.NewLogger(t)}).Run(t.Context())
	if !errors.Is(err, errGone) || len(w.arrived) != 2 {
		t.Errorf("%v after %v", err, w.arrived)
	}
}

func TestSyslogGetsEverythingAlthoughConnectionsBreak(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(6)
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	certificate := certified.TLS.Certificates[0]
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}),
		0o600))
	certified.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0",
		&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for connections := 1; ; connections++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.receive(conn, connections)
		}
	}()
	target := Target{Name: "syslog", Syslog: Syslog{Address: listener.Addr().String(), CAFile: ca, Hostname: "host"}}
	stop := w.run(target)
	w.until(6)
	w.happen(6)
	w.until(12)
	must(t, stop())
	stranger := target
	stranger.Name, stranger.Syslog.CAFile = "stranger", ""
	stop = w.run(stranger) // a server that nobody vouches for gets nothing
	time.Sleep(300 * time.Millisecond)
	must(t, stop())
	w.until(12)
}

// receive reads messages with their lengths before them, and breaks the first connections after a few.
func (w *world) receive(conn net.Conn, connection int) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for n := 0; connection > 2 || n < 3*connection; n++ {
		length, err := r.ReadString(' ')
		if err != nil {
			return
		}
		size, err := strconv.Atoi(strings.TrimSpace(length))
		if err != nil {
			w.Errorf("a length is %q", length)
			return
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(r, message); err != nil {
			return
		}
		head, body, found := strings.Cut(string(message), "TicketCommented [lockbox@32473 ")
		if !found || !strings.HasPrefix(head, "<109>1 ") || !strings.HasSuffix(head, " host lockbox - ") {
			w.Errorf("the message is %q", message)
			return
		}
		var sequence uint64
		if _, err := fmt.Sscanf(body, `sequence="%d"`, &sequence); err != nil ||
			!strings.Contains(body, `type="TicketCommented"] {`) {
			w.Errorf("the message is %q", message)
		}
		w.arrives(sequence)
	}
}

// control: nist:AU-6
func TestTheServiceForwardsAsItsFileSays(t *testing.T) {
	t.Parallel()
	var file service.File[Config]
	must(t, config.Load("../../deploy/config/forwarder.yaml", nil, &file))
	must(t, file.Service.Check())
	w := begin(t)
	w.happen(4)
	key, public := w.key()
	hook := w.hook(public, func(int) int { return http.StatusOK })
	hook.Webhook.KeyFile = key
	file.Service.Cursors, file.Service.Targets = w.dir, []Target{hook}
	must(t, sealed.LoadOrCreate(w.dir, "webhooks"))
	file.Service.Webhooks.KeyFile = config.SecretFile(filepath.Join(w.dir, "webhooks"+sealed.KeyFile))
	rt, err := service.Connect(t.Context(), bus.Connection{
		InProcess: w.bus, Identity: bus.Compliance, Seed: w.bus.Keys[bus.Compliance], Log: zaptest.NewLogger(t),
	}, observe.NewMetrics().For(Name), nil)
	must(t, err)
	defer rt.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, rt, file.Service) }()
	w.until(4)
	stop()
	must(t, <-ended)
	file.Service.Targets, file.Service.Webhooks = nil, Webhooks{}
	if r, is := refusal.As(Run(t.Context(), rt, file.Service)); !is || r.GetField() != "targets" {
		t.Errorf("it runs for nobody: %v", r)
	}
}

func TestAConfigurationThatCannotWork(t *testing.T) {
	t.Parallel()
	hook := Webhook{URL: "https://siem.example", KeyFile: "k"}
	for field, c := range map[string]Config{
		"cursors":             {Targets: []Target{{Name: "a", Webhook: hook}}},
		"targets":             {Cursors: "d"},
		"webhooks.portal_url": {Cursors: "d", Webhooks: Webhooks{KeyFile: "k", PortalURL: "lockbox.example"}},
		"targets.name":        {Cursors: "d", Targets: []Target{{Name: "a", Webhook: hook}, {Name: "a", Webhook: hook}}},
		"targets.format":      {Cursors: "d", Targets: []Target{{Name: "a", Format: "csv", Webhook: hook}}},
		"targets.webhook.url": {Cursors: "d",
			Targets: []Target{{Name: "a", Webhook: Webhook{URL: "http://siem.example", KeyFile: "k"}}}},
		"targets.webhook.key_file": {Cursors: "d",
			Targets: []Target{{Name: "a", Webhook: Webhook{URL: "https://siem.example"}}}},
		"targets.syslog": {Cursors: "d",
			Targets: []Target{{Name: "a", Syslog: Syslog{Address: "h:1", CertFile: "c"}}}},
		"targets.types":   {Cursors: "d", Targets: []Target{{Name: "a", Types: []string{"X"}, Webhook: hook}}},
		"targets.refused": {Cursors: "d", Targets: []Target{{Name: "a", Refused: "drop", Webhook: hook}}},
		"targets.webhook.headers": {Cursors: "d", Targets: []Target{{Name: "a", Webhook: Webhook{
			URL: hook.URL, KeyFile: "k", Headers: map[string]string{"DD-API-KEY": "x"}}}}},
		"targets.webhook.secret_headers": {Cursors: "d", Targets: []Target{{Name: "a", Webhook: Webhook{
			URL: hook.URL, SecretHeaders: map[string]config.SecretFile{"Content-Type": "x"}}}}},
		"targets.webhook.authorization": {Cursors: "d", Targets: []Target{{Name: "a", Webhook: Webhook{
			URL: hook.URL, Authorization: Authorization{User: "u", TokenFile: "t"}}}}},
		"targets.webhook.in_flight": {Cursors: "d", Targets: []Target{{Name: "a", Webhook: Webhook{
			URL: hook.URL, KeyFile: "k", InFlight: 65}}}},
		"targets.webhook.batch": {Cursors: "d", Targets: []Target{{Name: "a", Webhook: Webhook{
			URL: hook.URL, KeyFile: "k", Batch: Batch{Events: -1}}}}},
		"targets.webhook.body": {Cursors: "d", Targets: []Target{{Name: "a", Webhook: Webhook{
			URL: hook.URL, KeyFile: "k", Body: "xml"}}}},
	} {
		if r, is := refusal.As(c.Check()); !is || r.GetField() != field {
			t.Errorf("%s: %v", field, r)
		}
	}
}
