package orchestrator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// commandsAtOnce bounds the decisions in flight; what comes on top waits in the subscription.
	commandsAtOnce = 512
	// commandTime is how long one decision may take before its caller is told "unavailable".
	commandTime = 10 * time.Second
	// attempts is how often a decision is made anew because another was written first.
	attempts = 8
)

// serveCommands answers commands until ctx ends. The returned function waits for the last answers.
func (o *orchestrator) serveCommands(ctx context.Context) (stop func() error, err error) {
	var running sync.WaitGroup
	slots := make(chan struct{}, commandsAtOnce)
	s, err := micro.AddService(o.Conn, micro.Config{Name: Name, Version: "1.0.0", Description: "Decides requests, tenants, roles and tickets"})
	if err != nil {
		return nil, err
	}
	err = s.AddEndpoint("command", micro.HandlerFunc(func(r micro.Request) {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, commandTime)
			defer cancel()
			o.answer(ctx, r)
		})
	}), micro.WithEndpointSubject(bus.CommandSubject("*")))
	return func() error {
		err := s.Stop()
		running.Wait()
		return err
	}, err
}

func (o *orchestrator) answer(ctx context.Context, r micro.Request) {
	c := new(lockboxv1.Command)
	var reply *lockboxv1.CommandReply
	err := input.Decode(r.Data(), c)
	if err != nil {
		reply = &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
		if err := o.SetAside(ctx, r.Subject(), 0, r.Data(), reply.GetRefusal()); err != nil {
			o.Log.Error("dead letter not kept", zap.Error(err))
		}
	} else if reply, err = o.command(ctx, r.Subject(), c); err != nil {
		reply = &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
		o.Counters.Refused(reply.GetRefusal())
		o.Log.Info("refused", zap.String("command", c.GetId()), zap.String("verb", bus.Verb(c)), zap.String("tenant", c.GetTenant()), zap.Error(err))
	}
	data, err := proto.Marshal(reply)
	if err == nil {
		err = r.Respond(data)
	}
	if err != nil {
		o.Log.Warn("no reply", zap.String("command", c.GetId()), zap.Error(err))
	}
}

// command decides one command: read what it rests on, verify, decide, append.
func (o *orchestrator) command(ctx context.Context, subject string, c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	if err := o.Clock.Healthy(); err != nil {
		return nil, err
	}
	about, err := check(subject, c)
	if err != nil {
		return nil, err
	}
	var by *lockboxv1.Actor
	for attempt := 1; ; attempt++ {
		states, err := o.repository.BasisOf(ctx, about)
		if err != nil {
			return nil, err
		}
		if by == nil {
			if by, err = o.verify(c, states.Tenant(about.Tenant)); err != nil {
				return nil, err
			}
		}
		reply, err := o.decide(ctx, about, aggregate.Command{Command: c, By: by}, states)
		if errors.Is(err, repository.ErrConflict) && attempt < attempts {
			continue // another was written first
		}
		return reply, err
	}
}

// verify says whose token it is. One of another tenant is not trusted here, whether this tenant exists or not (I9); for the
// provider's own affairs only the provider's issuers are.
func (o *orchestrator) verify(c *lockboxv1.Command, t tenant.State) (*lockboxv1.Actor, error) {
	by, err := o.Verifier.Verify(c.GetToken(), t.Issuer, o.Now())
	if err != nil {
		return nil, err
	}
	if creation := c.GetCreateTenant(); creation != nil {
		return by, identity.CheckTenantIssuer(creation.GetIssuer(), o.Issuers)
	}
	return by, nil
}

// check holds for every command, before anything is read.
func check(subject string, c *lockboxv1.Command) (aggregate.Key, error) {
	if verb := bus.Verb(c); verb == "" || subject != bus.CommandSubject(verb) {
		return aggregate.Key{}, refusal.Invalid("action", "bad input", "the action is not the one that the subject names")
	}
	for _, err := range []error{
		input.UUIDv7("id", c.GetId()),
		input.Line("trace_parent", c.GetTraceParent(), 0, 128),
	} {
		if err != nil {
			return aggregate.Key{}, err
		}
	}
	return aggregate.Of(c)
}

// decide makes one attempt. What follows at once from what was decided, such as access from an approval, is written in the
// same commit; where that cannot be told now, the event has it done.
func (o *orchestrator) decide(ctx context.Context, about aggregate.Key, c aggregate.Command, states repository.States) (*lockboxv1.CommandReply, error) {
	now := o.Now()
	e, err := states.Decide(c, now)
	if err != nil {
		return nil, err
	}
	if e == nil {
		h := history(states, about)
		return &lockboxv1.CommandReply{Sequence: h.Sequence, Version: h.Version, Message: already(states, about)}, nil
	}
	e.TraceParent = c.GetTraceParent()
	if err := repository.Identify(e); err != nil {
		return nil, err
	}
	stored, err := o.write(ctx, states, append([]*lockboxv1.Event{e}, o.next(states, e, now)...)...)
	if len(stored) == 0 {
		return nil, err
	}
	if err != nil {
		o.Log.Warn("what follows at once was not written with its cause", zap.Stringer("aggregate", about), zap.Error(err))
	}
	return &lockboxv1.CommandReply{Sequence: stored[0], Version: e.GetVersion(), EventId: e.GetId()}, nil
}

// next is what follows at once from an event that is about to be written, if that is known and may be written now.
func (o *orchestrator) next(states repository.States, e *lockboxv1.Event, now time.Time) []*lockboxv1.Event {
	next, err := o.process.Next(states, e, now)
	if next == nil || err != nil || o.mayWrite(next) != nil || repository.Identify(next) != nil {
		return nil
	}
	return []*lockboxv1.Event{next}
}

// already is what somebody hears whose command changes nothing.
func already(states repository.States, about aggregate.Key) string {
	if about.Kind == aggregate.KindRequest {
		return request.Outcome(states.Request(about))
	}
	return "nothing to do: it is so already"
}
