package activitylog

import (
	"bufio"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"go.uber.org/zap"
)

const (
	// exportedAtOnce is the number of entries held in memory.
	exportedAtOnce = 1000
	// patience is how long a browser may take to receive them.
	patience = time.Minute
)

// exported streams all entries that match the filter as a file, page by page. A truncated file must not look complete:
// if the export cannot continue, the last line says so and the connection is aborted.
func exported(v *site.Visit) error {
	f := form.Sent(v.R)
	ask := wanted(f, v.Say.Zone())
	if err := unreadable(f); err != nil {
		return err
	}
	format, known := export.Named(f.Value("format"))
	if !known {
		return refusal.Invalid("format", "R39", "must be one of %s", strings.Join(export.Names(), ", "))
	}
	ask.Limit, ask.Export = exportedAtOnce, format.Name
	page, err := next(v, ask)
	if err != nil {
		return err
	}
	h := v.W.Header()
	h.Set("Content-Type", format.MediaType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment",
		map[string]string{"filename": fileName(v, format.Extension)}))
	if v.R.Method == http.MethodHead {
		return nil
	}
	out := file{format, bufio.NewWriter(v.W)}
	if err := stream(v, ask, page, out); err != nil {
		err = errors.Join(err, incomplete(v, out))
		if v.R.Context().Err() == nil { // otherwise the client has disconnected
			v.Log.Error("export of the activity log ended early", zap.String("tenant", v.Session.Tenant), zap.Error(err))
		}
		panic(http.ErrAbortHandler) // makes net/http abort the connection
	}
	return nil
}

func fileName(v *site.Visit, extension string) string {
	whose := v.Session.Tenant
	if whose == "" {
		whose = "provider"
	}
	return fmt.Sprintf("lockbox-activity-%s-%s.%s", whose, v.Now().UTC().Format("20060102T150405Z"), extension)
}

func next(v *site.Visit, ask *lockboxv1.ListActivity) (*lockboxv1.ActivityList, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListActivity{ListActivity: ask}})
	return reply.GetActivity(), err
}

// file writes entries in an export format. It buffers nothing beyond a flush.
type file struct {
	format export.Format
	*bufio.Writer
}

func (f file) write(row []byte, err error) error {
	if err == nil {
		_, err = f.Write(row)
	}
	return err
}

func stream(v *site.Visit, ask *lockboxv1.ListActivity, page *lockboxv1.ActivityList, out file) error {
	if err := out.write(out.format.Head()); err != nil {
		return err
	}
	for {
		if err := write(v, page, out); err != nil {
			return err
		}
		if ask.PageToken = page.GetNextPageToken(); ask.GetPageToken() == "" {
			return nil
		}
		var err error
		if page, err = next(v, ask); err != nil {
			return err
		}
	}
}

// write sends one page, with a write deadline of its own.
func write(v *site.Visit, page *lockboxv1.ActivityList, out file) error {
	for _, a := range page.GetActivities() {
		if err := out.write(out.format.Row(a)); err != nil {
			return err
		}
	}
	return send(v, out)
}

func send(v *site.Visit, out file) error {
	to := http.NewResponseController(v.W)
	return errors.Join(supported(to.SetWriteDeadline(time.Now().Add(patience))), out.Flush(), supported(to.Flush()))
}

func incomplete(v *site.Visit, out file) error {
	sentence, err := v.Say.Say("activity.incomplete")
	return errors.Join(err, out.write(out.format.Incomplete(sentence)), send(v, out))
}

// supported ignores the error of response writers without deadlines, as in tests.
func supported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// unreadable turns a form's problems into a refusal, for there is no page on which to correct them.
func unreadable(f *form.Form) error {
	for _, p := range f.Problems {
		return refusal.OfKind(
			refusal.Invalid(p.Name, "R39", "is no date and time such as 2026-08-31 17:00"),
			"date-and-time")
	}
	return nil
}
