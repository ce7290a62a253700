package notifier

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// read folds what the event's mails speak of, no further than the event, so that an event that comes again says the
// same again.
func (n *notifier) read(ctx context.Context, e journal.Entry) (in plan.Input, err error) {
	in.Event = e.Event
	if e.Event.GetKind() == bus.KindAlarm {
		return in, nil // it says all itself
	}
	own, err := n.until(ctx, bus.AggregateOf(e.Event), e.Seq)
	if err != nil {
		return in, err
	}
	if len(own) == 0 || own[len(own)-1].Seq != e.Seq {
		return in, refusal.Unavailable("", "I11", "%s does not show event %d yet", e.Subject, e.Seq)
	}
	before := own[:len(own)-1]
	of := func(kind, id string) bus.Aggregate {
		return bus.Aggregate{Tenant: e.Event.GetTenant(), Kind: kind, ID: id}
	}
	switch e.Event.GetKind() {
	case bus.KindTenant:
		in.TenantBefore, in.Tenant = fold(before, tenant.Evolve), fold(own, tenant.Evolve)
		return in, nil
	case bus.KindSubscription:
		in.SubscriptionBefore, in.Subscription = fold(before, tenant.EvolveSubscription), fold(own, tenant.EvolveSubscription)
	case bus.KindDisclosure:
		in.Disclosure = fold(own, disclosure.Evolve)
	case bus.KindRequest:
		in.Request = fold(own, request.Evolve)
		if id := in.Request.Intent.GetTicketId(); id != "" {
			entries, err := n.until(ctx, of(bus.KindTicket, id), e.Seq)
			if err != nil {
				return in, err
			}
			in.Ticket = fold(entries, ticket.Evolve)
		}
		if id := in.Request.Intent.GetSubscriptionId(); id != "" && in.Request.Grant.GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY {
			entries, err := n.until(ctx, of(bus.KindSubscription, id), e.Seq)
			if err != nil {
				return in, err
			}
			in.Subscription = fold(entries, tenant.EvolveSubscription)
		}
	}
	entries, err := n.until(ctx, of(bus.KindTenant, e.Event.GetTenant()), e.Seq)
	in.Tenant = fold(entries, tenant.Evolve)
	return in, err
}

// until loads an aggregate's events up to and including a sequence, at the leader: a replica that is behind would leave
// out somebody who has to be told.
func (n *notifier) until(ctx context.Context, a bus.Aggregate, last uint64) ([]journal.Entry, error) {
	entries, err := n.Journal.LoadAtLeader(ctx, a)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if e.Seq > last {
			return entries[:i], nil
		}
	}
	return entries, nil
}

func fold[S any](entries []journal.Entry, evolve func(S, uint64, *lockboxv1.Event) S) S {
	var s S
	for _, e := range entries {
		s = evolve(s, e.Seq, e.Event)
	}
	return s
}
