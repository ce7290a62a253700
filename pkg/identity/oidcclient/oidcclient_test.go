package oidcclient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/oauth2"
)

const (
	unauthenticated = lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED
	unavailable     = lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE
	invalid         = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	redirect        = "https://portal.example/callback"
)

var now = time.Date(2026, 8, 3, 9, 30, 0, 0, time.UTC)

type object map[string]any

func (o object) with(name string, value any) object {
	c := maps.Clone(o)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

// issuer is one whose every word a test can change.
type issuer struct {
	url       string
	discovery object
	claims    object
	answer    http.HandlerFunc // of the token endpoint; nil: an ID token with the claims
	asked     *http.Request    // of the token endpoint
	kid       string
	key       *ecdsa.PrivateKey
	extra     []any // in its key set
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.rotate(t, "k1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration",
		func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(i.discovery) })
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(object{"keys": append(i.extra, jose.JSONWebKey{Key: i.key.Public(), KeyID: i.kid,
			Algorithm: "ES256", Use: "sig"})})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if i.asked = r; i.answer != nil {
			i.answer(w, r)
			return
		}
		reply(w, object{"access_token": "x", "token_type": "Bearer", "id_token": i.sign(t, i.claims)})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	i.discovery = object{
		"issuer": i.url, "authorization_endpoint": i.url + "/authorize", "token_endpoint": i.url + "/token",
		"jwks_uri":                              i.url + "/jwks",
		"id_token_signing_alg_values_supported": []string{"ES256"}, "authorization_response_iss_parameter_supported": true,
	}
	i.claims = object{
		"iss": i.url, "aud": "lockbox", "sub": "otto", "name": "Otto Owens", "locale": "fr-FR",
		"exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(),
	}
	return i
}

func (i *issuer) rotate(t *testing.T, kid string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	i.kid, i.key = kid, key
}

func (i *issuer) sign(t *testing.T, claims object) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: i.kid}},
		nil)
	must(t, err)
	payload, err := json.Marshal(claims)
	must(t, err)
	jws, err := signer.Sign(payload)
	must(t, err)
	text, err := jws.CompactSerialize()
	must(t, err)
	return text
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func (i *issuer) client() oidcclient.Client {
	return oidcclient.Client{Issuer: i.url, ID: "lockbox", Now: func() time.Time { return now }}
}

// finish signs somebody in, with the nonce that was sent unless the claims have another.
func (i *issuer) finish(t *testing.T, at *oidcclient.Issuer, change func(url.Values)) (oidcclient.Person, error) {
	t.Helper()
	_, a := at.Begin(redirect, nil)
	if _, has := i.claims["nonce"]; !has {
		i.claims = i.claims.with("nonce", a.Nonce)
		defer func() { i.claims = i.claims.with("nonce", nil) }()
	}
	answer := url.Values{"code": {"code"}, "state": {a.State}, "iss": {i.url}}
	if change != nil {
		change(answer)
	}
	return at.Finish(t.Context(), redirect, a, answer)
}

func wants(t *testing.T, what string, err error, code lockboxv1.RefusalCode, text string) {
	t.Helper()
	if !refusal.Is(err, code) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %v with %q", what, err, code, text)
	}
}

func TestSomebodySignsIn(t *testing.T) {
	i := newIssuer(t)
	i.discovery = i.discovery.with("end_session_endpoint", "https://login.example/end")
	at, err := i.client().Discover(t.Context())
	must(t, err)
	address, a := at.Begin(redirect, url.Values{"prompt": {"login"}})
	begun, err := url.Parse(address)
	must(t, err)
	q := begun.Query()
	want := url.Values{
		"client_id": {"lockbox"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid profile email"},
		"state": {a.State}, "nonce": {a.Nonce},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(a.Verifier)}, "code_challenge_method": {"S256"},
		"prompt": {"login"},
	}
	if diff := cmp.Diff(want, q); diff != "" || !strings.HasPrefix(address, i.url+"/authorize?") || len(a.State) < 20 ||
		len(a.Nonce) < 20 {
		t.Errorf("%s: %s", address, diff)
	}
	who, err := i.finish(t, at, nil)
	must(t, err)
	who.Token = ""
	if diff := cmp.Diff(oidcclient.Person{Subject: "otto", Name: "Otto Owens", Locale: "fr-FR",
		Expires: now.Add(time.Hour), Authenticated: now}, who); diff != "" {
		t.Error(diff)
	}
	if i.asked.PostForm.Get("redirect_uri") != redirect || i.asked.PostForm.Get("code_verifier") == "" ||
		at.EndSession != "https://login.example/end" {
		t.Errorf("%v, %s", i.asked.PostForm, at.EndSession)
	}
	i.rotate(t, "k2")
	if _, err := i.finish(t, at, nil); err != nil {
		t.Errorf("with a new key: %v", err)
	}
	i.claims = object{"iss": i.url, "aud": []string{"other", "lockbox"}, "azp": "lockbox", "sub": "otto",
		"exp": now.Add(time.Hour).Unix(), "name": 7, "auth_time": "x"}
	if who, err = i.finish(t, at, nil); err != nil || who.Name != "otto" || who.Locale != "" ||
		!who.Authenticated.IsZero() {
		t.Errorf("a token that says little: %+v, %v", who, err)
	}
}

// What the services take is not refused here.
func TestR13WhatTheServicesTakeSignsIn(t *testing.T) {
	i := newIssuer(t)
	i.extra = []any{object{"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AQ", "y": "AQ"}, nil, object{"kty": "AKP"}}
	at, err := i.client().Discover(t.Context())
	must(t, err)
	i.claims = i.claims.with("aud", []string{"account", "lockbox"}).with("azp", "lockbox").
		with("auth_time", "2026-08-03T09:30:00.000Z").with("exp", strconv.FormatInt(now.Add(time.Hour).Unix(), 10)).
		with("iat", now.Add(4*time.Minute).Unix()).with("name", "Ot\u202eto\tOwens").with("email", object{}).
		with("_claim_names", object{"groups": "src1"}).with("_claim_sources", 7).with("groups", 7)
	who, err := i.finish(t, at, nil)
	who.Token = ""
	if diff := cmp.Diff(oidcclient.Person{Subject: "otto", Name: "Otto Owens", Locale: "fr-FR",
		Expires: now.Add(time.Hour), Authenticated: now}, who); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
	i.kid = "" // there is only one key that fits
	if _, err := i.finish(t, at, nil); err != nil {
		t.Errorf("without a kid: %v", err)
	}
}

func TestAnUnknownCertificateIsNamedAsOne(t *testing.T) {
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, object{"issuer": server.URL, "authorization_endpoint": server.URL + "/a",
			"token_endpoint": server.URL + "/t", "jwks_uri": server.URL + "/k"})
	}))
	defer server.Close()
	c := oidcclient.Client{Issuer: server.URL, ID: "lockbox", Now: time.Now}
	_, err := c.Discover(t.Context())
	wants(t, "unknown", err, unavailable, "from an authority that is not known here")
	wants(t, "unknown", err, unavailable, "--ca-file")
	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AddCert(server.Certificate())
	if _, err := c.Discover(t.Context()); err != nil {
		t.Errorf("known: %v", err)
	}
}

func TestTheTokenIsThisIssuersForThisSignIn(t *testing.T) {
	i := newIssuer(t)
	at, err := i.client().Discover(t.Context())
	must(t, err)
	good := i.claims
	for name, row := range map[string]struct {
		claims object
		text   string
	}{
		"another nonce":         {good.with("nonce", "x"), "nonce"},
		"an empty nonce":        {good.with("nonce", ""), "nonce"},
		"another issuer":        {good.with("iss", i.url+"/t/other"), "is not good"},
		"for another program":   {good.with("aud", "other"), "is not good"},
		"made by another":       {good.with("azp", "other"), "azp"},
		"made by something odd": {good.with("azp", 7), "azp"},
		"expired":               {good.with("exp", now.Add(-time.Second).Unix()), "is not good"},
		"without an end":        {good.with("exp", nil), "is not good"},
		"too long":              {good.with("padding", strings.Repeat("x", identity.MaxToken)), "longer than"},
	} {
		i.claims = row.claims
		_, err := i.finish(t, at, nil)
		wants(t, name, err, unauthenticated, row.text)
	}
	i.claims = good
	i.answer = func(w http.ResponseWriter, _ *http.Request) {
		part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		payload, _ := json.Marshal(i.claims)
		reply(w, object{"access_token": "x", "id_token": part(`{"alg":"none"}`) + "." + part(string(payload)) + "."})
	}
	_, err = i.finish(t, at, nil)
	wants(t, "signed by nobody", err, unauthenticated, "is not good")
	i.answer = func(w http.ResponseWriter, _ *http.Request) { reply(w, object{"access_token": "x"}) }
	_, err = i.finish(t, at, nil)
	wants(t, "no ID token", err, unauthenticated, "no ID token")
}

func TestTheAnswerIsThisIssuers(t *testing.T) {
	i := newIssuer(t)
	named, err := i.client().Discover(t.Context())
	must(t, err)
	i.discovery = i.discovery.with("authorization_response_iss_parameter_supported", nil)
	unnamed, err := i.client().Discover(t.Context())
	must(t, err)
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for name, row := range map[string]struct {
		at     *oidcclient.Issuer
		change func(url.Values)
		text   string
		code   string // OAuth's
	}{
		"another's":                     {named, set("iss", "https://other.example"), "another issuer", ""},
		"nobody's":                      {named, func(q url.Values) { q.Del("iss") }, "another issuer", ""},
		"another's, seldom named":       {unnamed, set("iss", "https://other.example"), "another issuer", ""},
		"nobody's, where none is named": {unnamed, func(q url.Values) { q.Del("iss") }, "", ""},
		"declined":                      {named, set("error", "access_denied"), "declined", "access_denied"},
		"refused":                       {named, set("error", "server_error"), "server_error", "server_error"},
	} {
		_, err := i.finish(t, row.at, row.change)
		if row.text == "" {
			must(t, err)
			continue
		}
		wants(t, name, err, unauthenticated, row.text)
		var refused *oidcclient.RefusedError
		if errors.As(err, &refused) != (row.code != "") || refused != nil && refused.Code != row.code {
			t.Errorf("%s: %+v", name, refused)
		}
	}
	i.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		reply(w, object{"error": "invalid_grant", "error_description": strings.Repeat("x", 100_000)})
	}
	_, err = i.finish(t, named, nil)
	if wants(t, "an unknown code", err, unauthenticated, "invalid_grant"); len(err.Error()) > 1000 {
		t.Errorf("%d bytes of error", len(err.Error()))
	}
	i.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, i.url+"/jwks", http.StatusTemporaryRedirect)
	}
	_, err = i.finish(t, named, nil)
	wants(t, "a redirect", err, unavailable, "does not answer")
}

func TestASecretGoesWhereTheIssuerWantsIt(t *testing.T) {
	i := newIssuer(t)
	for name, row := range map[string]struct {
		secret   string
		methods  any
		inHeader bool
		inForm   bool
	}{
		"none":              {"", []string{"client_secret_basic"}, false, false},
		"silence":           {"s3cret", nil, true, false},
		"in the header":     {"s3cret", []string{"client_secret_post", "client_secret_basic"}, true, false},
		"only in the form":  {"s3cret", []string{"client_secret_post"}, false, true},
		"none, which knows": {"", []string{"none"}, false, false},
	} {
		i.discovery = i.discovery.with("token_endpoint_auth_methods_supported", row.methods)
		c := i.client()
		c.Secret = row.secret
		at, err := c.Discover(t.Context())
		must(t, err)
		_, err = i.finish(t, at, nil)
		must(t, err)
		_, password, _ := i.asked.BasicAuth()
		if (password == "s3cret") != row.inHeader || (i.asked.PostForm.Get("client_secret") == "s3cret") != row.inForm {
			t.Errorf("%s: %v %v", name, i.asked.Header, i.asked.PostForm)
		}
	}
}

func TestIssuersThatAreNotBelieved(t *testing.T) {
	i := newIssuer(t)
	good := i.discovery
	for name, row := range map[string]struct {
		discovery object
		code      lockboxv1.RefusalCode
	}{
		"another's":             {good.with("issuer", "https://other.example"), unavailable},
		"nothing of interest":   {object{}, unavailable},
		"sign-in over http":     {good.with("authorization_endpoint", "http://login.example/authorize"), unauthenticated},
		"sign-in in a file":     {good.with("authorization_endpoint", "file:///etc/passwd"), unauthenticated},
		"no sign-in":            {good.with("authorization_endpoint", nil), unauthenticated},
		"tokens over http":      {good.with("token_endpoint", "http://login.example/token"), unauthenticated},
		"keys over http":        {good.with("jwks_uri", "http://login.example/jwks"), unauthenticated},
		"no keys":               {good.with("jwks_uri", nil), unauthenticated},
		"devices over http":     {good.with("device_authorization_endpoint", "http://login.example/device"), unauthenticated},
		"sign-out by script":    {good.with("end_session_endpoint", "javascript:alert(1)"), unauthenticated},
		"an answer without end": {good.with("padding", strings.Repeat("x", 2<<20)), unavailable},
	} {
		i.discovery = row.discovery
		_, err := i.client().Discover(t.Context())
		wants(t, name, err, row.code, "")
	}
	for _, bad := range []string{"", "http://login.example", "https://login.example?x=y", "https://u@login.example",
		"https://login.example#x", "http://127.0.0.1.example"} {
		_, err := oidcclient.Client{Issuer: bad, ID: "lockbox"}.Discover(t.Context())
		wants(t, fmt.Sprintf("%q", bad), err, invalid, "https")
	}
	_, err := oidcclient.Client{Issuer: "http://127.0.0.1:1", ID: "lockbox"}.Discover(t.Context())
	wants(t, "nobody there", err, unavailable, "does not answer")
}
