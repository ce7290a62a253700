package orchestrator

import (
	"context"
	"errors"
	"time"

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
	// commandsAtOnce limits the commands in progress; further ones wait in the subscription.
	commandsAtOnce = 512
	// commandTime limits how long one command may take before the caller gets UNAVAILABLE.
	commandTime = 10 * time.Second
	// attempts is the number of retries after write conflicts.
	attempts = 8
)

// commands returns the responder for commands.
func (o *orchestrator) commands() bus.Responder {
	return bus.Responder{
		Name: Name, Description: "Decides requests, tenants, roles and tickets", Endpoint: "command",
		Subject: bus.CommandSubject("*"), AtOnce: commandsAtOnce, TimeLimit: commandTime, Answer: o.answer, Log: o.Log,
	}
}

func (o *orchestrator) answer(ctx context.Context, subject string, data []byte) proto.Message {
	c := new(lockboxv1.Command)
	if err := input.Decode(data, c); err != nil {
		reply := &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
		if err := o.SetAside(ctx, subject, 0, data, reply.GetRefusal()); err != nil {
			o.Log.Error("dead letter not kept", zap.Error(err))
		}
		return reply
	}
	reply, err := o.command(ctx, subject, c)
	if err != nil {
		reply = &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
		o.Counters.Refused(reply.GetRefusal())
		o.Log.Info("refused", zap.String("command", c.GetId()), zap.String("verb", bus.Verb(c)),
			zap.String("tenant", c.GetTenant()), zap.Error(err))
	}
	return reply
}

// command processes one command: read the state, verify the token, decide, append.
func (o *orchestrator) command(
	ctx context.Context, subject string, c *lockboxv1.Command,
) (*lockboxv1.CommandReply, error) {
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
			continue // write conflict
		}
		return reply, err
	}
}

// verify authenticates the token. It does not trust another tenant's token, whether this tenant exists or not (I9); for
// the provider's own aggregates it trusts the provider's issuers only.
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

// check validates what holds for every command, before anything is read.
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

// decide makes one attempt. Events that follow immediately from the decision, such as access from an approval, are
// written in the same commit; if that is not possible, reacting to the stored event writes them.
func (o *orchestrator) decide(
	ctx context.Context, about aggregate.Key, c aggregate.Command, states repository.States,
) (*lockboxv1.CommandReply, error) {
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
	stored, err := o.Append(ctx, o.repository, states, append([]*lockboxv1.Event{e}, o.next(states, e, now)...)...)
	if len(stored) == 0 {
		return nil, err
	}
	if err != nil {
		o.Log.Warn("follow-up events not written in the same commit", zap.Stringer("aggregate", about), zap.Error(err))
	}
	return &lockboxv1.CommandReply{Sequence: stored[0], Version: e.GetVersion(), EventId: e.GetId()}, nil
}

// next returns the events that follow immediately from one that is about to be written, if they are known and may be
// written now.
func (o *orchestrator) next(states repository.States, e *lockboxv1.Event, now time.Time) []*lockboxv1.Event {
	next, err := o.process.Next(states, e, now)
	if next == nil || err != nil || o.mayWrite(next) != nil {
		return nil
	}
	return []*lockboxv1.Event{next}
}

// already returns the reply's text for a command that changes nothing.
func already(states repository.States, about aggregate.Key) string {
	if about.Kind == aggregate.KindRequest {
		return request.Outcome(states.Request(about))
	}
	return "nothing to do: it is so already"
}
