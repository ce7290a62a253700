package requests

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// note explains why the person is shown the request's own page instead of what they wanted.
type note struct {
	// NotNow reports that what the person wanted to do is not possible, or no longer.
	NotNow bool
	// Refused is why a command was refused; nil if none was.
	Refused *lockboxv1.Refusal
	// Since is what others did after the person had looked, as far as the person may know.
	Since []*lockboxv1.TimelineEntry
}

// shownRequest is the data of a request's own page.
type shownRequest struct {
	loaded
	Note note
	// May says by verb what the reader may do now. Verbs lists those that have buttons; the others have their forms on
	// this page.
	May   map[string]bool
	Verbs []verb
	// Hrefs holds the URLs of the forms by verb.
	Hrefs map[string]string
	// Ticket is the URL of the ticket's page; empty if there is none.
	Ticket string
	// Activation is the URL of the page on which the reader activates a role.
	Activation string
	// After reports that the person has just done something.
	After bool
	// Asker is what is known of whoever asks. Lines is the line of time, wide and narrow, and Moments tells it in words.
	Asker   engineer
	Lines   []shown.Line
	Moments []shown.Moment
	// Page is the URL of this page, and Receipt that of the receipt file; empty if the reader may not have it.
	Page, Receipt string
	// Signatures are how the customer's decisions were signed.
	Signatures []signature
	// Log is what happened, without the delivered mails.
	Log []logged
	// Draft is what was typed into one of the forms on this page before.
	Draft url.Values
	// NewID returns a new command ID for each of the forms on the page.
	NewID func() (string, error)
}

func (p *pages) detail(v *site.Visit) error {
	r, err := own(v)
	if err != nil {
		return err
	}
	if v.R.URL.Query().Has("after") {
		// Access begins a moment after the approval. Somebody who has just approved should see that it did.
		r, err = settled(v, r, func(r loaded) bool {
			return r.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED
		})
		if err != nil {
			return err
		}
	}
	return p.show(v, r, http.StatusOK, note{})
}

func (p *pages) show(v *site.Visit, r loaded, status int, n note) error {
	d := shownRequest{loaded: r, Note: n, May: map[string]bool{}, Hrefs: map[string]string{}, Lines: r.Lines(),
		Signatures: signatures(r),
		NewID:      commandID, Page: v.Path("requests", r.GetRequestId())}
	var err error
	if d.Moments, err = r.Moments(); err != nil {
		return err
	}
	if d.Asker, err = engineerOf(v, r); err != nil {
		return err
	}
	d.Log = logOf(v, aggregate.Request(r.GetTenant(), r.GetRequestId()), r.Happened(),
		func(e *lockboxv1.TimelineEntry) bool { return slices.Contains(r.GetErasable(), e.GetVersion()) })
	d.After = v.R.Method == http.MethodGet && v.R.URL.Query().Has("after")
	for _, b := range verbs {
		d.Hrefs[b.Name] = b.Href(v, r.GetRequestId())
		if b.Confirms { // for what was requested; the confirmation lets them change it
			d.Hrefs[b.Name] = blank(b, r).path(v) + "?" + blank(b, r).values().Encode()
		}
		if !r.Allows(b.Name) || b.side&side(v) == 0 {
			continue
		}
		if d.May[b.Name] = true; !b.long {
			d.Verbs = append(d.Verbs, b)
		}
	}
	d.Draft = v.Draft()
	if v.Session.Tenant != "" {
		d.Receipt = v.Path("requests", r.GetRequestId(), "receipt")
	}
	if id := r.GetIntent().GetTicketId(); id != "" {
		d.Ticket = v.Path("tickets", aggregate.TicketToken(id))
	}
	if d.Activation = v.Path("administration", "roles"); r.GetIntent().GetSubscriptionId() != "" {
		d.Activation = v.Path("administration", "subscriptions", r.GetIntent().GetSubscriptionId())
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

// Typed returns what was typed before as an answer to a question; for an empty ID, as a question.
func (d shownRequest) Typed(question string) string {
	if d.Draft.Get("question") != question {
		return ""
	}
	return d.Draft.Get("reason")
}

func side(v *site.Visit) site.Side {
	if v.Session.Tenant == "" {
		return site.Provider
	}
	return site.Customer
}
