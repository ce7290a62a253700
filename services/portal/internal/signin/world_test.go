package signin_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/signin"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clock is turned by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) after(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a portal of two copies behind one address, on a real bus, and the demo's issuers, served.
type world struct {
	*clock
	bus     *journaltest.Bus
	issuers *devissuer.Issuer
	behind  time.Duration // the issuers' clock
	down    atomic.Bool   // they do not answer
	url     string
	active  atomic.Int32 // the copy that answers
	copies  []http.Handler
	backend *sitetest.Backend
	// registered are the customers whose sign-in is in their own events.
	registered map[string]*lockboxv1.SignInOptions
	// approve is what pages do with the refusal of a decision.
	approve func(v *site.Visit, err error) error
}

// shared is the bus of all tests, whose sessions are their own.
var shared journaltest.Shared

func TestMain(m *testing.M) { shared.Run(m) }

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, shared.Bus(t))
}

func newWorldOn(t *testing.T, b *journaltest.Bus) *world {
	t.Helper()
	w := &world{clock: &clock{now: time.Now().Truncate(time.Second)}, bus: b, backend: &sitetest.Backend{}}
	server := httptest.NewUnstartedServer(nil)
	var err error
	w.issuers, err = devissuer.New(devissuer.Config{
		Demo: true, Dir: t.TempDir(), URL: "http://" + server.Listener.Addr().String(),
		Now: func() time.Time { return w.time().Add(-w.behind) },
	})
	must(t, err)
	issuers := w.issuers.Handler()
	server.Config.Handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if w.down.Load() {
			http.Error(out, "down", http.StatusBadGateway)
			return
		}
		issuers.ServeHTTP(out, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter,
		r *http.Request) {
		w.copies[w.active.Load()].ServeHTTP(out, r)
	}))
	w.url = "http://" + front.Listener.Addr().String()
	for range 2 {
		w.copies = append(w.copies, w.portal(t))
	}
	front.Start()
	t.Cleanup(front.Close)
	return w
}

// portal is one copy.
func (w *world) portal(t *testing.T) http.Handler {
	t.Helper()
	s := sitetest.New(t, w.backend, nil)
	s.Now = w.time
	s.Registered = &organisation.Registered{Now: w.time,
		Ask: func(_ context.Context, tenant string) (*lockboxv1.SignInOptions, error) {
			if o := w.registered[tenant]; o != nil {
				return o, nil
			}
			return nil, refusal.NotFound("", "I9", "there is nothing of that name")
		}}
	of := func(tenant, name, issuer string, domains ...string) organisation.Organisation {
		return organisation.Organisation{Tenant: tenant, Name: name, Issuer: issuer, ClientID: devissuer.ClientID,
			Domains: domains}
	}
	s.Organisations = organisation.List{
		of("meadowbank", "Meadow Bank", w.issuers.TenantIssuer("meadowbank").GetUrl(), "meadowbank.example"),
		of("sakura", "Sakura Health", w.issuers.TenantIssuer("sakura").GetUrl(), "sakura.example"),
		of("", "Nimbus Cloud", w.issuers.ProviderIssuer().URL, "nimbus.example"),
	}
	must(t, s.Organisations.Check())
	sessions, err := session.New(w.bus.Connect(t, bus.Portal), false, w.time)
	must(t, err)
	s.Sessions = sessions
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/", s.Assets)
	must(t, signin.Mount(mux, s, sessions, w.url))
	s.Mount(mux, []site.Route{
		{Method: "GET", Path: "", Side: site.Both, Serve: whoami},
		{Method: "GET", Path: "/requests/{id}", Side: site.Both, Serve: whoami},
		{Method: "GET", Path: "/requests/{id}/approve", Side: site.Both, Serve: whoami},
		{Method: "POST", Path: "/requests/{id}/approve", Side: site.Both, Serve: func(v *site.Visit) error {
			if _, err := v.Do(&lockboxv1.Command{Action: &lockboxv1.Command_Approve{
				Approve: &lockboxv1.Approve{}}}); err != nil {
				return w.approve(v, err)
			}
			return whoami(v)
		}},
		{Method: "GET", Path: "/asks", Side: site.Both, Serve: func(v *site.Visit) error {
			if _, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{}}); err != nil {
				return err
			}
			return whoami(v)
		}},
	})
	return s.Secured(mux)
}

func whoami(v *site.Visit) error {
	_, err := fmt.Fprintf(v.W, "%s of %s, %s, in %s, typed “%s”", v.Session.Name, v.Organisation.Name,
		v.R.URL.RequestURI(), v.Say.Language, v.Draft().Get("reason"))
	return err
}

// browser keeps cookies and follows no redirect by itself.
type browser struct {
	http.Client
	t *testing.T
	w *world
}

// page is what a browser shows.
type page struct {
	status   int
	at       string
	location string // where a redirect goes
	body     string
	cookies  []*http.Cookie
}

func (w *world) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{http.Client{Jar: jar, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}, t, w}
}

func (b *browser) address(at string) string {
	if strings.HasPrefix(at, "/") {
		return b.w.url + at
	}
	return at
}

func (b *browser) get(at string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.address(at), nil)
	must(b.t, err)
	return b.send(r)
}

// post sends a form of one of the portal's pages.
func (b *browser) post(at string, form url.Values, from string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.address(at), strings.NewReader(form.Encode()))
	must(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if from != "" {
		r.Header.Set("Referer", b.address(from))
	}
	return b.send(r)
}

func (b *browser) send(r *http.Request) page {
	b.t.Helper()
	response, err := b.Do(r)
	must(b.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(b.t, err)
	return page{response.StatusCode, response.Request.URL.String(), response.Header.Get("Location"), string(body),
		response.Cookies()}
}

// follow follows redirects within the portal.
func (b *browser) follow(p page) page {
	b.t.Helper()
	for range 10 {
		if p.status != http.StatusSeeOther || !strings.HasPrefix(b.address(p.location), b.w.url) {
			return p
		}
		p = b.get(p.location)
	}
	b.t.Fatalf("redirects without an end: %s", p.at)
	return p
}

var (
	refresh   = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]*)">`)
	mainLink  = regexp.MustCompile(`<a class="button main" href="([^"]*)">`)
	formProof = regexp.MustCompile(`name="proof" value="([^"]*)"`)
)

// link finds an address in a page.
func link(t *testing.T, p page, pattern *regexp.Regexp) string {
	t.Helper()
	found := pattern.FindStringSubmatch(p.body)
	if found == nil {
		t.Fatalf("%d %s: no %v in %s", p.status, p.at, pattern, p.body)
	}
	return html.UnescapeString(found[1])
}

// choose goes from a page that leads to the issuer, by the link that it shows, and signs a persona in there; empty:
// nobody. It returns the address that the issuer sends the browser back to.
func (b *browser) choose(leaving page, persona string) (back string) {
	b.t.Helper()
	at := link(b.t, leaving, mainLink)
	chooser := b.get(at)
	p := b.post(at, url.Values{"persona": {persona}, "proof": {link(b.t, chooser, formProof)}}, "")
	if p.status != http.StatusSeeOther || !strings.HasPrefix(p.location, b.w.url+"/callback?") {
		b.t.Fatalf("%s: %d %s %s", persona, p.status, p.location, p.body)
	}
	return p.location
}

// signIn signs a persona in on the way to a page, and returns that page.
func (b *browser) signIn(persona, to string) page {
	b.t.Helper()
	leaving := b.follow(b.get("/signin?" + url.Values{"to": {to}}.Encode()))
	p := b.follow(b.get(b.choose(leaving, persona)))
	if p.status != http.StatusOK || p.at != b.w.url+to {
		b.t.Fatalf("%s: %d %s %s", persona, p.status, p.at, p.body)
	}
	return p
}

// session is the browser's session cookie; nil: it has none.
func (b *browser) session() *http.Cookie {
	u, err := url.Parse(b.w.url)
	must(b.t, err)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == "lockbox-session" {
			return c
		}
	}
	return nil
}

// shows checks what a page says.
func shows(t *testing.T, what string, p page, status int, text string) {
	t.Helper()
	if p.status != status || !strings.Contains(html.UnescapeString(p.body), text) {
		t.Errorf("%s: %d %s, want %d with %q: %s", what, p.status, p.at, status, text, p.body)
	}
}
