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
	for _, url := range []string{bankURL, "http://127.0.0.1:8080/t/meadowbank", "http://localhost:8080", "http://[::1]:1/x", "https://login.example:8443/a/b"} {
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
	noKid := jwks(t, jose.JSONWebKey{Key: es.key.Public()})
	encryption := jwks(t, jose.JSONWebKey{Key: es.key.Public(), KeyID: "k", Use: "enc"})
	tests := []struct{ name, url, audience, jwks, field, rule string }{
		{"no url", "", audience, "", "url", "R13"},
		{"plain http", "http://login.meadowbank.example", audience, "", "url", "R13"},
		{"http on what only begins like loopback", "http://127.0.0.1.evil.example", audience, "", "url", "R13"},
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
		{"private key of an unknown kind", bankURL, audience, `{"keys":[{"kty":"OKP","crv":"Ed448","x":"AA","d":"AA","kid":"k"}]}`, "jwks", "R13"},
		{"key without kid", bankURL, audience, string(noKid), "jwks", "R13"},
		{"only a key for encryption", bankURL, audience, string(encryption), "jwks", "R13"},
		{"only a key of an unknown kind", bankURL, audience, `{"keys":[{"kty":"OKP","crv":"Ed448","x":"AA","kid":"k"}]}`, "jwks", "R13"},
		{"oversize", bankURL, audience, strings.Repeat(" ", 33<<10), "jwks", "R13"},
		{"the same kid twice", bankURL, audience, string(jwks(t, es.public(), es.public())), "jwks", "R13"},
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
			if r.GetField() != "create_tenant.issuer."+tt.field || r.GetRule() != tt.rule || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID {
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
