package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (a *app) approvalCommand() *cobra.Command {
	return group("approval", "Decide for the customer", `The customer's approvers look at what waits for them, ask, approve or deny, and take access away again. Who may decide was
settled when the request was created; nobody decides their own, and the first decision stands.`, "",
		append(a.decisions(), a.approvalListCommand(), a.approvalShowCommand(), a.answerCommand(),
			a.approvalVerifyCommand(), a.approvalSignaturesCommand())...)
}

// shortForms returns the customer's decisions as commands of their own, as they are typed most: lockbox approve.
func (a *app) shortForms() []*cobra.Command {
	list := a.decisions()
	for _, c := range list {
		c.Short += " (lockbox approval " + c.Name() + ")"
		c.Example = strings.ReplaceAll(c.Example, "lockbox approval "+c.Name(), "lockbox "+c.Name())
	}
	return list
}

// decisions returns what the customer's approvers do about one request.
func (a *app) decisions() []*cobra.Command {
	return []*cobra.Command{
		a.approveCommand(),
		a.verb(request.Deny, offer{
			from: a.requests(request.CustomerNotified), reason: "`why`; the engineer reads it",
			question: "Why is it denied?", inTime: true, done: "Denied: no access will be given.", signs: true,
			effect: leadsTo("The request ends, and no access is given."),
		}, &cobra.Command{
			Use: "deny REQUEST --reason WHY", Short: "Refuse it; a reason is required",
			Example: `  lockbox approval deny REQUEST --reason "not during the audit"`,
		}),
		a.verb(request.Revoke, offer{
			from: a.requests(request.Active), reason: "`why`; everyone concerned reads it", question: "Why is it revoked?",
			done: "Revoked: access has ended.", signs: true, byKey: true,
			effect: leadsTo("Access ends at once, to everything that was allowed."),
		}, &cobra.Command{
			Use: "revoke REQUEST --reason WHY", Short: "Take access away at once",
			Long: `Ends an active access at once. The customer's approvers and administrators may, and the provider's security officer. Nobody has
to sign that. While your sign-in is down, --by-key shows who you are by a signature of your enrolled key alone.`,
			Example: `  lockbox approval revoke REQUEST --reason "the work is done"
  lockbox approval revoke REQUEST --by-key --basis basis.json --tenant meadowbank --reason "our sign-in is down"`,
		}),
		a.verb(request.Ask, offer{
			from: a.requests(request.CustomerNotified), text: "QUESTION",
			done: "Asked. The answer will be in `lockbox request show`; the time to decide keeps running.",
		}, &cobra.Command{
			Use: "ask REQUEST QUESTION", Short: "Ask the engineer something before you decide",
			Long:    "The question and its answer are part of the request's history. The time to decide keeps running.",
			Example: `  lockbox approval ask REQUEST "Which of the two machines first?"`,
		}),
	}
}

func (a *app) approvalListCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "List what waits for your decision", Args: exactly(), ValidArgsFunction: nothing,
		Long:    "Lists the requests that wait for your own decision; with --all every request that waits for somebody of your organisation.",
		Example: "  lockbox approval list --watch\n  lockbox approval list --all",
	}
	c.Flags().BoolVar(&all, "all", false, "also what waits for others")
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		me := s.me(ctx)
		return a.list(ctx, *watch, func() (page, error) {
			list, err := s.requests(ctx, &lockboxv1.ListRequests{Statuses: []lockboxv1.RequestStatus{request.CustomerNotified},
				AwaitingMe: !all}, everything)
			none := "Nothing waits for your decision; --all shows what waits for others."
			if all {
				none = "Nothing waits for anybody's decision."
			}
			return answer(list, func(l render.Look) string { return requestTable(l, list, me, none) }), err
		})
	})
	return c
}

func (a *app) approvalShowCommand() *cobra.Command {
	var mails bool
	c := &cobra.Command{
		Use: "show REQUEST", Short: "Show a request with its support ticket", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(request.CustomerNotified),
		Example:           "  lockbox approval show 0c1d2e3f4a5b",
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			v, err := s.find(ctx, args[0])
			if err != nil {
				return err
			}
			var ticket *lockboxv1.TicketView
			if id := v.GetIntent().GetTicketId(); id != "" && a.output == formatTable {
				if ticket, err = s.ticket(ctx, v.GetTenant(), id, 0); err != nil && ExitCode(err) != exitNotFound {
					return err
				}
			}
			return a.show(v, func(l render.Look) string {
				text := render.Request(l, v, mails)
				if ticket != nil {
					text += "\n" + render.Ticket(l, ticket)
				}
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

func (a *app) approveCommand() *cobra.Command {
	var only []string
	var length lengthFlag
	c := a.verb(request.Approve, offer{
		from: a.requests(request.CustomerNotified), reason: "`why`", done: "Approved.", standing: true, signs: true,
		unknown: " What it led to cannot be shown just now: %s.",
		fill: func(_ context.Context, _ *session, _ *lockboxv1.RequestView, c *lockboxv1.Command) error {
			if length.Duration > 0 {
				c.GetApprove().Duration = durationpb.New(length.Duration)
			}
			c.GetApprove().ResourceIds = only
			return nil
		},
		asks: func(v *lockboxv1.RequestView, c *lockboxv1.Command) (sentence, question string) {
			if v.GetStatus() != request.CustomerNotified {
				return "", "" // the service says why it cannot be approved
			}
			allowed := v.GetEvaluation().GetDuration().AsDuration()
			if d := c.GetApprove().GetDuration(); d != nil {
				allowed = d.AsDuration()
			}
			return render.Allowance(v, allowed, only), "Allow it?"
		},
	}, &cobra.Command{
		Use: "approve REQUEST", Short: "Allow it",
		Long: `Allows a request as it was asked for, or less: for a shorter time, or only some of the resources, never more. On a
terminal, one sentence repeats what will be allowed, and asks. The decision holds for what was shown: if the request has
changed since in a way that matters, it is refused with exit code 7. If a key of yours counts and is here, you sign what is
allowed: the same words stand on the page, in the mails and here (lockbox help signing).`,
		Example: `  lockbox approval approve REQUEST
  lockbox approval approve REQUEST --sign-with agent
  lockbox approval approve REQUEST --for 2h --only RESOURCE-ID --reason "one machine is enough"
  lockbox approval approve REQUEST --seen-version "$(lockbox approval show REQUEST -o json | jq -r .version)" --yes`,
	})
	c.Flags().Var(&length, "for", "at most this `long`, such as 2h")
	c.Flags().StringArrayVar(&only, "only", nil, "only this `resource` (repeat for several)")
	complete(c, "only", a.resourcesOfRequest)
	return c
}

// resourcesOfRequest completes the resource ids of the request named by the first argument.
func (a *app) resourcesOfRequest(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nothing(c, args, typed)
	}
	return a.asking(func(ctx context.Context, s *session) []string {
		v, err := s.find(ctx, args[0])
		if err != nil {
			return nil
		}
		return v.GetIntent().GetResourceIds()
	})(c, args, typed)
}

func (a *app) answerCommand() *cobra.Command {
	var question string
	c := a.verb(request.Answer, offer{
		from: a.requests(request.CustomerNotified), text: "ANSWER", done: "Answered.",
		fill: func(_ context.Context, s *session, v *lockboxv1.RequestView, c *lockboxv1.Command) (err error) {
			c.GetAnswer().QuestionId, err = openQuestion(s.command, v, question)
			return err
		},
	}, &cobra.Command{
		Use: "answer REQUEST ANSWER", Short: "Answer an approver's question about your request",
		Example: `  lockbox approval answer REQUEST "The first one; the second only if that does not help."`,
	})
	c.Flags().StringVar(&question, "question", "", "which `question`, if several are open")
	return c
}

// openQuestion returns the named question, or the only open one.
func openQuestion(c *cobra.Command, v *lockboxv1.RequestView, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	open := slices.DeleteFunc(slices.Clone(v.GetQuestions()),
		func(q *lockboxv1.Question) bool { return q.GetAnswerer() != nil })
	switch len(open) {
	case 0:
		return "", usage(c, "no question is open")
	case 1:
		return open[0].GetQuestionId(), nil
	}
	var list strings.Builder
	for _, q := range open {
		fmt.Fprintf(&list, "\n  --question %s: %s", render.Clean(q.GetQuestionId()), render.Clean(q.GetText()))
	}
	return "", usage(c, "%d questions are open; name one:%s", len(open), list.String())
}

func (a *app) internalCommand() *cobra.Command {
	return group("internal", "Decide for the provider, before the customer is asked", `Where an evaluation demands it, people of the provider decide first: customer support leads or DevOps managers, never about
their own request. An unanswered internal approval expires.`, "",
		a.internalListCommand(),
		a.verb(request.InternalApprove, offer{
			from:   a.requests(request.AwaitingInternalApproval),
			reason: "`why`; needed where access starts without asking the customer", done: "Approved internally.",
			standing: true,
			effect:   passesOn,
			fill: func(context.Context, *session, *lockboxv1.RequestView, *lockboxv1.Command) error {
				return nil // nothing to fill in, but what it starts has to be seen first
			},
		}, &cobra.Command{
			Use: "approve REQUEST", Short: "Let it go on to the customer",
			Long: `Lets a request go on: to the next internal stage, or to the customer. The last approval of an emergency starts access to the
customer's data at once, and the customer is not asked: it needs --reason, and off a terminal --yes.`,
			Example: `  lockbox internal approve REQUEST --reason "…"`,
		}),
		a.verb(request.InternalRefuse, offer{
			from: a.requests(request.AwaitingInternalApproval), reason: "`why`", question: "Why is it refused?",
			done: "Refused internally: the customer will not be asked.", standing: true,
			effect: leadsTo("The request ends here, and the customer is not asked."),
		}, &cobra.Command{
			Use: "refuse REQUEST", Short: "End it here; a reason is required",
			Example: `  lockbox internal refuse REQUEST --reason "…"`,
		}))
}

// leadsTo is the effect of a verb that only ends something.
func leadsTo(sentence string) func(*lockboxv1.RequestView) (string, bool) {
	return func(*lockboxv1.RequestView) (string, bool) { return sentence, false }
}

// passesOn is the effect of an internal approval.
func passesOn(v *lockboxv1.RequestView) (string, bool) {
	e := v.GetEvaluation()
	switch {
	case v.GetStatus() != request.AwaitingInternalApproval:
		return "", false // the service says why it cannot be approved
	case !request.LastInternal(e, len(v.GetInternalDecisions())):
		return "The request goes on to the next internal approval.", false
	case e.GetWaiver() == lockboxv1.Waiver_WAIVER_UNSPECIFIED:
		return fmt.Sprintf("%s is asked next, and decides.", render.Clean(first(v.GetTenantName(), v.GetTenant()))), false
	}
	return render.Starts(v), e.GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY
}

func (a *app) internalListCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "List what waits for your internal decision", Args: exactly(), ValidArgsFunction: nothing,
		Example: "  lockbox internal list --watch",
	}
	c.Flags().BoolVar(&all, "all", false, "also what waits for others")
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		me := s.me(ctx)
		return a.list(ctx, *watch, func() (page, error) {
			list, err := s.requests(ctx,
				&lockboxv1.ListRequests{Statuses: []lockboxv1.RequestStatus{request.AwaitingInternalApproval}, AwaitingMe: !all},
				everything)
			none := "Nothing waits for your internal decision."
			return answer(list, func(l render.Look) string { return requestTable(l, list, me, none) }), err
		})
	})
	return c
}
