package render

import (
	"strings"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// wideTimeline is the minimum width for an entry and its summary on one line.
const wideTimeline = 110

const actionWidth = 30

// mailSent is the type of entries that say no more than that somebody was mailed.
const mailSent = "NotificationSent"

// timeline adds past events, oldest first, and what is still to come. Without mails, one line tells how many were sent.
func (p *page) timeline(v *lockboxv1.RequestView, mails bool) {
	if len(v.GetTimeline()) == 0 {
		return
	}
	zone, _ := p.local(p.Now).Zone()
	p.heading("Timeline (" + zone + ")")
	date, sent := "", 0
	for _, e := range v.GetTimeline() {
		if e.GetType() == mailSent && !mails {
			sent++
			continue
		}
		date = p.date(date, e.GetTime())
		p.entry(e)
	}
	if sent > 0 {
		p.hang("  "+p.paint(dim, p.glyph("·", "."))+" ", dim,
			plural(sent, "mail was", "mails were")+" handed to the mail server; --mails shows each")
	}
	if at, coming, _ := moment(v); at != nil && at.AsTime().After(p.Now) {
		p.date(date, at)
		p.line("  " + p.paint(dim, p.glyph("○", "o")+" "+p.clock(at)+"  "+coming+" "+p.In(at.AsTime())))
	}
}

// date adds a heading when the day changes.
func (p *page) date(last string, t *timestamppb.Timestamp) string {
	today := p.local(t.AsTime()).Format("Mon 2 Jan 2006")
	if today != last {
		p.line("  " + p.paint(dim, today))
	}
	return today
}

func (p *page) clock(t *timestamppb.Timestamp) string {
	return p.local(t.AsTime()).Format(time.TimeOnly)
}

func (p *page) entry(e *lockboxv1.TimelineEntry) {
	if e.GetType() == mailSent {
		p.hang("  "+p.paint(dim, p.glyph("·", ".")+" "+p.clock(e.GetTime()))+"  ", dim, Clean(e.GetSummary()))
		return
	}
	lead := "  " + p.paint(entryPaint(e.GetType()), p.glyph("●", "*")) + " " + p.clock(e.GetTime()) + "  "
	action := Clean(e.GetAction())
	summary := Clean(e.GetSummary())
	if summary == "" {
		summary = ActorName(e.GetActor())
	}
	if p.Width == 0 || p.Width >= wideTimeline {
		p.hang(lead+p.paint(bold, action)+strings.Repeat(" ", max(2, actionWidth-width(action))), plain, summary)
		return
	}
	p.line(lead + p.paint(bold, action))
	bar := "  " + p.paint(dim, p.glyph("│", "|")) + strings.Repeat(" ", width(lead)-3)
	for _, line := range wrap(summary, max(20, p.Width-width(bar))) {
		p.line(bar + line)
	}
}

// entryPaint chooses an entry's style: good news, bad news, or a warning.
func entryPaint(typ string) paint {
	switch typ {
	case "InternalApprovalGiven", "CustomerApproved", "AccessGranted":
		return good
	case "InternalApprovalRefused", "InternalApprovalExpired", "CustomerDenied", "RequestExpired", "AccessLapsed",
		"AccessRevoked":
		return bad
	case "ApprovalReminderDue", "InternalReminderDue", "ApproversUnavailable", "QuestionAsked":
		return warn
	case "CustomerNotified":
		return accent
	}
	return plain
}

// News renders one timeline entry for a live view, under a heading if its day differs from the previous entry's.
func News(l Look, day string, e *lockboxv1.TimelineEntry) (text, today string) {
	p := &page{Look: l}
	today = p.date(day, e.GetTime())
	p.entry(e)
	return p.String(), today
}
