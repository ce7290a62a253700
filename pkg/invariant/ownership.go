package invariant

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// eachHasOneOwner is I13: access is given to a subscription of the request's own tenant only, as of the sequence at
// which the grant read whose it is, and a tenant has no subscription that is another's. In the history of one tenant
// alone, which does not hold whose subscriptions are, its own registrations are all that can be checked.
func eachHasOneOwner(b *book, of aggregate.Key, events []Recorded, broken say) {
	switch of.Kind {
	case aggregate.KindOwnership:
		b.ownedRightly(of, events, broken)
	case aggregate.KindSubscription:
		for _, r := range events {
			owner, known := b.ownerAt(of.ID, r.Sequence)
			if r.Event.GetSubscriptionRegistered() != nil && known && owner.GetTenant() != of.Tenant {
				broken("I13", r, "%s got a subscription that is not its own", of.Tenant)
			}
		}
	case aggregate.KindRequest:
		for i, r := range events {
			id := request{of, events}.intent().GetSubscriptionId()
			g := r.Event.GetAccessGranted()
			if g == nil || id == "" {
				continue
			}
			if !b.registeredAt(request{of, events}.before(i), r.Sequence) {
				broken("I13", r, "gives access to %s, which the tenant has not", id)
			}
			b.granted(of, id, g, r, broken)
		}
	}
}

// granted checks whose subscription access is given to.
func (b *book) granted(of aggregate.Key, id string, g *lockboxv1.AccessGranted, r Recorded, broken say) {
	now, known := b.ownerAt(id, r.Sequence)
	if !known {
		return // before ownership was recorded
	}
	then, _ := b.ownerAt(id, g.GetOwnershipSequence())
	if then.GetTenant() != of.Tenant || g.GetOwnershipSequence() >= r.Sequence {
		broken("I13", r, "gives access to %s, which was not the tenant's at sequence %d", id, g.GetOwnershipSequence())
	}
	if now.GetTenant() == of.Tenant {
		return
	}
	// As for roles: reading, deciding and writing take time.
	history := b.about[aggregate.Ownership(id)]
	last := slices.IndexFunc(history, func(e Recorded) bool { return e.Sequence > g.GetOwnershipSequence() })
	if last >= 0 && instant(r).Sub(instant(history[last])) > maxStale {
		broken("I13", r, "does not know of event %d, by which %s became another's", history[last].Sequence, id)
	}
}

// ownedRightly checks an ownership: onboarding says whose a subscription is, the owner changes from owner to owner, and
// what was adopted had been registered by that tenant, and by no other.
func (b *book) ownedRightly(of aggregate.Key, events []Recorded, broken say) {
	var owner *lockboxv1.OwnedSubscription
	contested := false
	for i, r := range events {
		by := r.Event.GetActor()
		onboarding := by.GetSide() == lockboxv1.Side_SIDE_PROVIDER && slices.Contains(by.GetGroups(), "onboarding")
		next := ownerOf(r.Event)
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_OwnershipRecorded:
			if i > 0 {
				broken("I13", r, "an owner is recorded a second time")
			}
			if !f.OwnershipRecorded.GetAdopted() && !onboarding {
				broken("I13", r, "%s said whose it is", by.GetPerson().GetSubject())
			}
			if f.OwnershipRecorded.GetAdopted() && !slices.Equal(b.registeredBefore(of.ID, r.Sequence),
				[]string{next.GetTenant()}) {
				broken("I13", r, "%s was given what it alone had not registered", next.GetTenant())
			}
		case *lockboxv1.Event_OwnershipContested:
			contested = true
		case *lockboxv1.Event_OwnershipTransferred:
			if !onboarding {
				broken("I13", r, "%s said whose it is", by.GetPerson().GetSubject())
			}
			if from := f.OwnershipTransferred.GetFrom(); from != owner.GetTenant() || from == "" && !contested {
				broken("I13", r, "it is transferred from %q, whose it is not", from)
			}
		}
		if next != nil && strings.ToLower(next.GetSubscriptionId()) != of.ID {
			broken("I13", r, "an owner is recorded of another subscription, %q", next.GetSubscriptionId())
		}
		owner = next
	}
}

// ownerOf returns the owner after an event; nil if it is nobody's.
func ownerOf(e *lockboxv1.Event) *lockboxv1.OwnedSubscription {
	if f := e.GetOwnershipTransferred(); f != nil {
		return f.GetOwner()
	}
	return e.GetOwnershipRecorded().GetOwner()
}

// ownerAt returns whose a subscription is as of a sequence, nil if nobody's; false if no ownership was recorded up to
// then, of whatever subscription.
func (b *book) ownerAt(id string, sequence uint64) (owner *lockboxv1.OwnedSubscription, known bool) {
	if b.owned == 0 || sequence < b.owned {
		return nil, false
	}
	for _, e := range b.upTo(aggregate.Ownership(id), sequence) {
		owner = ownerOf(e)
	}
	return owner, true
}

// registeredBefore returns the tenants that registered a subscription before a sequence, however it was spelled.
func (b *book) registeredBefore(id string, sequence uint64) (tenants []string) {
	for _, in := range b.spelled[id] {
		if first := b.about[in]; len(first) > 0 && first[0].Sequence < sequence {
			tenants = append(tenants, in.Tenant)
		}
	}
	return tenants
}

// registeredAt reports whether the tenant had registered the request's subscription, and not given it up.
func (b *book) registeredAt(q request, sequence uint64) (registered bool) {
	for _, e := range b.upTo(b.subscription(q, sequence), sequence) {
		registered = registered && e.GetSubscriptionGivenUp() == nil || e.GetSubscriptionRegistered() != nil
	}
	return registered
}

// subscription returns the request's subscription as its tenant had it registered last as of a sequence: one that went
// and came back may be spelled in another way.
func (b *book) subscription(q request, as uint64) aggregate.Key {
	asked := q.intent().GetSubscriptionId()
	of, since := aggregate.Subscription(q.of.Tenant, asked), uint64(0)
	for _, in := range b.spelled[strings.ToLower(asked)] {
		for _, r := range b.about[in] {
			if in.Tenant == q.of.Tenant && r.Event.GetSubscriptionRegistered() != nil && r.Sequence > since &&
				r.Sequence <= as {
				of, since = in, r.Sequence
			}
		}
	}
	return of
}
