// Package evaluator turns intents into evaluated requests. It reads INTENTS and the inputs of an evaluation, and writes
// only AccessRequested and AccessEvaluated.
package evaluator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Name is the service's name on the bus, in events and in metrics.
const Name = "jit-evaluator"

// Config is the service's configuration, besides the connection to the bus.
type Config struct {
	// Terms are the provider's deadlines and durations.
	Terms request.Terms `yaml:"terms"`
	// Limits bound the requests that wait for a decision (R52).
	Limits policy.Limits `yaml:"limits"`
	// Tools lists the engineering tools that may submit intents, with the scope of each.
	Tools []Tool `yaml:"tools"`
	// PortalURL is the portal's public base URL, for the links in outcomes; empty: there are none.
	PortalURL string `yaml:"portal_url"`
}

// Check rejects an unusable configuration; the error names the field.
func (c Config) Check() error {
	if err := CheckTools(c.Tools); err != nil {
		return err
	}
	return c.Terms.Check()
}

// Program is the service as a process of its own.
func Program() service.Program {
	return service.New(bus.Evaluator, Config{Terms: request.DefaultTerms()}, Run)
}

// Run evaluates intents until ctx ends or an error occurs that must stop the service.
func Run(ctx context.Context, rt *service.Runtime, c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	reads := repository.New(rt.Journal)
	e := &evaluator{
		Runtime: rt, repository: reads, histories: newHistories(rt.Journal, reads, rt.Log), terms: c.Terms,
		limits: c.Limits, tools: c.Tools, portalURL: c.PortalURL,
		rules: repository.RulesInForce(), catalogue: repository.CatalogueInForce(),
		actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: Name},
	}
	// Until past events are counted, intents wait in their stream.
	begun := time.Now()
	if err := e.histories.catchUp(ctx, e.Now()); err != nil {
		return err
	}
	rt.Log.Info("histories counted", zap.Uint64("sequence", e.histories.counted.Sequence()),
		zap.Duration("after", time.Since(begun)))
	e.trail = accesslog.Start(rt.Identity, rt.Journal.PutAccess, rt.Now, rt.Log, rt.Counters)
	defer e.trail.Close()
	parts, ctx := errgroup.WithContext(ctx) // Without counting, evaluation must stop.
	parts.Go(func() error { return e.histories.follow(ctx, e.Now()) })
	parts.Go(func() error { return rt.Journal.FollowIntents(ctx, e.handle) })
	return parts.Wait()
}

type evaluator struct {
	*service.Runtime
	repository *repository.Repository
	histories  *histories
	rules      *repository.InForce[*policy.Rules]
	catalogue  *repository.InForce[*catalogue.Catalogue]
	terms      request.Terms
	limits     policy.Limits
	tools      []Tool
	portalURL  string
	actor      *lockboxv1.Actor
	// trail records refused intents (R69); tenants are those that are known to exist.
	trail   *accesslog.Recorder
	tenants sync.Map
}

// handle processes one stored intent. One that cannot be understood is dead-lettered with its bytes; after an error
// that is no refusal it is redelivered.
func (e *evaluator) handle(ctx context.Context, in journal.Intent) error {
	if err := e.Clock.Healthy(); err != nil {
		return err
	}
	tool, tenantID, err := bus.ParseIntentSubject(in.Subject)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	outcome := &lockboxv1.IntentOutcome{Tenant: tenantID}
	message := new(lockboxv1.AccessIntent)
	var intent *lockboxv1.AccessIntent
	if err = input.Decode(in.Data, message); err == nil {
		intent, err = request.Unwrap(message)
	}
	if err == nil {
		err = input.UUIDv7("id", intent.GetId()) // otherwise nobody can be told what becomes of it
	}
	if err != nil {
		outcome.IntentId, outcome.Refusal = message.GetId(), refusal.Of(err)
		e.trace(tool, outcome, nil)
		if err := e.SetAside(ctx, tool, in.Subject, in.Seq, in.Data, outcome.GetRefusal()); err != nil {
			return err
		}
		e.tell(tool, outcome)
		return nil
	}
	if tenantID == "" { // the tool is for all customers
		tenantID = message.GetTenant()
	}
	outcome.IntentId, outcome.Tenant, outcome.DryRun = intent.GetId(), tenantID, intent.GetDryRun()
	ctx, span := e.span(ctx, tool, intent, in.Stored)
	var sub request.Submission
	speaks, err := speaker(e.tools, tool, message)
	if err == nil {
		if sub, err = request.Receive(intent, speaks, in.Seq, in.Stored); err == nil {
			err = e.evaluate(ctx, tenantID, &sub, outcome)
		}
	}
	if span.Used() { // otherwise it became no request, and the id may be another's
		span.Set(trace.Tenant, tenantID)
		if r := outcome.GetRefusal(); r != nil && err == nil {
			span.End(&refusal.Error{Refusal: r})
		} else {
			span.End(err)
		}
	}
	if r, refused := refusal.As(err); refused && r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
		outcome.Refusal = r
		e.trace(tool, outcome, sub.By)
		outcome.NextStep, outcome.Next = lockboxv1.NextStep_NEXT_STEP_NOTHING, "Nothing: the intent is refused."
		e.Counters.Refused(r)
		e.Log.Info("refused", observe.About(aggregate.Request(tenantID, intent.GetId()), zap.String("tool", tool),
			zap.Error(err))...)
	} else if err != nil {
		return err
	}
	// From the bus's clock to this one's, which is at most 2 s off.
	e.Counters.Answered("intent", max(0, e.Now().Sub(in.Stored)), outcome.GetRefusal())
	e.tell(tool, outcome)
	if speaks != "" && speaks != tool {
		e.tell(speaks, outcome)
	}
	return nil
}

// span begins the span of an intent, which is the first of its request's trace unless the portal published it. It
// begins when the bus stored the intent.
func (e *evaluator) span(
	ctx context.Context, tool string, in *lockboxv1.AccessIntent, stored time.Time,
) (context.Context, *trace.Span) {
	if in.GetDryRun() {
		return ctx, nil
	}
	step := trace.Step{Trace: in.GetId(), Name: "intent", Kind: trace.Consumer, ID: in.GetId(), Begun: stored,
		Caller: in.GetTraceParent()}
	if tool == bus.PortalTool {
		step.After = trace.Sent(in.GetId())
	}
	ctx, span := e.Traces.Start(ctx, step)
	span.Set(trace.Request, in.GetId())
	span.Set(trace.Tool, tool)
	return ctx, span
}

// trace records an intent that was refused before it became a request (R69). What was refused later is an event.
func (e *evaluator) trace(tool string, outcome *lockboxv1.IntentOutcome, by *lockboxv1.Actor) {
	r := &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED,
		Sender: string(bus.Tool(tool)), Action: "submit_intent", AboutKind: aggregate.KindRequest,
		AboutId: outcome.GetIntentId(), Who: accesslog.Who(by)}
	if _, known := e.tenants.Load(outcome.GetTenant()); known {
		r.Tenant = outcome.GetTenant()
	}
	e.trail.Add(accesslog.Refused(r, outcome.GetRefusal()))
}

// evaluate processes one intent, continuing from wherever an earlier attempt left it.
func (e *evaluator) evaluate(
	ctx context.Context, tenantID string, sub *request.Submission, outcome *lockboxv1.IntentOutcome,
) error {
	in := sub.Intent
	if in.GetTenant() != tenantID {
		return refusal.OfKind(
			refusal.Invalid("tenant", "I9", "the intent names another tenant than its subject"),
			"another-tenant")
	}
	if err := request.CheckIntent(in, e.terms); err != nil {
		return err
	}
	if err := permit(e.tools, sub.Tool, tenantID, in.GetResourceType()); err != nil {
		return err
	}
	// As of the time at which the bus stored it: engineers must not lose an intent because the evaluator was down.
	var err error
	if sub.By, err = e.Verifier.Verify(in.GetToken(), nil, sub.Stored); err != nil {
		return err
	}
	about := aggregate.Request(tenantID, in.GetId())
	looked := e.histories.look(ctx)
	states, err := e.basis(ctx, about, sub)
	if err != nil {
		return err
	}
	if named := states.Ticket(tenantID, sub.TicketID); named.Exists() {
		in.TicketId = named.Reference // as the customer wrote it
	}
	t := states.Tenant(tenantID)
	if t.Fault != nil && t.Fault.NotAnEvent {
		return refusal.Precondition("tenant", "I6", "message %d, stored on the tenant's subjects, is no event; "+
			"submit it again once the security officer has set that aside", t.Fault.Sequence)
	}
	if !t.Exists() {
		return refusal.NotFound("tenant", "I9", "there is no such tenant")
	}
	e.tenants.Store(tenantID, true)
	submitted, err := repository.Reached(request.Submit(states.Request(about), *sub, e.terms, e.Now()))
	if err != nil {
		return err
	}
	outcome.Duplicate = submitted.Event == nil
	if !outcome.GetDuplicate() {
		if err := e.histories.admit(in, sub.By, e.Now(), e.limits); err != nil {
			return err
		}
	}
	then := states // as it will be once the request is stored
	if !outcome.GetDuplicate() {
		if err := repository.Identify(submitted.Event); err != nil {
			return err
		}
		then = states.Then(submitted)
	}
	evaluated, err := e.verdict(then, about, looked)
	if err != nil || sub.DryRun {
		e.histories.withdraw(in)
	}
	if err != nil {
		return err
	}
	// Before others can see it: whatever follows from it comes later, so the deadline that is said is the earliest.
	now := e.Now()
	if sub.DryRun {
		if states = then; evaluated.Event != nil {
			states = states.Then(evaluated)
		}
	} else if err := e.write(ctx, states, submitted, evaluated); err != nil {
		e.histories.withdraw(in)
		return err
	}
	e.say(outcome, states.Request(about), now)
	if r := outcome.GetRefusal(); r != nil && !outcome.GetDuplicate() {
		e.Counters.Refused(r)
	}
	return nil
}

// verdict evaluates a request; nil if it was evaluated in an earlier attempt, which stands.
func (e *evaluator) verdict(
	states repository.States, about aggregate.Key, looked func() error,
) (repository.Decided, error) {
	s := states.Request(about)
	rules, err := e.rules.Of(states)
	if err != nil {
		return repository.Decided{}, err
	}
	services, err := e.catalogue.Of(states)
	if err != nil {
		return repository.Decided{}, err
	}
	w := states.World(s)
	f := policy.Facts{Intent: s.Intent, By: s.Requester, Tenant: w.Tenant, Keys: w.Keys,
		Subscription: w.Subscription}
	if s.TicketID != "" {
		t := states.Ticket(s.Tenant, s.TicketID)
		f.Ticket = &t
	}
	now := e.Now()
	if s.Evaluation == nil {
		if err := looked(); err != nil {
			return repository.Decided{}, err
		}
		f.History = e.histories.known(s, now)
	}
	verdict := policy.Evaluate(f, rules, services, e.terms, now)
	return repository.Reached(request.RecordEvaluation(s, verdict, e.actor, now))
}

// basis reads all inputs of an evaluation as one consistent cut: the tenant, the subscription and its owner, the
// ticket, the rules and the catalogue in force, and the request from an earlier attempt at this intent; it notes the
// ticket's id. It refuses (CONFLICT) an ID that belongs to a request of another tenant. Two such intents at the same
// instant, handled by two replicas, both pass: they are then two requests, each of its own tenant.
func (e *evaluator) basis(
	ctx context.Context, about aggregate.Key, sub *request.Submission,
) (repository.States, error) {
	in := sub.Intent
	keys := []aggregate.Key{aggregate.Tenant(about.Tenant), aggregate.Keys(about.Tenant), aggregate.Rules,
		aggregate.Catalogue}
	if id := in.GetSubscriptionId(); id != "" {
		keys = append(keys, repository.States{}.SubscriptionKeys(about.Tenant, id)...)
	}
	if named := in.GetTicketId(); named != "" {
		tickets, err := repository.TicketKeys(about.Tenant, named)
		if err != nil {
			return nil, err
		}
		keys = append(keys, tickets...)
	}
	states, elsewhere, err := e.repository.BasisOfNew(ctx, about, keys...)
	if err != nil {
		return nil, err
	}
	if elsewhere {
		return nil, refusal.Conflict("id", "bad input", "this id was used for another intent")
	}
	var more []aggregate.Key // what is written otherwise than it was registered
	if id := in.GetSubscriptionId(); id != "" && states.Ownership(id).Spelling(about.Tenant, id) != id {
		more = states.SubscriptionKeys(about.Tenant, id)
	}
	if named := in.GetTicketId(); named != "" {
		ticket, err := e.repository.TicketIn(ctx, states, "ticket_id", about.Tenant, named)
		if err != nil {
			return nil, err
		}
		if sub.TicketID = ticket.ID; !slices.Contains(keys, ticket) {
			more = append(more, ticket)
		}
	}
	if more == nil {
		return states, nil
	}
	return e.repository.Basis(ctx, append(append(keys, about), more...)...)
}

// write appends a request and its evaluation together; of an earlier attempt, one or both are there already.
func (e *evaluator) write(ctx context.Context, states repository.States, events ...repository.Decided) error {
	events = slices.DeleteFunc(events, func(d repository.Decided) bool { return d.Event == nil })
	if len(events) == 0 {
		return nil
	}
	_, err := e.Append(ctx, e.repository, states, events...)
	return err
}

// say adds to an outcome how a request stands.
func (e *evaluator) say(o *lockboxv1.IntentOutcome, s request.State, now time.Time) {
	v := s.Evaluation
	o.Refusal, o.Status, o.Evaluation = v.GetRefusal(), s.Status.String(), v.GetOutcome().String()
	o.Reasons, o.CodedReasons = v.GetReasons(), v.GetCodedReasons()
	if w := v.GetWaiver(); w != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		o.Waiver = w.String()
	}
	if due := request.DecidedBy(s, now); !due.IsZero() {
		o.Deadline = timestamppb.New(due)
	}
	o.NextStep, o.Next = request.Next(s)
	if o.GetDryRun() && !o.GetDuplicate() {
		return // there is no such event, and no such page
	}
	if o.Sequence = s.Sequence; e.portalURL != "" {
		o.PortalUrl = portalurl.To(e.portalURL, "", "requests", s.ID)
	}
}

// tell sends the outcome to the tool at once. This is best effort: the events are the record.
func (e *evaluator) tell(tool string, outcome *lockboxv1.IntentOutcome) {
	subject, err := bus.OutcomeSubject(tool, outcome.GetIntentId())
	if err != nil {
		return // An intent that could not be parsed has no ID to reply to.
	}
	data, err := proto.Marshal(outcome)
	if err == nil {
		err = e.Conn.Publish(subject, data)
	}
	if err != nil {
		e.Log.Warn("outcome not sent to the tool",
			observe.About(aggregate.Request(outcome.GetTenant(), outcome.GetIntentId()), zap.Error(err))...)
	}
}
