package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/service"
	"go.uber.org/zap"
)

// read is what a file says about issuers.
func read(t *testing.T, yaml string) ([]service.Issuer, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	var file service.File[struct{}]
	err := config.Load(path, nil, &file)
	return file.Issuers, err
}

func TestAnIssuerAsAFileNamesIt(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "k1",
		Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_, _ = w.Write(jwks)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys"})
	}))
	defer issuer.Close()
	dir, err := os.MkdirTemp("", "issuers-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for os.RemoveAll(dir) != nil { // keys that have just been fetched are still being kept
			time.Sleep(time.Millisecond)
		}
	}()
	file := filepath.Join(dir, "keys.json")
	if err := os.WriteFile(file, jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private},
		(&jose.SignerOptions{}).WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": issuer.URL, "aud": "lockbox", "sub": "erin", "exp": time.Now().Add(time.Hour).Unix(), "acr": "gold",
		"oid": "0-1", "signed_in": "2026-03-14T18:52:01.180Z",
		"company": "Nimbus Cloud", "roles": []string{"/on.call", "everybody", "oncall"}, "lang": "fr",
		"account": "privileged",
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]string{
		"a file": "jwks_file: " + file, "an address": "jwks_url: " + issuer.URL + "/keys", "discovery": "discovery: true",
		"discovery with everything": "discovery: true\n    jwks_cache: " + dir +
			"/cache.json\n    jwks_refresh: 5m\n    jwks_max_age: 3d",
	} {
		list, err := read(t, `
issuers:
  - url: `+issuer.URL+`
    audience: lockbox
    `+keys+`
    keep_groups: [oncall]
    leeway: 10s
    token_max_bytes: 20000
    claims:
      employer: company
      groups: roles
      locale: lang
      subject: oid
      auth_time: signed_in
      group_map: {"/on.call": oncall, 7b1c1c5e-6a0c-4f6e-9a55-0d1b7a3f2c11: oncall}
      multi_factor: {claim: authmethod, amr: [], acr: [gold]}
      isolated: {claim: account, values: [privileged]}
`)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		issuers, err := service.OpenIssuers(t.Context(), list, zap.NewNop(), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		verifier, err := identity.NewVerifier(issuers)
		if err != nil {
			t.Fatal(err)
		}
		a, err := verifier.Verify(token, nil, time.Now())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a.GetEmployer() != "Nimbus Cloud" || len(a.GetGroups()) != 1 || a.GetPerson().GetLanguage() != "fr" ||
			!a.GetMultiFactor() || !a.GetIsolatedIdentity() || a.GetPerson().GetSubject() != "0-1" ||
			a.GetAuthenticatedAt().GetSeconds() != 1773514321 {
			t.Errorf("%s: %v", name, a)
		}
	}
	// The keys are trusted before they are kept.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		kept, err := os.ReadFile(filepath.Join(dir, "cache.json"))
		if err == nil && strings.Contains(string(kept), `"k1"`) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the cache: %s, %v", kept, err)
		}
	}
}

func TestIssuersThatCannotBeMeant(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const nimbus = "url: https://login.nimbus.example, audience: lockbox"
	for name, c := range map[string]struct{ yaml, want string }{
		"no keys": {nimbus, "exactly one of"},
		"keys from two places": {nimbus + ", discovery: true, jwks_url: https://login.nimbus.example/keys",
			"exactly one of"},
		"a file that is not there":  {nimbus + ", jwks_file: " + dir + "/none", "no such file"},
		"a cache for a file":        {nimbus + ", jwks_file: x, jwks_cache: y", "read once"},
		"plain http":                {"url: http://login.nimbus.example, audience: lockbox, discovery: true", "https"},
		"keys over plain http":      {nimbus + ", jwks_url: http://login.nimbus.example/keys", "https"},
		"too often":                 {nimbus + ", discovery: true, jwks_refresh: 1s", "less than"},
		"older than it may be":      {nimbus + ", discovery: true, jwks_max_age: 1m", "cannot be trusted"},
		"a key set too large":       {nimbus + ", discovery: true, jwks_max_bytes: 9999999", "bytes are read"},
		"a size of what is read":    {nimbus + ", jwks_file: x, jwks_max_bytes: 9", "read once"},
		"a token too large":         {nimbus + ", discovery: true, token_max_bytes: 99999", "longer than"},
		"too much leeway":           {nimbus + ", discovery: true, leeway: 1h", "leeway"},
		"a group of nobody's":       {nimbus + ", discovery: true, claims: {group_map: {/a: x}}", "claims.group_map"},
		"no audience":               {"url: https://login.nimbus.example, discovery: true", "audience"},
		"authorities that are none": {nimbus + ", discovery: true, ca_file: " + empty, "no certificate"},
		"an unknown key":            {nimbus + ", discovry: true", `did you mean "discovery"`},
		"an unknown claim":          {nimbus + ", discovery: true, claims: {empolyer: x}", `did you mean "employer"`},
		"an unknown rule": {nimbus + ", discovery: true, claims: {isolated: {value: [x]}}",
			`did you mean "values"`},
		"an empty value": {nimbus + ", discovery: true, claims: {isolated: {values: ['']}}", "proves nothing"},
	} {
		list, err := read(t, "issuers:\n  - {"+c.yaml+"}\n")
		if err == nil {
			_, err = service.OpenIssuers(t.Context(), list, zap.NewNop(), nil)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
	}
}
