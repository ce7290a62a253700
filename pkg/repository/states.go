package repository

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// States are folded aggregates of any kind. What a decision rests on is one, and so is a whole stream in memory. This
// is the one place that knows which kind folds how, who decides about it, and what that rests on.
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
	aggregate.KindTicket:       folding(ticket.Evolve),
	aggregate.KindPolicy:       folding(policy.Evolve),
	aggregate.KindDisclosure:   folding(disclosure.Evolve),
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

// faulty is an aggregate of which nothing is known but that its history contradicts itself.
func faulty(key aggregate.Key, fault aggregate.Fault) aggregate.State {
	s := folders[key.Kind].zero()
	h := s.Folded()
	h.Tenant, h.Kind, h.ID, h.Fault = key.Tenant, key.Kind, key.ID, &fault
	return s
}

// Evolve folds an event onto the state of its aggregate, which is nil before the first event. Reports are not folded:
// nil.
func Evolve(before aggregate.State, sequence uint64, e *lockboxv1.Event) aggregate.State {
	of, decided := folders[e.GetKind()]
	if !decided {
		return nil
	}
	return of.evolve(before, sequence, e)
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

// in returns the state under a key; the zero state if there is none.
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

// World returns what a decision about a request of a tenant rests on: the tenant, and the subscription unless the
// request is tenant-scoped (an empty subscription id).
func (s States) World(tenantID, subscriptionID string) request.World {
	w := request.World{Tenant: s.Tenant(tenantID)}
	if subscriptionID != "" {
		sub := s.Subscription(tenantID, subscriptionID)
		w.Subscription = &sub
	}
	return w
}

// restOn identifies what decisions about aggregates rest on, each once: themselves, their tenants, and for a request
// its subscription, and the catalogue if the customer is not asked, as far as is known of the request.
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
		if key.Kind != aggregate.KindPolicy {
			add(aggregate.Tenant(key.Tenant))
		}
		r, is := s[key].(*request.State)
		if !is {
			continue
		}
		if id := r.Intent.GetSubscriptionId(); id != "" {
			add(aggregate.Subscription(key.Tenant, id))
		}
		if r.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
			add(aggregate.Catalogue)
		}
	}
	return keys
}

// Decide says what a command makes true of the aggregate that it is about. Neither event nor error: it is so already.
func (s States) Decide(c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	about, err := aggregate.Of(c.Command)
	if err != nil {
		return nil, err
	}
	t := s.Tenant(about.Tenant)
	switch about.Kind {
	case aggregate.KindTenant:
		return tenant.Decide(t, c, now)
	case aggregate.KindSubscription:
		return tenant.DecideSubscription(t, s.Subscription(about.Tenant, about.ID), c, now)
	case aggregate.KindTicket:
		return ticket.Decide(s.Ticket(about.Tenant, about.ID), t, c, now)
	case aggregate.KindPolicy:
		return policy.Decide(s.Published(about), c, now)
	case aggregate.KindDisclosure:
		return disclosure.Decide(s.Disclosure(about.Tenant, about.ID), t, c, now)
	}
	r := s.Request(about)
	return request.Decide(r, c, s.World(about.Tenant, r.Intent.GetSubscriptionId()), now)
}

// Process is who does what is owed, by which terms, and how it reads the catalogue that was published.
type Process struct {
	Actor    *lockboxv1.Actor
	Terms    request.Terms
	Services *InForce[*catalogue.Catalogue]
}

// Perform says what becomes true because it is owed to an aggregate at now: the next event of a request, or that a
// disclosure is told. Neither event nor error: nothing is owed.
func (p Process) Perform(s States, about aggregate.Key, causationID string, now time.Time) (*lockboxv1.Event, error) {
	switch about.Kind {
	case aggregate.KindDisclosure:
		return disclosure.Tell(s.Disclosure(about.Tenant, about.ID), p.Actor, causationID, now)
	case aggregate.KindRequest:
	default:
		return nil, nil
	}
	r := s.Request(about)
	w := s.World(about.Tenant, r.Intent.GetSubscriptionId())
	if r.Status == request.Approved && r.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		// Nobody is taken at the word of the evaluation that waived the customer (R3, R8).
		services, err := p.Services.Of(s)
		if err != nil {
			return nil, err
		}
		w.Resource = policy.Resource(r.Intent, services)
	}
	return request.Perform(r, w, p.Terms, p.Actor, causationID, now)
}

// NextDue is when something will be owed to an aggregate by the passing of time alone; false: never.
func (s States) NextDue(about aggregate.Key) (time.Time, bool) {
	switch about.Kind {
	case aggregate.KindDisclosure:
		return disclosure.NextDue(s.Disclosure(about.Tenant, about.ID))
	case aggregate.KindRequest:
		return request.NextDue(s.Request(about))
	}
	return time.Time{}, false
}

// Settled reports whether nothing is owed to an aggregate, and nothing will be by the passing of time.
func (s States) Settled(about aggregate.Key) bool {
	_, waits := s.NextDue(about)
	return !waits && (about.Kind != aggregate.KindRequest || request.Settled(s.Request(about)))
}
