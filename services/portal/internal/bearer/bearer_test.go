package bearer_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// noSessions fails the test if anybody looks for one.
type noSessions struct {
	site.Sessions // nothing is typed here
	t             *testing.T
}

func (n noSessions) Current(*http.Request) (*session.Session, error) {
	n.t.Error("a REST API looked for a web session")
	return sitetest.Otto(), nil
}

func (noSessions) End(http.ResponseWriter, *http.Request) error { return nil }

// serve is an API of two routes beside pages; what it is asked comes to the backend.
func serve(t *testing.T, b *sitetest.Backend, fields bearer.Fields) http.Handler {
	t.Helper()
	s := sitetest.New(t, b, nil)
	s.Sessions, s.Secure = noSessions{t: t}, true
	return beside(s, fields)
}

func beside(s *site.Site, fields bearer.Fields) http.Handler {
	a := &bearer.API{
		Desk: bearer.NewDesk(s, "https://lockbox.example"), Fold: true,
		Problem: func(c *bearer.Call, status int, r *lockboxv1.Refusal) {
			c.Write(status, "text/plain", []byte(r.GetField()+": "+r.GetMessage()))
		},
		Routes: []bearer.Route{
			{Method: http.MethodGet, Path: "/Things/{id}", Serve: func(c *bearer.Call) error {
				if _, err := c.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}}); err != nil {
					return err
				}
				return c.JSON(http.StatusOK, c.Param("id"))
			}},
			{Method: http.MethodPost, Path: "/Things/{id}", Serve: func(c *bearer.Call) error { return c.Body(fields) }},
		},
	}
	return bearer.Beside(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a page")
	}), a)
}

func TestATokenSaysWhomToAsk(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		status  int
		tenant  string
	}{
		"a customer's":   {[]string{"Authorization", "Bearer " + bearertest.Otto}, 200, "meadowbank"},
		"the provider's": {[]string{"Authorization", "bearer " + bearertest.Lena}, 200, ""},
		"one of several audiences": {[]string{"Authorization", "Bearer " +
			bearertest.Token("https://login.meadowbank.example", []string{"x", "lockbox"})}, 200, "meadowbank"},
		"of another audience": {[]string{"Authorization", "Bearer " +
			bearertest.Token("https://login.meadowbank.example", "x")}, 401, ""},
		"of another issuer": {[]string{"Authorization", "Bearer " +
			bearertest.Token("https://login.sakura.example", "lockbox")}, 401, ""},
		"an audience of another kind": {[]string{"Authorization", "Bearer " +
			bearertest.Token("https://login.meadowbank.example", 7)}, 401, ""},
		"no token": {nil, 401, ""},
		"two tokens": {[]string{"Authorization", "Bearer " + bearertest.Otto, "Authorization", "Bearer " +
			bearertest.Otto}, 401, ""},
		"another scheme":            {[]string{"Authorization", "Basic " + bearertest.Otto}, 401, ""},
		"no payload":                {[]string{"Authorization", "Bearer a.!.c"}, 401, ""},
		"a payload that is no JSON": {[]string{"Authorization", "Bearer a.YQ.c"}, 401, ""},
		"an endless one":            {[]string{"Authorization", "Bearer " + strings.Repeat("a", 1<<20)}, 401, ""},
		"a browser's session":       {[]string{"Cookie", "lockbox-session=abc; token=" + bearertest.Otto}, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := &sitetest.Backend{}
			w := bearertest.Call(serve(t, b, nil), "GET", "/things/1", "", "", c.headers...)
			if w.Code != c.status || (w.Header().Get("WWW-Authenticate") == "Bearer") != (c.status == 401) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if asked := c.status == 200; len(b.Asked) > 0 != asked || asked && b.Asked[0].GetTenant() != c.tenant {
				t.Errorf("asked: %v", b.Asked)
			}
		})
	}
}

// A customer that is not configured calls the APIs too: the services say whose its token is, once in a while (R65).
func TestR65ACustomerThatIsNotConfiguredCalls(t *testing.T) {
	b := &sitetest.Backend{}
	s := sitetest.New(t, b, nil)
	now, asked := time.Now(), 0
	s.Now = func() time.Time { return now }
	tenants := map[string]string{bearertest.Token("https://login.harbour.example", "lockbox"): "harbour"}
	s.Registered = &organisation.Registered{Now: s.Now,
		Self: func(_ context.Context, token string) (*lockboxv1.SelfView, error) {
			asked++
			if tenants[token] == "" {
				return nil, refusal.Unauthenticated("token", "R13", "not trusted")
			}
			return &lockboxv1.SelfView{Tenant: tenants[token]}, nil
		}}
	h := beside(s, nil)
	for token := range tenants {
		for range 3 {
			if w := bearertest.Call(h, "GET", "/things/1", token, ""); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	}
	if len(b.Asked) != 3 || b.Asked[2].GetTenant() != "harbour" || asked != 1 {
		t.Errorf("asked %d times whose it is, and %v", asked, b.Asked)
	}
	now = now.Add(time.Hour)
	clear(tenants)
	for _, token := range []string{bearertest.Token("https://login.harbour.example", "lockbox"), "a.b.c"} {
		if w := bearertest.Call(h, "GET", "/things/1", token, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("nobody's: %d %s", w.Code, w.Body)
		}
	}
}

func TestAPathIsAnAPIsOrAPages(t *testing.T) {
	h := serve(t, &sitetest.Backend{}, nil)
	for address, want := range map[string]string{
		"/things/a%2Fb": `200 "a/b"`, "/THINGS/x/": `200 "x"`,
		"/things":     "404 : there is nothing of that name that you may see",
		"/things/a/b": "404 : there is nothing of that name that you may see", "/": "200 a page", "/thing/x": "200 a page",
		"/x/things/x": "200 a page",
	} {
		w := bearertest.Call(h, "GET", address, bearertest.Otto, "")
		if got := strings.TrimSpace(strconv.Itoa(w.Code) + " " + w.Body.String()); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestMethods(t *testing.T) {
	h := serve(t, &sitetest.Backend{}, nil)
	server := httptest.NewServer(h)
	defer server.Close()
	for method, want := range map[string]struct {
		status      int
		allow, body string
	}{
		"HEAD": {200, "", ""}, "OPTIONS": {204, "GET, POST, HEAD, OPTIONS", ""},
		"DELETE": {405, "GET, POST, HEAD, OPTIONS", ": this path does not take DELETE"},
	} {
		r, err := http.NewRequest(method, server.URL+"/things/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearertest.Otto)
		r.Header.Set("Origin", "https://elsewhere.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != want.status || response.Header.Get("Allow") != want.allow ||
			string(body) != want.body {
			t.Errorf("%s: %d %q %s (%v)", method, response.StatusCode, response.Header.Get("Allow"), body, err)
		}
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cache-Control": "no-store",
			"X-Content-Type-Options":    "nosniff",
			"Strict-Transport-Security": "max-age=63072000; includeSubDomains", "Access-Control-Allow-Origin": "",
		} {
			if got := response.Header.Get(name); got != value {
				t.Errorf("%s: %s: %q", method, name, got)
			}
		}
	}
}

func TestABodyIsUnderstoodOrRefused(t *testing.T) {
	type into struct {
		reason string
		list   []string
	}
	for body, want := range map[string]struct {
		status int
		field  string
		read   into
	}{
		`{"reason":"x","list":["a","b"]}`: {status: 200, read: into{"x", []string{"a", "b"}}},
		`{}`:                              {status: 200},
		`{"Reason":"x"}`:                  {status: 400, field: "Reason"},
		`{"reason":"x","more":1}`:         {status: 400, field: "more"},
		`{"reason":"x","reason":"y"}`:     {status: 400, field: "body"},
		`{"reason":null}`:                 {status: 200},
		"\uFEFF" + `{"reason":"x"}`:       {status: 200, read: into{reason: "x"}},
		`{"reason":1}`:                    {status: 400, field: "reason"},
		`{"list":"a"}`:                    {status: 400, field: "list"},
		`{} {}`:                           {status: 400, field: "body"},
		`[]`:                              {status: 400, field: "body"},
		`null`:                            {status: 400, field: "body"},
		"{\"reason\":\"\xff\"}":           {status: 400, field: "body"},
		`{"reason":"` + strings.Repeat("x", 64<<10) + `"}`: {status: 413},
	} {
		got := into{}
		h := serve(t, &sitetest.Backend{}, bearer.Fields{"reason": &got.reason, "list": &got.list})
		w := bearertest.Call(h, "POST", "/things/x", bearertest.Otto, body)
		field, _, _ := strings.Cut(w.Body.String(), ":")
		if w.Code != want.status || want.status == 400 && field != want.field {
			t.Errorf("%.60s: %d %s", body, w.Code, w.Body)
		}
		if want.status == 200 && (got.reason != want.read.reason || len(got.list) != len(want.read.list)) {
			t.Errorf("%s: %v", body, got)
		}
	}
	h := serve(t, &sitetest.Backend{}, bearer.Fields{})
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset"} {
		r := httptest.NewRequest(http.MethodPost, "/things/x", strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+bearertest.Otto)
		r.Header.Set("Content-Type", media)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d %s", media, w.Code, w.Body)
		}
	}
}

var _ site.Sessions = noSessions{}
