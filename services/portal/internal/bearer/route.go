package bearer

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"go.uber.org/zap"
)

// Route is something that can be called: "/requests/{id}". What answers to GET answers to HEAD.
type Route struct {
	Method, Path string
	// Open: it says nothing about anybody, so everybody may call it.
	Open  bool
	Serve func(*Call) error
}

// API is one REST API. It owns every path that begins with one of its routes' first segments.
type API struct {
	Desk   *Desk
	Routes []Route
	// Fold: segments that a route spells out are the same in upper and lower case.
	Fold bool
	// Begin is called before anything else; it may be nil.
	Begin func(*Call)
	// Problem answers that something was refused or failed.
	Problem func(c *Call, status int, r *lockboxv1.Refusal)
}

// UnfitError is a request that HTTP itself has a status for, before anything is asked or done.
type UnfitError struct {
	Status  int
	Message string
}

func (u *UnfitError) Error() string { return u.Message }

// Beside serves the APIs at their own paths and the pages everywhere else. The pages' guard against forged requests
// does not stand before the APIs, whose callers are no browsers; nothing that a browser adds by itself counts there.
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

// firsts are the first segments of the routes, each once.
func (a *API) firsts() (all []string) {
	for _, route := range a.Routes {
		if first := pattern(route.Path)[0]; !slices.Contains(all, first) {
			all = append(all, first)
		}
	}
	return all
}

// ServeHTTP finds the route and the caller, and answers.
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
		if method == http.MethodOptions { // and nothing for other sites: no script of theirs is to call
			c.W.WriteHeader(http.StatusNoContent)
			return nil
		}
		return &UnfitError{Status: http.StatusMethodNotAllowed, Message: "this path does not take " + method}
	}
	if !route.Open {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	c.pattern = route.Path
	return route.Serve(c)
}

func allowed(methods map[string]Route) string {
	names := slices.Sorted(maps.Keys(methods))
	if _, get := methods[http.MethodGet]; get {
		names = append(names, http.MethodHead)
	}
	return strings.Join(append(names, http.MethodOptions), ", ")
}

// match compares a path with a route's pattern and returns what stands in the place of its parameters.
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

// segments splits a path before its escapes are read, so that an escaped slash divides nothing. There is at least one.
func segments(u *url.URL) []string {
	parts := pattern(u.EscapedPath())
	for i, p := range parts {
		if plain, err := url.PathUnescape(p); err == nil {
			parts[i] = plain
		}
	}
	return parts
}

// fail answers with what went wrong. What is not there and what may not be seen read the same (I9).
func (a *API) fail(c *Call, err error) {
	if errors.Is(err, context.Canceled) && c.Context().Err() != nil {
		return // nobody is there to hear it
	}
	status := site.Status(err)
	if unfit := (*UnfitError)(nil); errors.As(err, &unfit) {
		status, err = unfit.Status, refusal.Invalid("", rule, "%s", unfit.Message)
	}
	r, refused := refusal.As(err)
	if refused {
		c.Counters.Refused(r)
	} else {
		c.Log.Error("call failed", zap.String("pattern", c.pattern), zap.Error(err))
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
	a.Problem(c, status, r)
}
