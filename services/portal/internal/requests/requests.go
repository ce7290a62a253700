// Package requests is the heart of the portal: what waits for somebody, what a request is about and came to, and the
// forms by which people decide. Pages show; the services that answer decide.
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

// Routes are the pages of requests and tickets.
func Routes(s *site.Site) ([]site.Route, error) {
	templates, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := &pages{templates}
	routes := []site.Route{
		{Method: http.MethodGet, Path: "", Side: site.Both, Serve: p.home},
		{Method: http.MethodGet, Path: "/requests", Side: site.Both, Serve: p.list},
		{Method: http.MethodGet, Path: "/requests/{id}", Side: site.Both, Serve: p.detail},
		{Method: http.MethodGet, Path: "/requests/{id}/receipt", Side: site.Both, Serve: receipt},
		{Method: http.MethodGet, Path: "/tickets", Side: site.Both, Serve: p.tickets},
		{Method: http.MethodGet, Path: "/tickets/{id}", Side: site.Both, Serve: p.ticket},
	}
	for _, b := range verbs {
		path := "/requests/{id}/" + b.path
		routes = append(routes,
			site.Route{Method: http.MethodGet, Path: path, Side: b.side,
				Serve: func(v *site.Visit) error { return p.form(v, b) }},
			site.Route{Method: http.MethodPost, Path: path, Side: b.side,
				Serve: func(v *site.Visit) error { return p.decide(v, b) }})
		if b.confirms {
			routes = append(routes, site.Route{Method: http.MethodGet, Path: path + "/confirm", Side: b.side,
				Serve: func(v *site.Visit) error { return p.confirm(v, b) }})
		}
	}
	return routes, nil
}

// Live are the pages that hear of changes.
func Live() []live.Page {
	return []live.Page{
		{Path: "/home", Side: site.Both, Ask: func(v *site.Visit) (string, uint64, error) {
			w, err := waits(v)
			if err != nil {
				return "", 0, err
			}
			digest, err := w.digest()
			return digest, w.sequence, err
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

// one is a request as it was answered at a sequence.
type one struct {
	shown.Request
	sequence uint64
}

// ask asks for the request that the address names.
func ask(v *site.Visit) (one, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: v.R.PathValue("id")}}})
	if err != nil {
		return one{}, err
	}
	if reply.GetRequest() == nil {
		return one{}, errors.New("portal: the answer holds no request")
	}
	return one{read(v, reply.GetRequest()), reply.GetSequence()}, nil
}

// own asks for it as ask does, and for who reads it.
func own(v *site.Visit) (one, error) {
	self, err := v.Self()
	if err != nil {
		return one{}, err
	}
	r, err := ask(v)
	if err != nil {
		return one{}, err
	}
	r.Reader, v.Under = self.GetActor().GetPerson(), v.Path("requests")
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

// settled asks again, for a moment, until something that is about to be true is shown.
func settled(v *site.Visit, r one, until func(one) bool) (one, error) {
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

// listen is where the request's pages hear of changes.
func (r one) listen(v *site.Visit) (string, error) {
	digest, err := shown.Digest(r.RequestView)
	return live.Address(v.Path("live", "requests", r.GetRequestId()), digest, r.sequence), err
}

// commandID is part of a form, so that sending it twice is one command.
func commandID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// empty makes nothing of an answer that there is nothing to see.
func empty(err error) error {
	if site.NotFound(err) {
		return nil
	}
	return err
}
