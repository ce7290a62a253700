package render

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Overview renders the figures of a customer's requests, or of all customers' (R59). of is the customer; empty: all.
func Overview(l Look, of string, o *lockboxv1.Overview) string {
	p, now := &page{Look: l}, o.GetAsOf().AsTime()
	p.title("Overview of " + orAll(of))
	p.field("As of", l.Stamp(o.GetAsOf()))
	open := o.GetOpen()
	running := number(open.GetRunning())
	if at := open.GetNextEnd(); at != nil {
		running += ", the first ends in " + Countdown(at.AsTime().Sub(now))
	}
	p.painted("Access now", attention(open.GetRunning(), warn), running)
	waiting := number(open.GetWaiting())
	if at := open.GetOldestWaiting(); at != nil {
		waiting += ", the oldest for " + Countdown(now.Sub(at.AsTime()))
	}
	if at := open.GetNextDeadline(); at != nil {
		waiting += ", the first expires in " + Countdown(at.AsTime().Sub(now))
	}
	p.painted("Waiting", attention(open.GetWaiting(), warn), waiting)
	p.field("Internal", number(open.GetInternal())+" not yet put to the customer")
	p.painted("Emergencies", attention(open.GetEmergencies(), bad), number(open.GetEmergencies())+" of these")
	p.heading("The last 13 weeks, since " + l.date(o.GetSince()))
	var weeks [][]cell
	for _, w := range o.GetWeeks() {
		weeks = append(weeks, []cell{{l.date(w.GetBeginsAt()), plain}, {number(w.GetRequests()), plain},
			{number(w.GetEmergencies()), attention(w.GetEmergencies(), bad)},
			{Countdown(w.GetAccess().AsDuration()), plain}})
	}
	p.indented([]column{{title: "WEEK OF"}, {title: "REQUESTS"}, {title: "EMERGENCIES"}, {title: "ACCESS"}}, weeks)
	p.heading("Outcomes")
	var outcomes [][]cell
	for _, f := range o.GetOutcomes() {
		outcomes = append(outcomes, []cell{{outcomeName(f.GetOutcome()), plain}, {number(f.GetCount()), plain}})
	}
	p.indented([]column{{title: "OUTCOME", min: 20}, {title: "REQUESTS"}}, outcomes)
	p.decisions(o.GetDecisions())
	p.logHealth(o.GetLog(), now)
	return p.String()
}

// decisions adds how long customers took to decide.
func (p *page) decisions(d *lockboxv1.DecisionFigures) {
	p.heading("Time to decide")
	if d.GetCount() == 0 {
		p.hang("  ", plain, "No decisions.")
		return
	}
	p.hang("  ", plain, fmt.Sprintf("%s: half took no longer than %s, 90 %% no longer than %s.",
		plural(int(d.GetCount()), "decision", "decisions"), // #nosec G115 -- a count of requests
		Countdown(d.GetMedian().AsDuration()), Countdown(d.GetNinetieth().AsDuration())))
	var rows [][]cell
	from := time.Duration(0)
	for _, b := range d.GetBuckets() {
		within := Countdown(from) + " or more"
		if below := b.GetBelow(); below != nil {
			within = "less than " + Countdown(below.AsDuration())
			from = below.AsDuration()
		}
		rows = append(rows, []cell{{within, plain}, {number(b.GetCount()), plain}})
	}
	p.indented([]column{{title: "DECIDED IN"}, {title: "REQUESTS"}}, rows)
}

// Dashboard renders how things stand at each customer.
func Dashboard(l Look, d *lockboxv1.Dashboard) string {
	p, now := &page{Look: l}, d.GetAsOf().AsTime()
	p.title("How things stand at each customer")
	p.field("As of", l.Stamp(d.GetAsOf()))
	p.field("Urgent", "emergencies since "+l.date(d.GetSince()))
	p.field("Failed", "e-mails not delivered since "+l.Stamp(d.GetMailsSince()))
	p.line("")
	var rows [][]cell
	for _, f := range d.GetCustomers() {
		name := text(cmp.Or(f.GetTenantName(), f.GetTenant()))
		if f.GetFault() {
			name = cell{name.text + " (contradictory history)", bad}
		}
		rows = append(rows, customerFigures(name, f, now))
	}
	rows = append(rows, customerFigures(cell{"All customers", bold}, d.GetTotal(), now))
	p.indented([]column{{title: "CUSTOMER", min: 14}, {title: "WAITING"}, {title: "INTERNAL"}, {title: "OLDEST"},
		{title: "DEADLINE"}, {title: "ACCESS"}, {title: "URGENT"}, {title: "FAILED"}}, rows)
	if more := int(d.GetCount()) - len(d.GetCustomers()); more > 0 { // #nosec G115 -- a count of customers
		p.hang("  ", dim, plural(more, "more customer is", "more customers are")+" not listed. The last line includes all.")
	}
	p.logHealth(d.GetLog(), now)
	return p.String()
}

func customerFigures(name cell, f *lockboxv1.CustomerFigures, now time.Time) []cell {
	open, waited, left := f.GetOpen(), cell{"-", dim}, cell{"-", dim}
	if at := open.GetOldestWaiting(); at != nil {
		waited = cell{Countdown(now.Sub(at.AsTime())), plain}
	}
	if at := open.GetNextDeadline(); at != nil {
		left = cell{Countdown(at.AsTime().Sub(now)), plain}
		if at.AsTime().Sub(now) < day {
			left.paint = bad
		}
	}
	return []cell{name, {number(open.GetWaiting()), plain}, {number(open.GetInternal()), plain}, waited, left,
		{number(open.GetRunning()), attention(open.GetRunning(), warn)},
		{number(f.GetEmergencies()), attention(f.GetEmergencies(), bad)},
		{number(f.GetFailedMails()), attention(f.GetFailedMails(), bad)}}
}

// logHealth adds how the log is: to a customer when it was signed, to security officers everything.
func (p *page) logHealth(h *lockboxv1.LogHealth, now time.Time) {
	ago := func(at *timestamppb.Timestamp) string { return Countdown(now.Sub(at.AsTime())) + " ago" }
	p.heading("Log")
	signed, as := "never", plain
	if at := h.GetSignedAt(); at != nil {
		signed = ago(at)
	}
	if h.GetOverdue() {
		signed, as = signed+"; signing is overdue", bad
	}
	p.painted("Signed", as, signed)
	if h.GetCopies() == 0 && h.GetVerifiedAt() == nil && len(h.GetDifferences()) == 0 {
		return // a customer, who is told no more
	}
	if at := h.GetVerifiedAt(); at != nil {
		p.field("Compared", ago(at)+", without a difference")
	} else {
		p.painted("Compared", bad, "not without a difference since the service started")
	}
	for _, d := range h.GetDifferences() {
		p.painted("Difference", bad, differenceName(d.GetKind())+": "+number(d.GetCount()))
	}
	p.field("Copies", number(uint64(h.GetCopies()))+" readable")
	if away := h.GetCopiesAway(); away > 0 {
		p.painted("", bad, number(uint64(away))+" not readable")
	}
	for _, w := range h.GetWitnesses() {
		if at := w.GetCosignedAt(); at != nil {
			p.field("Witness", Clean(w.GetName())+", cosigned "+ago(at))
		} else {
			p.painted("Witness", warn, Clean(w.GetName())+", has not cosigned yet")
		}
	}
	p.painted("Alarms", attention(h.GetAlarms(), warn), capped(h.GetAlarms())+" in the last 13 weeks")
	if at := h.GetLastAlarmAt(); at != nil {
		p.field("Latest alarm", differenceName(h.GetLastAlarm().GetKind())+", "+p.Stamp(at))
	}
	if at := h.GetRestoredAt(); at != nil {
		p.field("Repaired", p.Stamp(at))
	}
	p.field("Set aside", capped(h.GetSetAside()))
}

func orAll(customer string) string {
	if customer == "" {
		return "all customers"
	}
	return Clean(customer)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// capped is a count that goes no further than input.MaxCount.
func capped(n uint64) string {
	if n > input.MaxCount {
		return number(input.MaxCount) + "+"
	}
	return number(n)
}

// attention paints what is not zero.
func attention(n uint64, as paint) paint {
	if n == 0 {
		return plain
	}
	return as
}

// date formats the day of a time in UTC, by which weeks are counted.
func (l Look) date(t *timestamppb.Timestamp) string { return t.AsTime().Format("2006-01-02") }

func outcomeName(o lockboxv1.RequestOutcome) string {
	switch o {
	case lockboxv1.RequestOutcome_REQUEST_OUTCOME_EXPIRED:
		return "not decided in time"
	case lockboxv1.RequestOutcome_REQUEST_OUTCOME_NOT_ASKED:
		return "access without asking the customer"
	case lockboxv1.RequestOutcome_REQUEST_OUTCOME_EMERGENCY:
		return "emergency access"
	case lockboxv1.RequestOutcome_REQUEST_OUTCOME_STOPPED:
		return "stopped at the provider"
	case lockboxv1.RequestOutcome_REQUEST_OUTCOME_LAPSED:
		return "approval no longer valid"
	case lockboxv1.RequestOutcome_REQUEST_OUTCOME_OPEN:
		return "still open"
	default: // approved, denied, withdrawn
		return strings.ToLower(sentence(o.String(), "REQUEST_OUTCOME_"))
	}
}

func differenceName(k lockboxv1.DifferenceKind) string {
	switch k {
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP:
		return "events are missing"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_REGRESSION:
		return "the stream ends too early"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED:
		return "events were changed"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_UNRECORDED:
		return "events were never recorded"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_MISSING:
		return "a copy of the stream cannot be read"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_TILES:
		return "the log's own files were changed"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHECKPOINT:
		return "a checkpoint does not match the log"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT:
		return "a message is not an event"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE:
		return "e-mails are overdue"
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_UNSPECIFIED:
	}
	return "unknown difference"
}
