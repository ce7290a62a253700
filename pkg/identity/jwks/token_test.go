package jwks_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The attacks on tokens that everybody knows, on a verifier that has its keys from a real server.
func TestForgedAndForeignTokens(t *testing.T) {
	es, rs := newKey(t, "es", jose.ES256), newKey(t, "rs", jose.RS256)
	w := newWorld(t, es, rs)
	now := w.time()
	der, err := x509.MarshalPKIXPublicKey(rs.private.Public())
	must(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := es.token(t, w.url(), now, nil, nil)
	w.accepts(good)
	parts := strings.Split(good, ".")
	header := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	hs := func(kid string, secret []byte) string {
		signed := header(`{"alg":"HS256","typ":"JWT","kid":"`+kid+`"}`) + "." + parts[1]
		m := hmac.New(sha256.New, secret)
		_, _ = m.Write([]byte(signed))
		return signed + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	claim := func(name string, v any) string { return es.token(t, w.url(), now, object{name: v}, nil) }
	for name, c := range map[string]struct{ token, why string }{
		"alg none": {header(`{"alg":"none","kid":"es"}`) + "." + parts[1] + ".", "not signed with"},
		"alg None": {header(`{"alg":"None","kid":"es"}`) + "." + parts[1] + "." + parts[2],
			"not signed with"},
		"HS256 with the PEM as secret": {hs("rs", public), "not signed with"},
		"HS256 with the DER as secret": {hs("rs", der), "not signed with"},
		"HS256 with the key set":       {hs("rs", w.jwks), "not signed with"},
		"the RSA key's kid on an EC one": {key{"rs", jose.ES256, es.private}.token(t, w.url(), now, nil, nil),
			"algorithm that its key is not for"},
		"a wrong audience":             {claim("aud", "another"), "`aud`"},
		"a wrong issuer":               {claim("iss", "https://login.evil.example"), "not trusted here"},
		"the issuer with a slash more": {claim("iss", w.url()+"/"), "not trusted here"},
		"a logout token":               {es.token(t, w.url(), now, nil, object{"typ": "logout+jwt"}), "`typ`"},
		"expired a second ago":         {claim("exp", now.Add(-time.Second).Unix()), "has expired"},
		"expiring at this instant":     {claim("exp", now.Unix()), "has expired"},
		"not valid yet":                {claim("nbf", now.Add(3*time.Second).Unix()), "not valid yet"},
		"issued in the future":         {claim("iat", now.Add(3*time.Second).Unix()), "in the future"},
		"64 KB":                        {claim("padding", strings.Repeat("x", 64<<10)), "longer than"},
	} {
		if !w.refuses(c.token, unauthenticated, c.why) {
			t.Error(name)
		}
	}
	w.accepts(claim("exp", now.Add(time.Second).Unix()))
	w.accepts(claim("nbf", now.Add(2*time.Second).Unix()))
}
