package overview

import (
	"cmp"
	"strconv"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

// The pictures' dimensions, in their own units.
const (
	pictureWidth = 480
	plotLeft     = 38
	plotRight    = 10
	plotTop      = 22
	plotHeight   = 150
	columnsHigh  = plotTop + plotHeight + 28
	barPitch     = 40
	barTop       = 12
)

// chart is a picture of numbers, which are also in a table.
type chart struct {
	// ID is the part of the messages, and of the element IDs, that is its own.
	ID string
	// Headline is what the numbers come to.
	Headline string
	// Note explains the headline; it may be empty.
	Note          string
	Width, Height int
	Columns       []column
	Ticks         []tick
	Bars          []bar
	// Stacked reports that a part of each column is for emergencies.
	Stacked bool
	// Empty reports that there is nothing to draw.
	Empty bool
	// Rows are the numbers.
	Rows []numbers
}

// column is one upright bar; Urgent is the height of its lower part that is for emergencies.
type column struct {
	X, Y, Width, Height, Middle int
	UrgentY, Urgent             int
	ValueY                      int
	// Label stands below it, Value above; either may be empty.
	Label, Value string
}

type tick struct {
	Y     int
	Label string
}

// bar is one lying bar with its label above it.
type bar struct {
	TextY, Y, Width int
	Label, Value    string
	// Tone is the CSS class of its colour.
	Tone string
}

// numbers is a row of the table: what they are of, and one or two numbers.
type numbers struct{ Of, Number, Urgent string }

// Right is where lines end; Base is where columns stand.
func (chart) Right() int { return pictureWidth }

// Base is where columns stand.
func (chart) Base() int { return plotTop + plotHeight }

// Left is where columns begin.
func (chart) Left() int { return plotLeft }

// LabelY is where the labels of columns stand.
func (chart) LabelY() int { return plotTop + plotHeight + 19 }

// charts draws the figures of the weeks.
func charts(v *site.Visit, o *lockboxv1.Overview) ([]chart, error) {
	d := drawing{Visit: v}
	list := []chart{d.decisions(o.GetDecisions()), d.access(o.GetWeeks()), d.requests(o.GetWeeks()),
		d.outcomes(o.GetOutcomes())}
	return list, d.err
}

// drawing draws pictures in the visitor's language, until something cannot be said.
type drawing struct {
	*site.Visit
	err error
}

func (d *drawing) say(id string, pairs ...any) string {
	text, err := d.Say.Say(id, pairs...)
	if d.err == nil {
		d.err = err
	}
	return text
}

func (d *drawing) number(n uint64) string {
	return d.Say.Number(words.Counted{N: int(n)}) // #nosec G115 -- a count of requests
}

// value is what a column stands for.
type value struct {
	n, urgent   float64
	label, text string
}

// columns draws values side by side.
func columns(id string, values []value) chart {
	c, most := chart{ID: id, Width: pictureWidth, Height: columnsHigh}, 0.0
	for _, v := range values {
		most = max(most, v.n)
	}
	c.Empty = most == 0
	step, top := scale(most)
	for at := 0.0; at <= top; at += step {
		c.Ticks = append(c.Ticks, tick{c.Base() - int(at/top*plotHeight), trimmed(at)})
	}
	pitch := (pictureWidth - plotLeft - plotRight) / len(values)
	for i, v := range values {
		high, urgent := int(v.n/top*plotHeight), int(v.urgent/top*plotHeight)
		if v.n > 0 {
			high = max(2, high)
		}
		if v.urgent > 0 {
			urgent = max(2, urgent)
		}
		col := column{X: plotLeft + i*pitch + pitch/8, Y: c.Base() - high, Width: pitch - pitch/4, Height: high,
			Middle: plotLeft + i*pitch + pitch/2, UrgentY: c.Base() - urgent, Urgent: urgent, ValueY: c.Base() - high - 5,
			Label: v.label}
		if v.n > 0 && v.text != "0" {
			col.Value = v.text
		}
		c.Columns = append(c.Columns, col)
	}
	return c
}

// scale returns the distance of lines and the height of the highest, which is not below most: at most five lines.
func scale(most float64) (step, top float64) {
	step = 1
	for i := 0; most > step*4; i++ {
		step *= []float64{2, 2.5, 2}[i%3]
	}
	for top = step; top < most; {
		top += step
	}
	return step, top
}

// trimmed formats a line's number, which is whole.
func trimmed(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// decisions draws how long decisions took.
func (d *drawing) decisions(f *lockboxv1.DecisionFigures) chart {
	var values []value
	var rows []numbers
	from := time.Duration(0)
	for _, b := range f.GetBuckets() {
		below := b.GetBelow().AsDuration()
		var label, of string
		if label = d.short("overview.below", below); b.GetBelow() == nil {
			label = d.short("overview.from", from)
		}
		switch {
		case b.GetBelow() == nil:
			of = d.say("overview.or-more", "Duration", d.Say.Duration(from))
		case from == 0:
			of = d.say("overview.less-than", "Duration", d.Say.Duration(below))
		default:
			of = d.say("overview.between", "From", d.Say.Duration(from), "To", d.Say.Duration(below))
		}
		values = append(values, value{n: float64(b.GetCount()), label: label, text: d.number(b.GetCount())})
		rows = append(rows, numbers{Of: of, Number: d.number(b.GetCount())})
		from = below
	}
	c := columns("decisions", values)
	c.Rows, c.Headline = rows, d.say("overview.decisions.none")
	if f.GetCount() > 0 {
		c.Headline = d.say("overview.decisions.median", "Duration", rounded(d.Say, f.GetMedian().AsDuration()))
		c.Note = d.say("overview.decisions.note", "Count", words.Counted{N: int(f.GetCount())}, // #nosec G115 -- a count
			"Duration", rounded(d.Say, f.GetNinetieth().AsDuration()))
	}
	return c
}

// short says a duration of one unit as short as can be.
func (d *drawing) short(id string, t time.Duration) string {
	switch {
	case t >= 24*time.Hour:
		return d.say(id+".days", "N", int(t/(24*time.Hour)))
	case t >= time.Hour:
		return d.say(id+".hours", "N", int(t/time.Hour))
	}
	return d.say(id+".minutes", "N", int(t/time.Minute))
}

// access draws how long access existed in each week.
func (d *drawing) access(weeks []*lockboxv1.WeekFigures) chart {
	var values []value
	var rows []numbers
	var all time.Duration
	for i, w := range weeks {
		t := w.GetAccess().AsDuration()
		all += t
		values = append(values, value{n: t.Hours(), label: d.week(i, w), text: d.Say.Plain(t.Hours(), digits(t))})
		rows = append(rows, numbers{Of: d.weekOf(w), Number: d.say("overview.hours", "N", d.Say.Plain(t.Hours(), 1))})
	}
	c := columns("access", values)
	c.Rows, c.Headline = rows, d.say("overview.access.hours", "N", d.Say.Plain(all.Hours(), 1))
	c.Note = d.say("overview.access.note")
	return c
}

// digits is how many digits of hours there is room for.
func digits(t time.Duration) int {
	if t < 10*time.Hour && t%time.Hour != 0 {
		return 1
	}
	return 0
}

// requests draws how many requests were made in each week, and emergencies of these.
func (d *drawing) requests(weeks []*lockboxv1.WeekFigures) chart {
	var values []value
	var rows []numbers
	all, urgent := 0, 0
	for i, w := range weeks {
		all, urgent = all+int(w.GetRequests()), urgent+int(w.GetEmergencies()) // #nosec G115 -- counts of requests
		values = append(values, value{n: float64(w.GetRequests()), urgent: float64(w.GetEmergencies()),
			label: d.week(i, w), text: d.number(w.GetRequests())})
		rows = append(rows, numbers{d.weekOf(w), d.number(w.GetRequests()), d.number(w.GetEmergencies())})
	}
	c := columns("requests", values)
	c.Rows, c.Stacked = rows, true
	c.Headline = d.say("overview.requests.count", "Count", words.Counted{N: all})
	c.Note = d.say("overview.requests.urgent", "Count", words.Counted{N: urgent})
	return c
}

// week labels every third week, the present one included.
func (d *drawing) week(i int, w *lockboxv1.WeekFigures) string {
	if i%3 != 0 {
		return ""
	}
	return d.Say.MonthDay(w.GetBeginsAt().AsTime())
}

func (d *drawing) weekOf(w *lockboxv1.WeekFigures) string {
	return d.say("overview.week", "Day", d.Say.MonthDay(w.GetBeginsAt().AsTime()))
}

// tones are the colours of outcomes that mean something to the reader.
var tones = map[lockboxv1.RequestOutcome]string{
	lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED:  "good",
	lockboxv1.RequestOutcome_REQUEST_OUTCOME_EMERGENCY: "bad",
	lockboxv1.RequestOutcome_REQUEST_OUTCOME_OPEN:      "wait",
}

// always are the outcomes that are drawn even if there are none.
var always = map[lockboxv1.RequestOutcome]bool{lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED: true,
	lockboxv1.RequestOutcome_REQUEST_OUTCOME_DENIED: true, lockboxv1.RequestOutcome_REQUEST_OUTCOME_EXPIRED: true}

// outcomes draws what became of the requests.
func (d *drawing) outcomes(list []*lockboxv1.OutcomeFigures) chart {
	c, all, approved := chart{ID: "outcomes", Width: pictureWidth}, 0, 0
	for _, o := range list {
		all += int(o.GetCount()) // #nosec G115 -- a count of requests
		if o.GetOutcome() == lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED {
			approved = int(o.GetCount()) // #nosec G115 -- a count of requests
		}
	}
	for _, o := range list {
		id := shown.ID("overview.outcome", o.GetOutcome().String(), "REQUEST_OUTCOME_")
		if d.Session.Tenant != "" && o.GetOutcome() == lockboxv1.RequestOutcome_REQUEST_OUTCOME_NOT_ASKED {
			id = "overview.outcome-yours.not-asked"
		}
		label := d.say(id, "Provider", d.Provider)
		c.Rows = append(c.Rows, numbers{Of: label, Number: d.number(o.GetCount())})
		if o.GetCount() == 0 && !always[o.GetOutcome()] {
			continue
		}
		top := barTop + len(c.Bars)*barPitch
		width := int(o.GetCount()) * pictureWidth / max(1, all) // #nosec G115 -- at most the width
		if o.GetCount() > 0 {
			width = max(3, width)
		}
		c.Bars = append(c.Bars, bar{TextY: top + 14, Y: top + 20, Width: width, Label: label, Value: d.number(o.GetCount()),
			Tone: cmp.Or(tones[o.GetOutcome()], "calm")})
	}
	c.Height, c.Empty = barTop+len(c.Bars)*barPitch, all == 0
	c.Headline = d.say("overview.outcomes.count", "Count", words.Counted{N: approved}, "All",
		d.Say.Number(words.Counted{N: all}))
	return c
}
