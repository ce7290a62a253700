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
	// exportedAtOnce is how many entries are in memory.
	exportedAtOnce = 1000
	// patience is how long a browser may take to receive them.
	patience = time.Minute
)

// exported answers with everything that the filter finds, as a file, page by page. What begins as a file must not end
// as a shorter one: if it cannot go on, its last line says so, and the connection breaks.
func exported(v *site.Visit) error {
	f := form.Sent(v.R)
	ask := wanted(f)
	if err := unreadable(f); err != nil {
		return err
	}
	format, known := export.Named(f.Value("format"))
	if !known {
		return refusal.Invalid("format", "R39", "must be one of %s", strings.Join(export.Names(), ", "))
	}
	ask.Limit = exportedAtOnce
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
		if v.R.Context().Err() == nil { // else whoever asked has gone away
			v.Log.Error("export of the activity log ended early", zap.String("tenant", v.Session.Tenant), zap.Error(err))
		}
		panic(http.ErrAbortHandler) // how net/http breaks a connection
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

// file is what the entries are written to. Nothing of it is kept once it was flushed.
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

// write sends a page, for which the browser has its time.
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

// supported forgives writers that have no deadlines: those of tests.
func supported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// unreadable refuses what a page would have asked to correct.
func unreadable(f *form.Form) error {
	for _, p := range f.Problems {
		return refusal.Invalid(p.Name, "R39", "is no date and time such as 2026-08-31 17:00")
	}
	return nil
}
