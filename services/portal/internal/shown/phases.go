package shown

import (
	"slices"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The picture's dimensions, in its own units.
const (
	PictureWidth = 960
	gap          = 8
)

// Phase is a part of a request's life in its picture. Phases stand side by side with equal widths; within each, time is
// linear.
type Phase struct {
	// ID identifies the message with its name.
	ID string
	// From and To are when it began and when it ended or is due to end.
	From, To *timestamppb.Timestamp
	// X and Width are its position, Filled is the width of the elapsed part.
	X, Width, Filled int
	// Running reports whether the phase is not over.
	Running bool
	Marks   []Mark
}

// Mark is an event within a phase.
type Mark struct {
	X     int
	Entry *lockboxv1.TimelineEntry
	// Tone is the CSS class of its colour.
	Tone string
}

// marked maps the events that the picture marks to their tones.
var marked = map[string]string{
	"InternalApprovalGiven": "good", "InternalApprovalRefused": "bad", "CustomerApproved": "good", "CustomerDenied": "bad",
	"QuestionAsked": "wait", "QuestionAnswered": "wait", "AccessRevoked": "bad", "AccessReleased": "",
}

// Phases returns the phases of the request's life so far.
func (r Request) Phases() []Phase {
	asked, granted := r.last("CustomerNotified").GetTime(), r.GetGrant().GetStartsAt()
	list := []Phase{{ID: "status.phase.evaluation", From: r.GetCreatedAt(), To: r.last("AccessEvaluated").GetTime()}}
	if len(r.Stages()) > 0 {
		list = append(list, Phase{ID: "status.phase.internal", From: list[0].To,
			To: first(asked, granted, r.GetInternalAnswerBy())})
	}
	if asked != nil {
		end := first(granted, r.GetEndedAt())
		if r.Pending() {
			end = r.GetLockbox().GetExpiresAt()
		}
		list = append(list, Phase{ID: "status.phase.decision", From: asked, To: end})
	}
	if granted != nil {
		list = append(list, Phase{ID: "status.phase.access", From: granted,
			To: first(r.GetEndedAt(), r.GetGrant().GetEndsAt())})
	}
	if last := &list[len(list)-1]; last.To == nil {
		last.To = r.GetEndedAt()
	}
	return r.draw(list)
}

// first returns the first of the times that is set.
func first(moments ...*timestamppb.Timestamp) *timestamppb.Timestamp {
	if i := slices.IndexFunc(moments, func(t *timestamppb.Timestamp) bool { return t != nil }); i >= 0 {
		return moments[i]
	}
	return nil
}

func (r Request) draw(list []Phase) []Phase {
	width := (PictureWidth - (len(list)-1)*gap) / len(list)
	for i := range list {
		p := &list[i]
		p.X, p.Width = i*(width+gap), width
		p.Running = !r.Over() && i == len(list)-1
		if p.Filled = width; p.Running {
			p.Filled = p.at(r.Now)
		}
	}
	for _, e := range r.GetTimeline() {
		tone, is := marked[e.GetType()]
		for i := range list {
			p := &list[i]
			inside := p.From != nil && !e.GetTime().AsTime().Before(p.From.AsTime()) &&
				(i == len(list)-1 || !e.GetTime().AsTime().After(p.To.AsTime()))
			if is && inside {
				p.Marks = append(p.Marks, Mark{X: p.X + p.at(e.GetTime().AsTime()), Entry: e, Tone: tone})
				break
			}
		}
	}
	return list
}

// at returns how far into the phase a time is.
func (p Phase) at(t time.Time) int {
	if p.From == nil || p.To == nil {
		return p.Width
	}
	whole := p.To.AsTime().Sub(p.From.AsTime())
	if whole <= 0 {
		return p.Width
	}
	part := t.Sub(p.From.AsTime())
	return int(min(1, max(0, part.Seconds()/whole.Seconds())) * float64(p.Width))
}
