package stack_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// missed expects that what should have been mailed to somebody about an event is missed: by the audit-projector, which
// says so in its log and in the stream, and by audit verify, once it is overdue.
func (i *insider) missed(e *lockboxv1.Event, mail string) {
	i.Helper()
	sequence := uint64(0)
	for _, stored := range i.history(journal.Replay{Tenant: e.GetTenant(), Kind: e.GetKind(), ID: e.GetAggregateId()}) {
		if stored.Event.GetId() == e.GetId() {
			sequence = stored.Seq
		}
	}
	within(i.T, patience, "an alarm about "+mail, func() bool {
		for line := range strings.Lines(i.said.all()) {
			if strings.HasPrefix(line, "ALARM: nothing says that mails were sent") && strings.Contains(line, mail) &&
				strings.Contains(line, fmt.Sprintf(" sequence:%d ", sequence)) {
				return true
			}
		}
		return false
	})
	within(i.T, patience, "an alarm in the stream", func() bool {
		return slices.ContainsFunc(i.history(journal.Replay{Kind: aggregate.KindAlarm}), func(a journal.Entry) bool {
			return a.Event.GetDifferenceFound().GetKind() == lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE
		})
	})
	template, to, _ := strings.Cut(mail, " to ")
	v, err := verify.Stream(i.Context(), i.watch, time.Now().Add(2*time.Hour), nil, func(journal.Entry) {})
	must(i, err)
	if !slices.ContainsFunc(v.Violations, func(v verify.Violation) bool {
		return v.Invariant == "I16" && v.Sequence == sequence && strings.Contains(v.What, template+" was mailed to "+to)
	}) {
		i.Errorf("audit verify does not miss the mail %s about event %d: %v", mail, sequence, v.Violations)
	}
}

// Whoever stops the notifier, and reports in its name that the mails went to somebody else, keeps nobody in the dark
// unnoticed. Access is given and taken as if mails went out, and once they do they are missed no more.
//
// control: nist:AU-6
func TestI16ASilentNotifierIsMissed(t *testing.T) {
	l := start(t, request.DefaultTerms())
	l.close()
	said := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Log, l.config.RescanEvery, l.config.MailsWithin = zap.New(said), time.Second, 4*time.Second
	l.config.Only = []bus.Identity{bus.Evaluator, bus.Orchestrator, bus.Projector}
	l.open()
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	var asked *lockboxv1.Event
	for _, e := range l.history(journal.Replay{Kind: aggregate.KindRequest, ID: id}) {
		if e.Event.GetCustomerNotified() != nil {
			asked = e.Event
		}
	}
	i := &insider{l, l.connect(bus.Notifier), said}
	j, err := i.opens(i.nc)
	must(t, err)
	defer j.Close()
	for _, a := range asked.GetCustomerNotified().GetApprovers() {
		report := i.report(asked.GetId())
		n := report.GetNotificationSent().GetNotification()
		n.EventId, n.Recipient = asked.GetId(), "eve@evil.example"
		_, _, err := j.Report(t.Context(), report)
		must(t, err)
		i.missed(asked, "approval-requested to "+a.GetPerson().GetEmail())
	}
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	if v := l.verified(); len(v.Violations) > 0 || v.Waiting == nil {
		t.Errorf("before they are overdue audit verify finds %v, and waits for %v", v.Violations, v.Waiting)
	}

	l.close()
	l.config.Only = nil
	l.open()
	within(t, patience, "the mails to go out", func() bool { return l.verified().Waiting == nil })
	v, err := verify.Stream(t.Context(), l.watch, time.Now().Add(2*time.Hour), nil, func(journal.Entry) {})
	must(t, err)
	if len(v.Violations) > 0 {
		t.Errorf("after they went out audit verify finds %v", v.Violations)
	}
}
