package cli

import (
	"context"

	"github.com/google/uuid"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (a *app) discloseCommand() *cobra.Command {
	return group("disclose", "What happened outside of any request", `The provider's security officer records inadvertent exposures and external legal demands. Neither triggers a request; the
customer is told by mail and in the activity log, of a legal demand at the end of its embargo.`, "",
		a.discloseExposureCommand(), a.discloseLegalDemandCommand(), a.discloseListCommand())
}

// occurrence holds the flags that all kinds of disclosure share.
type occurrence struct {
	lockboxv1.Occurrence
	id, when string
	yes      *bool
}

func (o *occurrence) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.id, "id", "", "the disclosure's `id`, a UUID of version 7; none: one is made")
	f.StringVar(&o.What, "what", "", "`what` happened, in one line that the customer reads")
	f.StringVar(&o.when, "when", "", "`when` it happened: a time, or how long ago")
	f.StringArrayVar(&o.ResourceIds, "resource", nil, "a `resource` (repeat for several)")
	f.StringVar(&o.Description, "description", "", "what was reached, in `words`")
	f.StringVar(&o.Reason, "reason", "", "`why` it happened, and why there was no request")
	for _, flag := range []string{"id", "what", "when", "resource", "description", "reason"} {
		complete(c, flag, nothing)
	}
	o.yes = askAlways(c)
}

// disclose sends the disclosure that the flags describe. The command is there even if something is wrong with it.
func (a *app) disclose(
	ctx context.Context, s *session, o *occurrence, command func(*lockboxv1.Occurrence) (*lockboxv1.Command, error),
	needed ...string,
) error {
	tenant, err := s.oneTenant(ctx)
	if err != nil {
		return err
	}
	at, wrong := a.Now(), error(nil)
	if o.when != "" {
		if at, wrong = a.parseTime(o.when); wrong != nil {
			at, wrong = a.Now(), flagged("when", usage(s.command, "--when: %w", wrong))
		}
	}
	o.HappenedAt = timestamppb.New(at)
	if o.id == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		o.id = id.String()
	}
	c, later := command(&o.Occurrence)
	needed = append([]string{"what", o.What, "when", o.when, "reason", o.Reason}, needed...)
	if err := s.check(c, needed, wrong, later); err != nil {
		return err
	}
	told := "the customer is told now"
	if end := c.GetDiscloseLegalDemand().GetEmbargoUntil(); end != nil && end.AsTime().After(a.Now()) {
		told = "the customer is told on " + a.look().Stamp(end)
	}
	warning := "This is recorded for good, and " + told + "."
	if err := a.confirmDangerous(ctx, s.command, *o.yes, warning, goOn); err != nil {
		return err
	}
	return s.order(ctx, tenant, o.id, c, "Recorded as %s; %s.", render.Clean(o.id), told)
}

func (a *app) discloseExposureCommand() *cobra.Command {
	o := &occurrence{}
	c := &cobra.Command{
		Use: "exposure --what WHAT --when WHEN", Short: "Record an inadvertent exposure; the customer is told at once",
		Args: exactly(), ValidArgsFunction: nothing,
		Example: `  lockbox disclose exposure --tenant meadowbank --what "A packet capture held traffic of payments-1" --when 2h \
      --resource /subscriptions/meadow-production/resourceGroups/payments/providers/Microsoft.Compute/virtualMachines/payments-1 \
      --reason "Taken on a router to find a faulty line card; deleted since." --yes`,
	}
	o.register(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		return a.disclose(ctx, s, o, func(what *lockboxv1.Occurrence) (*lockboxv1.Command, error) {
			return &lockboxv1.Command{Action: &lockboxv1.Command_DiscloseExposure{
				DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: what}}}, nil
		})
	})
	return c
}

func (a *app) discloseLegalDemandCommand() *cobra.Command {
	o, d := &occurrence{}, &lockboxv1.DiscloseLegalDemand{}
	var embargo string
	c := &cobra.Command{
		Use:   "legal-demand --what WHAT --when WHEN --authority WHO --reference REFERENCE",
		Short: "Record an external legal demand; the customer is told when its embargo ends",
		Args:  exactly(), ValidArgsFunction: nothing,
		Example: `  lockbox disclose legal-demand --tenant meadowbank --what "Account records were demanded and handed over" --when 3h \
      --authority "Amtsgericht Musterstadt" --reference "12 Gs 345/26" --embargo-until +90d \
      --description "Names and sign-in times of two accounts." --reason "The order binds us, and forbids us to tell."`,
	}
	o.register(c)
	f := c.Flags()
	f.StringVar(&d.Authority, "authority", "", "`who` demands it")
	f.StringVar(&d.Reference, "reference", "", "their `reference`")
	f.StringVar(&embargo, "embargo-until", "", "`when` the customer may be told; none: at once")
	for _, flag := range []string{"authority", "reference", "embargo-until"} {
		complete(c, flag, nothing)
	}
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		return a.disclose(ctx, s, o, func(what *lockboxv1.Occurrence) (*lockboxv1.Command, error) {
			var wrong error
			if d.Occurrence = what; embargo != "" {
				end, err := a.parseTime(embargo)
				if err == nil {
					d.EmbargoUntil = timestamppb.New(end)
				} else {
					wrong = flagged("embargo-until", usage(s.command, "--embargo-until: %w", err))
				}
			}
			return &lockboxv1.Command{Action: &lockboxv1.Command_DiscloseLegalDemand{DiscloseLegalDemand: d}}, wrong
		}, "authority", d.GetAuthority(), "reference", d.GetReference())
	})
	return c
}

func (a *app) discloseListCommand() *cobra.Command {
	var limit uint32
	c := &cobra.Command{
		Use: "list", Short: "List disclosures; the customer's people see what they were told", Args: exactly(),
		ValidArgsFunction: nothing,
		Example:           "  lockbox disclose list --tenant meadowbank",
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
				&lockboxv1.Query{Ask: &lockboxv1.Query_ListDisclosures{ListDisclosures: &lockboxv1.ListDisclosures{Limit: limit}}})
			list := reply.GetDisclosures()
			return answer(list, func(l render.Look) string {
				if len(list.GetDisclosures()) == 0 {
					return "Nothing was disclosed.\n"
				}
				return render.Disclosures(l, list.GetDisclosures())
			}), err
		})
	})
	return c
}
