package signin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"golang.org/x/oauth2"
)

const (
	unauthenticated = lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED
	unavailable     = lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE
	invalid         = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, what string, err error, code lockboxv1.RefusalCode, text string) {
	t.Helper()
	if !refusal.Is(err, code) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %v with %q", what, err, code, text)
	}
}

// played is an issuer whose answers a test plays, with real tokens of the demo issuer.
type played struct {
	*devissuer.Issuer
	url    string
	change map[string]http.HandlerFunc // by path
	asked  []url.Values                // of the token endpoint
}

func play(t *testing.T) *played {
	t.Helper()
	p := &played{change: map[string]http.HandlerFunc{}}
	server := httptest.NewUnstartedServer(nil)
	var err error
	p.Issuer, err = devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir(), URL: "http://" +
		server.Listener.Addr().String()})
	must(t, err)
	genuine := p.Handler()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			p.asked = append(p.asked, form)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		if instead, ok := p.change[r.URL.Path]; ok {
			instead(w, r)
			return
		}
		genuine.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	p.url = p.ProviderIssuer().URL
	return p
}

func (p *played) client() Client {
	return Client{Issuer: p.url, ID: devissuer.ClientID, Now: time.Now}
}

// comeBack is the browser coming back to the terminal with an answer that the issuer did not give.
func comeBack(t *testing.T, address string, answer func(url.Values)) *http.Response {
	t.Helper()
	to, err := url.Parse(address)
	must(t, err)
	back, err := url.Parse(to.Query().Get("redirect_uri"))
	must(t, err)
	issuer := strings.TrimSuffix(to.Scheme+"://"+to.Host+to.Path, "/authorize")
	q := url.Values{"state": {to.Query().Get("state")}, "code": {"code"}, "iss": {issuer}}
	answer(q)
	back.RawQuery = q.Encode()
	return get(t, back.String())
}

func get(t *testing.T, at string) *http.Response {
	t.Helper()
	response, err := http.Get(at)
	must(t, err)
	must(t, response.Body.Close())
	return response
}

func respond(value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
}

func TestTheAnswerMustBeToOurQuestion(t *testing.T) {
	p := play(t)
	for name, row := range map[string]struct {
		answer func(url.Values)
		text   string
	}{
		"declined": {func(q url.Values) { q.Set("error", "access_denied") }, "declined"},
		"an error of its own": {func(q url.Values) {
			q.Set("error", "server_error")
			q.Set("error_description",
				"out of order")
		}, "out of order"},
		"from another issuer":    {func(q url.Values) { q.Set("iss", "https://other.example") }, "another issuer"},
		"from nobody named":      {func(q url.Values) { q.Del("iss") }, "another issuer"},
		"a code that is unknown": {func(url.Values) {}, "invalid_grant"},
	} {
		_, err := p.client().Browser(t.Context(), func(address string) error {
			if response := comeBack(t, address, row.answer); response.StatusCode != http.StatusForbidden ||
				response.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("%s: %s", name, response.Status)
			}
			return nil
		})
		wants(t, name, err, unauthenticated, row.text)
	}
}

// An issuer that goes on with an old session, or does not say when somebody signed in, is found out at once.
func TestAnIssuerIsHeldToHowRecentASignInHasToBe(t *testing.T) {
	begun := time.Now()
	for name, row := range map[string]struct {
		maxAge time.Duration
		at     time.Time // zero: it does not say
		text   string
	}{
		"just now":                   {0, begun, ""},
		"a clock that is behind":     {0, begun.Add(-oidcclient.MaxSkew), ""},
		"too long ago":               {0, begun.Add(-oidcclient.MaxSkew - 1), "let a sign-in of"},
		"as long ago as was allowed": {time.Hour, begun.Add(-time.Hour - oidcclient.MaxSkew), ""},
		"longer ago than was allowed": {time.Hour, begun.Add(-time.Hour - oidcclient.MaxSkew - 1),
			"of the last 1h0m0s was asked for"},
		"it does not say when that was":   {time.Hour, time.Time{}, "`auth_time`"},
		"and as nobody asked it need not": {-1, time.Time{}, ""},
	} {
		c := Client{Issuer: "https://login.example"}
		if row.maxAge >= 0 {
			c.MaxAge = &row.maxAge
		}
		switch err := c.recent(oidcclient.Person{Authenticated: row.at}, begun); {
		case row.text != "":
			wants(t, name, err, unauthenticated, row.text)
		case err != nil:
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoAnswerToUsChangesNothing(t *testing.T) {
	p := play(t)
	_, err := p.client().Browser(t.Context(), func(address string) error {
		to, err := url.Parse(address)
		must(t, err)
		back := to.Query().Get("redirect_uri")
		for name, at := range map[string]string{
			"another path": strings.TrimSuffix(back, "callback") + "?state=" + to.Query().Get("state"), "no state": back +
				"?code=x",
			"another name": strings.Replace(back, "127.0.0.1", "localhost", 1) + "?code=x&state=" + to.Query().Get("state"),
		} {
			if response := get(t, at); response.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s", name, response.Status)
			}
		}
		wrong := comeBack(t, address, func(q url.Values) { q.Set("state", "other") })
		if wrong.StatusCode != http.StatusBadRequest || len(p.asked) != 0 {
			t.Errorf("another state: %s, and the issuer was asked %v", wrong.Status, p.asked)
		}
		comeBack(t, address, func(q url.Values) { q.Set("error", "access_denied") })
		if again := comeBack(t, address, func(url.Values) {}); again.StatusCode != http.StatusBadRequest ||
			len(p.asked) != 0 {
			t.Errorf("a second answer: %s", again.Status)
		}
		return nil
	})
	wants(t, "in the end", err, unauthenticated, "declined")
}

func TestWhatIsAskedOfTheIssuer(t *testing.T) {
	p := play(t)
	_, err := p.client().Browser(t.Context(), func(address string) error {
		q, err := url.ParseQuery(strings.SplitN(address, "?", 2)[1])
		must(t, err)
		if q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 20 || len(q.Get("nonce")) < 20 ||
			q.Get("state") == q.Get("nonce") ||
			q.Get("response_type") != "code" || !strings.Contains(q.Get("scope"), "openid") {
			t.Errorf("asked %v", q)
		}
		comeBack(t, address, func(url.Values) {})
		if len(p.asked) != 1 ||
			oauth2.S256ChallengeFromVerifier(p.asked[0].Get("code_verifier")) != q.Get("code_challenge") ||
			p.asked[0].Get("redirect_uri") != q.Get("redirect_uri") || p.asked[0].Has("client_secret") {
			t.Errorf("the token endpoint was asked %v", p.asked)
		}
		return nil
	})
	wants(t, "an unknown code", err, unauthenticated, "invalid_grant")
}

func TestTheTokenMustBeForThisSignIn(t *testing.T) {
	p, other := play(t), play(t)
	token := func(issuer *devissuer.Issuer, persona string, at time.Time) string {
		text, err := issuer.Token(persona, at)
		must(t, err)
		return text
	}
	for name, row := range map[string]struct {
		answer any
		text   string
	}{
		"no ID token": {map[string]string{"access_token": "x"}, "no ID token"},
		"no nonce": {map[string]string{"access_token": "x",
			"id_token": token(p.Issuer, "erin", time.Now())}, "nonce"},
		"of a tenant's issuer": {map[string]string{"access_token": "x",
			"id_token": token(p.Issuer, "otto", time.Now())}, "is not good"},
		"of another demo": {map[string]string{"access_token": "x",
			"id_token": token(other.Issuer, "erin", time.Now())}, "is not good"},
		"of yesterday": {map[string]string{"access_token": "x",
			"id_token": token(p.Issuer, "erin", time.Now().Add(-24*time.Hour))}, "is not good"},
		"signed by nobody (alg: none)": {map[string]string{"access_token": "x", "id_token": unsigned(p.url)}, "is not good"},
	} {
		p.change["/provider/token"] = respond(row.answer)
		_, err := p.client().Browser(t.Context(), func(address string) error {
			comeBack(t, address, func(url.Values) {})
			return nil
		})
		wants(t, name, err, unauthenticated, row.text)
	}
	delete(p.change, "/provider/token")
	c := p.client()
	c.ID = "somebody-else"
	_, err := c.Device(t.Context(), func(Code) error { t.Error("a code was shown"); return nil })
	wants(t, "another client", err, unauthenticated, "invalid_client")
}

func unsigned(issuer string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none","typ":"JWT"}`) + "." +
		part(`{"iss":"`+issuer+`","aud":"lockbox","sub":"erin","exp":9999999999}`) + "."
}

func TestIssuersThatNobodySignsInAt(t *testing.T) {
	for _, bad := range []string{
		"", "login.example", "http://login.example", "ftp://127.0.0.1", "https://u:p@login.example",
		"https://login.example?x=y", "https://login.example#x",
		"http://127.0.0.1.example", "file:///etc/passwd",
	} {
		_, err := Client{Issuer: bad, ID: "x", Now: time.Now}.Browser(t.Context(),
			func(string) error { t.Errorf("%s was shown", bad); return nil })
		wants(t, bad, err, invalid, "https")
	}
	p := play(t)
	discovery := "/provider/.well-known/openid-configuration"
	no := func(string) error { t.Error("something was shown"); return nil }
	for name, row := range map[string]struct {
		change http.HandlerFunc
		code   lockboxv1.RefusalCode
	}{
		"another issuer's": {respond(map[string]string{"issuer": "https://other.example"}), unavailable},
		"no JSON":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, unavailable},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://other.example", http.StatusFound)
		}, unavailable},
		"a file to open": {respond(map[string]string{
			"issuer": p.url, "authorization_endpoint": "file:///etc/passwd", "token_endpoint": p.url, "jwks_uri": p.url,
		}), unauthenticated},
		"tokens over http": {respond(map[string]string{
			"issuer": p.url, "authorization_endpoint": p.url, "token_endpoint": "http://other.example", "jwks_uri": p.url,
		}), unauthenticated},
	} {
		p.change[discovery] = row.change
		_, err := p.client().Browser(t.Context(), no)
		wants(t, name, err, row.code, "")
	}
	p.change[discovery] = respond(map[string]string{"issuer": p.url, "authorization_endpoint": p.url,
		"token_endpoint": p.url, "jwks_uri": p.url})
	_, err := p.client().Device(t.Context(), func(Code) error { return no("") })
	wants(t, "no devices", err, invalid, "with a code")
	_, err = Client{Issuer: "http://127.0.0.1:1", ID: "x", Now: time.Now}.Browser(t.Context(), no)
	wants(t, "nobody there", err, unavailable, "does not answer")
}

func TestACodeThatNobodyUsesExpires(t *testing.T) {
	p := play(t)
	p.change["/provider/device_authorization"] = respond(map[string]any{
		"device_code": "x", "user_code": "BCDF-GHJK", "verification_uri": p.url + "/device", "expires_in": 1, "interval": 5,
	})
	_, err := p.client().Device(t.Context(), func(Code) error { return nil })
	wants(t, "after a second", err, unauthenticated, "in time")
	p.change["/provider/device_authorization"] = respond(map[string]any{"device_code": "x", "user_code": "B",
		"verification_uri": "http://other.example/device"})
	_, err = p.client().Device(t.Context(), func(Code) error { t.Error("it was shown"); return nil })
	wants(t, "a page over http", err, unauthenticated, "neither https")
}

func TestWhoIsInterruptedStopsWaiting(t *testing.T) {
	p := play(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := p.client().Browser(ctx, func(string) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	if _, err := p.client().Device(ctx, func(Code) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestASignInIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "tokens")
	must(t, os.MkdirAll(dir, 0o755)) // somebody made it too open
	s := Store{dir}
	v := Saved{Issuer: "https://login.example", ClientID: "lockbox", Token: "a.b.c"}
	if _, err := s.Load("default"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	must(t, s.Save("default", Saved{Issuer: "https://old.example", Token: "x"}))
	must(t, s.Save("default", v))
	must(t, s.Save("otto", v))
	for path, want := range map[string]fs.FileMode{dir: 0o700, s.Path("default"): 0o600, s.Path("otto"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info, err, want)
		}
	}
	got, err := s.Load("default")
	must(t, err)
	if diff := cmp.Diff(v, got); diff != "" {
		t.Error(diff)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("something is left behind: %v, %v", files, err)
	}
	if diff := cmp.Diff([]string{"default", "otto"}, s.Profiles()); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "../x", "a/b", "A", "-a", strings.Repeat("a", 41), "a.b", "a\n"} {
		wants(t, bad, s.Save(bad, v), invalid, "a-z")
		_, err := s.Load(bad)
		wants(t, bad, err, invalid, "a-z")
		_, err = s.Remove(bad)
		wants(t, bad, err, invalid, "a-z")
	}
	must(t, os.Chmod(s.Path("otto"), 0o640))
	_, err = s.Load("otto")
	wants(t, "a file that others can read", err, unauthenticated, "can be read by others")
	must(t, os.WriteFile(s.Path("broken"), []byte("{}"), 0o600))
	_, err = s.Load("broken")
	wants(t, "no token in it", err, unauthenticated, "is not a sign-in")
	for _, want := range []bool{true, false} {
		if was, err := s.Remove("otto"); err != nil || was != want {
			t.Errorf("removing: %v, %v", was, err)
		}
	}
}

func TestAProfileGivesItsTokenUntilItExpires(t *testing.T) {
	d, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()})
	must(t, err)
	begun := time.Date(2026, 5, 12, 12, 0, 0, 0, time.UTC)
	token, err := d.Token("otto", begun)
	must(t, err)
	s := Store{t.TempDir()}
	must(t, s.Save("otto", Saved{Issuer: "x", Token: token}))
	end := begun.Add(devissuer.Lifetime)
	at := func(now time.Time) Profile { return Profile{s, "otto", func() time.Time { return now }} }
	if got, err := at(end.Add(-time.Nanosecond)).Token(t.Context()); err != nil || got != token {
		t.Errorf("a nanosecond before: %q, %v", got, err)
	}
	_, err = at(end).Token(t.Context())
	wants(t, "at its end", err, unauthenticated, "you were signed in as Otto Owens until 2026-05-12T13:00:00Z")
	_, err = Profile{s, "nobody", time.Now}.Token(t.Context())
	wants(t, "no such profile", err, unauthenticated, "under the profile nobody")
	must(t, s.Save("odd", Saved{Issuer: "x", Token: "opaque"}))
	_, err = Profile{s, "odd", time.Now}.Token(t.Context())
	wants(t, "no JWT", err, unauthenticated, "not a JSON Web Token")
}

func TestWhereSignInsAreKept(t *testing.T) {
	for name, row := range map[string]struct {
		env  map[string]string
		want string
	}{
		"XDG":          {map[string]string{"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/lockbox/tokens"},
		"home":         {map[string]string{"HOME": "/h"}, "/h/.local/state/lockbox/tokens"},
		"relative XDG": {map[string]string{"XDG_STATE_HOME": "s", "HOME": "/h"}, "/h/.local/state/lockbox/tokens"},
		"nowhere":      {nil, ""},
	} {
		s, err := DefaultStore(func(key string) string { return row.env[key] })
		if s.Dir != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: %s, %v", name, s.Dir, err)
		}
	}
}
