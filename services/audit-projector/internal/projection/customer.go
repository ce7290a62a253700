package projection

import (
	"maps"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Customer is a tenant with its subscriptions by ID, and the keys of its people. Those in a snapshot are immutable.
type Customer struct {
	Tenant        tenant.State
	Subscriptions map[string]tenant.Subscription
	Keys          keychain.State
}

// Subscription returns a subscription that the customer has, in whatever case its id is asked for (R48).
func (c *Customer) Subscription(id string) (s tenant.Subscription, has bool) {
	s, has = c.Subscriptions[id]
	if !has {
		for as, other := range c.Subscriptions {
			if strings.EqualFold(as, id) && (!has || other.Registered()) {
				s, has = other, true
			}
		}
	}
	return s, has && s.Registered()
}

func (c *Customer) clone() *Customer {
	return &Customer{Tenant: c.Tenant, Subscriptions: maps.Clone(c.Subscriptions), Keys: c.Keys}
}

// customer folds an event of a tenant or subscription, or of the keys of its people.
func (w *writer) customer(seq uint64, e *lockboxv1.Event) {
	name := e.GetTenant()
	c, known := w.customers[name]
	switch {
	case !known:
		c = &Customer{Subscriptions: map[string]tenant.Subscription{}}
	case !w.owned[name]:
		c = c.clone()
	}
	if w.published {
		w.customers, w.published = maps.Clone(w.customers), false
	}
	w.customers[name], w.owned[name] = c, true
	switch id := e.GetAggregateId(); e.GetKind() {
	case aggregate.KindTenant:
		c.Tenant = evolved(w, c.Tenant, seq, e, tenant.Evolve)
	case aggregate.KindKeys:
		c.Keys = evolved(w, c.Keys, seq, e, keychain.Evolve)
	default:
		c.Subscriptions[id] = evolved(w, c.Subscriptions[id], seq, e, tenant.EvolveSubscription)
	}
}

// evolved folds an event, and raises the alarm about the first that contradicts its history.
func evolved[S any, P interface {
	*S
	aggregate.State
}](w *writer, before S, seq uint64, e *lockboxv1.Event, evolve func(S, uint64, *lockboxv1.Event) S) S {
	after := evolve(before, seq, e)
	w.checkFault(P(&before).Folded().Fault == nil && P(&after).Folded().Fault != nil, seq, e)
	return after
}
