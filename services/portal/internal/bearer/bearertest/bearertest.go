// Package bearertest calls REST APIs in tests as the people of sitetest.
package bearertest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
)

// The tokens of the people in sitetest's organisations.
var (
	Otto = Token("https://login.meadowbank.example", "lockbox")
	Lena = Token("https://login.nimbus.example", "lockbox")
)

// Token returns an unsigned token with an issuer and an audience, which is a string or a list. Nothing in these tests
// verifies it.
func Token(issuer string, audience any) string { return TokenOf("somebody", issuer, audience) }

// TokenOf is Token with a given subject.
func TokenOf(subject, issuer string, audience any) string {
	part := func(claims map[string]any) string {
		data, err := json.Marshal(claims)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return part(map[string]any{"alg": "ES256", "kid": "1"}) + "." +
		part(map[string]any{"iss": issuer, "aud": audience, "sub": subject}) + ".c2lnbmF0dXJl"
}

// Call sends a request with a token and, unless it is empty, a JSON body. Headers are pairs of names and values.
func Call(h http.Handler, method, address, token, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, address, strings.NewReader(body)) //nolint:noctx // the test's server has no other
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
