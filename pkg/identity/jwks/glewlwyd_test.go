package jwks_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/identity/jwks/glewlwydtest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// itsKey is a key that glewlwyd publishes in a form of its own: from a coordinate that begins with a zero byte, as in
// one key of 128, it drops that byte, although RFC 7518 §6.2.1.2 requires all 32.
func itsKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	for {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		public, err := k.PublicKey.Bytes()
		must(t, err)
		if x, y := public[1:33], public[33:]; x[0] == 0 || y[0] == 0 {
			return k
		}
	}
}

func TestAgainstAnIssuerThatIsNotOurs(t *testing.T) {
	g := glewlwydtest.Start(t)
	g.Configure(itsKey(t))
	g.Person("erin", "Erin Example", "erin@nimbus.example", "Nimbus Cloud", "support-engineers")
	var later time.Duration
	source, err := jwks.New(jwks.Config{Issuer: g.Issuer(), Now: func() time.Time { return time.Now().Add(later) }})
	must(t, err)
	iss := identity.Issuer{
		URL: g.Issuer(), Audience: glewlwydtest.Audience, Source: source, Side: lockboxv1.Side_SIDE_PROVIDER,
		Claims: identity.Claims{
			Employer: "company", Groups: "roles",
			Isolated: identity.IsolatedClaim{Claim: "assurance", Values: []string{"privileged"}},
		},
	}
	verifier, err := identity.NewVerifier([]identity.Issuer{iss})
	must(t, err)
	first, access := g.SignIn("erin")

	a, err := verifier.Verify(first, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := a.GetPerson()
	if p.GetIssuer() != g.Issuer() || p.GetSubject() == "" || p.GetDisplayName() != "Erin Example" ||
		p.GetEmail() != "erin@nimbus.example" {
		t.Errorf("the person is %v", p)
	}
	if a.GetEmployer() != "Nimbus Cloud" || !cmp.Equal(a.GetGroups(), []string{"support-engineers"}) ||
		!a.GetIsolatedIdentity() {
		t.Errorf("employer, groups and isolation: %v", a)
	}
	if a.GetMultiFactor() {
		t.Error("a password counts as two factors")
	}
	_, err = verifier.Verify(access, nil, time.Now())
	if r, _ := refusal.As(err); r.GetCode() != unauthenticated {
		t.Errorf("an access token for others: %v", err)
	}

	// Its keys change while we run.
	g.Rotate(itsKey(t))
	second, _ := g.SignIn("erin")
	later = jwks.RenewInterval
	if _, err := verifier.Verify(second, nil, time.Now()); err != nil {
		t.Errorf("signed with its new key: %v", err)
	}
	_, err = verifier.Verify(first, nil, time.Now())
	if r, _ := refusal.As(err); r.GetCode() != unauthenticated {
		t.Errorf("signed with the key that it has withdrawn: %v", err)
	}

	// And then it is down.
	g.Stop()
	later += jwks.RenewInterval
	if err := source.Refresh(t.Context()); err == nil {
		t.Error("it answers although it is down")
	}
	if _, err := verifier.Verify(second, nil, time.Now()); err != nil {
		t.Errorf("while it is down: %v", err)
	}
}
