// Package sitetest provides a site for tests of pages: somebody is signed in, and the test supplies the replies to the
// pages' queries. It shows how pages render; whether the services would reply like that is tested with the whole stack.
package sitetest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"go.uber.org/zap"
)

// Statement is where the provider states how it handles government requests.
const Statement = "https://nimbus.example/government-requests"

// Now is the current time in every test.
var Now = time.Date(2026, 8, 3, 9, 30, 0, 0, time.UTC)

// Backend replies to the pages' queries by the query's name, and to commands by the command's verb. Anything without a
// reply is NOT_FOUND, except get_self and the count of waiting requests, which are empty.
type Backend struct {
	Queries  map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error)
	Commands map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error)
	// Intents replies to intents; nil: none is evaluated in time.
	Intents func(id string, in *lockboxv1.AccessIntent) (*lockboxv1.IntentOutcome, error)
	// Asked, Done and Submitted record the queries, commands and intents in order.
	Asked     []*lockboxv1.Query
	Done      []*lockboxv1.Command
	Submitted []*lockboxv1.AccessIntent
}

// Submit implements site.Caller.
func (b *Backend) Submit(
	_ context.Context, _, tool, id string, in *lockboxv1.AccessIntent, _ time.Duration,
) (*lockboxv1.IntentOutcome, error) {
	if b.Submitted = append(b.Submitted, in); b.Intents == nil || tool != bus.PortalTool {
		return nil, nil //nolint:nilnil // no outcome yet, which is not an error
	}
	return b.Intents(id, in)
}

// Ask implements site.Caller.
func (b *Backend) Ask(_ context.Context, _ string, q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	b.Asked = append(b.Asked, q)
	name := bus.QueryName(q)
	if answer, known := b.Queries[name]; known {
		return answer(q)
	}
	if name == "get_self" || q.GetListRequests().GetCount() && q.GetListRequests().GetLimit() == 1 {
		return &lockboxv1.QueryReply{}, nil
	}
	return nil, refusal.NotFound("ask", "I9", "there is nothing")
}

// Do implements site.Caller.
func (b *Backend) Do(_ context.Context, _ string, c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	b.Done = append(b.Done, c)
	if answer, known := b.Commands[bus.Verb(c)]; known {
		return answer(c)
	}
	return nil, refusal.NotFound("action", "I9", "there is nothing")
}

type always struct {
	*session.Session
	drafts map[string]url.Values
}

// Current implements site.Sessions.
func (a always) Current(*http.Request) (*session.Session, error) { return a.Session, nil }

// End implements site.Sessions.
func (always) End(http.ResponseWriter, *http.Request) error { return nil }

// Keep implements site.Sessions.
func (a always) Keep(_ *http.Request, path string, values url.Values) (bool, error) {
	if a.Session == nil {
		return false, nil
	}
	a.drafts[path] = values
	return true, nil
}

// Draft implements site.Sessions.
func (a always) Draft(_ *http.Request, path string) (url.Values, error) { return a.drafts[path], nil }

// Forget implements site.Sessions.
func (a always) Forget(_ *http.Request, path string) error {
	delete(a.drafts, path)
	return nil
}

// New returns a site on which that person is signed in; nil for nobody.
func New(t testing.TB, b *Backend, who *session.Session) *site.Site {
	t.Helper()
	say, err := words.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := &site.Site{
		Caller: b, Sessions: always{who, map[string]url.Values{}}, Words: say, Provider: "Nimbus Cloud",
		GovernmentRequestsURL: Statement, Now: func() time.Time { return Now },
		Log: zap.NewNop(),
		Organisations: organisation.List{
			{Tenant: "meadowbank", Name: "Meadow Bank", Issuer: "https://login.meadowbank.example", ClientID: "lockbox",
				Domains: []string{"meadowbank.example"}},
			{Name: "Nimbus Cloud", Issuer: "https://login.nimbus.example", ClientID: "lockbox",
				Domains: []string{"nimbus.example"}},
		},
	}
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Otto returns the session of one of the bank's people.
func Otto() *session.Session {
	return &session.Session{Tenant: "meadowbank", Token: "token", Name: "Otto Owens", Language: "en",
		Expires: Now.Add(time.Hour)}
}

// Lena returns the session of one of the provider's people.
func Lena() *session.Session {
	return &session.Session{Token: "token", Name: "Lena Lang", Language: "en", Expires: Now.Add(time.Hour)}
}

// Server serves routes of a site as the portal does.
func Server(s *site.Site, routes []site.Route) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/", s.Assets)
	s.Mount(mux, routes)
	return s.Secured(mux)
}

// Get requests a URL.
func Get(h http.Handler, address string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil)) //nolint:noctx // the test's server has no other
	return w
}

// Post submits a form as a page of the same site would.
func Post(h http.Handler, address string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode())) //nolint:noctx // the test's server has no other
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
