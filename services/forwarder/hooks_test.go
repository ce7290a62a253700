package forwarder

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

const (
	standard = lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD
	inSlack  = lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK
	inTeams  = lockboxv1.WebhookKind_WEBHOOK_KIND_TEAMS

	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

var gina = story.Customer(story.Tenant, "gina")

// hooked is a customer in a real stream, who adds webhooks.
type hooked struct {
	*testing.T
	*story.Story
	bus      *journaltest.Bus
	writers  map[aggregate.Writer]*journal.Journal
	last     map[aggregate.Key]uint64
	stored   int
	dir      string
	registry *prometheus.Registry
	public   sealed.Public
	now      func() time.Time
	config   Webhooks

	mu     sync.Mutex
	health observe.Check
}

func beginHooked(t *testing.T) *hooked {
	t.Helper()
	dir := t.TempDir()
	must(t, sealed.LoadOrCreate(dir, "webhooks"))
	public, err := sealed.ReadPublic(filepath.Join(dir, "webhooks"+sealed.PublicFile))
	must(t, err)
	w := &hooked{T: t, Story: story.New(time.Now()), bus: journaltest.Start(t, 1), dir: dir, public: public, now: time.Now,
		writers: map[aggregate.Writer]*journal.Journal{}, last: map[aggregate.Key]uint64{},
		registry: prometheus.NewRegistry(), config: Webhooks{ThisMachine: true, PortalURL: "https://lockbox.example",
			KeyFile: config.SecretFile(filepath.Join(dir, "webhooks"+sealed.KeyFile))}}
	for _, writer := range []aggregate.Writer{aggregate.Orchestrator, aggregate.Evaluator, aggregate.Notifier} {
		w.writers[writer] = w.bus.Journal(t, bus.Identity(writer))
	}
	w.Create(story.Tenant, "Contoso", nil, gina)
	w.store()
	return w
}

// store writes to the stream what the story tells.
func (w *hooked) store() {
	w.Helper()
	for _, e := range w.Entries[w.stored:] {
		about := aggregate.KeyOf(e.Event)
		sequence, err := w.writers[aggregate.WriterOf(e.Event)].Append(w.Context(), w.last[about], e.Event)
		must(w, err)
		w.last[about] = sequence
		w.stored++
	}
}

// add adds a webhook.
func (w *hooked) add(kind lockboxv1.WebhookKind, address string, types ...string) (id string) {
	w.Helper()
	return w.addShown(kind, address, address, types...)
}

// addShown adds a webhook of which another address is shown.
func (w *hooked) addShown(kind lockboxv1.WebhookKind, address, shown string, types ...string) (id string) {
	w.Helper()
	a := &lockboxv1.AddWebhook{Kind: kind, Name: "operations", SecretUrl: shown, Types: types}
	if kind == standard {
		a.Secret = hookSecret
	}
	c := w.Given(gina, w.ID(), &lockboxv1.Command{Action: &lockboxv1.Command_AddWebhook{AddWebhook: a}})
	plain, err := proto.Marshal(&lockboxv1.WebhookSecret{Url: address, Secret: a.GetSecret()})
	must(w, err)
	c.Sealed, err = w.public.Seal(sealed.About{Purpose: "webhook", Tenant: story.Tenant, ID: c.GetId()}, plain)
	must(w, err)
	e, err := tenant.Decide(w.States.Tenant(story.Tenant), c, tenant.Limits{}, w.Now)
	must(w, err)
	w.Record(e)
	w.store()
	return c.GetId()
}

// settings lets something happen that every kind of webhook is told of, and returns its type.
func (w *hooked) settings() string {
	w.Helper()
	c := &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
	if w.States.Tenant(story.Tenant).Enabled {
		c.Action = &lockboxv1.Command_DisableLockbox{DisableLockbox: &lockboxv1.DisableLockbox{Reason: "Maintenance."}}
	}
	w.Command(gina, c)
	w.store()
	return "tenant." + aggregate.TypeOf(w.Entries[len(w.Entries)-1].Event)
}

// run forwards until the returned function is called.
func (w *hooked) run() (stop func()) {
	w.Helper()
	c := Config{Cursors: filepath.Join(w.dir, "cursors"), Webhooks: w.config}
	must(w, c.Check())
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&Forwarder{Config: c, Source: w.bus.Journal(w.T, bus.Compliance), Now: w.now,
			Log: zaptest.NewLogger(w, zaptest.Level(zap.ErrorLevel)), Metrics: w.registry,
			Health: func(check observe.Check) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.health = check
			}}).Run(ctx)
	}()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			must(w, <-ended)
		}
		stopped = true
	}
	w.Cleanup(stop)
	return stop
}

// in waits until so many webhooks are in a state, as the metrics say.
func (w *hooked) in(state string, n float64) {
	w.Helper()
	w.soon(fmt.Sprintf("%v are %s", n, state), func() bool {
		families, err := w.registry.Gather()
		must(w, err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "lockbox_forward_webhooks" && m.GetLabel()[0].GetValue() == state {
					return m.GetGauge().GetValue() == n
				}
			}
		}
		return false
	})
}

func (w *hooked) soon(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not: %s", what)
		}
	}
}

// inbox is a receiver that answers as it is told.
type inbox struct {
	*hooked
	*httptest.Server
	answer func(n int, w http.ResponseWriter, r *http.Request)

	mu     sync.Mutex
	asked  int
	bodies []string
}

func (w *hooked) inbox(answer func(n int, w http.ResponseWriter, r *http.Request)) *inbox {
	i := &inbox{hooked: w, answer: answer}
	i.Server = httptest.NewServer(i)
	w.Cleanup(i.Close)
	return i
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	i.mu.Lock()
	i.asked++
	n := i.asked
	i.bodies = append(i.bodies, string(body))
	i.mu.Unlock()
	if id := r.Header.Get("Webhook-Id"); id != "" {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
		must(i, err)
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("Webhook-Timestamp"), body)
		if got := r.Header.Get("Webhook-Signature"); got != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			i.Errorf("the signature is %q", got)
		}
	}
	if i.answer != nil {
		i.answer(n, w, r)
	}
}

func (i *inbox) gets(text string) {
	i.Helper()
	i.soon("got "+text, func() bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		return slices.ContainsFunc(i.bodies, func(b string) bool { return strings.Contains(b, text) })
	})
}

func (i *inbox) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// Whatever a receiver does, others get what is theirs: one that never answers, one that answers without end, one that
// leads elsewhere, and one that is dead.
func TestR57AReceiverHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	w := beginHooked(t)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	hangs := w.inbox(func(_ int, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	floods := w.inbox(func(_ int, out http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := out.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	inside := w.inbox(nil)
	leads := w.inbox(func(_ int, out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, inside.URL, http.StatusTemporaryRedirect)
	})
	good, chat := w.inbox(nil), w.inbox(nil)
	w.run()
	for _, i := range []*inbox{hangs, floods, leads} {
		w.add(standard, i.URL)
	}
	w.add(standard, good.URL)
	w.add(inTeams, chat.URL)
	good.gets("WebhookAdded")
	good.gets(w.settings())
	chat.gets("Lockbox was switched on or off")
	if inside.count() > 0 {
		t.Error("a redirect was followed")
	}
}

// A receiver that says it is gone gets nothing more, and one that takes nothing for five days: the metrics say so, and
// it is no fault of ours. Another that fails is tried again until it takes what it is sent.
func TestR57ADeadReceiverIsPaused(t *testing.T) {
	t.Parallel()
	w := beginHooked(t)
	var mu sync.Mutex
	later := time.Duration(0)
	w.now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(later)
	}
	gone := w.inbox(func(_ int, out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusGone) })
	fails := w.inbox(func(_ int, out http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		later += 2 * 24 * time.Hour
		out.WriteHeader(http.StatusInternalServerError)
	})
	w.run()
	w.add(standard, gone.URL)
	w.in("paused", 1)
	w.settings()
	w.add(standard, fails.URL)
	w.in("paused", 2)
	if n := fails.count(); n < 3 || n > 4 {
		t.Errorf("it was given up after %d attempts", n)
	}
	recovers := w.inbox(func(n int, out http.ResponseWriter, _ *http.Request) {
		if n < 3 {
			out.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w.add(standard, recovers.URL)
	recovers.gets(w.settings())
	w.in("delivering", 1)
	if n := gone.count(); n != 1 {
		t.Errorf("it was gone, and asked %d times", n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.health(t.Context()); err != nil {
		t.Errorf("customers' receivers are no fault of ours: %v", err)
	}
}

// A message that a chat refuses is left out, and one that a program refuses is not.
func TestR57WhatIsRefused(t *testing.T) {
	t.Parallel()
	w := beginHooked(t)
	refuses := func(n int, out http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			out.WriteHeader(http.StatusBadRequest)
		}
	}
	chat, program := w.inbox(refuses), w.inbox(refuses)
	w.run()
	w.add(inSlack, chat.URL)
	w.add(standard, program.URL)
	happened := w.settings()
	chat.gets("Lockbox was switched on or off")
	program.gets(happened)
	program.mu.Lock()
	defer program.mu.Unlock()
	if !strings.Contains(program.bodies[0], "WebhookAdded") || program.bodies[1] != program.bodies[0] {
		t.Errorf("what it refused does not come again: %q", program.bodies)
	}
}

// Addresses that lead inside are not reached, by whatever name (SSRF), and one that is not what the customer is shown
// is not either.
func TestR57NothingLeadsInside(t *testing.T) {
	t.Parallel()
	w := beginHooked(t)
	here := w.inbox(nil)
	_, port, err := net.SplitHostPort(here.Listener.Addr().String())
	must(t, err)
	h := &hooks{Forwarder: &Forwarder{Now: time.Now, Log: zap.NewNop()}}
	h.keys, err = sealed.ReadPrivate(w.config.KeyFile)
	must(t, err)
	open := func(address, shown string) (sink, error) {
		plain, err := proto.Marshal(&lockboxv1.WebhookSecret{Url: address, Secret: hookSecret})
		must(t, err)
		text, err := w.public.Seal(sealed.About{Purpose: "webhook", Tenant: story.Tenant, ID: "w"}, plain)
		must(t, err)
		return h.sink(story.Tenant, tenant.Webhook{Sealed: text,
			Webhook: &lockboxv1.Webhook{Id: "w", Kind: standard, Address: shown}})
	}
	for _, address := range []string{here.URL, "http://localhost:" + port, "https://[::1]", "http://127.1.2.3"} {
		if _, err := open(address, address); err == nil || !strings.Contains(err.Error(), "this machine") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := open("https://evil.example/x", "https://hooks.slack.com"); err == nil {
		t.Error("another address than the one that is shown is served")
	}
	names := []string{"10.0.0.7", "169.254.169.254", "[fd00::1]", "[::ffff:10.0.0.7]", "100.64.0.1", "0.0.0.0"}
	if name, err := os.Hostname(); err == nil { // a name that leads to a private address, or to this machine
		if found, err := net.DefaultResolver.LookupHost(t.Context(), name); err == nil && len(found) > 0 &&
			tenant.ThisMachine(name) == false {
			names = append(names, strings.ToLower(name))
		}
	}
	for _, name := range names {
		address := "https://" + name + ":" + port
		s, err := open(address+"/secret-part", address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		err = s.deliver(t.Context(), []message{{id: "m", row: []byte("{}")}})
		if err == nil || !strings.Contains(err.Error(), "nor sent to") ||
			strings.Contains(err.Error(), "secret-part") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if here.count() > 0 {
		t.Error("it was reached")
	}
}

// After a restart each goes on where it was; one that was removed while nobody looked is forgotten; and without the
// key, health says whose fault it is.
func TestR57ARestartGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	w := beginHooked(t)
	stays, leaves := w.inbox(nil), w.inbox(nil)
	stop := w.run()
	w.add(standard, stays.URL, "LockboxEnabled", "LockboxDisabled")
	id := w.add(standard, leaves.URL)
	stays.gets("WebhookAdded") // its own beginning, whatever it chose
	leaves.gets("WebhookAdded")
	cursor := filepath.Join(w.dir, "cursors", "webhooks", story.Tenant+"."+id+".json")
	w.soon("the cursor is kept", func() bool { _, err := os.Stat(cursor); return err == nil })
	stop()
	before := leaves.count()
	w.Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_RemoveWebhook{
		RemoveWebhook: &lockboxv1.RemoveWebhook{WebhookId: id}}})
	happened := w.settings()
	stop = w.run()
	stays.gets(happened)
	w.soon("the cursor of a webhook that is gone is removed", func() bool {
		_, err := os.Stat(cursor)
		return os.IsNotExist(err)
	})
	if n := leaves.count(); n != before {
		t.Errorf("what was removed got %d messages", n-before)
	}
	stays.mu.Lock()
	for _, b := range stays.bodies {
		if strings.Contains(b, "WebhookRemoved") || strings.Contains(b, id) {
			t.Errorf("it did not choose %s", b)
		}
	}
	stays.mu.Unlock()
	stop()

	other := t.TempDir()
	must(t, sealed.LoadOrCreate(other, "webhooks"))
	w.config.KeyFile = config.SecretFile(filepath.Join(other, "webhooks"+sealed.KeyFile))
	w.run()
	w.in("paused", 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.health(t.Context()); err == nil || !strings.Contains(err.Error(), "none of the keys opens") {
		t.Errorf("%v", err)
	}
}
