package cli

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

// replaying is a replay with the filters that the stream does not support, and a cursor.
type replaying struct {
	journal.Replay
	// types are the wanted event types, and person is the actor; empty: any.
	types  []string
	person string
	cursor *cursor // nil: the position is not stored
}

// wants applies the filters that the stream does not support.
func (r *replaying) wants(e *lockboxv1.Event) bool {
	return (len(r.types) == 0 || slices.Contains(r.types, aggregate.TypeOf(e))) &&
		(r.person == "" || activity.Is(e.GetActor().GetPerson(), r.person))
}

func (a *app) auditReplayCommand() *cobra.Command {
	r := &replaying{}
	since, until := &timeFlag{app: a}, &timeFlag{app: a}
	var (
		actions            []string
		format             exportFormat
		file, cursor, want string
	)
	c := &cobra.Command{
		Use: "replay", Short: "Replay the stream from any point", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Writes stored events in the order of the stream, with the compliance team's key. Times are when the bus stored an event. A
replay without --tenant, --kind, --id, --request, --since and of no single fact also proves that no sequence is missing. With
--format it writes what audit export writes, in English, and of each event only what the event itself says: in the middle of a
request, for example, no subscription.

With --cursor it remembers in a file how far it has come, and the same command goes on there, however it was ended; with --file
as well, each event is in that file exactly once.`,
		Example: `  lockbox audit replay --from 1200
  lockbox audit replay --tenant meadowbank --kind request --since "2026-05-12 08:00" -o json > events.jsonl
  lockbox audit replay --request 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  lockbox audit replay --action "Approve Lockbox Request" --action "Deny Lockbox Request" --person otto@meadowbank.example
  lockbox audit replay --type CustomerApproved --follow
  lockbox audit replay --format cloudevents --cursor siem.cursor --file siem.jsonl --follow`,
	}
	f := c.Flags()
	f.Uint64Var(&r.From, "from", 0, "from this `sequence` of the stream on")
	f.Var(since, "since", "stored from this time on (lockbox help times)")
	f.Var(until, "until", "stored before this time")
	f.StringVar(&r.Kind, "kind", "",
		"only events of this `kind`: request, tenant, subscription, ticket, policy, disclosure, delivery, checkpoint, alarm, digest, signing or erasure")
	f.StringVar(&r.ID, "id", "", "only events about the one with this `id`")
	f.StringVar(&want, "request", "", "only events of this `request`")
	f.StringArrayVar(&actions, "type", nil, "only this `fact`, or the activity log's name of it (repeat for several)")
	f.StringArrayVar(&actions, "action", nil, "the same as --type")
	f.StringVar(&r.person, "person", "", "only what the person with this `address`, name or subject did")
	f.BoolVarP(&r.Follow, "follow", "f", false, "go on with what is stored from now on; Ctrl-C ends")
	f.StringVar(&cursor, "cursor", "", "go on after what this `file` says, and keep it up to date")
	f.StringVar(&file, "file", "", "write to this `file`: a new one, or with --cursor the one it was begun with")
	_ = c.MarkFlagFilename("cursor") // fails only for an unknown flag
	_ = c.MarkFlagFilename("file")
	format.flag(c, "write it for other systems")
	complete(c, "kind", fixed(aggregate.KindRequest, aggregate.KindTenant, aggregate.KindSubscription,
		aggregate.KindTicket, aggregate.KindPolicy, aggregate.KindDisclosure, aggregate.KindDelivery,
		aggregate.KindCheckpoint, aggregate.KindAlarm, aggregate.KindDigest, aggregate.KindSigning, aggregate.KindErasure,
		aggregate.KindKeys, aggregate.KindAttempt))
	complete(c, "type", fixed(factTypes()...))
	complete(c, "action", fixed(activity.Actions()...))
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		// Compliance reads across customers unless one is named; a persona's own tenant is ignored here.
		r.Tenant, r.Since, r.Until = first(a.tenant, a.Getenv("LOCKBOX_TENANT")), since.Time, until.Time
		faults := []error{
			only(want != "" && (r.ID != "" || r.Kind != ""),
				usage(c, "--request stands for --kind request --id; leave those out")),
			only(cursor != "" && r.From > 0, usage(c, "the cursor says from where; leave out --from")),
		}
		for _, action := range actions {
			types := activity.Types(action)
			faults = append(faults, only(len(types) == 0,
				usage(c, "there is no fact or action %q; there are: %s", action, strings.Join(activity.Actions(), ", "))))
			r.types = append(r.types, types...)
		}
		if err := allOf(faults); err != nil {
			return err
		}
		if want != "" {
			id, err := s.streamed(ctx, want)
			if err != nil {
				return err
			}
			r.Kind, r.ID = aggregate.KindRequest, id
		}
		if len(r.types) == 1 { // which the stream filters itself
			r.Type, r.types = r.types[0], nil
		}
		if cursor == "" {
			return a.into(file, func(out io.Writer) error { return s.replayInto(ctx, r, format.Format, out) })
		}
		return s.resume(ctx, r, format.Format, cursor, file)
	})
	return c
}

// resume continues from the cursor.
func (s *session) resume(
	ctx context.Context, r *replaying, format export.Format, name, file string,
) (err error) {
	if r.cursor, err = openCursor(name, file, s.app.Now); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.cursor.close()) }()
	if r.cursor.at.Sequence > 0 {
		r.From = r.cursor.at.Sequence + 1
	}
	out := s.app.Out
	if r.cursor.out != nil {
		out = r.cursor.out
	}
	return s.replayInto(ctx, r, format, out)
}

func (s *session) replayInto(ctx context.Context, r *replaying, format export.Format, out io.Writer) error {
	if format.Name != "" {
		return s.replayAs(ctx, r, format, out)
	}
	return s.replay(ctx, r, out)
}

func factTypes() []string {
	var types []string
	for _, action := range activity.Actions() {
		types = append(types, activity.Types(action)...)
	}
	return types
}

// stored is an event with its position in the stream, for JSON and YAML output.
type stored struct {
	Sequence uint64          `json:"sequence,string"`
	Stored   time.Time       `json:"stored"`
	Subject  string          `json:"subject"`
	Event    json.RawMessage `json:"event"`
}

// strayMessage is a message that is not an event, for JSON and YAML output.
type strayMessage struct {
	Sequence uint64    `json:"sequence,string"`
	Stored   time.Time `json:"stored"`
	Subject  string    `json:"subject"`
	Event    any       `json:"event"` // null
	NotEvent string    `json:"not_an_event"`
	SHA256   string    `json:"sha256"`
	Data     []byte    `json:"data"`
	// SetAsideBy is the sequence of the decision that set it aside; 0 if there is none.
	SetAsideBy uint64 `json:"set_aside_by,string"`
}

func (s *session) replay(ctx context.Context, r *replaying, w io.Writer) error {
	a := s.app
	out, look := newBuffered(w), a.look()
	stray := func(e journal.Entry, m journal.Misfit, decision uint64) error {
		hash, aside := hex.EncodeToString(m.SHA256), "not set aside"
		if decision > 0 {
			aside = fmt.Sprintf("set aside by event %d", decision)
		}
		return a.recordValue(out, func() string {
			return render.Stray(look, e.Seq, e.Stored, e.Subject, m.Size, hash, aside)
		}, strayMessage{e.Seq, e.Stored.UTC(), e.Subject, nil, m.Rule, hash, e.Data, decision})
	}
	return s.each(ctx, r, out, stray, func(e journal.Entry) error {
		return a.record(out, func() string { return render.Event(look, e.Seq, e.Event) }, e.Event,
			func(event json.RawMessage) any {
				return stored{e.Seq, e.Stored.UTC(), e.Subject, event}
			})
	})
}

// replayAs writes the events in an export format.
func (s *session) replayAs(ctx context.Context, r *replaying, format export.Format, w io.Writer) error {
	j, err := s.Journal(ctx)
	if err != nil {
		return err
	}
	defer j.Close()
	entries := &bookmark.Entries{Source: j}
	out := newSheet(format, w)
	if r.cursor == nil || r.cursor.at.Sequence == 0 {
		if err := out.write(format.Head()); err != nil {
			return err
		}
	}
	stray := func(_ journal.Entry, m journal.Misfit, _ uint64) error { // which no other system could read
		_, err := fmt.Fprintf(s.app.Err, "Message %d on %s is not an event, and left out.\n", m.Seq, render.Clean(m.Subject))
		return err
	}
	err = s.each(ctx, r, out.Writer, stray, func(e journal.Entry) error {
		a, err := entries.Of(ctx, e)
		if err != nil {
			return err
		}
		return out.write(format.Row(a))
	})
	if err != nil && !r.Follow && r.cursor == nil { // not with --follow, which never ends, or a cursor, which continues
		return out.ended(err, "")
	}
	return err
}

// each replays the events and flushes the output whenever none are pending. Messages that are not events go to stray,
// with the sequence of the decision that set them aside, unless only some types or a person's events are wanted.
func (s *session) each(
	ctx context.Context, r *replaying, out *bufio.Writer, stray func(journal.Entry, journal.Misfit, uint64) error,
	write func(journal.Entry) error,
) error {
	j, err := s.Journal(ctx)
	if err != nil {
		return err
	}
	defer j.Close()
	if r.cursor != nil {
		if err := r.cursor.at.Check(ctx, j, r.cursor.name); err != nil {
			return err
		}
	}
	bar := s.app.progress(r.Follow)
	bar.bounded = r.Until.IsZero()
	defer bar.end()
	passed := func(e journal.Entry, err error) error {
		if err != nil {
			return err
		}
		if e.Pending == 0 || s.app.OutTerminal {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		return r.cursor.passed(e.Seq, out.Flush)
	}
	r.Misfit = func(e journal.Entry, m journal.Misfit) error {
		bar.step(e)
		if len(r.types) > 0 || r.Type != "" || r.person != "" {
			return passed(e, nil)
		}
		decision, _, err := j.SetAside(ctx, m)
		if err == nil {
			err = stray(e, m, decision.Seq)
		}
		return passed(e, err)
	}
	err = j.Replay(ctx, r.Replay, func(e journal.Entry) error {
		bar.step(e)
		if r.wants(e.Event) {
			return passed(e, write(e))
		}
		return passed(e, nil)
	})
	err = errors.Join(err, out.Flush(), r.cursor.keep(out.Flush))
	if errors.Is(err, context.Canceled) && r.cursor != nil {
		_, _ = fmt.Fprintf(s.app.Err, "Up to event %d; the same command goes on after it.\n", r.cursor.at.Sequence)
	}
	return err
}
