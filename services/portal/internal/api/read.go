package api

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func getSelf(c *bearer.Call) error {
	reply, err := ask(c, nil, &lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetSelf())
}

// getSettings answers with a tenant's settings, as far as the caller may know them; they change on the portal's pages
// and by the command line.
func getSettings(c *bearer.Call) error {
	reply, err := ask(c, nil, &lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	if err != nil {
		return err
	}
	settings := reply.GetTenant().GetSettings()
	if settings == nil {
		return refusal.NotFound("", "I9", "there is nothing of that name that you may see")
	}
	return answer(c, settings)
}

func listRequests(c *bearer.Call) error {
	q := new(lockboxv1.ListRequests)
	reply, err := ask(c, parameters{
		"status": many(status(&q.Statuses)), "subscriptionId": one(text(&q.SubscriptionId)),
		"ticketId":   one(text(&q.TicketId)),
		"awaitingMe": one(flag(&q.AwaitingMe)), "count": one(flag(&q.Count)), "limit": one(number(&q.Limit)),
		"pageToken": one(text(&q.PageToken)), "waived": one(flag(&q.Waived)),
		"waivedSince": one(instant(&q.WaivedSince)), "resourceType": one(text(&q.ResourceType)),
		"engineer": one(text(&q.Engineer)), "subscription": one(text(&q.Subscription)),
		"emergency": one(flag(&q.Emergency)), "text": one(text(&q.Text)),
	}, &lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: q}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetRequests())
}

func getRequest(c *bearer.Call) error {
	reply, err := ask(c, nil,
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{
			GetRequest: &lockboxv1.GetRequest{RequestId: c.Param("requestId")}}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetRequest())
}

// getReceipt writes the file itself, which must stay byte-identical.
func getReceipt(c *bearer.Call) error {
	reply, err := ask(c, nil,
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetReceipt{
			GetReceipt: &lockboxv1.GetReceipt{RequestId: c.Param("requestId")}}})
	if err != nil {
		return err
	}
	download(c, reply.GetReceipt().GetFileName(), reply.GetReceipt().GetFile())
	return nil
}

// getApprovalFile writes the file that proves the customer's approval of a request (R42).
func getApprovalFile(c *bearer.Call) error {
	reply, err := ask(c, nil, &lockboxv1.Query{Ask: &lockboxv1.Query_GetApprovalFile{
		GetApprovalFile: &lockboxv1.GetApprovalFile{RequestId: c.Param("requestId")}}})
	if err != nil {
		return err
	}
	file, err := logged.Unpack(reply.GetApprovalFile())
	if err != nil {
		return err
	}
	download(c, reply.GetApprovalFile().GetFileName(), file)
	return nil
}

func download(c *bearer.Call, name string, file []byte) {
	c.W.Header().Set("Content-Disposition",
		mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	c.Write(http.StatusOK, "application/json", file)
}

func listActivity(c *bearer.Call) error {
	q := new(lockboxv1.ListActivity)
	reply, err := ask(c, parameters{
		"action": many(func(s string) bool { q.Actions = append(q.Actions, s); return true }),
		"since":  one(instant(&q.Since)), "until": one(instant(&q.Until)),
		"person": one(text(&q.Person)), "resource": one(text(&q.Resource)), "subscriptionId": one(text(&q.SubscriptionId)),
		"requestId": one(text(&q.RequestId)), "limit": one(number(&q.Limit)), "pageToken": one(text(&q.PageToken)),
	}, &lockboxv1.Query{Ask: &lockboxv1.Query_ListActivity{ListActivity: q}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetActivity())
}

func previewApprovers(c *bearer.Call) error {
	q := new(lockboxv1.PreviewApprovers)
	reply, err := ask(c, parameters{"subscriptionId": one(text(&q.SubscriptionId))},
		&lockboxv1.Query{Ask: &lockboxv1.Query_PreviewApprovers{PreviewApprovers: q}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetApprovers())
}

func getOverview(c *bearer.Call) error {
	q := new(lockboxv1.GetOverview)
	reply, err := ask(c, parameters{"engineer": one(text(&q.Engineer)), "subscription": one(text(&q.Subscription)),
		"emergency": one(flag(&q.Emergency))}, &lockboxv1.Query{Ask: &lockboxv1.Query_GetOverview{GetOverview: q}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetOverview())
}

func getDashboard(c *bearer.Call) error {
	q := new(lockboxv1.GetDashboard)
	reply, err := ask(c, parameters{"engineer": one(text(&q.Engineer)), "emergency": one(flag(&q.Emergency))},
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetDashboard{GetDashboard: q}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetDashboard())
}

// listAccess names the tenant in its path, and nowhere else.
func listAccess(c *bearer.Call) error {
	q := new(lockboxv1.ListAccess)
	query := &lockboxv1.Query{Ask: &lockboxv1.Query_ListAccess{ListAccess: q}}
	p := parameters{
		"kind": many(accessKind(&q.Kinds)), "since": one(instant(&q.Since)), "until": one(instant(&q.Until)),
		"person": one(text(&q.Person)), "providerOnly": one(flag(&q.ProviderOnly)), "limit": one(number(&q.Limit)),
		"pageToken": one(text(&q.PageToken)),
	}
	query.Tenant = c.Param("tenant")
	if err := ownTenant(c, query.GetTenant()); err != nil {
		return err
	}
	if err := p.read(c); err != nil {
		return err
	}
	reply, err := c.Ask(query)
	if err != nil {
		return err
	}
	c.W.Header().Set("Lockbox-Sequence", strconv.FormatUint(reply.GetSequence(), 10))
	return answer(c, reply.GetAccess())
}

func accessKind(into *[]lockboxv1.AccessKind) func(string) bool {
	return func(s string) bool {
		n, err := written.Enum(lockboxv1.AccessKind(0).Descriptor(), s)
		*into = append(*into, lockboxv1.AccessKind(n))
		return err == nil
	}
}

// ask reads the parameters into the query and sends it. Every query accepts a minimum sequence for the response and a
// tenant.
func ask(c *bearer.Call, p parameters, q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	all := parameters{"after": one(sequence(&q.MinSequence)), "tenant": one(text(&q.Tenant))}
	for name, read := range p {
		all[name] = read
	}
	if err := all.read(c); err != nil {
		return nil, err
	}
	if err := ownTenant(c, q.GetTenant()); err != nil {
		return nil, err
	}
	reply, err := c.Ask(q)
	if err == nil {
		c.W.Header().Set("Lockbox-Sequence", strconv.FormatUint(reply.GetSequence(), 10))
	}
	return reply, err
}

// ownTenant answers a customer who names another tenant as if that tenant did not exist (I9).
func ownTenant(c *bearer.Call, named string) error {
	if c.Customer() && named != "" && named != c.Organisation.Tenant {
		return refusal.NotFound("tenant", "I9", "there is nothing of that name that you may see")
	}
	return nil
}

// parameters maps the query parameters that a path accepts to their parsers.
type parameters map[string]parameter

type parameter struct {
	read func(string) bool
	many bool
}

func one(read func(string) bool) parameter  { return parameter{read: read} }
func many(read func(string) bool) parameter { return parameter{read: read, many: true} }

// read refuses parameters that are unknown, repeated or malformed.
func (p parameters) read(c *bearer.Call) error {
	query, err := url.ParseQuery(c.R.URL.RawQuery)
	if err != nil {
		return refusal.OfKind(refusal.Invalid("query", rule, "cannot be read"), "query-unreadable")
	}
	for name, values := range query {
		known, is := p[name]
		if !is {
			return refusal.OfKind(
				refusal.Invalid(name, rule, "is not a parameter of this path"),
				"parameter-unknown", "name", name)
		}
		if len(values) > 1 && !known.many {
			return refusal.OfKind(refusal.Invalid(name, rule, "is given more than once"), "given-twice")
		}
		if slices.ContainsFunc(values, func(v string) bool { return !known.read(v) }) {
			return refusal.OfKind(refusal.Invalid(name, rule, "is not of the right kind"), "wrong-kind")
		}
	}
	return nil
}

func text(into *string) func(string) bool {
	return func(s string) bool { *into = s; return s != "" }
}

func flag(into *bool) func(string) bool {
	return func(s string) bool { *into = s == "true"; return s == "true" || s == "false" }
}

func number(into *uint32) func(string) bool {
	return func(s string) bool {
		n, err := strconv.ParseUint(s, 10, 32)
		*into = uint32(n)
		return err == nil && n > 0
	}
}

func sequence(into *uint64) func(string) bool {
	return func(s string) (ok bool) {
		n, err := strconv.ParseUint(s, 10, 64)
		*into = n
		return err == nil
	}
}

func instant(into **timestamppb.Timestamp) func(string) bool {
	return func(s string) bool {
		t, err := time.Parse(time.RFC3339Nano, s)
		*into = timestamppb.New(t)
		return err == nil
	}
}

func status(into *[]lockboxv1.RequestStatus) func(string) bool {
	return func(s string) bool {
		n, err := written.Enum(lockboxv1.RequestStatus(0).Descriptor(), s)
		*into = append(*into, lockboxv1.RequestStatus(n))
		return err == nil
	}
}
