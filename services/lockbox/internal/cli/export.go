package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/export"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// exportedAtOnce is the page size of an export, in entries.
const exportedAtOnce = 1000

// activityFilter adds the activity log's filter flags to a command, and returns a function that reads them when the
// command runs.
func (a *app) activityFilter(
	c *cobra.Command,
) func(context.Context, *session, ...error) (*lockboxv1.ListActivity, error) {
	q := &lockboxv1.ListActivity{}
	since, until := &timeFlag{app: a}, &timeFlag{app: a}
	f := c.Flags()
	f.StringArrayVar(&q.Actions, "action", nil, "only this `action` or fact (repeat for several)")
	f.Var(since, "since", "from this time on (lockbox help times)")
	f.Var(until, "until", "before this time")
	f.StringVar(&q.Person, "person", "", "`address`, name or subject of somebody")
	f.StringVar(&q.Resource, "resource", "", "a `resource`, or the beginning of its id")
	f.StringVar(&q.SubscriptionId, "subscription", "", "a `subscription`")
	f.StringVar(&q.RequestId, "request", "", "a `request`")
	f.StringVar(&q.PageToken, "page", "", "go on from the `page` where it ended")
	complete(c, "action", fixed(activity.Actions()...))
	complete(c, "subscription", a.subscriptions)
	complete(c, "request", func(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.requests()(c, nil, typed)
	})
	return func(ctx context.Context, s *session, others ...error) (*lockboxv1.ListActivity, error) {
		faults := others
		for _, action := range q.GetActions() {
			faults = append(faults, only(len(activity.Types(action)) == 0,
				usage(c, "there is no action %q; there are: %s", action, strings.Join(activity.Actions(), ", "))))
		}
		if err := allOf(faults); err != nil {
			return nil, err
		}
		if !since.IsZero() {
			q.Since = timestamppb.New(since.Time)
		}
		if !until.IsZero() {
			q.Until = timestamppb.New(until.Time)
		}
		if q.GetRequestId() != "" {
			v, err := s.find(ctx, q.GetRequestId())
			if err != nil {
				return nil, err
			}
			q.RequestId = v.GetRequestId()
		}
		return q, nil
	}
}

// exportFormat is a flag that selects an export format.
type exportFormat struct{ export.Format }

// Set implements pflag.Value.
func (f *exportFormat) Set(s string) (err error) {
	var known bool
	if f.Format, known = export.Named(s); !known {
		err = fmt.Errorf("want one of %s", strings.Join(export.Names(), ", "))
	}
	return err
}

func (f *exportFormat) String() string { return f.Name }

// Type is the placeholder for the flag's value in the help.
func (*exportFormat) Type() string { return "format" }

func (f *exportFormat) flag(c *cobra.Command, what string) {
	c.Flags().Var(f, "format", what+": "+strings.Join(export.Names(), ", "))
	complete(c, "format", fixed(export.Names()...))
}

func (a *app) auditExportCommand() *cobra.Command {
	var (
		format exportFormat
		file   string
	)
	c := &cobra.Command{
		Use: "export", Short: "Export the activity log for other systems", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Writes everything that the filters find, newest first, as JSON Lines, CSV, CloudEvents 1.0, OCSF or Azure's activity log. If it
cannot go on, the last row says that it is incomplete, and from which page --page goes on. A file is never written over.
For the events of the stream itself, with the compliance team's key, there is audit replay --format.`,
		Example: `  lockbox audit export --format csv --since 30d --file activity.csv
  lockbox audit export --format csv --bom --file for-a-spreadsheet.csv
  lockbox audit export --format ocsf --action "Approve Lockbox Request" --file approvals.jsonl
  lockbox audit export --format cloudevents --request 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b`,
	}
	filter := a.activityFilter(c)
	format.flag(c, "how it is written")
	bom := c.Flags().Bool("bom", false, "begin a csv file with a byte order mark, for spreadsheets")
	c.Flags().StringVar(&file, "file", "", "write to this new `file`")
	_ = c.MarkFlagFilename("file") // fails only for an unknown flag
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		faults := []error{only(format.Name == "", usage(c, "--format is required: %s", strings.Join(export.Names(), ", ")))}
		if *bom {
			marked, known := export.Named(strings.TrimSuffix(format.Name, "-bom") + "-bom")
			faults = append(faults, only(!known, usage(c, "--bom is for --format csv")))
			format.Format = marked
		}
		q, err := filter(ctx, s, faults...)
		if err != nil {
			return err
		}
		q.Limit, q.Export = exportedAtOnce, format.Name
		return a.into(file, func(out io.Writer) error { return s.export(ctx, q, format.Format, out) })
	})
	return c
}

// into writes to a new file, or to stdout if file is empty.
func (a *app) into(file string, write func(io.Writer) error) error {
	if file == "" {
		return write(a.Out)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- it is for its user to say where
	if err != nil {
		return err
	}
	err = write(f)
	return errors.Join(err, f.Sync(), f.Close())
}

// export writes page by page. It reads the first page before it writes anything, so that a refusal produces no output.
func (s *session) export(ctx context.Context, q *lockboxv1.ListActivity, format export.Format, w io.Writer) error {
	list, err := s.activities(ctx, q, false)
	if err != nil {
		return err
	}
	bar := s.app.progress(false)
	defer bar.end()
	out := newSheet(format, w)
	if err := out.write(format.Head()); err != nil {
		return err
	}
	for {
		for _, a := range list.GetActivities() {
			if err := out.write(format.Row(a)); err != nil {
				return out.ended(err, "")
			}
		}
		if q.PageToken = list.GetNextPageToken(); q.GetPageToken() == "" {
			return out.Flush()
		}
		bar.counted(len(list.GetActivities()))
		if list, err = s.activities(ctx, q, false); err != nil {
			return out.ended(err, " --page "+q.GetPageToken()+" goes on.")
		}
	}
}
