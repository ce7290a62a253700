package oidcclient_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
)

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	must(t, err)
	return key
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func certificate(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "portal"}, NotAfter: now}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return der
}

// The portal proves itself with its own key: to the endpoint that is asked, once, for a short time, with a key that an
// issuer finds in the published set (RFC 7523 §3).
func TestAKeyProvesTheClient(t *testing.T) {
	key, next := rsaKey(t, 2048), rsaKey(t, 2048)
	own := certificate(t, key)
	text := bytes.Join([][]byte{pkcs8(t, key), pkcs8(t, next),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own})}, nil)
	parsed, err := oidcclient.ParseKey(text)
	must(t, err)
	var published jose.JSONWebKeySet
	must(t, json.Unmarshal(parsed.Public(), &published))
	if len(published.Keys) != 2 || !published.Keys[0].IsPublic() || !published.Keys[1].IsPublic() {
		t.Fatalf("published: %s", parsed.Public())
	}
	for name, row := range map[string]struct {
		takes any
		want  jose.SignatureAlgorithm
	}{
		"an issuer that says nothing": {nil, jose.RS256},
		"one that takes both":         {[]string{"PS256", "RS256"}, jose.RS256},
		"one that takes PS256":        {[]string{"ES256", "PS256"}, jose.PS256},
	} {
		i := newIssuer(t)
		i.discovery = i.discovery.with("token_endpoint_auth_signing_alg_values_supported", row.takes)
		c := i.client()
		c.Key = parsed
		at, err := c.Discover(t.Context())
		must(t, err)
		ids := map[string]bool{}
		for range 2 {
			_, err = i.finish(t, at, nil)
			must(t, err)
			f := i.asked.PostForm
			if f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" ||
				f.Get("client_id") != "lockbox" || f.Has("client_secret") {
				t.Fatalf("%s: %v", name, f)
			}
			proof, err := jwt.ParseSigned(f.Get("client_assertion"), []jose.SignatureAlgorithm{row.want})
			must(t, err)
			header := proof.Headers[0]
			sum := sha256.Sum256(own)
			if header.ExtraHeaders["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
				t.Errorf("%s: %v", name, header)
			}
			var claims jwt.Claims
			must(t, proof.Claims(published.Key(header.KeyID)[0], &claims))
			if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: "lockbox", Subject: "lockbox",
				AnyAudience: jwt.Audience{i.url + "/token"}, Time: now}, 0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if life := claims.Expiry.Time().Sub(now); life <= 0 || life > 5*time.Minute || ids[claims.ID] {
				t.Errorf("%s: good for %v, id %q", name, life, claims.ID)
			}
			ids[claims.ID] = true
		}
	}
}

func TestAKeyThatWillNotDoIsRefusedAtTheStart(t *testing.T) {
	good, other := rsaKey(t, 2048), rsaKey(t, 2048)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for name, row := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":       {nil, "no private key"},
		"no PEM":        {[]byte("x"), "no private key"},
		"another curve": {pkcs8(t, curve), "not RSA"},
		"too short":     {pkcs8(t, rsaKey(t, 1024)), "2048 bits"},
		"broken":        {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "asn1"},
		"encrypted":     {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY"}), "unencrypted"},
		"a public one":  {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY"}), "PUBLIC KEY"},
		"another's certificate": {append(pkcs8(t, good),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate(t, other)})...), "not of its first key"},
	} {
		if _, err := oidcclient.ParseKey(row.text); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
