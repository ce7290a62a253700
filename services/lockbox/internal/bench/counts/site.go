package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// tool is the engineering tool that publishes the intents.
	tool = "console"
	// patience is for a machine that is busy with other things.
	patience  = 2 * time.Minute
	pollEvery = 5 * time.Millisecond
)

// Types of the events that a request's parties wait for.
var (
	notified = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{}})
	granted  = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{}})
)

// site is a bus with evaluator and orchestrator, each on a connection that is read on the way.
type site struct {
	server  *embedded.Server
	keys    bus.Keys
	issuer  *devissuer.Issuer
	passing *record
	// client and tool are what a request's parties use; watch and workers look at the streams, and are not counted.
	client  *nats.Conn
	tool    *journal.Journal
	watch   *journal.Journal
	workers []jetstream.Consumer
	failed  chan error
}

func start(ctx context.Context, dir string) (*site, error) {
	s := &site{passing: newRecord(), failed: make(chan error, 2)}
	var err error
	if s.issuer, err = devissuer.New(devissuer.Config{Demo: true, Dir: filepath.Join(dir, "issuer")}); err != nil {
		return nil, err
	}
	if s.keys, err = bus.LoadOrCreateKeys(filepath.Join(dir, "keys"), []string{tool}); err != nil {
		return nil, err
	}
	public, err := s.keys.Public()
	if err != nil {
		return nil, err
	}
	options := bus.ServerOptions{StoreDir: filepath.Join(dir, "nats"), PublicKeys: public,
		ToolTenants: map[string][]string{tool: nil}}
	if s.server, err = embedded.Start(ctx, options, zap.NewNop()); err != nil {
		return nil, err
	}
	provisioner, err := s.connect(bus.Provisioner)
	if err != nil {
		return nil, err
	}
	if err := bus.Provision(ctx, provisioner, 1); err != nil {
		return nil, err
	}
	guard, err := s.connect(bus.Projector)
	if err != nil {
		return nil, err
	}
	go keepLease(ctx, guard)
	if err := s.runServices(ctx); err != nil {
		return nil, err
	}
	return s, s.open(ctx)
}

// connect opens a connection that is not counted.
func (s *site) connect(id bus.Identity) (*nats.Conn, error) {
	return bus.Connect(bus.Connection{InProcess: s.server, Identity: id, Seed: s.keys[id]})
}

func (s *site) tapped(id bus.Identity) bus.Connection {
	return bus.Connection{InProcess: tap{s.server, id, s.passing}, Identity: id, Seed: s.keys[id], Log: zap.NewNop()}
}

// keepLease says in the guard's place that all is well.
func keepLease(ctx context.Context, guard *nats.Conn) {
	for ctx.Err() == nil {
		_ = lease.Renew(guard, nil, 0, time.Now()) // without a lease, nothing is granted, and the request fails
		time.Sleep(time.Second)
	}
}

func (s *site) runServices(ctx context.Context) error {
	terms := request.DefaultTerms()
	services := []struct {
		id  bus.Identity
		run func(*service.Runtime) error
	}{
		{bus.Orchestrator, func(rt *service.Runtime) error {
			return orchestrator.Run(ctx, rt, orchestrator.Config{Terms: terms,
				Limits: orchestrator.Rates{CommandsPerMinute: -1}})
		}},
		{bus.Evaluator, func(rt *service.Runtime) error {
			return evaluator.Run(ctx, rt, evaluator.Config{Terms: terms, Limits: policy.NoLimits(),
				Tools: []evaluator.Tool{evaluator.Unlimited(tool)}})
		}},
	}
	metrics := observe.NewMetrics()
	for _, one := range services {
		rt, err := service.Open(ctx, s.tapped(one.id), []identity.Issuer{s.issuer.ProviderIssuer()},
			metrics.For(string(one.id)))
		if err != nil {
			return err
		}
		go func() { s.failed <- fmt.Errorf("%s: %w", one.id, errors.Join(errors.New("it has ended"), one.run(rt))) }()
		if one.id != bus.Orchestrator {
			continue
		}
		select {
		case <-rt.Listening():
		case err := <-s.failed:
			return err
		}
	}
	return nil
}

// open connects the parties and the observer, and creates the demo's customers.
func (s *site) open(ctx context.Context) (err error) {
	if s.client, err = s.connect(bus.Client); err != nil {
		return err
	}
	if err := demo.Seed(ctx, s.client, s.issuer, time.Now); err != nil {
		return err
	}
	toolConn, err := bus.Connect(s.tapped(bus.Tool(tool)))
	if err != nil {
		return err
	}
	if s.tool, err = journal.Open(ctx, toolConn, journal.WithTimeout(patience)); err != nil {
		return err
	}
	compliance, err := s.connect(bus.Compliance)
	if err != nil {
		return err
	}
	if s.watch, err = journal.Open(ctx, compliance, journal.WithTimeout(patience)); err != nil {
		return err
	}
	for _, w := range []struct {
		id              bus.Identity
		stream, durable string
	}{
		{bus.Evaluator, bus.StreamIntents, bus.DurableEvaluator},
		{bus.Orchestrator, bus.StreamEvents, bus.DurableOrchestrator},
		{bus.Orchestrator, bus.StreamTimers, bus.DurableDue},
	} {
		nc, err := s.connect(w.id)
		if err != nil {
			return err
		}
		js, err := bus.JetStream(nc)
		if err != nil {
			return err
		}
		c, err := js.Consumer(ctx, w.stream, w.durable)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, c)
	}
	return nil
}

// carry takes one request from intent to grant. Before the approver answers, and before it returns, it waits until
// nothing is left to do, so that nothing of one step is counted in the next, and no two steps race.
func (s *site) carry(ctx context.Context) (passed, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	engineer, err := s.issuer.Token("erin", time.Now())
	if err != nil {
		return passed{}, err
	}
	approver, err := s.issuer.Token("otto", time.Now())
	if err != nil {
		return passed{}, err
	}
	id, commandID := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	s.passing.take()
	if _, err := s.tool.SubmitIntent(ctx, tool, intent(id, engineer)); err != nil {
		return passed{}, err
	}
	if err := s.until(ctx, id, notified); err != nil {
		return passed{}, err
	}
	if err := s.approve(ctx, &lockboxv1.Command{
		Id: commandID, Tenant: devissuer.TenantBank, AggregateId: id, Token: approver,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: "Go ahead."}},
	}); err != nil {
		return passed{}, err
	}
	err = s.until(ctx, id, granted)
	return s.passing.take(), err
}

// intent is of typical size.
func intent(id, token string) *lockboxv1.AccessIntent {
	return &lockboxv1.AccessIntent{
		Id: id, Tenant: devissuer.TenantBank, Token: token, SubscriptionId: demo.BankProduction,
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds: []string{demo.Machine(demo.BankProduction, "payments-1")},
		ReasonType:  lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, TicketId: demo.BankTicket,
		Justification: "The machine hangs a few minutes after each start; a memory dump will show where.",
	}
}

func (s *site) approve(ctx context.Context, c *lockboxv1.Command) error {
	data, err := proto.Marshal(c)
	if err != nil {
		return err
	}
	answer, err := s.client.RequestWithContext(ctx, bus.CommandSubject(bus.Client, bus.Verb(c)), data)
	if err != nil {
		return err
	}
	reply := new(lockboxv1.CommandReply)
	if err := proto.Unmarshal(answer.Data, reply); err != nil {
		return err
	}
	if r := reply.GetRefusal(); r != nil {
		return fmt.Errorf("the approval is refused: %v", r)
	}
	return nil
}

// until waits until the request's last event is of a type and nothing is left to do.
func (s *site) until(ctx context.Context, id, typ string) error {
	about := aggregate.Request(devissuer.TenantBank, id)
	for {
		// Not decoded, because a decoded event would be counted.
		last, sequence := "", uint64(0)
		err := s.watch.Replay(ctx, journal.Replay{Tenant: about.Tenant, Kind: about.Kind, ID: about.ID, Undecoded: true},
			func(e journal.Entry) error {
				at, err := bus.ParseEventSubject(e.Subject)
				last, sequence = at.Type, e.Seq
				return err
			})
		if err != nil {
			return err
		}
		if last == typ {
			return s.rest(ctx, sequence)
		}
		if err := s.pause(ctx); err != nil {
			return fmt.Errorf("the request's last event is %q, not %s: %w", last, typ, err)
		}
	}
}

// rest waits until the services have taken and acknowledged all that there is, up to the request's event at a sequence
// at least. That nothing is pending does not say so yet: a consumer is told of a message a moment after it is stored.
func (s *site) rest(ctx context.Context, sequence uint64) error {
	for {
		idle, reacted := true, uint64(0)
		for _, w := range s.workers {
			info, err := w.Info(ctx)
			if err != nil {
				return err
			}
			idle = idle && info.NumPending == 0 && info.NumAckPending == 0
			if info.Name == bus.DurableOrchestrator {
				reacted = info.AckFloor.Stream
			}
		}
		copies, err := s.watch.Copies(ctx)
		if err != nil {
			return err
		}
		// The evaluator asks for what follows when it has counted what was there.
		if idle && reacted >= sequence && s.passing.following() > copies.Last {
			return nil
		}
		if err := s.pause(ctx); err != nil {
			return err
		}
	}
}

func (s *site) pause(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pollEvery):
		return nil
	}
}
