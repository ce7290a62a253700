package cli

import (
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (a *app) tenantCommand() *cobra.Command {
	return group("tenant", "Create customers, switch Lockbox on and off, change settings", `A tenant is a customer. The provider's onboarding creates it once, with its identity issuer and first Global Administrator;
once somebody of it has signed in, only its own Global Administrators change it.`, "",
		a.tenantShowCommand(), a.tenantCreateCommand(), a.tenantInviteCommand(),
		a.tenantSwitch("enable", "Switch Lockbox on", "Lockbox is on: from now on the customer decides.", "",
			func(string) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
			}),
		a.tenantSwitch("disable", "Switch Lockbox off", "Lockbox is off: access is now decided by the provider alone.",
			"This switches Lockbox off: from then on the provider alone decides about access to your data.",
			func(reason string) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
					DisableLockbox: &lockboxv1.DisableLockbox{Reason: reason}}}
			}),
		a.tenantCorrectCommand(), a.tenantIssuerCommand(), a.tenantRecoverCommand(),
		a.tenantPlanCommand(), a.tenantPreviewCommand(), a.tenantSettingsCommand(), a.tenantApproversCommand(),
		a.tenantWebhookCommand(),
		group("subscription", "Register subscriptions",
			"A subscription is what most requests are about; its owners decide.", "", a.subscriptionAddCommand(),
			a.subscriptionTransferCommand()))
}

// tenantView reads a tenant.
func (s *session) tenantView(ctx context.Context, tenant string, minSequence uint64) (*lockboxv1.TenantView, error) {
	reply, err := s.ask(ctx, tenant, minSequence,
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	return reply.GetTenant(), err
}

// do sends a command about the tenant, or about one of its aggregates.
func (s *session) do(ctx context.Context, tenant, about string, c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	c.Tenant, c.AggregateId = tenant, about
	x, err := s.signChange(ctx, c)
	if err != nil {
		return nil, err
	}
	reply, err := s.Do(ctx, c)
	if err == nil && x != nil && reply.GetEventId() != "" {
		err = s.app.remark("%s", strings.TrimSpace(x.said()))
	}
	return reply, err
}

// order sends a command like do, and says with a sentence, whose arguments must be clean, that it was done.
func (s *session) order(
	ctx context.Context, tenant, about string, c *lockboxv1.Command, sentence string, args ...any,
) error {
	reply, err := s.do(ctx, tenant, about, c)
	if err != nil {
		return err
	}
	return s.app.done(reply, sentence, args...)
}

func (a *app) tenantShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show [TENANT]", Short: "Show a tenant with its settings, subscriptions and roles", Args: atMost("TENANT"),
		ValidArgsFunction: firstArgument(a.tenants),
		Example:           "  lockbox tenant show\n  lockbox tenant show meadowbank -o json | jq .lockbox_enabled",
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			id, err := s.named(ctx, args)
			if err != nil {
				return err
			}
			v, err := s.tenantView(ctx, id, 0)
			if err != nil {
				return err
			}
			return a.show(v, func(l render.Look) string { return render.Tenant(l, v) })
		}),
	}
}

// named returns the tenant given as an argument, or the selected one.
func (s *session) named(ctx context.Context, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return s.oneTenant(ctx)
}

// atMost allows up to one argument per name.
func atMost(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return usage(c, "unexpected: %s", strings.Join(args[len(names):], " "))
		}
		return nil
	}
}

// tenantSwitch is the command enable or disable.
func (a *app) tenantSwitch(
	verb, short, sentence, warning string, command func(reason string) *lockboxv1.Command,
) *cobra.Command {
	var reason string
	yes := new(bool)
	c := &cobra.Command{Use: verb, Short: short, Args: exactly(), ValidArgsFunction: nothing,
		Example: "  lockbox tenant " + verb}
	if warning != "" {
		c.Example += ` --reason "We move to another provider" --yes`
		c.Flags().StringVar(&reason, "reason", "", "`why`; everybody concerned reads it")
		yes = askAlways(c)
	}
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		if warning != "" {
			if reason, err = a.reason(ctx, reason, "Why?"); err != nil {
				return err
			}
			if err := required(c, reason); err != nil {
				return err
			}
			if err := a.confirmDangerous(ctx, c, *yes, warning, goOn); err != nil {
				return err
			}
		}
		return s.order(ctx, id, "", command(reason), "%s", sentence)
	})
	return c
}

func (a *app) tenantPlanCommand() *cobra.Command {
	return &cobra.Command{
		Use: "plan TENANT PLAN", Short: "Change a tenant's support plan (onboarding)", Args: exactly("TENANT", "PLAN"),
		Example: "  lockbox tenant plan meadowbank premier",
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return a.tenants(c, args, typed)
			case 1:
				return spellings[lockboxv1.SupportPlan](), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
			}
			return nothing(c, args, typed)
		},
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			plan, err := parseEnum[lockboxv1.SupportPlan](args[1])
			if err != nil {
				return usage(s.command, "%w", err)
			}
			return s.order(ctx, args[0], "", &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSupportPlan{
				ChangeSupportPlan: &lockboxv1.ChangeSupportPlan{Plan: plan},
			}}, "%s has the support plan %s.", render.Clean(args[0]), tenant.PlanName(plan))
		}),
	}
}

func (a *app) tenantPreviewCommand() *cobra.Command {
	return group("preview", "Take part in previews of services", `Lockbox starts for a service in preview only if the tenant has signed up for it; otherwise access to it is decided by the
provider alone, and flagged as such.`, "",
		a.previewSwitch("sign-up", "Begin to decide about a service in preview",
			"Signed up: from now on you decide about %s.", "", func(resourceType string) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_SignUpPreview{
					SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: resourceType}}}
			}),
		a.previewSwitch("sign-off", "Leave a preview", "Signed off: access to %s is now decided by the provider alone.",
			"From then on the provider alone decides about access to your %s.", func(resourceType string) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_SignOffPreview{
					SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: resourceType}}}
			}))
}

func (a *app) previewSwitch(
	verb, short, sentence, warning string, command func(string) *lockboxv1.Command,
) *cobra.Command {
	yes := new(bool)
	c := &cobra.Command{
		Use: verb + " TYPE", Short: short, Args: exactly("TYPE"), ValidArgsFunction: firstArgument(previewTypes),
		Example: "  lockbox tenant preview " + verb + " machine-learning/workspaces",
	}
	if warning != "" {
		c.Example += " --yes"
		yes = askAlways(c)
	}
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		if warning != "" {
			if err := a.confirmDangerous(ctx, c, *yes, fmt.Sprintf(warning, render.Clean(args[0])), goOn); err != nil {
				return err
			}
		}
		return s.order(ctx, id, "", command(args[0]), sentence, render.Clean(args[0]))
	})
	return c
}

// settingsFlags are a tenant's settings as flags; settings without a flag stay as they are.
type settingsFlags struct {
	language, zone string
	approvals      uint32
	fallback       enumFlag[lockboxv1.Fallback]
	deciders       enumFlag[lockboxv1.DecidersShown]
	also, notAlso  []string
	signedOnly     bool
	withTicket     bool
	freshness      time.Duration
}

func (a *app) tenantSettingsCommand() *cobra.Command {
	in := &settingsFlags{fallback: enumFlag[lockboxv1.Fallback]{as: "role"},
		deciders: enumFlag[lockboxv1.DecidersShown]{as: "as"}}
	c := &cobra.Command{
		Use: "settings", Short: "Show or change a tenant's settings", Args: exactly(), ValidArgsFunction: nothing,
		Long: "Without flags, shows the settings. With flags, changes those and leaves the others as they are.",
		Example: `  lockbox tenant settings
  lockbox tenant settings --approvals 2 --also-tell security@meadowbank.example:fr
  lockbox tenant settings --fallback tenant-lockbox-approvers
  lockbox tenant settings --sign-in-within 15m
  lockbox tenant settings --access-ends-with-ticket`,
	}
	f := c.Flags()
	f.StringVar(&in.language, "language", "", "`language` of mails: "+strings.Join(tenant.Languages, ", "))
	f.Uint32Var(&in.approvals, "approvals", 0, "how `many` different people must approve")
	f.Var(&in.fallback, "fallback",
		"who is asked when too few approvers resolve: "+strings.Join(spellings[lockboxv1.Fallback](), ", "))
	f.StringArrayVar(&in.also, "also-tell", nil, "`address[:language]` that is told of every request (repeat for several)")
	f.StringArrayVar(&in.notAlso, "stop-telling", nil, "`address` that is not told any more (repeat for several)")
	f.BoolVar(&in.signedOnly, "signed-approvals-only", false, "refused: lockbox key demand demands signatures")
	f.BoolVar(&in.withTicket, "access-ends-with-ticket", false,
		"access that begins from now on ends when its ticket is closed (=false: it stays)")
	f.Var(&in.deciders, "show-deciders",
		"how the provider's engineers see who of you decided: "+strings.Join(spellings[lockboxv1.DecidersShown](), ", "))
	f.DurationVar(&in.freshness, "sign-in-within", 0,
		"whoever decides must have signed in at most this `long` before, 1m to 12h; 0: any sign-in will do")
	f.StringVar(&in.zone, "time-zone", "", "time `zone` in which pages show times, with UTC beside: Europe/Paris")
	complete(c, "time-zone", fixed(timetext.Zones()...))
	complete(c, "language", fixed(tenant.Languages...))
	complete(c, "fallback", fixed(spellings[lockboxv1.Fallback]()...))
	complete(c, "show-deciders", fixed(spellings[lockboxv1.DecidersShown]()...))
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		before, err := s.tenantView(ctx, id, 0)
		if err != nil {
			return err
		}
		changes := false
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { changes = changes || f.Changed && f.Name != "yes" })
		if !changes {
			if before.GetSettings() == nil {
				return refusal.Forbidden("token", "I9", "the settings of this tenant are not shown to you")
			}
			return a.show(before.GetSettings(), func(l render.Look) string {
				return render.Settings(l, before.GetSettings(), before.GetPartial())
			})
		}
		if before.GetSettings() == nil || before.GetPartial() {
			return refusal.Forbidden("token", "R30", "only a Global Administrator of the tenant changes its settings")
		}
		next, wrong := in.apply(c, before.GetSettings())
		command := &lockboxv1.Command{SeenVersion: before.GetVersion(),
			Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{Settings: next}}}
		if err := s.check(command, nil, wrong...); err != nil {
			return err
		}
		if warning := weakened(before.GetSettings(), next); warning != "" {
			if err := a.confirmDangerous(ctx, c, *yes, warning, goOn); err != nil {
				return err
			}
		}
		reply, err := s.do(ctx, id, "", command)
		if err != nil {
			return err
		}
		if reply.GetEventId() == "" || a.output != formatTable {
			return a.done(reply, "")
		}
		after, err := s.tenantView(ctx, id, reply.GetSequence())
		if err != nil {
			return a.done(reply, "Changed.")
		}
		sentence := strings.TrimSuffix(render.Settings(a.look(), after.GetSettings(), false), "\n")
		for _, where := range s.unreachable(ctx, after, reply.GetSequence()) {
			sentence += "\nNobody can be given access to " + where + " now: too few people decide about it."
		}
		return a.done(reply, "Changed. The settings are now:\n%s", sentence)
	})
	return c
}

// unreachable names the scopes in which fewer people decide than the approvals that are needed (R30).
func (s *session) unreachable(ctx context.Context, t *lockboxv1.TenantView, minSequence uint64) (names []string) {
	scopes := append([]*lockboxv1.SubscriptionView{{DisplayName: t.GetDisplayName()}}, t.GetSubscriptions()...)
	for _, sub := range scopes {
		reply, err := s.ask(ctx, t.GetTenant(), minSequence, &lockboxv1.Query{Ask: &lockboxv1.Query_PreviewApprovers{
			PreviewApprovers: &lockboxv1.PreviewApprovers{SubscriptionId: sub.GetSubscriptionId()}}})
		if p := reply.GetApprovers(); err == nil && len(p.GetApprovers()) < int(p.GetRequiredApprovals()) {
			names = append(names, render.Clean(first(sub.GetDisplayName(), sub.GetSubscriptionId())))
		}
	}
	return names
}

// weakened says what a change of settings takes away of the customer's protection; empty if nothing.
func weakened(before, after *lockboxv1.TenantSettings) string {
	var losses []string
	if now, then := max(1, before.GetRequiredApprovals()), max(1, after.GetRequiredApprovals()); then < now {
		losses = append(losses, fmt.Sprintf("From now on %d instead of %d people have to approve.", then, now))
	}
	if age := before.GetMaxAuthenticationAge(); age != nil &&
		(after.GetMaxAuthenticationAge() == nil || after.GetMaxAuthenticationAge().AsDuration() > age.AsDuration()) {
		losses = append(losses, "Whoever decides may have signed in longer ago than so far.")
	}
	if before.GetAccessEndsWithTicket() && !after.GetAccessEndsWithTicket() {
		losses = append(losses, "Access that begins from now on stays when its ticket is closed.")
	}
	for _, a := range before.GetAlternates() {
		if !slices.ContainsFunc(after.GetAlternates(),
			func(b *lockboxv1.AlternateAddress) bool { return strings.EqualFold(a.GetEmail(), b.GetEmail()) }) {
			losses = append(losses, render.Clean(a.GetEmail())+" is not told of requests any more.")
		}
	}
	return strings.Join(losses, " ")
}

// apply applies the given flags, and returns what is wrong with them. A command always carries all settings.
func (in *settingsFlags) apply(
	c *cobra.Command, settings *lockboxv1.TenantSettings,
) (next *lockboxv1.TenantSettings, wrong []error) {
	next = proto.CloneOf(settings)
	given := func(flag string) bool { return c.Flags().Changed(flag) }
	if given("language") {
		next.DefaultLanguage = in.language
	}
	if given("time-zone") {
		next.TimeZone = in.zone
	}
	if given("approvals") {
		if in.approvals == 0 {
			wrong = append(wrong,
				flagged("approvals", usage(c, "--approvals is 1 or more: without an approval there is no lockbox")))
		}
		next.RequiredApprovals = in.approvals
	}
	if given("fallback") {
		next.Fallback = in.fallback.value
	}
	if given("show-deciders") {
		next.DecidersShown = in.deciders.value
	}
	if given("signed-approvals-only") {
		next.SignedApprovalsOnly = in.signedOnly
	}
	if given("access-ends-with-ticket") {
		next.AccessEndsWithTicket = in.withTicket
	}
	if given("sign-in-within") {
		if next.MaxAuthenticationAge = nil; in.freshness != 0 {
			next.MaxAuthenticationAge = durationpb.New(in.freshness)
		}
	}
	for _, address := range in.notAlso {
		i := slices.IndexFunc(next.GetAlternates(),
			func(a *lockboxv1.AlternateAddress) bool { return strings.EqualFold(a.GetEmail(), address) })
		if i < 0 {
			wrong = append(wrong, usage(c, "--stop-telling: %s is not told anyway", address))
			continue
		}
		next.Alternates = slices.Delete(next.GetAlternates(), i, i+1)
	}
	for _, entry := range in.also {
		address, language, _ := strings.Cut(entry, ":")
		if _, err := mail.ParseAddress(address); err != nil {
			wrong = append(wrong, flagged("also-tell", usage(c, "--also-tell: %q is no address", address)))
			continue
		}
		next.Alternates = slices.DeleteFunc(next.GetAlternates(),
			func(a *lockboxv1.AlternateAddress) bool { return strings.EqualFold(a.GetEmail(), address) })
		next.Alternates = append(next.Alternates, &lockboxv1.AlternateAddress{Email: address, Language: language})
	}
	return next, wrong
}

func (a *app) tenantApproversCommand() *cobra.Command {
	var subscription string
	c := &cobra.Command{
		Use: "approvers", Short: "Show who would be asked if a request came now", Args: exactly(),
		ValidArgsFunction: nothing,
		Long:              "Shows who would be asked, and which assignments do not count and why. Without --subscription: about the tenant itself.",
		Example:           "  lockbox tenant approvers --subscription meadow-production",
	}
	c.Flags().StringVar(&subscription, "subscription", "", "about this `subscription`")
	complete(c, "subscription", a.subscriptions)
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		return a.list(ctx, *watch, func() (page, error) {
			reply, err := s.ask(ctx, id, 0,
				&lockboxv1.Query{Ask: &lockboxv1.Query_PreviewApprovers{
					PreviewApprovers: &lockboxv1.PreviewApprovers{SubscriptionId: subscription}}})
			v := reply.GetApprovers()
			return answer(v, func(l render.Look) string { return render.Approvers(l, v) }), err
		})
	})
	return c
}

func (a *app) subscriptionAddCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "add SUBSCRIPTION", Short: "Register a subscription of a customer's, as onboarding",
		Args: exactly("SUBSCRIPTION"), ValidArgsFunction: nothing,
		Example: `  lockbox tenant subscription add meadow-production --name Production`,
	}
	c.Flags().StringVar(&name, "name", "", "the `name` that people call it by; none: its id")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		return s.order(ctx, id, args[0], &lockboxv1.Command{Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: first(name, args[0])},
		}}, "Subscription %s is registered. Say who decides about it with `lockbox role assign`.", render.Clean(args[0]))
	})
	return c
}

func (a *app) subscriptionTransferCommand() *cobra.Command {
	var from, name, reason string
	c := &cobra.Command{
		Use: "transfer SUBSCRIPTION", Short: "Give a subscription to another customer, as onboarding",
		Long: "Records that a subscription belongs to the tenant named with --tenant from now on.\n" +
			"Access that its former owner allowed ends, its roles end, and the\nadministrators of both are told.",
		Args: exactly("SUBSCRIPTION"), ValidArgsFunction: nothing,
		Example: `  lockbox tenant subscription transfer meadow-test --tenant sakura --from meadowbank \
    --reason "The test environment was sold" --yes`,
	}
	c.Flags().StringVar(&from, "from", "", "the `tenant` that it belonged to; none if several had registered it")
	c.Flags().StringVar(&name, "name", "", "the `name` that people call it by at its new owner; none: its id")
	c.Flags().StringVar(&reason, "reason", "", "`why`; both customers see it")
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := missing(c, "reason", reason); err != nil {
			return err
		}
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		effect := fmt.Sprintf("%s goes to %s: access and roles that its former owner gave end now.", render.Clean(args[0]),
			render.Clean(id))
		if err := a.confirmDangerous(ctx, c, *yes, effect, goOn); err != nil {
			return err
		}
		return s.order(ctx, id, args[0], &lockboxv1.Command{Action: &lockboxv1.Command_TransferSubscription{
			TransferSubscription: &lockboxv1.TransferSubscription{
				From: from, DisplayName: first(name, args[0]), Reason: reason},
		}}, "Subscription %s belongs to %s now. Its administrators say who decides about it.", render.Clean(args[0]),
			render.Clean(id))
	})
	return c
}
