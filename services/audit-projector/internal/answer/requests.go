package answer

import (
	"context"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
)

// chunk is the number of requests that are read and folded at once.
const chunk = 100

func (v *viewer) listRequests(ctx context.Context, ask *lockboxv1.ListRequests) (*lockboxv1.RequestList, error) {
	f, limit, err := v.requestFilter(ctx, ask)
	if err != nil {
		return nil, err
	}
	if !v.sees() {
		return nil, notFound()
	}
	list, size, atOnce := new(lockboxv1.RequestList), 0, min(chunk, limit+1)
	if ask.GetCount() {
		if list.Total, err = v.CountRequests(ctx, v.scope, f, v.now); err != nil {
			return nil, err
		}
	}
	for {
		rows, err := v.Requests(ctx, v.scope, f, v.now, atOnce)
		if err != nil {
			return nil, err
		}
		states, err := v.States(ctx, rows)
		if err != nil {
			return nil, err
		}
		for i, s := range states {
			if ask.GetAwaitingMe() && !v.awaited(s) {
				continue
			}
			shown := v.request(s)
			size += fit(shown) + 8
			if full := len(list.GetRequests()); full == limit || full > 0 && size > largest {
				// The last request examined is on this page; the next page begins after it.
				list.NextPageToken = pageToken(f.Before)
				return list, nil
			}
			list.Requests = append(list.Requests, shown)
			f.Before = rows[i].Sequence
		}
		if len(rows) < atOnce {
			return list, nil
		}
		f.Before = rows[len(rows)-1].Sequence
	}
}

func (v *viewer) requestFilter(
	ctx context.Context, ask *lockboxv1.ListRequests,
) (f projection.RequestFilter, limit int, err error) {
	for _, s := range ask.GetStatuses() {
		if _, known := lockboxv1.RequestStatus_name[int32(s)]; !known || s == request.None {
			return f, 0, refusal.Invalid("list_requests.statuses", "R25", "there is no status %d", s)
		}
		if !slices.Contains(f.Statuses, s) {
			f.Statuses = append(f.Statuses, s)
		}
	}
	if f.SubscriptionID = ask.GetSubscriptionId(); f.SubscriptionID != "" {
		if err := input.Token("list_requests.subscription_id", f.SubscriptionID); err != nil {
			return f, 0, err
		}
	}
	if ask.GetAwaitingMe() {
		f.Waiting = append(groups(v.by), projection.Person(v.by.GetPerson()))
	}
	if f.Waived = ask.GetWaived(); !f.Waived && ask.GetWaivedSince() != nil {
		return f, 0, refusal.Invalid("list_requests.waived_since", "R3",
			"is a time from which access without asking the customer is listed; it needs waived")
	}
	if f.WaivedSince, err = moment("list_requests.waived_since", "R3", ask.GetWaivedSince()); err != nil {
		return f, 0, err
	}
	if named := ask.GetTicketId(); named != "" {
		if f.Tickets, err = v.ticketsNamed(ctx, "list_requests.ticket_id", named); err != nil {
			return f, 0, err
		}
		if len(f.Tickets) == 0 {
			f.TicketID = aggregate.TicketID(named) // of a request that was refused because there is no such ticket
		}
	}
	if f.Before, err = pageBefore("list_requests.page_token", ask.GetPageToken()); err != nil {
		return f, 0, err
	}
	limit, err = pageLimit("list_requests.limit", ask.GetLimit())
	return f, limit, err
}

func (v *viewer) getRequest(ctx context.Context, id string) (*lockboxv1.RequestView, error) {
	// The reports would reveal the addresses of the customer's people.
	_, timeline, err := v.history(ctx, "get_request.request_id", id, !v.reduced)
	if err != nil {
		return nil, err
	}
	state := foldRequest(timeline)
	if v.reduced {
		timeline = view.EventsForProvider(timeline)
	}
	shown := v.request(state)
	shown.Timeline = view.Timeline(timeline, v.language)
	shown.Deliveries = view.Deliveries(timeline)
	shown.Allowed = v.allowed(state)
	if !v.reduced {
		if shown.NeverSignedIn, err = v.unseen(ctx, state.Tenant, shown.GetLockbox().GetApprovers()); err != nil {
			return nil, err
		}
	}
	shown.ActivateFirst = v.activatesFirst(state)
	fit(shown)
	return shown, nil
}

// history finds the request that a field of the query names, and reads its events.
func (v *viewer) history(
	ctx context.Context, field, id string, reports bool,
) (projection.Row, []projection.Event, error) {
	if err := input.Token(field, id); err != nil {
		return projection.Row{}, nil, err
	}
	rows, err := v.Requests(ctx, v.scope, projection.RequestFilter{ID: id}, v.now, 2)
	if err != nil {
		return projection.Row{}, nil, err
	}
	if !v.sees() || len(rows) == 0 {
		if rows, err = v.askedBefore(ctx, id); err != nil {
			return projection.Row{}, nil, err
		}
	}
	switch {
	case len(rows) == 0:
		return projection.Row{}, nil, notFound()
	case len(rows) > 1:
		return projection.Row{}, nil, refusal.Invalid("tenant", "I9",
			"is required: several tenants have a request of that id")
	}
	events, err := v.History(ctx, rows, reports)
	return rows[0], events[rows[0].Sequence], err
}

// askedBefore finds a request for somebody who was asked about it and whose role is not activated now: the link in
// their mail leads somewhere, and they see what to activate. Whoever lost the role sees nothing (R20, R21).
func (v *viewer) askedBefore(ctx context.Context, id string) ([]projection.Row, error) {
	if v.customer == nil || v.by.GetSide() != lockboxv1.Side_SIDE_TENANT {
		return nil, nil
	}
	all := projection.Scope{Tenant: v.scope.Tenant, All: true}
	rows, err := v.Requests(ctx, all, projection.RequestFilter{ID: id}, v.now, 2)
	if len(rows) != 1 || err != nil {
		return nil, err
	}
	events, err := v.History(ctx, rows, false)
	if err != nil || !v.activatesFirst(foldRequest(events[rows[0].Sequence])) {
		return nil, err
	}
	return rows, nil
}

// activatesFirst reports whether the caller was asked about a request, and has to activate a role to decide.
func (v *viewer) activatesFirst(s request.State) bool {
	mine := func(p *lockboxv1.Person) bool { return tenant.SamePerson(p, v.by.GetPerson()) }
	if v.customer == nil || !slices.ContainsFunc(s.Notified.GetApprovers(),
		func(a *lockboxv1.Approver) bool { return mine(a.GetPerson()) }) {
		return false
	}
	roles, groups := v.customer.Tenant.Roles.All(), v.customer.Tenant.Roles.GroupAssignments()
	if sub, has := v.customer.Subscription(s.Intent.GetSubscriptionId()); has {
		roles, groups = slices.Concat(roles, sub.Roles.All()), slices.Concat(groups, sub.Roles.GroupAssignments())
	}
	carries := func(g *lockboxv1.RoleAssignment) bool { return slices.Contains(v.by.GetGroups(), g.GetGroup()) }
	active := func(a tenant.Assignment) bool { return mine(a.GetPerson()) && a.Inactive(v.now) == 0 }
	waits := func(a tenant.Assignment) bool {
		why := a.Inactive(v.now)
		return mine(a.GetPerson()) && (why == lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED ||
			why == lockboxv1.ReasonCode_REASON_CODE_ACTIVATION_ENDED)
	}
	return !slices.ContainsFunc(roles, active) &&
		(slices.ContainsFunc(roles, waits) || slices.ContainsFunc(groups, carries))
}

func foldRequest(events []projection.Event) (s request.State) {
	for _, e := range events {
		if e.Event.GetKind() == aggregate.KindRequest {
			s = request.Evolve(s, e.Sequence, e.Event)
		}
	}
	return s
}

// request converts a request to what this viewer may see.
func (v *viewer) request(s request.State) *lockboxv1.RequestView {
	shown := view.Request(s, v.Customer(s.Tenant), v.now, v.language)
	if v.reduced {
		view.RequestForProvider(shown)
	}
	if v.by.GetSide() != lockboxv1.Side_SIDE_PROVIDER {
		view.RequestForCustomer(shown)
	}
	return shown
}
