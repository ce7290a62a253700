package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/evidence"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Read the activity log, replay the stream, see any past state", `Every step is an event in one stream that is never rewritten (R38). audit list and audit export are the customer's view of
it (R39); audit replay and audit state-at read the stream itself and need the compliance team's bus key (R40), as do audit
verify and audit dead-letters.`, "",
		a.auditListCommand(), a.auditExportCommand(), a.auditReplayCommand(), a.auditStateAtCommand(), a.auditVerifyCommand(), a.auditReceiptCommand(), a.auditWatchCommand(), a.auditForwardCommand(), a.auditDeadLettersCommand())
}

func (a *app) auditListCommand() *cobra.Command {
	var (
		limit uint32
		all   bool
	)
	c := &cobra.Command{
		Use: "list", Short: "List the activity log, newest first (R39)", Args: exactly(), ValidArgsFunction: nothing,
		Example: `  lockbox audit list --since 7d --action "Approve Lockbox Request" --action "Deny Lockbox Request"
  lockbox audit list --request 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  lockbox audit list --person otto@meadowbank.example --resource /subscriptions/meadow-production/
  lockbox audit list --all -o json | jq -c '.activities[]'`,
	}
	filter := a.activityFilter(c)
	c.Flags().Uint32Var(&limit, "limit", 0, "at most this `many` (default 100)")
	c.Flags().BoolVar(&all, "all", false, "all of it, page after page")
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		q, err := filter(ctx, s)
		if err != nil {
			return err
		}
		q.Limit = limit
		return a.list(ctx, *watch, func() (page, error) {
			list, err := s.activities(ctx, q, all)
			return answer(list, func(l render.Look) string { return activityTable(l, list) }), err
		})
	})
	return c
}

// activities reads a page of the activity log, or all pages.
func (s *session) activities(ctx context.Context, q *lockboxv1.ListActivity, all bool) (*lockboxv1.ActivityList, error) {
	tenant, err := s.tenant(ctx)
	if err != nil {
		return nil, err
	}
	whole, token := &lockboxv1.ActivityList{}, q.GetPageToken()
	for {
		ask := &lockboxv1.ListActivity{
			Actions: q.GetActions(), Since: q.GetSince(), Until: q.GetUntil(), Person: q.GetPerson(), Resource: q.GetResource(),
			SubscriptionId: q.GetSubscriptionId(), RequestId: q.GetRequestId(), Limit: q.GetLimit(), PageToken: token,
		}
		reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_ListActivity{ListActivity: ask}})
		if err != nil {
			return nil, err
		}
		list := reply.GetActivity()
		whole.Activities = append(whole.Activities, list.GetActivities()...)
		whole.NextPageToken, token = list.GetNextPageToken(), list.GetNextPageToken()
		if !all || token == "" {
			return whole, nil
		}
	}
}

func activityTable(l render.Look, list *lockboxv1.ActivityList) string {
	if len(list.GetActivities()) == 0 {
		return "Nothing that matches.\n"
	}
	text := render.Activities(l, list.GetActivities())
	if next := list.GetNextPageToken(); next != "" {
		text += "\nThere are more: --all, or --page " + render.Clean(next) + "\n"
	}
	return text
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var stream bool
	t := &trust{}
	c := &cobra.Command{
		Use: "verify [FILE]", Short: "Check a receipt offline, or every invariant over the whole stream", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		Long: `With a FILE of audit receipt: checks it, offline, with nothing but public keys: that its events stood in the log with these
bytes, in this order, none left out, under a checkpoint that the log and as many witnesses as the policy demands have signed.

Without: reads the whole stream with the compliance team's key and checks that no sequence is missing, that every event is
what its subject says, and every invariant that events can show: each grant has its basis (I1), one decision (I2), nothing past
a deadline and every event's time as the bus has it (I3), no grant beyond its policy (I4), one tenant each (I9), nobody for
themselves (I10). It shares no rule with the code that decided. What breaks one is listed.

Whatever does not hold, the exit code is 10.`,
		Example: `  lockbox audit verify lockbox-receipt-019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b.json --policy policy.txt
  lockbox audit verify receipt.json --log-key log.vkey
  lockbox audit verify --stream
  lockbox audit verify --stream -o json | jq .violations`,
	}
	c.Flags().BoolVar(&stream, "stream", false, "check the whole stream (as without a FILE)")
	t.flags(c)
	overStream := a.with(func(ctx context.Context, s *session, _ []string) error {
		v, err := s.verify(ctx)
		if err != nil {
			return err
		}
		if err := a.write(page{func() (string, error) { return render.ValueJSON(v) }, func(render.Look) string { return v.text() }}); err != nil {
			return err
		}
		if len(v.Violations) > 0 {
			return fmt.Errorf("%w: %d violations", ErrNotTrue, len(v.Violations))
		}
		return nil
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 1 && stream:
			return usage(c, "either a FILE or --stream")
		case len(args) == 1:
			return a.verifyFile(c, t, args[0])
		}
		return overStream(c, args)
	}
	return c
}

// verified is what a look at the whole stream came to, as programs read it.
type verified struct {
	Events       int         `json:"events"`
	LastSequence uint64      `json:"last_sequence,string"`
	Requests     int         `json:"requests"`
	Violations   []violation `json:"violations"`
}

type violation struct {
	Invariant string `json:"invariant"`
	Sequence  uint64 `json:"sequence,string"`
	What      string `json:"what"`
}

func (v verified) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events of %d requests, up to sequence %d.\n", v.Events, v.Requests, v.LastSequence)
	if len(v.Violations) == 0 {
		b.WriteString("No sequence is missing, and every invariant holds: I1, I2, I3, I4, I9, I10.\n")
	}
	for _, one := range v.Violations {
		fmt.Fprintf(&b, "%-4s at sequence %d: %s\n", one.Invariant, one.Sequence, render.Clean(one.What))
	}
	return b.String()
}

func (s *session) verify(ctx context.Context) (v verified, err error) {
	j, err := s.Journal(ctx)
	if err != nil {
		return v, err
	}
	defer j.Close()
	bar := s.app.progress(false)
	var history []evidence.Recorded
	err = j.Replay(ctx, journal.Replay{}, func(e journal.Entry) error {
		bar.step(e)
		if e.Event.GetAccessRequested() != nil {
			v.Requests++
		}
		history = append(history, evidence.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event})
		v.LastSequence = e.Seq
		return nil
	})
	bar.end()
	v.Events, v.Violations = len(history), []violation{}
	var corrupt *journal.CorruptError
	if errors.As(err, &corrupt) {
		// What comes after it is not looked at: it would only be found to contradict what is missing.
		v.Violations = append(v.Violations, violation{"I6", corrupt.Seq, corrupt.Rule})
	} else if err != nil {
		return v, err
	}
	for _, broken := range evidence.Check(history) {
		v.Violations = append(v.Violations, violation{broken.Invariant, broken.Sequence, broken.What})
	}
	return v, nil
}

func (a *app) auditDeadLettersCommand() *cobra.Command {
	var from uint64
	c := &cobra.Command{
		Use: "dead-letters", Short: "List the messages that were refused and set aside, with their bytes", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Intents and commands that cannot be understood are never dropped and never tried for ever: they are set aside with their
bytes and the reason. It needs the compliance team's key. The bytes are in the JSON output, in base64.`,
		Example: `  lockbox audit dead-letters
  lockbox audit dead-letters -o json | jq -r 'select(.sequence == "7") | .letter.data' | base64 -d > message`,
	}
	c.Flags().Uint64Var(&from, "from", 0, "from this `sequence` on")
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		j, err := s.Journal(ctx)
		if err != nil {
			return err
		}
		defer j.Close()
		look, none := a.look(), true
		err = j.DeadLetters(ctx, from, func(d journal.SetAside) error {
			none = false
			return a.record(a.Out, func() string { return render.DeadLetter(look, d.Seq, d.Stored, d.Letter) }, d.Letter, func(letter json.RawMessage) any {
				return deadLetter{d.Seq, d.Stored.UTC(), letter}
			})
		})
		if err == nil && none && a.output == formatTable {
			_, err = io.WriteString(a.Out, "Nothing was set aside.\n")
		}
		return err
	})
	return c
}

// deadLetter is a message that was set aside, as programs read it.
type deadLetter struct {
	Sequence uint64          `json:"sequence,string"`
	Stored   time.Time       `json:"stored"`
	Letter   json.RawMessage `json:"letter"`
}

func (a *app) auditStateAtCommand() *cobra.Command {
	return &cobra.Command{
		Use: "state-at TIME REQUEST", Short: "Rebuild a request as it stood at any time (R40)", Args: exactly("TIME", "REQUEST"),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return []string{"now"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.requests()(c, nil, typed)
		},
		Long: `Folds the request's events that were stored up to that time, with the same code that decides, and shows the state that comes
out. It needs the compliance team's key and asks no projection. lockbox help times says how to write a time.`,
		Example: `  lockbox audit state-at "2026-05-12 14:03" 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  lockbox audit state-at 2h 0c1d2e3f4a5b -o json`,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			at, err := a.parseTime(args[0])
			if err != nil {
				return usage(s.command, "%w", err)
			}
			v, err := s.stateAt(ctx, at, strings.ToLower(args[1]))
			if err != nil {
				return err
			}
			return a.show(v, func(l render.Look) string {
				l.Now = at
				return fmt.Sprintf("As it stood at %s, after %d of its events.\n\n", l.Stamp(timestamppb.New(at)), v.GetVersion()) + render.Request(l, v)
			})
		}),
	}
}

// stateAt folds what the stream held of a request at that time.
func (s *session) stateAt(ctx context.Context, at time.Time, id string) (*lockboxv1.RequestView, error) {
	j, err := s.Journal(ctx)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	if input.UUIDv7("request", id) != nil {
		if id, err = s.expandInStream(ctx, j, id); err != nil {
			return nil, err
		}
	}
	var state request.State
	var timeline []*lockboxv1.TimelineEntry
	later := 0
	filter := journal.Replay{Tenant: first(s.app.tenant, s.app.Getenv("LOCKBOX_TENANT")), Kind: bus.KindRequest, ID: id}
	err = j.Replay(ctx, filter, func(e journal.Entry) error {
		if e.Stored.After(at) {
			later++
			return nil
		}
		state = request.Evolve(state, e.Seq, e.Event)
		timeline = append(timeline, activity.Entry(e.Seq, e.Event))
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(timeline) == 0 && later > 0:
		return nil, refusal.NotFound("time", "R40", "there was no such request yet at that time")
	case len(timeline) == 0:
		return nil, refusal.NotFound("request", "R40", "there is no such request")
	}
	return viewOf(state, timeline), nil
}

// expandInStream is expand for those who ask no projection.
func (s *session) expandInStream(ctx context.Context, j *journal.Journal, part string) (string, error) {
	if err := s.checkPart(part); err != nil {
		return "", err
	}
	found := map[string]string{}
	err := j.Replay(ctx, journal.Replay{Kind: bus.KindRequest, Type: "AccessRequested"}, func(e journal.Entry) error {
		if isPart(part, e.Event.GetAggregateId()) {
			found[e.Event.GetAggregateId()] = e.Event.GetTenant()
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return s.only(part, found)
}

// viewOf shows a folded state as the projection would.
func viewOf(s request.State, timeline []*lockboxv1.TimelineEntry) *lockboxv1.RequestView {
	v := &lockboxv1.RequestView{
		RequestId: s.ID, Tenant: s.Tenant, TenantName: s.Notified.GetTenantName(), Status: s.Status, Version: s.Version,
		Intent: s.Intent, Requester: s.Requester, CreatedAt: timestamppb.New(s.RequestedAt), Evaluation: s.Evaluation, Lockbox: s.Notified,
		InternalDecisions: s.InternalDecisions, CustomerDecisions: s.CustomerDecisions, Questions: s.Questions, Grant: s.Grant,
		EndReason: s.EndReason, Timeline: slices.Clip(timeline), ServiceName: s.Evaluation.GetFacts().GetServiceName(),
		ScenarioName: s.Evaluation.GetFacts().GetScenarioName(), SubscriptionName: s.Notified.GetSubscriptionName(),
	}
	if at := s.InternalDeadline(); s.Status == request.AwaitingInternalApproval {
		v.InternalAnswerBy = timestamppb.New(at)
	}
	if !s.EndedAt.IsZero() {
		v.EndedAt = timestamppb.New(s.EndedAt)
	}
	if s.Fault != nil {
		v.Fault = fmt.Sprintf("at sequence %d: %s", s.Fault.Sequence, s.Fault.Rule)
	}
	return v
}
