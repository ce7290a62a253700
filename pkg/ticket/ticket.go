// Package ticket implements the customer's support tickets and their history (R11). It is pure.
package ticket

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// State is a ticket, folded from its events.
type State struct {
	aggregate.History
	// Reference is what the customer calls the ticket, as given; of a ticket from before there were references, its id.
	Reference                          string
	Title, Description, SubscriptionID string
	OpenedBy                           *lockboxv1.Actor
	OpenedAt                           time.Time
	// Engineer and Team are the current assignment; both are empty before the first.
	Engineer *lockboxv1.Person
	Team     string
	// ClosedBy is who closed the ticket, at ClosedAt; nil while it is open.
	ClosedBy *lockboxv1.Actor
	ClosedAt time.Time
	// LastClosed is the sequence at which it was closed last, whether it was opened again since or not, and LastClosedBy
	// by whom; 0 if it never was.
	LastClosed   uint64
	LastClosedBy *lockboxv1.Actor
}

// Closed reports whether the ticket is closed.
func (s State) Closed() bool { return s.ClosedBy != nil }

// OfProvider reports whether the provider's ticket system opened the ticket. It is no support that the customer asked
// for (R61).
func (s State) OfProvider() bool { return s.Exists() && !aggregate.Customer(s.OpenedBy) }

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

func (s *State) apply(e *lockboxv1.Event) (broken string) {
	opened, isOpening := e.GetFact().(*lockboxv1.Event_TicketOpened)
	if isOpening != (e.GetVersion() == 1) {
		return "a ticket begins with its opening, once"
	}
	if named := referenceIn(e); named != "" && !isOpening && named != s.Reference {
		return "a ticket has one reference (R11)"
	}
	assigned := s.Engineer != nil || s.Team != ""
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_TicketOpened:
		if !mayOpen(e.GetActor()) {
			return "a ticket is opened by somebody at the customer, or by the provider's ticket system (R11, R61)"
		}
		t := opened.TicketOpened
		if s.Reference = t.GetReference(); s.Reference == "" {
			s.Reference = e.GetAggregateId()
		} else if s.Reference != strings.TrimSpace(s.Reference) || checkReference("", s.Reference) != nil ||
			aggregate.TicketID(s.Reference) != e.GetAggregateId() {
			return "a ticket's id follows from its reference (R11)"
		}
		s.Title, s.Description, s.SubscriptionID = t.GetTitle(), t.GetDescription(), t.GetSubscriptionId()
		s.OpenedBy, s.OpenedAt = e.GetActor(), e.GetTime().AsTime()
	case *lockboxv1.Event_TicketAssigned:
		switch {
		case assigned:
			return "a ticket that has an engineer is reassigned"
		case !mayAssign(e.GetActor()):
			return "a ticket is assigned by the provider's support (R11)"
		}
		s.Engineer, s.Team = f.TicketAssigned.GetEngineer(), f.TicketAssigned.GetTeam()
	case *lockboxv1.Event_TicketReassigned:
		switch {
		case !assigned:
			return "a ticket is assigned before it is reassigned"
		case !mayAssign(e.GetActor()):
			return "a ticket is assigned by the provider's support (R11)"
		}
		s.Engineer, s.Team = f.TicketReassigned.GetEngineer(), f.TicketReassigned.GetTeam()
	case *lockboxv1.Event_TicketCommented:
		if !MayComment(e.GetActor()) {
			return "the customer's people and the provider's support comment on a ticket (R11)"
		}
	case *lockboxv1.Event_TicketClosed, *lockboxv1.Event_TicketReopened:
		_, closes := f.(*lockboxv1.Event_TicketClosed)
		switch {
		case !MayComment(e.GetActor()):
			return "the customer's people and the provider's support close a ticket and open it again (R61)"
		case closes == s.Closed():
			return "an open ticket is closed, and a closed one opened again (R61)"
		}
		if s.ClosedBy, s.ClosedAt = nil, (time.Time{}); closes {
			s.ClosedBy, s.ClosedAt = e.GetActor(), e.GetTime().AsTime()
			s.LastClosed, s.LastClosedBy = s.Sequence, e.GetActor()
		}
	}
	return ""
}

// maxEntries limits the events of a ticket: all of them are read for each request that names it.
const maxEntries = 500

// Reference returns what an event about a ticket calls it: its reference, as the customer gave it, or in events from
// before there were references its id.
func Reference(e *lockboxv1.Event) string {
	if reference := referenceIn(e); reference != "" {
		return reference
	}
	return e.GetAggregateId()
}

// referenceIn returns the reference that an event about a ticket repeats; empty if it has none.
func referenceIn(e *lockboxv1.Event) string {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_TicketOpened:
		return f.TicketOpened.GetReference()
	case *lockboxv1.Event_TicketAssigned:
		return f.TicketAssigned.GetReference()
	case *lockboxv1.Event_TicketReassigned:
		return f.TicketReassigned.GetReference()
	case *lockboxv1.Event_TicketCommented:
		return f.TicketCommented.GetReference()
	case *lockboxv1.Event_TicketClosed:
		return f.TicketClosed.GetReference()
	case *lockboxv1.Event_TicketReopened:
		return f.TicketReopened.GetReference()
	}
	return ""
}

// Name is how a ticket can be named.
type Name struct{ ID, Reference string }

// Pick returns which of one tenant's tickets is meant, of those that the name fits (Fits): the one that is spelled just
// so, or the only one; false if there is none. It refuses (CONFLICT, naming all) a name that fits several: tickets from
// before there were references may differ in the case of letters only.
func Pick(field, named string, fits []Name) (picked Name, found bool, err error) {
	line := strings.TrimSpace(prose.Line(named))
	for _, exactly := range []func(Name) bool{
		func(n Name) bool { return n.ID == line }, func(n Name) bool { return n.Reference == line },
	} {
		if i := slices.IndexFunc(fits, exactly); i >= 0 {
			return fits[i], true, nil
		}
	}
	switch len(fits) {
	case 0:
		return Name{}, false, nil
	case 1:
		return fits[0], true, nil
	}
	names := make([]string, len(fits))
	for i, n := range fits {
		names[i] = n.Reference
	}
	slices.Sort(names)
	return Name{}, false, refusal.OfKind(
		refusal.Conflict(field, "R11", "fits several tickets (%s); write it exactly as one of them",
			strings.Join(names, ", ")),
		"ticket-ambiguous", "known", strings.Join(names, ", "))
}

// Fits reports whether a name, in any spelling, could mean the ticket.
func (n Name) Fits(named string) bool {
	folded := aggregate.FoldReference(named)
	return folded == aggregate.FoldReference(n.Reference) || folded == n.ID
}

// Decide returns the event that results from a command on the ticket, or neither event nor error if it would change
// nothing. The customer's people open, comment and close; the provider's support assigns, escalates, comments and
// closes; the provider's ticket system opens, and does nothing else.
func Decide(s State, t tenant.State, c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	e, err := s.Begin(c, s.Version, func() error {
		if !t.Exists() {
			return refusal.NotFound("tenant", "I9", "there is no such tenant")
		}
		return nil
	}, now)
	if e == nil || err != nil {
		return nil, err
	}
	if err := s.decide(c, e); err != nil {
		return nil, err
	}
	return aggregate.End(s, e, Evolve)
}

func (s State) decide(c aggregate.Command, e *lockboxv1.Event) error {
	if o, ok := c.GetAction().(*lockboxv1.Command_OpenTicket); ok {
		e.Fact = &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{
			Title: o.OpenTicket.GetTitle(), Description: o.OpenTicket.GetDescription(),
			SubscriptionId: o.OpenTicket.GetSubscriptionId(), Reference: reference(c.Command),
		}}
		return s.open(c)
	}
	if !s.Exists() {
		return refusal.NotFound("aggregate_id", "R11", "there is no such ticket")
	}
	if _, closes := c.GetAction().(*lockboxv1.Command_CloseTicket); s.Version >= maxEntries && !closes {
		return refusal.Naming(
			refusal.Precondition("aggregate_id", "R11",
				"the ticket has %d entries, and that is all it can have; open another", maxEntries),
			"most", strconv.Itoa(maxEntries))
	}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_AssignTicket:
		if s.Closed() {
			return refusal.Precondition("aggregate_id", "R61", "the ticket is closed; open it again first")
		}
		return assign(s, c, a.AssignTicket, e)
	case *lockboxv1.Command_CommentTicket:
		if !MayComment(c.By) {
			return refusal.OfKind(
				refusal.Forbidden("token", "R11",
					"only the customer's people and the provider's support comment on a ticket"),
				"ticket-comment")
		}
		e.Fact = &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{
			Text: a.CommentTicket.GetText(), Reference: s.Reference,
		}}
		return refusal.First(Faults(c.Command)...)
	case *lockboxv1.Command_CloseTicket:
		return s.close(c, a.CloseTicket.GetReason(), true, e)
	case *lockboxv1.Command_ReopenTicket:
		return s.close(c, a.ReopenTicket.GetReason(), false, e)
	}
	return refusal.Invalid("action", "bad input", "this command is not about a ticket")
}

// close closes the ticket, or opens it again; no event if it is so already.
func (s State) close(c aggregate.Command, reason string, closes bool, e *lockboxv1.Event) error {
	if !MayComment(c.By) {
		return refusal.Forbidden("token", "R61",
			"only the customer's people and the provider's support close a ticket and open it again")
	}
	if err := refusal.First(Faults(c.Command)...); err != nil || closes == s.Closed() {
		return err
	}
	if closes {
		e.Fact = &lockboxv1.Event_TicketClosed{TicketClosed: &lockboxv1.TicketClosed{Reason: reason,
			Reference: s.Reference}}
		return nil
	}
	e.Fact = &lockboxv1.Event_TicketReopened{TicketReopened: &lockboxv1.TicketReopened{Reason: reason,
		Reference: s.Reference}}
	return nil
}

// mayAssign reports whether the actor belongs to the provider's support, which assigns and escalates tickets.
func mayAssign(by *lockboxv1.Actor) bool {
	return aggregate.Provider(by, aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.DevOpsManagers)
}

// MayComment reports whether the actor may comment on a ticket that they see: the customer's people, and the provider's
// support.
func MayComment(by *lockboxv1.Actor) bool { return aggregate.Customer(by) || mayAssign(by) }

// mayOpen reports whether the actor may open a ticket: the customer's people, and the provider's ticket system. None of
// the provider's people may, so that no engineer makes the ticket that their own request rests on.
func mayOpen(by *lockboxv1.Actor) bool {
	return aggregate.Customer(by) || aggregate.Provider(by, aggregate.TicketSystems)
}

func (s State) open(c aggregate.Command) error {
	if !mayOpen(c.By) {
		return refusal.Because(refusal.Forbidden("token", "R61",
			"a ticket is opened by somebody at the customer, or by the provider's ticket system"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_MAY_NOT_OPEN_TICKET))
	}
	if s.Exists() {
		return refusal.Naming(
			refusal.Conflict(fieldOf(c.Command), "R11",
				"the ticket %s has this reference; comment on it, or give another", s.Reference),
			"reference", s.Reference)
	}
	return refusal.First(Faults(c.Command)...)
}

// Faults returns everything that is wrong with what a command about a ticket says, whoever gives it, so that they can
// correct it at once. Errors may be nil.
func Faults(c *lockboxv1.Command) []error {
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_OpenTicket:
		o := a.OpenTicket
		return []error{
			checkReference(fieldOf(c), reference(c)),
			unless(o.GetSubscriptionId() == "", input.Token("open_ticket.subscription_id", o.GetSubscriptionId())),
			prose.CheckLine("open_ticket.title", o.GetTitle(), 3, 200),
			prose.Check("open_ticket.description", o.GetDescription(), 0, 4000),
		}
	case *lockboxv1.Command_AssignTicket:
		p := a.AssignTicket.GetEngineer()
		return []error{
			prose.CheckLine("assign_ticket.engineer.subject", p.GetSubject(), 1, 255),
			prose.CheckLine("assign_ticket.engineer.display_name", p.GetDisplayName(), 1, 120),
			prose.CheckLine("assign_ticket.team", a.AssignTicket.GetTeam(), 0, 120),
			prose.Check("assign_ticket.reason", a.AssignTicket.GetReason(), 0, 1000),
			unless(p.GetEmail() == "", input.Email("assign_ticket.engineer.email", p.GetEmail())),
		}
	case *lockboxv1.Command_CommentTicket:
		return []error{prose.Check("comment_ticket.text", a.CommentTicket.GetText(), 1, 4000)}
	case *lockboxv1.Command_CloseTicket:
		return []error{prose.Check("close_ticket.reason", a.CloseTicket.GetReason(), 0, 1000)}
	case *lockboxv1.Command_ReopenTicket:
		return []error{prose.Check("reopen_ticket.reason", a.ReopenTicket.GetReason(), 0, 1000)}
	}
	return nil
}

func unless(absent bool, err error) error {
	if absent {
		return nil
	}
	return err
}

// reference returns the reference under which a command opens a ticket. Those who know of no references give an id.
func reference(c *lockboxv1.Command) string {
	named, _ := aggregate.TicketNamed(c)
	return strings.TrimSpace(prose.Line(named))
}

func fieldOf(open *lockboxv1.Command) string {
	if open.GetOpenTicket().GetReference() != "" {
		return "open_ticket.reference"
	}
	return "aggregate_id"
}

func checkReference(field, reference string) error {
	if aggregate.HashedTicketID(reference) {
		return refusal.OfKind(
			refusal.Invalid(field, "R11", "looks like the id of a ticket, and a ticket's reference does not"),
			"ticket-reference")
	}
	return aggregate.CheckReference(field, reference)
}

func assign(s State, c aggregate.Command, a *lockboxv1.AssignTicket, e *lockboxv1.Event) error {
	by := c.By
	if !mayAssign(by) {
		return refusal.OfKind(
			refusal.Forbidden("token", "R11", "a ticket is assigned by the provider's support"),
			"ticket-assign")
	}
	p := a.GetEngineer()
	if err := refusal.First(Faults(c.Command)...); err != nil {
		return err
	}
	if p.GetIssuer() != by.GetPerson().GetIssuer() {
		return refusal.Invalid("assign_ticket.engineer.issuer", "R11", "a ticket is given to one of the provider's people")
	}
	if p.GetHuman() != "" {
		return refusal.Invalid("assign_ticket.engineer.human", "R51",
			"is read from the person's own tokens and never entered")
	}
	switch {
	case proto.Equal(p, s.Engineer) && a.GetTeam() == s.Team:
		return nil
	case s.Engineer == nil:
		e.Fact = &lockboxv1.Event_TicketAssigned{TicketAssigned: &lockboxv1.TicketAssigned{Engineer: p, Team: a.GetTeam(),
			Reference: s.Reference}}
	default:
		e.Fact = &lockboxv1.Event_TicketReassigned{TicketReassigned: &lockboxv1.TicketReassigned{Engineer: p,
			Team: a.GetTeam(), Reason: a.GetReason(), Reference: s.Reference}}
	}
	return nil
}
