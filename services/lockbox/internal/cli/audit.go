package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	rules "github.com/openlockbox/lockbox/pkg"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/past"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"github.com/openlockbox/lockbox/services/verifier"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Read the activity log, replay the stream, see any past state", `Every step is an event in one stream that is never rewritten. audit list and audit export are the customer's view of
it, and audit access says who looked; audit replay and audit state-at read the stream itself and need the
compliance team's bus key, as do audit verify and audit dead-letters.`, "",
		a.auditListCommand(), a.auditAccessCommand(), a.auditExportCommand(), a.auditReplayCommand(),
		a.auditStateAtCommand(), a.auditVerifyCommand(), a.auditReceiptCommand(), a.auditWatchCommand(),
		a.auditCompareCommand(), a.auditForwardCommand(), a.auditDeadLettersCommand(), a.auditSetAsideCommand(),
		a.auditWritersCommand())
}

func (a *app) auditListCommand() *cobra.Command {
	var (
		limit uint32
		all   bool
	)
	c := &cobra.Command{
		Use: "list", Short: "List the activity log, newest first", Args: exactly(), ValidArgsFunction: nothing,
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

// activities reads one page of the activity log, or all pages.
func (s *session) activities(
	ctx context.Context, q *lockboxv1.ListActivity, all bool,
) (*lockboxv1.ActivityList, error) {
	tenant, err := s.tenant(ctx)
	if err != nil {
		return nil, err
	}
	whole, token := &lockboxv1.ActivityList{}, q.GetPageToken()
	for {
		ask := &lockboxv1.ListActivity{
			Actions: q.GetActions(), Since: q.GetSince(), Until: q.GetUntil(), Person: q.GetPerson(), Resource: q.GetResource(),
			SubscriptionId: q.GetSubscriptionId(), RequestId: q.GetRequestId(), Limit: q.GetLimit(), PageToken: token,
			Export: q.GetExport(),
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
	var writers, state string
	t := &trust{}
	c := &cobra.Command{
		Use: "verify [FILE]", Short: "Check a receipt or evidence offline, or every invariant over the whole stream",
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		Long: `With a FILE of audit receipt: ` + verifier.ReceiptHelp + `
With --state it is also compared with what audit watch has read.

With a FILE that audit watch or compare kept as evidence: checks, by the log's key alone, that the log signed what is in it, and
that this cannot all be true.

Without: reads the whole stream with the compliance team's key and checks that no sequence is missing, that every event is
what its subject says, and every invariant that events can show: each grant has its basis, one decision, nothing past
a deadline and every event's time as the bus has it, no grant beyond its policy, one tenant each, nobody for
themselves, to each customer what is its own. It shares no rule with the code that decided. Each evaluation is
made again with the rules and the catalogue that were in force. Whom a mail is owed to is derived from the customer's own
roles and settings, and each mail has a report that it was sent or could not be; one that has none an hour and a quarter after
the event is a violation, and those that still have time are counted. What breaks an invariant is listed, and so is each message
that is not an event; one that a security officer has set aside breaks nothing. Evaluations of which this version does not have
the rules are counted as not checked.

With --writers-key, each event since signing began has to be signed by the service that may write it, with a key that this
deployment key has certified; of a receipt, each event that it shows. Take that key from somewhere else than the server; what
the stream says of it proves nothing. By default it is LOCKBOX_WRITERS_KEY, and for the stream
that of the Lockbox on this machine.

Whatever does not hold, the exit code is 10.`,
		Example: `  lockbox audit verify lockbox-receipt-019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b.json --policy policy.txt
  lockbox audit verify receipt.json --log-key log.vkey
  lockbox audit verify receipt.json --policy policy.txt --state lockbox-log-meadowbank.json
  lockbox audit verify --stream
  lockbox audit verify --stream -o json | jq .violations`,
	}
	c.Flags().BoolVar(&stream, "stream", false, "check the whole stream (as without a FILE)")
	c.Flags().StringVar(&writers, "writers-key", "",
		"`file` with the deployment's verifier key: check who signed each event")
	c.Flags().StringVar(&state, "state", "", "`file` of audit watch, to be compared with what was read there")
	_ = c.MarkFlagFilename("state", "json") // fails only for an unknown flag
	t.flags(c)
	overStream := a.with(func(ctx context.Context, s *session, _ []string) error {
		v, err := s.verify(ctx, a.writersKey(writers))
		if err != nil {
			return err
		}
		if err := a.write(page{func() (string, error) { return render.ValueJSON(v) },
			func(render.Look) string { return verifiedText(v) }}); err != nil {
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
		case len(args) == 0 && state != "":
			return usage(c, "--state is for a FILE")
		case len(args) == 1:
			return a.verifyFile(c, t, writers, args[0], state)
		}
		return overStream(c, args)
	}
	return c
}

// writersKey returns the file of the deployment's key; empty if there is none.
func (a *app) writersKey(named string) string {
	if key := first(named, a.Getenv("LOCKBOX_WRITERS_KEY")); key != "" {
		return key
	}
	info, err := a.running()
	if err != nil {
		return ""
	}
	return info.WritersKey
}

func verifiedText(v verify.Verified) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events of %d requests, up to sequence %d.\n", v.Events, v.Requests, v.LastSequence)
	switch {
	case len(v.Violations) > 0:
	case len(v.Unchecked) > 0:
		b.WriteString("No sequence is missing, and every invariant that could be checked holds, but not all evaluations could " +
			"be made again.\n")
	default:
		b.WriteString("No sequence is missing, and every invariant holds.\n")
	}
	for _, one := range v.Violations {
		fmt.Fprintf(&b, "%s, at sequence %d: %s\n", rules.Title(one.Invariant), one.Sequence, render.Clean(one.What))
	}
	if s := v.Signatures; s != nil {
		if s.Began == 0 {
			b.WriteString("Signing has not begun: nothing says who wrote these events.\n")
		} else {
			fmt.Fprintf(&b, "Signed by their writers from sequence %d on: %d signatures. %d events a second; %d without signatures.\n",
				s.Began, s.Verified, s.PerSecond, s.Without)
		}
	}
	for _, u := range v.Unchecked {
		fmt.Fprintf(&b, "Not checked, %d evaluations from sequence %d to %d: %s.\n", u.Count, u.First, u.Last,
			render.Clean(u.What))
	}
	if v.Unread {
		b.WriteString("Names and addresses were not read: that those who had to hear of something were told at their own addresses " +
			"is checked in part only.\n")
	}
	if m := v.Waiting; m != nil {
		fmt.Fprintf(&b, "Not reported yet, nor overdue: mails about events from sequence %d to %d, %d of them.\n", m.First,
			m.Last, m.Count)
	}
	if m := v.Late; m != nil {
		fmt.Fprintf(&b, "Reported more than %s after the event: mails about events from sequence %d to %d, %d of them.\n",
			timetext.Duration("en", invariant.MailWithin), m.First, m.Last, m.Count)
	}
	for _, s := range v.Strays {
		fmt.Fprintf(&b, "Message %d is not an event: %s, %d bytes, SHA-256 %s; ", s.Sequence, render.Clean(s.Subject), s.Size,
			s.SHA256)
		if s.SetAside == nil {
			b.WriteString("nobody has set it aside.\n")
			continue
		}
		fmt.Fprintf(&b, "set aside by %s (event %d): %s\n", render.Clean(s.SetAside.By), s.SetAside.Sequence,
			render.Clean(s.SetAside.Reason))
	}
	return b.String()
}

func (s *session) verify(ctx context.Context, writersKey string) (verify.Verified, error) {
	keys, err := pinned(writersKey)
	if err != nil {
		return verify.Verified{}, err
	}
	j, err := s.Client.Journal(ctx)
	if err != nil {
		return verify.Verified{}, err
	}
	defer j.Close()
	bar := s.app.progress(false)
	defer bar.end()
	v, err := verify.Stream(ctx, j, s.app.Now(), keys, bar.step)
	s.unread = v.Unread
	return v, err
}

// pinned returns the keyring that trusts the deployment key in a file; nil if none is named.
func pinned(file string) (*signed.Keyring, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the caller names the file
	if err != nil {
		return nil, err
	}
	pinned, err := signed.Pin(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return pinned.Keyring(), nil
}

func (a *app) auditDeadLettersCommand() *cobra.Command {
	var from uint64
	c := &cobra.Command{
		Use: "dead-letters", Short: "List the messages that were refused and set aside, with their bytes", Args: exactly(),
		ValidArgsFunction: nothing,
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
		err = j.DeadLetters(ctx, from, func(d journal.DeadLetter) error {
			none = false
			if d.Letter == nil {
				line := func() string { return render.UnreadableLetter(look, d.Seq, d.Stored, d.Subject, len(d.Data)) }
				return a.recordValue(a.Out, line, unreadable{d.Seq, d.Stored.UTC(), nil, d.Subject, d.Data})
			}
			return a.record(a.Out, func() string { return render.DeadLetter(look, d.Seq, d.Stored, d.Letter) }, d.Letter,
				func(letter json.RawMessage) any {
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

// deadLetter is a dead-lettered message, for JSON and YAML output.
type deadLetter struct {
	Sequence uint64          `json:"sequence,string"`
	Stored   time.Time       `json:"stored"`
	Letter   json.RawMessage `json:"letter"`
}

// unreadable is a message among the dead letters that is none.
type unreadable struct {
	Sequence uint64    `json:"sequence,string"`
	Stored   time.Time `json:"stored"`
	Letter   any       `json:"letter"` // null
	Subject  string    `json:"subject"`
	Data     []byte    `json:"data"`
}

func (a *app) auditStateAtCommand() *cobra.Command {
	return &cobra.Command{
		Use: "state-at TIME WHAT", Short: "Rebuild a request, ticket, tenant or rule set as it stood at any time",
		Args: exactly("TIME", "WHAT"),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return []string{"now"}, cobra.ShellCompDirectiveNoFileComp
			}
			ids, directive := a.requests()(c, nil, typed)
			for _, k := range pastKinds {
				ids = append(ids, k.name+"/")
			}
			return ids, directive | cobra.ShellCompDirectiveNoSpace
		},
		Long: `Folds the events up to that time, with the same code that decides, and shows the state that comes out. WHAT is a request's
id, or the end of one; or ticket/ID, tenant/NAME (with its settings, subscriptions and roles), disclosure/ID, policy/rules or
policy/catalogue. It needs the compliance team's key and asks no projection. lockbox help times says how to write a time.`,
		Example: `  lockbox audit state-at "2026-05-12 14:03" 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  lockbox audit state-at 2h 0c1d2e3f4a5b -o json
  lockbox audit state-at 2026-05-12 tenant/meadowbank
  lockbox audit state-at 30d policy/rules > rules.yaml`,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			at, err := a.parseTime(args[0])
			if err != nil {
				return usage(s.command, "%w", err)
			}
			j, err := s.Journal(ctx)
			if err != nil {
				return err
			}
			defer j.Close()
			return s.stateAt(ctx, past.At{Stream: j, Time: at, Tenant: first(a.tenant, a.Getenv("LOCKBOX_TENANT"))}, args[1])
		}),
	}
}

// pastKinds are the kinds of aggregate, besides requests, whose past states can be shown.
var pastKinds = []struct {
	name string
	show func(ctx context.Context, a *app, at past.At, id string) error
}{
	{aggregate.KindTicket, func(ctx context.Context, a *app, at past.At, id string) error {
		v, err := at.Ticket(ctx, id)
		return a.showPast(at, v, v.GetVersion(), func(l render.Look) string { return render.Ticket(l, v) }, err)
	}},
	{aggregate.KindTenant, func(ctx context.Context, a *app, at past.At, id string) error {
		v, err := at.TenantView(ctx, id)
		return a.showPast(at, v, v.GetVersion(), func(l render.Look) string { return render.Tenant(l, v) }, err)
	}},
	{aggregate.KindDisclosure, func(ctx context.Context, a *app, at past.At, id string) error {
		v, err := at.Disclosure(ctx, id)
		return a.showPast(at, v, 0, func(l render.Look) string {
			return render.Disclosures(l,
				[]*lockboxv1.DisclosureView{v})
		}, err)
	}},
	{aggregate.KindPolicy, func(ctx context.Context, a *app, at past.At, id string) error {
		about, version, text := aggregate.Rules, policy.Default().Version(), policy.DefaultText()
		switch id {
		case aggregate.Rules.ID:
		case aggregate.Catalogue.ID:
			about, version, text = aggregate.Catalogue, catalogue.Default().Version(), catalogue.DefaultText()
		default:
			return refusal.NotFound("policy", "R40", "there is no policy %q: rules or catalogue", id)
		}
		last, err := at.Published(ctx, about)
		if err != nil {
			return err
		}
		return a.showInForce(shippedOr(last, version, text))
	}},
}

func (s *session) stateAt(ctx context.Context, at past.At, what string) error {
	if kind, id, found := strings.Cut(what, "/"); found {
		for _, k := range pastKinds {
			if k.name == kind {
				return k.show(ctx, s.app, at, id)
			}
		}
		return usage(s.command, "there is no kind %q: ticket, tenant, disclosure or policy, and a request by its id alone",
			kind)
	}
	id, err := s.streamed(ctx, what)
	if err != nil {
		return err
	}
	v, err := at.Request(ctx, id)
	return s.app.showPast(at, v, v.GetVersion(), func(l render.Look) string { return render.Request(l, v, true) }, err)
}

// showPast shows a past state, or reports why it cannot be shown.
func (a *app) showPast(at past.At, v proto.Message, version uint64, text func(render.Look) string, err error) error {
	if err != nil {
		return err
	}
	return a.show(v, func(l render.Look) string {
		l.Now = at.Time
		after := ""
		if version > 0 {
			after = fmt.Sprintf(", after %d of its events", version)
		}
		return fmt.Sprintf("As it stood at %s%s.\n\n", l.Stamp(timestamppb.New(at.Time)), after) + text(l)
	})
}

// streamed returns the id of the request that an argument names, without the projection.
func (s *session) streamed(ctx context.Context, arg string) (string, error) {
	id := strings.ToLower(arg)
	if input.UUIDv7("request", id) == nil {
		return id, nil
	}
	j, err := s.Journal(ctx)
	if err != nil {
		return "", err
	}
	defer j.Close()
	return s.expandInStream(ctx, j, id)
}

// expandInStream is expand without the projection: it searches the stream.
func (s *session) expandInStream(ctx context.Context, j *journal.Journal, part string) (string, error) {
	if err := s.checkPart(part); err != nil {
		return "", err
	}
	var found []*lockboxv1.RequestView
	err := j.Replay(ctx, journal.Replay{Kind: aggregate.KindRequest, Type: "AccessRequested"},
		func(e journal.Entry) error {
			if id := e.Event.GetAggregateId(); isPart(part, id) {
				found = append(found, &lockboxv1.RequestView{RequestId: id, Tenant: e.Event.GetTenant(),
					Requester: e.Event.GetActor(), Intent: e.Event.GetAccessRequested().GetIntent()})
			}
			return nil
		})
	if err != nil {
		return "", err
	}
	v, err := pick(s.command, "request", part, "lockbox audit replay", found, candidateOf)
	return v.GetRequestId(), err
}
