package cli

import (
	"context"
	"crypto/rand"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) ticketCommand() *cobra.Command {
	return group("ticket", "Support tickets", `Somebody at the customer, or the provider's ticket system, opens a ticket; the provider's support assigns it, hands it on
and comments. Approvers see it with the request that names it. It is named by its reference, which is what the customer calls it
(SR-2026-0001, '#12345', org/repo#12): letter case and repeated blanks do not matter.`, "",
		a.ticketListCommand(), a.ticketShowCommand(), a.ticketOpenCommand(), a.ticketAssignCommand(),
		a.ticketCommentCommand(), a.ticketCloseCommand(), a.ticketReopenCommand())
}

// ticket reads one ticket.
func (s *session) ticket(ctx context.Context, tenant, id string, minSequence uint64) (*lockboxv1.TicketView, error) {
	reply, err := s.ask(ctx, tenant, minSequence,
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetTicket{GetTicket: &lockboxv1.GetTicket{TicketId: id}}})
	return reply.GetTicket(), err
}

func (a *app) ticketListCommand() *cobra.Command {
	var limit uint32
	c := &cobra.Command{
		Use: "list", Short: "List tickets", Args: exactly(), ValidArgsFunction: nothing,
		Example: "  lockbox ticket list --watch",
	}
	c.Flags().Uint32Var(&limit, "limit", 0, "at most this `many`")
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		tenant, err := s.tenant(ctx)
		if err != nil {
			return err
		}
		return a.list(ctx, *watch, func() (page, error) {
			reply, err := s.ask(ctx, tenant, 0,
				&lockboxv1.Query{Ask: &lockboxv1.Query_ListTickets{ListTickets: &lockboxv1.ListTickets{Limit: limit}}})
			list := reply.GetTickets()
			return answer(list, func(l render.Look) string {
				if len(list.GetTickets()) == 0 {
					return "No tickets.\n"
				}
				return render.Tickets(l, list.GetTickets())
			}), err
		})
	})
	return c
}

func (a *app) ticketShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show TICKET", Short: "Show a ticket with its history", Args: exactly("TICKET"),
		ValidArgsFunction: firstArgument(a.ticketIDs),
		Example:           "  lockbox ticket show SR-2026-0001",
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			tenant, err := s.tenant(ctx)
			if err != nil {
				return err
			}
			v, err := s.ticket(ctx, tenant, args[0], 0)
			if err != nil {
				return err
			}
			return a.show(v, func(l render.Look) string { return render.Ticket(l, v) })
		}),
	}
}

func (a *app) ticketOpenCommand() *cobra.Command {
	t := &lockboxv1.OpenTicket{}
	c := &cobra.Command{
		Use: "open --title TITLE", Args: exactly(),
		Short:             "Open a ticket (the customer's people; the provider's ticket system)",
		ValidArgsFunction: nothing,
		Example: `  lockbox ticket open --title "The payment service does not answer" --subscription meadow-production \
      --description "Since last night's update payments-1 hangs after a few minutes."`,
	}
	f := c.Flags()
	f.StringVar(&t.Reference, "reference", "", "what your own system `calls` it, such as '#12345'; none: one is made")
	f.StringVar(&t.Reference, "id", "", "as --reference")
	_ = f.MarkHidden("id")
	f.StringVar(&t.Title, "title", "", "`what` it is about, in one line")
	f.StringVar(&t.Description, "description", "", "`what` happened")
	f.StringVar(&t.SubscriptionId, "subscription", "", "the `subscription` that it is about")
	complete(c, "subscription", a.subscriptions)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		if t.Reference = strings.TrimSpace(t.GetReference()); t.GetReference() == "" {
			t.Reference = "SR-" + a.Now().UTC().Format("20060102") + "-" + strings.ToUpper(rand.Text()[:6])
		}
		command := &lockboxv1.Command{Action: &lockboxv1.Command_OpenTicket{OpenTicket: t}}
		if err := s.check(command, []string{"title", t.GetTitle()}); err != nil {
			return err
		}
		tenant, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		reply, err := s.do(ctx, tenant, "", command)
		if err != nil {
			return err
		}
		if a.output == formatTable {
			return a.done(reply, "Ticket %s is open.", render.Clean(t.GetReference()))
		}
		v, err := s.ticket(ctx, tenant, t.GetReference(), reply.GetSequence())
		if err != nil {
			return err
		}
		return a.show(v, nil)
	})
	return c
}

func (a *app) ticketAssignCommand() *cobra.Command {
	as := &lockboxv1.AssignTicket{Engineer: &lockboxv1.Person{}}
	c := &cobra.Command{
		Use: "assign TICKET --engineer WHO", Short: "Give a ticket to an engineer, or hand it on (the provider's support)",
		Args:              exactly("TICKET"),
		ValidArgsFunction: firstArgument(a.ticketIDs),
		Example:           `  lockbox ticket assign SR-2026-0001 --tenant meadowbank --engineer erin --name "Erin Ellis" --team "Compute support"`,
	}
	f := c.Flags()
	f.StringVar(&as.Engineer.Subject, "engineer", "", "who: their `subject` at the provider's issuer")
	f.StringVar(&as.Engineer.DisplayName, "name", "", "their `name`")
	f.StringVar(&as.Engineer.Email, "email", "", "their `address`")
	f.StringVar(&as.Team, "team", "", "their `team`")
	f.StringVar(&as.Reason, "reason", "", "`why` it is handed on")
	complete(c, "engineer", a.personas)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		name := as.GetEngineer().GetDisplayName()
		as.Engineer.DisplayName = first(name, as.GetEngineer().GetSubject(), "unnamed") // as it is called if it has none
		command := &lockboxv1.Command{Action: &lockboxv1.Command_AssignTicket{AssignTicket: as}}
		if err := s.check(command, []string{"engineer", as.GetEngineer().GetSubject()}); err != nil {
			return err
		}
		as.Engineer.DisplayName = name
		tenant, err := s.ticketTenant(ctx, args[0])
		if err != nil {
			return err
		}
		claims, err := s.claims(ctx)
		if err != nil {
			return err
		}
		as.Engineer.Issuer = claims.Issuer // the engineer is a colleague of the caller
		s.introduce(as.GetEngineer())
		as.Engineer.DisplayName = first(as.GetEngineer().GetDisplayName(), as.GetEngineer().GetSubject())
		return s.order(ctx, tenant, args[0], command,
			"%s is now %s's.", render.Clean(args[0]), render.PersonName(as.GetEngineer()))
	})
	return c
}

func (a *app) ticketCommentCommand() *cobra.Command {
	return &cobra.Command{
		Use: "comment TICKET TEXT", Short: "Add a comment to a ticket", Args: exactly("TICKET", "TEXT"),
		ValidArgsFunction: firstArgument(a.ticketIDs),
		Example:           `  lockbox ticket comment SR-2026-0001 "It happened again at 14:03."`,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			tenant, err := s.ticketTenant(ctx, args[0])
			if err != nil {
				return err
			}
			return s.order(ctx, tenant, args[0], &lockboxv1.Command{Action: &lockboxv1.Command_CommentTicket{
				CommentTicket: &lockboxv1.CommentTicket{Text: args[1]}}}, "Commented.")
		}),
	}
}

func (a *app) ticketCloseCommand() *cobra.Command {
	return a.settle("close", "Close a ticket; access that is bound to it ends, requests stay as they are", "Closed.",
		func(reason string) *lockboxv1.Command {
			return &lockboxv1.Command{Action: &lockboxv1.Command_CloseTicket{
				CloseTicket: &lockboxv1.CloseTicket{Reason: reason}}}
		})
}

func (a *app) ticketReopenCommand() *cobra.Command {
	return a.settle("reopen", "Open a closed ticket again", "Open again.", func(reason string) *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_ReopenTicket{
			ReopenTicket: &lockboxv1.ReopenTicket{Reason: reason}}}
	})
}

func (a *app) settle(name, short, done string, command func(reason string) *lockboxv1.Command) *cobra.Command {
	reason := ""
	c := &cobra.Command{
		Use: name + " TICKET", Short: short, Args: exactly("TICKET"), ValidArgsFunction: firstArgument(a.ticketIDs),
		Example: "  lockbox ticket " + name + " SR-2026-0001",
	}
	c.Flags().StringVar(&reason, "reason", "", "`why`")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		tenant, err := s.ticketTenant(ctx, args[0])
		if err != nil {
			return err
		}
		return s.order(ctx, tenant, args[0], command(reason), "%s", done)
	})
	return c
}

// ticketTenant returns the selected tenant, or else the tenant of the ticket.
func (s *session) ticketTenant(ctx context.Context, id string) (string, error) {
	tenant, err := s.tenant(ctx)
	if err != nil || tenant != "" {
		return tenant, err
	}
	v, err := s.ticket(ctx, "", id, 0)
	return v.GetTenant(), err
}
