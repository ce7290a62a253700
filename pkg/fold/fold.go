// Package fold reads aggregates from the journal as states. It is where the pure domain meets the stream. Every decision
// reads what it rests on; what is remembered of requests are hints, used where a stale one is found out.
package fold

import (
	"context"
	"errors"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/event"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Reader reads states. The aggregate that a command is about is read fast, for the append will catch it if that was
// stale; aggregates that a decision merely rests on are read at the leader, for nothing else would.
type Reader struct {
	Journal *journal.Journal
	hints   *recent[bus.Aggregate, request.State] // nil: none
}

// remembered is how many requests a Reader remembers, about 8 KiB each; at most twice as many.
const remembered = 1024

// NewReader returns a Reader that remembers requests.
func NewReader(j *journal.Journal) Reader {
	return Reader{Journal: j, hints: newRecent[bus.Aggregate, request.State](remembered)}
}

type load func(context.Context, bus.Aggregate) ([]journal.Entry, error)

// states folds entries. A history that the journal finds corrupt becomes a state at fault.
func states[S any](ctx context.Context, from load, a bus.Aggregate, evolve func(S, uint64, *lockboxv1.Event) S, history func(*S) *event.History) (S, error) {
	var s S
	entries, err := from(ctx, a)
	var corrupt *journal.CorruptError
	if errors.As(err, &corrupt) {
		history(&s).Tenant, history(&s).Kind, history(&s).ID = a.Tenant, a.Kind, a.ID
		history(&s).Fail(corrupt.Seq, corrupt.Rule)
		return s, nil
	}
	if err != nil {
		return s, err
	}
	for _, e := range entries {
		s = evolve(s, e.Seq, e.Event)
	}
	return s, nil
}

// Request reads a request.
func (r Reader) Request(ctx context.Context, tenantID, id string) (request.State, error) {
	return r.request(ctx, r.Journal.Load, tenantID, id)
}

// ConfirmedRequest reads a request as fresh as the leader has it; for saying no.
func (r Reader) ConfirmedRequest(ctx context.Context, tenantID, id string) (request.State, error) {
	return r.request(ctx, r.Journal.LoadAtLeader, tenantID, id)
}

// RequestAt reads a request that includes its event at a sequence; 0: any. If what is remembered is that new it reads
// nothing, and another copy of the service may have gone on since: an append finds that out, everything else needs
// ConfirmedRequest.
func (r Reader) RequestAt(ctx context.Context, tenantID, id string, sequence uint64) (request.State, error) {
	if s, known := r.hints.get(requestKey(tenantID, id)); known && s.Sequence >= sequence {
		return s, nil
	}
	s, err := r.Request(ctx, tenantID, id)
	if err == nil && s.Sequence < sequence {
		s, err = r.ConfirmedRequest(ctx, tenantID, id)
	}
	if err == nil && s.Fault == nil && s.Version > 0 {
		r.hints.update(requestKey(tenantID, id), func(before request.State) (request.State, bool) { return s, s.Version > before.Version })
	}
	return s, err
}

// Saw remembers an event of a request that was just written or delivered, if it is the next one.
func (r Reader) Saw(sequence uint64, e *lockboxv1.Event) {
	if e.GetKind() != bus.KindRequest {
		return
	}
	r.hints.update(bus.AggregateOf(e), func(before request.State) (request.State, bool) {
		if e.GetVersion() != before.Version+1 {
			return before, false
		}
		s := request.Evolve(before, sequence, e)
		return s, s.Fault == nil
	})
}

// Forget drops what is remembered of a request, after an append that was refused.
func (r Reader) Forget(tenantID, id string) { r.hints.drop(requestKey(tenantID, id)) }

func requestKey(tenantID, id string) bus.Aggregate {
	return bus.Aggregate{Tenant: tenantID, Kind: bus.KindRequest, ID: id}
}

func (r Reader) request(ctx context.Context, from load, tenantID, id string) (request.State, error) {
	return states(ctx, from, requestKey(tenantID, id), request.Evolve,
		func(s *request.State) *event.History { return &s.History })
}

// Tenant reads a tenant at the leader.
func (r Reader) Tenant(ctx context.Context, id string) (tenant.State, error) {
	return states(ctx, r.Journal.LoadAtLeader, bus.Aggregate{Tenant: id, Kind: bus.KindTenant, ID: id}, tenant.Evolve,
		func(s *tenant.State) *event.History { return &s.History })
}

// Subscription reads one of a tenant's subscriptions at the leader.
func (r Reader) Subscription(ctx context.Context, tenantID, id string) (tenant.Subscription, error) {
	return states(ctx, r.Journal.LoadAtLeader, bus.Aggregate{Tenant: tenantID, Kind: bus.KindSubscription, ID: id}, tenant.EvolveSubscription,
		func(s *tenant.Subscription) *event.History { return &s.History })
}

// Ticket reads a tenant's ticket.
func (r Reader) Ticket(ctx context.Context, tenantID, id string) (ticket.State, error) {
	return states(ctx, r.Journal.LoadAtLeader, bus.Aggregate{Tenant: tenantID, Kind: bus.KindTicket, ID: id}, ticket.Evolve,
		func(s *ticket.State) *event.History { return &s.History })
}

// World reads what a decision about a request rests on: the tenant, and the subscription unless the request is
// tenant-scoped (an empty subscription id).
func (r Reader) World(ctx context.Context, tenantID, subscriptionID string) (request.World, error) {
	t, err := r.Tenant(ctx, tenantID)
	if err != nil || subscriptionID == "" {
		return request.World{Tenant: t}, err
	}
	s, err := r.Subscription(ctx, tenantID, subscriptionID)
	return request.World{Tenant: t, Subscription: &s}, err
}
