// Package view turns folded states and events into the views that queries return. It knows nothing about the viewer,
// except that it can reduce a view for the provider's people. It does no I/O.
package view

import (
	"cmp"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Request returns the view of a request at now. A request past its deadline is shown with the status that it has then,
// even if that is not recorded yet; the language is for the reason in that case. The customer may be nil.
func Request(s request.State, c *projection.Customer, now time.Time, l *activity.Language) *lockboxv1.RequestView {
	v := &lockboxv1.RequestView{
		RequestId: s.ID, Tenant: s.Tenant, Status: s.Status, Version: s.Version, Intent: s.Intent, Requester: s.Requester,
		CreatedAt: stamp(s.RequestedAt), Evaluation: s.Evaluation, Lockbox: s.Notified,
		InternalDecisions: s.InternalDecisions,
		CustomerDecisions: s.CustomerDecisions, Questions: s.Questions, Grant: s.Grant, EndedAt: stamp(s.EndedAt),
		EndReason:      s.EndReason,
		CodedEndReason: s.CodedEndReason, EndedBy: s.EndedBy, TicketClosedBy: s.TicketClosedBy,
		TicketOfProvider: s.Evaluation.GetFacts().GetTicketOfProvider(),
		ServiceName:      s.Evaluation.GetFacts().GetServiceName(), ScenarioName: s.Evaluation.GetFacts().GetScenarioName(),
		TenantName: s.Notified.GetTenantName(), SubscriptionName: s.Notified.GetSubscriptionName(),
	}
	if s.Status == request.AwaitingInternalApproval {
		v.InternalAnswerBy = stamp(s.InternalDeadline())
	}
	if c != nil {
		v.AccessEndsWithTicket = request.EndsWithTicket(s, c.Tenant)
		v.TenantName = c.Tenant.Name
		if sub, has := c.Subscription(s.Intent.GetSubscriptionId()); has {
			v.SubscriptionName = sub.Name
		}
	}
	if s.Fault != nil {
		v.Fault = aggregate.Spoken(s.Fault.Rule)
		return v
	}
	if due := projection.Deadline(s); due != nil && !now.Before(due.AsTime()) {
		v.Status, v.EndedAt, v.EndReason = projection.Overdue(s.Status), due, l.Overdue()
	}
	return v
}

// Timeline converts events to timeline entries in stream order.
func Timeline(events []projection.Event, l *activity.Language) []*lockboxv1.TimelineEntry {
	entries := make([]*lockboxv1.TimelineEntry, len(events))
	for i, e := range events {
		entries[i] = l.Entry(e.Sequence, e.Event)
	}
	return entries
}

// Deliveries returns the delivery status of the mails in stream order.
func Deliveries(events []projection.Event) (list []*lockboxv1.DeliveryView) {
	for _, e := range events {
		var n *lockboxv1.Notification
		failure, why := "", (*lockboxv1.Reason)(nil)
		switch f := e.Event.GetFact().(type) {
		case *lockboxv1.Event_NotificationSent:
			n = f.NotificationSent.GetNotification()
		case *lockboxv1.Event_NotificationFailed:
			n, failure = f.NotificationFailed.GetNotification(), cmp.Or(f.NotificationFailed.GetError(), "?")
			why = f.NotificationFailed.GetCodedReason()
		default:
			continue
		}
		list = append(list, &lockboxv1.DeliveryView{
			Recipient: n.GetRecipient(), Language: n.GetLanguage(), Template: n.GetTemplate(), Time: e.Event.GetTime(),
			Failure:      failure,
			CodedFailure: why,
		})
	}
	return list
}

// Activity converts an event to an entry of the activity log.
func Activity(e projection.Event, l *activity.Language) *lockboxv1.Activity {
	return l.Activity(e.Sequence, e.Event)
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
