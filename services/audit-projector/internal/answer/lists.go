package answer

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (v *viewer) listActivity(ctx context.Context, ask *lockboxv1.ListActivity) (*lockboxv1.ActivityList, error) {
	f, limit, err := activityFilter(ask)
	if err != nil {
		return nil, err
	}
	if !v.sees() {
		return nil, notFound()
	}
	list, size := new(lockboxv1.ActivityList), 0
	found, err := v.Activities(ctx, v.scope, f, limit+1)
	if err != nil {
		return nil, err
	}
	rest := "" // of the log, however much of the page is hidden
	if len(found) > limit {
		rest = pageToken(found[limit-1].Sequence)
	}
	if v.reduced {
		if f.Person != "" { // whom the customer does not name cannot be guessed either
			found = slices.DeleteFunc(found, v.unnamed)
		}
		found = view.EventsForProvider(found, v.Customers())
	}
	firsts, signed := map[export.Began]*lockboxv1.Event{}, signatures{}
	for _, e := range found {
		signature, err := v.signature(ctx, e, signed)
		if err != nil {
			return nil, err
		}
		if v.by.GetSide() == lockboxv1.Side_SIDE_TENANT {
			e.Event = activity.ForCustomer(e.Event)
		}
		shown := view.Activity(e, v.language)
		shown.Entry.Signature = signature
		if err := v.begun(ctx, shown, firsts); err != nil {
			return nil, err
		}
		size += proto.Size(shown) + 8
		if full := len(list.GetActivities()); full == limit || full > 0 && size > largest {
			list.NextPageToken = pageToken(f.Before)
			break
		}
		list.Activities = append(list.Activities, shown)
		f.Before = e.Sequence
	}
	list.NextPageToken = cmp.Or(list.GetNextPageToken(), rest)
	return list, nil
}

// unnamed reports whether the customer does not wish the provider's engineers to know who caused an event.
func (v *viewer) unnamed(e projection.Event) bool {
	c := v.Customer(e.Event.GetTenant())
	return e.Event.GetActor().GetSide() == lockboxv1.Side_SIDE_TENANT && c != nil &&
		c.Tenant.Settings.GetDecidersShown() == lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION
}

// begun adds to an entry what only the beginning of its request or ticket says. firsts remembers these for the page.
func (v *viewer) begun(ctx context.Context, a *lockboxv1.Activity, firsts map[export.Began]*lockboxv1.Event) error {
	first, err := v.known(ctx, export.BeganAs(a), firsts)
	export.Begun(a, first)
	return err
}

// accessBegun is begun for an access record.
func (v *viewer) accessBegun(
	ctx context.Context, r *lockboxv1.AccessRecord, firsts map[export.Began]*lockboxv1.Event,
) error {
	first, err := v.known(ctx, export.AboutAccess(r), firsts)
	export.AccessBegun(r, first)
	return err
}

// known is first, from what is remembered; nil for the zero value.
func (v *viewer) known(
	ctx context.Context, began export.Began, firsts map[export.Began]*lockboxv1.Event,
) (*lockboxv1.Event, error) {
	first, known := firsts[began]
	if known || began.ID == "" {
		return first, nil
	}
	first, err := v.first(ctx, began)
	firsts[began] = first // nil: not every caller is shown it
	return first, err
}

// first returns the first event of a request or a ticket; nil if there is none that the caller may see.
func (v *viewer) first(ctx context.Context, began export.Began) (*lockboxv1.Event, error) {
	if began.Kind == aggregate.KindRequest {
		f := projection.ActivityFilter{RequestID: began.ID, Types: []string{began.Type}}
		found, err := v.Activities(ctx, v.scope, f, 2)
		for _, e := range found {
			if e.Event.GetTenant() == began.Tenant {
				return e.Event, nil
			}
		}
		return nil, err
	}
	rows, err := v.ticketRows(ctx, began.ID, mostNamed)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r projection.Row) bool { return r.Tenant != began.Tenant || r.ID != began.ID })
	history, err := v.History(ctx, rows, false)
	for _, r := range rows {
		if events := history[r.Sequence]; err == nil && len(events) > 0 {
			return events[0].Event, nil
		}
	}
	return nil, err
}

func activityFilter(ask *lockboxv1.ListActivity) (f projection.ActivityFilter, limit int, err error) {
	for _, a := range ask.GetActions() {
		types := activity.Types(a)
		if len(types) == 0 {
			return f, 0, refusal.Invalid("list_activity.actions", "R39",
				"there is no such action; among those there are: Create Lockbox Request, CustomerApproved")
		}
		f.Types = append(f.Types, types...)
	}
	slices.Sort(f.Types)
	f.Types = slices.Compact(f.Types)
	if f.Since, err = moment("list_activity.since", "R39", ask.GetSince()); err != nil {
		return f, 0, err
	}
	if f.Until, err = moment("list_activity.until", "R39", ask.GetUntil()); err != nil {
		return f, 0, err
	}
	f.TenantLevel = ask.GetTenantLevel()
	f.Person, f.Resource, f.SubscriptionID, f.RequestID = ask.GetPerson(), ask.GetResource(), ask.GetSubscriptionId(),
		ask.GetRequestId()
	for _, err := range []error{
		prose.CheckLine("list_activity.person", f.Person, 0, 320),
		prose.CheckLine("list_activity.resource", f.Resource, 0, resource.MaxLength+1), // it may end with a slash
		prose.CheckLine("list_activity.subscription_id", f.SubscriptionID, 0, 64),
		prose.CheckLine("list_activity.request_id", f.RequestID, 0, 64),
		prose.CheckLine("list_activity.export", ask.GetExport(), 0, 40),
	} {
		if err != nil {
			return f, 0, err
		}
	}
	if f.Before, err = pageBefore("list_activity.page_token", ask.GetPageToken()); err != nil {
		return f, 0, err
	}
	limit, err = pageLimit("list_activity.limit", ask.GetLimit())
	return f, limit, err
}

func moment(field, rule string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, refusal.OfKind(
			refusal.Invalid(field, rule, "is not a time between the years 1 and 9999"),
			"time-range")
	}
	return t.AsTime(), nil
}

func (v *viewer) getTenant(ctx context.Context) (*lockboxv1.TenantView, error) {
	var shown *lockboxv1.TenantView
	switch {
	case v.customer != nil && v.reduced && aggregate.Provider(v.by, aggregate.Onboarding):
		return v.withKeys(view.Onboarded(v.customer, v.now)), nil
	case v.customer == nil || v.reduced:
		return nil, notFound()
	case v.scope.All:
		shown = view.Tenant(v.customer, v.now)
	default:
		if shown = view.OwnTenant(v.customer, v.by, v.scope.Subscriptions, v.now); shown == nil {
			return nil, notFound()
		}
	}
	return v.withKeys(shown), v.markUnseen(ctx, shown)
}

// withKeys adds what is known of the keys of the issuers that the tenant's people sign in at.
func (v *viewer) withKeys(t *lockboxv1.TenantView) *lockboxv1.TenantView {
	most := 50 // keys passed over, of all issuers together
	keys := func(of *lockboxv1.TenantIssuer) *lockboxv1.IssuerKeys {
		set := v.verifier.TenantKeySet(of)
		known := &lockboxv1.IssuerKeys{Usable: uint32(set.Len())} // #nosec G115 -- as many as fit into a megabyte
		for _, k := range set.PassedOver() {
			if most > 0 {
				known.PassedOver = append(known.PassedOver, k.String())
				known.CodedPassedOver = append(known.CodedPassedOver, k.Reason)
			}
			most--
		}
		return known
	}
	present := keys(t.GetSignIn().GetIssuer())
	t.IssuerKeys, t.IssuerKeysPassedOver = present.GetUsable(), present.GetPassedOver()
	t.IssuerKeysCodedPassedOver = present.GetCodedPassedOver()
	for _, former := range t.GetSignIn().GetFormer() {
		t.SignIn.FormerKeys = append(t.SignIn.FormerKeys, keys(former))
	}
	return t
}

func (v *viewer) previewApprovers(
	ctx context.Context, subscriptionID string,
) (*lockboxv1.ApproversPreview, error) {
	if subscriptionID != "" {
		if err := input.Token("preview_approvers.subscription_id", subscriptionID); err != nil {
			return nil, err
		}
	}
	owns := func(id string) bool { return resource.Fold(id) == resource.Fold(subscriptionID) }
	if v.customer == nil || v.reduced || !v.scope.All && !slices.ContainsFunc(v.scope.Subscriptions, owns) {
		return nil, notFound()
	}
	var of *tenant.Subscription
	if subscriptionID != "" {
		s, there := v.customer.Subscription(subscriptionID)
		if !there {
			return nil, notFound()
		}
		of = &s
	}
	shown := view.Approvers(v.customer, of, v.now)
	var err error
	shown.NeverSignedIn, err = v.unseen(ctx, v.customer.Tenant.ID, shown.GetApprovers())
	return shown, err
}

func (v *viewer) getTicket(ctx context.Context, named string) (*lockboxv1.TicketView, error) {
	rows, err := v.ticketsNamed(ctx, "get_ticket.ticket_id", named)
	if err != nil {
		return nil, err
	}
	switch len(rows) {
	case 0:
		return nil, notFound()
	case 1:
	default:
		return nil, refusal.OfKind(
			refusal.Invalid("tenant", "I9", "is required: several tenants have a ticket of that id"),
			"tenant-needed")
	}
	history, err := v.History(ctx, rows, false)
	if err != nil {
		return nil, err
	}
	events := history[rows[0].Sequence]
	shown := view.Ticket(foldTicket(events))
	shown.History = view.Timeline(events, v.language)
	fitTicket(shown)
	return shown, nil
}

func (v *viewer) listTickets(ctx context.Context, wanted uint32) (*lockboxv1.TicketList, error) {
	limit, err := pageLimit("list_tickets.limit", wanted)
	if err != nil {
		return nil, err
	}
	rows, err := v.ticketRows(ctx, "", limit)
	if err != nil {
		return nil, err
	}
	history, err := v.History(ctx, rows, false)
	if err != nil {
		return nil, err
	}
	list, size := new(lockboxv1.TicketList), 0
	for _, r := range rows {
		shown := view.Ticket(foldTicket(history[r.Sequence]))
		if size += proto.Size(shown) + 8; size > largest {
			break
		}
		list.Tickets = append(list.Tickets, shown)
	}
	return list, nil
}

// mostNamed is how many tickets with references that fold together are looked at.
const mostNamed = 100

// ticketsNamed returns the tickets that somebody names by a reference, in any spelling, or by an id: at most one of
// each tenant. It refuses (CONFLICT, naming the field) a name that fits several tickets of a tenant, none of them
// exactly.
func (v *viewer) ticketsNamed(ctx context.Context, field, named string) (picked []projection.Row, err error) {
	if err := aggregate.CheckReference(field, prose.Line(named)); err != nil {
		return nil, err
	}
	rows, err := v.ticketRows(ctx, named, mostNamed)
	if err != nil {
		return nil, err
	}
	history, err := v.History(ctx, rows, false)
	if err != nil {
		return nil, err
	}
	fits, byName := map[string][]ticket.Name{}, map[[2]string]projection.Row{}
	for _, r := range rows {
		fits[r.Tenant] = append(fits[r.Tenant], ticket.Name{ID: r.ID, Reference: foldTicket(history[r.Sequence]).Reference})
		byName[[2]string{r.Tenant, r.ID}] = r
	}
	for _, tenantID := range slices.Sorted(maps.Keys(fits)) {
		name, _, err := ticket.Pick(field, named, fits[tenantID])
		if err != nil {
			return nil, err
		}
		picked = append(picked, byName[[2]string{tenantID, name.ID}])
	}
	return picked, nil
}

// ticketRows returns all tickets to people who work on tickets. Others of the customer see those that they opened, and
// those of the subscriptions and requests that they see (R11, R25); the provider's ticket system, those that it opened
// (R61).
func (v *viewer) ticketRows(ctx context.Context, named string, limit int) ([]projection.Row, error) {
	if v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER && !v.tickets &&
		!aggregate.Provider(v.by, aggregate.TicketSystems) {
		return nil, nil
	}
	scope := projection.Scope{Tenant: v.scope.Tenant, All: v.tickets, Subscriptions: v.scope.Subscriptions}
	return v.Tickets(ctx, scope, v.by.GetPerson(), named, limit)
}

func foldTicket(events []projection.Event) ticket.State {
	var s ticket.State
	for _, e := range events {
		s = ticket.Evolve(s, e.Sequence, e.Event)
	}
	return s
}
