package answer_test

import (
	"context"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain/keychaintest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

const (
	bank, health = devissuer.TenantBank, devissuer.TenantHealth

	tenantRole       = ""
	globalAdmin      = lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
	owner            = lockboxv1.Role_ROLE_OWNER
	lockboxApprover  = lockboxv1.Role_ROLE_LOCKBOX_APPROVER
	auditor          = lockboxv1.Role_ROLE_AUDITOR
	notFound         = lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND
	invalid          = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	unauthenticated  = lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED
	unavailable      = lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE
	nothingIsRefused = lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED
)

// cast are the demo's people in a story of their own, and the answerer that they ask.
type cast struct {
	t        *testing.T
	issuer   *devissuer.Issuer
	story    *story.Story
	store    *projection.Store
	answerer *answer.Answerer
	told     int
}

// newCast has two tenants, each with two subscriptions and a Global Administrator.
func newCast(t *testing.T) *cast {
	t.Helper()
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()})
	must(t, err)
	verifier, err := identity.NewVerifier([]identity.Issuer{issuer.ProviderIssuer()})
	must(t, err)
	c := &cast{t: t, issuer: issuer}
	c.begin()
	c.store, err = projection.Open(t.Context(), t.TempDir(), projection.Options{Log: zaptest.NewLogger(t)})
	must(t, err)
	must(t, c.store.Complete(t.Context()))
	t.Cleanup(func() { must(t, c.store.Close()) })
	c.answerer = &answer.Answerer{
		Store: c.store, Verifier: verifier, Catalogue: repository.CatalogueInForce(),
		Now: func() time.Time { return c.story.Now }, Healthy: func() error { return nil }, Callers: fair.NewCallers(),
		Exact: leader{c}, Log: answer.Log{Origin: keychaintest.Origin, Keys: "log.example+key", Quorum: 1,
			Witnesses: []string{"alpha.example+11111111+BAE="}},
	}
	return c
}

// leader is the stream as its leader has it: all of the story, however much of it is projected.
type leader struct{ *cast }

func (l leader) LoadAtLeader(_ context.Context, agg aggregate.Key) (found []journal.Entry, err error) {
	for _, e := range l.story.Entries {
		if aggregate.KeyOf(e.Event) == agg {
			found = append(found, e)
		}
	}
	return found, nil
}

func (l leader) Latest(ctx context.Context, agg aggregate.Key) (last journal.Entry, err error) {
	if all, _ := l.LoadAtLeader(ctx, agg); len(all) > 0 {
		last = all[len(all)-1]
	}
	return last, nil
}

// begin begins the story.
func (c *cast) begin() {
	c.story = story.New(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	for tenant, who := range map[string]string{bank: "grace", health: "hana"} {
		c.story.Create(tenant, "The "+tenant, c.issuer.TenantIssuer(tenant), c.actor(who))
		for _, sub := range []string{"prod", "test"} {
			if tenant == health {
				sub = "clinic-" + sub
			}
			c.story.Subscription(tenant, sub, "The "+sub+" of "+tenant)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// actor is a persona as a verified token makes one.
func (c *cast) actor(name string) *lockboxv1.Actor {
	c.t.Helper()
	p, known := devissuer.Find(name)
	if !known {
		c.t.Fatalf("there is no %s", name)
	}
	side := lockboxv1.Side_SIDE_PROVIDER
	if p.Tenant != "" {
		side = lockboxv1.Side_SIDE_TENANT
	}
	return &lockboxv1.Actor{Side: side, Person: c.issuer.Person(name), Employer: p.Employer, Groups: p.Groups,
		MultiFactor: true}
}

// assign gives somebody a role of the bank's.
func (c *cast) assign(name, subscription string, role lockboxv1.Role, eligible bool) {
	c.story.Assign(c.actor("grace"), bank, subscription, "of-"+name, c.actor(name), role, eligible)
}

// query asks as a persona. The projection is brought up to the story first.
func (c *cast) query(name string, q *lockboxv1.Query) *lockboxv1.QueryReply {
	c.t.Helper()
	token, err := c.issuer.Token(name, c.story.Now)
	must(c.t, err)
	q = proto.CloneOf(q)
	q.Token = token
	data, err := proto.Marshal(q)
	must(c.t, err)
	return c.send(bus.QuerySubject(bus.Client, bus.QueryName(q)), data)
}

func (c *cast) send(subject string, data []byte) *lockboxv1.QueryReply {
	c.t.Helper()
	c.project()
	reply, err := c.answerer.Answer(c.t.Context(), subject, data)
	if r, refused := refusal.As(err); (err != nil) != (reply.GetRefusal() != nil) || refused &&
		!proto.Equal(r, reply.GetRefusal()) {
		c.t.Fatalf("reply %v, error %v", reply.GetRefusal(), err)
	}
	if reply.GetRefusal() != nil && (reply.GetAnswer() != nil || reply.GetSequence() != 0) {
		c.t.Fatalf("a refusal with an answer: %v", reply)
	}
	return reply
}

func (c *cast) project() {
	c.t.Helper()
	var batch []projection.Event
	for _, e := range c.story.Entries[c.told:] {
		batch = append(batch, projection.Event{Sequence: e.Seq, Bytes: e.Data, Event: e.Event})
	}
	c.told = len(c.story.Entries)
	must(c.t, c.store.Apply(c.t.Context(), batch))
}

func listRequests(tenant string, ask *lockboxv1.ListRequests) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_ListRequests{ListRequests: ask}}
}

func getRequest(tenant, id string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant,
		Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}
}

func listActivity(tenant string, ask *lockboxv1.ListActivity) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_ListActivity{ListActivity: ask}}
}

func getTenant(tenant string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}}
}

func getTicket(tenant, id string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GetTicket{GetTicket: &lockboxv1.GetTicket{TicketId: id}}}
}

func listTickets(tenant string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_ListTickets{ListTickets: &lockboxv1.ListTickets{}}}
}

func preview(tenant, subscription string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant,
		Ask: &lockboxv1.Query_PreviewApprovers{PreviewApprovers: &lockboxv1.PreviewApprovers{SubscriptionId: subscription}}}
}

func getSelf(tenant string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}}
}

func listServices(tenant string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_ListServices{ListServices: &lockboxv1.ListServices{}}}
}

func ids(list *lockboxv1.RequestList) []string {
	var all []string
	for _, r := range list.GetRequests() {
		all = append(all, r.GetRequestId())
	}
	return all
}
