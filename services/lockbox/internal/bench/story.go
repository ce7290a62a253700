package bench

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

// Personas that play the requests' parties, and the customer.
const (
	engineer      = "erin"
	approver      = "otto"
	administrator = "grace"
	customer      = devissuer.TenantBank
)

// party is a customer with those who take part in its requests.
type party struct{ tenant, subscription, ticket, engineer, approver string }

var (
	bank = party{customer, demo.BankProduction, demo.BankTicket, engineer, approver}
	// clinic is another customer than the one whose requests are many.
	clinic = party{devissuer.TenantHealth, demo.HealthClinic, demo.HealthTicket, "bob", "kenji"}
)

// writer generates requests: the events that the services would write, decided by the same rules, without a bus.
type writer struct {
	// before is what was stored before the requests.
	before    *story.Story
	token     string
	requester *lockboxv1.Actor
	approver  *lockboxv1.Actor
}

// life holds one request from intent to grant, or to the end of the grant.
type life struct {
	intent *lockboxv1.AccessIntent
	events []*lockboxv1.Event
	// timers are those set after CustomerNotified and after AccessGranted.
	timers []time.Time
}

func newWriter(ctx context.Context, s *site, j *journal.Journal) (*writer, error) {
	now := time.Now()
	w := &writer{before: story.New(now)}
	var err error
	if w.before.States, err = repository.New(j).Basis(ctx, aggregate.Tenant(customer),
		aggregate.Subscription(customer, demo.BankProduction), aggregate.Ownership(demo.BankProduction),
		aggregate.Ticket(customer, aggregate.TicketID(demo.BankTicket))); err != nil {
		return nil, err
	}
	verifier, err := identity.NewVerifier([]identity.Issuer{s.issuer.ProviderIssuer()})
	if err != nil {
		return nil, err
	}
	if w.token, err = s.issuer.Token(engineer, now); err != nil {
		return nil, err
	}
	if w.requester, err = verifier.Verify(w.token, nil, now); err != nil {
		return nil, err
	}
	token, err := s.issuer.Token(approver, now)
	if err != nil {
		return nil, err
	}
	w.approver, err = verifier.Verify(token, w.before.States.Tenant(customer).Issuer, now)
	return w, err
}

// newIntent returns an intent of typical size.
func (p party) newIntent(id, token string) *lockboxv1.AccessIntent {
	return &lockboxv1.AccessIntent{
		Id: id, Tenant: p.tenant, Token: token, SubscriptionId: p.subscription,
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds: []string{demo.Machine(p.subscription, "payments-1")},
		ReasonType:  lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, TicketId: p.ticket,
		Justification: "The machine hangs a few minutes after each start; a memory dump will show where.",
	}
}

// newApproval returns the approver's command.
func (p party) newApproval(id, request, token string) *lockboxv1.Command {
	return &lockboxv1.Command{
		Id: id, Tenant: p.tenant, AggregateId: request, Token: token,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: "Go ahead."}},
	}
}

// fate is the state up to which a request is generated.
type fate int

const (
	pending fate = iota // it waits for the customer
	active              // it was granted at once
	over                // so is its grant
	granted             // as active, and nobody waits for its end
)

// generate creates the events of a request submitted at the given time.
func (w *writer) generate(at time.Time, until fate) life {
	s := w.before.Clone().At(at)
	s.IDs = rand.Uint64() // #nosec G404 -- they may be guessed
	id := s.Submit(w.requester, bank.newIntent("", w.token))
	about, l := aggregate.Request(customer, id), life{intent: bank.newIntent(id, w.token)}
	timer := func() {
		due, _ := s.States.NextDue(about)
		l.timers = append(l.timers, due)
	}
	timer()
	if until != pending {
		s.Command(w.approver, bank.newApproval("", id, ""))
		timer()
	}
	if until == over {
		s.At(s.States.Request(about).Grant.GetEndsAt().AsTime()).Owed(about)
	}
	for _, e := range s.Entries {
		l.events = append(l.events, e.Event)
	}
	return l
}
