package repository

import (
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/signing"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// States holds folded aggregates of any kind: the basis of one decision, or a whole stream in memory. This file is the
// only place that knows how each kind is folded, which package decides on it, and what its decisions depend on.
type States map[aggregate.Key]aggregate.State

// folder folds the events of one kind of aggregate.
type folder struct {
	evolve func(before aggregate.State, sequence uint64, e *lockboxv1.Event) aggregate.State
	zero   func() aggregate.State
}

var folders = map[string]folder{
	aggregate.KindRequest:      folding(request.Evolve),
	aggregate.KindTenant:       folding(tenant.Evolve),
	aggregate.KindSubscription: folding(tenant.EvolveSubscription),
	aggregate.KindOwnership:    folding(tenant.EvolveOwnership),
	aggregate.KindTicket:       folding(ticket.Evolve),
	aggregate.KindPolicy:       folding(policy.Evolve),
	aggregate.KindDisclosure:   folding(disclosure.Evolve),
	aggregate.KindSigning:      folding(signing.Evolve),
	aggregate.KindErasure:      folding(erasure.Evolve),
	aggregate.KindKeys:         folding(keychain.Evolve),
}

func folding[S any, P interface {
	*S
	aggregate.State
}](evolve func(S, uint64, *lockboxv1.Event) S) folder {
	return folder{
		evolve: func(before aggregate.State, sequence uint64, e *lockboxv1.Event) aggregate.State {
			var s S
			if p, is := before.(P); is {
				s = *p
			}
			s = evolve(s, sequence, e)
			return P(&s)
		},
		zero: func() aggregate.State { return P(new(S)) },
	}
}

// faulty returns the state of an aggregate whose history contradicts itself; nothing else is known of it.
func faulty(key aggregate.Key, fault aggregate.Fault) aggregate.State {
	s := folders[key.Kind].zero()
	h := s.Folded()
	h.Tenant, h.Kind, h.ID, h.Fault = key.Tenant, key.Kind, key.ID, &fault
	return s
}

// Evolve folds an event onto the state of its aggregate, which is nil before the first event. It returns nil for
// reports, which are not folded.
func Evolve(before aggregate.State, sequence uint64, e *lockboxv1.Event) aggregate.State {
	of, decided := folders[e.GetKind()]
	if !decided {
		return nil
	}
	return of.evolve(before, sequence, e)
}

// Decided is an event that was decided on and is not stored yet. It needs no second fold when it is.
type Decided struct {
	*lockboxv1.Event
	// after is the state once it is stored, but for the sequence; nil if it has yet to be folded.
	after aggregate.State
}

// Reached is a decision with the state after it, as aggregate.EndWith returns them; there is none without an event.
func Reached[S any, P interface {
	*S
	aggregate.State
}](e *lockboxv1.Event, after S, err error) (Decided, error) {
	if e == nil || err != nil {
		return Decided{}, err
	}
	return Decided{e, P(&after)}, nil
}

// unfolded is a decision of which only the event is known.
func unfolded(e *lockboxv1.Event, err error) (Decided, error) { return Decided{Event: e}, err }

// Then returns the states as they will be once an event is stored.
func (s States) Then(d Decided) States {
	then := maps.Clone(s)
	sequence := uint64(1)
	if before := s[aggregate.KeyOf(d.Event)]; before != nil {
		sequence = before.Folded().Sequence + 1
	}
	then.stored(sequence, d)
	return then
}

// stored adds a decided event that is stored, and returns the state of its aggregate; nil for a report.
func (s States) stored(sequence uint64, d Decided) aggregate.State {
	if d.after == nil {
		return s.Add(sequence, d.Event)
	}
	d.after.Folded().Stored(sequence)
	s[aggregate.KeyOf(d.Event)] = d.after
	return d.after
}

// Add folds an event and returns the state of its aggregate; nil for a report, which is not folded.
func (s States) Add(sequence uint64, e *lockboxv1.Event) aggregate.State {
	key := aggregate.KeyOf(e)
	after := Evolve(s[key], sequence, e)
	if after != nil {
		s[key] = after
	}
	return after
}

// in returns the state stored under a key, or the zero state.
func in[S any](s States, key aggregate.Key) (state S) {
	if p, is := any(s[key]).(*S); is {
		return *p
	}
	return state
}

// Request returns a request.
func (s States) Request(key aggregate.Key) request.State { return in[request.State](s, key) }

// Tenant returns a tenant.
func (s States) Tenant(id string) tenant.State { return in[tenant.State](s, aggregate.Tenant(id)) }

// Subscription returns one of a tenant's subscriptions.
func (s States) Subscription(tenantID, id string) tenant.Subscription {
	return in[tenant.Subscription](s, aggregate.Subscription(tenantID, id))
}

// Ownership returns whose a subscription is, however its id is spelled.
func (s States) Ownership(subscription string) tenant.Ownership {
	return in[tenant.Ownership](s, aggregate.Ownership(subscription))
}

// Ticket returns one of a tenant's tickets.
func (s States) Ticket(tenantID, id string) ticket.State {
	return in[ticket.State](s, aggregate.Ticket(tenantID, id))
}

// Published returns what the provider published last as its aggregate.Rules or aggregate.Catalogue.
func (s States) Published(key aggregate.Key) policy.Published { return in[policy.Published](s, key) }

// Disclosure returns a disclosure.
func (s States) Disclosure(tenantID, id string) disclosure.State {
	return in[disclosure.State](s, aggregate.Disclosure(tenantID, id))
}

// Erasure returns an erasure.
func (s States) Erasure(key aggregate.Key) erasure.State { return in[erasure.State](s, key) }

// Signing returns what was decided about writers' keys.
func (s States) Signing() signing.State { return in[signing.State](s, aggregate.SigningWriters) }

// Keys returns the keys with which a tenant's people sign.
func (s States) Keys(tenantID string) keychain.State {
	return in[keychain.State](s, aggregate.Keys(tenantID))
}

// World returns what a decision on a tenant's request depends on: the tenant, the subscription unless the request is
// tenant-scoped, and the ticket if access ends with it. A subscription that is not the tenant's own counts as given up
// (R48).
func (s States) World(r request.State) request.World {
	tenantID, subscriptionID := r.Tenant, r.Intent.GetSubscriptionId()
	w := request.World{
		Tenant: s.Tenant(tenantID), Keys: s.Keys(tenantID), Events: s.exactly(r.Key())}
	if request.EndsWithTicket(r, w.Tenant) {
		w.Ticket = s.Ticket(tenantID, r.TicketID)
	}
	if subscriptionID != "" {
		w.Ownership = s.believed(s.Ownership(subscriptionID))
		sub := s.Subscription(tenantID, w.Ownership.Spelling(tenantID, subscriptionID))
		if !w.Ownership.Of(tenantID) {
			sub.GivenUp, sub.Roles = true, tenant.Roles{}
		}
		w.Subscription = &sub
	}
	return w
}

// SubscriptionKeys returns the keys of what World reads about a subscription, as far as its owner is known.
func (s States) SubscriptionKeys(tenantID, subscriptionID string) []aggregate.Key {
	return []aggregate.Key{aggregate.Ownership(subscriptionID),
		aggregate.Subscription(tenantID, s.Ownership(subscriptionID).Spelling(tenantID, subscriptionID))}
}

// restOn returns, without duplicates, the keys of everything that decisions on these aggregates depend on: the
// aggregates themselves, their tenants with the keys of their people and, as far as a request is known, its
// subscription with its owner and the keys of those who had it, its ticket if access ends with that and, if the
// customer is not asked, the catalogue; of an ownership, the subscriptions that follow it, with the keys of whose they
// are.
func (s States) restOn(about []aggregate.Key) (keys []aggregate.Key) {
	seen := map[aggregate.Key]bool{}
	add := func(key aggregate.Key) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	for _, key := range about {
		add(key)
		if key.Tenant != aggregate.ProviderTenant {
			add(aggregate.Tenant(key.Tenant))
			add(aggregate.Keys(key.Tenant))
		}
		if o, is := s[key].(*tenant.Ownership); is {
			for _, r := range slices.Concat([]*lockboxv1.OwnedSubscription{o.Owner}, o.Contested, o.Former) {
				if r != nil {
					add(aggregate.Subscription(r.GetTenant(), r.GetSubscriptionId()))
					add(aggregate.Keys(r.GetTenant()))
				}
			}
		}
		r, is := s[key].(*request.State)
		if !is {
			continue
		}
		if id := r.Intent.GetSubscriptionId(); id != "" {
			for _, of := range s.SubscriptionKeys(key.Tenant, id) {
				add(of)
			}
			for _, g := range s.Ownership(id).Given {
				for _, by := range g.By {
					add(aggregate.Keys(by.GetTenant()))
				}
			}
		}
		if request.EndsWithTicket(*r, s.Tenant(key.Tenant)) {
			add(aggregate.Ticket(key.Tenant, r.TicketID))
		}
		if r.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
			add(aggregate.Catalogue)
		}
	}
	return keys
}

// Decide returns the event that results from a command, or neither event nor error if it would change nothing.
func (s States) Decide(c aggregate.Command, l tenant.Limits, now time.Time) (Decided, error) {
	about, err := aggregate.Of(c.Command)
	if err != nil {
		return Decided{}, err
	}
	t := s.Tenant(about.Tenant)
	switch about.Kind {
	case aggregate.KindTenant, aggregate.KindSubscription, aggregate.KindOwnership:
		return unfolded(s.change(about, c, l, now))
	case aggregate.KindTicket:
		return unfolded(ticket.Decide(s.Ticket(about.Tenant, about.ID), t, c, now))
	case aggregate.KindPolicy:
		return unfolded(policy.Decide(s.Published(about), c, now))
	case aggregate.KindDisclosure:
		return unfolded(disclosure.Decide(s.Disclosure(about.Tenant, about.ID), t, c, now))
	case aggregate.KindSigning:
		return unfolded(signing.Decide(s.Signing(), c, now))
	case aggregate.KindErasure:
		return unfolded(erasure.Decide(s.Erasure(about), t, c, now))
	case aggregate.KindKeys:
		return unfolded(keychain.Decide(s.Keys(about.Tenant), t, c, now))
	}
	r := s.Request(about)
	return Reached(request.Decide(r, c, s.World(r), now))
}

// Process holds what is needed to perform duties: the acting system, its terms, and the service catalogue.
type Process struct {
	Actor    *lockboxv1.Actor
	Terms    request.Terms
	Services *InForce[*catalogue.Catalogue]
}

// Perform returns the event that is due for an aggregate at now: the next event of a request, the notification of a
// disclosure, a change of a tenant's sign-in, or the end of somebody's role. It returns neither event nor error if
// nothing is due.
func (p Process) Perform(s States, about aggregate.Key, causationID string, now time.Time) (Decided, error) {
	switch about.Kind {
	case aggregate.KindOwnership:
		at := func(r *lockboxv1.OwnedSubscription) tenant.Subscription {
			return s.Subscription(r.GetTenant(), r.GetSubscriptionId())
		}
		return unfolded(tenant.FollowOwnership(s.Ownership(about.ID), at, causationID, now))
	case aggregate.KindDisclosure:
		return unfolded(disclosure.Tell(s.Disclosure(about.Tenant, about.ID), p.Actor, causationID, now))
	case aggregate.KindTenant:
		return unfolded(tenant.Perform(s.Tenant(about.ID), p.Actor, causationID, now))
	case aggregate.KindSubscription:
		return unfolded(tenant.PerformSubscription(s.Subscription(about.Tenant, about.ID), p.Actor, causationID, now))
	case aggregate.KindRequest:
	default:
		return Decided{}, nil
	}
	r := s.Request(about)
	w := s.World(r)
	if r.Status == request.Approved && r.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		// The evaluation that waived the customer's approval is not trusted: the catalogue is checked again (R3, R8).
		services, err := p.Services.Of(s)
		if err != nil {
			return Decided{}, err
		}
		w.Resource = policy.Resource(r.Intent, services)
	}
	return Reached(request.Perform(r, w, p.Terms, p.Actor, causationID, now))
}

// NextDue returns the next time at which something falls due for an aggregate without further events; false if never.
func (s States) NextDue(about aggregate.Key) (time.Time, bool) {
	switch about.Kind {
	case aggregate.KindDisclosure:
		return disclosure.NextDue(s.Disclosure(about.Tenant, about.ID))
	case aggregate.KindTenant:
		return tenant.NextDue(s.Tenant(about.ID))
	case aggregate.KindSubscription:
		return tenant.NextDueSubscription(s.Subscription(about.Tenant, about.ID))
	case aggregate.KindRequest:
		return request.NextDue(s.Request(about))
	}
	return time.Time{}, false
}

// DueBy returns the keys of everything on which depends what falls due for an aggregate, now or later, if that is
// little: the end of access depends on whose the subscription is, and on the ticket with which it ends, and what falls
// due for a disclosure, a tenant or a subscription on nothing else.
func (s States) DueBy(about aggregate.Key) (keys []aggregate.Key, little bool) {
	r := s.Request(about)
	if about.Kind == aggregate.KindRequest && r.Status != request.Active {
		return nil, false
	}
	keys = []aggregate.Key{about}
	if id := r.Intent.GetSubscriptionId(); id != "" {
		keys = append(keys, aggregate.Ownership(id))
	}
	if r.Grant.GetEndsWithTicket() {
		keys = append(keys, aggregate.Ticket(about.Tenant, r.TicketID))
	}
	return keys, true
}

// Settled reports whether nothing is due for an aggregate, now or later, unless another event follows.
func (s States) Settled(about aggregate.Key) bool {
	_, waits := s.NextDue(about)
	return !waits && (about.Kind != aggregate.KindRequest || request.Settled(s.Request(about)))
}
