package identity_test

import (
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// The portal and the command line are different clients of most issuers, so a token is made out to one or the other.
func TestR65ATenantMayHaveSeveralAudiences(t *testing.T) {
	w := newWorld(t)
	several := proto.CloneOf(w.bankIssuer)
	several.Audiences, several.ClientId = []string{"lockbox-cli"}, "lockbox-portal"
	if err := identity.CheckTenantIssuer(several, nil); err != nil {
		t.Fatal(err)
	}
	for aud, accepted := range map[string]bool{
		audience: true, "lockbox-cli": true, "lockbox-portal": true, "mail": false,
	} {
		token := w.bank.sign(t, changed(grace(), "aud", aud))
		if _, err := w.verifier.Verify(token, several, now); (err == nil) != accepted {
			t.Errorf("%s: %v", aud, err)
		}
		if _, err := w.verifier.Verify(token, w.bankIssuer, now); (err == nil) != (aud == audience) {
			t.Errorf("%s, where there is one audience: %v", aud, err)
		}
	}
	for field, ti := range map[string]*lockboxv1.TenantIssuer{
		"audiences": {Audiences: []string{"a", ""}}, "client_id": {ClientId: "a\nb"},
		"private_key_jwt": {PrivateKeyJwt: true},
	} {
		ti.Url, ti.Audience, ti.Jwks = bankURL, audience, w.bankIssuer.GetJwks()
		r, _ := refusal.As(identity.CheckTenantIssuer(ti, nil))
		if r.GetField() != "create_tenant.issuer."+field {
			t.Errorf("%s: %v", field, r)
		}
	}
}

// While one issuer replaces another, or new keys old ones, both are accepted, and nobody else's.
func TestR65SeveralIssuersOfOneTenant(t *testing.T) {
	w := newWorld(t)
	other := newSigner(t, "b2", jose.ES256)
	rotated := &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, Jwks: jwks(t, other.public())}
	moved := &lockboxv1.TenantIssuer{Url: clinicURL, Audience: audience, Jwks: w.clinicIssuer.GetJwks()}
	old, fresh := w.bank.sign(t, grace()), other.sign(t, grace())
	elsewhere := w.clinic.sign(t, changed(grace(), "iss", clinicURL))
	for range 2 { // the second time from what is remembered
		for name, c := range map[string]struct {
			token   string
			issuers []*lockboxv1.TenantIssuer
			ok      bool
		}{
			"old keys beside new ones":  {old, []*lockboxv1.TenantIssuer{rotated, w.bankIssuer}, true},
			"new keys beside old ones":  {fresh, []*lockboxv1.TenantIssuer{rotated, w.bankIssuer}, true},
			"old keys after their end":  {old, []*lockboxv1.TenantIssuer{rotated}, false},
			"another issuer beside it":  {elsewhere, []*lockboxv1.TenantIssuer{rotated, moved, w.bankIssuer}, true},
			"an issuer that is neither": {elsewhere, []*lockboxv1.TenantIssuer{rotated, w.bankIssuer}, false},
			"no issuer at all":          {old, nil, false},
		} {
			by, err := w.verifier.VerifyAny(c.token, c.issuers, now)
			if (err == nil) != c.ok || err == nil && by.GetPerson().GetSubject() != "grace" {
				t.Errorf("%s: %v, %v", name, by, err)
			}
		}
	}
	_, err := w.verifier.VerifyAny(old, []*lockboxv1.TenantIssuer{moved, w.bankIssuer}, now.Add(2*time.Hour))
	if r, _ := refusal.As(err); r.GetMessage() != "has expired; sign in again" {
		t.Errorf("what is wrong with it is said: %v", err)
	}
}

func changed(claims object, name string, to any) object {
	claims[name] = to
	return claims
}
