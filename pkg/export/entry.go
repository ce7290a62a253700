package export

import (
	"cmp"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Entry returns an event read from the stream as an entry for export: in English, and with only what the event itself
// says. Begun adds the rest.
func Entry(sequence uint64, e *lockboxv1.Event) *lockboxv1.Activity {
	return activity.In("en").Activity(sequence, e)
}

// Began is where a request or a ticket began: its tenant, kind and id, and the type of its first event.
type Began struct{ Tenant, Kind, ID, Type string }

// BeganAs returns where the request or ticket of an entry began, whose first event says what the later ones do not; the
// zero value if the entry is of neither.
func BeganAs(a *lockboxv1.Activity) Began {
	switch {
	case a.GetTenant() == "" || a.GetTenant() == aggregate.ProviderTenant:
	case a.GetRequestId() != "":
		return Began{a.GetTenant(), aggregate.KindRequest, a.GetRequestId(), "AccessRequested"}
	case a.GetKind() == aggregate.KindTicket:
		return Began{a.GetTenant(), aggregate.KindTicket, a.GetAggregateId(), "TicketOpened"}
	}
	return Began{}
}

// Begun adds to an entry what the first event of its request or ticket says: subscription, ticket, who asked for the
// access, for which resources, and whether it is an emergency. A nil event adds nothing.
func Begun(a *lockboxv1.Activity, first *lockboxv1.Event) {
	if in := first.GetAccessRequested().GetIntent(); in != nil {
		a.Requester, a.RequestedResourceIds, a.Emergency = first.GetActor(), in.GetResourceIds(), in.GetEmergency()
		a.SubscriptionId, a.TicketId = cmp.Or(a.GetSubscriptionId(), in.GetSubscriptionId()), in.GetTicketId()
	}
	if t := first.GetTicketOpened(); t != nil {
		a.SubscriptionId = cmp.Or(a.GetSubscriptionId(), t.GetSubscriptionId())
		a.TicketId = cmp.Or(t.GetReference(), first.GetAggregateId())
	}
}

// AboutAccess returns where the request or ticket of an access record began; the zero value if it is about neither.
func AboutAccess(r *lockboxv1.AccessRecord) Began {
	a := &lockboxv1.Activity{Tenant: r.GetTenant(), Kind: r.GetAboutKind(), AggregateId: r.GetAboutId()}
	switch a.GetKind() {
	case aggregate.KindRequest:
		a.RequestId = a.GetAggregateId()
	case aggregate.KindTicket: // it was asked for by its reference, in any spelling, or by its id
		a.AggregateId = aggregate.TicketID(a.GetAggregateId())
	}
	if input.Token("about_id", a.GetAggregateId()) != nil { // whoever was refused may have named anything
		return Began{}
	}
	return BeganAs(a)
}

// AccessBegun adds to an access record what the first event of its request or ticket says. A nil event adds nothing.
func AccessBegun(r *lockboxv1.AccessRecord, first *lockboxv1.Event) {
	a := new(lockboxv1.Activity)
	Begun(a, first)
	r.SubscriptionId, r.ResourceIds, r.TicketId = a.GetSubscriptionId(), a.GetRequestedResourceIds(), a.GetTicketId()
	r.Emergency = a.GetEmergency()
}

// reached returns the resources that an entry is about: those that its event names, or else those that were asked for.
func reached(a *lockboxv1.Activity) []string {
	if ids := a.GetResourceIds(); len(ids) > 0 {
		return ids
	}
	return a.GetRequestedResourceIds()
}
