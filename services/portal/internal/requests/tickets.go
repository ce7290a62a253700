package requests

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	forms "github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// mostTickets is the most that are listed. The list has no pagination.
const mostTickets = 200

// ticketRow is a ticket in a list, or on its own page.
type ticketRow struct {
	*lockboxv1.TicketView
	Href string
}

// Reference returns what the customer calls the ticket.
func (t ticketRow) Reference() string { return cmp.Or(t.GetReference(), t.GetTicketId()) }

// Engineer returns the name of the assigned engineer; empty if the ticket is unassigned.
func (t ticketRow) Engineer() string {
	if t.GetEngineer() == nil {
		return ""
	}
	return shown.Name(t.GetEngineer())
}

// Closer returns the name of the person who closed the ticket; empty while it is open.
func (t ticketRow) Closer() string {
	if t.GetClosedBy() == nil {
		return ""
	}
	return shown.Name(t.GetClosedBy().GetPerson())
}

// Opener returns the name of the person who opened the ticket.
func (t ticketRow) Opener() string { return shown.Name(t.GetOpenedBy().GetPerson()) }

func (p *pages) tickets(v *site.Visit) error {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListTickets{
		ListTickets: &lockboxv1.ListTickets{Limit: mostTickets}}})
	if err = empty(err); err != nil {
		return err
	}
	data := struct {
		Tickets  []ticketRow
		Most     int
		Full     bool
		Provider bool
		// Open is the URL of the form by which a ticket is opened; empty for the provider's people.
		Open string
	}{Most: mostTickets, Provider: v.Session.Tenant == ""}
	if !data.Provider {
		data.Open = v.Path("open-ticket")
	}
	for _, t := range reply.GetTickets().GetTickets() {
		data.Tickets = append(data.Tickets, ticketRow{t, v.Path("tickets", t.GetTicketId())})
	}
	data.Full = len(data.Tickets) == mostTickets
	return p.render(v, "tickets", "ticket.all", http.StatusOK, "", data)
}

// ticketPage is the data of a ticket's own page.
type ticketPage struct {
	ticketRow
	Table table
	// All is the URL of the full list of requests; empty if this is it.
	All      string
	Provider bool
	// Form is the form for a comment; nil if the reader may not give one. To is where it is sent.
	Form *forms.Form
	// To and Settle are where the form for a comment is sent, and the one that closes the ticket or opens it again.
	To, Settle string
	// Log is what happened.
	Log []logged
	// Ends reports that closing the ticket ends access, and Ended that closing it did.
	Ends, Ended bool
}

func (p *pages) ticket(v *site.Visit) error { return p.showTicket(v, forms.Empty(), http.StatusOK) }

// askTicket queries the ticket named in the URL.
func askTicket(v *site.Visit) (*lockboxv1.TicketView, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetTicket{
		GetTicket: &lockboxv1.GetTicket{TicketId: v.R.PathValue("id")}}})
	return reply.GetTicket(), err
}

func (p *pages) showTicket(v *site.Visit, f *forms.Form, status int) error {
	t, err := askTicket(v)
	if err != nil {
		return err
	}
	id := t.GetTicketId()
	found, _, err := search(v, &lockboxv1.ListRequests{TicketId: id, Limit: perPage})
	if err != nil {
		return err
	}
	// Two customers may have tickets with the same ID, and the provider's people see the requests of both.
	own := slices.DeleteFunc(found.GetRequests(),
		func(r *lockboxv1.RequestView) bool { return r.GetTenant() != t.GetTenant() })
	data := ticketPage{ticketRow: ticketRow{TicketView: t}, Table: tabled(v, own), Provider: v.Session.Tenant == "",
		To: v.Path("tickets", id) + "/comment", Settle: v.Path("tickets", id) + "/close"}
	for _, r := range own {
		data.Ends = data.Ends || r.GetAccessEndsWithTicket() && shown.Request{RequestView: r}.Running()
		data.Ended = data.Ended || r.GetGrant() != nil && r.GetTicketClosedBy() != nil
	}
	if t.GetClosedAt() != nil {
		data.Settle = v.Path("tickets", id) + "/reopen"
	}
	if found.GetNextPageToken() != "" {
		data.All = v.Path("requests") + "?ticket=" + url.QueryEscape(id)
	}
	if self, err := v.Self(); err != nil {
		return err
	} else if ticket.MayComment(self.GetActor()) {
		data.Form = f
	}
	erases, err := v.Erasing()
	if err != nil {
		return err
	}
	data.Log = logOf(v, aggregate.Ticket(t.GetTenant(), id), t.GetHistory(), erases)
	v.Under = v.Path("tickets")
	return v.Render(p.templates, "ticket", status, site.Page{Title: t.GetTitle(), Data: data})
}
