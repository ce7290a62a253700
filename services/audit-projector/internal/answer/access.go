package answer

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/accessdb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// AccessRecords is *accessdb.DB.
type AccessRecords interface {
	List(ctx context.Context, f accessdb.Filter, limit int) ([]accessdb.Record, error)
}

const exports, reads = lockboxv1.AccessKind_ACCESS_KIND_EXPORT, lockboxv1.AccessKind_ACCESS_KIND_READ

// Refuse returns the reply to a query that is not answered, and records that.
func (a *Answerer) Refuse(subject string, data []byte, why *lockboxv1.Refusal) *lockboxv1.QueryReply {
	q := new(lockboxv1.Query)
	_ = proto.Unmarshal(data, q)
	reply := &lockboxv1.QueryReply{Refusal: why}
	a.trace(subject, q, reply)
	return reply
}

// trace records who asked what, and got it or did not (R69): about the customer that the query names or, where the
// provider's people ask across customers, about each of whom there was something in the answer.
func (a *Answerer) trace(subject string, q *lockboxv1.Query, reply *lockboxv1.QueryReply) {
	if a.Trail == nil {
		return
	}
	why := reply.GetRefusal()
	if q.GetGetSignIn() != nil || why == nil && (q.GetGetSelf() != nil ||
		q.GetListServices() != nil || q.GetListScenarios() != nil) {
		return // no customer's data
	}
	name, sender, err := bus.ParseQuery(subject)
	if err != nil {
		return // nobody else can send there
	}
	found := results(reply)
	if q.GetTenant() != "" || len(found) == 0 {
		found = map[string]uint64{q.GetTenant(): found[q.GetTenant()]}
	}
	for _, tenant := range slices.Sorted(maps.Keys(found)) {
		r := asked(q)
		r.Tenant, r.Sender, r.Action, r.Results = tenant, sender, name, found[tenant]
		a.record(q, r, why)
	}
}

// TraceTool records that an engineering tool, which is known by its key on the bus, was told what happened to requests
// of a customer.
func (a *Answerer) TraceTool(subject string, list *lockboxv1.UpdateList) {
	tool, err := bus.ParseUpdatesSubject(subject)
	if err != nil {
		return
	}
	found := map[string]uint64{}
	for _, u := range list.GetUpdates() {
		found[u.GetTenant()]++
	}
	for _, tenant := range slices.Sorted(maps.Keys(found)) {
		a.Trail.Add(&lockboxv1.AccessRecord{Tenant: tenant, Kind: reads, Sender: string(bus.Tool(tool)),
			Action: "list_updates", Results: found[tenant],
			Who: &lockboxv1.AccessPerson{Subject: tool, Name: tool, Side: lockboxv1.Side_SIDE_PROVIDER}})
	}
}

// record completes a record about the caller of a query. Whose token counts no longer is not named by it, and a
// customer who does not exist has no records.
func (a *Answerer) record(q *lockboxv1.Query, r *lockboxv1.AccessRecord, why *lockboxv1.Refusal) {
	if why.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED {
		r.Who = accesslog.Who(a.Callers.By(q.GetTenant(), q.GetToken()))
	}
	accesslog.Refused(r, why)
	if customers, err := a.Store.Customers(); err != nil || customers[r.GetTenant()] == nil {
		r.Tenant = ""
	}
	a.Trail.Add(r)
}

func refusalOf(err error) *lockboxv1.Refusal {
	if err == nil {
		return nil
	}
	return refusal.Of(err)
}

// asked returns what a record says of a query itself.
func asked(q *lockboxv1.Query) *lockboxv1.AccessRecord {
	r := &lockboxv1.AccessRecord{Kind: reads}
	about := func(kind, id string) *lockboxv1.AccessRecord {
		r.AboutKind, r.AboutId = kind, id
		return r
	}
	switch ask := q.GetAsk().(type) {
	case *lockboxv1.Query_GetRequest:
		return about(aggregate.KindRequest, ask.GetRequest.GetRequestId())
	case *lockboxv1.Query_ListSimilar:
		filtered(r, filterOf(&lockboxv1.ListSimilar{ResourceType: ask.ListSimilar.GetResourceType(),
			Scenario: ask.ListSimilar.GetScenario()})...)
		if id := ask.ListSimilar.GetSubscriptionId(); id != "" {
			return about(aggregate.KindSubscription, id)
		}
	case *lockboxv1.Query_GetReceipt:
		r.Kind, r.Format = exports, "receipt"
		if ask.GetReceipt.GetKeys() {
			return about(aggregate.KindKeys, aggregate.Keys("").ID)
		}
		return about(aggregate.KindRequest, ask.GetReceipt.GetRequestId())
	case *lockboxv1.Query_GetApprovalFile:
		r.Kind, r.Format = exports, "approval-file"
		return about(aggregate.KindRequest, ask.GetApprovalFile.GetRequestId())
	case *lockboxv1.Query_GetSigning:
		switch of := ask.GetSigning.GetAbout().(type) {
		case *lockboxv1.GetSigning_RequestId:
			return about(aggregate.KindRequest, of.RequestId)
		case *lockboxv1.GetSigning_SubscriptionId:
			return about(aggregate.KindSubscription, of.SubscriptionId)
		}
	case *lockboxv1.Query_GetTicket:
		return about(aggregate.KindTicket, ask.GetTicket.GetTicketId())
	case *lockboxv1.Query_PreviewApprovers:
		if id := ask.PreviewApprovers.GetSubscriptionId(); id != "" {
			return about(aggregate.KindSubscription, id)
		}
	case *lockboxv1.Query_ListActivity:
		if r.Format = ask.ListActivity.GetExport(); r.Format != "" {
			r.Kind = exports
		}
		r.FilterSince, r.FilterUntil = ask.ListActivity.GetSince(), ask.ListActivity.GetUntil()
		filtered(r, filterOf(ask.ListActivity)...)
	case *lockboxv1.Query_ListAccess:
		r.FilterSince, r.FilterUntil = ask.ListAccess.GetSince(), ask.ListAccess.GetUntil()
		filtered(r, filterOf(ask.ListAccess)...)
	case *lockboxv1.Query_GetOverview:
		filtered(r, filterOf(ask.GetOverview)...)
	case *lockboxv1.Query_GetDashboard:
		filtered(r, filterOf(ask.GetDashboard)...)
	case *lockboxv1.Query_ListRequests:
		r.FilterSince = ask.ListRequests.GetWaivedSince()
		filtered(r, filterOf(ask.ListRequests)...)
	case *lockboxv1.Query_GroupRequests:
		filtered(r, slices.Concat(filterOf(ask.GroupRequests.GetOf()), filterOf(ask.GroupRequests))...)
	}
	return r
}

// filterOf returns the filter of a list as terms, without what only says how much of it is wanted.
func filterOf(ask proto.Message) (terms []*lockboxv1.FilterTerm) {
	m := ask.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if !m.Has(f) || f.Kind() == protoreflect.MessageKind ||
			slices.Contains([]protoreflect.Name{"limit", "page_token", "count", "export", "order",
				"with_allowed"}, f.Name()) {
			continue
		}
		term := &lockboxv1.FilterTerm{Name: string(f.Name())}
		switch {
		case f.Kind() == protoreflect.BoolKind:
		case f.IsList():
			for j := range m.Get(f).List().Len() {
				term.Values = append(term.Values, plainly(f, m.Get(f).List().Get(j)))
			}
		default:
			term.Values = []string{plainly(f, m.Get(f))}
		}
		terms = append(terms, term)
	}
	return terms
}

// filtered puts a filter into a record: as terms, and in the words of programs.
func filtered(r *lockboxv1.AccessRecord, terms ...*lockboxv1.FilterTerm) {
	r.FilterTerms = terms
	plain := func(name string) string { return strings.ReplaceAll(name, "_", " ") }
	var said []string
	for _, term := range terms {
		text, values := plain(term.GetName()), strings.Join(term.GetValues(), ", ")
		if slices.Contains([]string{"statuses", "kinds", "by"}, term.GetName()) {
			values = plain(values)
		}
		if values != "" {
			text += "=" + values
		}
		said = append(said, text)
	}
	r.Filter = strings.Join(said, "; ")
}

// plainly is a value, of an enumeration without what all its values' names begin with.
func plainly(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if f.Kind() != protoreflect.EnumKind {
		return v.String()
	}
	is := f.Enum().Values().ByNumber(v.Enum())
	if is == nil {
		return v.String()
	}
	prefix := strings.TrimSuffix(string(f.Enum().Values().ByNumber(0).Name()), "UNSPECIFIED")
	return strings.ToLower(strings.TrimPrefix(string(is.Name()), prefix))
}

// results counts what an answer tells of each customer.
func results(reply *lockboxv1.QueryReply) map[string]uint64 {
	found := map[string]uint64{}
	switch answer := reply.GetAnswer().(type) {
	case nil:
	case *lockboxv1.QueryReply_Requests:
		for _, r := range answer.Requests.GetRequests() {
			found[r.GetTenant()]++
		}
	case *lockboxv1.QueryReply_Groups:
		for _, g := range answer.Groups.GetGroups() {
			found[g.GetTenant()]++
		}
	case *lockboxv1.QueryReply_Activity:
		for _, r := range answer.Activity.GetActivities() {
			found[r.GetTenant()]++
		}
	case *lockboxv1.QueryReply_Tickets:
		for _, t := range answer.Tickets.GetTickets() {
			found[t.GetTenant()]++
		}
	case *lockboxv1.QueryReply_Disclosures:
		for _, d := range answer.Disclosures.GetDisclosures() {
			found[d.GetTenant()]++
		}
	case *lockboxv1.QueryReply_Access:
		for _, r := range answer.Access.GetRecords() {
			found[r.GetTenant()]++
		}
	case *lockboxv1.QueryReply_Dashboard:
		for _, c := range answer.Dashboard.GetCustomers() {
			open := c.GetOpen()
			if n := open.GetInternal() + open.GetWaiting() + open.GetRunning() + c.GetEmergencies() + c.GetFailedMails(); n > 0 {
				found[c.GetTenant()] = n
			}
		}
	case *lockboxv1.QueryReply_Overview: // of the one tenant that the query names, or of all
	case *lockboxv1.QueryReply_Request:
		found[answer.Request.GetTenant()] = 1
	case *lockboxv1.QueryReply_Ticket:
		found[answer.Ticket.GetTenant()] = 1
	case *lockboxv1.QueryReply_Tenant:
		found[answer.Tenant.GetTenant()] = 1
	case *lockboxv1.QueryReply_Similar: // of the one tenant that the query names
	case *lockboxv1.QueryReply_Approvers:
	case *lockboxv1.QueryReply_Receipt:
	}
	return found
}

// listAccess lists who looked, for those who see the whole activity log: at the customer, administrators, approvers of
// the tenant and auditors; at the provider, security officers. What the customer's own people read is their own affair
// and not shown to the provider's.
func (v *viewer) listAccess(ctx context.Context, ask *lockboxv1.ListAccess) (*lockboxv1.AccessList, error) {
	f := accessdb.Filter{Tenant: v.scope.Tenant, Kinds: ask.GetKinds(), Person: ask.GetPerson(),
		ProviderOnly: ask.GetProviderOnly()}
	for _, k := range f.Kinds {
		if _, known := lockboxv1.AccessKind_name[int32(k)]; !known || k == lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED {
			return nil, refusal.Invalid("list_access.kinds", "R69", "there is no such kind")
		}
	}
	err := prose.CheckLine("list_access.person", f.Person, 0, 320)
	if err != nil {
		return nil, err
	}
	if f.Since, err = moment("list_access.since", "R69", ask.GetSince()); err != nil {
		return nil, err
	}
	if f.Until, err = moment("list_access.until", "R69", ask.GetUntil()); err != nil {
		return nil, err
	}
	if f.Before, err = pageBefore("list_access.page_token", ask.GetPageToken()); err != nil {
		return nil, err
	}
	limit, err := pageLimit("list_access.limit", ask.GetLimit())
	if err != nil {
		return nil, err
	}
	if !v.scope.All || f.Tenant != "" && v.customer == nil {
		return nil, notFound()
	}
	if v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		f.NotReadsOf = lockboxv1.Side_SIDE_TENANT
	}
	found, err := v.access.List(ctx, f, limit+1)
	if err != nil {
		return nil, err
	}
	list, size := new(lockboxv1.AccessList), 0
	firsts := map[export.Began]*lockboxv1.Event{}
	for _, r := range found {
		if err := v.accessBegun(ctx, r.AccessRecord, firsts); err != nil {
			return nil, err
		}
		size += proto.Size(r.AccessRecord) + 8
		if full := len(list.GetRecords()); full == limit || full > 0 && size > largest {
			list.NextPageToken = pageToken(f.Before)
			break
		}
		list.Records = append(list.Records, r.AccessRecord)
		f.Before = r.Sequence
	}
	return list, nil
}
