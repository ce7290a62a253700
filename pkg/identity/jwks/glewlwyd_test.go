package jwks_test

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
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// glewlwyd is Debian's OpenID Connect provider, private to a test: an issuer that is not ours.
type glewlwyd struct {
	*testing.T
	url  string
	log  bytes.Buffer
	stop func()
	// admin and erin are their sessions.
	admin, erin *http.Client
}

const (
	glewlwydSchema = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	redirect       = "http://127.0.0.1:1/signed-in" // nobody goes there
	patience       = 20 * time.Second
)

func startGlewlwyd(t *testing.T) *glewlwyd {
	t.Helper()
	schema, err := os.Open(glewlwydSchema)
	if err != nil {
		t.Fatalf("this test needs Debian's glewlwyd; install it, as root, with: scripts/install-test-deps.sh (%v)", err)
	}
	t.Cleanup(func() { _ = schema.Close() })
	dir := t.TempDir()
	database := filepath.Join(dir, "glewlwyd.db")
	fill := exec.Command("sqlite3", database)
	fill.Stdin = schema
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert,errcheck // that is what it listens on
	must(t, l.Close())

	g := &glewlwyd{T: t, url: fmt.Sprintf("http://127.0.0.1:%d", port), admin: session(t), erin: session(t)}
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
	server := exec.Command("glewlwyd", "--config-file="+config)
	server.Stdout, server.Stderr = &g.log, &g.log
	must(t, server.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Wait() // it ends with an error whenever it is stopped
	}()
	g.stop = func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("glewlwyd does not stop")
			_ = server.Process.Kill()
		}
	}
	t.Cleanup(func() {
		g.stop()
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
func (g *glewlwyd) await(ended <-chan struct{}) {
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
func (g *glewlwyd) call(who *http.Client, method, path string, body object) {
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

func (g *glewlwyd) issuer() string { return g.url + "/api/oidc" }

// plugin is its OpenID Connect provider, signing with this key.
func (g *glewlwyd) plugin(k key) object {
	g.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(k.private)
	must(g, err)
	public, err := x509.MarshalPKIXPublicKey(k.private.Public())
	must(g, err)
	claim := func(name string) object {
		return object{"name": name, "user-property": name, "type": "string", "mandatory": true}
	}
	return object{"module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "parameters": object{
		"iss": g.issuer(), "jwt-type": "ecdsa", "jwt-key-size": "256", "jwks-show": true, "subject-type": "public",
		"key":                   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"cert":                  string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		"access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 600, "refresh-token-rolling": false,
		"auth-type-code-enabled": true, "auth-type-id-token-enabled": true, "allow-non-oidc": false,
		"name-claim": "mandatory", "email-claim": "mandatory", "scope": []string{},
		"claims": []object{claim("company"), claim("roles"), claim("assurance")},
	}}
}

// itsKey is a key that glewlwyd publishes in a form of its own: from a coordinate that begins with a zero byte, as in
// one key of 128, it drops that byte, although RFC 7518 §6.2.1.2 requires all 32.
func itsKey(t *testing.T) key {
	t.Helper()
	for {
		k := newKey(t, "", jose.ES256)
		public, err := k.private.Public().(*ecdsa.PublicKey).Bytes() //nolint:forcetypeassert,errcheck // ES256's
		must(t, err)
		if x, y := public[1:33], public[33:]; x[0] == 0 || y[0] == 0 {
			return k
		}
	}
}

// configure makes the provider, its client, and one person.
func (g *glewlwyd) configure(k key) {
	g.Helper()
	property := func(multiple bool) object {
		return object{"multiple": multiple, "read": true, "write": true, "profile-read": true, "profile-write": false}
	}
	const password = "correct horse battery staple"
	g.call(g.admin, http.MethodPost, "/auth/", object{"username": "admin", "password": "password"}) // as its schema has it
	g.call(g.admin, http.MethodPut, "/mod/user/database", object{
		"module": "database", "name": "database", "display_name": "Database", "order_rank": 0, "readonly": false,
		"parameters": object{"use-glewlwyd-connection": true, "data-format": object{
			"company": property(false), "roles": property(true), "assurance": property(false),
		}},
	})
	g.call(g.admin, http.MethodPut, "/mod/user/database/reset", nil)
	g.call(g.admin, http.MethodPost, "/mod/plugin/", g.plugin(k))
	g.call(g.admin, http.MethodPost, "/user/", object{
		"username": "erin", "name": "Erin Example", "email": "erin@nimbus.example", "password": password, "enabled": true,
		"scope": []string{"openid"}, "company": "Nimbus Cloud", "roles": []string{"everybody", "support-engineers"},
		"assurance": "privileged",
	})
	g.call(g.admin, http.MethodPost, "/client/", object{
		"client_id": audience, "name": "Lockbox", "enabled": true, "confidential": false,
		"authorization_type": []string{"code"}, "redirect_uri": []string{redirect}, "scope": []string{},
	})
	g.call(g.erin, http.MethodPost, "/auth/", object{"username": "erin", "password": password})
	g.call(g.erin, http.MethodPut, "/auth/grant/"+audience, object{"scope": "openid"})
}

// signIn is the authorization code flow (OpenID Connect Core 1.0 §3.1), as erin's browser and the client go through it.
func (g *glewlwyd) signIn() (idToken, accessToken string) {
	g.Helper()
	at := g.issuer() + "/auth?g_continue&" + url.Values{
		"response_type": {"code"}, "client_id": {audience}, "redirect_uri": {redirect}, "scope": {"openid"}, "nonce": {"n-1"},
		"state": {"s-1"},
	}.Encode()
	request, err := http.NewRequestWithContext(g.Context(), http.MethodGet, at, nil)
	must(g, err)
	r, err := g.erin.Do(request)
	must(g, err)
	_ = r.Body.Close()
	back, err := r.Location()
	must(g, err)
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {audience}, "redirect_uri": {redirect},
		"code": {back.Query().Get("code")},
	}
	if r, err = http.PostForm(g.issuer()+"/token", form); err != nil {
		g.Fatal(err)
	}
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

func TestAgainstAnIssuerThatIsNotOurs(t *testing.T) {
	g := startGlewlwyd(t)
	g.configure(itsKey(t))
	var later time.Duration
	source, err := jwks.New(jwks.Config{Issuer: g.issuer(), Now: func() time.Time { return time.Now().Add(later) }})
	must(t, err)
	iss := identity.Issuer{
		URL: g.issuer(), Audience: audience, Source: source, Side: lockboxv1.Side_SIDE_PROVIDER,
		Claims: identity.Claims{
			Employer: "company", Groups: "roles",
			Isolated: identity.IsolatedClaim{Claim: "assurance", Values: []string{"privileged"}},
		},
	}
	verifier, err := identity.NewVerifier([]identity.Issuer{iss})
	must(t, err)
	first, access := g.signIn()

	a, err := verifier.Verify(first, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := a.GetPerson()
	if p.GetIssuer() != g.issuer() || p.GetSubject() == "" || p.GetDisplayName() != "Erin Example" ||
		p.GetEmail() != "erin@nimbus.example" {
		t.Errorf("the person is %v", p)
	}
	if a.GetEmployer() != "Nimbus Cloud" || !cmp.Equal(a.GetGroups(), []string{"support-engineers"}) ||
		!a.GetIsolatedIdentity() {
		t.Errorf("employer, groups and isolation: %v", a)
	}
	if a.GetMultiFactor() {
		t.Error("a password counts as two factors")
	}
	_, err = verifier.Verify(access, nil, time.Now())
	if r, _ := refusal.As(err); r.GetCode() != unauthenticated {
		t.Errorf("an access token for others: %v", err)
	}

	// Its keys change while we run.
	g.call(g.admin, http.MethodPut, "/mod/plugin/oidc", g.plugin(itsKey(t)))
	g.call(g.admin, http.MethodPut, "/mod/plugin/oidc/reset", nil)
	second, _ := g.signIn()
	later = jwks.RenewInterval
	if _, err := verifier.Verify(second, nil, time.Now()); err != nil {
		t.Errorf("signed with its new key: %v", err)
	}
	_, err = verifier.Verify(first, nil, time.Now())
	if r, _ := refusal.As(err); r.GetCode() != unauthenticated {
		t.Errorf("signed with the key that it has withdrawn: %v", err)
	}

	// And then it is down.
	g.stop()
	later += jwks.RenewInterval
	if err := source.Refresh(t.Context()); err == nil {
		t.Error("it answers although it is down")
	}
	if _, err := verifier.Verify(second, nil, time.Now()); err != nil {
		t.Errorf("while it is down: %v", err)
	}
}
