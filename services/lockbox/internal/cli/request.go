package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// statusSets are names for sets of states.
var statusSets = map[string][]lockboxv1.RequestStatus{
	"pending": {request.Submitted, request.AwaitingInternalApproval, request.CustomerNotified, request.Approved},
	"ended": {
		request.Completed, request.Released, request.Revoked, request.Refused, request.InternallyDenied,
		request.InternalExpired,
		request.Denied, request.Expired, request.Withdrawn, request.Lapsed,
	},
}

func (a *app) requestCommand() *cobra.Command {
	return group("request", "See requests and take back your own", `A request is what an intent becomes once it is recorded. Everybody sees what concerns them: the customer's people those of
their tenant, the provider's people those of all customers. A request is named by its id, or by at least four characters
from either end of it.`, "",
		a.requestListCommand(), a.requestShowCommand(), a.requestWatchCommand(), a.requestApprovalFileCommand(),
		a.verb(request.Withdraw, offer{
			from:   a.requests(request.Submitted, request.AwaitingInternalApproval, request.CustomerNotified),
			reason: "`why`; the customer reads it", done: "Withdrawn: no access will be given.",
			effect: leadsTo("Your request ends, and no access is given."),
		}, &cobra.Command{
			Use: "withdraw REQUEST", Short: "Take back your request before it is decided",
			Example: `  lockbox request withdraw REQUEST --reason "solved without it"`,
		}),
		a.verb(request.Release, offer{
			from: a.requests(request.Active), reason: "`why`; the customer reads it", done: "Given back: your access has ended.",
			effect: leadsTo("Your access ends now. For more you have to ask again."),
		}, &cobra.Command{
			Use: "release REQUEST", Short: "Give your access back before it ends",
			Example: `  lockbox request release REQUEST --reason "solved without it"`,
		}))
}

func (a *app) requestListCommand() *cobra.Command {
	q := &lockboxv1.ListRequests{}
	statuses := &enumList[lockboxv1.RequestStatus]{sets: statusSets}
	since := &timeFlag{app: a}
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "List requests, the newest first", Args: exactly(), ValidArgsFunction: nothing,
		Example: `  lockbox request list --status pending --watch
  lockbox request list --awaiting-me
  lockbox request list --waived --since 7d
  lockbox request list --tenant meadowbank --status active,approved -o json`,
	}
	f := c.Flags()
	f.VarP(statuses, "status", "s", "only in these states (repeat, or separate by commas); also: pending, ended")
	f.StringVar(&q.SubscriptionId, "subscription", "", "only of this `subscription`")
	f.BoolVar(&q.AwaitingMe, "awaiting-me", false, "only what waits for your own decision")
	f.BoolVar(&q.Waived, "waived", false, "only what began without asking the customer")
	f.Var(since, "since", "with --waived: what began at this time or later (lockbox help times)")
	f.Uint32Var(&q.Limit, "limit", 0, "at most this `many` (1 to 1000, default 100)")
	f.StringVar(&q.PageToken, "page", "", "go on from the `page` where a list ended")
	f.BoolVar(&all, "all", false, "all of them, page after page")
	watch := watchable(c)
	complete(c, "status", fixed(append(spellings[lockboxv1.RequestStatus](), "pending", "ended")...))
	complete(c, "subscription", a.subscriptions)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		q.Statuses = statuses.values
		if !since.IsZero() {
			if !q.GetWaived() {
				return usage(c, "--since goes with --waived")
			}
			q.WaivedSince = timestamppb.New(since.Time)
		}
		me := s.me(ctx)
		return a.list(ctx, *watch, func() (page, error) {
			list, err := s.requests(ctx, q, atLeast(all))
			return answer(list, func(l render.Look) string { return requestTable(l, list, me, "No requests.") }), err
		})
	})
	return c
}

// everything is a limit beyond any number of requests.
const everything = math.MaxInt

func atLeast(all bool) int {
	if all {
		return everything
	}
	return 0
}

// requests reads pages of requests until there are at least as many as wanted, or no more.
func (s *session) requests(ctx context.Context, q *lockboxv1.ListRequests, wanted int) (*lockboxv1.RequestList, error) {
	tenant, err := s.tenant(ctx)
	if err != nil {
		return nil, err
	}
	whole := &lockboxv1.RequestList{}
	ask := &lockboxv1.ListRequests{Statuses: q.GetStatuses(), SubscriptionId: q.GetSubscriptionId(),
		AwaitingMe: q.GetAwaitingMe(), Waived: q.GetWaived(), WaivedSince: q.GetWaivedSince(), Limit: q.GetLimit(),
		PageToken: q.GetPageToken(), IdPart: q.GetIdPart()}
	for {
		reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: ask}})
		if err != nil {
			return nil, err
		}
		list := reply.GetRequests()
		whole.Requests = append(whole.Requests, list.GetRequests()...)
		whole.NextPageToken = list.GetNextPageToken()
		if len(whole.GetRequests()) >= wanted || list.GetNextPageToken() == "" {
			return whole, nil
		}
		ask.PageToken = list.GetNextPageToken()
	}
}

func requestTable(l render.Look, list *lockboxv1.RequestList, me *lockboxv1.Person, none string) string {
	if len(list.GetRequests()) == 0 {
		return none + "\n"
	}
	text := render.Requests(l, list.GetRequests(), me)
	if next := list.GetNextPageToken(); next != "" {
		text += "\nThere are more: --all, or --page " + render.Clean(next) + "\n"
	}
	return text
}

func (a *app) requestShowCommand() *cobra.Command {
	var mails bool
	c := &cobra.Command{
		Use: "show REQUEST", Short: "Show a request with everything that happened", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(),
		Example: `  lockbox request show 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  lockbox request show 0c1d2e3f4a5b          # the end of the id, as lists show it`,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			v, err := s.find(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(v, func(l render.Look) string {
				text := render.Request(l, v, mails)
				if l.Width > 0 {
					text += render.Commands(l, render.Next(v, s.cast(v)))
				}
				return text
			})
		}),
	}
	mailsToo(c, &mails)
	return c
}

// mailsToo adds --mails to a command that shows a request.
func mailsToo(c *cobra.Command, mails *bool) {
	c.Flags().BoolVar(mails, "mails", false, "each mail that was sent, not only how many")
}

// target is the request that a command applies to.
type target struct {
	tenant, id string
	// view is nil if the request could not be read.
	view *lockboxv1.RequestView
}

// target resolves the request named by an argument. Commands that withdraw access must work even if nothing can be
// read: unseen, they need only a full id and a known tenant, and do not depend on the projection.
func (s *session) target(ctx context.Context, arg string, unseen bool) (target, error) {
	v, err := s.find(ctx, arg)
	if err == nil {
		return target{v.GetTenant(), v.GetRequestId(), v}, nil
	}
	if !unseen || ExitCode(err) != exitUnavailable {
		return target{}, err
	}
	tenant, tenantErr := s.tenant(ctx)
	if tenantErr != nil || tenant == "" || len(arg) != len("00000000-0000-7000-8000-000000000000") {
		return target{}, err
	}
	return target{tenant: tenant, id: strings.ToLower(arg)}, nil
}

const (
	newsPause = 500 * time.Millisecond
	tickPause = time.Second
)

func (a *app) requestWatchCommand() *cobra.Command {
	until := &enumList[lockboxv1.RequestStatus]{sets: statusSets}
	c := &cobra.Command{
		Use: "watch REQUEST", Short: "Follow a request live until it has ended", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(statusSets["pending"]...),
		Long: `Shows what happened so far and then each thing as it happens, with a countdown on a terminal. It ends when nothing can happen
any more, with exit code 0; or with --until as soon as the request stands there. If it can never get there any more, the exit
code is 8.`,
		Example: `  lockbox request watch REQUEST
  lockbox request watch REQUEST --until active && ssh payments-1`,
	}
	c.Flags().Var(until, "until", "stop in this state (repeat for several)")
	complete(c, "until", fixed(spellings[lockboxv1.RequestStatus]()...))
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		v, err := s.find(ctx, args[0])
		if err != nil {
			return err
		}
		return s.follow(ctx, v, until.values)
	})
	return c
}

// follow prints a request's news until the request has ended or reached one of the given states.
func (s *session) follow(ctx context.Context, v *lockboxv1.RequestView, until []lockboxv1.RequestStatus) error {
	a := s.app
	live := a.OutTerminal && a.output == formatTable
	if err := a.say(render.Headline(a.look(), v)); err != nil {
		return err
	}
	seen, day := uint64(0), ""
	for {
		for _, e := range v.GetTimeline() {
			if e.GetSequence() <= seen {
				continue
			}
			seen = e.GetSequence()
			var err error
			if day, err = a.news(day, e, live); err != nil {
				return err
			}
		}
		reached := slices.Contains(until, v.GetStatus())
		if reached || request.Ended(v.GetStatus()) || v.GetFault() != "" {
			if err := a.standing(v, live, "\n"); err != nil || reached || len(until) == 0 {
				return err
			}
			return errNeverThere(v)
		}
		next, err := s.watchFor(ctx, v, live)
		if next == nil {
			return err
		}
		v = next
	}
}

// watchFor waits for a newer view and updates the countdown meanwhile. It returns nil without an error when ctx ends.
func (s *session) watchFor(ctx context.Context, v *lockboxv1.RequestView, live bool) (*lockboxv1.RequestView, error) {
	var drawn time.Time
	for {
		if now := s.app.Now(); now.Sub(drawn) >= tickPause {
			drawn = now
			if err := s.app.standing(v, live, ""); err != nil {
				return nil, err
			}
		}
		if sleep(ctx, newsPause) != nil {
			if live {
				_, _ = fmt.Fprintln(s.app.Out)
			}
			return nil, nil
		}
		next, err := s.request(ctx, v.GetTenant(), v.GetRequestId(), 0)
		switch {
		case err == nil && next.GetVersion() != v.GetVersion():
			return next, nil
		case err != nil && ExitCode(err) != exitUnavailable && ctx.Err() == nil:
			return nil, err
		}
	}
}

// news prints a timeline entry and returns its day.
func (a *app) news(day string, e *lockboxv1.TimelineEntry, live bool) (today string, err error) {
	err = a.record(a.Out, func() string {
		var text string
		if text, today = render.News(a.look(), day, e); live {
			text = "\r\x1b[K" + text
		}
		return text
	}, e, func(raw json.RawMessage) any { return raw })
	return today, err
}

// standing rewrites the last line of a terminal; elsewhere it is written only at the end.
func (a *app) standing(v *lockboxv1.RequestView, live bool, end string) error {
	if a.output != formatTable || !live && end == "" {
		return nil
	}
	text := render.Standing(a.look(), v)
	if live {
		text = "\r\x1b[K" + text
	}
	_, err := io.WriteString(a.Out, text+end)
	return err
}

func errNeverThere(v *lockboxv1.RequestView) error {
	return refusal.Precondition("status", "R29", "the request has ended (%s) and will not get there",
		render.StatusName(v.GetStatus()))
}
