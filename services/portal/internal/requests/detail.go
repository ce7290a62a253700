package requests

import (
	"net/http"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// note is what went before that led to the request's own page.
type note struct {
	// NotNow: the person wanted to do what they cannot do, or not any more.
	NotNow bool
	// Refused is why a command was not done, in English.
	Refused string
}

// shownRequest is what the request's own page shows.
type shownRequest struct {
	one
	Note note
	// May says what may be done now, by name. Verbs are those of it that have buttons; the others have their forms here.
	May   map[string]bool
	Verbs []verb
	// Hrefs are their forms' addresses, by name.
	Hrefs map[string]string
	// Ticket's page; empty: there is none.
	Ticket string
	// After: the person has just done something.
	After     bool
	Phases    []shown.Phase
	LastPhase shown.Phase
	Picture   int
	// Page is its own address, and Receipt that of the file that proves it; empty: not for them.
	Page, Receipt string
	// NewID makes a command's id for each of the forms on the page.
	NewID func() (string, error)
}

func (p *pages) detail(v *site.Visit) error {
	r, err := own(v)
	if err != nil {
		return err
	}
	if v.R.URL.Query().Has("after") {
		// Access begins a moment after it was approved. Whoever has just approved sees that it did.
		r, err = settled(v, r, func(r one) bool { return r.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED })
		if err != nil {
			return err
		}
	}
	return p.show(v, r, http.StatusOK, note{})
}

func (p *pages) show(v *site.Visit, r one, status int, n note) error {
	d := shownRequest{one: r, Note: n, May: map[string]bool{}, Hrefs: map[string]string{}, Phases: r.Phases(),
		Picture: shown.PictureWidth, NewID: commandID}
	d.LastPhase, d.Page = d.Phases[len(d.Phases)-1], v.Path("requests", r.GetRequestId())
	d.After = v.R.Method == http.MethodGet && v.R.URL.Query().Has("after")
	for _, b := range verbs {
		d.Hrefs[b.Name] = b.Href(v, r.GetRequestId())
		if b.confirms { // as it was asked for, which the confirmation lets them change
			d.Hrefs[b.Name] = blank(b, r).address(v)
		}
		if !r.Allows(b.Name) || b.side&side(v) == 0 {
			continue
		}
		if d.May[b.Name] = true; !b.long {
			d.Verbs = append(d.Verbs, b)
		}
	}
	if v.Session.Tenant != "" {
		d.Receipt = v.Path("requests", r.GetRequestId(), "receipt")
	}
	if id := r.GetIntent().GetTicketId(); id != "" {
		d.Ticket = v.Path("tickets", id)
	}
	title, err := r.Title()
	if err != nil {
		return err
	}
	listen, err := r.listen(v)
	if err != nil {
		return err
	}
	return v.Render(p.templates, "detail", status, site.Page{Title: title, Live: listen, Data: d})
}

func side(v *site.Visit) site.Side {
	if v.Session.Tenant == "" {
		return site.Provider
	}
	return site.Customer
}
