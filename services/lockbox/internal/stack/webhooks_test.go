package stack_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	standard = lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD
	slack    = lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK
)

// receiver is a customer's own program, which trusts a message by its signature alone.
type receiver struct {
	*testing.T
	*httptest.Server
	secret string // whsec_…; empty: what comes is a chat's message
	path   string // the secret part of its address

	mu      sync.Mutex
	arrived []received
}

type received struct {
	Type    string `json:"type"`
	Source  string `json:"source"`
	Subject string `json:"subject"`
	body    string
}

func receive(t *testing.T, signed bool) *receiver {
	t.Helper()
	r := &receiver{T: t, path: "/hook/" + newID(t) + "?key=" + newID(t)}
	if signed {
		key := make([]byte, tenant.WebhookKeySize)
		_, err := rand.Read(key)
		must(t, err)
		r.secret = "whsec_" + base64.StdEncoding.EncodeToString(key)
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil || q.Method != http.MethodPost || q.URL.RequestURI() != r.path {
		r.Errorf("%s %s: %v", q.Method, q.URL.RequestURI(), err)
	}
	if len(q.Header["Authorization"]) > 0 || len(q.Header["Cookie"]) > 0 {
		r.Error("credentials were sent")
	}
	got := received{body: string(body)}
	if r.secret != "" {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.secret, "whsec_"))
		if err != nil {
			r.Error(err)
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp"), body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if !slices.Contains(strings.Fields(q.Header.Get("webhook-signature")), want) {
			r.Errorf("the signature is %q", q.Header.Get("webhook-signature"))
		}
		if err := json.Unmarshal(body, &got); err != nil {
			r.Errorf("%s: %v", body, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrived = append(r.arrived, got)
}

// until waits until what arrived satisfies, and returns it.
func (r *receiver) until(what string, done func([]received) bool) []received {
	r.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		all := slices.Clone(r.arrived)
		r.mu.Unlock()
		if done(all) {
			return all
		}
		if time.Now().After(deadline) {
			r.Fatalf("not %s: %v", what, all)
		}
	}
}

// gets waits until a type of event has arrived about a subject.
func (r *receiver) gets(typ, about string) []received {
	r.Helper()
	return r.until(typ+" about "+about, func(all []received) bool {
		return slices.ContainsFunc(all, func(g received) bool {
			return strings.HasSuffix(g.Type, "."+typ) && strings.HasSuffix(g.Subject, about)
		})
	})
}

func (r *receiver) says(text string) {
	r.Helper()
	r.until("said "+text, func(all []received) bool {
		return slices.ContainsFunc(all, func(g received) bool { return strings.Contains(g.body, text) })
	})
}

func (r *receiver) add(kind lockboxv1.WebhookKind) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_AddWebhook{AddWebhook: &lockboxv1.AddWebhook{
		Kind: kind, Name: "Security operations", SecretUrl: r.URL + r.path, Secret: r.secret}}}
}

// hooked is a Lockbox whose customers may have receivers on this machine.
func hooked(t *testing.T) *lockbox {
	t.Helper()
	l := start(t, request.DefaultTerms())
	l.config.LocalWebhooks = true
	l.config.Notifier.PortalURL = "https://lockbox.nimbus.example"
	l.restart(0)
	return l
}

// A customer adds webhooks, an engineer asks, and the receivers are told what its activity log shows, in order: another
// customer's gets nothing of it, and one that was removed nothing more.
//
// control: iso:8.16
func TestR57ACustomersWebhooksAreTold(t *testing.T) {
	t.Parallel()
	l := hooked(t)
	banks, healths, chat := receive(t, true), receive(t, true), receive(t, false)
	hook := banks.add(standard)
	l.does("grace", hook)
	l.does("grace", chat.add(slack))
	other := healths.add(standard)
	other.Tenant = health
	l.does("hana", other)
	banks.gets("WebhookAdded", bank) // the first message is that it was added
	healths.gets("WebhookAdded", health)
	chat.says("Security operations")

	in := l.intent("erin")
	in.Justification = "It hangs. <https://evil.example|Open the request> <!channel> & see https://evil.example"
	id := l.requested(in, request.CustomerNotified)
	banks.gets("CustomerNotified", id)
	chat.says("https://lockbox.nimbus.example/t/meadowbank/requests/" + id)
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	banks.gets("AccessGranted", id)
	chat.says("access has begun")

	// After a restart it goes on where it was.
	l.restart(0)
	l.does("otto", revoke(id, "Enough."))
	all := banks.gets("AccessRevoked", id)
	var about []string
	for _, g := range all {
		if g.Source != "/tenants/"+bank {
			t.Errorf("another customer's: %s", g.body)
		}
		if kind, typ, _ := strings.Cut(strings.TrimPrefix(g.Type, "io.openlockbox."), "."); kind == "request" &&
			strings.HasSuffix(g.Subject, id) && !slices.Contains(about, typ) {
			about = append(about, typ) // repetitions are permitted
		}
	}
	want := "AccessRequested AccessEvaluated CustomerNotified CustomerApproved AccessGranted AccessRevoked"
	if got := strings.Join(about, " "); got != want {
		t.Errorf("it is told of %s, want %s", got, want)
	}
	healths.mu.Lock()
	for _, g := range healths.arrived {
		if strings.Contains(g.body, id) || strings.Contains(g.body, bank) {
			t.Errorf("another customer is told: %s", g.body)
		}
	}
	healths.mu.Unlock()
	chat.mu.Lock()
	for _, g := range chat.arrived {
		if strings.Contains(g.body, "<!") || strings.Contains(g.body, "https://evil") {
			t.Errorf("what an engineer wrote is markup: %s", g.body)
		}
	}
	chat.mu.Unlock()

	// What was counted over all customers is in no customer's message (I9).
	for _, g := range all {
		if strings.Contains(g.body, `"history"`) {
			t.Errorf("counted over all customers: %s", g.body)
		}
	}

	l.does("grace", &lockboxv1.Command{Action: &lockboxv1.Command_RemoveWebhook{
		RemoveWebhook: &lockboxv1.RemoveWebhook{WebhookId: hook.GetId(), Reason: "Closed."}}})
	// Once the other one is told of something later, the removed one would be.
	again := l.requested(l.intent("erin"), request.CustomerNotified)
	chat.says(again)
	banks.mu.Lock()
	for _, g := range banks.arrived {
		if strings.HasSuffix(g.Type, ".WebhookRemoved") || strings.Contains(g.body, again) {
			t.Errorf("after it was removed: %s", g.body)
		}
	}
	banks.mu.Unlock()
	l.mailed("", "webhook-added", "grace@meadowbank.example")
	l.mailed("", "webhook-removed", "grace@meadowbank.example")
	l.noneOf(banks, chat)
}

// noneOf checks that the addresses and secrets of receivers stand nowhere in the stream, and that what is stored breaks
// no invariant.
func (l *lockbox) noneOf(all ...*receiver) {
	l.Helper()
	var events []invariant.Recorded
	for _, e := range l.history(journal.Replay{}) {
		events = append(events, invariant.Recorded{Sequence: e.Seq, Event: e.Event})
		for _, r := range all {
			secrets := append(strings.Split(r.path, "?"), strings.TrimPrefix(r.secret, "whsec_"))
			for _, secret := range secrets {
				if secret != "" && bytes.Contains(e.Data, []byte(secret)) {
					l.Errorf("event %d holds %s", e.Seq, secret)
				}
			}
		}
	}
	for _, broken := range invariant.Check(events) {
		l.Error(broken)
	}
}

// Who may add a webhook, and what is refused.
func TestR57WhoMayAddAWebhook(t *testing.T) {
	t.Parallel()
	l := hooked(t)
	r := receive(t, true)
	for _, who := range []string{"otto", "audrey", "erin", "onboarding", "olga", "hana"} {
		reply := l.answered(who, r.add(standard), forbidden)
		if code := reply.GetRefusal().GetCode(); code != forbidden && code != unauthenticated {
			t.Errorf("%s: %v", who, reply)
		}
	}
	for name, change := range map[string]func(*lockboxv1.AddWebhook){
		"http":            func(a *lockboxv1.AddWebhook) { a.SecretUrl = "http://hooks.example/x" },
		"a private host":  func(a *lockboxv1.AddWebhook) { a.SecretUrl = "https://10.0.0.7/x" },
		"metadata":        func(a *lockboxv1.AddWebhook) { a.SecretUrl = "https://169.254.169.254/latest" },
		"mapped":          func(a *lockboxv1.AddWebhook) { a.SecretUrl = "https://[::ffff:10.0.0.7]/x" },
		"a user":          func(a *lockboxv1.AddWebhook) { a.SecretUrl = "https://hooks.slack.com@evil.example/x" },
		"a short secret":  func(a *lockboxv1.AddWebhook) { a.Secret = "whsec_c2hvcnQ=" },
		"no kind":         func(a *lockboxv1.AddWebhook) { a.Kind = 0 },
		"an unknown type": func(a *lockboxv1.AddWebhook) { a.Types = []string{"Everything"} },
	} {
		c := r.add(standard)
		change(c.GetAddWebhook())
		refused := l.mayNot("grace", c, invalid, "R57")
		if strings.Contains(refused.GetMessage(), c.GetAddWebhook().GetSecretUrl()) {
			t.Errorf("%s: the refusal tells the address: %s", name, refused.GetMessage())
		}
	}
	for range tenant.MaxWebhooks {
		l.does("grace", r.add(standard))
	}
	l.mayNot("grace", r.add(standard), precondition, "R57")
}

// A legal demand under embargo reaches no webhook before its end, and then it does (R46).
func TestR46AnEmbargoHoldsForWebhooksToo(t *testing.T) {
	t.Parallel()
	l := hooked(t)
	r := receive(t, true)
	l.does("grace", r.add(standard))
	demand, exposure := newID(l), newID(l)
	occurrence := &lockboxv1.Occurrence{HappenedAt: timestamppb.Now(), What: "Account records were demanded",
		Description: "Names of two accounts.", Reason: "The order binds us."}
	end := time.Now().Add(3 * moment)
	l.does("olga", &lockboxv1.Command{AggregateId: demand, Action: &lockboxv1.Command_DiscloseLegalDemand{
		DiscloseLegalDemand: &lockboxv1.DiscloseLegalDemand{Occurrence: occurrence, Authority: "Amtsgericht Musterstadt",
			Reference: "12 Gs 345/26", EmbargoUntil: timestamppb.New(end)}}})
	l.does("olga", &lockboxv1.Command{AggregateId: exposure, Action: &lockboxv1.Command_DiscloseExposure{
		DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: occurrence}}})
	for _, g := range r.gets("DisclosureTold", exposure) {
		if strings.Contains(g.body, demand) && time.Now().Before(end) {
			t.Errorf("before the embargo's end: %s", g.body)
		}
	}
	var order []string
	for _, g := range r.gets("DisclosureTold", demand) {
		if strings.HasSuffix(g.Subject, demand) {
			order = append(order, g.Type)
		}
	}
	const kind = "io.openlockbox.disclosure."
	if got := strings.Join(order, " "); got != kind+"LegalDemandDisclosed "+kind+"DisclosureTold" {
		t.Errorf("it is told of %s", got)
	}
}

// The keys are replaced: what was encrypted to the former key is still served. Whoever has the orchestrator's key, and
// so reads and writes events, opens nothing.
func TestR57TheKeysOfWebhooksAreReplaced(t *testing.T) {
	t.Parallel()
	l := hooked(t)
	before, after := receive(t, true), receive(t, true)
	l.does("grace", before.add(standard))
	before.gets("WebhookAdded", bank)
	dir := filepath.Join(l.config.Dir, "keys")
	must(t, sealed.Rotate(dir, "webhooks"))
	l.restart(0)
	hook := after.add(standard)
	l.does("grace", hook)
	after.gets("WebhookAdded", bank)
	before.until("told of the second", func(all []received) bool {
		return slices.ContainsFunc(all, func(g received) bool { return strings.Contains(g.body, hook.GetId()) })
	})
	// Without the newest key, what it is for stays closed.
	text, err := os.ReadFile(filepath.Join(dir, "webhooks.key"))
	must(t, err)
	_, former, _ := strings.Cut(string(text), "\n")
	old := filepath.Join(t.TempDir(), "old.key")
	must(t, os.WriteFile(old, []byte(former), 0o600))
	keys, err := sealed.ReadPrivate(config.SecretFile(old))
	must(t, err)
	opened := 0
	for _, e := range l.history(journal.Replay{Tenant: bank, Type: "WebhookAdded", Kind: "tenant"}) {
		f := e.Event.GetWebhookAdded()
		about := sealed.About{Purpose: "webhook", Tenant: bank, ID: f.GetWebhook().GetId()}
		if _, err := keys.Open(about, f.GetSealed()); err == nil {
			opened++
		}
		about.Tenant = health
		if _, err := keys.Open(about, f.GetSealed()); err == nil {
			t.Error("it opens for another customer")
		}
	}
	if opened != 1 {
		t.Errorf("the former key opens %d", opened)
	}
	l.noneOf(before, after)
}
