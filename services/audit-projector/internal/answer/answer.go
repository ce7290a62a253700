// Package answer authorises and answers queries (R25, R39, I9). It reads the projection; only what somebody is about to
// sign, and the keys to sign with, it reads from the stream (R42). It writes nothing.
//
// Whatever a caller may not see looks missing: one refusal, with one wording, for what does not exist, what belongs to
// another tenant, and what the caller's role does not cover.
package answer

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
	"google.golang.org/protobuf/proto"
)

const (
	// Patience is how long a query waits for the minimum sequence that it requires.
	Patience = 5 * time.Second
	// largest is the maximum size of a reply in bytes: below the bus's maximum payload, with room for the envelope.
	// Longer lists are split into more pages.
	largest = bus.MaxPayload * 3 / 4
	// mostWaiting is the number of queries that may wait for a sequence at once, and mostStrangers of those without a
	// valid token: a fraction of what the service answers concurrently.
	mostWaiting, mostStrangers = 128, 8
)

// Answerer answers queries from a projection. It is safe for concurrent use.
type Answerer struct {
	Store *projection.Store
	// Verifier trusts the provider's issuers; the tenants' issuers come from the projection.
	Verifier *identity.Verifier
	// Catalogue compiles the published service catalogue.
	Catalogue *repository.InForce[*catalogue.Catalogue]
	// Now is the clock for roles and deadlines; Healthy returns an error while the clock cannot be trusted.
	Now     func() time.Time
	Healthy func() error
	// Receipts builds proofs for events of the log.
	Receipts Receipts
	// Exact reads what statements rest on; Log is what they name.
	Exact Exact
	Log   Log
	// Callers remembers whose tokens were verified.
	Callers *fair.Callers
	// Trail records who asked what (R69); nil: nobody does. Access are the records that can be listed.
	Trail  *accesslog.Recorder
	Access AccessRecords
	// Health returns what is known of the log beyond what is stored; nil: nothing is.
	Health func() Health
	// Zone is the time zone of the provider's people; nil: UTC.
	Zone *time.Location

	waiting, strangers atomic.Int64
}

// Lane returns the lane in which a query waits to be answered, and whether its token was verified before.
func (a *Answerer) Lane(_ string, data []byte) (lane string, known bool) {
	q := new(lockboxv1.Query)
	_ = proto.Unmarshal(data, q) // Answer refuses what is none
	return a.Callers.Lane(q.GetTenant(), q.GetToken())
}

// Answer answers one message that arrived on a subject. There is always a reply; the error explains a refusal in it.
func (a *Answerer) Answer(ctx context.Context, subject string, data []byte) (*lockboxv1.QueryReply, error) {
	q := new(lockboxv1.Query)
	reply, err := a.answer(ctx, subject, data, q)
	if err == nil && proto.Size(reply) > bus.MaxPayload-1024 {
		err = refusal.Unavailable("", "bad input", "the answer is too large for the bus; ask for less of it")
	}
	if err != nil {
		reply = &lockboxv1.QueryReply{Refusal: refusal.Of(err)}
	}
	a.trace(subject, q, reply)
	return reply, err
}

// answer also decodes the query into q.
func (a *Answerer) answer(
	ctx context.Context, subject string, data []byte, q *lockboxv1.Query,
) (reply *lockboxv1.QueryReply, err error) {
	if err := a.Healthy(); err != nil {
		return nil, err
	}
	if err := input.Decode(data, q); err != nil {
		return nil, err
	}
	name, sender, err := bus.ParseQuery(subject)
	if err != nil || name == "" || name != bus.QueryName(q) {
		return nil, refusal.Invalid("ask", "bad input", "the query is not the one that the subject names")
	}
	if q.GetTenant() != "" {
		if err := input.Tenant("tenant", q.GetTenant()); err != nil {
			return nil, err
		}
		if err := bus.Within(sender, q.GetTenant()); err != nil {
			return nil, err
		}
	}
	language := activity.In(cmp.Or(q.GetLanguage(), "en"))
	if language == nil {
		return nil, refusal.OfKind(
			refusal.Invalid("language", "R24", "must be one of %s", strings.Join(tenant.Languages, ", ")),
			"language")
	}
	if q.GetGetSignIn() != nil {
		return a.signIn(q.GetTenant())
	}
	if q.GetMinSequence() > a.Store.Sequence() {
		if err := a.wait(ctx, q); err != nil {
			return nil, err
		}
	}
	if err := a.ownTenant(q); err != nil {
		return nil, err
	}
	if err := bus.Within(sender, q.GetTenant()); err != nil {
		return nil, err
	}
	// First without a snapshot, of which there are few: this may wait for a tenant's keys.
	if err := a.verify(q); err != nil {
		return nil, err
	}
	snapshot, err := a.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	v, err := a.viewer(snapshot, q)
	if err == nil {
		err = bus.ByCustomer(sender, aggregate.Customer(v.by))
	}
	if err != nil {
		return nil, err
	}
	if q.GetLanguage() != "" && q.GetListActivity().GetExport() == "" { // people read it, and not programs
		language = language.Timed(a.zone(v))
	}
	v.language, v.catalogue, v.receipts, v.access, v.health = language, a.Catalogue, a.Receipts, a.Access, a.Health
	v.exact, v.log = a.Exact, a.Log
	if c, err := a.Catalogue.After(snapshot.Catalogue()); err == nil { // else by the names that the built-in one has
		v.language = language.Naming(c)
	}
	reply = &lockboxv1.QueryReply{Sequence: snapshot.Sequence()}
	return reply, v.ask(ctx, q, reply)
}

// zone returns the time zone of the caller's organisation (R60).
func (a *Answerer) zone(v *viewer) *time.Location {
	switch {
	case v.by.GetSide() == lockboxv1.Side_SIDE_TENANT:
		return timetext.Zone(v.customer.Tenant.Settings.GetTimeZone())
	case a.Zone != nil:
		return a.Zone
	}
	return time.UTC
}

// signIn says how the portal signs a tenant's people in (R65). Whoever asks has not signed in yet, so no token is asked
// for, and nothing is said of tenants that the portal has no client for.
func (a *Answerer) signIn(tenantID string) (*lockboxv1.QueryReply, error) {
	customers, err := a.Store.Customers()
	if err != nil {
		return nil, err
	}
	if c := customers[tenantID]; c != nil && c.Tenant.Fault == nil {
		if options := view.SignIn(c.Tenant); options != nil {
			return &lockboxv1.QueryReply{Sequence: a.Store.Sequence(),
				Answer: &lockboxv1.QueryReply_SignIn{SignIn: options}}, nil
		}
	}
	return nil, notFound()
}

// wait lets callers read their own writes. Waiting queries occupy capacity, so only a few may wait at once, and next to
// none without a token that is valid as far as is known yet.
func (a *Answerer) wait(ctx context.Context, q *lockboxv1.Query) error {
	if _, err := a.Store.Customers(); err != nil {
		return err
	}
	waiting, most := &a.strangers, int64(mostStrangers)
	if a.verify(q) == nil { // as far as is known yet: its tenant may just have been created
		waiting, most = &a.waiting, mostWaiting
	}
	defer waiting.Add(-1)
	if waiting.Add(1) > most {
		return refusal.OfKind(
			refusal.Unavailable("min_sequence", "I11", "too many wait for what is not there yet; ask again, or without it"),
			"busy")
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if err := a.Store.Wait(ctx, q.GetMinSequence()); err != nil {
		return refusal.OfKind(
			refusal.Unavailable("min_sequence", "I11", "the projection has not come to sequence %d yet; it is at %d",
				q.GetMinSequence(), a.Store.Sequence()),
			"not-yet")
	}
	return nil
}

// verify verifies the caller's token according to the current projection.
func (a *Answerer) verify(q *lockboxv1.Query) error {
	customers, err := a.Store.Customers()
	if err != nil {
		return err
	}
	_, err = a.caller(customers, q, a.Now())
	return err
}

// ask dispatches all queries.
func (v *viewer) ask(ctx context.Context, q *lockboxv1.Query, reply *lockboxv1.QueryReply) error {
	switch ask := q.GetAsk().(type) {
	case *lockboxv1.Query_ListRequests:
		list, err := v.listRequests(ctx, ask.ListRequests)
		reply.Answer = &lockboxv1.QueryReply_Requests{Requests: list}
		return err
	case *lockboxv1.Query_GetRequest:
		r, err := v.getRequest(ctx, ask.GetRequest.GetRequestId())
		reply.Answer = &lockboxv1.QueryReply_Request{Request: r}
		return err
	case *lockboxv1.Query_ListActivity:
		list, err := v.listActivity(ctx, ask.ListActivity)
		reply.Answer = &lockboxv1.QueryReply_Activity{Activity: list}
		return err
	case *lockboxv1.Query_GetTenant_:
		t, err := v.getTenant(ctx)
		reply.Answer = &lockboxv1.QueryReply_Tenant{Tenant: t}
		return err
	case *lockboxv1.Query_GetTicket:
		t, err := v.getTicket(ctx, ask.GetTicket.GetTicketId())
		reply.Answer = &lockboxv1.QueryReply_Ticket{Ticket: t}
		return err
	case *lockboxv1.Query_ListTickets:
		list, err := v.listTickets(ctx, ask.ListTickets.GetLimit())
		reply.Answer = &lockboxv1.QueryReply_Tickets{Tickets: list}
		return err
	case *lockboxv1.Query_PreviewApprovers:
		p, err := v.previewApprovers(ctx, ask.PreviewApprovers.GetSubscriptionId())
		reply.Answer = &lockboxv1.QueryReply_Approvers{Approvers: p}
		return err
	case *lockboxv1.Query_GetSelf:
		self, err := v.getSelf(ctx)
		reply.Answer = &lockboxv1.QueryReply_Self{Self: self}
		return err
	case *lockboxv1.Query_ListServices:
		list, err := v.listServices()
		reply.Answer = &lockboxv1.QueryReply_Services{Services: list}
		return err
	case *lockboxv1.Query_GetReceipt:
		r, of, err := v.getReceipt(ctx, ask.GetReceipt)
		q.Tenant = cmp.Or(q.GetTenant(), of) // the answer does not name it, and the record has to
		reply.Answer = &lockboxv1.QueryReply_Receipt{Receipt: r}
		return err
	case *lockboxv1.Query_GetApprovalFile:
		f, of, err := v.getApprovalFile(ctx, ask.GetApprovalFile.GetRequestId())
		q.Tenant = cmp.Or(q.GetTenant(), of)
		reply.Answer = &lockboxv1.QueryReply_ApprovalFile{ApprovalFile: f}
		return err
	case *lockboxv1.Query_GetInvitation:
		i, err := v.getInvitation(ask.GetInvitation.GetProof())
		reply.Answer = &lockboxv1.QueryReply_Invitation{Invitation: i}
		return err
	case *lockboxv1.Query_ListDisclosures:
		list, err := v.listDisclosures(ctx, ask.ListDisclosures.GetLimit())
		reply.Answer = &lockboxv1.QueryReply_Disclosures{Disclosures: list}
		return err
	case *lockboxv1.Query_ListSimilar:
		list, err := v.listSimilar(ctx, ask.ListSimilar)
		reply.Answer = &lockboxv1.QueryReply_Similar{Similar: list}
		return err
	case *lockboxv1.Query_GroupRequests:
		list, err := v.groupRequests(ctx, ask.GroupRequests)
		reply.Answer = &lockboxv1.QueryReply_Groups{Groups: list}
		return err
	case *lockboxv1.Query_GetOverview:
		o, err := v.getOverview(ctx, ask.GetOverview)
		reply.Answer = &lockboxv1.QueryReply_Overview{Overview: o}
		return err
	case *lockboxv1.Query_GetDashboard:
		d, err := v.getDashboard(ctx, ask.GetDashboard)
		reply.Answer = &lockboxv1.QueryReply_Dashboard{Dashboard: d}
		return err
	case *lockboxv1.Query_ListScenarios:
		list, err := v.listScenarios()
		reply.Answer = &lockboxv1.QueryReply_Scenarios{Scenarios: list}
		return err
	case *lockboxv1.Query_ListErasures:
		list, err := v.listErasures(ctx, ask.ListErasures)
		reply.Answer = &lockboxv1.QueryReply_Erasures{Erasures: list}
		return err
	case *lockboxv1.Query_ListAccess:
		list, err := v.listAccess(ctx, ask.ListAccess)
		reply.Answer = &lockboxv1.QueryReply_Access{Access: list}
		return err
	case *lockboxv1.Query_GetKeys:
		keys, err := v.getKeys(ctx)
		reply.Answer = &lockboxv1.QueryReply_Keys{Keys: keys}
		return err
	case *lockboxv1.Query_GetSigning:
		s, err := v.getSigning(ctx, ask.GetSigning)
		reply.Answer = &lockboxv1.QueryReply_Signing{Signing: s}
		return err
	}
	return refusal.Invalid("ask", "bad input", "this version knows no such query")
}
