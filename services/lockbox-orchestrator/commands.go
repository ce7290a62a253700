package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
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

// commands answers commands.
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

// command decides one command: verify, load, decide, append.
func (o *orchestrator) command(ctx context.Context, subject string, c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	if err := o.Clock.Healthy(); err != nil {
		return nil, err
	}
	about, err := check(subject, c)
	if err != nil {
		return nil, err
	}
	t, err := o.customer(ctx, about)
	if err != nil {
		return nil, err
	}
	// A token of another tenant is not trusted here, whether this tenant exists or not (I9).
	by, err := o.Verifier.Verify(c.GetToken(), t.Issuer, o.Now())
	if err != nil {
		return nil, err
	}
	if creation := c.GetCreateTenant(); creation != nil {
		if err := identity.CheckTenantIssuer(creation.GetIssuer(), o.Issuers); err != nil {
			return nil, err
		}
	}
	command := aggregate.Command{Command: c, By: by}
	for attempt := 1; ; attempt++ {
		reply, err := o.decide(ctx, about, command, t, attempt > 1)
		switch {
		case errors.Is(err, journal.ErrConflict) && attempt < attempts:
			if t, err = o.customer(ctx, about); err != nil {
				return nil, err
			}
		case attempt == 1 && mayBeStale(reply, err):
			// Decide once more on what the leader has, before somebody hears a no, or that it is so already (R29).
			return o.decide(ctx, about, command, t, true)
		default:
			return reply, err
		}
	}
}

// customer reads the tenant that a command is about; none for the provider's own affairs, so that only tokens of the
// provider's issuers are trusted there.
func (o *orchestrator) customer(ctx context.Context, about bus.Aggregate) (tenant.State, error) {
	if about.Kind == bus.KindPolicy {
		return tenant.State{}, nil
	}
	return o.read.Tenant(ctx, about.Tenant)
}

// mayBeStale reports whether an answer that changes nothing could be due to knowing less than the leader.
func mayBeStale(reply *lockboxv1.CommandReply, err error) bool {
	if err == nil {
		return reply.GetEventId() == ""
	}
	r, refused := refusal.As(err)
	return refused && r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
}

// check holds for every command, before anything is read.
func check(subject string, c *lockboxv1.Command) (bus.Aggregate, error) {
	about := bus.Aggregate{Tenant: c.GetTenant(), ID: c.GetAggregateId()}
	if verb := bus.Verb(c); verb == "" || subject != bus.CommandSubject(verb) {
		return about, refusal.Invalid("action", "bad input", "the action is not the one that the subject names")
	}
	about.Kind = kind(c)
	for _, err := range []error{
		input.UUIDv7("id", c.GetId()),
		checkTenant(about, c),
		input.Line("trace_parent", c.GetTraceParent(), 0, 128),
	} {
		if err != nil {
			return about, err
		}
	}
	if about.Kind == bus.KindTenant {
		if c.GetAggregateId() != "" {
			return about, refusal.Invalid("aggregate_id", "bad input", "a command about the tenant names no other aggregate")
		}
		about.ID = c.GetTenant()
	}
	if about.Kind == bus.KindRequest || about.Kind == bus.KindDisclosure {
		return about, input.UUIDv7("aggregate_id", about.ID)
	}
	return about, input.Token("aggregate_id", about.ID)
}

// checkTenant holds that commands about the provider's own affairs name the provider, and all others a customer.
func checkTenant(about bus.Aggregate, c *lockboxv1.Command) error {
	if about.Kind != bus.KindPolicy {
		return input.Tenant("tenant", about.Tenant)
	}
	published := bus.Rules
	if c.GetPublishCatalogue() != nil {
		published = bus.Catalogue
	}
	if about != published {
		return refusal.Invalid("tenant", "bad input", "what is published here is %s", published)
	}
	return nil
}

// kind says what a command is about.
func kind(c *lockboxv1.Command) string {
	switch c.GetAction().(type) {
	case *lockboxv1.Command_CreateTenant, *lockboxv1.Command_ChangeSupportPlan, *lockboxv1.Command_EnableLockbox, *lockboxv1.Command_DisableLockbox,
		*lockboxv1.Command_SignUpPreview, *lockboxv1.Command_SignOffPreview, *lockboxv1.Command_ChangeSettings:
		return bus.KindTenant
	case *lockboxv1.Command_AssignRole, *lockboxv1.Command_RemoveRole, *lockboxv1.Command_ActivateRole, *lockboxv1.Command_DeactivateRole:
		if c.GetAggregateId() == "" {
			return bus.KindTenant
		}
		return bus.KindSubscription
	case *lockboxv1.Command_RegisterSubscription:
		return bus.KindSubscription
	case *lockboxv1.Command_OpenTicket, *lockboxv1.Command_AssignTicket, *lockboxv1.Command_CommentTicket:
		return bus.KindTicket
	case *lockboxv1.Command_PublishRules, *lockboxv1.Command_PublishCatalogue:
		return bus.KindPolicy
	case *lockboxv1.Command_DiscloseExposure, *lockboxv1.Command_DiscloseLegalDemand:
		return bus.KindDisclosure
	}
	return bus.KindRequest
}

// decide makes one attempt. With confirm, the aggregate is read at the leader.
func (o *orchestrator) decide(ctx context.Context, about bus.Aggregate, c aggregate.Command, t tenant.State, confirm bool) (*lockboxv1.CommandReply, error) {
	now := o.Now()
	var history aggregate.History
	var events []*lockboxv1.Event
	var err error
	already := "nothing to do: it is so already"
	switch about.Kind {
	case bus.KindTenant:
		history = t.History
		events, err = tenant.Decide(t, c, now)
	case bus.KindSubscription:
		s, loadErr := o.read.Subscription(ctx, about.Tenant, about.ID)
		if loadErr != nil {
			return nil, loadErr
		}
		history = s.History
		events, err = tenant.DecideSubscription(t, s, c, now)
	case bus.KindTicket:
		s, loadErr := o.read.Ticket(ctx, about.Tenant, about.ID)
		if loadErr != nil {
			return nil, loadErr
		}
		history = s.History
		events, err = ticket.Decide(s, t, c, now)
	case bus.KindPolicy:
		s, loadErr := o.read.Published(ctx, about)
		if loadErr != nil {
			return nil, loadErr
		}
		history = s.History
		events, err = policy.Decide(s, c, now)
	case bus.KindDisclosure:
		s, loadErr := o.read.Disclosure(ctx, about.Tenant, about.ID)
		if loadErr != nil {
			return nil, loadErr
		}
		history = s.History
		events, err = disclosure.Decide(s, t, c, now)
	case bus.KindRequest:
		var s request.State
		var loadErr error
		if confirm {
			s, loadErr = o.read.ConfirmedRequest(ctx, about.Tenant, about.ID)
		} else {
			s, loadErr = o.read.RequestAt(ctx, about.Tenant, about.ID, 0)
		}
		if loadErr != nil {
			return nil, loadErr
		}
		w := request.World{Tenant: t}
		if id := s.Intent.GetSubscriptionId(); id != "" {
			sub, loadErr := o.read.Subscription(ctx, about.Tenant, id)
			if loadErr != nil {
				return nil, loadErr
			}
			w.Subscription = &sub
		}
		history, already = s.History, request.Outcome(s)
		events, err = request.Decide(s, c, w, now)
	}
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return &lockboxv1.CommandReply{Sequence: history.Sequence, Version: history.Version, Message: already}, nil
	}
	e := events[0]
	e.TraceParent = c.GetTraceParent()
	sequence, err := o.write(ctx, history.Sequence, e)
	if err != nil {
		return nil, err
	}
	return &lockboxv1.CommandReply{Sequence: sequence, Version: e.GetVersion(), EventId: e.GetId()}, nil
}
