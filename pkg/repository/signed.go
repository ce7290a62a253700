package repository

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// change decides a command on a tenant, a subscription or whose a subscription is. While the customer whose it is
// demands signatures, whatever could get around that is refused without one (R42); what is signed stands in the event.
func (s States) change(
	about aggregate.Key, c aggregate.Command, l tenant.Limits, now time.Time,
) (e *lockboxv1.Event, err error) {
	t, of := s.Tenant(c.GetTenant()), []aggregate.Key{about}
	switch about.Kind {
	case aggregate.KindTenant:
		e, err = tenant.Decide(t, c, l, now)
	case aggregate.KindSubscription:
		e, err = tenant.DecideSubscription(t, s.Subscription(about.Tenant, about.ID), c, l, now)
	default:
		o := s.Ownership(about.ID)
		e, err = tenant.DecideOwnership(t, o, c, now)
		of = slices.DeleteFunc(givers(o), func(by aggregate.Key) bool { return by.Tenant == c.GetTenant() })
	}
	if e == nil || err != nil {
		return nil, err
	}
	for _, key := range of {
		signed, err := s.Keys(key.Tenant).Permit(c, t, key, s.exactly(key), now)
		if err != nil {
			return nil, err
		}
		if signed {
			e.Signed = c.GetSigned()
		}
	}
	return e, nil
}

// givers are those who lose a subscription when it is transferred, as they call it.
func givers(o tenant.Ownership) (keys []aggregate.Key) {
	for _, r := range append([]*lockboxv1.OwnedSubscription{o.Owner}, o.Contested...) {
		if r != nil {
			keys = append(keys, aggregate.Subscription(r.GetTenant(), r.GetSubscriptionId()))
		}
	}
	return keys
}

// believed is an ownership as far as decisions may rest on it: a subscription is nobody's while a customer who demands
// signatures lost it without one, and has not got it back. Whoever holds the orchestrator's key can store such a
// transfer.
func (s States) believed(o tenant.Ownership) tenant.Ownership {
	judged := map[string]bool{o.Owner.GetTenant(): true}
	var before []tenant.Stored
	for _, g := range o.Given {
		before = append(before, g.Stored)
	}
	for i, g := range slices.Backward(o.Given) {
		for _, by := range g.By {
			if judged[by.GetTenant()] {
				continue
			}
			judged[by.GetTenant()] = true // what they gave away earlier, they got back
			if !s.Keys(by.GetTenant()).HoldsTransfer(g.Stored, by.GetSubscriptionId(), before[:i]) {
				o.Owner = nil
			}
		}
	}
	return o
}
