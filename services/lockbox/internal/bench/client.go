package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"google.golang.org/protobuf/proto"
)

// patience is the timeout of a single step; when it is exceeded, the measurement is aborted.
const patience = 30 * time.Second

// Types of the events that a client waits for.
var (
	customerNotified = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{}})
	accessGranted    = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{}})
)

// client plays all external parties: the engineering tool, the approver, and an observer of the stream for both.
type client struct {
	peers              peers
	requester, decider string // tokens
	watching           jetstream.ConsumeContext

	mu      sync.Mutex
	waiting map[string]*awaited
}

// awaited holds one channel per event that a request's client waits for.
type awaited struct{ notified, granted chan struct{} }

func newClient(ctx context.Context, s *site, running *stack.Stack) (_ *client, err error) {
	c := &client{waiting: map[string]*awaited{}}
	if c.requester, err = s.issuer.Token(engineer, time.Now()); err != nil {
		return nil, err
	}
	if c.decider, err = s.issuer.Token(approver, time.Now()); err != nil {
		return nil, err
	}
	if c.peers, err = connectAll(ctx, running, bus.Tool(tool), bus.Client, bus.Compliance); err != nil {
		return nil, err
	}
	if err := c.watch(ctx); err != nil {
		c.peers.Close()
		return nil, err
	}
	return c, nil
}

// watch starts observing new events of the two types, with one ordered consumer that receives headers only.
func (c *client) watch(ctx context.Context) error {
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy, HeadersOnly: true}
	for _, typ := range []string{customerNotified, accessGranted} {
		filter, err := bus.ReplayFilter("", aggregate.KindRequest, "", typ)
		if err != nil {
			return err
		}
		config.FilterSubjects = append(config.FilterSubjects, filter)
	}
	consumer, err := c.peers[bus.Compliance].js.OrderedConsumer(ctx, bus.StreamEvents, config)
	if err != nil {
		return err
	}
	c.watching, err = consumer.Consume(c.seen, jetstream.PullMaxMessages(4096))
	return err
}

func (c *client) seen(m jetstream.Msg) {
	at, err := bus.ParseEventSubject(m.Subject())
	if err != nil {
		return // The client that waits for it times out.
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one, known := c.waiting[at.ID]
	switch {
	case !known:
	case at.Type == customerNotified:
		close(one.notified)
	case at.Type == accessGranted:
		close(one.granted)
		delete(c.waiting, at.ID)
	}
}

func (c *client) expect(id string) *awaited {
	one := &awaited{make(chan struct{}), make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[id] = one
	return one
}

// Close stops the observer and closes the connections.
func (c *client) Close() {
	c.watching.Stop()
	<-c.watching.Closed()
	c.peers.Close()
}

// submit publishes an intent, and returns when it is on disk.
func (c *client) submit(ctx context.Context, id string) error {
	_, err := c.peers[bus.Tool(tool)].SubmitIntent(ctx, tool, newIntent(id, c.requester))
	return err
}

// approve sends the approval, and returns when it is on disk.
func (c *client) approve(ctx context.Context, id string) error {
	commandID, err := newID()
	if err != nil {
		return err
	}
	command := newApproval(commandID, id, c.decider)
	data, err := proto.Marshal(command)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := c.peers[bus.Client].RequestWithContext(ctx, bus.CommandSubject(bus.Verb(command)), data)
	if err != nil {
		return fmt.Errorf("approve %s: %w", id, err)
	}
	reply := new(lockboxv1.CommandReply)
	if err := proto.Unmarshal(answer.Data, reply); err != nil {
		return fmt.Errorf("approve %s: %w", id, err)
	}
	if r := reply.GetRefusal(); r != nil {
		return fmt.Errorf("approve %s: %w", id, &refusal.Error{Refusal: r})
	}
	return nil
}

// answered waits until queries are answered, that is, until the projection includes everything stored at its start and
// at least the given sequence.
func (s *site) answered(ctx context.Context, running *stack.Stack, sequence uint64) error {
	token, err := s.issuer.Token(administrator, time.Now())
	if err != nil {
		return err
	}
	query := &lockboxv1.Query{Tenant: customer, Token: token, MinSequence: sequence,
		Ask: &lockboxv1.Query_ListTickets{ListTickets: &lockboxv1.ListTickets{}}}
	nc, err := running.Connect(bus.Client)
	if err != nil {
		return err
	}
	defer nc.Close()
	for {
		_, err = ask(ctx, nc, query)
		if !errors.Is(err, nats.ErrNoResponders) && !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
			return err
		}
		time.Sleep(pollEvery)
	}
}

// ask sends a query and returns the reply.
func ask(ctx context.Context, nc *nats.Conn, query *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	data, err := proto.Marshal(query)
	if err != nil {
		return nil, err
	}
	answer, err := nc.RequestWithContext(ctx, bus.QuerySubject(bus.QueryName(query)), data)
	if err != nil {
		return nil, err
	}
	reply := new(lockboxv1.QueryReply)
	if err := proto.Unmarshal(answer.Data, reply); err != nil {
		return nil, err
	}
	if r := reply.GetRefusal(); r != nil {
		return nil, &refusal.Error{Refusal: r}
	}
	return reply, nil
}

var errTimeout = errors.New("timed out waiting for the request's next event")

// carry takes a request through the whole workflow: submitted, customer notified, approved, access granted.
func (c *client) carry(ctx context.Context) error {
	id, err := newID()
	if err != nil {
		return err
	}
	stored := c.expect(id)
	if err := c.submit(ctx, id); err != nil {
		return err
	}
	if err := await(ctx, stored.notified); err != nil {
		return fmt.Errorf("%s, %s: %w", id, customerNotified, err)
	}
	if err := c.approve(ctx, id); err != nil {
		return err
	}
	if err := await(ctx, stored.granted); err != nil {
		return fmt.Errorf("%s, %s: %w", id, accessGranted, err)
	}
	return nil
}

func await(ctx context.Context, stored <-chan struct{}) error {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-enough.C:
		return errTimeout
	}
}
