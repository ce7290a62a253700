package notifier

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// report is the delivery report of a notification that was sent, without its own id and time. The reports about one
// event are one aggregate, which stays as small as the number of people concerned; the request is the correlation.
func (n *notifier) report(e *lockboxv1.Event, of plan.Notification) *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: e.GetTenant(), Kind: aggregate.KindDelivery, AggregateId: e.GetId(), ReportKey: of.ID,
		Actor: n.actor, CorrelationId: e.GetCorrelationId(), CausationId: e.GetId(), TraceParent: e.GetTraceParent(),
		Fact: &lockboxv1.Event_NotificationSent{
			NotificationSent: &lockboxv1.NotificationSent{Notification: &lockboxv1.Notification{
				Id: of.ID, EventId: e.GetId(), Template: string(of.Template), Recipient: of.Recipient, Language: of.Language,
				MessageId: n.mails.MessageID(of.ID),
			}}},
	}
}

// alreadyReported tells whether the notification was sent, or failed for good, before.
func (n *notifier) alreadyReported(ctx context.Context, sent *lockboxv1.Event) (bool, error) {
	failed := &lockboxv1.Event{
		Tenant: sent.GetTenant(), Kind: sent.GetKind(), AggregateId: sent.GetAggregateId(), ReportKey: sent.GetReportKey(),
		Fact: &lockboxv1.Event_NotificationFailed{NotificationFailed: &lockboxv1.NotificationFailed{}},
	}
	for _, report := range []*lockboxv1.Event{sent, failed} {
		subject, err := bus.EventSubject(report)
		if err != nil {
			return false, err
		}
		if done, err := n.Journal.Reported(ctx, subject); done || err != nil {
			return done, err
		}
	}
	return false, nil
}
