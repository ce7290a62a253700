// Package answer decides who may see what of the projection, and answers queries (R25, R39, I9). It reads the projection
// and nothing else, and writes nothing.
//
// Whatever somebody may not see is not there: one refusal, with one wording, for what does not exist, what is another
// tenant's, and what the caller's role does not reach.
package answer

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/fold"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
)

const (
	// Patience is how long a query waits for the sequence that it demands.
	Patience = 5 * time.Second
	// largest is the size of an answer, in bytes: below what the bus carries, with room for what goes around it. Lists
	// end early and go on on the next page.
	largest = bus.MaxPayload * 3 / 4
)

// Answerer answers queries from a projection. It is safe for concurrent use.
type Answerer struct {
	Store *projection.Store
	// Verifier trusts the provider's issuers; a tenant's comes from the projection.
	Verifier *identity.Verifier
	// Catalogue makes the service catalogue of what was published.
	Catalogue *fold.InForce[*catalogue.Catalogue]
	// Now is the time by which roles and deadlines are judged; Healthy refuses while it cannot be trusted.
	Now     func() time.Time
	Healthy func() error
}

// Answer answers one message that arrived on a subject. There is always a reply; the error is why it holds a refusal.
func (a *Answerer) Answer(ctx context.Context, subject string, data []byte) (*lockboxv1.QueryReply, error) {
	reply, err := a.answer(ctx, subject, data)
	if err == nil && proto.Size(reply) > bus.MaxPayload-1024 {
		err = refusal.Unavailable("", "bad input", "the answer is too large for the bus; ask for less of it")
	}
	if err != nil {
		return &lockboxv1.QueryReply{Refusal: refusal.Of(err)}, err
	}
	return reply, nil
}

func (a *Answerer) answer(ctx context.Context, subject string, data []byte) (reply *lockboxv1.QueryReply, err error) {
	if err := a.Healthy(); err != nil {
		return nil, err
	}
	q := new(lockboxv1.Query)
	if err := input.Decode(data, q); err != nil {
		return nil, err
	}
	if name := bus.QueryName(q); name == "" || subject != bus.QuerySubject(name) {
		return nil, refusal.Invalid("ask", "bad input", "the query is not the one that the subject names")
	}
	if q.GetTenant() != "" {
		if err := input.Tenant("tenant", q.GetTenant()); err != nil {
			return nil, err
		}
	}
	language := activity.In(cmp.Or(q.GetLanguage(), "en"))
	if language == nil {
		return nil, refusal.Invalid("language", "R24", "must be one of %s", strings.Join(tenant.Languages, ", "))
	}
	if err := a.wait(ctx, q.GetMinSequence()); err != nil {
		return nil, err
	}
	snapshot, err := a.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	v, err := a.viewer(snapshot, q)
	if err != nil {
		return nil, err
	}
	v.language, v.catalogue = language, a.Catalogue
	reply = &lockboxv1.QueryReply{Sequence: snapshot.Sequence()}
	return reply, v.ask(ctx, q, reply)
}

// wait lets people read their own writes.
func (a *Answerer) wait(ctx context.Context, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if err := a.Store.Wait(ctx, sequence); err != nil {
		return refusal.Unavailable("min_sequence", "I11", "the projection has not come to sequence %d yet; it is at %d", sequence, a.Store.Sequence())
	}
	return nil
}

// ask is the one list of what can be asked.
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
		t, err := v.getTenant()
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
		p, err := v.previewApprovers(ask.PreviewApprovers.GetSubscriptionId())
		reply.Answer = &lockboxv1.QueryReply_Approvers{Approvers: p}
		return err
	case *lockboxv1.Query_GetSelf:
		reply.Answer = &lockboxv1.QueryReply_Self{Self: v.getSelf()}
		return nil
	case *lockboxv1.Query_ListServices:
		list, err := v.listServices()
		reply.Answer = &lockboxv1.QueryReply_Services{Services: list}
		return err
	case *lockboxv1.Query_ListDisclosures:
		list, err := v.listDisclosures(ctx, ask.ListDisclosures.GetLimit())
		reply.Answer = &lockboxv1.QueryReply_Disclosures{Disclosures: list}
		return err
	}
	return refusal.Invalid("ask", "bad input", "this version knows no such query")
}
