// Package past reconstructs a past state from the stream alone, with the same fold code as everywhere else (R40). It
// reads no projection and changes nothing.
package past

import (
	"context"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
)

const rule = "R40"

// english is the language of the compliance team.
var english = activity.In("en")

// Stream is *journal.Journal.
type Stream interface {
	Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error
}

// At is a moment in a stream's past. What did not exist then is refused as NOT_FOUND.
type At struct {
	Stream Stream
	// Time is the moment. It is compared with the time in each event, not the time of storage: a restored stream has
	// been stored anew.
	Time time.Time
	// Tenant restricts the lookup to one tenant; empty for any.
	Tenant string
}

// Request returns a request with its timeline.
func (at At) Request(ctx context.Context, id string) (*lockboxv1.RequestView, error) {
	states, key, events, err := at.one(ctx, aggregate.KindRequest, id)
	if err != nil {
		return nil, err
	}
	v := view.Request(states.Request(key), nil, at.Time, english)
	v.Timeline = view.Timeline(events, english)
	return v, nil
}

// Ticket returns a ticket with its history, by its reference in any spelling, or by its id.
func (at At) Ticket(ctx context.Context, named string) (*lockboxv1.TicketView, error) {
	id, err := at.ticketID(ctx, named)
	if err != nil {
		return nil, err
	}
	states, key, events, err := at.one(ctx, aggregate.KindTicket, id)
	if err != nil {
		return nil, err
	}
	v := view.Ticket(states.Ticket(key.Tenant, key.ID))
	v.History = view.Timeline(events, english)
	return v, nil
}

// ticketID returns the id of the ticket that a name means; of a ticket that there never was, what it would be.
func (at At) ticketID(ctx context.Context, named string) (string, error) {
	var fits []ticket.Name
	err := at.Stream.Replay(ctx, journal.Replay{Tenant: at.Tenant, Kind: aggregate.KindTicket, Type: "TicketOpened"},
		func(e journal.Entry) error {
			n := ticket.Name{ID: e.Event.GetAggregateId(), Reference: ticket.Reference(e.Event)}
			if n.Fits(named) && !slices.Contains(fits, n) { // two tenants may have one
				fits = append(fits, n)
			}
			return nil
		})
	if err != nil {
		return "", err
	}
	picked, found, err := ticket.Pick("ticket", named, fits)
	if err == nil && !found {
		picked.ID = aggregate.TicketID(named)
	}
	return picked.ID, err
}

// TenantView returns a tenant with its settings, subscriptions and roles.
func (at At) TenantView(ctx context.Context, id string) (*lockboxv1.TenantView, error) {
	at.Tenant = id
	states, _, _, err := at.one(ctx, aggregate.KindTenant, id)
	if err != nil {
		return nil, err
	}
	c := &projection.Customer{Tenant: states.Tenant(id), Subscriptions: map[string]tenant.Subscription{}}
	_, err = at.read(ctx, aggregate.KindSubscription, "", func(e journal.Entry) {
		states.Add(e.Seq, e.Event)
		of := e.Event.GetAggregateId()
		c.Subscriptions[of] = states.Subscription(id, of)
	})
	return view.Tenant(c, at.Time), err
}

// Disclosure returns a disclosure outside any request.
func (at At) Disclosure(ctx context.Context, id string) (*lockboxv1.DisclosureView, error) {
	states, key, _, err := at.one(ctx, aggregate.KindDisclosure, id)
	if err != nil {
		return nil, err
	}
	return view.Disclosure(states.Disclosure(key.Tenant, key.ID)), nil
}

// Published returns aggregate.Rules or aggregate.Catalogue as in force then. It is NOT_FOUND for the time before the
// first publication, when the built-in one was in force.
func (at At) Published(ctx context.Context, about aggregate.Key) (policy.Published, error) {
	at.Tenant = about.Tenant
	states := repository.States{}
	_, err := at.read(ctx, about.Kind, about.ID, func(e journal.Entry) { states.Add(e.Seq, e.Event) })
	return states.Published(about), err
}

// one folds the events of one aggregate, and returns its key and the events.
func (at At) one(
	ctx context.Context, kind, id string,
) (states repository.States, key aggregate.Key, events []projection.Event, err error) {
	states = repository.States{}
	several := false
	later, err := at.read(ctx, kind, id, func(e journal.Entry) {
		states.Add(e.Seq, e.Event)
		of := aggregate.KeyOf(e.Event)
		several = several || len(events) > 0 && of != key
		key = of
		events = append(events, projection.Event{Sequence: e.Seq, Bytes: e.Data, Event: e.Event})
	})
	switch {
	case err != nil:
	case several:
		err = refusal.OfKind(
			refusal.Invalid("tenant", rule, "is required: several tenants have a %s of that id", kind),
			"tenant-needed")
	case len(events) == 0 && later > 0:
		err = refusal.NotFound("time", rule, "there was no such %s yet at that time", kind)
	case len(events) == 0:
		err = refusal.NotFound(kind, rule, "there is no such %s", kind)
	}
	return states, key, events, err
}

// read reads the events up to the moment, and counts the later ones.
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
