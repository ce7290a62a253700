// Package site is the basis of the portal's pages: it identifies the visitor and their language, sends queries and
// commands with their own token, and renders pages. It contains no pages except for errors.
package site

import (
	"context"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/traced"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"go.uber.org/zap"
)

// Caller sends queries and commands on the bus: caller.Caller.
type Caller interface {
	Ask(ctx context.Context, token string, query *lockboxv1.Query) (*lockboxv1.QueryReply, error)
	Do(ctx context.Context, token string, command *lockboxv1.Command) (*lockboxv1.CommandReply, error)
	Submit(ctx context.Context, token, tool, id string, intent *lockboxv1.AccessIntent, within time.Duration) (
		*lockboxv1.IntentOutcome, error)
}

// Sessions finds the session of a request.
type Sessions interface {
	// Current returns the session of a request; nil if nobody is signed in, and UNAVAILABLE if the bus cannot be
	// reached.
	Current(r *http.Request) (*session.Session, error)
	// End signs out.
	End(w http.ResponseWriter, r *http.Request) error
	// Keep keeps what was typed on a page for whoever has the session, or had it until it ended by itself. False if
	// that is nobody, or it is too much.
	Keep(r *http.Request, path string, values url.Values) (bool, error)
	// Draft returns what was kept for a page; nil if nothing was.
	Draft(r *http.Request, path string) (url.Values, error)
	// Forget forgets what was kept for a page.
	Forget(r *http.Request, path string) error
}

// Site holds what all pages share.
type Site struct {
	Caller        Caller
	Sessions      Sessions
	Organisations organisation.List
	// Registered are those that are not configured; nil: there are none.
	Registered *organisation.Registered
	// Key is the portal's own at issuers that want one; nil: it has none.
	Key   *oidcclient.Key
	Words *words.Words
	// Provider is the provider's name.
	Provider string
	// GovernmentRequestsURL is where the provider states how it handles government requests for data; empty: nowhere.
	GovernmentRequestsURL string
	// URL is the portal's public base URL.
	URL string
	// Secure says that browsers reach the portal by https.
	Secure   bool
	Now      func() time.Time
	Log      *zap.Logger
	Counters *observe.Counters
	// Trail records who signs in, and who could not (R69); nil: nobody does.
	Trail *accesslog.Recorder
	// ProvidersZone is the time zone in which the provider's people are shown times, by its IANA name; empty: UTC.
	ProvidersZone string
	// Files are what pages were parsed from so far.
	Files []fs.FS
	// Environment is what the operator calls this installation, such as Staging; empty: nothing.
	Environment string

	problems *Pages
	zones    zones
}

// Of returns a tenant's organisation, for an empty name the provider; nil if there is none. What is configured goes
// before what the tenant registered.
func (s *Site) Of(ctx context.Context, tenant string) *organisation.Organisation {
	if o := s.Organisations.OfTenant(tenant); o != nil {
		return o
	}
	if list := s.Registered.OfTenant(ctx, tenant); len(list) > 0 {
		return &list[0]
	}
	return nil
}

// Offered returns a tenant's organisation once for each issuer at which its people can sign in now: several while a
// customer moves from one to another (R65). What is configured goes first.
func (s *Site) Offered(ctx context.Context, tenant string) organisation.List {
	var all organisation.List
	if o := s.Organisations.OfTenant(tenant); o != nil {
		all = append(all, *o)
	}
	for _, o := range s.Registered.OfTenant(ctx, tenant) {
		if all.At(o.Issuer) == nil {
			all = append(all, o)
		}
	}
	return all
}

// Prepare parses the site's own pages, and bounds what strangers send. It must be called once, before the first visit.
func (s *Site) Prepare() (err error) {
	s.Caller = bounded(s.Caller)
	s.problems, err = s.ParsePages(problemFiles)
	return err
}

// Side says whose pages a route belongs to.
type Side int

// The sides. A route of Both exists below every tenant and below the provider.
const (
	Customer Side = 1 << iota
	Provider
	Both = Customer | Provider
)

// Route is a page below each organisation's base: "GET /requests/{id}".
type Route struct {
	Method, Path string
	Side         Side
	Serve        func(*Visit) error
}

// Mount serves the routes to people who are signed in with the organisation in the path. All other paths get a "not
// found" page in the visitor's language.
func (s *Site) Mount(mux *http.ServeMux, routes []Route) {
	for _, r := range routes {
		if r.Side&Customer != 0 {
			mux.HandleFunc(r.Method+" /t/{tenant}"+r.Path, s.visited(r))
		}
		if r.Side&Provider != 0 {
			mux.HandleFunc(r.Method+" /provider"+r.Path, s.visited(r))
		}
	}
	mux.HandleFunc("/", s.Open(func(*Visit) error { return refusal.NotFound("path", "I9", "there is nothing here") }))
}

// visited admits people who are signed in with the organisation in the path. Visitors who are not signed in are
// redirected to the sign-in; visitors of another organisation get "not found", whether the organisation in the path
// exists or not (I9).
func (s *Site) visited(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		traced.Route(r.Context(), route.Method, route.Path)
		v := s.visit(w, r)
		if err := v.enter(route); err != nil {
			v.fail(err)
		}
	}
}
