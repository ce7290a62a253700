package render

import (
	"cmp"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Tickets renders a list of support tickets.
func Tickets(l Look, list []*lockboxv1.TicketView) string {
	columns := []column{
		{title: "TICKET"}, {title: "TENANT", drop: 2}, {title: "TITLE", min: 24}, {title: "ENGINEER", min: 10},
		{title: "TEAM", min: 10, drop: 1}, {title: "OPENED", min: 9},
	}
	var rows [][]cell
	for _, t := range list {
		engineer := cell{"nobody yet", warn}
		if t.GetEngineer() != nil {
			engineer = cell{PersonName(t.GetEngineer()), plain}
		}
		rows = append(rows, []cell{
			{TicketName(t), accent}, text(t.GetTenant()), text(t.GetTitle()), engineer, text(t.GetTeam()),
			{l.In(t.GetOpenedAt().AsTime()), plain},
		})
	}
	return l.table(columns, rows)
}

// TicketName returns what the customer calls a ticket.
func TicketName(t *lockboxv1.TicketView) string {
	return Clean(cmp.Or(t.GetReference(), t.GetTicketId()))
}

// Ticket renders a support ticket with its history (R11).
func Ticket(l Look, t *lockboxv1.TicketView) string {
	p := &page{Look: l}
	p.ticket(t)
	return p.String()
}

func (p *page) ticket(t *lockboxv1.TicketView) {
	p.title("Ticket " + TicketName(t) + ": " + Clean(t.GetTitle()))
	p.field("Tenant", Clean(t.GetTenant()))
	p.field("Subscription", Clean(t.GetSubscriptionId()))
	opened := p.Stamp(t.GetOpenedAt()) + " by "
	if t.GetOpenedByProvider() {
		opened += "the provider's ticket system, "
	}
	p.field("Opened", opened+ActorName(t.GetOpenedBy()))
	if t.GetClosedAt() != nil {
		p.field("Closed", p.Stamp(t.GetClosedAt())+" by "+ActorName(t.GetClosedBy()))
	}
	if t.GetEngineer() == nil {
		p.painted("Engineer", warn, "nobody yet")
	} else {
		p.field("Engineer", strings.TrimSuffix(address(t.GetEngineer())+", "+Clean(t.GetTeam()), ", "))
	}
	p.field("Description", CleanText(t.GetDescription()))
	if len(t.GetHistory()) == 0 {
		return
	}
	zone, _ := p.local(p.Now).Zone()
	p.heading("History (" + zone + ")")
	date := ""
	for _, e := range t.GetHistory() {
		date = p.date(date, e.GetTime())
		p.entry(e)
	}
}

// reasonOf returns the display name of a request's reason. Support is the customer's wish only if the customer opened
// the ticket, whatever the request says (R61).
func reasonOf(v *lockboxv1.RequestView) string {
	reason := v.GetIntent().GetReasonType()
	if v.GetTicketOfProvider() && reason == lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT {
		return "Support, on a ticket that the provider opened"
	}
	return ReasonName(reason)
}

// ticketOf returns the ticket that a request names, whose it is, and what depends on it.
func ticketOf(v *lockboxv1.RequestView) []string {
	ticket := []string{Clean(v.GetIntent().GetTicketId())}
	if v.GetTicketOfProvider() {
		ticket = append(ticket, "opened by the provider")
	}
	if v.GetAccessEndsWithTicket() {
		ticket = append(ticket, "access ends when it is closed")
	}
	return ticket
}
