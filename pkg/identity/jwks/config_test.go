package jwks_test

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
)

func TestKeysComeOverHTTPS(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	i := serve(t, httptest.NewTLSServer, k)
	trusting := x509.NewCertPool()
	trusting.AddCert(i.server.Certificate())
	for name, c := range map[string]struct {
		roots *x509.CertPool
		ok    bool
	}{"from whom we trust": {trusting, true}, "from whom we do not": {x509.NewCertPool(), false},
		"from whom the system does not": {nil, false}} {
		s, err := jwks.New(jwks.Config{Issuer: i.url(), RootCAs: c.roots})
		must(t, err)
		if err := s.Refresh(t.Context()); (err == nil) != c.ok || (s.Keys() != nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok != s.CertificateExpiry().Equal(i.server.Certificate().NotAfter) || c.ok == s.Fetched().IsZero() {
			t.Errorf("%s: fetched at %v, and the certificate ends at %v", name, s.Fetched(), s.CertificateExpiry())
		}
	}
	// Discovery over https does not lead out of it.
	plain := serve(t, httptest.NewServer, k)
	i.says("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(object{"issuer": i.url(), "jwks_uri": plain.url() + "/keys"})
	})
	s, err := jwks.New(jwks.Config{Issuer: i.url(), RootCAs: trusting})
	must(t, err)
	if err := s.Refresh(t.Context()); err == nil || plain.requests("/keys") != 0 {
		t.Errorf("plain http: %v", err)
	}
}

func TestAddressesThatKeysDoNotComeFrom(t *testing.T) {
	for _, at := range []string{
		"http://login.nimbus.example", "http://127.0.0.1.evil.example", "ftp://login.nimbus.example", "file:///etc/passwd",
		"login.nimbus.example",
		"https://", "https://user@login.nimbus.example", "https://login.nimbus.example#x", "http://10.0.0.1",
		"http://0.0.0.0",
	} {
		if _, err := jwks.New(jwks.Config{Issuer: at}); err == nil {
			t.Errorf("issuer %s", at)
		}
		if _, err := jwks.New(jwks.Config{Issuer: "https://login.nimbus.example", URL: at}); err == nil {
			t.Errorf("keys at %s", at)
		}
	}
	if _, err := jwks.New(jwks.Config{Issuer: "https://login.nimbus.example", Refresh: time.Hour,
		MaxAge: time.Minute}); err == nil {
		t.Error("keys that are too old before they are refreshed")
	}
}

func TestTheCacheFile(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	w.accepts(w.token(k))
	kept, err := os.ReadFile(w.config.CacheFile)
	must(t, err)
	if info, err := os.Stat(w.config.CacheFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	w.server.Close()
	other := strings.ReplaceAll(string(kept), w.url(), "https://login.other.example")
	var fields object
	must(t, json.Unmarshal(kept, &fields))
	fields["fetched"] = w.time().Add(time.Second)
	future, err := json.Marshal(fields)
	must(t, err)
	for name, content := range map[string]string{
		"of another issuer": other, "damaged": string(kept[:len(kept)/2]), "empty": "", "from the future": string(future),
		"no key set": strings.Replace(string(kept), `"keys"`, `"kees"`, 1),
	} {
		must(t, os.WriteFile(w.config.CacheFile, []byte(content), 0o600))
		if s, err := jwks.New(w.config); err != nil || s.Keys() != nil {
			t.Errorf("%s: %v, keys %v", name, err, s.Keys())
		}
	}
	must(t, os.WriteFile(w.config.CacheFile, kept, 0o600))
	w.restart()
	w.accepts(w.token(k))
	for _, mode := range []os.FileMode{0o620, 0o602} {
		must(t, os.Chmod(w.config.CacheFile, mode))
		if _, err := jwks.New(w.config); err == nil || !strings.Contains(err.Error(), "could impersonate anybody") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(w.config.CacheFile), ".jwks-*")); err != nil ||
		len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A cache that cannot be written is no reason to recognise nobody.
func TestACacheThatCannotBeWritten(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	w.config.CacheFile = filepath.Join(t.TempDir(), "none", "keys.json")
	w.restart()
	w.accepts(w.token(k))
}
