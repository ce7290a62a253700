// Package glewlwydtest runs Debian's OpenID Connect provider for tests: an issuer that is not ours.
package glewlwydtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is one, private to a test.
type Server struct {
	*testing.T
	url string
	log bytes.Buffer
	// Stop stops it.
	Stop func()
	// admin's session, and those of its people.
	admin  *http.Client
	people map[string]*http.Client
}

// Audience of its tokens.
const Audience = "lockbox"

const (
	glewlwydSchema = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	redirect       = "http://127.0.0.1:1/signed-in" // nobody goes there
	patience       = 20 * time.Second
)

// Start starts one, which stops with the test.
func Start(t *testing.T) *Server {
	t.Helper()
	schema, err := os.Open(glewlwydSchema)
	if err != nil {
		t.Fatalf("this test needs Debian's glewlwyd; install it, as root, with: scripts/install-test-deps.sh (%v)", err)
	}
	t.Cleanup(func() { _ = schema.Close() })
	dir := t.TempDir()
	database := filepath.Join(dir, "glewlwyd.db")
	fill := exec.CommandContext(t.Context(), "sqlite3", database)
	fill.Stdin = schema
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert,errcheck // that is what it listens on
	must(t, l.Close())

	g := &Server{T: t, url: fmt.Sprintf("http://127.0.0.1:%d", port), admin: session(t), people: map[string]*http.Client{}}
	config := filepath.Join(dir, "glewlwyd.conf")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `port = %d
bind_address = "127.0.0.1"
external_url = "%s"
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "WARNING"
cookie_secure = 0
session_key = "SESSION"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "/usr/lib/glewlwyd/user"
client_module_path = "/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
plugin_module_path = "/usr/lib/glewlwyd/plugin"
hash_algorithm = "SHA512"
database = { type = "sqlite3"; path = "%s"; };
`, port, g.url, database), 0o600))
	// It outlives the test's context, which ends before what is cleaned up.
	ctx := context.WithoutCancel(t.Context())
	server := exec.CommandContext(ctx, "glewlwyd", "--config-file="+config) // #nosec G204 -- the test's own file
	server.Stdout, server.Stderr = &g.log, &g.log
	must(t, server.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Wait() // it ends with an error whenever it is stopped
	}()
	g.Stop = func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("glewlwyd does not stop")
			_ = server.Process.Kill()
		}
	}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Log(g.log.String())
		}
	})
	g.await(ended)
	return g
}

func session(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &http.Client{Jar: jar, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// await waits until the server answers.
func (g *Server) await(ended <-chan struct{}) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/config", nil)
		must(g, err)
		if r, err := g.admin.Do(request); err == nil {
			_ = r.Body.Close()
			return
		}
		select {
		case <-ended:
			g.Fatalf("glewlwyd ended:\n%s", g.log.String())
		case <-ctx.Done():
			g.Fatal("glewlwyd does not answer")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// call uses glewlwyd's own API.
func (g *Server) call(who *http.Client, method, path string, body map[string]any) {
	g.Helper()
	b, err := json.Marshal(body)
	must(g, err)
	request, err := http.NewRequestWithContext(g.Context(), method, g.url+"/api"+path, bytes.NewReader(b))
	must(g, err)
	request.Header.Set("Content-Type", "application/json")
	r, err := who.Do(request)
	must(g, err)
	defer func() { _ = r.Body.Close() }()
	if text, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusOK {
		g.Fatalf("%s %s: %d %s", method, path, r.StatusCode, text)
	}
}

// Issuer is its issuer's URL.
func (g *Server) Issuer() string { return g.url + "/api/oidc" }

// plugin is its OpenID Connect provider, signing with this key, which is of P-256.
func (g *Server) plugin(key *ecdsa.PrivateKey) map[string]any {
	g.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(g, err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(g, err)
	claim := func(name string) map[string]any {
		return map[string]any{"name": name, "user-property": name, "type": "string", "mandatory": true}
	}
	return map[string]any{"module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "parameters": map[string]any{
		"iss": g.Issuer(), "jwt-type": "ecdsa", "jwt-key-size": "256", "jwks-show": true, "subject-type": "public",
		"key":                   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"cert":                  string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		"access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 600, "refresh-token-rolling": false,
		"auth-type-code-enabled": true, "auth-type-id-token-enabled": true, "allow-non-oidc": false,
		"pkce-allowed": true, "pkce-method-plain-allowed": false,
		"name-claim": "mandatory", "email-claim": "mandatory", "scope": []string{},
		"claims": []map[string]any{claim("company"), claim("roles"), claim("assurance")},
	}}
}

// Configure makes the provider and its client, to which people can also come back at these addresses.
func (g *Server) Configure(key *ecdsa.PrivateKey, redirects ...string) {
	g.Helper()
	property := func(multiple bool) map[string]any {
		return map[string]any{"multiple": multiple, "read": true, "write": true, "profile-read": true, "profile-write": false}
	}
	// As its schema has it.
	g.call(g.admin, http.MethodPost, "/auth/", map[string]any{"username": "admin", "password": "password"})
	g.call(g.admin, http.MethodPut, "/mod/user/database", map[string]any{
		"module": "database", "name": "database", "display_name": "Database", "order_rank": 0, "readonly": false,
		"parameters": map[string]any{"use-glewlwyd-connection": true, "data-format": map[string]any{
			"company": property(false), "roles": property(true), "assurance": property(false),
		}},
	})
	g.call(g.admin, http.MethodPut, "/mod/user/database/reset", nil)
	g.call(g.admin, http.MethodPost, "/mod/plugin/", g.plugin(key))
	g.call(g.admin, http.MethodPost, "/client/", map[string]any{
		"client_id": Audience, "name": "Lockbox", "enabled": true, "confidential": false,
		"authorization_type": []string{"code"}, "redirect_uri": append([]string{redirect}, redirects...),
		"scope": []string{},
	})
}

// Person adds somebody of a company, with groups, whose `assurance` is privileged.
func (g *Server) Person(name, display, email, company string, groups ...string) {
	g.Helper()
	const password = "correct horse battery staple"
	g.call(g.admin, http.MethodPost, "/user/", map[string]any{
		"username": name, "name": display, "email": email, "password": password, "enabled": true,
		"scope": []string{"openid"}, "company": company, "roles": append([]string{"everybody"}, groups...),
		"assurance": "privileged",
	})
	g.people[name] = session(g.T)
	g.call(g.people[name], http.MethodPost, "/auth/", map[string]any{"username": name, "password": password})
	g.call(g.people[name], http.MethodPut, "/auth/grant/"+Audience, map[string]any{"scope": "openid"})
}

// Browser is somebody's, who is signed in there. Whoever sends it to the authorization endpoint says g_continue, as
// glewlwyd's own page does once the password was right.
func (g *Server) Browser(name string) *http.Client { return g.people[name] }

// Rotate has it sign with another key.
func (g *Server) Rotate(key *ecdsa.PrivateKey) {
	g.Helper()
	g.call(g.admin, http.MethodPut, "/mod/plugin/oidc", g.plugin(key))
	g.call(g.admin, http.MethodPut, "/mod/plugin/oidc/reset", nil)
}

// SignIn is the authorization code flow (OpenID Connect Core 1.0 §3.1), as somebody's browser and the client go
// through it.
func (g *Server) SignIn(name string) (idToken, accessToken string) {
	g.Helper()
	at := g.Issuer() + "/auth?g_continue&" + url.Values{
		"response_type": {"code"}, "client_id": {Audience}, "redirect_uri": {redirect}, "scope": {"openid"}, "nonce": {"n-1"},
		"state": {"s-1"},
	}.Encode()
	request, err := http.NewRequestWithContext(g.Context(), http.MethodGet, at, nil)
	must(g, err)
	r, err := g.people[name].Do(request)
	must(g, err)
	_ = r.Body.Close()
	back, err := r.Location()
	must(g, err)
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {Audience}, "redirect_uri": {redirect},
		"code": {back.Query().Get("code")},
	}
	request, err = http.NewRequestWithContext(g.Context(), http.MethodPost, g.Issuer()+"/token",
		strings.NewReader(form.Encode()))
	must(g, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r, err = http.DefaultClient.Do(request)
	must(g, err)
	defer func() { _ = r.Body.Close() }()
	var tokens struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(r.Body).Decode(&tokens); err != nil || tokens.ID == "" {
		g.Fatalf("no token after %s: %d, %v", back, r.StatusCode, err)
	}
	return tokens.ID, tokens.Access
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
