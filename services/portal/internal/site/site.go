// Package site is what every page of the portal stands on: who visits, in which language, asking and doing on their
// behalf with their own token, and answering with a page. It knows no page itself.
package site

import (
	"context"
	"net/http"
	"time"

	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"go.uber.org/zap"
)

// Caller asks and does things on the bus: caller.Caller.
type Caller interface {
	Ask(ctx context.Context, token string, query *lockboxv1.Query) (*lockboxv1.QueryReply, error)
	Do(ctx context.Context, token string, command *lockboxv1.Command) (*lockboxv1.CommandReply, error)
}

// Sessions say who is signed in.
type Sessions interface {
	// Current returns who sent this; nil: nobody who is signed in. UNAVAILABLE if that cannot be known.
	Current(r *http.Request) (*session.Session, error)
	// End signs out.
	End(w http.ResponseWriter, r *http.Request) error
}

// Site is shared by all pages.
type Site struct {
	Caller        Caller
	Sessions      Sessions
	Organisations organisation.List
	Words         *words.Words
	// Provider is the provider's name.
	Provider string
	// Secure: browsers reach it by https.
	Secure   bool
	Now      func() time.Time
	Log      *zap.Logger
	Counters *observe.Counters

	problems *Pages
}

// Prepare reads the site's own pages. It is called once, before the first visit.
func (s *Site) Prepare() (err error) {
	s.problems, err = s.ParsePages(problemFiles)
	return err
}

// Side says whose pages a route belongs to.
type Side int

// The sides. A route of Both lies below each tenant and below the provider.
const (
	Customer Side = 1 << iota
	Provider
	Both = Customer | Provider
)

// Route is one page, below each organisation's base: "GET /requests/{id}".
type Route struct {
	Method, Path string
	Side         Side
	Serve        func(*Visit) error
}

// Mount serves the routes to whoever is signed in with the organisation that they lie below. Everywhere else there is a
// page that says that there is nothing, in the reader's language.
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

// visited lets in who is signed in with that organisation. Who is not signed in is sent to do so; who is signed in
// elsewhere finds nothing, whether the organisation exists or not (I9).
func (s *Site) visited(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := s.visit(w, r)
		if err := v.enter(route); err != nil {
			v.fail(err)
		}
	}
}
