package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) eraseCommand() *cobra.Command {
	return group("erase", "Make names, addresses and texts unreadable for ever",
		`What people wrote, and their names and addresses, is stored encrypted, each with a key of its own. To erase it is to destroy that
key: then nobody can read it any more, in any copy of the log, in no backup of it, and not in the portal, mails or exports from
then on. The log itself stays as it is, and every signature, receipt and proof still verifies.

What stays: who did what and when, by the ID that their identity provider gives them; and mails, exported files and forwarded
events that went out before. What was recorded before Lockbox encrypted it cannot be erased.

A security officer of the provider proposes an erasure, and a second one confirms it. A Global Administrator decides alone
about their own organisation's people and what they wrote. Either way the customer's administrators are told.`,
		`  lockbox erase texts --as grace request/019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b/9 --reason "A name slipped in."
  lockbox erase person --as olga --tenant meadowbank --subject erin --reason "Erin asked for it."
  lockbox erase confirm ERASURE`,
		a.erasePersonCommand(), a.eraseAddressCommand(), a.eraseTextsCommand(), a.eraseListCommand(),
		a.eraseConfirmCommand(), a.eraseDeclineCommand())
}

// wish is what the commands that erase have in common.
type wish struct {
	reason string
	yes    *bool
}

func (w *wish) add(c *cobra.Command) {
	c.Flags().StringVar(&w.reason, "reason", "", "`why`; it is recorded, and can itself be erased")
	complete(c, "reason", nothing)
	w.yes = askAlways(c)
}

// wants sends the wish to erase something. What says in words what can never be read again; stays, what can.
func (s *session) wants(
	ctx context.Context, w *wish, what, stays string, targets []*lockboxv1.ErasureTarget, wrong ...error,
) error {
	tenant, err := s.erasing(ctx)
	if err != nil {
		return err
	}
	if w.reason, err = s.app.reason(ctx, w.reason, "Why does it have to go?"); err != nil {
		return err
	}
	command := &lockboxv1.Command{Action: &lockboxv1.Command_EraseDetails{EraseDetails: &lockboxv1.EraseDetails{
		Targets: targets, Reason: w.reason}}}
	if err := s.check(command, []string{"reason", w.reason}, wrong...); err != nil {
		return err
	}
	officer := false
	if me, err := s.self(ctx); err == nil {
		officer = me.GetActor().GetSide() == lockboxv1.Side_SIDE_PROVIDER
	}
	next := "It is decided with this, and cannot be taken back."
	if officer {
		next = "It is proposed with this: another security officer has to confirm it."
	}
	of := render.Clean(tenant)
	if tenant == aggregate.ProviderTenant {
		of = "the provider"
	}
	warning := fmt.Sprintf("%s can never be read again in the records of %s, by anybody and in any copy. "+
		"What stays: %s; mails and files that went out before; and whatever was recorded before Lockbox encrypted it. %s",
		what, of, stays, next)
	if err := s.app.confirmDangerous(ctx, s.command, *w.yes, warning, goOn); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	if officer {
		return s.order(ctx, tenant, id.String(), command, "Proposed as %s. Nothing is erased before another security "+
			"officer confirms it: lockbox erase confirm %s", id, id)
	}
	return s.order(ctx, tenant, id.String(), command, "Decided as %s. Within seconds nobody can read it any more.", id)
}

// erasing is oneTenant, or the provider's own records.
func (s *session) erasing(ctx context.Context) (string, error) {
	if named := first(s.app.tenant, s.app.Getenv("LOCKBOX_TENANT")); named == aggregate.ProviderTenant {
		return named, nil
	}
	return s.oneTenant(ctx)
}

func (a *app) erasePersonCommand() *cobra.Command {
	w := &wish{}
	var issuer string
	var subjects []string
	c := &cobra.Command{
		Use: "person --subject SUBJECT", Short: "Make a person's name and mail address unreadable",
		Args: exactly(), ValidArgsFunction: nothing,
		Long: `Name and mail address of the person, wherever the customer's records have them; what they wrote is erased with lockbox erase
texts. If they come back, their name is recorded anew. Whoever has a role, or is about to have one, must be reached: remove
the role first.`,
		Example: `  lockbox erase person --as grace --subject otto --reason "He has left the company."
  lockbox erase person --as olga --tenant meadowbank --issuer https://login.nimbus.example --subject erin \
      --reason "She asked for it."`,
	}
	c.Flags().StringVar(&issuer, "issuer", "", "`where` they sign in; none: where you do")
	c.Flags().StringArrayVar(&subjects, "subject", nil, "their `ID` there (repeat for several)")
	complete(c, "issuer", nothing)
	complete(c, "subject", nothing)
	w.add(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		if issuer == "" {
			issuer = s.me(ctx).GetIssuer()
		}
		var targets []*lockboxv1.ErasureTarget
		for _, subject := range subjects {
			targets = append(targets, &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Person{
				Person: &lockboxv1.ErasedPerson{Issuer: issuer, Subject: subject}}})
		}
		who := render.Clean(strings.Join(subjects, ", "))
		return s.wants(ctx, w, fmt.Sprintf("Name and mail address of %s at %s", who, render.Clean(issuer)),
			"what "+who+" did and when, under that ID, and what they wrote", targets,
			missing(c, "subject", strings.Join(subjects, "")))
	})
	return c
}

func (a *app) eraseAddressCommand() *cobra.Command {
	w := &wish{}
	c := &cobra.Command{
		Use: "address ADDRESS...", Short: "Make a mail address by itself unreadable", Args: oneOrMore("ADDRESS"),
		ValidArgsFunction: nothing,
		Long: `The address where it stands without a person: as an alternate contact, and in the reports of mails. Addresses of people go with
lockbox erase person. One that is in the customer's settings has to be taken out there first. It is for security officers.`,
		Example: `  lockbox erase address --as olga --tenant meadowbank desk@meadowbank.example --reason "It was a private one."`,
	}
	w.add(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		var targets []*lockboxv1.ErasureTarget
		for _, address := range args {
			targets = append(targets, &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Address{
				Address: &lockboxv1.ErasedAddress{Address: address}}})
		}
		return s.wants(ctx, w, "The address "+render.Clean(strings.Join(args, ", ")),
			"which mails were sent and when, to nobody in particular", targets)
	})
	return c
}

func (a *app) eraseTextsCommand() *cobra.Command {
	w := &wish{}
	c := &cobra.Command{
		Use: "texts KIND/ID/VERSION...", Short: "Make what was written in an event unreadable",
		Args: oneOrMore("KIND/ID/VERSION"), ValidArgsFunction: nothing,
		Long: `All texts of one event: a justification, a comment, a reason, a question. The event is named by what it is about and its version
there, as in request/019a…/4: lockbox request show -o json, or lockbox audit list -o json, has all three. Who wrote it,
when, and what it led to stays.`,
		Example: `  lockbox erase texts --as grace request/019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b/9 --reason "A name slipped in."
  lockbox erase texts --as olga --tenant meadowbank ticket/SR-2026-0001/3 --reason "It holds a password."`,
	}
	w.add(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		var targets []*lockboxv1.ErasureTarget
		var wrong []error
		for _, place := range args {
			parts := strings.Split(place, "/")
			if len(parts) != 3 {
				wrong = append(wrong, usage(c, "%q is not KIND/ID/VERSION, such as request/019a…/4", place))
				continue
			}
			targets = append(targets, &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Texts{
				Texts: &lockboxv1.ErasedTexts{Kind: parts[0], AggregateId: parts[1], Version: parts[2]}}})
		}
		if err := allOf(wrong); err != nil {
			return err
		}
		return s.wants(ctx, w, "What was written in "+render.Clean(strings.Join(args, ", ")),
			"who wrote it, when, and what it led to", targets)
	})
	return c
}

func (a *app) eraseListCommand() *cobra.Command {
	var limit uint32
	c := &cobra.Command{
		Use: "list", Short: "List erasures, and how far they have come", Args: exactly(), ValidArgsFunction: nothing,
		Example: "  lockbox erase list --as olga\n  lockbox erase list --as grace",
	}
	c.Flags().Uint32Var(&limit, "limit", 0, "at most this `many`")
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		return a.list(ctx, *watch, func() (page, error) {
			list, err := s.erasures(ctx, "", limit)
			return answer(list, func(l render.Look) string {
				if len(list.GetErasures()) == 0 {
					return "Nothing is erased.\n"
				}
				return render.Erasures(l, list.GetErasures())
			}), err
		})
	})
	return c
}

// erasures asks for those whom the user may see; for one of them, if it is named.
func (s *session) erasures(ctx context.Context, id string, limit uint32) (*lockboxv1.ErasureList, error) {
	tenant := first(s.app.tenant, s.app.Getenv("LOCKBOX_TENANT"))
	if tenant != aggregate.ProviderTenant {
		var err error
		if tenant, err = s.tenant(ctx); err != nil {
			return nil, err
		}
	}
	reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_ListErasures{
		ListErasures: &lockboxv1.ListErasures{ErasureId: id, Limit: limit}}})
	return reply.GetErasures(), err
}

// erasure is one of them.
func (s *session) erasure(ctx context.Context, id string) (*lockboxv1.ErasureView, error) {
	list, err := s.erasures(ctx, id, 1)
	if err == nil && len(list.GetErasures()) == 0 {
		err = refusal.NotFound("erasure_id", "R63", "there is no such erasure")
	}
	if err != nil {
		return nil, err
	}
	return list.GetErasures()[0], nil
}

// proposals completes erasures that wait for a second officer.
func (a *app) proposals() completer {
	return firstArgument(a.asking(func(ctx context.Context, s *session) []string {
		list, err := s.erasures(ctx, "", 0)
		var ids []string
		for _, e := range list.GetErasures() {
			if err == nil && e.GetStatus() == lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED {
				ids = append(ids, cobra.CompletionWithDesc(render.Clean(e.GetErasureId()), render.ErasedThings(e)))
			}
		}
		return ids
	}))
}

func (a *app) eraseConfirmCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "confirm ERASURE", Short: "Confirm, as a second security officer, what another one wants erased",
		Args: exactly("ERASURE"), ValidArgsFunction: a.proposals(),
		Long: `Whoever proposed it cannot confirm it. Within seconds the keys are destroyed, which cannot be taken back: first make sure that no
dispute, investigation or retention rule needs it.`,
		Example: "  lockbox erase confirm 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
	}
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		e, err := s.erasure(ctx, args[0])
		if err != nil {
			return err
		}
		warning := fmt.Sprintf("%s proposed to erase %s, because: %s. "+
			"It can never be read again, by anybody and in any copy.",
			render.ActorName(e.GetProposedBy()), render.ErasedThings(e), render.Clean(e.GetReason()))
		if err := a.confirmDangerous(ctx, c, *yes, warning, "Erase it?"); err != nil {
			return err
		}
		return s.order(ctx, e.GetTenant(), e.GetErasureId(), &lockboxv1.Command{SeenVersion: e.GetVersion(),
			Action: &lockboxv1.Command_ConfirmErasure{ConfirmErasure: &lockboxv1.ConfirmErasure{}}},
			"Confirmed. Within seconds nobody can read it any more.")
	})
	return c
}

func (a *app) eraseDeclineCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "decline ERASURE", Short: "Decline a proposed erasure, or withdraw your own", Args: exactly("ERASURE"),
		ValidArgsFunction: a.proposals(),
		Example:           `  lockbox erase decline 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --reason "A court wants it."`,
	}
	c.Flags().StringVar(&reason, "reason", "", "`why` it stays")
	complete(c, "reason", nothing)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		e, err := s.erasure(ctx, args[0])
		if err != nil {
			return err
		}
		return s.order(ctx, e.GetTenant(), e.GetErasureId(), &lockboxv1.Command{SeenVersion: e.GetVersion(),
			Action: &lockboxv1.Command_DeclineErasure{DeclineErasure: &lockboxv1.DeclineErasure{Reason: reason}}},
			"Declined. Nothing is erased.")
	})
	return c
}
