package cli

import (
	"context"
	"strings"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (a *app) auditAccessCommand() *cobra.Command {
	var (
		kinds []string
		all   bool
	)
	names := make([]string, len(accesstext.Kinds))
	for i, k := range accesstext.Kinds {
		names[i] = accesstext.Name(k)
	}
	q := &lockboxv1.ListAccess{}
	since, until := &timeFlag{app: a}, &timeFlag{app: a}
	c := &cobra.Command{
		Use: "access", Short: "List who signed in, looked, exported or was refused, newest first", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `Sign-ins at the portal, refused commands, reads and exports are no events; each leaves a record, which is kept for 400 days.
It is for the customer's administrators and auditors, and the provider's security officers, who are not shown what the
customer's own people read. What somebody does again within five minutes is counted.`,
		Example: `  lockbox audit access --since 7d --provider-only
  lockbox audit access --kind sign_in_failed --kind command_refused
  lockbox audit access --all -o json | jq -c '.records[]'`,
	}
	f := c.Flags()
	f.StringArrayVar(&kinds, "kind", nil, "only this `kind`: "+strings.Join(names, ", ")+" (repeat for several)")
	f.Var(since, "since", "from this time on (lockbox help times)")
	f.Var(until, "until", "before this time")
	f.StringVar(&q.Person, "person", "", "`name` or subject of somebody")
	f.BoolVar(&q.ProviderOnly, "provider-only", false, "only what the provider's people did")
	f.Uint32Var(&q.Limit, "limit", 0, "at most this `many` (default 100)")
	f.StringVar(&q.PageToken, "page", "", "go on from the `page` where it ended")
	f.BoolVar(&all, "all", false, "all of it, page after page")
	complete(c, "kind", fixed(names...))
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		q.Kinds = nil
		for _, name := range kinds {
			k := accesstext.Named(name)
			if k == lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED {
				return usage(c, "there is no kind %q; there are: %s", name, strings.Join(names, ", "))
			}
			q.Kinds = append(q.Kinds, k)
		}
		if !since.IsZero() {
			q.Since = timestamppb.New(since.Time)
		}
		if !until.IsZero() {
			q.Until = timestamppb.New(until.Time)
		}
		return a.list(ctx, *watch, func() (page, error) {
			list, err := s.access(ctx, q, all)
			return answer(list, func(l render.Look) string { return accessTable(l, list) }), err
		})
	})
	return c
}

// access reads one page of access records, or all pages.
func (s *session) access(ctx context.Context, q *lockboxv1.ListAccess, all bool) (*lockboxv1.AccessList, error) {
	tenant, err := s.tenant(ctx)
	if err != nil {
		return nil, err
	}
	whole, token := &lockboxv1.AccessList{}, q.GetPageToken()
	for {
		ask := &lockboxv1.ListAccess{Kinds: q.GetKinds(), Since: q.GetSince(), Until: q.GetUntil(), Person: q.GetPerson(),
			ProviderOnly: q.GetProviderOnly(), Limit: q.GetLimit(), PageToken: token}
		reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_ListAccess{ListAccess: ask}})
		if err != nil {
			return nil, err
		}
		list := reply.GetAccess()
		whole.Records = append(whole.Records, list.GetRecords()...)
		whole.NextPageToken, token = list.GetNextPageToken(), list.GetNextPageToken()
		if !all || token == "" {
			return whole, nil
		}
	}
}

func accessTable(l render.Look, list *lockboxv1.AccessList) string {
	if len(list.GetRecords()) == 0 {
		return "Nothing that matches.\n"
	}
	text := render.Access(l, list.GetRecords())
	if next := list.GetNextPageToken(); next != "" {
		text += "\nThere are more: --all, or --page " + render.Clean(next) + "\n"
	}
	return text
}
