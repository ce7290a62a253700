package notifier

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// read loads what the event's mails refer to, as of the event, so that a redelivered event yields the same mails. It
// reads at the leader: a replica that lags could miss somebody who must be notified.
func (n *notifier) read(ctx context.Context, e journal.Entry) (in plan.Input, err error) {
	in.Event = e.Event
	about := aggregate.KeyOf(e.Event)
	if about.Kind == aggregate.KindAlarm {
		return in, nil // the event contains everything
	}
	n.repository.Saw(e.Seq, e.Event)
	keys := []aggregate.Key{about, aggregate.Tenant(about.Tenant)}
	if about.Kind == aggregate.KindRequest {
		own, err := n.repository.Recent(ctx, about, e.Seq)
		if err != nil {
			return in, err
		}
		r := own.Request(about)
		if id := r.Intent.GetTicketId(); id != "" {
			keys = append(keys, aggregate.Ticket(about.Tenant, id))
		}
		if id := r.Intent.GetSubscriptionId(); id != "" && r.Grant.GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY {
			keys = append(keys, aggregate.Subscription(about.Tenant, id))
		}
	}
	now, err := n.repository.At(ctx, e.Seq, keys...)
	if err != nil {
		return in, err
	}
	if s := now[about]; s == nil || s.Folded().Sequence != e.Seq && s.Folded().Fault == nil {
		return in, refusal.Unavailable("", "I11", "%s does not show event %d yet", e.Subject, e.Seq)
	}
	in.Tenant = now.Tenant(about.Tenant)
	switch about.Kind {
	case aggregate.KindTenant, aggregate.KindSubscription:
		before, err := n.repository.At(ctx, e.Seq-1, about)
		if err != nil {
			return in, err
		}
		in.TenantBefore = before.Tenant(about.Tenant)
		in.SubscriptionBefore, in.Subscription = before.Subscription(about.Tenant, about.ID),
			now.Subscription(about.Tenant, about.ID)
	case aggregate.KindDisclosure:
		in.Disclosure = now.Disclosure(about.Tenant, about.ID)
	case aggregate.KindRequest:
		in.Request = now.Request(about)
		in.Ticket = now.Ticket(about.Tenant, in.Request.Intent.GetTicketId())
		if in.Request.Grant.GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY {
			in.Subscription = now.Subscription(about.Tenant, in.Request.Intent.GetSubscriptionId())
		}
	}
	return in, nil
}
