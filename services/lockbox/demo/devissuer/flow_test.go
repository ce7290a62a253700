package devissuer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"golang.org/x/oauth2"
)

const callback = "http://127.0.0.1:5555/callback"

// site is the demo issuer, served, and a clock to turn.
type site struct {
	*devissuer.Issuer
	mu  sync.Mutex
	now time.Time
}

func serve(t *testing.T) *site {
	t.Helper()
	s := &site{now: now}
	server := httptest.NewUnstartedServer(nil)
	var err error
	s.Issuer, err = devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir(), URL: "http://" +
		server.Listener.Addr().String(), Now: s.time})
	must(t, err)
	server.Config.Handler = s.Handler()
	server.Start()
	t.Cleanup(server.Close)
	return s
}

func (s *site) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) after(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// client is a client of one issuer as anybody would write it, with go-oidc.
type client struct {
	oauth2.Config
	provider *oidc.Provider
	ids      *oidc.IDTokenVerifier
}

func newClient(t *testing.T, s *site, issuer string) client {
	t.Helper()
	p, err := oidc.NewProvider(t.Context(), issuer)
	must(t, err)
	return client{
		oauth2.Config{ClientID: devissuer.ClientID, Endpoint: p.Endpoint(), RedirectURL: callback,
			Scopes: []string{oidc.ScopeOpenID}},
		p, p.Verifier(&oidc.Config{ClientID: devissuer.ClientID, Now: s.time}),
	}
}

// browser keeps cookies, and follows redirects to the issuer only.
type browser struct{ http.Client }

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{http.Client{Jar: jar, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

func (b *browser) get(t *testing.T, at string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	must(t, err)
	return b.do(t, r)
}

func (b *browser) post(t *testing.T, at string, form url.Values, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(form.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	return b.do(t, r)
}

func (b *browser) do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := b.Do(r)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	return response, string(body)
}

var (
	formOfPage = regexp.MustCompile(`<form method="post">`) // to the page's own address
	formProof  = regexp.MustCompile(`name="proof" value="([^"]*)"`)
)

// choose opens an address, finds the form there, and presses the button of a persona.
func (b *browser) choose(t *testing.T, at, persona string) (*http.Response, string) {
	t.Helper()
	response, page := b.get(t, at)
	proof := formProof.FindStringSubmatch(page)
	if !formOfPage.MatchString(page) || proof == nil ||
		!strings.Contains(page, fmt.Sprintf(`name="persona" value=%q`, persona)) {
		t.Fatalf("%s: no button for %q: %s", response.Status, persona, page)
	}
	return b.post(t, response.Request.URL.String(), url.Values{"persona": {persona}, "proof": {proof[1]}}, nil)
}

// answer is what a client is told at its address.
func answer(t *testing.T, response *http.Response) url.Values {
	t.Helper()
	to, err := response.Location()
	if err != nil || response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to.String(), callback+"?") {
		t.Fatalf("%s, %v, %v", response.Status, to, err)
	}
	return to.Query()
}

// code signs a persona in, and returns the code with what is needed to redeem it.
func (c client) code(t *testing.T, persona string) (code, verifier string) {
	t.Helper()
	verifier = oauth2.GenerateVerifier()
	response, _ := newBrowser(t).choose(t,
		c.AuthCodeURL("state", oidc.Nonce("nonce"), oauth2.S256ChallengeOption(verifier)), persona)
	return answer(t, response).Get("code"), verifier
}

func TestSomebodySignsInWithACode(t *testing.T) {
	s := serve(t)
	for persona, issuer := range map[string]string{
		"ivan": s.ProviderIssuer().URL, "fleur": s.TenantIssuer("meadowbank").GetUrl(),
		"kenji": s.TenantIssuer("sakura").GetUrl(),
	} {
		c := newClient(t, s, issuer)
		verifier := oauth2.GenerateVerifier()
		state := "a&b=c \"<é>"
		response, _ := newBrowser(t).choose(t,
			c.AuthCodeURL(state, oidc.Nonce("n-"+persona), oauth2.S256ChallengeOption(verifier)), persona)
		got := answer(t, response)
		if got.Get("state") != state || got.Get("iss") != issuer {
			t.Errorf("%s: the answer is %v", persona, got)
		}
		token, err := c.Exchange(t.Context(), got.Get("code"), oauth2.VerifierOption(verifier))
		must(t, err)
		raw, _ := token.Extra("id_token").(string)
		id, err := c.ids.Verify(t.Context(), raw)
		must(t, err)
		if id.Nonce != "n-"+persona || id.Subject != persona || id.Expiry.Unix() != now.Add(devissuer.Lifetime).Unix() ||
			token.TokenType != "Bearer" {
			t.Errorf("%s: %+v, %+v", persona, id, token)
		}
		want, err := s.Token(persona, now)
		must(t, err)
		wanted, given := claims(t, want), claims(t, token.AccessToken)
		if diff := cmp.Diff(wanted, given); diff != "" {
			t.Errorf("%s: over HTTP the token is another: %s", persona, diff)
		}
		wanted["nonce"] = "n-" + persona
		if diff := cmp.Diff(wanted, claims(t, raw)); diff != "" {
			t.Errorf("%s: %s", persona, diff)
		}
		p, _ := devissuer.Find(persona)
		for _, jwt := range []string{raw, token.AccessToken} {
			if _, err := verifierOf(t, s).Verify(jwt, s.TenantIssuer(p.Tenant), now); err != nil {
				t.Errorf("%s: a service does not take it: %v", persona, err)
			}
		}
		if _, err := c.Exchange(t.Context(), got.Get("code"),
			oauth2.VerifierOption(verifier)); oauthError(err) != "invalid_grant" {
			t.Errorf("%s: the code a second time: %v", persona, err)
		}
	}
}

func TestACodeIsGoodForItsClientOnceAndForAMinute(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.TenantIssuer("meadowbank").GetUrl())
	type try struct {
		client
		code, verifier string
	}
	for name, row := range map[string]struct {
		change func(*try)
		want   string
	}{
		"as it should be":    {func(*try) {}, ""},
		"the wrong verifier": {func(x *try) { x.verifier = oauth2.GenerateVerifier() }, "invalid_grant"},
		"the challenge itself": {func(x *try) { x.verifier = oauth2.S256ChallengeFromVerifier(x.verifier) },
			"invalid_grant"},
		"no verifier":          {func(x *try) { x.verifier = "" }, "invalid_request"},
		"another port":         {func(x *try) { x.RedirectURL = "http://127.0.0.1:5556/callback" }, "invalid_grant"},
		"no redirect address":  {func(x *try) { x.RedirectURL = "" }, "invalid_request"},
		"an address elsewhere": {func(x *try) { x.RedirectURL = "https://evil.example/callback" }, "invalid_grant"},
		"another client":       {func(x *try) { x.ClientID = "other" }, "invalid_client"},
		"another code":         {func(x *try) { x.code = x.code[1:] + "X" }, "invalid_grant"},
		"another issuer": {func(x *try) { x.client = newClient(t, s, s.TenantIssuer("sakura").GetUrl()) },
			"invalid_grant"},
		"a nanosecond too late": {func(*try) { s.after(time.Minute) }, "invalid_grant"},
		"just in time":          {func(*try) { s.after(time.Minute - 1) }, ""},
	} {
		x := try{client: c}
		x.code, x.verifier = c.code(t, "otto")
		code, right := x.code, x.verifier
		row.change(&x)
		_, err := x.Exchange(t.Context(), x.code, oauth2.VerifierOption(x.verifier))
		if got := oauthError(err); got != row.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, row.want)
		}
		if strings.HasPrefix(name, "the wrong") {
			if _, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(right)); oauthError(err) != "invalid_grant" {
				t.Errorf("after %s the code is still good: %v", name, err)
			}
		}
	}
}

func TestOfManyWhoRedeemACodeAtOnceOneGetsAToken(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	code, verifier := c.code(t, "erin")
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)) })
	}
	wg.Wait()
	got := 0
	for _, err := range errs {
		if err == nil {
			got++
		}
	}
	if got != 1 {
		t.Errorf("%d got a token", got)
	}
}

// ask is an authorization request as it should be, changed.
func request(c client, change func(url.Values)) string {
	to, _ := url.Parse(c.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	q := to.Query()
	change(q)
	to.RawQuery = q.Encode()
	return to.String()
}

func TestNothingIsSentToAnAddressThatIsNotAClientsOnThisMachine(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	for _, bad := range []string{
		"", "http://evil.example/callback", "https://127.0.0.1:5555/callback", "http://127.0.0.1/callback",
		"http://localhost.evil.example:5555/callback", "http://localhost/callback", "https://localhost:5555/callback",
		"http://127.0.0.1:5555/other", "http://127.0.0.1:5555/callback/", "http://127.0.0.1:5555/callback?a=b",
		"http://127.0.0.1:5555/callback#x",
		"http://127.0.0.1:5555@evil.example/callback", "http://u@127.0.0.1:5555/callback",
		`http://127.0.0.1:5555\@evil.example/callback`,
		"http://127.0.0.1.evil.example:5555/callback", "http://192.0.2.1:5555/callback", "//127.0.0.1:5555/callback",
		"javascript:alert(1)",
		"http://127.0.0.1:5555/%63allback", "HTTP://127.0.0.1:5555/callback", "http://127.0.0.1:5555/callback\n",
	} {
		for _, also := range []string{"", "prompt"} {
			at := request(c, func(q url.Values) {
				q.Set("redirect_uri", bad)
				if also != "" {
					q.Set(also, "none")
				}
			})
			response, page := newBrowser(t).get(t, at)
			if response.StatusCode != http.StatusBadRequest || response.Header.Get("Location") != "" ||
				strings.Contains(page, "<form") {
				t.Errorf("%q: %s, %q", bad, response.Status, response.Header.Get("Location"))
			}
		}
	}
	for _, good := range []string{"http://localhost:5555/callback",
		"http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback", "http://[::1]:5555/callback",
	} {
		response, _ := newBrowser(t).get(t, request(c, func(q url.Values) { q.Set("redirect_uri", good) }))
		if response.StatusCode != http.StatusOK {
			t.Errorf("%q: %s", good, response.Status)
		}
	}
}

func TestARequestThatIsWrongGoesBackToItsClient(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for name, row := range map[string]struct {
		change func(url.Values)
		want   string
	}{
		"a token at once":       {set("response_type", "id_token token"), "unsupported_response_type"},
		"no response type":      {func(q url.Values) { q.Del("response_type") }, "unsupported_response_type"},
		"no challenge":          {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"a plain challenge":     {set("code_challenge_method", "plain"), "invalid_request"},
		"no challenge method":   {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
		"a short challenge":     {set("code_challenge", "short"), "invalid_request"},
		"no sign-in":            {set("scope", "profile"), "invalid_scope"},
		"without asking":        {set("prompt", "none"), "login_required"},
		"a signed request":      {set("request", "e30.e30."), "request_not_supported"},
		"a request from a link": {set("request_uri", "http://192.0.2.1/"), "request_uri_not_supported"},
	} {
		response, _ := newBrowser(t).get(t, request(c, row.change))
		got := answer(t, response)
		if got.Get("error") != row.want || got.Get("state") != "state" || got.Get("iss") != s.ProviderIssuer().URL ||
			got.Has("code") {
			t.Errorf("%s: %v, want %s", name, got, row.want)
		}
	}
	for name, at := range map[string]string{
		"another client": request(c, set("client_id", "other")),
		"a state twice":  request(c, func(url.Values) {}) + "&state=other",
	} {
		if response, _ := newBrowser(t).get(t, at); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", name, response.Status)
		}
	}
}

func TestOnlyThePageItselfCanChoose(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	at := request(c, func(url.Values) {})
	b := newBrowser(t)
	_, page := b.get(t, at)
	proof := formProof.FindStringSubmatch(page)[1]
	erin := url.Values{"persona": {"erin"}, "proof": {proof}}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, row := range map[string]struct {
		by     *browser
		at     string
		form   url.Values
		change func(*http.Request)
		want   int
	}{
		"the page":                   {b, at, erin, nil, 303},
		"no proof":                   {b, at, url.Values{"persona": {"erin"}}, nil, 400},
		"another proof":              {b, at, url.Values{"persona": {"erin"}, "proof": {"x" + proof[1:]}}, nil, 400},
		"the proof of another state": {b, request(c, func(q url.Values) { q.Set("state", "other") }), erin, nil, 400},
		"no cookie":                  {newBrowser(t), at, erin, nil, 400},
		"another site's page":        {b, at, erin, header("Sec-Fetch-Site", "cross-site"), 403},
		"another port's page":        {b, at, erin, header("Sec-Fetch-Site", "same-site"), 403},
		"another origin":             {b, at, erin, header("Origin", "http://evil.example"), 403},
		"nobody known":               {b, at, url.Values{"persona": {"mallory"}, "proof": {proof}}, nil, 400},
		"somebody of a tenant":       {b, at, url.Values{"persona": {"otto"}, "proof": {proof}}, nil, 400},
		"too much": {b, at, url.Values{"persona": {strings.Repeat("x", 100_000)}, "proof": {proof}},
			nil, 400},
	} {
		response, _ := row.by.post(t, row.at, row.form, row.change)
		if response.StatusCode != row.want || (response.Header.Get("Location") != "") != (row.want == 303) {
			t.Errorf("%s: %s, %q", name, response.Status, response.Header.Get("Location"))
		}
	}
	// A form cannot turn the answer elsewhere either.
	form := url.Values{"persona": {"erin"}, "proof": {proof}, "redirect_uri": {"http://127.0.0.1:6666/callback"},
		"state": {"mine"}}
	response, _ := b.post(t, at, form, nil)
	if got := answer(t, response); got.Get("state") != "state" {
		t.Errorf("the form changed the request: %v", got)
	}
}

func TestAnAddressMayBeWrittenInAnyWay(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	at := strings.Replace(request(c, func(url.Values) {}), "state=state", "state='(%7e)*;,", 1)
	at = strings.Replace(at, ";", "%3b", 1)
	response, _ := newBrowser(t).choose(t, at, "erin")
	if got := answer(t, response); got.Get("state") != "'(~)*;," || !got.Has("code") {
		t.Errorf("got %v", got)
	}
}

func TestWhoCancelsIsNobody(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	response, _ := newBrowser(t).choose(t, request(c, func(url.Values) {}), "")
	if got := answer(t, response); got.Get("error") != "access_denied" || got.Get("state") != "state" {
		t.Errorf("got %v", got)
	}
}

func TestTheTokenEndpointGivesNothingElse(t *testing.T) {
	s := serve(t)
	for _, grant := range []string{"password", "client_credentials", "refresh_token", "nonsense"} {
		response, body := newBrowser(t).post(t, s.ProviderIssuer().URL+"/token", url.Values{
			"grant_type": {grant}, "client_id": {devissuer.ClientID}, "username": {"erin"}, "password": {"x"},
			"refresh_token": {"x"},
		}, nil)
		if response.StatusCode < 400 || strings.Contains(body, "access_token") {
			t.Errorf("%s: %s %s", grant, response.Status, body)
		}
	}
}

func verifierOf(t *testing.T, s *site) *identity.Verifier {
	t.Helper()
	return verifier(t, s.ProviderIssuer())
}

// claims are a token's, unverified.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	var c map[string]any
	must(t, json.Unmarshal(payload, &c))
	return c
}

func oauthError(err error) string {
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return refused.ErrorCode
	}
	return err.Error()
}
