// Package repository reads aggregates from the journal as states. It is where the pure domain meets the stream. Every decision
// rests on what the leader has; what is remembered only saves reading again what cannot have changed, for an aggregate's
// events are never rewritten and its versions have no gaps: if the last that is known still is the last, the rest is known too.
package repository

import (
	"context"
	"errors"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Reader reads states. The aggregate that a command is about is read fast, for the append will catch it if that was
// stale; aggregates that a decision merely rests on are confirmed at the leader, for nothing else would.
type Reader struct {
	Journal *journal.Journal
	// nil: nothing is remembered.
	requests      *recent[bus.Aggregate, request.State]
	tenants       *recent[bus.Aggregate, tenant.State]
	subscriptions *recent[bus.Aggregate, tenant.Subscription]
	policies      *recent[bus.Aggregate, policy.Published]
}

// remembered is how many requests, tenants and subscriptions a Reader remembers, about 8 KiB each; at most twice as many.
const remembered = 1024

// NewReader returns a Reader that remembers.
func NewReader(j *journal.Journal) Reader {
	return Reader{
		Journal: j, requests: newRecent[bus.Aggregate, request.State](remembered),
		tenants: newRecent[bus.Aggregate, tenant.State](remembered), subscriptions: newRecent[bus.Aggregate, tenant.Subscription](remembered),
		policies: newRecent[bus.Aggregate, policy.Published](2),
	}
}

// kind is how aggregates of one kind become states.
type kind[S any] struct {
	evolve  func(S, uint64, *lockboxv1.Event) S
	history func(*S) *aggregate.History
}

var (
	requests      = kind[request.State]{request.Evolve, (*request.State).Folded}
	tenants       = kind[tenant.State]{tenant.Evolve, (*tenant.State).Folded}
	subscriptions = kind[tenant.Subscription]{tenant.EvolveSubscription, (*tenant.Subscription).Folded}
	disclosures   = kind[disclosure.State]{disclosure.Evolve, (*disclosure.State).Folded}
	tickets       = kind[ticket.State]{ticket.Evolve, (*ticket.State).Folded}
	policies      = kind[policy.Published]{policy.Evolve, (*policy.Published).Folded}
)

// read folds what is stored. A history that contradicts itself becomes a state at fault.
func (k kind[S]) read(ctx context.Context, load func(context.Context, bus.Aggregate) ([]journal.Entry, error), a bus.Aggregate) (S, error) {
	var s S
	entries, err := load(ctx, a)
	var contradiction *journal.HistoryError
	var corrupt *journal.CorruptError
	h := k.history(&s)
	switch {
	case errors.As(err, &contradiction):
		h.Fail(contradiction.Seq, contradiction.Rule)
	case errors.As(err, &corrupt):
		h.Fail(corrupt.Seq, corrupt.Rule)
	case err != nil:
		return s, err
	}
	if h.Fault != nil {
		h.Tenant, h.Kind, h.ID = a.Tenant, a.Kind, a.ID
		return s, nil
	}
	for _, e := range entries {
		s = k.evolve(s, e.Seq, e.Event)
	}
	return s, nil
}

// confirmed returns a state as fresh as the leader has it: what is remembered if nothing came after it, else all of it.
func (k kind[S]) confirmed(ctx context.Context, j *journal.Journal, known *recent[bus.Aggregate, S], a bus.Aggregate) (S, error) {
	if s, ok := known.get(a); ok {
		if same, err := j.Unchanged(ctx, k.version(a, s)); err != nil || same {
			return s, err
		}
	}
	s, err := k.read(ctx, j.LoadAtLeader, a)
	if err == nil {
		k.remember(known, a, s)
	}
	return s, err
}

func (k kind[S]) version(a bus.Aggregate, s S) journal.Version {
	h := k.history(&s)
	return journal.Version{Aggregate: a, Version: h.Version, Sequence: h.Sequence}
}

// remember keeps a state unless it is at fault, empty, or older than what is known.
func (k kind[S]) remember(known *recent[bus.Aggregate, S], a bus.Aggregate, s S) {
	h := k.history(&s)
	if h.Fault != nil || h.Version == 0 {
		return
	}
	known.update(a, func(before S) (S, bool) { return s, h.Version > k.history(&before).Version })
}

// Request reads a request.
func (r Reader) Request(ctx context.Context, tenantID, id string) (request.State, error) {
	return requests.read(ctx, r.Journal.Load, requestKey(tenantID, id))
}

// ConfirmedRequest reads a request as fresh as the leader has it; for saying no.
func (r Reader) ConfirmedRequest(ctx context.Context, tenantID, id string) (request.State, error) {
	return requests.confirmed(ctx, r.Journal, r.requests, requestKey(tenantID, id))
}

// RequestAt reads a request that includes its event at a sequence; 0: any. If what is remembered is that new it reads
// nothing, and another copy of the service may have gone on since: an append finds that out, everything else needs
// ConfirmedRequest.
func (r Reader) RequestAt(ctx context.Context, tenantID, id string, sequence uint64) (request.State, error) {
	a := requestKey(tenantID, id)
	if s, known := r.requests.get(a); known && s.Sequence >= sequence {
		return s, nil
	}
	s, err := r.Request(ctx, tenantID, id)
	if err == nil && s.Sequence < sequence {
		return r.ConfirmedRequest(ctx, tenantID, id)
	}
	if err == nil {
		requests.remember(r.requests, a, s)
	}
	return s, err
}

// Saw remembers an event of a request that was just written or delivered, if it is the next one.
func (r Reader) Saw(sequence uint64, e *lockboxv1.Event) {
	if e.GetKind() != bus.KindRequest {
		return
	}
	r.requests.update(bus.AggregateOf(e), func(before request.State) (request.State, bool) {
		if e.GetVersion() != before.Version+1 {
			return before, false
		}
		s := request.Evolve(before, sequence, e)
		return s, s.Fault == nil
	})
}

// Forget drops what is remembered of a request, after an append that was refused.
func (r Reader) Forget(tenantID, id string) { r.requests.drop(requestKey(tenantID, id)) }

func requestKey(tenantID, id string) bus.Aggregate {
	return bus.Aggregate{Tenant: tenantID, Kind: bus.KindRequest, ID: id}
}

func tenantKey(id string) bus.Aggregate {
	return bus.Aggregate{Tenant: id, Kind: bus.KindTenant, ID: id}
}

func subscriptionKey(tenantID, id string) bus.Aggregate {
	return bus.Aggregate{Tenant: tenantID, Kind: bus.KindSubscription, ID: id}
}

// Tenant reads a tenant, confirmed at the leader.
func (r Reader) Tenant(ctx context.Context, id string) (tenant.State, error) {
	return tenants.confirmed(ctx, r.Journal, r.tenants, tenantKey(id))
}

// Subscription reads one of a tenant's subscriptions, confirmed at the leader.
func (r Reader) Subscription(ctx context.Context, tenantID, id string) (tenant.Subscription, error) {
	return subscriptions.confirmed(ctx, r.Journal, r.subscriptions, subscriptionKey(tenantID, id))
}

// Ticket reads a tenant's ticket at the leader.
func (r Reader) Ticket(ctx context.Context, tenantID, id string) (ticket.State, error) {
	return tickets.read(ctx, r.Journal.LoadAtLeader, bus.Aggregate{Tenant: tenantID, Kind: bus.KindTicket, ID: id})
}

// Published reads what the provider published last as its bus.Rules or bus.Catalogue, confirmed at the leader.
func (r Reader) Published(ctx context.Context, a bus.Aggregate) (policy.Published, error) {
	return policies.confirmed(ctx, r.Journal, r.policies, a)
}

// Disclosure reads a disclosure at the leader.
func (r Reader) Disclosure(ctx context.Context, tenantID, id string) (disclosure.State, error) {
	return disclosures.read(ctx, r.Journal.LoadAtLeader, bus.Aggregate{Tenant: tenantID, Kind: bus.KindDisclosure, ID: id})
}

// World reads what a decision about a request rests on, confirmed at the leader: the tenant, and the subscription unless
// the request is tenant-scoped (an empty subscription id). What is remembered of both is confirmed at once.
func (r Reader) World(ctx context.Context, tenantID, subscriptionID string) (request.World, error) {
	if subscriptionID == "" {
		t, err := r.Tenant(ctx, tenantID)
		return request.World{Tenant: t}, err
	}
	tk, sk := tenantKey(tenantID), subscriptionKey(tenantID, subscriptionID)
	t, tenantKnown := r.tenants.get(tk)
	s, subscriptionKnown := r.subscriptions.get(sk)
	if tenantKnown && subscriptionKnown {
		same, err := r.Journal.Unchanged(ctx, tenants.version(tk, t), subscriptions.version(sk, s))
		if err != nil || same {
			return request.World{Tenant: t, Subscription: &s}, err
		}
	}
	t, err := r.Tenant(ctx, tenantID)
	if err != nil {
		return request.World{}, err
	}
	s, err = r.Subscription(ctx, tenantID, subscriptionID)
	return request.World{Tenant: t, Subscription: &s}, err
}
