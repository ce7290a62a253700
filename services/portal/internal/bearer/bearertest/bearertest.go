// Package bearertest calls REST APIs in tests, as the people of sitetest do.
package bearertest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
)

// The people of sitetest's organisations, by what their tokens say.
var (
	Otto = Token("https://login.meadowbank.example", "lockbox")
	Lena = Token("https://login.nimbus.example", "lockbox")
)

// Token says that it is from an issuer, for an audience; one text or a list. Nobody signed it, and here nobody looks.
func Token(issuer string, audience any) string { return TokenOf("somebody", issuer, audience) }

// TokenOf says the same of somebody in particular.
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

// Call sends a request with a token and, if there is one, a JSON body. Headers are pairs of names and values.
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
