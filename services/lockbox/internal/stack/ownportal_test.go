package stack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/portal"
	"google.golang.org/protobuf/proto"
)

// withOwnPortals is a Lockbox on whose bus both customers' own portals have keys.
func withOwnPortals(t *testing.T) (l *lockbox, keys string) {
	t.Helper()
	l = closed(t, request.DefaultTerms(), devissuer.Config{})
	l.config.Host, l.config.Port = "127.0.0.1", -1
	keys = filepath.Join(l.config.Dir, "keys")
	for _, tenant := range []string{bank, health} {
		_, err := bus.LoadOrCreateKeys(keys, nil)
		must(t, err)
		_, err = bus.LoadOrCreateKey(keys, bus.CustomerPortal(tenant))
		must(t, err)
	}
	l.open()
	t.Cleanup(func() { l.close() })
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	return l, keys
}

func (l *lockbox) ownPortal(keys, tenant string) bus.Connection {
	id := bus.CustomerPortal(tenant)
	return bus.Connection{URL: l.stack.URL(), Identity: id, SeedFile: filepath.Join(keys, bus.SeedFile(id)),
		Log: l.config.Log}
}

// I9: who holds the key of a customer's own portal gets answers for this customer alone, with whatever token, and
// reaches nothing else on the bus.
//
// control: nist:AC-6
func TestACustomersOwnPortalIsForThatCustomerAlone(t *testing.T) {
	l, keys := withOwnPortals(t)
	denied := make(chan error, 32)
	c := l.ownPortal(keys, bank)
	nc, err := bus.Connect(c)
	must(t, err)
	l.conns = append(l.conns, nc)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err })
	caller := bus.Caller{Conn: nc, Timeout: 10 * time.Second}
	tenantOf := func(tenant, token string) error {
		_, err := caller.Ask(t.Context(), token, &lockboxv1.Query{Tenant: tenant,
			Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
		return err
	}
	must(t, tenantOf(bank, l.token("otto")))
	self, err := caller.Ask(t.Context(), l.token("otto"), &lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{
		GetSelf: &lockboxv1.GetSelf{}}})
	if err != nil || self.GetSelf().GetTenant() != bank {
		t.Errorf("who somebody is, who does not know their tenant: %v, %v", self, err)
	}

	refused := func(what string, err error) {
		t.Helper()
		r, is := refusal.As(err)
		if !is || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN || r.GetRule() != "I9" {
			t.Errorf("%s: %v", what, err)
		}
	}
	others := l.token("hana")
	refused("another customer, with a token of theirs", tenantOf(health, others))
	refused("another customer, with a token of its own", tenantOf(health, l.token("otto")))
	refused("no customer, with a token of the provider's", tenantOf("", l.token("erin")))
	refused("its customer, with a token of the provider's", tenantOf(bank, l.token("erin")))
	_, err = caller.Ask(t.Context(), others,
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	refused("who another customer's person is", err)
	_, err = caller.Ask(t.Context(), "", &lockboxv1.Query{Tenant: health, Ask: &lockboxv1.Query_GetSignIn{
		GetSignIn: &lockboxv1.GetSignIn{}}})
	refused("where another customer signs in", err)
	for what, of := range map[string]struct {
		tenant, token string
		c             *lockboxv1.Command
	}{
		"another customer's settings": {health, others, &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
			DisableLockbox: &lockboxv1.DisableLockbox{Reason: "x"}}}},
		"its own, by the provider": {bank, l.token("onboarding"), &lockboxv1.Command{
			Action: &lockboxv1.Command_ChangeSupportPlan{ChangeSupportPlan: &lockboxv1.ChangeSupportPlan{
				Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_BASIC}}}},
	} {
		of.c.Tenant = of.tenant
		_, err := caller.Do(t.Context(), of.token, of.c)
		refused(what, err)
	}

	// Only a portal says of what its pages are made.
	client := bus.Caller{Conn: l.client, Timeout: 10 * time.Second}
	if _, err := client.Do(t.Context(), l.token("grace"), &lockboxv1.Command{Tenant: bank, PortalSha256: make([]byte, 32),
		Action: &lockboxv1.Command_DisableLockbox{DisableLockbox: &lockboxv1.DisableLockbox{Reason: "x"}},
	}); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) {
		t.Errorf("the command line says that it is a portal: %v", err)
	}

	// The subject says whose it is, and nobody can send under another's.
	id, err := uuid.NewV7()
	must(t, err)
	forged, err := proto.Marshal(&lockboxv1.Command{Id: id.String(), Tenant: health, Token: others,
		Action: &lockboxv1.Command_DisableLockbox{DisableLockbox: &lockboxv1.DisableLockbox{Reason: "x"}}})
	must(t, err)
	for _, subject := range []string{
		bus.CommandSubject(bus.Portal, "disable_lockbox"), bus.CommandSubject(bus.CustomerPortal(health), "disable_lockbox"),
		bus.QuerySubject(bus.Client, "get_tenant"), "lockbox.intent.portal." + bank,
		"LB.API.$KV." + bus.SessionBucket + ".x", "LB.API.STREAM.MSG.GET.KV_" + bus.SessionBucket,
		"LB.API.STREAM.MSG.GET." + bus.StreamEvents, "LB.API.DIRECT.GET." + bus.StreamEvents,
		"lockbox.access." + bank + ".portal.PORTAL.2026-11-28",
		"lockbox.event." + bank + ".tenant." + bank + ".9.LockboxDisabled",
	} {
		must(t, nc.Publish(subject, forged))
		must(t, nc.Flush())
		isDenied(t, denied, "publishing to "+subject)
	}
	changed, err := bus.ChangedSubject(health)
	must(t, err)
	for _, subject := range []string{bus.AnyChanged, changed, bus.AnyCommand, "_INBOX.>", "_INBOX.portal.>"} {
		_, err := nc.Subscribe(subject, func(*nats.Msg) {})
		must(t, err)
		must(t, nc.Flush())
		isDenied(t, denied, "listening to "+subject)
	}
}

func isDenied(t *testing.T, denied <-chan error, what string) {
	t.Helper()
	select {
	case err := <-denied:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(patience):
		t.Errorf("%s was not refused", what)
	}
}

// post sends JSON, once.
func post(t *testing.T, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	id, err := uuid.NewV7()
	must(t, err)
	r.Header.Set("Idempotency-Key", id.String())
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer.StatusCode, string(said)
}

// A portal of the customer's own serves its people, and turns others' away.
func TestACustomersOwnPortalServes(t *testing.T) {
	l, keys := withOwnPortals(t)
	rt, err := service.Connect(t.Context(), l.ownPortal(keys, bank), l.config.Metrics.For("own portal"), nil)
	must(t, err)
	defer rt.Close()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	url := "http://" + listener.Addr().String()
	c := portal.Config{Listen: listener.Addr().String(), URL: url, Provider: devissuer.Provider, Customer: bank}
	for _, o := range demo.Organisations(l.issuer) {
		if o.Tenant == bank {
			c.Organisations = append(c.Organisations, o)
		}
	}
	must(t, c.Check())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- portal.Serve(ctx, rt, c, listener) }()
	defer func() {
		stop()
		must(t, <-ended)
	}()
	<-rt.Listening()
	get := func(path, token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		must(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		must(t, err)
		return answer.StatusCode, string(body)
	}
	if code, page := get("/signin", ""); code != http.StatusOK || !strings.Contains(page, "<form") {
		t.Errorf("the page to sign in: %d", code)
	}
	code, list := get("/lockbox/v1/requests", l.token("otto"))
	if code != http.StatusOK || !json.Valid([]byte(list)) {
		t.Errorf("the customer's own: %d, %s", code, list)
	}
	// What comes of it says of which pages it came, by the portal's account.
	parts, sum, err := portal.Build()
	must(t, err)
	for _, part := range parts {
		if part.Path == "" {
			continue
		}
		if code, body := get(part.Path, ""); code != http.StatusOK || sha256.Sum256([]byte(body)) != part.SHA256 {
			t.Errorf("%s: %d, and not as it is built", part.Name, code)
		}
	}
	asked := l.requested(l.intent("erin"), request.CustomerNotified)
	if code, body := post(t, url+"/lockbox/v1/requests/"+asked+"/deny", l.token("otto"), `{"reason": "Not now."}`); code !=
		http.StatusOK {
		t.Errorf("denying: %d, %s", code, body)
	}
	l.reaches(asked, request.Denied)
	entries, err := l.watch.LoadAtLeader(t.Context(), aggregate.Request(bank, asked))
	must(t, err)
	for _, e := range entries {
		if d := e.Event; d.GetCustomerDenied() != nil && !bytes.Equal(d.GetPortalSha256(), sum[:]) {
			t.Errorf("it came of %x, not of %x", d.GetPortalSha256(), sum)
		}
	}
	for _, who := range []string{"hana", "erin"} {
		if code, body := get("/lockbox/v1/requests", l.token(who)); code < 400 {
			t.Errorf("%s: %d, %s", who, code, body)
		}
	}
}
