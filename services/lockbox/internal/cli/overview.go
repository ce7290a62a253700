package cli

import (
	"context"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) overviewCommand() *cobra.Command {
	var provider bool
	o := &lockboxv1.GetOverview{}
	c := &cobra.Command{
		Use: "overview", Short: "Show what is open, and the last 13 weeks in numbers", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `What is open now, and what was asked for, decided and used in the last 13 weeks: the numbers of the portal's overview, among what
you may see. For a customer's people, and for the provider's security officers, about one customer or all. With --provider, for
these: how things stand at each customer, and how the log is.`,
		Example: `  lockbox overview --watch
  lockbox overview --engineer erin --emergency
  lockbox overview --provider -o json | jq '.customers[] | select(.failed_mails != "0")'`,
	}
	f := c.Flags()
	f.BoolVar(&provider, "provider", false, "how things stand at each customer")
	f.StringVar(&o.Engineer, "engineer", "", "only requests of engineers whose `name`, e-mail address or ID contains this")
	f.StringVar(&o.Subscription, "subscription", "", "only those for subscriptions whose `name` or ID contains this")
	f.BoolVar(&o.Emergency, "emergency", false, "only what was submitted as an emergency")
	complete(c, "subscription", a.subscriptions)
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		if provider && o.GetSubscription() != "" {
			return usage(c, "--subscription does not go with --provider")
		}
		tenant, err := s.tenant(ctx)
		if err != nil {
			return err
		}
		return a.list(ctx, *watch, func() (page, error) {
			if provider {
				reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_GetDashboard{
					GetDashboard: &lockboxv1.GetDashboard{Engineer: o.GetEngineer(), Emergency: o.GetEmergency()}}})
				d := reply.GetDashboard()
				return answer(d, func(l render.Look) string { return render.Dashboard(l, d) }), err
			}
			reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_GetOverview{GetOverview: o}})
			found := reply.GetOverview()
			return answer(found, func(l render.Look) string { return render.Overview(l, tenant, found) }), err
		})
	})
	return c
}
