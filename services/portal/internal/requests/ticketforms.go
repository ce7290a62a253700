package requests

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	forms "github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// The forms of tickets. Each maps the field names in a service's refusals to its own.
var (
	openFields = map[string]forms.Field{
		"open_ticket.title":           {Name: "title", Label: "ticket.title"},
		"open_ticket.description":     {Name: "description", Label: "ticket.description"},
		"open_ticket.subscription_id": {Name: "subscription", Label: "requests.subscription"},
		"open_ticket.reference":       {Name: "reference", Label: "ticket.reference"},
	}
	commentFields = map[string]forms.Field{"comment_ticket.text": {Name: "text", Label: "ticket.comment"}}
	closeFields   = map[string]forms.Field{"close_ticket.reason": closeReason, "reopen_ticket.reason": closeReason}
	closeReason   = forms.Field{Name: "reason", Label: "ticket.close-reason"}
)

// opening is the data of the form by which a ticket is opened.
type opening struct {
	Form          *forms.Form
	Command       string
	Subscriptions []*lockboxv1.SubscriptionView
	To, Back      string
}

func (p *pages) newTicket(v *site.Visit) error { return p.opening(v, forms.Empty(), http.StatusOK) }

func (p *pages) opening(v *site.Visit, f *forms.Form, status int) error {
	id, err := forms.NewID()
	if err != nil {
		return err
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	if err = empty(err); err != nil {
		return err
	}
	v.Under = v.Path("tickets")
	return p.render(v, "open", "ticket.open-title", status, "", opening{Form: f, Command: id,
		Subscriptions: reply.GetTenant().GetSubscriptions(), To: v.Path("open-ticket"), Back: v.Under})
}

// openTicket opens a ticket. What has no name in the customer's own system gets one.
func (p *pages) openTicket(v *site.Visit) error {
	f := forms.Sent(v.R)
	id, err := f.CommandID()
	if err != nil {
		return err
	}
	t := &lockboxv1.OpenTicket{Title: f.Value("title"), Description: f.Value("description"),
		SubscriptionId: f.Value("subscription"), Reference: f.Value("reference")}
	if t.GetReference() == "" {
		t.Reference = "SR-" + v.Now().UTC().Format("20060102") + "-" + strings.ToUpper(rand.Text()[:6])
	}
	reply, err := v.Do(&lockboxv1.Command{Id: id, Action: &lockboxv1.Command_OpenTicket{OpenTicket: t}})
	if err != nil {
		return p.corrected(v, f, err, openFields, p.opening)
	}
	return v.Redirect(v.Path("tickets", aggregate.TicketToken(t.GetReference())), reply.GetSequence())
}

// comment comments on a ticket.
func (p *pages) comment(v *site.Visit) error {
	return p.onTicket(v, commentFields, func(f *forms.Form) *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_CommentTicket{
			CommentTicket: &lockboxv1.CommentTicket{Text: f.Value("text")}}}
	})
}

// closeTicket closes a ticket, which ends the access that is bound to it, and nothing else.
func (p *pages) closeTicket(v *site.Visit) error {
	return p.onTicket(v, closeFields, func(f *forms.Form) *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_CloseTicket{
			CloseTicket: &lockboxv1.CloseTicket{Reason: f.Value("reason")}}}
	})
}

// reopenTicket opens a closed ticket again.
func (p *pages) reopenTicket(v *site.Visit) error {
	return p.onTicket(v, closeFields, func(f *forms.Form) *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_ReopenTicket{
			ReopenTicket: &lockboxv1.ReopenTicket{Reason: f.Value("reason")}}}
	})
}

// onTicket sends the command of one of the forms on a ticket's page.
func (p *pages) onTicket(
	v *site.Visit, fields map[string]forms.Field, command func(*forms.Form) *lockboxv1.Command,
) error {
	f := forms.Sent(v.R)
	id, err := f.CommandID()
	if err != nil {
		return err
	}
	found, err := askTicket(v)
	if err != nil {
		return site.Lost(err)
	}
	c := command(f)
	c.Id, c.Tenant, c.AggregateId = id, found.GetTenant(), found.GetTicketId()
	reply, err := v.Do(c)
	if err != nil {
		return p.corrected(v, f, err, fields, p.showTicket)
	}
	return v.Redirect(v.Path("tickets", found.GetTicketId()), reply.GetSequence())
}

// corrected shows a form again with what is wrong with it, if that can be corrected there.
func (p *pages) corrected(
	v *site.Visit, f *forms.Form, err error, fields map[string]forms.Field,
	again func(*site.Visit, *forms.Form, int) error,
) error {
	if !f.Refused(err, fields) {
		return err
	}
	r := refusal.Of(err)
	v.Counters.Refused(r)
	return again(v, f, site.Status(err))
}

// Token returns the ID of the command that the page's form gives.
func (ticketPage) Token() (string, error) { return forms.NewID() }
