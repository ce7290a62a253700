package stack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// A tenant whose issuer publishes its keys: commands and queries of its people are verified with what is there, and
// while it cannot be had, nobody is recognised (R13, I11).
func TestATenantWhoseKeysAreFetched(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "k1",
		Algorithm: "ES256"}}})
	must(t, err)
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys) }))
	defer issuer.Close()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private},
		(&jose.SignerOptions{}).WithHeader("kid", "k1"))
	must(t, err)

	create := func(tenant, keysAt string) {
		t.Helper()
		l.does("onboarding", &lockboxv1.Command{Tenant: tenant,
			Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
				DisplayName: "Harbour Freight", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
				Issuer: &lockboxv1.TenantIssuer{Url: issuer.URL + "/" + tenant, Audience: "lockbox", JwksUrl: keysAt},
				Administrator: &lockboxv1.Person{Issuer: issuer.URL + "/" + tenant, Subject: "gus", DisplayName: "Gus",
					Email: "gus@harbour.example"},
			}}})
	}
	token := func(tenant string) string {
		t.Helper()
		token, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": issuer.URL + "/" + tenant, "aud": "lockbox", "sub": "gus", "exp": time.Now().Add(time.Hour).Unix(),
		}).Serialize()
		must(t, err)
		return token
	}
	enable := func(tenant string) *lockboxv1.Command {
		return &lockboxv1.Command{Tenant: tenant, Token: token(tenant),
			Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
	}

	create("harbour", issuer.URL+"/keys")
	reply := l.does("", enable("harbour"))
	data, err := proto.Marshal(&lockboxv1.Query{
		Tenant: "harbour", Token: token("harbour"), MinSequence: reply.GetSequence(),
		Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}},
	})
	must(t, err)
	var message *nats.Msg
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // the projector may still be starting
		message, err = l.client.Request(bus.QuerySubject("get_tenant"), data, patience)
		if !errors.Is(err, nats.ErrNoResponders) || time.Now().After(deadline) {
			break
		}
	}
	must(t, err)
	answer := new(lockboxv1.QueryReply)
	must(t, proto.Unmarshal(message.Data, answer))
	if answer.GetRefusal() != nil || answer.GetTenant() == nil {
		t.Errorf("the administrator asks for the tenant: %v", answer)
	}

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	create("lagoon", gone.URL+"/keys")
	if r := l.command("", enable("lagoon")).GetRefusal(); r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE ||
		r.GetField() != "token" {
		t.Errorf("keys that cannot be had: %v", r)
	}
}
