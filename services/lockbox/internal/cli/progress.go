package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

func newBuffered(w io.Writer) *bufio.Writer { return bufio.NewWriterSize(w, 64<<10) }

const (
	// patience is how long work may take before progress is shown; redrawPause is the minimum time between two
	// updates.
	patience    = time.Second
	redrawPause = 200 * time.Millisecond
	barWidth    = 30
)

// progress shows the progress of a replay on stderr, if that is a terminal and the events go elsewhere.
type progress struct {
	app            *app
	wanted         bool
	shown          bool
	begun, redrawn time.Time
	count          uint64
	// bounded is set if all pending events will be read, so that a percentage can be shown.
	bounded bool
}

func (a *app) progress(endless bool) *progress {
	return &progress{app: a, wanted: a.ErrTerminal && !a.OutTerminal && !endless, begun: a.Now(), bounded: true}
}

// Progress returns a callback that shows progress on a terminal. The work is finished when done equals of.
func Progress(env Environment) func(done, of uint64) {
	var p *progress
	return func(done, of uint64) {
		if p == nil {
			p = &progress{app: &app{Environment: env}, wanted: env.ErrTerminal, begun: env.Now()}
		}
		if done < of && p.wanted {
			p.draw(func(took time.Duration) string { return p.line(done, of-done, took) })
			return
		}
		p.end()
		if p.shown {
			_, _ = fmt.Fprintf(env.Err, "%d events in %s.\n", of, render.Countdown(env.Now().Sub(p.begun)))
		}
		p = nil
	}
}

func (p *progress) step(e journal.Entry) {
	p.count++
	if !p.wanted {
		return
	}
	p.draw(func(took time.Duration) string {
		if !p.bounded {
			return fmt.Sprintf("%d events, %.0f/s", p.count, float64(p.count)/took.Seconds())
		}
		return p.line(p.count, e.Pending, took)
	})
}

// counted adds n to a count whose total is unknown.
func (p *progress) counted(n int) {
	p.count += uint64(max(0, n)) // #nosec G115 -- not negative
	if p.wanted {
		p.draw(func(took time.Duration) string {
			return fmt.Sprintf("%d entries, %.0f/s", p.count, float64(p.count)/took.Seconds())
		})
	}
}

func (p *progress) draw(line func(took time.Duration) string) {
	now := p.app.Now()
	if now.Sub(p.begun) < patience || now.Sub(p.redrawn) < redrawPause {
		return
	}
	p.redrawn, p.shown = now, true
	_, _ = fmt.Fprint(p.app.Err, "\r\x1b[K"+line(now.Sub(p.begun)))
}

// line formats a progress bar with percentage, speed and remaining time.
func (p *progress) line(done, left uint64, took time.Duration) string {
	total := done + left
	filled := int(barWidth * done / total) // #nosec G115 -- at most barWidth
	full, empty := "#", "."
	if l := p.app.lookAt(p.app.ErrTerminal); l.Unicode {
		full, empty = "━", "─"
	}
	rate := float64(done) / took.Seconds()
	return fmt.Sprintf("%s%s %3d%%  %d of %d events, %.0f/s, %s left", strings.Repeat(full, filled),
		strings.Repeat(empty, barWidth-filled),
		100*done/total, done, total, rate, render.Countdown(time.Duration(float64(left)/rate*float64(time.Second))))
}

// end clears the line.
func (p *progress) end() {
	if p.shown {
		_, _ = fmt.Fprint(p.app.Err, "\r\x1b[K")
	}
}
