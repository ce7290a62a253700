package stack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// ownIssuer is an issuer with keys at an address, for tenants beside the demo's.
type ownIssuer struct {
	*httptest.Server
	l      *lockbox
	signer jose.Signer
	// jwks is its key set.
	jwks []byte
}

// ownIssuer starts an issuer that serves its keys like this; nil: as it should.
func (l *lockbox) ownIssuer(serve http.HandlerFunc) *ownIssuer {
	l.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(l, err)
	i := &ownIssuer{l: l}
	i.jwks, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "k1",
		Algorithm: "ES256"}}})
	must(l, err)
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private},
		(&jose.SignerOptions{}).WithHeader("kid", "k1"))
	must(l, err)
	if serve == nil {
		serve = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(i.jwks) }
	}
	i.Server = httptest.NewServer(serve)
	l.Cleanup(i.Close)
	return i
}

// create creates a tenant whose keys are at an address.
func (i *ownIssuer) create(tenant, keysAt string) {
	i.l.Helper()
	i.l.does("onboarding", &lockboxv1.Command{Tenant: tenant,
		Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: "Harbour Freight", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
			Issuer: &lockboxv1.TenantIssuer{Url: i.URL + "/" + tenant, Audience: "lockbox", JwksUrl: keysAt},
			Administrator: &lockboxv1.Person{Issuer: i.URL + "/" + tenant, Subject: "gus", DisplayName: "Gus",
				Email: "gus@harbour.example"},
		}}})
}

// token is the administrator's.
func (i *ownIssuer) token(tenant string) string {
	i.l.Helper()
	token, err := jwt.Signed(i.signer).Claims(map[string]any{
		"iss": i.URL + "/" + tenant, "aud": "lockbox", "sub": "gus", "exp": time.Now().Add(time.Hour).Unix(),
	}).Serialize()
	must(i.l, err)
	return token
}

func (i *ownIssuer) enable(tenant string) *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: tenant, Token: i.token(tenant),
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
}

// ask asks for a tenant.
func (l *lockbox) ask(tenant, token string, minSequence uint64) *lockboxv1.QueryReply {
	l.Helper()
	return l.query(&lockboxv1.Query{Tenant: tenant, Token: token, MinSequence: minSequence,
		Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
}

// A tenant whose issuer publishes its keys: commands and queries of its people are verified with what is there, and
// while it cannot be had, nobody is recognised (R13, I11).
func TestATenantWhoseKeysAreFetched(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	issuer := l.ownIssuer(nil)
	issuer.create("harbour", issuer.URL+"/keys")
	reply := l.does("", issuer.enable("harbour"))
	answer := l.ask("harbour", issuer.token("harbour"), reply.GetSequence())
	if answer.GetRefusal() != nil || answer.GetTenant() == nil {
		t.Errorf("the administrator asks for the tenant: %v", answer)
	}

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	issuer.create("lagoon", gone.URL+"/keys")
	if r := l.command("", issuer.enable("lagoon")).GetRefusal(); r.GetField() != "token" ||
		r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
		t.Errorf("keys that cannot be had: %v", r)
	}
}

type refusable interface {
	proto.Message
	GetRefusal() *lockboxv1.Refusal
}

// A tenant's keys are asked for and never come, while its people send more commands and queries than are handled at
// once. Another's approver, who has just signed in, decides and asks before they are answered.
func TestAKeyEndpointThatHangsHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	asked, hang := make(chan struct{}, 100), make(chan struct{})
	issuer := l.ownIssuer(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	issuer.create("lagoon", issuer.URL+"/keys")

	const calls = 600
	var done sync.WaitGroup
	crowd := func(subject string, question proto.Message, answer func() refusable) *atomic.Int32 {
		waiting := new(atomic.Int32)
		waiting.Store(calls)
		data, err := proto.Marshal(question)
		must(t, err)
		client := l.connect(bus.Client)
		for range calls {
			done.Go(func() {
				m, err := client.Request(subject, data, patience)
				reply := answer()
				if err == nil {
					err = proto.Unmarshal(m.Data, reply)
				}
				if r := reply.GetRefusal(); err != nil || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
					t.Errorf("without keys: %v, %v", r, err)
				}
				waiting.Add(-1)
			})
		}
		return waiting
	}
	l.ask(bank, l.token("otto"), 0) // the projector answers
	command := issuer.enable("lagoon")
	command.Id = newID(t)
	commands := crowd(bus.CommandSubject(bus.Client, "enable_lockbox"), command,
		func() refusable { return new(lockboxv1.CommandReply) })
	queries := crowd(bus.QuerySubject("get_tenant"), &lockboxv1.Query{Tenant: "lagoon", Token: issuer.token("lagoon"),
		Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}},
		func() refusable { return new(lockboxv1.QueryReply) })
	<-asked // by the orchestrator or the projector
	<-asked // by the other

	l.does("otto", approve(id))
	if answer := l.ask(bank, l.token("otto"), 0); answer.GetRefusal() != nil {
		t.Errorf("another tenant's query: %v", answer.GetRefusal())
	}
	if c, q := commands.Load(), queries.Load(); c == 0 || q == 0 {
		t.Errorf("another tenant's were answered only after the key endpoint had been given up: %d and %d wait", c, q)
	}
	close(hang)
	done.Wait()
	l.reaches(id, request.Active)
}
