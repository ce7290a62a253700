package stack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/identity/jwks/glewlwydtest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
)

// From intent to access where neither the engineer's nor the customer's identity provider is ours (R13, R65).
func TestR13FromIntentToAccessWithIssuersThatAreNotOurs(t *testing.T) {
	t.Parallel()
	const harbour, subscription = "harbour", "harbour-production"
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		return k
	}
	provider, customer := glewlwydtest.Start(t), glewlwydtest.Start(t)
	for _, g := range []*glewlwydtest.Server{provider, customer} {
		g.Configure(key())
	}
	provider.Person("erin", "Erin Example", "erin@nimbus.example", "Nimbus Cloud", "support-engineers")
	customer.Person("gus", "Gus Grey", "gus@harbour.example", "Harbour Freight")
	token := func(g *glewlwydtest.Server, name string) string {
		id, _ := g.SignIn(name)
		return id
	}

	l := empty(t, request.DefaultTerms())
	source, err := jwks.New(jwks.Config{Issuer: provider.Issuer(), Now: time.Now})
	must(t, err)
	l.config.Issuers = append(l.config.Issuers, identity.Issuer{
		URL: provider.Issuer(), Audience: glewlwydtest.Audience, Source: source, Side: lockboxv1.Side_SIDE_PROVIDER,
		Claims: identity.Claims{Employer: "company", Groups: "roles",
			MultiFactor: identity.MultiFactor{Claim: "assurance", AMR: []string{"privileged"}},
			Isolated:    identity.IsolatedClaim{Claim: "assurance", Values: []string{"privileged"}}},
	})
	l.restart(0)

	gus := &lockboxv1.Person{Issuer: customer.Issuer(), Subject: subject(t, token(customer, "gus")),
		DisplayName: "Gus Grey", Email: "gus@harbour.example"}
	l.does("onboarding", &lockboxv1.Command{Tenant: harbour,
		Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: "Harbour Freight", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
			Issuer: &lockboxv1.TenantIssuer{Url: customer.Issuer(), Audience: glewlwydtest.Audience,
				JwksUrl: customer.Issuer() + "/jwks"},
			Administrator: gus,
		}}})
	l.does("onboarding", register(harbour, subscription))
	l.does("", &lockboxv1.Command{Tenant: harbour, Token: token(customer, "gus"),
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}})

	in := l.of(harbour, subscription)
	in.Token = token(provider, "erin")
	in.ResourceIds = []string{demo.Machine(subscription, "crane-1")}
	if o := l.submit(in); o.GetRefusal() != nil {
		t.Fatalf("%v", o.GetRefusal())
	}
	l.reachesOf(harbour, in.GetId(), request.CustomerNotified)

	decision := approve(in.GetId())
	decision.Tenant, decision.Token = harbour, token(customer, "gus")
	l.does("", decision)
	s := l.reachesOf(harbour, in.GetId(), request.Active)
	if who := s.Requester.GetPerson(); who.GetIssuer() != provider.Issuer() || who.GetDisplayName() != "Erin Example" {
		t.Errorf("asked by %v", who)
	}
	if v := l.verified(); len(v.Violations) > 0 {
		t.Errorf("audit verify finds %v", v.Violations)
	}
}

func subject(t *testing.T, token string) string {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	must(t, err)
	var claims jwt.Claims
	must(t, parsed.UnsafeClaimsWithoutVerification(&claims))
	return claims.Subject
}
