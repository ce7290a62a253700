package shown

import (
	"slices"
	"strings"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The drawings of the line of time, in their own units: a wide one, and a narrow one whose texts can be read on phones.
// All else about them is the same.
const (
	wideLine   = 960
	narrowLine = 320
	// lineEdge keeps marks at both ends inside the drawing.
	lineEdge = 10
	// labelEdge is how near to an end a label of the scale would be cut off.
	labelEdge = 26
	// laneHeight is that of a lane with its name, laneTop where the first begins: above it stands “now”.
	laneHeight, laneTop, barHeight, barBelow = 46, 20, 14, 24
)

// Line is a request's life as a line of time, drawn to scale: a lane for each part, in which everything that happened,
// and that will, stands where it belongs.
type Line struct {
	Width, Height int
	Lanes         []Lane
	Scale         []Tick
	// ScaleY is where the scale is. Now is where the present is; nil for what is over.
	ScaleY int
	Now    *int
	// NowAnchor says on which side of the present its name stands.
	NowAnchor string
}

// Lane is a part of a request's life.
type Lane struct {
	// ID identifies the message with its name, Class its colours.
	ID, Class string
	// X, Y and Width are where its bar is, Filled how much of it has passed. LabelX and Anchor are where its name stands.
	X, Y, Width, Filled, LabelX int
	Anchor                      string
	// Planned: nobody has allowed this; it is what would be, if.
	Planned bool
	Marks   []Mark

	from, to time.Time
	is       func(typ string) bool
}

// LabelY is where the lane's name stands.
func (l Lane) LabelY() int { return l.Y - 8 }

// Middle is the height of the lane's marks.
func (l Lane) Middle() int { return l.Y + barHeight/2 }

// BarHeight is the height of a bar.
func (Line) BarHeight() int { return barHeight }

// Mark is a moment in a lane.
type Mark struct {
	X int
	// Tone is the CSS class of its colour; a reminder has a shape of its own.
	Tone     string
	Reminder bool
	Title    string
	Time     *timestamppb.Timestamp
}

// Tick is a mark of the scale.
type Tick struct {
	X     int
	Label string
}

// marked maps the events that the line marks to their tones.
var marked = map[string]string{
	"InternalApprovalGiven": "good", "InternalApprovalRefused": "bad", "CustomerApproved": "good", "CustomerDenied": "bad",
	"QuestionAsked": "wait", "QuestionAnswered": "wait", "AccessRevoked": "bad", "AccessReleased": "good",
	"ApprovalReminderDue": "", "InternalReminderDue": "",
}

// Lines returns the line of time, wide and narrow; none if nothing has come of the request at once.
func (r Request) Lines() []Line {
	lanes := r.lanes()
	if len(lanes) == 0 {
		return nil
	}
	from, to := lanes[0].from, lanes[0].to
	for _, l := range lanes {
		to = later(to, l.to)
	}
	if created := r.GetCreatedAt(); created != nil && created.AsTime().Before(from) {
		from = created.AsTime()
	}
	if !r.Over() {
		to = later(to, r.Now)
	}
	if to.Sub(from) < time.Minute {
		return nil
	}
	return []Line{r.line(wideLine, from, to, lanes), r.line(narrowLine, from, to, lanes)}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// lanes returns the parts of the request's life, without their places.
func (r Request) lanes() (list []Lane) {
	asked, granted := r.last("CustomerNotified").GetTime(), r.GetGrant().GetStartsAt()
	add := func(id, class string, from, to *timestamppb.Timestamp, types ...string) {
		if from != nil && to != nil && !to.AsTime().Before(from.AsTime()) {
			list = append(list, Lane{ID: id, Class: class, from: from.AsTime(), to: to.AsTime(),
				is: func(typ string) bool {
					return slices.ContainsFunc(types, func(begins string) bool { return strings.HasPrefix(typ, begins) })
				}})
		}
	}
	if len(r.Stages()) > 0 {
		add("status.phase.internal", "inside", r.last("AccessEvaluated").GetTime(),
			first(asked, granted, r.GetEndedAt(), r.GetInternalAnswerBy()), "Internal")
	}
	if asked != nil {
		end := first(granted, r.GetEndedAt())
		if r.Pending() {
			end = r.GetLockbox().GetExpiresAt()
		}
		add("status.phase.decision", "decide", asked, first(end, timestamppb.New(r.Now)), "Customer", "Question",
			"ApprovalReminder")
	}
	switch {
	case granted != nil:
		add("status.phase.access", "access", granted, r.AccessEnds(), "AccessRevoked", "AccessReleased")
	case r.Pending() && r.Asked() > 0:
		add("status.line.if-approved", "access", timestamppb.New(r.Now), timestamppb.New(r.Now.Add(r.Asked())))
		list[len(list)-1].Planned = true
	}
	return list
}

// first returns the first of the times that is set.
func first(moments ...*timestamppb.Timestamp) *timestamppb.Timestamp {
	if i := slices.IndexFunc(moments, func(t *timestamppb.Timestamp) bool { return t != nil }); i >= 0 {
		return moments[i]
	}
	return nil
}

func (r Request) line(width int, from, to time.Time, lanes []Lane) Line {
	at := func(t time.Time) int {
		part := t.Sub(from).Seconds() / to.Sub(from).Seconds()
		return lineEdge + int(min(1, max(0, part))*float64(width-2*lineEdge)+0.5)
	}
	l := Line{Width: width, ScaleY: laneTop + len(lanes)*laneHeight}
	l.Height = l.ScaleY + 24
	for i, lane := range lanes {
		lane.X, lane.Y = at(lane.from), laneTop+i*laneHeight+barBelow
		lane.Width = max(3, at(lane.to)-lane.X)
		if !lane.Planned {
			lane.Filled = max(0, min(at(r.Now)-lane.X, lane.Width))
		}
		if lane.LabelX, lane.Anchor = lane.X, "start"; lane.X > width/2 {
			lane.LabelX, lane.Anchor = lane.X+lane.Width, "end"
		}
		for _, m := range r.marks(lane) {
			m.X = at(m.Time.AsTime())
			lane.Marks = append(lane.Marks, m)
		}
		l.Lanes = append(l.Lanes, lane)
	}
	if !r.Over() {
		x := at(r.Now)
		if l.Now, l.NowAnchor = &x, "middle"; x < labelEdge {
			l.NowAnchor = "start"
		} else if x > width-labelEdge {
			l.NowAnchor = "end"
		}
	}
	l.Scale = r.scale(width, from, to, at)
	return l
}

// marks returns what happened in a lane, and the reminders that are still to come.
func (r Request) marks(l Lane) (list []Mark) {
	for _, e := range r.GetTimeline() {
		if tone, is := marked[e.GetType()]; is && l.is(e.GetType()) {
			list = append(list, Mark{Tone: tone, Reminder: strings.HasSuffix(e.GetType(), "ReminderDue"),
				Title: e.GetTitle(), Time: e.GetTime()})
		}
	}
	if l.is("ApprovalReminder") {
		for _, t := range r.remindersLeft() {
			list = append(list, Mark{Tone: "later", Reminder: true, Time: t})
		}
	}
	return list
}

// remindersLeft returns when the approvers will be reminded.
func (r Request) remindersLeft() []*timestamppb.Timestamp {
	if !r.Pending() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.GetLockbox().GetRemindAt()),
		func(t *timestamppb.Timestamp) bool { return !t.AsTime().After(r.Now) })
}

const day = 24 * time.Hour

// steps are what the scale can count in.
var steps = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day}

// scale returns the marks of the scale at full hours or days of the reader's zone.
func (r Request) scale(width int, from, to time.Time, at func(time.Time) int) (list []Tick) {
	apart := time.Duration(float64(to.Sub(from)) * 72 / float64(width))
	i := slices.IndexFunc(steps, func(s time.Duration) bool { return s >= apart })
	if i < 0 {
		i = len(steps) - 1
	}
	step, zone := steps[i], r.Say.Zone()
	local := from.In(zone)
	midnight := func(days int) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+days, 0, 0, 0, 0, zone)
	}
	add := func(t time.Time, label string) {
		if t.Before(from) || t.After(to) {
			return
		}
		tick := Tick{X: at(t)}
		if tick.X >= labelEdge && tick.X <= width-labelEdge {
			tick.Label = label
		}
		list = append(list, tick)
	}
	for n := 0; !midnight(n).After(to); n += max(1, int(step/day)) {
		add(midnight(n), r.Say.Day(midnight(n)))
		for t := midnight(n).Add(step); step < day && t.Before(midnight(n+1)); t = t.Add(step) {
			add(t, r.Say.Clock(t))
		}
	}
	return list
}

// Moment is an entry of the list that tells the line of time in words.
type Moment struct {
	// Symbol is the CSS class of what stands for it in the drawing.
	Symbol, Label, Text string
}

// Moments tells what the line shows: how long there is to decide, when reminders go out, who decided, and access.
func (r Request) Moments() (list []Moment, err error) {
	add := func(symbol, id, text string) {
		if err == nil && text != "" {
			var label string
			label, err = r.Say.Say(id)
			list = append(list, Moment{symbol, label, text})
		}
	}
	if r.Pending() || r.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL {
		add("due", "status.line.decide-by", r.instant(r.Deadline()))
	}
	var reminders []string
	for _, t := range r.remindersLeft() {
		reminders = append(reminders, r.instant(t))
	}
	add("later", "status.line.reminders", strings.Join(reminders, " · "))
	for _, d := range slices.Concat(r.GetInternalDecisions(), r.GetCustomerDecisions()) {
		who, id, tone := Name(d.GetActor().GetPerson()), "requests.approved", "good"
		if !d.GetApproved() {
			id, tone = "requests.denied", "bad"
		}
		add(tone, id, who+" · "+r.instant(d.GetTime()))
	}
	switch {
	case r.GetGrant() != nil:
		add("access", "status.phase.access", r.instant(r.GetGrant().GetStartsAt())+" – "+r.instant(r.AccessEnds()))
	case r.Pending() && r.Asked() > 0:
		add("planned", "status.line.would-end", r.instant(timestamppb.New(r.Now.Add(r.Asked()))))
	}
	return list, err
}
