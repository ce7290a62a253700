package forwarder

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// hookPatience is how long a customer's receiver may take nothing before it gets no more.
	hookPatience = 5 * 24 * time.Hour
	// hookAnswer is how many bytes of its answers are read.
	hookAnswer = 64 << 10
)

// hooks serve customers' own webhooks: each is a target of its own, as those of the configuration are, on the
// customer's view of the stream.
type hooks struct {
	*Forwarder
	keys    sealed.Private
	counted *metrics
	dir     string
	chats   map[string]*chat // by language

	mu sync.Mutex
	// tenants are folded from their events, so that only a webhook counts that one of its administrators could add.
	tenants map[string]tenant.State
	// zones are the tenants' time zones, by their names.
	zones map[string]string
	// added are the sequences at which webhooks were added.
	added map[string]uint64
	serve map[string]*served // by the webhook's id
	// ears are told when something happens at a tenant.
	ears map[string][]chan struct{}
	// failures are how often in a row the stream could not be followed, failing is why.
	failures int
	failing  error
}

// served is a webhook that is served.
type served struct {
	tenant string
	target *target
	stop   context.CancelFunc
	ended  chan struct{}
	// over is why it gets nothing more until the forwarder starts again, and ours whether that is for us to mend.
	over error
	ours bool
}

// openHooks reads the keys; nil if customers' webhooks are not served here.
func (f *Forwarder) openHooks(counted *metrics) (*hooks, error) {
	c := f.Config.Webhooks
	if c.KeyFile == "" {
		return nil, nil //nolint:nilnil // there are none
	}
	h := &hooks{Forwarder: f, counted: counted, dir: filepath.Join(f.Config.Cursors, "webhooks"),
		tenants: map[string]tenant.State{}, added: map[string]uint64{}, serve: map[string]*served{},
		ears: map[string][]chan struct{}{}, zones: map[string]string{}}
	var err error
	if h.keys, err = sealed.ReadPrivate(c.KeyFile); err != nil {
		return nil, fmt.Errorf("webhooks.key_file: %w", err)
	}
	if h.chats, err = chats(c.PortalURL); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return nil, err
	}
	return h, counted.watch(h)
}

// run serves webhooks until ctx ends.
func (h *hooks) run(ctx context.Context) {
	var next uint64 // 0: nothing was read yet
	for {
		err := h.follow(ctx, &next)
		if ctx.Err() != nil {
			break
		}
		h.mu.Lock()
		h.failures++
		h.failing = err
		wait := min(longestWait, firstWait<<min(h.failures-1, 12))
		h.mu.Unlock()
		h.Log.Error("customers' webhooks cannot be followed; trying again", zap.Duration("in", wait), zap.Error(err))
		if !sleep(ctx, wait) {
			break
		}
	}
	h.mu.Lock()
	all := make([]*served, 0, len(h.serve))
	for _, s := range h.serve {
		all = append(all, s)
	}
	h.mu.Unlock()
	for _, s := range all {
		<-s.ended // with ctx
	}
}

// follow reads which webhooks there are, and then goes on with all that happens: next is the sequence to go on with.
func (h *hooks) follow(ctx context.Context, next *uint64) error {
	if *next == 0 {
		copies, err := h.Source.Copies(ctx) // first: whatever is stored from now on is heard of below
		if err != nil {
			return err
		}
		err = h.Source.Replay(ctx, journal.Replay{Kind: aggregate.KindTenant}, func(e journal.Entry) error {
			h.fold(e)
			return nil
		})
		if err != nil {
			return err
		}
		for id := range h.tenants {
			h.reconcile(ctx, id)
		}
		h.forgetOthers()
		*next = copies.Last + 1
	}
	return h.Source.Replay(ctx, journal.Replay{From: *next, Follow: true}, func(e journal.Entry) error {
		if e.Event.GetKind() == aggregate.KindTenant && h.fold(e) {
			h.reconcile(ctx, e.Event.GetTenant())
		}
		h.hear(e.Event.GetTenant())
		*next = e.Seq + 1
		return nil
	})
}

// fold folds an event of a tenant, and reports whether it may have changed its webhooks.
func (h *hooks) fold(e journal.Entry) bool {
	id := e.Event.GetTenant()
	s := h.tenants[id]
	if e.Seq <= s.Sequence {
		return false
	}
	sound := s.Fault == nil
	s = tenant.Evolve(s, e.Seq, e.Event)
	h.tenants[id] = s
	h.mu.Lock()
	h.zones[id] = s.Settings.GetTimeZone()
	h.mu.Unlock()
	if f := e.Event.GetWebhookAdded(); f != nil && s.Fault == nil {
		h.added[f.GetWebhook().GetId()] = e.Seq
	}
	if sound && s.Fault != nil {
		h.Log.Error("ALARM: a tenant's history contradicts itself, so its webhooks get nothing more",
			zap.String("tenant", id), zap.Uint64("sequence", s.Fault.Sequence), zap.String("rule", s.Fault.Rule))
		return true
	}
	return e.Event.GetWebhookAdded() != nil || e.Event.GetWebhookRemoved() != nil
}

// reconcile begins to serve the webhooks that a tenant has, and ends those that it has no more.
func (h *hooks) reconcile(ctx context.Context, id string) {
	s := h.tenants[id]
	ending := map[string]*served{}
	h.mu.Lock()
	for hook, running := range h.serve {
		if running.tenant == id && (s.Fault != nil ||
			!slices.ContainsFunc(s.Webhooks, func(w tenant.Webhook) bool { return w.GetId() == hook })) {
			running.stop()
			delete(h.serve, hook)
			ending[hook] = running
		}
	}
	h.mu.Unlock()
	for hook, running := range ending {
		<-running.ended
		h.Log.Info("a customer's webhook gets nothing any more", zap.String("tenant", id), zap.String("webhook", hook))
		if s.Fault == nil {
			h.forget(running.target.file)
		}
	}
	if s.Fault != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range s.Webhooks {
		if h.serve[w.GetId()] == nil {
			h.serve[w.GetId()] = h.begin(ctx, id, w)
		}
	}
}

func (h *hooks) file(tenant, webhook string) string {
	return filepath.Join(h.dir, tenant+"."+webhook+".json")
}

func (h *hooks) forget(file string) {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		h.Log.Warn("the cursor of a webhook that was removed is left behind", zap.Error(err))
	}
}

// forgetOthers removes cursors of webhooks that were removed while nobody looked.
func (h *hooks) forgetOthers() {
	files, err := filepath.Glob(filepath.Join(h.dir, "*.json"))
	if err != nil {
		return // the pattern is sound
	}
	for _, file := range files {
		tenantID, hook, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), ".")
		s, known := h.tenants[tenantID]
		if known && s.Fault == nil &&
			!slices.ContainsFunc(s.Webhooks, func(w tenant.Webhook) bool { return w.GetId() == hook }) {
			h.forget(file)
		}
	}
}

// begin serves a webhook until it is stopped.
func (h *hooks) begin(ctx context.Context, tenantID string, w tenant.Webhook) *served {
	ctx, stop := context.WithCancel(ctx)
	s := &served{tenant: tenantID, stop: stop, ended: make(chan struct{})}
	log := h.Log.With(zap.String("tenant", tenantID), zap.String("webhook", w.GetId()))
	about := Target{Name: tenantID + "." + w.GetId(), Tenant: tenantID, From: h.added[w.GetId()]}
	if w.GetKind() != lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD {
		about.Refused = skip // what a chat refuses is the form of one message, and must not keep the next from people
	}
	from := &events{source: view{h.Source, h, tenantID}, entries: bookmark.Entries{Source: h.Source}, row: h.rows(w)}
	about.Types = from.choose(w)
	from.target = about
	s.target = &target{Target: about, stream: from, now: h.Now, log: log, metrics: h.counted, label: customers,
		file: h.file(tenantID, w.GetId()), patience: hookPatience}
	end := func(err error, ours bool) {
		h.mu.Lock()
		s.over, s.ours = err, ours
		h.mu.Unlock()
	}
	sink, err := h.sink(tenantID, w)
	if err != nil {
		log.Error("a customer's webhook cannot be served", zap.Error(err))
		s.over, s.ours = err, errors.Is(err, sealed.ErrNoKey)
		close(s.ended)
		return s
	}
	s.target.sink = sink
	go func() {
		defer close(s.ended)
		for {
			err := s.target.begin(ctx)
			if err == nil {
				break
			}
			s.target.log.Warn("a customer's webhook cannot be begun; trying again", zap.Error(err))
			if !sleep(ctx, longestWait) {
				return
			}
		}
		if err := s.target.run(ctx); err != nil && ctx.Err() == nil {
			log.Warn("a customer's webhook is paused until the forwarder starts again, or until it is added anew",
				zap.Error(err))
			end(err, false)
		}
	}()
	return s
}

// choose returns which events a webhook gets: those that the customer chose, or what is usual; and its own beginning,
// which shows that it works.
func (s *events) choose(w tenant.Webhook) []string {
	types := w.GetTypes()
	if len(types) == 0 && w.GetKind() != lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD {
		types = toldInChat
	}
	if len(types) == 0 || slices.Contains(types, "WebhookAdded") {
		return types
	}
	row := s.row
	s.row = func(ctx context.Context, e journal.Entry, a *lockboxv1.Activity) ([]byte, error) {
		if f := e.Event.GetWebhookAdded(); f != nil && f.GetWebhook().GetId() != w.GetId() {
			return nil, nil
		}
		return row(ctx, e, a)
	}
	return append(slices.Clone(types), "WebhookAdded")
}

// rows returns how a webhook's events become messages.
func (h *hooks) rows(w tenant.Webhook) func(context.Context, journal.Entry, *lockboxv1.Activity) ([]byte, error) {
	if w.GetKind() == lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD {
		format, _ := export.Named("cloudevents")
		return func(_ context.Context, _ journal.Entry, a *lockboxv1.Activity) ([]byte, error) { return format.Row(a) }
	}
	form := slack
	if w.GetKind() == lockboxv1.WebhookKind_WEBHOOK_KIND_TEAMS {
		form = teams
	}
	c := h.chats[w.GetLanguage()]
	return func(ctx context.Context, e journal.Entry, _ *lockboxv1.Activity) ([]byte, error) {
		asked, err := h.asked(ctx, e.Event)
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		zone := h.zones[e.Event.GetTenant()]
		h.mu.Unlock()
		return form(c.note(e.Event, asked, zone))
	}
}

// asked returns the event with which an event's request began; nil if it belongs to none.
func (h *hooks) asked(ctx context.Context, e *lockboxv1.Event) (asked *lockboxv1.Event, err error) {
	if e.GetKind() != aggregate.KindRequest {
		return nil, nil
	}
	found := errors.New("found")
	r := journal.Replay{Tenant: e.GetTenant(), Kind: aggregate.KindRequest, ID: e.GetAggregateId(),
		Type: "AccessRequested"}
	err = h.Source.Replay(ctx, r, func(e journal.Entry) error {
		asked = e.Event
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return asked, err
}

// sink opens a webhook's address and secret. What its tenant is shown of the address must be true.
func (h *hooks) sink(tenantID string, w tenant.Webhook) (sink, error) {
	plain, err := h.keys.Open(sealed.About{Purpose: "webhook", Tenant: tenantID, ID: w.GetId()}, w.Sealed)
	if err != nil {
		return nil, err
	}
	secret := new(lockboxv1.WebhookSecret)
	if proto.Unmarshal(plain, secret) != nil {
		return nil, errors.New("what is encrypted is no address")
	}
	address, err := tenant.WebhookAddress("url", secret.GetUrl())
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(secret.GetUrl())
	switch {
	case err != nil || address != w.GetAddress():
		return nil, errors.New("its address is another than the one that is shown")
	case tenant.ThisMachine(u.Hostname()) && !h.Config.Webhooks.ThisMachine:
		return nil, errors.New("its address is on this machine, which the configuration does not permit")
	}
	through, err := jwks.Transport(secret.GetUrl(), nil)
	if err != nil {
		return nil, err
	}
	hook := &webhook{config: Webhook{URL: secret.GetUrl()}, client: clientOf(through), now: h.Now, most: hookAnswer,
		body: body{"application/json", func(m []message) []byte { return asIs(m[0]) }, nil}}
	if w.GetKind() != lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD {
		return hook, nil
	}
	key, err := tenant.WebhookKey(secret.GetSecret())
	if err != nil {
		return nil, err
	}
	hook.body.kind = "application/cloudevents+json"
	hook.sign = func(signed []byte) string {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write(signed) // never fails
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return hook, nil
}

// listen returns a channel that is told when something happens at a tenant.
func (h *hooks) listen(tenant string) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	ear := make(chan struct{}, 1)
	h.ears[tenant] = append(h.ears[tenant], ear)
	return ear
}

func (h *hooks) deafen(tenant string, ear chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ears[tenant] = slices.DeleteFunc(h.ears[tenant], func(e chan struct{}) bool { return e == ear })
	if len(h.ears[tenant]) == 0 {
		delete(h.ears, tenant)
	}
}

// hear tells those who listen that something happened at a tenant, and that the stream can be followed.
func (h *hooks) hear(tenant string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures, h.failing = 0, nil
	for _, ear := range h.ears[tenant] {
		select {
		case ear <- struct{}{}:
		default: // it was told, and has not looked yet
		}
	}
}

// counts returns how many webhooks take what they are sent, fail at the moment, and get nothing more.
func (h *hooks) counts() (delivering, failing, paused int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.serve {
		switch {
		case s.over != nil:
			paused++
		case s.target.healthy() != nil:
			failing++
		default:
			delivering++
		}
	}
	return delivering, failing, paused
}

// healthy names what is for us to mend. A receiver that fails is its customer's to mend.
func (h *hooks) healthy() error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures >= unhealthyAfter {
		return refusal.Unavailable("webhooks", rule, "customers' webhooks get nothing: %v", h.failing)
	}
	closed := 0
	for _, s := range h.serve {
		if s.ours {
			closed++
		}
	}
	if closed > 0 {
		return refusal.Unavailable("webhooks.key_file", rule,
			"none of the keys opens the addresses of %d webhooks; add the key that they were encrypted to", closed)
	}
	return nil
}
