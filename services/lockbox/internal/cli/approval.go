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
settled when the request was created (R20); nobody decides their own (I10), and the first decision stands (R29).`, "",
		a.approvalListCommand(), a.approvalShowCommand(), a.approveCommand(),
		a.denyCommand(), a.revokeCommand(), a.askCommand(), a.answerCommand())
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
	return &cobra.Command{
		Use: "show REQUEST", Short: "Show a request with its support ticket (R25)", Args: exactly("REQUEST"),
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
				text := render.Request(l, v)
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
}

func (a *app) approveCommand() *cobra.Command {
	approval := &lockboxv1.Approve{}
	var length lengthFlag
	var seen uint64
	var yes bool
	c := &cobra.Command{
		Use: "approve REQUEST", Short: "Allow it (R27)", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(request.CustomerNotified),
		Long: `Allows a request as it was asked for, or less: for a shorter time, or only some of the resources, never more (R27). On a
terminal, one sentence repeats what will be allowed, and asks. The decision holds for what was shown: if the request has
changed since in a way that matters, it is refused with exit code 7.`,
		Example: `  lockbox approval approve REQUEST
  lockbox approval approve REQUEST --for 2h --only /subscriptions/prod/vm/web-1 --reason "one machine is enough"
  lockbox approval approve REQUEST --seen-version "$(lockbox approval show REQUEST -o json | jq -r .version)" --yes`,
	}
	f := c.Flags()
	f.Var(&length, "for", "at most this `long`, such as 2h")
	f.StringArrayVar(&approval.ResourceIds, "only", nil, "only this `resource` (repeat for several)")
	f.StringVar(&approval.Reason, "reason", "", "`why`")
	f.Uint64Var(&seen, "seen-version", 0, "the `version` that you saw, if you looked at it earlier")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	complete(c, "only", a.resourcesOfRequest)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		v, err := s.find(ctx, args[0])
		if err != nil {
			return err
		}
		if seen == 0 {
			seen = v.GetVersion()
		}
		allowed := v.GetEvaluation().GetDuration().AsDuration()
		if length.Duration > 0 {
			allowed = length.Duration
			approval.Duration = durationpb.New(allowed)
		}
		if v.GetStatus() == request.CustomerNotified {
			if err := a.confirm(ctx, yes, render.Allowance(v, allowed, approval.GetResourceIds()), "Allow it?"); err != nil {
				return err
			}
		}
		reply, err := s.Do(ctx, target{tenant: v.GetTenant(), id: v.GetRequestId()}.address(&lockboxv1.Command{
			SeenVersion: seen, Action: &lockboxv1.Command_Approve{Approve: approval},
		}))
		if err != nil {
			return err
		}
		return s.approved(ctx, v, reply)
	})
	return c
}

// approved reports the effect of an approval: access, or that others must approve as well.
func (s *session) approved(ctx context.Context, v *lockboxv1.RequestView, reply *lockboxv1.CommandReply) error {
	if reply.GetEventId() == "" || s.app.output != formatTable {
		return s.app.done(reply, "")
	}
	after, err := s.settled(ctx, v.GetTenant(), v.GetRequestId(), reply.GetSequence())
	if err != nil {
		return s.app.done(reply, "Approved. What it led to cannot be shown just now: %s.", render.Clean(err.Error()))
	}
	return s.app.done(reply, "Approved. %s", render.Standing(s.app.look(), after))
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

func (a *app) denyCommand() *cobra.Command {
	var reason string
	var seen uint64
	c := &cobra.Command{
		Use: "deny REQUEST --reason WHY", Short: "Refuse it; a reason is required (R28)", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(request.CustomerNotified),
		Example:           `  lockbox approval deny REQUEST --reason "not during the audit"`,
	}
	c.Flags().StringVar(&reason, "reason", "", "`why`; the engineer reads it")
	c.Flags().Uint64Var(&seen, "seen-version", 0, "the `version` that you saw, if you looked at it earlier")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		t, err := s.target(ctx, args[0])
		if err != nil {
			return err
		}
		if t.view == nil || t.view.GetStatus() == request.CustomerNotified {
			if reason, err = a.reason(ctx, reason, "Why is it denied?"); err != nil {
				return err
			}
		}
		if seen == 0 {
			seen = t.view.GetVersion()
		}
		reply, err := s.Do(ctx, t.address(&lockboxv1.Command{SeenVersion: seen,
			Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: reason}}}))
		if err != nil {
			return err
		}
		return a.done(reply, "Denied: no access will be given.")
	})
	return c
}

func (a *app) revokeCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "revoke REQUEST --reason WHY", Short: "Take access away at once (R32)", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(request.Active),
		Long:              "Ends an active access at once. The customer's approvers and administrators may, and the provider's security officer.",
		Example:           `  lockbox approval revoke REQUEST --reason "the work is done"`,
	}
	c.Flags().StringVar(&reason, "reason", "", "`why`; everyone concerned reads it")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		t, err := s.target(ctx, args[0])
		if err != nil {
			return err
		}
		if reason, err = a.reason(ctx, reason, "Why is it revoked?"); err != nil {
			return err
		}
		reply, err := s.Do(ctx,
			t.address(&lockboxv1.Command{Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: reason}}}))
		if err != nil {
			return err
		}
		return a.done(reply, "Revoked: access has ended.")
	})
	return c
}

func (a *app) askCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ask REQUEST QUESTION", Short: "Ask the engineer something before you decide (R31)",
		Args:              exactly("REQUEST", "QUESTION"),
		ValidArgsFunction: a.requests(request.CustomerNotified),
		Long:              "The question and its answer are part of the request's history. The time to decide keeps running.",
		Example:           `  lockbox approval ask REQUEST "Which of the two machines first?"`,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			t, err := s.target(ctx, args[0])
			if err != nil {
				return err
			}
			reply, err := s.Do(ctx,
				t.address(&lockboxv1.Command{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: args[1]}}}))
			if err != nil {
				return err
			}
			return a.done(reply, "Asked. The answer will be in `lockbox request show`; the time to decide keeps running.")
		}),
	}
}

func (a *app) answerCommand() *cobra.Command {
	var question string
	c := &cobra.Command{
		Use: "answer REQUEST ANSWER", Short: "Answer an approver's question about your request (R31)",
		Args:              exactly("REQUEST", "ANSWER"),
		ValidArgsFunction: a.requests(request.CustomerNotified),
		Example:           `  lockbox approval answer REQUEST "The first one; the second only if that does not help."`,
	}
	c.Flags().StringVar(&question, "question", "", "which `question`, if several are open")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		v, err := s.find(ctx, args[0])
		if err != nil {
			return err
		}
		id, err := openQuestion(c, v, question)
		if err != nil {
			return err
		}
		reply, err := s.Do(ctx, target{tenant: v.GetTenant(), id: v.GetRequestId()}.address(&lockboxv1.Command{
			Action: &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: id, Text: args[1]}},
		}))
		if err != nil {
			return err
		}
		return a.done(reply, "Answered.")
	})
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
	return group("internal", "Decide for the provider, before the customer is asked (R15)", `Where an evaluation demands it, people of the provider decide first: customer support leads or DevOps managers, never about
their own request. An unanswered internal approval expires.`, "",
		a.internalListCommand(), a.internalDecideCommand("approve", "Let it go on to the customer", "Approved internally.",
			func(comment string) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_InternalApprove{
					InternalApprove: &lockboxv1.InternalApprove{Comment: comment}}}
			}),
		a.internalDecideCommand("refuse", "End it here; a reason is required",
			"Refused internally: the customer will not be asked.",
			func(reason string) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_InternalRefuse{
					InternalRefuse: &lockboxv1.InternalRefuse{Reason: reason}}}
			}))
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

func (a *app) internalDecideCommand(
	verb, short, sentence string, command func(string) *lockboxv1.Command,
) *cobra.Command {
	var words string
	var seen uint64
	c := &cobra.Command{
		Use: verb + " REQUEST", Short: short, Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(request.AwaitingInternalApproval),
		Example:           "  lockbox internal " + verb + ` REQUEST --reason "…"`,
	}
	c.Flags().StringVar(&words, "reason", "", "`why`")
	c.Flags().Uint64Var(&seen, "seen-version", 0, "the `version` that you saw, if you looked at it earlier")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		t, err := s.target(ctx, args[0])
		if err != nil {
			return err
		}
		if verb == "refuse" {
			if words, err = a.reason(ctx, words, "Why is it refused?"); err != nil {
				return err
			}
		}
		if seen == 0 {
			seen = t.view.GetVersion()
		}
		order := t.address(command(words))
		order.SeenVersion = seen
		reply, err := s.Do(ctx, order)
		if err != nil {
			return err
		}
		if reply.GetEventId() == "" || a.output != formatTable {
			return a.done(reply, "")
		}
		after, err := s.settled(ctx, t.tenant, t.id, reply.GetSequence())
		if err != nil {
			return a.done(reply, "%s", sentence)
		}
		return a.done(reply, "%s %s", sentence, render.Standing(a.look(), after))
	})
	return c
}
