package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

// completionTime is the timeout of shell completion.
const completionTime = 1500 * time.Millisecond

type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete registers completions for a flag.
func complete(c *cobra.Command, flag string, with completer) {
	if err := c.RegisterFlagCompletionFunc(flag, with); err != nil {
		panic(err) // an unknown flag, or completed twice: a test builds the whole tree
	}
}

// fixed completes from a fixed list.
func fixed(values ...string) completer {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// nothing completes nothing, not even file names.
func nothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// ruleFiles completes the names of files with rules.
var ruleFiles = filesOf("yaml", "yml")

// filesOf completes the name of one file with such an extension.
func filesOf(extensions ...string) completer {
	return firstArgument(func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	})
}

// firstArgument completes the first argument only.
func firstArgument(with completer) completer {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nothing(c, args, typed)
		}
		return with(c, args, typed)
	}
}

// asking completes from a query with a short timeout; after an error there are no suggestions.
func (a *app) asking(get func(ctx context.Context, s *session) []string) completer {
	return func(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		a.timeout = completionTime
		s, err := a.open(c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), completionTime)
		defer cancel()
		values := slices.DeleteFunc(get(ctx, s), func(v string) bool { return !strings.HasPrefix(v, typed) })
		return values, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// personas completes the demo's people.
func (a *app) personas(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	info, err := a.running()
	if err != nil || info.Demo == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, p := range devissuer.Personas() {
		names = append(names, cobra.CompletionWithDesc(p.Name, p.About))
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// tenants completes the tenants of the requests that the user can see, and the demo's.
func (a *app) tenants(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.asking(func(ctx context.Context, s *session) []string {
		var ids []string
		if s.demo != nil {
			ids = devissuer.Tenants()
		}
		for _, v := range s.newest(ctx, nil) {
			if !slices.Contains(ids, v.GetTenant()) {
				ids = append(ids, v.GetTenant())
			}
		}
		return ids
	})(c, args, typed)
}

// newest returns the newest requests that the user can see, limited to the given states if there are any.
func (s *session) newest(ctx context.Context, in []lockboxv1.RequestStatus) []*lockboxv1.RequestView {
	tenant, err := s.tenant(ctx)
	if err != nil {
		return nil
	}
	reply, err := s.ask(ctx, tenant, 0,
		&lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{Statuses: in, Limit: 50}}})
	if err != nil {
		return nil
	}
	return reply.GetRequests().GetRequests()
}

// requests completes the ids of requests in the given states, newest first.
func (a *app) requests(in ...lockboxv1.RequestStatus) completer {
	return firstArgument(a.asking(func(ctx context.Context, s *session) []string {
		var ids []string
		for _, v := range s.newest(ctx, in) {
			ids = append(ids, cobra.CompletionWithDesc(render.Clean(v.GetRequestId()),
				render.StatusName(v.GetStatus())+", "+render.Clean(v.GetScenarioName())+", "+render.ActorName(v.GetRequester())))
		}
		return ids
	}))
}

// view reads the tenant for completion; nil if that fails.
func (s *session) view(ctx context.Context) *lockboxv1.TenantView {
	tenant, err := s.tenant(ctx)
	if err != nil || tenant == "" {
		return nil
	}
	reply, err := s.ask(ctx, tenant, 0,
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	if err != nil {
		return nil
	}
	return reply.GetTenant()
}

// subscriptions completes the tenant's subscriptions.
func (a *app) subscriptions(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.asking(func(ctx context.Context, s *session) []string {
		var ids []string
		for _, sub := range s.view(ctx).GetSubscriptions() {
			ids = append(ids, cobra.CompletionWithDesc(render.Clean(sub.GetSubscriptionId()),
				render.Clean(sub.GetDisplayName())))
		}
		return ids
	})(c, args, typed)
}

// assignments completes the tenant's role assignments.
func (a *app) assignments(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return firstArgument(a.asking(func(ctx context.Context, s *session) []string {
		var ids []string
		for _, as := range assigned(s.view(ctx)) {
			ids = append(ids, cobra.CompletionWithDesc(render.Clean(as.GetId()), render.Holder(as)))
		}
		return ids
	}))(c, args, typed)
}

// ticketIDs completes support tickets.
func (a *app) ticketIDs(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.asking(func(ctx context.Context, s *session) []string {
		tenant, err := s.tenant(ctx)
		if err != nil {
			return nil
		}
		reply, err := s.ask(ctx, tenant, 0,
			&lockboxv1.Query{Ask: &lockboxv1.Query_ListTickets{ListTickets: &lockboxv1.ListTickets{}}})
		if err != nil {
			return nil
		}
		var ids []string
		for _, t := range reply.GetTickets().GetTickets() {
			ids = append(ids, cobra.CompletionWithDesc(render.TicketName(t), render.Clean(t.GetTitle())))
		}
		return ids
	})(c, args, typed)
}

// resourceTypes completes the resource types of the catalogue.
func resourceTypes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var types []string
	for _, s := range catalogue.Default().Services() {
		types = append(types, cobra.CompletionWithDesc(s.Type, s.Name))
	}
	return types, cobra.ShellCompDirectiveNoFileComp
}

// previewTypes completes the resource types in preview.
func previewTypes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var types []string
	for _, s := range catalogue.Default().Services() {
		if s.Stage == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW {
			types = append(types, cobra.CompletionWithDesc(s.Type, s.Name))
		}
	}
	return types, cobra.ShellCompDirectiveNoFileComp
}

// scenarios completes the scenarios of the type given with --type.
func scenarios(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	for _, s := range catalogue.Default().Services() {
		if flag := c.Flag("type"); flag != nil && flag.Value.String() != s.Type {
			continue
		}
		for _, sc := range s.Scenarios {
			ids = append(ids, cobra.CompletionWithDesc(sc.ID, sc.Name))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
