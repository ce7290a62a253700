package answer

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// chunk is the number of requests that are read and folded at once.
const chunk = 100

// shortestPart is the minimum number of characters of an abbreviated request id.
const shortestPart = 4

func (v *viewer) listRequests(ctx context.Context, ask *lockboxv1.ListRequests) (*lockboxv1.RequestList, error) {
	const field = "list_requests"
	f, err := v.requestFilter(ctx, field, ask)
	if err != nil {
		return nil, err
	}
	if f, err = placed(f, field, ask); err != nil {
		return nil, err
	}
	limit, err := pageLimit(field+".limit", ask.GetLimit())
	if err != nil {
		return nil, err
	}
	if !v.sees() {
		return nil, notFound()
	}
	list, first := new(lockboxv1.RequestList), f
	if ask.GetCount() {
		if list.Total, err = v.CountRequests(ctx, v.scope, f, v.now); err != nil {
			return nil, err
		}
	}
	rows, more, err := v.page(ctx, ask, f, limit, list)
	if err != nil || len(rows) == 0 {
		if list.GetTotal() > 0 && ask.GetPageToken() == "" {
			list.Total = 0 // what matched is not the caller's to decide
		}
		return list, err
	}
	if first.Backward {
		slices.Reverse(list.GetRequests())
		slices.Reverse(rows)
	}
	begin, end := placeToken(first, rows[0], true), placeToken(first, rows[len(rows)-1], false)
	if first.Backward || more {
		list.NextPageToken = end
	}
	if more && first.Backward || !first.Backward && ask.GetPageToken() != "" {
		list.PreviousPageToken = begin
	}
	if ask.GetCount() && list.GetNextPageToken() == "" && list.GetPreviousPageToken() == "" {
		list.Total = uint64(len(rows)) // the rules were asked about each
	}
	return list, nil
}

// page adds a page to a list, in the order in which the filter lists. It returns the rows of what it added; more
// reports that others follow.
func (v *viewer) page(
	ctx context.Context, ask *lockboxv1.ListRequests, f projection.RequestFilter, limit int, list *lockboxv1.RequestList,
) (added []projection.Row, more bool, err error) {
	size, atOnce := 0, min(chunk, limit+1)
	for {
		rows, err := v.Requests(ctx, v.scope, f, v.now, atOnce)
		if err != nil {
			return nil, false, err
		}
		states, err := v.States(ctx, rows)
		if err != nil {
			return nil, false, err
		}
		for i, s := range states {
			if ask.GetAwaitingMe() && !v.awaited(s) {
				continue
			}
			shown := v.request(s)
			view.WithoutStatements(shown)
			if ask.GetWithAllowed() {
				shown.Allowed = v.allowed(s)
			}
			size += fit(shown) + 8
			if full := len(added) == limit || len(added) > 0 && size > largest; full {
				return added, true, nil
			}
			list.Requests, added = append(list.Requests, shown), append(added, rows[i])
		}
		if len(rows) < atOnce {
			return added, false, nil
		}
		f = f.From(rows[len(rows)-1])
	}
}

// mostGroups limits the groups in a reply.
const mostGroups = 100

// groupRequests counts the requests of each ticket or engineer.
func (v *viewer) groupRequests(ctx context.Context, ask *lockboxv1.GroupRequests) (*lockboxv1.RequestGroups, error) {
	f, err := v.requestFilter(ctx, "group_requests.of", ask.GetOf())
	if err != nil {
		return nil, err
	}
	by, known := map[lockboxv1.RequestGrouping]projection.Grouping{
		lockboxv1.RequestGrouping_REQUEST_GROUPING_TICKET:   projection.ByTicket,
		lockboxv1.RequestGrouping_REQUEST_GROUPING_ENGINEER: projection.ByEngineer,
	}[ask.GetBy()]
	if !known {
		return nil, refusal.Invalid("group_requests.by", "R25", "must be ticket or engineer")
	}
	if !v.sees() {
		return nil, notFound()
	}
	groups, more, err := v.Groups(ctx, v.scope, f, by, v.now, mostGroups)
	if err != nil {
		return nil, err
	}
	rows := make([]projection.Row, len(groups))
	for i, g := range groups {
		rows[i] = g.Newest
	}
	states, err := v.States(ctx, rows)
	if err != nil {
		return nil, err
	}
	list := &lockboxv1.RequestGroups{More: more}
	for i, s := range states {
		shown := v.request(s)
		g := &lockboxv1.RequestGroup{Tenant: shown.GetTenant(), TenantName: shown.GetTenantName(), Count: groups[i].Count}
		if by == projection.ByEngineer {
			g.Requester = shown.GetRequester()
		} else {
			g.TicketId = shown.GetIntent().GetTicketId()
		}
		if at := rows[i].Deadline(); !at.IsZero() {
			g.NextDeadline = timestamppb.New(at)
		}
		list.Groups = append(list.Groups, g)
	}
	return list, nil
}

// requestFilter converts what a query asks for; field is where in the query it does.
func (v *viewer) requestFilter(
	ctx context.Context, field string, ask *lockboxv1.ListRequests,
) (f projection.RequestFilter, err error) {
	for _, s := range ask.GetStatuses() {
		if _, known := lockboxv1.RequestStatus_name[int32(s)]; !known || s == request.None {
			return f, refusal.Invalid(field+".statuses", "R25", "there is no status %d", s)
		}
		if !slices.Contains(f.Statuses, s) {
			f.Statuses = append(f.Statuses, s)
		}
	}
	if f.SubscriptionID = ask.GetSubscriptionId(); f.SubscriptionID != "" {
		if err := input.Token(field+".subscription_id", f.SubscriptionID); err != nil {
			return f, err
		}
	}
	if f.IDPart = strings.ToLower(ask.GetIdPart()); f.IDPart != "" &&
		(len(f.IDPart) < shortestPart || strings.Trim(f.IDPart, "0123456789abcdef-") != "") {
		return f, refusal.Naming(
			refusal.Invalid(field+".id_part", "R25",
				"is not part of a request ID: at least %d characters of its start or end", shortestPart),
			"least", strconv.Itoa(shortestPart))
	}
	if ask.GetAwaitingMe() {
		f.Waiting = append(groups(v.by), projection.Person(v.by.GetPerson()))
	}
	if f.Waived = ask.GetWaived(); !f.Waived && ask.GetWaivedSince() != nil {
		return f, refusal.Invalid(field+".waived_since", "R3",
			"is a time from which access without asking the customer is listed; it needs waived")
	}
	if f.WaivedSince, err = moment(field+".waived_since", "R3", ask.GetWaivedSince()); err != nil {
		return f, err
	}
	if named := ask.GetTicketId(); named != "" {
		if f.Tickets, err = v.ticketsNamed(ctx, field+".ticket_id", named); err != nil {
			return f, err
		}
		if len(f.Tickets) == 0 {
			f.TicketID = aggregate.TicketID(named) // of a request that was refused because there is no such ticket
		}
	}
	f.Named, err = v.named(field, ask)
	return f, err
}

// mostText limits the length of the texts that requests are found by, in characters.
const mostText = 256

// named converts what requests are found by.
func (v *viewer) named(field string, ask *lockboxv1.ListRequests) (projection.Named, error) {
	n := projection.Named{Service: ask.GetResourceType(), Emergency: ask.GetEmergency(), Engineer: ask.GetEngineer(),
		Subscription: ask.GetSubscription(), Text: ask.GetText()}
	for name, text := range map[string]string{"resource_type": n.Service, "engineer": n.Engineer,
		"subscription": n.Subscription, "text": n.Text} {
		if err := prose.CheckLine(field+"."+name, text, 0, mostText); err != nil {
			return n, err
		}
	}
	if ask.GetRequester() != nil {
		n.Requester = projection.Person(ask.GetRequester())
	}
	n.Subscriptions, n.TextSubscriptions = v.subscriptionsCalled(n.Subscription), v.subscriptionsCalled(n.Text)
	return n, nil
}

// subscriptionsCalled returns the IDs of the customers' subscriptions whose display names contain a text. It tells
// nothing: a list has only what the viewer may see.
func (v *viewer) subscriptionsCalled(text string) (ids []string) {
	if text == "" {
		return nil
	}
	for _, c := range v.Customers() {
		if v.scope.Tenant != "" && c != v.customer {
			continue
		}
		for id, s := range c.Subscriptions {
			if strings.Contains(strings.ToLower(s.Name), strings.ToLower(text)) && len(ids) < maxLimit {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// placed adds order and page to a filter.
func placed(
	f projection.RequestFilter, field string, ask *lockboxv1.ListRequests,
) (projection.RequestFilter, error) {
	switch ask.GetOrder() {
	case lockboxv1.RequestOrder_REQUEST_ORDER_UNSPECIFIED:
	case lockboxv1.RequestOrder_REQUEST_ORDER_DEADLINE:
		f.ByDeadline = true
		ended := func(s request.Status) bool { return s >= request.Completed }
		if !ask.GetAwaitingMe() && (len(f.Statuses) == 0 || slices.ContainsFunc(f.Statuses, ended)) {
			return f, refusal.OfKind(
				refusal.Invalid(field+".order", "R25",
					"by deadline are listed only requests that have not ended: name their statuses"),
				"order-of-ended")
		}
	default:
		return f, refusal.Invalid(field+".order", "R25", "there is no order %d", ask.GetOrder())
	}
	return pagePlace(f, field+".page_token", ask.GetPageToken())
}

func (v *viewer) getRequest(ctx context.Context, id string) (*lockboxv1.RequestView, error) {
	// The reports would reveal the addresses of the customer's people.
	_, timeline, err := v.history(ctx, "get_request.request_id", id, !v.reduced)
	if err != nil {
		return nil, err
	}
	state := foldRequest(timeline)
	var signed map[uint64]*lockboxv1.SignatureView // which keys people have is not for the provider's
	if v.reduced {
		timeline = view.EventsForProvider(timeline, v.Customers())
	} else if c := v.Customer(state.Tenant); c != nil {
		signed = view.Signatures(c.Keys, timeline)
		if err := v.counted(ctx, state.Tenant, c.Keys, timeline, signed); err != nil {
			return nil, err
		}
	}
	shown := v.request(state)
	shown.Timeline = view.Timeline(timeline, v.language)
	view.Sign(shown, signed)
	shown.Deliveries = view.Deliveries(timeline)
	shown.Allowed = v.allowed(state)
	if shown.Erasable, err = v.erasableOf(timeline); err != nil {
		return nil, err
	}
	if state.TicketID != "" { // the evaluation is not trusted with whose the ticket is
		opened, err := v.first(ctx, export.Began{Tenant: state.Tenant, Kind: aggregate.KindTicket, ID: state.TicketID,
			Type: "TicketOpened"})
		if err != nil {
			return nil, err
		}
		shown.TicketOfProvider = shown.GetTicketOfProvider() || opened != nil && !aggregate.Customer(opened.GetActor())
	}
	if !v.reduced {
		if v.receipts != nil {
			shown.LogKey = v.receipts.PublicKey()
		}
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
		return projection.Row{}, nil, refusal.OfKind(
			refusal.Invalid("tenant", "I9",
				"is required: several tenants have a request of that id"),
			"tenant-needed")
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
		view.RequestForProvider(shown, v.Customer(s.Tenant))
	}
	if v.by.GetSide() != lockboxv1.Side_SIDE_PROVIDER {
		view.RequestForCustomer(shown)
	}
	return shown
}
