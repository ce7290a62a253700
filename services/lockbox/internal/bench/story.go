package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
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

// story generates requests: the events that the services would write, decided by the same rules, without a bus.
type story struct {
	terms     request.Terms
	rules     *policy.Rules
	catalogue *catalogue.Catalogue
	world     request.World
	ticket    ticket.State
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

func newStory(ctx context.Context, s *site, j *journal.Journal) (*story, error) {
	states, err := repository.New(j).Basis(ctx, aggregate.Tenant(customer),
		aggregate.Subscription(customer, demo.BankProduction), aggregate.Ticket(customer, demo.BankTicket))
	if err != nil {
		return nil, err
	}
	st := &story{
		terms: request.DefaultTerms(), rules: policy.Default(), catalogue: catalogue.Default(),
		world: states.World(customer, demo.BankProduction), ticket: states.Ticket(customer, demo.BankTicket),
	}
	verifier, err := identity.NewVerifier([]identity.Issuer{s.issuer.ProviderIssuer()})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if st.token, err = s.issuer.Token(engineer, now); err != nil {
		return nil, err
	}
	if st.requester, err = verifier.Verify(st.token, nil, now); err != nil {
		return nil, err
	}
	token, err := s.issuer.Token(approver, now)
	if err != nil {
		return nil, err
	}
	st.approver, err = verifier.Verify(token, st.world.Tenant.Issuer, now)
	return st, err
}

// newIntent returns an intent of typical size.
func newIntent(id, token string) *lockboxv1.AccessIntent {
	return &lockboxv1.AccessIntent{
		Id: id, Tenant: customer, Token: token, SubscriptionId: demo.BankProduction,
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds: []string{"/subscriptions/" + demo.BankProduction + "/virtualMachines/payments-1"},
		ReasonType:  lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, TicketId: demo.BankTicket,
		Justification: "The machine hangs a few minutes after each start; a memory dump will show where.",
	}
}

// newApproval returns the approver's command.
func newApproval(id, request, token string) *lockboxv1.Command {
	return &lockboxv1.Command{
		Id: id, Tenant: customer, AggregateId: request, Token: token,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: "Go ahead."}},
	}
}

// draft is a life under construction.
type draft struct {
	life
	state request.State
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
func (s *story) generate(at time.Time, until fate) (life, error) {
	id, err := newID()
	if err != nil {
		return life{}, err
	}
	commandID, err := newID()
	if err != nil {
		return life{}, err
	}
	t := &draft{life: life{intent: newIntent(id, s.token)}}
	steps := []func() (*lockboxv1.Event, error){
		func() (*lockboxv1.Event, error) {
			return request.Submit(t.state, request.Submission{Intent: t.intent, Tool: tool, Sequence: 1, Stored: at,
				By: s.requester}, s.terms, at)
		},
		func() (*lockboxv1.Event, error) {
			facts := policy.Facts{Intent: t.state.Intent, By: s.requester, Tenant: s.world.Tenant,
				Subscription: s.world.Subscription, Ticket: &s.ticket}
			return request.RecordEvaluation(t.state, policy.Evaluate(facts, s.rules, s.catalogue, s.terms, at),
				actor(evaluator.Name), at)
		},
		func() (*lockboxv1.Event, error) { return s.perform(t, at) },
		func() (*lockboxv1.Event, error) {
			return request.Decide(t.state, aggregate.Command{Command: newApproval(commandID, id, ""), By: s.approver}, s.world,
				at)
		},
		func() (*lockboxv1.Event, error) { return s.perform(t, at) },
		func() (*lockboxv1.Event, error) {
			return s.perform(t, t.state.Grant.GetEndsAt().AsTime())
		},
	}
	for _, step := range steps[:map[fate]int{pending: 3, active: 5, over: 6, granted: 5}[until]] {
		e, err := step()
		if err != nil {
			return life{}, err
		}
		if err := t.add(e); err != nil {
			return life{}, err
		}
	}
	return t.life, nil
}

func (s *story) perform(t *draft, at time.Time) (*lockboxv1.Event, error) {
	cause := t.events[len(t.events)-1].GetId()
	return request.Perform(t.state, s.world, s.terms, actor(orchestrator.Name), cause, at)
}

// add appends the event of a step and evolves the state.
func (t *draft) add(e *lockboxv1.Event) (err error) {
	if e == nil {
		return fmt.Errorf("the request has no next step after %d events: %s", len(t.events), request.Outcome(t.state))
	}
	if e.Id, err = newID(); err != nil {
		return err
	}
	t.events = append(t.events, e)
	t.state = request.Evolve(t.state, t.state.Sequence+1, e)
	if t.state.Status == request.CustomerNotified || t.state.Status == request.Active {
		due, _ := request.NextDue(t.state)
		t.timers = append(t.timers, due)
	}
	return nil
}

func actor(name string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: name}
}
