package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Activities renders the activity log (R39), newest first.
func Activities(l Look, list []*lockboxv1.Activity) string {
	columns := []column{
		{title: "TIME"}, {title: "ACTION", min: 20}, {title: "WHO", min: 14, drop: 3}, {title: "TENANT", drop: 1},
		{title: "ABOUT", drop: 2}, {title: "SUMMARY", min: 30, lines: 2},
	}
	var rows [][]cell
	for _, a := range list {
		e := a.GetEntry()
		action := cell{Clean(e.GetAction()), entryPaint(e.GetType())}
		if a.GetEmergency() {
			action = urgent(action)
		}
		rows = append(rows, []cell{
			{l.minute(e.GetTime()), dim}, action, {ActorName(e.GetActor()), plain},
			text(a.GetTenant()),
			{l.aggregate(a.GetKind(), a.GetAggregateId()), plain}, text(e.GetSummary()),
		})
	}
	return l.table(columns, rows)
}

// urgent marks what is about an emergency, in every list alike.
func urgent(c cell) cell { return cell{"EMERGENCY: " + c.text, bad} }

func (l Look) aggregate(kind, id string) string {
	if l.Width > 0 {
		return Clean(kind) + " " + ShortID(id)
	}
	return Clean(kind) + " " + Clean(id)
}

// Event renders a stored event of a replay: sequence, time, tenant, aggregate and version, action, summary; on one
// line, or on a terminal with the summary below. The columns have fixed widths, because events are written as they
// arrive.
func Event(l Look, sequence uint64, e *lockboxv1.Event) string {
	entry := activity.Entry(sequence, e)
	about := l.aggregate(e.GetKind(), e.GetAggregateId())
	if e.GetVersion() > 0 {
		about += " #" + uintText(e.GetVersion())
	}
	p := &page{Look: l}
	where := strings.Join([]string{
		l.paint(dim, position(sequence)), l.local(e.GetTime().AsTime()).Format(time.DateTime),
		pad(Clean(e.GetTenant()), 12), l.paint(accent, about) + strings.Repeat(" ", max(0, 24-width(about))),
	}, gap)
	action := l.paint(entryPaint(entry.GetType()), Clean(entry.GetAction()))
	if l.Width == 0 {
		p.line(where + gap + pad(action, 28) + gap + Clean(entry.GetSummary()))
		return p.String()
	}
	p.hang("", plain, where)
	p.hang(strings.Repeat(" ", sequenceWidth)+gap, plain, action+gap+Clean(entry.GetSummary()))
	return p.String()
}

const sequenceWidth = 8

// DeadLetter renders a dead-lettered message: where it was found, and why it was rejected.
func DeadLetter(l Look, sequence uint64, stored time.Time, d *lockboxv1.DeadLetter) string {
	p := &page{Look: l}
	p.line(strings.Join([]string{
		l.paint(dim, position(sequence)), l.local(stored).Format(time.DateTime),
		Clean(d.GetService()),
		l.paint(accent, Clean(d.GetSubject())), fmt.Sprintf("%d bytes", len(d.GetData())),
	}, gap))
	why := d.GetRefusal()
	p.hang(strings.Repeat(" ", sequenceWidth)+gap, plain,
		fmt.Sprintf("%s (%s): %s", Clean(why.GetField()), Clean(why.GetRule()), Clean(why.GetMessage())))
	return p.String()
}

// UnreadableLetter renders a message among the dead letters that is none.
func UnreadableLetter(l Look, sequence uint64, stored time.Time, subject string, size int) string {
	p := &page{Look: l}
	p.line(strings.Join([]string{
		l.paint(dim, position(sequence)), l.local(stored).Format(time.DateTime),
		l.paint(accent, Clean(subject)), fmt.Sprintf("%d bytes that are not a dead letter", size),
	}, gap))
	return p.String()
}

// Stray renders a message of the stream that is not an event.
func Stray(l Look, sequence uint64, stored time.Time, subject string, size int, hash string, aside string) string {
	p := &page{Look: l}
	p.line(strings.Join([]string{
		l.paint(dim, position(sequence)), l.local(stored).Format(time.DateTime),
		l.paint(accent, Clean(subject)), fmt.Sprintf("%d bytes that are not an event", size),
	}, gap))
	p.hang(strings.Repeat(" ", sequenceWidth)+gap, plain, "SHA-256 "+hash+", "+Clean(aside))
	return p.String()
}
