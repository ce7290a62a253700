package identity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func TestIssuersThatATenantMayHave(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{bankURL, "http://127.0.0.1:8080/t/meadowbank", "http://localhost:8080",
		"http://[::1]:1/x", "https://login.example:8443/a/b"} {
		ti := &lockboxv1.TenantIssuer{Url: url, Audience: audience, Jwks: w.bankIssuer.GetJwks()}
		if err := identity.CheckTenantIssuer(ti, []identity.Issuer{w.issuer}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestIssuersThatATenantMustNotHave(t *testing.T) {
	w := newWorld(t)
	good := w.bankIssuer.GetJwks()
	es := newSigner(t, "k", jose.ES256)
	private := jwks(t, jose.JSONWebKey{Key: es.key, KeyID: "k", Algorithm: "ES256"})
	symmetric := jwks(t, jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "k", Algorithm: "HS256"})
	encryption := jwks(t, jose.JSONWebKey{Key: es.key.Public(), KeyID: "k", Use: "enc"})
	tests := []struct{ name, url, audience, jwks, field, rule string }{
		{"no url", "", audience, "", "url", "R13"},
		{"the provider's by http", "http://login.nimbus.example", audience, "", "url", "I10"},
		{"the provider's by http with the port of https", "http://login.nimbus.example:443", audience, "", "url", "I10"},
		{"another scheme", "ftp://login.meadowbank.example", audience, "", "url", "R13"},
		{"user in it", "https://login.nimbus.example@evil.example", audience, "", "url", "R13"},
		{"query", bankURL + "?x=1", audience, "", "url", "R13"},
		{"fragment", bankURL + "#", audience, "", "url", "R13"},
		{"look-alike letters", "https://lоgin.nimbus.example", audience, "", "url", "R13"},
		{"too long", bankURL + strings.Repeat("x", 256), audience, "", "url", "R13"},
		{"the provider's", providerURL, audience, "", "url", "I10"},
		{"the provider's with a slash", providerURL + "/", audience, "", "url", "I10"},
		{"the provider's in capitals", "HTTPS://LOGIN.NIMBUS.EXAMPLE", audience, "", "url", "I10"},
		{"the provider's with its port", providerURL + ":443", audience, "", "url", "I10"},
		{"the provider's by a detour", providerURL + "/a/..", audience, "", "url", "I10"},
		{"the provider's with a final dot", "https://login.nimbus.example.", audience, "", "url", "I10"},
		{"no audience", bankURL, "", "", "audience", "R13"},
		{"audience with a line feed", bankURL, "a\nb", "", "audience", "R13"},
		{"no keys", bankURL, audience, `{"keys":[]}`, "jwks", "R13"},
		{"no key set", bankURL, audience, `hello`, "jwks", "R13"},
		{"private key", bankURL, audience, string(private), "jwks", "R13"},
		{"symmetric key", bankURL, audience, string(symmetric), "jwks", "R13"},
		{"private key of an unknown kind", bankURL, audience,
			`{"keys":[{"kty":"OKP","crv":"Ed448","x":"AA","d":"AA","kid":"k"}]}`, "jwks", "R13"},
		{"only a key for encryption", bankURL, audience, string(encryption), "jwks", "R13"},
		{"only a key of an unknown kind", bankURL, audience, `{"keys":[{"kty":"OKP","crv":"Ed448","x":"AA","kid":"k"}]}`,
			"jwks", "R13"},
		{"oversize", bankURL, audience, strings.Repeat(" ", identity.MaxJWKS+1), "jwks", "R13"},
		{"a good key beside a private one", bankURL, audience, string(jwks(t, w.bank.public(),
			jose.JSONWebKey{Key: es.key, KeyID: "k", Algorithm: "ES256"})), "jwks", "R13"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ti := &lockboxv1.TenantIssuer{Url: tt.url, Audience: tt.audience, Jwks: []byte(tt.jwks)}
			if tt.jwks == "" {
				ti.Jwks = good
			}
			r, ok := refusal.As(identity.CheckTenantIssuer(ti, []identity.Issuer{w.issuer}))
			if !ok {
				t.Fatal("accepted")
			}
			if r.GetField() != "create_tenant.issuer."+tt.field || r.GetRule() != tt.rule ||
				r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID {
				t.Errorf("refused by %v", r)
			}
			if strings.Contains(r.GetMessage(), "0123456789") {
				t.Errorf("%q repeats the key", r.GetMessage())
			}
		})
	}
	if err := identity.CheckTenantIssuer(nil, nil); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) {
		t.Errorf("no issuer at all: %v", err)
	}
}

func TestWhereATenantsKeysMayBe(t *testing.T) {
	w := newWorld(t)
	keys := w.bankIssuer.GetJwks()
	for _, c := range []struct {
		url, at string
		jwks    []byte
		ok      bool
	}{
		{bankURL, bankURL + "/keys", nil, true},
		{bankURL, "https://keys.example/meadowbank", nil, true},
		{"http://adfs.meadowbank.example/adfs/services/trust", bankURL + "/keys", nil, true},
		{"http://adfs.meadowbank.example/adfs/services/trust", "http://adfs.meadowbank.example/keys", nil, false},
		{"http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example/keys", nil, false},
		{"http://127.0.0.1:7070/t/bank", "http://127.0.0.1:7070/t/bank/jwks", nil, true},
		{bankURL, bankURL + "/keys", keys, false},
		{bankURL, "http://login.meadowbank.example/keys", nil, false},
		{bankURL, "http://127.0.0.1:8080/keys", nil, false},
		{bankURL, "file:///etc/passwd", nil, false},
		{bankURL, "https://user@keys.example", nil, false},
		{bankURL, "keys.example", nil, false},
	} {
		err := identity.CheckTenantIssuer(&lockboxv1.TenantIssuer{Url: c.url, Audience: audience, Jwks: c.jwks,
			JwksUrl: c.at}, []identity.Issuer{w.issuer})
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.at, err)
		}
		if r, _ := refusal.As(err); !c.ok && (r.GetField() != "create_tenant.issuer.jwks_url" || r.GetRule() != "R13") {
			t.Errorf("%s: %v", c.at, err)
		}
	}
}

// source is a key set that changes when it is told to.
type source struct {
	keys    *identity.KeySet
	next    []byte
	renewed int
}

func (s *source) Keys() *identity.KeySet { return s.keys }

func (s *source) Renew() *identity.KeySet {
	s.renewed++
	if set, err := identity.ParseKeys(s.next); err == nil {
		s.keys = set
	}
	return s.keys
}

func TestATenantsKeysAreFetchedFromItsAddressOnly(t *testing.T) {
	w := newWorld(t)
	const at = bankURL + "/keys"
	registered := &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, JwksUrl: at}
	token := w.bank.sign(t, grace())
	_, err := w.verifier.Verify(token, registered, now)
	refused(t, err, "not fetched here") // nobody said how

	const elsewhere = "https://keys.example/meadowbank"
	published, others := &source{}, &source{next: jwks(t, newSigner(t, "b3", jose.ES256).public())}
	w.verifier.FetchTenantKeys(func(ti *lockboxv1.TenantIssuer) (identity.Source, error) {
		if ti.GetUrl() != bankURL {
			t.Errorf("asked for the keys of %s", ti.GetUrl())
		}
		return map[string]identity.Source{at: published, elsewhere: others}[ti.GetJwksUrl()], nil
	})
	_, err = w.verifier.Verify(token, registered, now)
	if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
		t.Errorf("its keys cannot be had: %v", err)
	}
	published.next = w.bankIssuer.GetJwks()
	for range 2 {
		if got, err := w.verifier.Verify(token, registered, now); err != nil || got.GetSide() != lockboxv1.Side_SIDE_TENANT {
			t.Errorf("%v, %v", got, err)
		}
	}
	if published.renewed != 2 {
		t.Errorf("its keys were looked for %d times", published.renewed)
	}
	// The same issuer with a key set, or with keys elsewhere, must vouch anew.
	_, err = w.verifier.Verify(token, &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience,
		Jwks: jwks(t, newSigner(t, "b2", jose.ES256).public())}, now)
	refused(t, err, "`kid`")
	if _, err := w.verifier.Verify(token, registered, now); err != nil {
		t.Error(err)
	}
	_, err = w.verifier.Verify(token, &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, JwksUrl: elsewhere}, now)
	refused(t, err, "`kid`")
	// Its key is withdrawn: what was verified with it counts no more.
	next := newSigner(t, "b2", jose.ES256)
	published.next = jwks(t, next.public())
	published.Renew()
	_, err = w.verifier.Verify(token, registered, now)
	refused(t, err, "`kid`")
	if _, err := w.verifier.Verify(next.sign(t, grace()), registered, now); err != nil {
		t.Error(err)
	}
	// Provider's tokens and other tenants' are what they were.
	if _, err := w.verifier.Verify(w.provider.sign(t, erin()), registered, now); err != nil {
		t.Error(err)
	}
	_, err = w.verifier.Verify(w.clinic.sign(t, grace().with(object{"iss": clinicURL})), registered, now)
	refused(t, err, "not trusted here")
}

// Real issuers publish keys for other purposes beside the ones that sign; those are passed over.
func TestKeysForOtherPurposesAreNoHindrance(t *testing.T) {
	w := newWorld(t)
	enc := newSigner(t, "enc", jose.RS256)
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	mixed := jwks(t, w.bank.public(), jose.JSONWebKey{Key: enc.key.Public(), KeyID: "enc", Use: "enc"})
	if err := json.Unmarshal(mixed, &set); err != nil {
		t.Fatal(err)
	}
	set.Keys = append(set.Keys, json.RawMessage(`{"kty":"OKP","crv":"Ed448","x":"AA","kid":"k"}`))
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	ti := &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, Jwks: raw}
	if err := identity.CheckTenantIssuer(ti, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.verifier.Verify(w.bank.sign(t, grace()), ti, now); err != nil {
		t.Error(err)
	}
	signedWithEnc := signer{"enc", jose.RS256, enc.key}.sign(t, grace())
	_, err = w.verifier.Verify(signedWithEnc, ti, now)
	refused(t, err, "`kid`")
}
