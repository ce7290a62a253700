// Package requests serves the portal's main pages: the requests that await the visitor's decision, a request's content
// and history, and the forms for decisions. The pages only display; the services decide.
package requests

import (
	"embed"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/live"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

//go:embed all:templates
var files embed.FS

type pages struct{ templates *site.Pages }

// Routes returns the pages of requests and tickets.
func Routes(s *site.Site) ([]site.Route, error) {
	templates, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := &pages{templates}
	routes := []site.Route{
		{Method: http.MethodGet, Path: "", Side: site.Both, Serve: p.home},
		{Method: http.MethodGet, Path: "/requests", Side: site.Both, Serve: p.list},
		{Method: http.MethodGet, Path: "/requests/deny", Side: site.Customer, Serve: p.choose},
		{Method: http.MethodPost, Path: "/requests/deny", Side: site.Customer, Serve: p.denyAll},
		{Method: http.MethodGet, Path: "/requests/{id}", Side: site.Both, Serve: p.detail},
		{Method: http.MethodGet, Path: "/requests/{id}/receipt", Side: site.Both, Serve: receipt},
		{Method: http.MethodGet, Path: "/requests/{id}/revocation", Side: site.Customer, Serve: revocation},
		{Method: http.MethodGet, Path: "/waived", Side: site.Customer, Serve: p.waived},
		{Method: http.MethodGet, Path: "/tickets", Side: site.Both, Serve: p.tickets},
		{Method: http.MethodGet, Path: "/tickets/{id}", Side: site.Both, Serve: p.ticket},
		{Method: http.MethodPost, Path: "/tickets/{id}/comment", Side: site.Both, Serve: p.comment},
		{Method: http.MethodPost, Path: "/tickets/{id}/close", Side: site.Both, Serve: p.closeTicket},
		{Method: http.MethodPost, Path: "/tickets/{id}/reopen", Side: site.Both, Serve: p.reopenTicket},
		{Method: http.MethodGet, Path: "/open-ticket", Side: site.Customer, Serve: p.newTicket},
		{Method: http.MethodPost, Path: "/open-ticket", Side: site.Customer, Serve: p.openTicket},
	}
	for _, b := range verbs {
		path := "/requests/{id}/" + b.path()
		routes = append(routes,
			site.Route{Method: http.MethodGet, Path: path, Side: b.side,
				Serve: func(v *site.Visit) error { return p.form(v, b) }},
			site.Route{Method: http.MethodPost, Path: path, Side: b.side,
				Serve: func(v *site.Visit) error { return p.decide(v, b) }},
			site.Route{Method: http.MethodPost, Path: path + "/edit", Side: b.side,
				Serve: func(v *site.Visit) error { return p.onward(v, b, "") }})
		if b.Confirms {
			routes = append(routes,
				site.Route{Method: http.MethodGet, Path: path + "/confirm", Side: b.side,
					Serve: func(v *site.Visit) error { return p.confirm(v, b) }},
				site.Route{Method: http.MethodPost, Path: path + "/confirm", Side: b.side,
					Serve: func(v *site.Visit) error { return p.onward(v, b, "/confirm") }})
		}
		if verbsSigned[b.Name] != "" {
			routes = append(routes,
				site.Route{Method: http.MethodGet, Path: path + "/sign", Side: site.Customer,
					Serve: func(v *site.Visit) error { return p.sign(v, b) }},
				site.Route{Method: http.MethodPost, Path: path + "/sign", Side: site.Customer,
					Serve: func(v *site.Visit) error { return p.signOnward(v, b) }})
		}
	}
	return routes, nil
}

// Live returns the pages with live updates.
func Live() []live.Page {
	return []live.Page{
		{Path: "/home", Side: site.Both, Ask: func(v *site.Visit) (string, uint64, error) {
			s, err := stands(v)
			if err != nil {
				return "", 0, err
			}
			digest, err := s.digest()
			return digest, s.sequence, err
		}},
		{Path: "/requests/{id}", Side: site.Both, Ask: func(v *site.Visit) (string, uint64, error) {
			r, err := ask(v)
			if err != nil {
				return "", 0, err
			}
			digest, err := shown.Digest(r.RequestView)
			return digest, r.sequence, err
		}},
	}
}

// loaded is a request with the projection's sequence at the time.
type loaded struct {
	shown.Request
	sequence uint64
}

// ask queries the request named in the URL.
func ask(v *site.Visit) (loaded, error) { return fetch(v, v.R.PathValue("id")) }

func fetch(v *site.Visit, id string) (loaded, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	if err != nil {
		return loaded{}, err
	}
	if reply.GetRequest() == nil {
		return loaded{}, errors.New("portal: the reply contains no request")
	}
	return loaded{read(v, reply.GetRequest()), reply.GetSequence()}, nil
}

// own is ask with the reader's identity added.
func own(v *site.Visit) (loaded, error) {
	reader, err := v.Account()
	if err != nil {
		return loaded{}, err
	}
	r, err := ask(v)
	if err != nil {
		return loaded{}, err
	}
	r.Reader, v.Under = reader, v.Path("requests")
	if r.Waits() {
		v.Under = v.Path()
	}
	return r, nil
}

func read(v *site.Visit, r *lockboxv1.RequestView) shown.Request {
	return shown.Request{RequestView: r, Say: v.Say, Now: v.Now(), Provider: v.Provider,
		ToProvider: v.Session.Tenant == ""}
}

const (
	patience = 1500 * time.Millisecond
	between  = 100 * time.Millisecond
)

// settled repeats the query until the condition holds, for up to patience.
func settled(v *site.Visit, r loaded, until func(loaded) bool) (loaded, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !until(r) {
		select {
		case <-v.R.Context().Done():
			return r, v.R.Context().Err()
		case <-deadline.C:
			return r, nil
		case <-time.After(between):
		}
		reader := r.Reader
		var err error
		if r, err = ask(v); err != nil {
			return r, err
		}
		r.Reader = reader
	}
	return r, nil
}

// listen returns the URL of the live updates for the request's pages.
func (r loaded) listen(v *site.Visit) (string, error) {
	digest, err := shown.Digest(r.RequestView)
	return live.Address(v.Path("live", "requests", r.GetRequestId()), digest, r.sequence), err
}

// commandID returns a new command ID. It is part of the form, so that submitting a form twice sends one command.
func commandID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// empty turns NOT_FOUND into an empty result.
func empty(err error) error {
	if site.NotFound(err) {
		return nil
	}
	return err
}
