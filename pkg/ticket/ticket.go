// Package ticket is the customer's support ticket and its history (R11). It is pure.
package ticket

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// State is a ticket, folded from its events.
type State struct {
	aggregate.History
	Title, Description, SubscriptionID string
	OpenedBy                           *lockboxv1.Actor
	OpenedAt                           time.Time
	// Engineer and Team have it now; both empty before it is assigned.
	Engineer *lockboxv1.Person
	Team     string
}

// Exists reports whether the ticket was opened.
func (s State) Exists() bool { return s.Version > 0 }

// Evolve folds one stored event. An event that cannot be true where it stands changes nothing but Fault.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

func (s *State) apply(e *lockboxv1.Event) (broken string) {
	opened, isOpening := e.GetFact().(*lockboxv1.Event_TicketOpened)
	if isOpening != (e.GetVersion() == 1) {
		return "a ticket begins with its opening, once"
	}
	assigned := s.Engineer != nil || s.Team != ""
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_TicketOpened:
		if e.GetKind() != "ticket" {
			return "a ticket's events are about a ticket"
		}
		t := opened.TicketOpened
		s.Title, s.Description, s.SubscriptionID = t.GetTitle(), t.GetDescription(), t.GetSubscriptionId()
		s.OpenedBy, s.OpenedAt = e.GetActor(), e.GetTime().AsTime()
	case *lockboxv1.Event_TicketAssigned:
		if assigned {
			return "a ticket that has an engineer is reassigned"
		}
		s.Engineer, s.Team = f.TicketAssigned.GetEngineer(), f.TicketAssigned.GetTeam()
	case *lockboxv1.Event_TicketReassigned:
		if !assigned {
			return "a ticket is assigned before it is reassigned"
		}
		s.Engineer, s.Team = f.TicketReassigned.GetEngineer(), f.TicketReassigned.GetTeam()
	case *lockboxv1.Event_TicketCommented:
	default:
		return "the fact belongs to another kind of aggregate"
	}
	return ""
}

// maxEntries bounds a ticket: all of it is read for each request that names it.
const maxEntries = 500

// Decide says what a command makes true of the ticket. The customer's people open and comment; the provider's support
// assigns, escalates and comments. No events and no error: it is so already.
func Decide(s State, t tenant.State, c aggregate.Command, now time.Time) ([]*lockboxv1.Event, error) {
	if s.Fault != nil {
		return nil, refusal.Precondition("aggregate_id", "I6", "the ticket's history contradicts itself at sequence %d (%s)", s.Fault.Sequence, s.Fault.Rule)
	}
	if !t.Exists() {
		return nil, refusal.NotFound("tenant", "I9", "there is no such tenant")
	}
	if _, seen := s.Caused(c.GetId()); seen {
		return nil, nil
	}
	e := s.Follow(c.By, c.GetId(), now)
	if o, ok := c.GetAction().(*lockboxv1.Command_OpenTicket); ok {
		if err := mayOpen(s, c, o.OpenTicket); err != nil {
			return nil, err
		}
		e.Tenant, e.Kind, e.AggregateId = c.GetTenant(), "ticket", c.GetAggregateId()
		e.Fact = &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{
			Title: o.OpenTicket.GetTitle(), Description: o.OpenTicket.GetDescription(), SubscriptionId: o.OpenTicket.GetSubscriptionId(),
		}}
		return []*lockboxv1.Event{e}, nil
	}
	if !s.Exists() {
		return nil, refusal.NotFound("aggregate_id", "R11", "there is no such ticket")
	}
	if s.Version >= maxEntries {
		return nil, refusal.Precondition("aggregate_id", "R11", "the ticket has %d entries, and that is all it can have; open another", maxEntries)
	}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_AssignTicket:
		return assign(s, c.By, a.AssignTicket, e)
	case *lockboxv1.Command_CommentTicket:
		if c.By.GetSide() != lockboxv1.Side_SIDE_TENANT && !aggregate.Provider(c.By, aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.DevOpsManagers) {
			return nil, refusal.Forbidden("token", "R11", "only the customer's people and the provider's support comment on a ticket")
		}
		if err := input.Text("comment_ticket.text", a.CommentTicket.GetText(), 1, 4000); err != nil {
			return nil, err
		}
		e.Fact = &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: a.CommentTicket.GetText()}}
		return []*lockboxv1.Event{e}, nil
	}
	return nil, refusal.Invalid("action", "bad input", "this command is not about a ticket")
}

func mayOpen(s State, c aggregate.Command, o *lockboxv1.OpenTicket) error {
	if c.By.GetSide() != lockboxv1.Side_SIDE_TENANT {
		return refusal.Forbidden("token", "R11", "a ticket is opened by somebody at the customer")
	}
	if s.Exists() {
		return refusal.Conflict("aggregate_id", "R11", "another ticket has this id")
	}
	if err := input.Token("aggregate_id", c.GetAggregateId()); err != nil {
		return err
	}
	if id := o.GetSubscriptionId(); id != "" {
		if err := input.Token("open_ticket.subscription_id", id); err != nil {
			return err
		}
	}
	if err := input.Line("open_ticket.title", o.GetTitle(), 3, 200); err != nil {
		return err
	}
	return input.Text("open_ticket.description", o.GetDescription(), 0, 4000)
}

func assign(s State, by *lockboxv1.Actor, a *lockboxv1.AssignTicket, e *lockboxv1.Event) ([]*lockboxv1.Event, error) {
	if !aggregate.Provider(by, aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.DevOpsManagers) {
		return nil, refusal.Forbidden("token", "R11", "a ticket is assigned by the provider's support")
	}
	p := a.GetEngineer()
	for _, err := range []error{
		input.Line("assign_ticket.engineer.subject", p.GetSubject(), 1, 255),
		input.Line("assign_ticket.engineer.display_name", p.GetDisplayName(), 1, 120),
		input.Line("assign_ticket.team", a.GetTeam(), 0, 120),
		input.Text("assign_ticket.reason", a.GetReason(), 0, 1000),
	} {
		if err != nil {
			return nil, err
		}
	}
	if p.GetIssuer() != by.GetPerson().GetIssuer() {
		return nil, refusal.Invalid("assign_ticket.engineer.issuer", "R11", "a ticket is given to one of the provider's people")
	}
	if p.GetEmail() != "" {
		if err := input.Email("assign_ticket.engineer.email", p.GetEmail()); err != nil {
			return nil, err
		}
	}
	switch {
	case proto.Equal(p, s.Engineer) && a.GetTeam() == s.Team:
		return nil, nil
	case s.Engineer == nil:
		e.Fact = &lockboxv1.Event_TicketAssigned{TicketAssigned: &lockboxv1.TicketAssigned{Engineer: p, Team: a.GetTeam()}}
	default:
		e.Fact = &lockboxv1.Event_TicketReassigned{TicketReassigned: &lockboxv1.TicketReassigned{Engineer: p, Team: a.GetTeam(), Reason: a.GetReason()}}
	}
	return []*lockboxv1.Event{e}, nil
}
