package notifier

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// read loads what the event's mails refer to, as of the event, so that a redelivered event yields the same mails. It
// reads at the leader: a replica that lags could miss somebody who must be notified.
func (n *notifier) read(ctx context.Context, e journal.Entry) (in plan.Input, err error) {
	in.Event = e.Event
	about := aggregate.KeyOf(e.Event)
	if about.Kind == aggregate.KindAlarm || about.Kind == aggregate.KindOwnership {
		return in, nil // the event contains everything
	}
	if about.Kind == aggregate.KindDigest || about.Kind == aggregate.KindAttempt { // so do these, except whom to tell
		states, err := n.repository.At(ctx, e.Seq, aggregate.Tenant(about.Tenant))
		in.Tenant = states.Tenant(about.Tenant)
		return in, err
	}
	n.repository.Saw(e.Seq, e.Event)
	keys := []aggregate.Key{about}
	if about.Tenant != aggregate.ProviderTenant { // of its own events, only erasures come here
		keys = append(keys, aggregate.Tenant(about.Tenant))
	}
	preview := cmp.Or(e.Event.GetPreviewSignedUp().GetResourceType(), e.Event.GetPreviewSignedOff().GetResourceType())
	if preview != "" {
		keys = append(keys, aggregate.Catalogue)
	}
	if about.Kind == aggregate.KindRequest {
		own, err := n.repository.Recent(ctx, about, e.Seq)
		if err != nil {
			return in, err
		}
		r := own.Request(about)
		if r.TicketID != "" {
			keys = append(keys, aggregate.Ticket(about.Tenant, r.TicketID))
		}
		if r.Notified != nil {
			keys = append(keys, aggregate.Keys(about.Tenant))
		}
		if id := r.Intent.GetSubscriptionId(); id != "" && concernsCustomer(r) {
			owners, err := n.repository.At(ctx, e.Seq, aggregate.Ownership(id))
			if err != nil {
				return in, err
			}
			keys = append(keys, owners.SubscriptionKeys(about.Tenant, id)...)
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
	in.Service = n.service(now, preview)
	if in.Basis, err = n.basis(ctx, now.Request(about), e.Seq); err != nil {
		return in, err
	}
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
	case aggregate.KindErasure:
		in.Erasure = now.Erasure(about)
	case aggregate.KindKeys:
		before, err := n.repository.At(ctx, e.Seq-1, about)
		if err != nil {
			return in, err
		}
		in.KeysBefore, in.Keys = before.Keys(about.Tenant), now.Keys(about.Tenant)
	case aggregate.KindRequest:
		in.Request, in.Keys = now.Request(about), now.Keys(about.Tenant)
		if in.Exact, err = n.exact(ctx, in, e.Seq); err != nil {
			return in, err
		}
		in.Ticket = now.Ticket(about.Tenant, in.Request.TicketID)
		if id := in.Request.Intent.GetSubscriptionId(); id != "" && concernsCustomer(in.Request) {
			in.Subscription = now.Subscription(about.Tenant, now.Ownership(id).Spelling(about.Tenant, id))
		}
	}
	return in, nil
}

// exact reads a request's events as they are stored, of customers who have keys: signatures cover the bytes.
func (n *notifier) exact(ctx context.Context, in plan.Input, sequence uint64) (events []keychain.Exact, err error) {
	if in.Keys.Chain == nil {
		return nil, nil
	}
	entries, err := n.Journal.LoadAtLeader(ctx, in.Request.Key())
	var contradiction *journal.HistoryError
	if err != nil && !errors.As(err, &contradiction) {
		return nil, err
	}
	for _, e := range entries {
		if e.Seq <= sequence {
			events = append(events, keychain.Exact{Sequence: e.Seq, Version: e.Event.GetVersion(),
				Type: aggregate.TypeOf(e.Event), Data: e.Data})
		}
	}
	return events, nil
}

// service returns what the catalogue in force calls a resource type. A mail about a preview does not wait for a
// catalogue that can be read.
func (n *notifier) service(states repository.States, resourceType string) string {
	c, err := n.catalogue.Of(states)
	if err != nil {
		c = catalogue.Default()
	}
	name, _ := c.Names(resourceType, "")
	return name
}

// concernsCustomer reports whether any of the customer's people is told of a request: they were asked, or it is an
// emergency that began.
func concernsCustomer(r request.State) bool {
	return r.Notified != nil || r.Grant.GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY
}

// maxStale is how long before the customer is asked something may have been stored that the decision did not see.
const maxStale = 30 * time.Second

// basis reads whom a request has to ask, as of the sequences that CustomerNotified recorded. They are the
// orchestrator's word: where they leave out what had been there for long, the states are those as of the event.
func (n *notifier) basis(ctx context.Context, r request.State, sequence uint64) (b plan.Basis, err error) {
	if r.Notified == nil {
		return b, nil
	}
	of, read := aggregate.Tenant(r.Tenant), r.Notified.GetTenantSequence()
	states, stale, err := n.asOf(ctx, of, read, sequence, r.NotifiedAt)
	if err != nil {
		return b, err
	}
	b.Tenant, b.Stale = states.Tenant(r.Tenant), stale
	id := r.Intent.GetSubscriptionId()
	if id == "" {
		return b, nil
	}
	owners, err := n.repository.At(ctx, sequence, aggregate.Ownership(id))
	if err != nil {
		return b, err
	}
	owner := owners.Ownership(id)
	b.Lost = !owner.Of(r.Tenant) || owner.Version > 1
	id = owner.Spelling(r.Tenant, id)
	states, stale, err = n.asOf(ctx, aggregate.Subscription(r.Tenant, id), r.Notified.GetSubscriptionSequence(), sequence,
		r.NotifiedAt)
	if err != nil {
		return b, err
	}
	sub := states.Subscription(r.Tenant, id)
	b.Subscription, b.Stale = &sub, b.Stale || stale
	return b, nil
}

// asOf returns an aggregate as of the sequence at which it is said to have been read; and if that is stale, as of the
// event. What contradicts itself is read as far as it does not.
func (n *notifier) asOf(
	ctx context.Context, key aggregate.Key, read, sequence uint64, at time.Time,
) (states repository.States, stale bool, err error) {
	now, err := n.repository.At(ctx, sequence, key)
	if err != nil || now[key] == nil {
		return now, false, err
	}
	switch is := now[key].Folded(); {
	case is.Fault == nil && is.Sequence <= read:
		return now, false, nil
	case is.Fault != nil && is.Fault.NotAnEvent:
		return nil, false, refusal.Unavailable("", "I6",
			"message %d, which says who is to be told, is no event and was not set aside", is.Fault.Sequence)
	}
	entries, err := n.Journal.LoadAtLeader(ctx, key)
	var contradiction *journal.HistoryError
	if errors.As(err, &contradiction) {
		entries, err = n.Journal.Load(ctx, key) // it comes with the events
	}
	if err != nil && !errors.As(err, &contradiction) {
		return nil, false, err
	}
	last := read
	for _, e := range entries {
		if e.Seq > read && e.Seq <= sequence && at.Sub(e.Event.GetTime().AsTime()) > maxStale {
			last, stale = sequence, true
		}
	}
	states = repository.States{}
	for _, e := range entries {
		if e.Seq <= last {
			states.Add(e.Seq, e.Event)
		}
	}
	return states, stale, nil
}
