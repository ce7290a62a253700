package identity_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// refused checks that err is a refusal of the token that says why, and repeats none of the token's content.
func refused(t *testing.T, err error, why string) {
	t.Helper()
	r, ok := refusal.As(err)
	if !ok {
		t.Fatalf("want a refusal, got %v", err)
	}
	if r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED || r.GetField() != "token" || r.GetRule() == "" {
		t.Errorf("refusal %v: want UNAUTHENTICATED for token with a rule", r)
	}
	for _, tag := range tenant.Languages {
		if reason.Sentence(tag, r.GetCodedReason()) == "" {
			t.Errorf("%q has no words in %s", r.GetMessage(), tag)
		}
	}
	if !strings.Contains(r.GetMessage(), why) {
		t.Errorf("refused because %q, want %q", r.GetMessage(), why)
	}
	for _, secret := range []string{"erin", "grace", "mallory", "evil"} {
		if strings.Contains(strings.ToLower(r.GetMessage()), secret) {
			t.Errorf("%q repeats %q from the token", r.GetMessage(), secret)
		}
	}
}

// control: nist:AU-3, nist:PS-7
func TestAProviderTokenBecomesAnActor(t *testing.T) {
	w := newWorld(t)
	token := w.provider.sign(t, erin().with(object{"isolated_identity": true}))
	sum := sha256.Sum256([]byte(token))
	want := &lockboxv1.Actor{
		Side: lockboxv1.Side_SIDE_PROVIDER,
		Person: &lockboxv1.Person{
			Issuer: providerURL, Subject: "erin-0001", DisplayName: "Erin Example", Email: "erin@nimbus.example", Language: "en",
		},
		Employer: "Nimbus Cloud", Groups: []string{"support-engineers"}, MultiFactor: true, IsolatedIdentity: true,
		TokenSha256: sum[:],
	}
	for range 2 { // the second time from memory
		for _, tenant := range []*lockboxv1.TenantIssuer{nil, w.bankIssuer} {
			got, err := w.verifier.Verify(token, tenant, now)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
				t.Error(d)
			}
			got.Person.Subject = "changed by its owner" // must not reach the next caller
		}
	}
}

func TestATenantTokenHasNoEmployerAndNoGroups(t *testing.T) {
	w := newWorld(t)
	got, err := w.verifier.Verify(w.bank.sign(t, grace()), w.bankIssuer, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.GetSide() != lockboxv1.Side_SIDE_TENANT || got.GetEmployer() != "" || len(got.GetGroups()) != 0 ||
		got.GetMultiFactor() {
		t.Errorf("got %v", got)
	}
	if p := got.GetPerson(); p.GetIssuer() != bankURL || p.GetSubject() != "grace" || p.GetLanguage() != "fr" {
		t.Errorf("got %v", p)
	}
}

func TestEachAlgorithmOfTheListVerifies(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA} {
		s := newSigner(t, "k", alg)
		iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: jwks(t, s.public()),
			Side: lockboxv1.Side_SIDE_PROVIDER}
		if _, err := verify(t, s.sign(t, erin()), iss, now); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestTypesOfToken(t *testing.T) {
	w := newWorld(t)
	for typ, ok := range map[any]bool{nil: true, "JWT": true, "jwt": true, "at+jwt": true, "AT+JWT": true,
		"application/at+jwt": true, "Application/JWT": true, "application/application/jwt": false, "logout+jwt": false,
		"dpop+jwt": false, "": false, 7: false} {
		_, err := w.verifier.Verify(w.provider.sign(t, erin(), object{"typ": typ}), nil, now)
		if ok && err != nil {
			t.Errorf("typ %v: %v", typ, err)
		}
		if !ok {
			refused(t, err, "typ")
		}
	}
}

// control: nist:IA-2
func TestTimesAreCheckedToTheNanosecond(t *testing.T) {
	w := newWorld(t)
	token := func(claim string) string { return w.provider.sign(t, erin().with(object{claim: now.Unix()})) }
	tests := []struct {
		claim  string
		at     time.Time
		reason string // empty: accepted
	}{
		{"exp", now.Add(-1), ""},
		{"exp", now, "has expired"},
		{"exp", now.Add(1), "has expired"},
		{"nbf", now.Add(-identity.Leeway - 1), "not valid yet"},
		{"nbf", now.Add(-identity.Leeway), ""},
		{"nbf", now, ""},
		{"iat", now.Add(-identity.Leeway - 1), "issued in the future"},
		{"iat", now.Add(-identity.Leeway), ""},
		{"auth_time", now.Add(-identity.Leeway - 1), "sign-in in the future"},
		{"auth_time", now.Add(-identity.Leeway), ""},
	}
	for _, tt := range tests {
		tok := token(tt.claim)
		for _, how := range []string{"first", "remembered"} {
			_, err := w.verifier.Verify(tok, nil, tt.at)
			if tt.reason == "" && err != nil {
				t.Errorf("%s at %v, %s: %v", tt.claim, tt.at.Sub(now), how, err)
			}
			if tt.reason != "" {
				refused(t, err, tt.reason)
			}
		}
	}
}

func TestAnActorSaysWhenTheyProvedWhoTheyAre(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		says any
		want *timestamppb.Timestamp
	}{
		{nil, nil}, // when the token was issued says nothing about the sign-in
		{now.Add(-time.Hour).Unix(), timestamppb.New(now.Add(-time.Hour))},
		{float64(now.Unix()) - 0.5, timestamppb.New(now.Add(-time.Second))},
		{"yesterday", nil}, {0, nil}, {object{}, nil}, // no time is no fresh sign-in
	} {
		a, err := w.verifier.Verify(w.provider.sign(t, erin().with(object{"auth_time": c.says})), nil, now)
		if err != nil || !proto.Equal(a.GetAuthenticatedAt(), c.want) {
			t.Errorf("auth_time %v: %v, %v", c.says, a.GetAuthenticatedAt(), err)
		}
	}
}

func TestARememberedTokenStillExpires(t *testing.T) {
	w := newWorld(t)
	token := w.provider.sign(t, erin())
	if _, err := w.verifier.Verify(token, nil, now); err != nil {
		t.Fatal(err)
	}
	_, err := w.verifier.Verify(token, nil, now.Add(time.Hour))
	refused(t, err, "has expired")
	if _, err := w.verifier.Verify(token, nil, now); err != nil {
		t.Errorf("judged as of an earlier time it is good: %v", err)
	}
}

func TestClaimsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name    string
		changes object
		why     string
	}{
		{"other audience", object{"aud": "another-service"}, "`aud`"},
		{"no audience", object{"aud": nil}, "`aud`"},
		{"empty audience list", object{"aud": []string{}}, "`aud`"},
		{"audience of the wrong kind", object{"aud": 7}, "malformed"},
		{"other issuer", object{"iss": "https://evil.example"}, "not trusted here"},
		{"issuer with a slash more", object{"iss": providerURL + "/"}, "not trusted here"},
		{"issuer in capitals", object{"iss": strings.ToUpper(providerURL)}, "not trusted here"},
		{"no issuer", object{"iss": nil}, "not trusted here"},
		{"no exp", object{"exp": nil}, "`exp`"},
		{"exp as text", object{"exp": "tomorrow"}, "malformed"},
		{"exp beyond all time", object{"exp": 1e300}, "malformed"},
		{"negative exp", object{"exp": -1}, "malformed"},
		{"no sub", object{"sub": nil}, "`sub`"},
		{"long sub", object{"sub": strings.Repeat("x", 256)}, "`sub`"},
		{"sub with a control character", object{"sub": "erin\n"}, "`sub`"},
		{"sub in look-alike letters", object{"sub": "еrin"}, "`sub`"},
		{"sub with a space at its end", object{"sub": "erin "}, "`sub`"},
		{"employer with a bidi override", object{"employer": "\u2067Nimbus"}, "`employer`"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.verifier.Verify(w.provider.sign(t, erin().with(tt.changes)), nil, now)
			refused(t, err, tt.why)
		})
	}
}

// control: nist:IA-2
func TestMultiFactorIsReadFromAmrOnly(t *testing.T) {
	w := newWorld(t)
	for _, c := range []object{{"amr": nil}, {"amr": []string{"pwd"}}, {"amr": []string{"MFA"}},
		{"amr": nil, "multi_factor": true}} {
		got, err := w.verifier.Verify(w.provider.sign(t, erin().with(c)), nil, now)
		if err != nil || got.GetMultiFactor() {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
}

func TestLanguageAndNameOfAPerson(t *testing.T) {
	w := newWorld(t)
	for locale, want := range map[any]string{"en": "en", "fr-CA": "fr", "ja_JP": "ja", "JA": "ja", "de": "", "": "",
		"french": "", nil: ""} {
		got, err := w.verifier.Verify(w.provider.sign(t, erin().with(object{"locale": locale})), nil, now)
		if err != nil || got.GetPerson().GetLanguage() != want {
			t.Errorf("%v: %q, %v", locale, got.GetPerson().GetLanguage(), err)
		}
	}
	got, err := w.verifier.Verify(w.provider.sign(t, erin().with(object{"name": "佐藤 花", "email": nil})), nil, now)
	if err != nil || got.GetPerson().GetDisplayName() != "佐藤 花" || got.GetPerson().GetEmail() != "" {
		t.Errorf("%v, %v", got, err)
	}
	got, err = w.verifier.Verify(w.provider.sign(t, erin().with(object{"name": nil})), nil, now)
	if err != nil || got.GetPerson().GetDisplayName() != "erin-0001" {
		t.Errorf("without a name people are shown by their subject: %v, %v", got, err)
	}
}

func TestGroupsThatMatterAreConfigurable(t *testing.T) {
	w := newWorld(t)
	w.issuer.Groups = []string{"everybody"}
	got, err := verify(t, w.provider.sign(t,
		erin().with(object{"groups": []string{"x", "everybody", "everybody", "support-engineers"}})), w.issuer, now)
	if err != nil || !cmp.Equal(got.GetGroups(), []string{"everybody"}) {
		t.Errorf("%v, %v", got.GetGroups(), err)
	}
}

// control: nist:IA-2, soc2:CC6.1
func TestForgeriesAreRefused(t *testing.T) {
	w := newWorld(t)
	good := w.provider.sign(t, erin())
	parts := strings.Split(good, ".")
	mallory := newSigner(t, "p1", jose.ES256)
	rsaSigner := newSigner(t, "r1", jose.RS256)
	both := identity.Issuer{
		URL: providerURL, Audience: audience, Side: lockboxv1.Side_SIDE_PROVIDER,
		JWKS: jwks(t, w.provider.public(), rsaSigner.public()),
	}
	b64 := base64.RawURLEncoding.EncodeToString
	payload, err := json.Marshal(erin().with(object{"sub": "mallory"}))
	if err != nil {
		t.Fatal(err)
	}
	hs := func(kid string, secret []byte) string {
		in := b64(fmt.Appendf(nil, `{"alg":"HS256","kid":%q,"typ":"JWT"}`, kid)) + "." + b64(payload)
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(in))
		return in + "." + b64(m.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(rsaSigner.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	last := parts[2][:len(parts[2])-2] + "AA"
	tests := []struct{ name, token, why string }{
		{"empty", "", "is missing"},
		{"no token at all", "hello", "not a signed JSON Web Token"},
		{"four parts", good + ".x", "not a signed JSON Web Token"},
		{"the JSON form", `{"payload":"","signatures":[]}`, "not a signed JSON Web Token"},
		{"white space around", " " + good + "\n", "not a signed JSON Web Token"},
		{"oversize", good + strings.Repeat("A", identity.MaxToken), "longer than"},
		{"alg none", b64([]byte(`{"alg":"none","kid":"p1"}`)) + "." + b64(payload) + ".", "not signed with"},
		{"alg none with a signature", b64([]byte(`{"alg":"none","kid":"p1"}`)) + "." + b64(payload) + "." + parts[2],
			"not signed with"},
		{"HS256 with the public key as the secret", hs("r1", der), "not signed with"},
		{"HS256 with the key set as the secret", hs("p1", both.JWKS), "not signed with"},
		{"signature dropped", parts[0] + "." + parts[1] + ".", "signature is wrong"},
		{"signature changed", parts[0] + "." + parts[1] + "." + last, "signature is wrong"},
		{"payload changed", parts[0] + "." + b64(payload) + "." + parts[2], "signature is wrong"},
		{"another's key under the same kid", mallory.sign(t, erin()), "signature is wrong"},
		{"unknown kid", w.provider.sign(t, erin(), object{"kid": "evil"}), "`kid`"},
		{"kid of another of its keys", w.provider.sign(t, erin(), object{"kid": "r1"}), "algorithm that its key is not for"},
		{"RSA key used with another algorithm than it is for", signer{"r1", jose.PS256, rsaSigner.key}.sign(t, erin()),
			"algorithm that its key is not for"},
		{"key in the header", mallory.sign(t, erin(), object{"jwk": mallory.public()}), "signature is wrong"},
		{"key's address in the header", mallory.sign(t, erin(),
			object{"jku": "https://evil.example/jwks", "x5u": "https://evil.example/x"}), "signature is wrong"},
		{"critical extension", w.provider.sign(t, erin(), object{"crit": []string{"b64"}, "b64": false}), "`crit`"},
		{"claim given twice", w.provider.signBytes(t, []byte(`{"iss":"`+providerURL+`","iss":"`+providerURL+`"}`)),
			"not a signed"},
		{"claims that are no object", w.provider.signBytes(t, []byte(`["evil"]`)), "not a signed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := identity.NewVerifier([]identity.Issuer{both})
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(tt.token, w.bankIssuer, now)
			refused(t, err, tt.why)
		})
	}
}

func TestAClaimInOtherCaseIsAnotherClaim(t *testing.T) {
	w := newWorld(t)
	c := erin().with(object{"sub": nil, "SUB": "mallory"})
	_, err := w.verifier.Verify(w.provider.sign(t, c), nil, now)
	refused(t, err, "`sub`")
}

// control: nist:IA-2, soc2:CC6.1
func TestTokensOfTwoTenantsCannotBeSwapped(t *testing.T) {
	w := newWorld(t)
	gracesToken := w.bank.sign(t, grace())
	hanasToken := w.clinic.sign(t, grace().with(object{"iss": clinicURL, "sub": "hana"}))
	for range 2 { // in whatever order they are asked for
		if _, err := w.verifier.Verify(gracesToken, w.bankIssuer, now); err != nil {
			t.Error(err)
		}
		if _, err := w.verifier.Verify(hanasToken, w.clinicIssuer, now); err != nil {
			t.Error(err)
		}
		_, err := w.verifier.Verify(gracesToken, w.clinicIssuer, now)
		refused(t, err, "not trusted here")
		_, err = w.verifier.Verify(hanasToken, w.bankIssuer, now)
		refused(t, err, "not trusted here")
		_, err = w.verifier.Verify(gracesToken, nil, now)
		refused(t, err, "not trusted here")
	}
	// The clinic's key under the bank's name: the kid is the same, the key is not.
	_, err := w.verifier.Verify(w.clinic.sign(t, grace()), w.bankIssuer, now)
	refused(t, err, "algorithm that its key is not for")
}

func TestARotatedKeySetEndsWhatWasRemembered(t *testing.T) {
	w := newWorld(t)
	token := w.bank.sign(t, grace())
	if _, err := w.verifier.Verify(token, w.bankIssuer, now); err != nil {
		t.Fatal(err)
	}
	rotated := &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience,
		Jwks: jwks(t, newSigner(t, "b2", jose.ES256).public())}
	_, err := w.verifier.Verify(token, rotated, now)
	refused(t, err, "`kid`")
	renamed := &lockboxv1.TenantIssuer{Url: bankURL, Audience: "lockbox-two", Jwks: w.bankIssuer.GetJwks()}
	_, err = w.verifier.Verify(token, renamed, now)
	refused(t, err, "`aud`")
}

// A tenant that registers the provider's own URL gains no provider, and the provider no tenant.
func TestIssuerConfusion(t *testing.T) {
	w := newWorld(t)
	thief := newSigner(t, "p1", jose.ES256)
	confusing := &lockboxv1.TenantIssuer{Url: providerURL, Audience: audience, Jwks: jwks(t, thief.public())}

	_, err := w.verifier.Verify(thief.sign(t, erin()), confusing, now)
	refused(t, err, "signature is wrong")

	withProvidersKeys := &lockboxv1.TenantIssuer{Url: providerURL, Audience: audience, Jwks: w.issuer.JWKS}
	got, err := w.verifier.Verify(w.provider.sign(t, erin()), withProvidersKeys, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.GetSide() != lockboxv1.Side_SIDE_PROVIDER {
		t.Errorf("the provider's token came out as %v", got.GetSide())
	}

	// The tenant's own issuer holding the provider's keys: a provider's token is still the provider's.
	shared := &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, Jwks: w.issuer.JWKS}
	got, err = w.verifier.Verify(w.provider.sign(t, erin()), shared, now)
	if err != nil || got.GetSide() != lockboxv1.Side_SIDE_PROVIDER {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnEmptyTenantIssuerTrustsNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.verifier.Verify(w.bank.sign(t, grace().with(object{"iss": ""})), &lockboxv1.TenantIssuer{}, now)
	refused(t, err, "registered wrongly")
}

func TestAVerifierRefusesToStartWithABadIssuer(t *testing.T) {
	w := newWorld(t)
	tenantSide, noKeys := w.issuer, w.issuer
	tenantSide.Side = lockboxv1.Side_SIDE_TENANT
	noKeys.JWKS = []byte(`{"keys":[]}`)
	for _, list := range [][]identity.Issuer{{tenantSide}, {noKeys}, {w.issuer, w.issuer}, {{}}} {
		if _, err := identity.NewVerifier(list); err == nil {
			t.Errorf("accepted %v", list)
		}
	}
}

// Whatever comes in, the answer is an actor or a refusal; and nothing but the token's own bytes verifies.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	good := w.provider.sign(f, erin())
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		a, err := w.verifier.Verify(token, w.bankIssuer, now)
		switch {
		case err != nil && !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED):
			t.Errorf("%v", err)
		case err == nil && a.GetPerson().GetSubject() != "erin-0001":
			t.Errorf("forged %v", a)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	token := w.bank.sign(b, grace())
	b.Run("remembered", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := w.verifier.Verify(token, w.bankIssuer, now); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("new", func(b *testing.B) {
		tokens := make([]string, b.N)
		for i := range tokens {
			tokens[i] = w.bank.sign(b, grace().with(object{"jti": i}))
		}
		b.ResetTimer()
		for _, tok := range tokens {
			if _, err := w.verifier.Verify(tok, w.bankIssuer, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
