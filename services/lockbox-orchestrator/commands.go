package orchestrator

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// commandsAtOnce limits the commands in progress, commandsWaiting those that wait for it, each once for known callers
	// and once for others.
	commandsAtOnce, commandsWaiting = 512, 4096
	// commandTime limits how long one command may take before the caller gets UNAVAILABLE.
	commandTime = 10 * time.Second
	// attempts is the number of retries after write conflicts.
	attempts = 8
)

// commands returns the responder for commands.
func (o *orchestrator) commands() bus.Responder {
	return bus.Responder{
		Name: Name, Description: "Decides requests, tenants, roles and tickets", Endpoint: "command",
		Subject: bus.AnyCommand, AtOnce: commandsAtOnce, MostWaiting: commandsWaiting, TimeLimit: commandTime,
		Lane: o.lane, Over: o.over, Answer: o.answer, Log: o.Log,
		Refuse:   o.refuse,
		Answered: func(took time.Duration, why *lockboxv1.Refusal) { o.Counters.Answered("command", took, why) },
	}
}

// lane returns the lane in which a command waits, and whether its token was verified before.
func (o *orchestrator) lane(_ string, data []byte) (lane string, known bool) {
	c := new(lockboxv1.Command)
	_ = proto.Unmarshal(data, c) // answer refuses what is none
	return o.callers.Lane(c.GetTenant(), c.GetToken())
}

func (o *orchestrator) answer(ctx context.Context, subject string, data []byte) proto.Message {
	c := new(lockboxv1.Command)
	if err := input.Decode(data, c); err != nil {
		reply := &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
		if err := o.SetAside(ctx, "commands", subject, 0, data, reply.GetRefusal()); err != nil {
			o.Log.Error("dead letter not kept", zap.String("subject", subject), zap.Error(err))
		}
		o.trace(subject, c, reply.GetRefusal())
		return reply
	}
	prose.Message(c)
	ctx, span := o.span(ctx, subject, c)
	reply, err := o.command(ctx, subject, c)
	if span != nil {
		if _, verified := o.callers.Lane(c.GetTenant(), c.GetToken()); trace.Recorded(err, verified) {
			span.End(err)
		}
	}
	if err != nil {
		reply = &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
		o.Counters.Refused(reply.GetRefusal())
		o.Log.Info("refused", observe.AboutCommand(c, bus.Verb(c), zap.Error(err))...)
		o.trace(subject, c, reply.GetRefusal())
	}
	return reply
}

// span begins the span of a command. One that the portal sent goes below the portal's.
func (o *orchestrator) span(
	ctx context.Context, subject string, c *lockboxv1.Command,
) (context.Context, *trace.Span) {
	about, sender, err := check(subject, c)
	if o.Traces == nil || err != nil {
		return ctx, nil
	}
	step := trace.Step{Trace: trace.OfCommand(about, c.GetId()), Name: "command", Detail: bus.Verb(c), Kind: trace.Server,
		ID: c.GetId(), Caller: c.GetTraceParent()}
	switch {
	case sender == bus.Portal.Account():
		step.After = trace.Sent(c.GetId())
	case about.Kind == aggregate.KindRequest:
		step.After = step.Trace
	}
	ctx, span := o.Traces.Start(ctx, step)
	span.Set(trace.Tenant, c.GetTenant())
	if about.Kind == aggregate.KindRequest {
		span.Set(trace.Request, about.ID)
	}
	span.Set(trace.Command, c.GetId())
	span.Set(trace.Verb, bus.Verb(c))
	return ctx, span
}

// command processes one command: read the state, verify the token, decide, append.
func (o *orchestrator) command(
	ctx context.Context, subject string, c *lockboxv1.Command,
) (*lockboxv1.CommandReply, error) {
	if err := o.Clock.Healthy(); err != nil {
		return nil, err
	}
	about, sender, err := check(subject, c)
	if err != nil {
		return nil, err
	}
	if n := len(c.GetPortalSha256()); n > 0 && (n != sha256.Size || !bus.IsPortal(sender)) {
		return nil, refusal.Invalid("portal_sha256", "bad input",
			"only a portal says, in 32 bytes, what its pages are made of")
	}
	if c.GetSetAsideMessage() != nil {
		return o.setAside(ctx, c)
	}
	var counted, named bool
	for attempt := 1; ; attempt++ {
		// The provider's own aggregates may be about a customer.
		keys := []aggregate.Key{about}
		if about.Tenant != c.GetTenant() {
			keys = append(keys, aggregate.Tenant(c.GetTenant()))
		}
		if c.GetSignUpPreview() != nil {
			keys = append(keys, aggregate.Catalogue)
		}
		known, _ := o.timers.Get(about)
		states, err := o.repository.BasisOf(ctx, keys...)
		if err != nil {
			return nil, err
		}
		if states.Tenant(c.GetTenant()).Exists() {
			o.tenants.Store(c.GetTenant(), true)
		}
		// Each time anew: which issuers are accepted, and which groups they map, can have changed as well.
		var by *lockboxv1.Actor
		if byKey(c) {
			by, err = o.keyholder(about, c, states)
		} else {
			by, err = o.verify(c, states.Tenant(c.GetTenant()))
		}
		if err == nil {
			err = o.checkIssuer(c)
		}
		if err == nil {
			err = bus.ByCustomer(sender, aggregate.Customer(by))
		}
		if err != nil {
			return nil, err
		}
		if !named {
			named = true
			key, err := o.ticket(ctx, about, c)
			if err != nil {
				return nil, err
			}
			if key != about {
				about = key
				continue
			}
		}
		recorded, err := o.signedIn(ctx, c, by, states)
		switch {
		case errors.Is(err, repository.ErrConflict) && attempt < attempts, recorded:
			continue // decided on what is so now
		case err != nil:
			return nil, err
		}
		if !counted {
			counted = true
			if err := o.spend(sender, about, c, by, states); err != nil {
				return nil, err
			}
		}
		if p := c.GetSignUpPreview(); p != nil {
			services, err := o.process.Services.Of(states)
			if err != nil {
				return nil, err
			}
			if err := services.Preview("sign_up_preview.resource_type", p.GetResourceType()); err != nil {
				return nil, err
			}
		}
		secrets, err := o.sealing.seal(c)
		if err != nil {
			return nil, err
		}
		given := aggregate.Command{Command: c, By: by, Sealed: secrets}
		if given.Found, err = o.find(ctx, about, c); err != nil {
			return nil, err
		}
		if c.GetActivateRole() != nil { // the one command for which a customer's groups matter
			given.GroupsUnread = o.Verifier.GroupsUnread(c.GetToken(), states.Tenant(c.GetTenant()).Issuers(), o.Now())
		}
		reply, err := o.decide(ctx, about, given, states, known)
		if errors.Is(err, repository.ErrConflict) && attempt < attempts {
			continue // write conflict
		}
		if err != nil {
			o.attempted(ctx, about, c, by, err)
		}
		if err != nil && refusal.Of(err).GetRule() == "R51" {
			// The second account of one human: those who wait for two should know, and an event would not say it.
			if err := o.identify(ctx, about.Tenant, by, c.GetId()); err != nil {
				o.Log.Warn("whose account it is was not recorded", observe.About(about, zap.Error(err))...)
			}
		}
		if about.Kind == aggregate.KindOwnership && err == nil {
			// Whoever registers a subscription goes on with it at once.
			last, err := o.follow(ctx, about, reply.GetEventId())
			reply.Sequence = max(reply.GetSequence(), last)
			return reply, err
		}
		return reply, err
	}
}

// ticket returns the ticket that a command names by its reference or id, and makes the command name it by its id. Of a
// command about anything else, it returns what that is about.
func (o *orchestrator) ticket(
	ctx context.Context, about aggregate.Key, c *lockboxv1.Command,
) (aggregate.Key, error) {
	named, is := aggregate.TicketNamed(c)
	if !is {
		return about, nil
	}
	key, err := o.repository.TicketKey(ctx, "aggregate_id", about.Tenant, named)
	if err != nil {
		return about, err
	}
	aggregate.NameTicket(c, key.ID)
	return key, nil
}

// verify authenticates the token. It does not trust another tenant's token, whether this tenant exists or not (I9); for
// the provider's own aggregates it trusts the provider's issuers only.
func (o *orchestrator) verify(c *lockboxv1.Command, t tenant.State) (*lockboxv1.Actor, error) {
	if t.Fault != nil && t.Fault.NotAnEvent {
		return nil, refusal.Unavailable("tenant", "I6", "message %d, stored on the tenant's subjects, is no event; "+
			"nobody's token can be verified until the security officer has set it aside", t.Fault.Sequence)
	}
	issuers := t.Issuers()
	if c.GetEndFormerSignIn() != nil && len(issuers) > 1 {
		issuers = issuers[:1] // what ends the others has to come through the present one
	}
	if c.GetRedeemInvitation() != nil { // nor through former keys of the present one
		issuers = slices.DeleteFunc(issuers, func(i *lockboxv1.TenantIssuer) bool {
			return i != t.Issuer && i.GetUrl() == t.Issuer.GetUrl()
		})
	}
	by, err := o.Verifier.VerifyAny(c.GetToken(), issuers, o.Now())
	if err != nil {
		return nil, err
	}
	o.callers.Verified(c.GetTenant(), c.GetToken(), by)
	return by, nil
}

// checkIssuer refuses a command that names a tenant's issuer which could not be used.
func (o *orchestrator) checkIssuer(c *lockboxv1.Command) error {
	if creation := c.GetCreateTenant(); creation != nil {
		return identity.CheckTenantIssuer(creation.GetIssuer(), o.Issuers)
	}
	if next := c.GetProposeSignInChange().GetChange().GetIssuer(); next != nil {
		return proposedIssuer(identity.CheckTenantIssuer(next, o.Issuers))
	}
	return nil
}

// proposedIssuer names the fields of a refused issuer as the proposal has them.
func proposedIssuer(err error) error {
	r, refused := refusal.As(err)
	if !refused {
		return err
	}
	field := "propose_sign_in_change.change" + strings.TrimPrefix(r.GetField(), "create_tenant")
	return refusal.Because(refusal.New(r.GetCode(), field, r.GetRule(), "%s", r.GetMessage()), r.GetCodedReason())
}

// signedIn records that somebody of the tenant has signed in, if something depends on it (R65), before their command is
// decided: whatever comes of the command, they were here.
func (o *orchestrator) signedIn(
	ctx context.Context, c *lockboxv1.Command, by *lockboxv1.Actor, states repository.States,
) (recorded bool, err error) {
	t := states.Tenant(c.GetTenant())
	if c.GetSignIn() != nil && c.GetAggregateId() == "" || !t.SignInMatters(by, o.Now()) {
		return false, nil
	}
	e, err := tenant.RecordSignIn(t, by, "", o.Now())
	if e == nil || err != nil {
		return false, err
	}
	if err := repository.Identify(e); err != nil {
		return false, err
	}
	_, err = o.Append(ctx, o.repository, states, repository.Decided{Event: e})
	return err == nil, err
}

// check validates what holds for every command, before anything is read. It returns what the command is about, and who
// sent it.
func check(subject string, c *lockboxv1.Command) (about aggregate.Key, sender string, err error) {
	verb, sender, err := bus.ParseCommand(subject)
	if err != nil || verb == "" || verb != bus.Verb(c) {
		return about, sender, refusal.Invalid("action", "bad input", "the action is not the one that the subject names")
	}
	for _, err := range []error{
		input.UUIDv7("id", c.GetId()),
		prose.CheckLine("trace_parent", c.GetTraceParent(), 0, 128),
	} {
		if err != nil {
			return about, sender, err
		}
	}
	if about, err = aggregate.Of(c); err != nil {
		return about, sender, err
	}
	if err = bus.Within(sender, c.GetTenant()); err == nil {
		err = bus.Within(sender, about.Tenant)
	}
	return about, sender, err
}

// decide makes one attempt. Events that follow immediately from the decision, such as access from an approval, are
// written in the same commit; if that is not possible, reacting to the stored event writes them.
func (o *orchestrator) decide(
	ctx context.Context, about aggregate.Key, c aggregate.Command, states repository.States, known timer,
) (*lockboxv1.CommandReply, error) {
	now := o.Now()
	e, err := states.Decide(c, o.rates.Limits, now)
	if err != nil {
		return nil, err
	}
	if e.GetSigningBegan() != nil {
		if err := o.signsFirst(c.GetBeginSigning()); err != nil {
			return nil, err
		}
	}
	if e.Event == nil {
		h := history(states, about)
		return &lockboxv1.CommandReply{Sequence: h.Sequence, Version: h.Version, Message: already(states, about)}, nil
	}
	e.TraceParent, e.PortalSha256 = c.GetTraceParent(), c.GetPortalSha256()
	if err := repository.Identify(e.Event); err != nil {
		return nil, err
	}
	stored, err := o.append(ctx, states, known, now, append([]repository.Decided{e}, o.next(states, e, now)...)...)
	if len(stored) == 0 {
		return nil, err
	}
	if err != nil {
		o.Log.Warn("follow-up events not written in the same commit", observe.AboutEvent(e.Event, zap.Error(err))...)
	}
	return &lockboxv1.CommandReply{Sequence: stored[0], Version: e.GetVersion(), EventId: e.GetId(),
		Message: warning(states, about, e.Event)}, nil
}

// next returns the events of the same aggregate that follow immediately from one that is about to be written, if they
// are known and may be written now.
func (o *orchestrator) next(states repository.States, e repository.Decided, now time.Time) []repository.Decided {
	next, err := o.process.Next(states, e, now)
	if next.Event == nil || err != nil || aggregate.KeyOf(next.Event) != aggregate.KeyOf(e.Event) ||
		o.mayWrite(next.Event) != nil {
		return nil
	}
	return []repository.Decided{next}
}

// already returns the reply's text for a command that changes nothing.
func already(states repository.States, about aggregate.Key) string {
	if about.Kind == aggregate.KindRequest {
		return request.Outcome(states.Request(about))
	}
	return "nothing to do: it is so already"
}
