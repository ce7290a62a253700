package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"golang.org/x/sync/errgroup"
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
	of                 party
	requester, decider string // tokens
	// issuer gives a token to each intent and command; nil: they have those above.
	issuer   *devissuer.Issuer
	watching errgroup.Group
	unwatch  context.CancelFunc

	mu      sync.Mutex
	waiting map[string]*awaited
}

// awaited holds one channel per event that a request's client waits for.
type awaited struct{ notified, granted chan struct{} }

func newClient(ctx context.Context, s *site, at running) (*client, error) {
	return newClientOf(ctx, s, at, bank)
}

func newClientOf(ctx context.Context, s *site, at running, of party) (_ *client, err error) {
	c := &client{of: of, waiting: map[string]*awaited{}}
	if s.freshTokens {
		c.issuer = s.issuer
	}
	if c.requester, err = s.issuer.Token(of.engineer, time.Now()); err != nil {
		return nil, err
	}
	if c.decider, err = s.issuer.Token(of.approver, time.Now()); err != nil {
		return nil, err
	}
	if c.peers, err = connectAll(ctx, at, bus.Tool(tool), bus.Client, bus.Compliance); err != nil {
		return nil, err
	}
	if err := c.watch(ctx); err != nil {
		c.peers.Close()
		return nil, err
	}
	return c, nil
}

// watch starts observing new events.
func (c *client) watch(ctx context.Context) error {
	p := c.peers[bus.Compliance]
	copies, err := p.Copies(ctx)
	if err != nil {
		return err
	}
	ctx, c.unwatch = context.WithCancel(ctx)
	c.watching.Go(func() error {
		rest := journal.Replay{From: copies.Last + 1, Follow: true, Undecoded: true}
		return p.Replay(ctx, rest, func(e journal.Entry) error {
			c.seen(e.Subject)
			return nil
		})
	})
	return nil
}

func (c *client) seen(subject string) {
	at, err := bus.ParseEventSubject(subject)
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
	c.unwatch()
	_ = c.watching.Wait() // a client that it failed has timed out
	c.peers.Close()
}

// submit publishes an intent, and returns when it is on disk.
func (c *client) submit(ctx context.Context, id string) error {
	token, err := c.token(c.of.engineer, c.requester)
	if err != nil {
		return err
	}
	_, err = c.peers[bus.Tool(tool)].SubmitIntent(ctx, tool, c.of.newIntent(id, token))
	return err
}

// token returns a new token for a persona, or the one that it has.
func (c *client) token(persona, has string) (string, error) {
	if c.issuer == nil {
		return has, nil
	}
	return c.issuer.Token(persona, time.Now())
}

// approve sends the approval, and returns when it is on disk.
func (c *client) approve(ctx context.Context, id string) error {
	commandID, err := newID()
	if err != nil {
		return err
	}
	token, err := c.token(c.of.approver, c.decider)
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := c.command(ctx, c.of.newApproval(commandID, id, token))
		// On a cluster a follower may show a request before the leader, which decides, has it.
		if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) || time.Now().After(end) {
			return err
		}
	}
}

// command sends a command, and returns when what it caused is on disk.
func (c *client) command(ctx context.Context, command *lockboxv1.Command) error {
	data, err := proto.Marshal(command)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := c.peers[bus.Client].RequestWithContext(ctx, bus.CommandSubject(bus.Client, bus.Verb(command)), data)
	if err != nil {
		return fmt.Errorf("%s %s: %w", bus.Verb(command), command.GetAggregateId(), err)
	}
	reply := new(lockboxv1.CommandReply)
	if err := proto.Unmarshal(answer.Data, reply); err != nil {
		return fmt.Errorf("%s %s: %w", bus.Verb(command), command.GetAggregateId(), err)
	}
	if r := reply.GetRefusal(); r != nil {
		return fmt.Errorf("%s %s: %w", bus.Verb(command), command.GetAggregateId(), &refusal.Error{Refusal: r})
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
	answer, err := nc.RequestWithContext(ctx, bus.QuerySubject(bus.Client, bus.QueryName(query)), data)
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
	_, err := c.carryTimed(ctx)
	return err
}

// times are how long a request took after the approval was sent: until it was answered, and until access was granted.
type times struct{ decided, granted time.Duration }

// carryTimed is carry, and returns how long the approval took.
func (c *client) carryTimed(ctx context.Context) (t times, err error) {
	id, err := newID()
	if err != nil {
		return t, err
	}
	stored := c.expect(id)
	if err := c.submit(ctx, id); err != nil {
		return t, err
	}
	if err := await(ctx, stored.notified); err != nil {
		return t, fmt.Errorf("%s, %s: %w", id, customerNotified, err)
	}
	begun := time.Now()
	if err := c.approve(ctx, id); err != nil {
		return t, err
	}
	t.decided = time.Since(begun)
	if err := await(ctx, stored.granted); err != nil {
		return t, fmt.Errorf("%s, %s: %w", id, accessGranted, err)
	}
	t.granted = time.Since(begun)
	return t, nil
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
