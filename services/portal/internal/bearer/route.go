package bearer

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/traced"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Route is an operation: "/requests/{id}". GET routes also serve HEAD.
type Route struct {
	Method, Path string
	// Open routes return nothing about anybody, so they need no token.
	Open  bool
	Serve func(*Call) error
	// Alone serves calls without a token; nil: they are refused. Then nobody is known, and the call's Organisation is nil.
	Alone func(*Call) error
}

// API is one REST API. It owns every path that starts with the first segment of one of its routes.
type API struct {
	Desk   *Desk
	Routes []Route
	// Fold makes the literal segments of routes case-insensitive.
	Fold bool
	// Begin is called before anything else; it may be nil.
	Begin func(*Call)
	// Problem writes the error response.
	Problem func(c *Call, status int, r *lockboxv1.Refusal)
}

// UnfitError rejects a request for a reason that has an HTTP status of its own, before anything is queried or changed.
type UnfitError struct {
	Status  int
	Message string
	// Kind and Names are what its sentence in every language is made from, as package refusal has them.
	Kind  string
	Names []string
}

func (u *UnfitError) Error() string { return u.Message }

// Beside serves the APIs at their own paths and the pages everywhere else. The pages' CSRF protection does not apply to
// the APIs: their callers are not browsers, and they ignore ambient credentials.
func Beside(pages http.Handler, apis ...*API) http.Handler {
	owned := make([][]string, len(apis))
	for i, a := range apis {
		owned[i] = a.firsts()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := segments(r.URL)[0]
		for i, a := range apis {
			if slices.ContainsFunc(owned[i], func(own string) bool { return a.same(own, first) }) {
				a.ServeHTTP(w, r)
				return
			}
		}
		pages.ServeHTTP(w, r)
	})
}

// firsts returns the distinct first segments of the routes.
func (a *API) firsts() (all []string) {
	for _, route := range a.Routes {
		if first := pattern(route.Path)[0]; !slices.Contains(all, first) {
			all = append(all, first)
		}
	}
	return all
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.secure(w.Header())
	c := &Call{Desk: a.Desk, W: w, R: r, Language: a.Desk.Words.Best(r.Header.Get("Accept-Language")).Language}
	if a.Begin != nil {
		a.Begin(c)
	}
	if err := a.serve(c); err != nil {
		a.fail(c, err)
	}
}

func (a *API) secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if a.Desk.Secure {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}

func (a *API) serve(c *Call) error {
	methods := map[string]Route{}
	for _, route := range a.Routes {
		if params, here := a.match(pattern(route.Path), segments(c.R.URL)); here {
			methods[route.Method], c.params = route, params
		}
	}
	if len(methods) == 0 {
		return refusal.NotFound("path", "I9", "there is nothing here")
	}
	method := c.R.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	route, there := methods[method]
	if !there {
		c.W.Header().Set("Allow", allowed(methods))
		if method == http.MethodOptions { // without CORS headers: scripts of other sites must not call
			c.W.WriteHeader(http.StatusNoContent)
			return nil
		}
		return &UnfitError{Status: http.StatusMethodNotAllowed, Message: "this path does not take " + method,
			Kind: "method-not-taken", Names: []string{"name", method}}
	}
	serve := route.Serve
	if route.Alone != nil && len(c.R.Header.Values("Authorization")) == 0 {
		serve = route.Alone
	} else if !route.Open {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	c.pattern = route.Path
	traced.Route(c.Context(), route.Method, route.Path)
	return serve(c)
}

func allowed(methods map[string]Route) string {
	names := slices.Sorted(maps.Keys(methods))
	if _, get := methods[http.MethodGet]; get {
		names = append(names, http.MethodHead)
	}
	return strings.Join(append(names, http.MethodOptions), ", ")
}

// match compares a path with a route's pattern and returns the values of its parameters.
func (a *API) match(pattern, path []string) (map[string]string, bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	params := map[string]string{}
	for i, p := range pattern {
		if name, is := strings.CutPrefix(p, "{"); is {
			params[strings.TrimSuffix(name, "}")] = path[i]
		} else if !a.same(p, path[i]) {
			return nil, false
		}
	}
	return params, true
}

func (a *API) same(s, t string) bool { return s == t || a.Fold && strings.EqualFold(s, t) }

func pattern(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// segments splits a path before unescaping, so that an escaped slash is no separator. It returns at least one segment.
func segments(u *url.URL) []string {
	parts := pattern(u.EscapedPath())
	for i, p := range parts {
		if plain, err := url.PathUnescape(p); err == nil {
			parts[i] = plain
		}
	}
	return parts
}

// fail writes an error response. Missing resources and those the caller may not see look the same (I9).
func (a *API) fail(c *Call, err error) {
	if errors.Is(err, context.Canceled) && c.Context().Err() != nil {
		return // the client has disconnected
	}
	status := site.Status(err)
	if unfit := (*UnfitError)(nil); errors.As(err, &unfit) {
		status, err = unfit.Status, refusal.OfKind(refusal.Invalid("", rule, "%s", unfit.Message), unfit.Kind,
			unfit.Names...)
	}
	r, refused := refusal.As(err)
	if refused {
		c.Counters.Refused(r)
	} else {
		about := aggregate.Request("", c.Param("requestId"))
		if c.Organisation != nil {
			about.Tenant = c.Organisation.Tenant
		}
		c.Log.Error("call failed", observe.About(about, zap.String("pattern", c.pattern), zap.Error(err))...)
		r = refusal.Of(err)
	}
	switch status {
	case http.StatusUnauthorized:
		c.W.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusNotFound:
		r = &lockboxv1.Refusal{Code: r.GetCode(), Rule: "I9", Message: "there is nothing of that name that you may see"}
	case http.StatusServiceUnavailable:
		c.W.Header().Set("Retry-After", "5")
	}
	a.Problem(c, status, c.said(r))
}

// said returns a refusal with its sentence in the caller's language. In English it is the one that the service wrote.
func (c *Call) said(r *lockboxv1.Refusal) *lockboxv1.Refusal {
	if c.Language == "en" {
		return r
	}
	r = proto.CloneOf(r)
	r.Message = c.Words.In(c.Language).Refusal(r).Text
	return r
}
