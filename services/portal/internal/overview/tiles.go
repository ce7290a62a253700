package overview

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// tiles collects the numbers at the top of a page. After an error it collects nothing more.
type tiles struct {
	*site.Visit
	now  time.Time
	list []tile
	err  error
}

func (t *tiles) say(id string, pairs ...any) string {
	text, err := t.Say.Say(id, pairs...)
	if t.err == nil {
		t.err = err
	}
	return text
}

func (t *tiles) number(n uint64) string {
	return t.Say.Number(words.Counted{N: int(n)}) // #nosec G115 -- a count of requests
}

// running is how much access exists.
func (t *tiles) running(open *lockboxv1.OpenFigures, href string) {
	next := tile{Label: "overview.running", Value: t.number(open.GetRunning()), Href: href}
	if open.GetRunning() > 0 {
		next.Tone = "live"
	}
	if at := open.GetNextEnd(); at != nil {
		next.Note, next.Time = t.say("overview.first-ends", "Duration", t.left(at)), at
	}
	t.list = append(t.list, next)
}

// mine is how many await the visitor, and others.
func (t *tiles) mine(mine words.Counted, open *lockboxv1.OpenFigures) {
	next := tile{Label: "overview.mine", Value: t.Say.Number(mine), Href: t.Path()}
	if mine.N > 0 {
		next.Tone = "wait"
	}
	others := int(open.GetWaiting()) - mine.N // #nosec G115 -- a count of requests
	if !mine.OrMore && others >= 0 {
		next.Note = t.say("overview.others", "Count", words.Counted{N: others})
	}
	t.list = append(t.list, next)
}

// sides are how many await customers, and the provider's own people.
func (t *tiles) sides(open *lockboxv1.OpenFigures, href string) {
	t.list = append(t.list, tile{Label: "overview.waiting", Value: t.number(open.GetWaiting()), Href: href},
		tile{Label: "overview.internal", Value: t.number(open.GetInternal()), Href: href})
}

// waiting is which has waited longest, and which ends first.
func (t *tiles) waiting(open *lockboxv1.OpenFigures, href string) {
	oldest, next := tile{Label: "overview.oldest", Value: "–", Href: href}, tile{Label: "overview.deadline", Value: "–"}
	if at := open.GetOldestWaiting(); at != nil {
		oldest.Value, oldest.Time = rounded(t.Say, t.now.Sub(at.AsTime())), at
	}
	if at := open.GetNextDeadline(); at != nil {
		next.Value, next.Time = t.left(at), at
		if at.AsTime().Sub(t.now) < hurry {
			next.Tone = "bad"
		}
	}
	t.list = append(t.list, oldest, next)
}

// emergencies is how many there were in the weeks.
func (t *tiles) emergencies(n uint64, href string) {
	next := tile{Label: "overview.emergencies", Value: t.number(n), Note: t.say("overview.in-weeks"), Href: href}
	if n > 0 {
		next.Tone = "bad"
	}
	t.list = append(t.list, next)
}

// failedMails is how many could not be delivered.
func (t *tiles) failedMails(n uint64, since *timestamppb.Timestamp) {
	next := tile{Label: "overview.failed-mails", Value: t.number(n), Note: t.say("overview.since"), Time: since}
	if n > 0 {
		next.Tone = "bad"
	}
	t.list = append(t.list, next)
}

// signed is how long ago the log was signed.
func (t *tiles) signed(h *lockboxv1.LogHealth) {
	next := tile{Label: "overview.signed", Value: "–", Note: t.say("overview.signed-well"), Tone: "good"}
	if at := h.GetSignedAt(); at != nil {
		next.Value, next.Time = t.say("overview.ago", "Duration", rounded(t.Say, max(time.Second,
			t.now.Sub(at.AsTime())))), at
	}
	if h.GetOverdue() {
		next.Note, next.Tone = t.say("overview.signed-overdue"), "bad"
	}
	t.list = append(t.list, next)
}

func (t *tiles) left(at *timestamppb.Timestamp) string {
	return rounded(t.Say, max(time.Second, at.AsTime().Sub(t.now)))
}

// rounded returns a duration in at most two units, rounded down.
func rounded(say *words.Speaker, d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		d = d.Truncate(time.Hour)
	case d >= time.Minute:
		d = d.Truncate(time.Minute)
	default:
		d = max(time.Second, d.Truncate(time.Second))
	}
	return say.Duration(d)
}
