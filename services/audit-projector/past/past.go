// Package past rebuilds what was, from the stream alone and with the code that folds it everywhere else (R40). It asks no
// projection and changes nothing.
package past

import (
	"context"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
)

const rule = "R40"

// english is what the compliance team reads.
var english = activity.In("en")

// Stream is *journal.Journal.
type Stream interface {
	Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error
}

// At is a moment in a stream's past. What there was not yet, or never, is refused as not found.
type At struct {
	Stream Stream
	// Time is the moment. What counts is the time that each event says itself: a stream that was restored has been stored anew.
	Time time.Time
	// Tenant is whose things are meant; empty: anybody's.
	Tenant string
}

// Request is a request with its timeline.
func (at At) Request(ctx context.Context, id string) (*lockboxv1.RequestView, error) {
	s, events, err := fold(ctx, at, bus.KindRequest, id, request.Evolve)
	if err != nil {
		return nil, err
	}
	v := view.Request(s, nil, at.Time, english)
	v.Timeline = view.Timeline(events, english)
	return v, nil
}

// Ticket is a ticket with its history.
func (at At) Ticket(ctx context.Context, id string) (*lockboxv1.TicketView, error) {
	s, events, err := fold(ctx, at, bus.KindTicket, id, ticket.Evolve)
	if err != nil {
		return nil, err
	}
	v := view.Ticket(s)
	v.History = view.Timeline(events, english)
	return v, nil
}

// TenantView is a tenant with its settings, subscriptions and roles.
func (at At) TenantView(ctx context.Context, id string) (*lockboxv1.TenantView, error) {
	at.Tenant = id
	s, _, err := fold(ctx, at, bus.KindTenant, id, tenant.Evolve)
	if err != nil {
		return nil, err
	}
	c := &projection.Customer{Tenant: s, Subscriptions: map[string]tenant.Subscription{}}
	_, err = at.read(ctx, bus.KindSubscription, "", func(e journal.Entry) {
		of := e.Event.GetAggregateId()
		c.Subscriptions[of] = tenant.EvolveSubscription(c.Subscriptions[of], e.Seq, e.Event)
	})
	return view.Tenant(c, at.Time), err
}

// Disclosure is what happened outside of any request.
func (at At) Disclosure(ctx context.Context, id string) (*lockboxv1.DisclosureView, error) {
	s, _, err := fold(ctx, at, bus.KindDisclosure, id, disclosure.Evolve)
	if err != nil {
		return nil, err
	}
	return view.Disclosure(s), nil
}

// Published is bus.Rules or bus.Catalogue as it was in force. It does not exist as long as the one that ships was.
func (at At) Published(ctx context.Context, about bus.Aggregate) (state policy.Published, err error) {
	at.Tenant = about.Tenant
	_, err = at.read(ctx, about.Kind, about.ID, func(e journal.Entry) { state = policy.Evolve(state, e.Seq, e.Event) })
	return state, err
}

// fold folds the events of one aggregate.
func fold[S any](ctx context.Context, at At, kind, id string, evolve func(S, uint64, *lockboxv1.Event) S) (state S, events []projection.Event, err error) {
	later, err := at.read(ctx, kind, id, func(e journal.Entry) {
		state = evolve(state, e.Seq, e.Event)
		events = append(events, projection.Event{Sequence: e.Seq, Bytes: e.Data, Event: e.Event})
	})
	switch {
	case err != nil:
		return state, nil, err
	case len(events) == 0 && later > 0:
		return state, nil, refusal.NotFound("time", rule, "there was no such %s yet at that time", kind)
	case len(events) == 0:
		return state, nil, refusal.NotFound(kind, rule, "there is no such %s", kind)
	}
	return state, events, nil
}

// read reads what there was already, and says how many events came later.
func (at At) read(ctx context.Context, kind, id string, was func(journal.Entry)) (later int, err error) {
	err = at.Stream.Replay(ctx, journal.Replay{Tenant: at.Tenant, Kind: kind, ID: id}, func(e journal.Entry) error {
		if e.Event.GetTime().AsTime().After(at.Time) {
			later++
			return nil
		}
		was(e)
		return nil
	})
	return later, err
}
