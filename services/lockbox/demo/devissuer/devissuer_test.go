package devissuer_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *devissuer.Issuer {
	t.Helper()
	d, err := devissuer.New(devissuer.Config{Demo: true, Dir: dir, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func verifier(t *testing.T, trusted ...identity.Issuer) *identity.Verifier {
	t.Helper()
	v, err := identity.NewVerifier(trusted)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestThereIsNoDemoIssuerOutsideDemoMode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	if _, err := devissuer.New(devissuer.Config{Dir: dir}); !errors.Is(err, devissuer.ErrNotDemo) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it left something behind")
	}
}

func TestOneHumanHasTwoAccounts(t *testing.T) {
	accounts := map[string][]string{}
	for _, p := range devissuer.Personas() {
		accounts[p.EmployeeNumber()] = append(accounts[p.EmployeeNumber()], p.Name)
	}
	for number, names := range accounts {
		if twice := number == "E-rosa" || number == "E-otto"; (len(names) > 1) != twice {
			t.Errorf("%s: %v", number, names)
		}
	}
}

func TestEveryPersonaSignsIn(t *testing.T) {
	d := open(t, t.TempDir())
	v := verifier(t, d.ProviderIssuer())
	var names []string
	for _, p := range devissuer.Personas() {
		names = append(names, p.Name)
		token, err := d.Token(p.Name, now)
		if err != nil {
			t.Fatal(err)
		}
		a, err := v.Verify(token, d.TenantIssuer(p.Tenant), now)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		side := lockboxv1.Side_SIDE_TENANT
		if p.Tenant == "" {
			side = lockboxv1.Side_SIDE_PROVIDER
		}
		want := &lockboxv1.Actor{
			Side: side, Person: d.Person(p.Name), Employer: p.Employer, Groups: p.Groups,
			MultiFactor: slices.Contains(p.Methods, "mfa"), IsolatedIdentity: p.Isolated, TokenSha256: a.GetTokenSha256(),
			AuthenticatedAt: timestamppb.New(now),
		}
		want.Person.Human = p.EmployeeNumber()
		if diff := cmp.Diff(want, a, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
		if err := input.Email("email", p.Email); err != nil || !strings.HasSuffix(p.Email, ".example") {
			t.Errorf("%s: %s, %v", p.Name, p.Email, err)
		}
		if p.About == "" || p.Language == "" || (p.Tenant == "") != (p.Employer != "") {
			t.Errorf("%s is not described: %+v", p.Name, p)
		}
		if _, err := v.Verify(token, d.TenantIssuer(p.Tenant), now.Add(devissuer.Lifetime)); err == nil {
			t.Errorf("%s's token is good for more than %v", p.Name, devissuer.Lifetime)
		}
	}
	want := strings.Fields(`erin sam ivan bob rosa rosa-admin lena derek olga onboarding desk grace otto otto-admin fleur eli
		audrey hana kenji`)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestWhatTheDemoNeedsOfItsEngineers(t *testing.T) {
	for name, want := range map[string]struct {
		mfa, isolated bool
		employer      string
	}{
		"erin": {true, false, devissuer.Provider}, "sam": {false, false, devissuer.Provider},
		"ivan": {false, true, devissuer.Provider}, "bob": {true, false, devissuer.Subcontractor},
	} {
		p, ok := devissuer.Find(name)
		if !ok || slices.Contains(p.Methods, "mfa") != want.mfa || p.Isolated != want.isolated ||
			p.Employer != want.employer ||
			!slices.Contains(p.Groups, aggregate.SupportEngineers) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestNobodyTrustsItUnlessConfiguredTo(t *testing.T) {
	d, other := open(t, t.TempDir()), open(t, t.TempDir())
	erin, err := d.Token("erin", now)
	if err != nil {
		t.Fatal(err)
	}
	grace, err := d.Token("grace", now)
	if err != nil {
		t.Fatal(err)
	}
	nobody := verifier(t)
	for _, token := range []string{erin, grace} {
		if _, err := nobody.Verify(token, nil, now); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED) {
			t.Errorf("got %v", err)
		}
		// Another demo has the same names and URLs, but other keys.
		if _, err := verifier(t, other.ProviderIssuer()).Verify(token, other.TenantIssuer("meadowbank"), now); err == nil {
			t.Error("one demo's token is good in another")
		}
	}
	v := verifier(t, d.ProviderIssuer())
	if _, err := v.Verify(grace, d.TenantIssuer("sakura"), now); err == nil {
		t.Error("a token of one tenant is good for another")
	}
}

func TestItsTenantsCanBeCreated(t *testing.T) {
	d := open(t, t.TempDir())
	for _, tenant := range devissuer.Tenants() {
		if err := identity.CheckTenantIssuer(d.TenantIssuer(tenant), []identity.Issuer{d.ProviderIssuer()}); err != nil {
			t.Errorf("%s: %v", tenant, err)
		}
	}
	for _, tenant := range []string{"", "nowhere"} {
		if d.TenantIssuer(tenant) != nil {
			t.Errorf("%q has an issuer", tenant)
		}
	}
	if d.Person("nobody") != nil {
		t.Error("nobody is somebody")
	}
}

func TestItIsTheSameAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	before := open(t, dir)
	token, err := before.Token("hana", now)
	if err != nil {
		t.Fatal(err)
	}
	after := open(t, dir)
	if diff := cmp.Diff(before.TenantIssuer("sakura"), after.TenantIssuer("sakura"), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if _, err := verifier(t, after.ProviderIssuer()).Verify(token, after.TenantIssuer("sakura"), now); err != nil {
		t.Error(err)
	}
	if before.Secret() != after.Secret() || len(before.Secret()) < 20 {
		t.Error("another secret")
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTwoProcessesThatMakeItAtOnceAgree(t *testing.T) {
	dir := t.TempDir()
	all := make([]*devissuer.Issuer, 8)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = open(t, dir) })
	}
	wg.Wait()
	for _, d := range all {
		if diff := cmp.Diff(all[0].ProviderIssuer(), d.ProviderIssuer()); diff != "" || d.Secret() != all[0].Secret() {
			t.Errorf("they differ: %s", diff)
		}
	}
}

func TestFilesThatAreNotGood(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"provider.pem":          func(p string) error { return os.WriteFile(p, []byte("no key"), 0o600) },
		"tenant-meadowbank.pem": func(p string) error { return os.Chmod(p, 0o644) },
		"secret":                func(p string) error { return os.WriteFile(p, []byte("short"), 0o600) },
		"url": func(p string) error {
			return os.WriteFile(p, []byte("https://login.nimbus.example"),
				0o600)
		},
	} {
		dir := t.TempDir()
		open(t, dir)
		if err := spoil(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := devissuer.New(devissuer.Config{Demo: true, Dir: dir}); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestURLs(t *testing.T) {
	for _, bad := range []string{
		"https://127.0.0.1:7070", "http://0.0.0.0:7070", "http://lockbox.example:7070", "http://127.0.0.1",
		"http://127.0.0.1:7070/",
		"http://u@127.0.0.1:7070", "127.0.0.1:7070",
	} {
		if _, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir(), URL: bad}); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
	dir := t.TempDir()
	if _, err := devissuer.New(devissuer.Config{Demo: true, Dir: dir, URL: "http://localhost:9999"}); err != nil {
		t.Fatal(err)
	}
	if d := open(t, dir); d.URL() != "http://localhost:9999" ||
		d.ProviderIssuer().URL != "http://localhost:9999/provider" {
		t.Errorf("the URL was forgotten: %s", d.URL())
	}
	if _, err := devissuer.New(devissuer.Config{Demo: true, Dir: dir, URL: "http://localhost:9998"}); err == nil {
		t.Error("its people became others")
	}
}

func ask(
	t *testing.T, d *devissuer.Issuer, method, path string, change func(*http.Request),
) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "127.0.0.1:7070"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	return w
}

func TestDiscoveryAndKeys(t *testing.T) {
	d := open(t, t.TempDir())
	for path, want := range map[string]struct{ url, jwks string }{
		"/provider":     {d.ProviderIssuer().URL, string(d.ProviderIssuer().JWKS)},
		"/t/meadowbank": {d.TenantIssuer("meadowbank").GetUrl(), string(d.TenantIssuer("meadowbank").GetJwks())},
		"/t/sakura":     {d.TenantIssuer("sakura").GetUrl(), string(d.TenantIssuer("sakura").GetJwks())},
	} {
		if got := ask(t, d, "GET", path+"/jwks", nil).Body.String(); got != want.jwks || strings.Contains(got, `"d"`) {
			t.Errorf("%s: %s", path, got)
		}
		var doc map[string]any
		if err := json.Unmarshal(ask(t, d, "GET", path+"/.well-known/openid-configuration", nil).Body.Bytes(),
			&doc); err != nil {
			t.Fatal(err)
		}
		if doc["issuer"] != want.url || doc["jwks_uri"] != want.url+"/jwks" {
			t.Errorf("%s: %v", path, doc)
		}
	}
	if w := ask(t, d, "GET", "/t/nowhere/jwks", nil); w.Code != http.StatusNotFound {
		t.Errorf("a tenant that does not exist: %d", w.Code)
	}
}

func TestTokensOverHTTP(t *testing.T) {
	d := open(t, t.TempDir())
	bearer := func(s string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", s) }
	}
	good := bearer("Bearer " + d.Secret())
	tests := []struct {
		name, method, path string
		change             func(*http.Request)
		want               int
	}{
		{"with the secret", "POST", "/token?persona=erin", good, 200},
		{"no secret", "POST", "/token?persona=erin", nil, 401},
		{"wrong secret", "POST", "/token?persona=erin", bearer("Bearer " + d.Secret() + "x"), 401},
		{"empty secret", "POST", "/token?persona=erin", bearer("Bearer "), 401},
		{"other scheme", "POST", "/token?persona=erin", bearer("Basic " + d.Secret()), 401},
		{"by GET", "GET", "/token?persona=erin", good, 405},
		{"unknown persona", "POST", "/token?persona=mallory", good, 404},
		{"from elsewhere", "POST", "/token?persona=erin", func(r *http.Request) { good(r); r.RemoteAddr = "192.0.2.1:1" },
			403},
		{"under another name", "POST", "/token?persona=erin", func(r *http.Request) { good(r); r.Host = "evil.example:7070" },
			403},
		{"over IPv6", "POST", "/token?persona=erin",
			func(r *http.Request) { good(r); r.RemoteAddr, r.Host = "[::1]:1", "[::1]:7070" }, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(t, d, tt.method, tt.path, tt.change)
			if w.Code != tt.want {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if strings.Contains(w.Body.String(), d.Secret()) {
				t.Error("the answer holds the secret")
			}
			if tt.want != 200 {
				return
			}
			var reply struct {
				Token   string `json:"access_token"`
				Expires int    `json:"expires_in"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
				t.Fatal(err)
			}
			if _, err := verifier(t, d.ProviderIssuer()).Verify(reply.Token, nil, now); err != nil || reply.Expires != 3600 {
				t.Errorf("%v, %d s", err, reply.Expires)
			}
		})
	}
}

func TestAnUnknownPersonaIsRefusedWithAHint(t *testing.T) {
	_, err := open(t, t.TempDir()).Token("erim", now)
	if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) ||
		!strings.Contains(err.Error(), `did you mean "erin"?`) {
		t.Errorf("got %v", err)
	}
}
