package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // used by its name
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

const (
	providerURL = "https://login.nimbus.example"
	bankURL     = "https://login.meadowbank.example/oidc"
	clinicURL   = "https://login.sakura.example"
	audience    = "lockbox"
)

// signer is a test issuer with one key.
type signer struct {
	kid string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func newSigner(t testing.TB, kid string, alg jose.SignatureAlgorithm) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256, jose.ES384, jose.ES512:
		key, err = ecdsa.GenerateKey(map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES256: elliptic.P256(),
			jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()}[alg], rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, alg, key}
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
}

func jwks(t testing.TB, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type object map[string]any

func (o object) with(changes object) object {
	c := maps.Clone(o)
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// sign makes a token; headers override what a correct issuer writes.
func (s signer) sign(t testing.TB, c object, headers ...object) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return s.signBytes(t, b, headers...)
}

func (s signer) signBytes(t testing.TB, payload []byte, headers ...object) string {
	t.Helper()
	h := object{"alg": string(s.alg), "kid": s.kid, "typ": "JWT"}
	for _, o := range headers {
		h = h.with(o)
	}
	hb, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString(hb) + "." + base64.RawURLEncoding.EncodeToString(payload)
	hash := crypto.SHA256
	switch s.alg[2:] {
	case "384":
		hash = crypto.SHA384
	case "512":
		hash = crypto.SHA512
	}
	digest := hash.New()
	digest.Write([]byte(input))
	sum := digest.Sum(nil)
	var sig []byte
	switch k := s.key.(type) {
	case *ecdsa.PrivateKey:
		size := (k.Params().BitSize + 7) / 8
		r, sv, e := ecdsa.Sign(rand.Reader, k, sum)
		sig, err = append(r.FillBytes(make([]byte, size)), sv.FillBytes(make([]byte, size))...), e
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	case *rsa.PrivateKey:
		if s.alg[0] == 'P' {
			sig, err = rsa.SignPSS(rand.Reader, k, hash, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, hash, sum)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func erin() object {
	return object{
		"iss": providerURL, "sub": "erin-0001", "aud": audience,
		"iat": now.Add(-time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
		"name": "Erin Example", "email": "erin@nimbus.example", "locale": "en-GB", "employer": "Nimbus Cloud",
		"groups": []string{"everybody", "support-engineers"}, "amr": []string{"pwd", "mfa"},
	}
}

func grace() object {
	return object{
		"iss": bankURL, "sub": "grace", "aud": []string{"other", audience}, "exp": now.Add(time.Hour).Unix(),
		"name": "Grace Example", "email": "grace@meadowbank.example", "locale": "fr",
		"groups": []string{"support-engineers"}, "employer": "Nimbus Cloud",
	}
}

// world is one provider and two tenants.
type world struct {
	provider, bank, clinic   signer
	issuer                   identity.Issuer
	bankIssuer, clinicIssuer *lockboxv1.TenantIssuer
	verifier                 *identity.Verifier
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		provider: newSigner(t, "p1", jose.ES256), bank: newSigner(t, "b1", jose.ES256),
		clinic: newSigner(t, "b1", jose.EdDSA),
	}
	w.issuer = identity.Issuer{
		URL: providerURL, Audience: audience, JWKS: jwks(t, w.provider.public()), Side: lockboxv1.Side_SIDE_PROVIDER,
	}
	w.bankIssuer = &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, Jwks: jwks(t, w.bank.public())}
	w.clinicIssuer = &lockboxv1.TenantIssuer{Url: clinicURL, Audience: audience, Jwks: jwks(t, w.clinic.public())}
	v, err := identity.NewVerifier([]identity.Issuer{w.issuer})
	if err != nil {
		t.Fatal(err)
	}
	w.verifier = v
	return w
}

// verify verifies a token by a verifier that trusts the issuer alone, and has seen no other token.
func verify(t testing.TB, token string, iss identity.Issuer, now time.Time) (*lockboxv1.Actor, error) {
	t.Helper()
	v, err := identity.NewVerifier([]identity.Issuer{iss})
	if err != nil {
		t.Fatal(err)
	}
	return v.Verify(token, nil, now)
}
