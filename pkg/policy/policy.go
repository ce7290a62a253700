// Package policy implements just-in-time evaluation: verified facts in, a reproducible decision out (R13, R14). It is
// pure. The rules are versioned configuration in YAML, with conditions in CEL. They can refuse, allow or require
// internal approvals; they cannot decide whether the customer is asked.
package policy

import (
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Facts are the input of an evaluation. What the intent itself claims about the engineer is not among them.
type Facts struct {
	Intent *lockboxv1.AccessIntent
	// By is the engineer, from the verified token.
	By     *lockboxv1.Actor
	Tenant tenant.State
	// Keys are those with which the tenant's people sign: what they had to sign and did not counts for nothing (R42).
	Keys keychain.State
	// Subscription is nil for a tenant-scoped intent.
	Subscription *tenant.Subscription
	// Ticket is nil if the intent names none.
	Ticket *ticket.State
	// History is the outcome of the engineer's recent requests, see Histories. If it is nil, it is unknown, and a rule
	// that refers to it refuses (I11).
	History *lockboxv1.EngineerHistory
}

// Evaluate evaluates an intent at now. It refuses the intent, lets the customer decide, or names the one basis on which
// the customer is not asked; and it determines the internal approvals that come first (R15). Whether the customer is
// asked is decided here and never by the rules.
func Evaluate(
	f Facts, r *Rules, c *catalogue.Catalogue, terms request.Terms, now time.Time,
) *lockboxv1.AccessEvaluated {
	s := subject{
		intent: f.Intent, by: f.By, tenantSequence: f.Tenant.Sequence,
		tenant: &lockboxv1.TenantFacts{
			Id: f.Intent.GetTenant(), LockboxEnabled: f.Keys.Enabled(f.Tenant), SupportPlan: f.Tenant.Plan,
			PreviewSignedUp: f.Keys.SignedUp(f.Tenant, f.Intent.GetResourceType()),
		},
		subscriptionMissing: f.Subscription != nil && !f.Subscription.Registered(),
		subscriptionFaulty:  f.Subscription != nil && f.Subscription.Fault != nil,
		ticketMissing:       f.Ticket != nil && !f.Ticket.Exists(),
		ticketOfProvider:    f.Ticket != nil && f.Ticket.OfProvider(),
		ticketClosed: f.Ticket != nil && f.Ticket.Closed() &&
			f.Tenant.Settings.GetAccessEndsWithTicket(),
		history: f.History,
	}
	if s.intent.GetToken() != "" {
		s.intent = proto.CloneOf(s.intent)
		s.intent.Token = ""
	}
	return s.evaluate(r, c, terms, now)
}

// Again repeats the evaluation of a request from the facts recorded with it. With the rules, catalogue and terms used
// then, the result is the same, byte for byte (R14, I8); with other rules, it is what those rules would have decided
// (R16).
func Again(state request.State, r *Rules, c *catalogue.Catalogue, terms request.Terms) *lockboxv1.AccessEvaluated {
	was := state.Evaluation.GetFacts()
	now := state.RequestedAt
	if was.GetTime() != nil {
		now = was.GetTime().AsTime()
	}
	s := subject{
		intent: state.Intent, by: state.Requester, tenantSequence: was.GetTenantSequence(),
		tenant: &lockboxv1.TenantFacts{
			Id: state.Intent.GetTenant(), LockboxEnabled: was.GetLockboxEnabled(), SupportPlan: was.GetSupportPlan(),
			PreviewSignedUp: was.GetPreviewSignedUp(),
		},
		subscriptionMissing: was.GetSubscriptionMissing(), subscriptionFaulty: was.GetSubscriptionFaulty(),
		ticketMissing: was.GetTicketMissing(), ticketOfProvider: was.GetTicketOfProvider(),
		ticketClosed: was.GetTicketClosed(),
		history:      was.GetHistory(),
	}
	return s.evaluate(r, c, terms, now)
}

// subject is the recorded input of an evaluation; nothing else can influence the result.
type subject struct {
	intent         *lockboxv1.AccessIntent
	by             *lockboxv1.Actor
	tenant         *lockboxv1.TenantFacts
	tenantSequence uint64
	// history is nil if unknown.
	history *lockboxv1.EngineerHistory

	subscriptionMissing, subscriptionFaulty bool
	// ticketClosed is false where access does not end with the ticket.
	ticketMissing, ticketOfProvider, ticketClosed bool
}

func (s subject) evaluate(
	r *Rules, c *catalogue.Catalogue, terms request.Terms, now time.Time,
) *lockboxv1.AccessEvaluated {
	v := &lockboxv1.AccessEvaluated{
		PolicyVersion: r.Version(), CatalogueVersion: c.Version(), Duration: durationpb.New(terms.Longest(s.intent)),
		Facts: &lockboxv1.EvaluationFacts{
			Scope: scope(s.intent), MultiFactor: s.by.GetMultiFactor(), IsolatedIdentity: s.by.GetIsolatedIdentity(),
			LockboxEnabled: s.tenant.GetLockboxEnabled(), SupportPlan: s.tenant.GetSupportPlan(),
			PreviewSignedUp: s.tenant.GetPreviewSignedUp(),
			TenantSequence:  s.tenantSequence, Time: timestamppb.New(now), Emergency: s.intent.GetEmergency(),
			SubscriptionMissing: s.subscriptionMissing, SubscriptionFaulty: s.subscriptionFaulty, TicketMissing: s.ticketMissing,
			TicketOfProvider: s.ticketOfProvider, TicketClosed: s.ticketClosed,
			History: s.history,
		},
	}
	if d := s.intent.GetDuration(); d != nil {
		v.Duration = d
	}
	service, scenario, err := c.Lookup(s.intent.GetResourceType(), s.intent.GetScenario())
	if err != nil {
		return refuse(v, err)
	}
	v.Facts.ServiceName, v.Facts.Stage = service.Name, service.Stage
	v.Facts.ScenarioName, v.Facts.CustomerData, v.Facts.Elevated = scenario.Name, scenario.CustomerData, scenario.Elevated
	v.Facts.Changes = scenario.Changes
	if err := s.plausible(scenario); err != nil {
		return refuse(v, err)
	}
	if err := service.Fits(root(s.intent), s.intent.GetResourceIds()); err != nil {
		return refuse(v, err)
	}
	ruled := r.apply(v, r.weigh(s, resourceFacts(v.GetFacts()), now))
	if ruled.refusal != nil {
		v.Reasons, v.CodedReasons = ruled.reasons, ruled.codes
		v.Outcome, v.Refusal = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED, ruled.refusal
		return v
	}
	if err := s.mayHurry(); err != nil {
		return refuse(v, err)
	}
	waive(v)
	v.Reasons, v.CodedReasons = append(v.Reasons, ruled.reasons...), append(v.CodedReasons, ruled.codes...)
	demand(v, s.hurry(v, ruled.stages), terms, now)
	if v.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES {
		v.CustomerAnswerWithin, v.CustomerRemindBefore = durationpb.New(terms.CustomerApproval), terms.Reminders()
	}
	return v
}

func resourceFacts(f *lockboxv1.EvaluationFacts) *lockboxv1.ResourceFacts {
	return &lockboxv1.ResourceFacts{
		ServiceName: f.GetServiceName(), ScenarioName: f.GetScenarioName(), Stage: f.GetStage(),
		CustomerData: f.GetCustomerData(), Elevated: f.GetElevated(), Scope: f.GetScope(),
	}
}

// ruling is the combined effect of all matching rules.
type ruling struct {
	// refusal is nil if no rule refuses the intent.
	refusal *lockboxv1.Refusal
	// reasons are also recorded as codes, one for each, in the same order.
	reasons []string
	codes   []*lockboxv1.Reason
	stages  []*lockboxv1.InternalStage
}

// apply evaluates every rule, in order, and records those that matched. The first refusing rule determines the refusal.
// A rule that cannot be evaluated refuses (I11), and so does a rule set of which no rule matches (R15).
func (r *Rules) apply(v *lockboxv1.AccessEvaluated, w *weighed) ruling {
	var through, against ruling
	for i := range r.list {
		rule := &r.list[i]
		yes, err := rule.holds(w)
		if err == nil && !yes {
			continue
		}
		matched := &lockboxv1.MatchedRule{Id: rule.ID, Effect: rule.Effect, Reason: rule.Reason}
		code := reason.Of(lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED, "rule", rule.ID)
		if err != nil {
			// The CEL error is for the authors of rules; see Check.
			matched.Effect, code.Code = lockboxv1.RuleEffect_RULE_EFFECT_FAILED, lockboxv1.ReasonCode_REASON_CODE_RULE_FAILED
			matched.Reason = fmt.Sprintf("The rule %s could not be evaluated, and what is not known is refused.", rule.ID) // I11
		}
		v.Rules = append(v.Rules, matched)
		switch matched.GetEffect() {
		case lockboxv1.RuleEffect_RULE_EFFECT_ALLOW, lockboxv1.RuleEffect_RULE_EFFECT_REQUIRE_INTERNAL_APPROVAL:
			through.reasons, through.codes = append(through.reasons, rule.Reason), append(through.codes, code)
			through.stages = append(through.stages, rule.Stages...)
		default:
			against.reasons, against.codes = append(against.reasons, matched.GetReason()), append(against.codes, code)
			if against.refusal == nil {
				against.refusal = refusalOf(rule, err)
				against.refusal.CodedReason = code
			}
		}
	}
	switch {
	case against.refusal != nil:
		return against
	case len(v.GetRules()) == 0:
		code := reason.Of(lockboxv1.ReasonCode_REASON_CODE_NO_RULE_MATCHED)
		none := refusal.Of(refusal.Because(refusal.Forbidden("", "R15", "no rule lets this through"), code))
		return ruling{
			refusal: none, reasons: []string{"No rule of the provider lets this through."}, // R15
			codes: []*lockboxv1.Reason{code},
		}
	}
	return through
}

func refusalOf(rule *Rule, failed error) *lockboxv1.Refusal {
	if failed != nil {
		return refusal.Of(refusal.OfKind(
			refusal.Unavailable("", "I11", "the rule %s could not be evaluated", rule.ID),
			"rule-failed", "rule", rule.ID))
	}
	return refusal.Of(refusal.Forbidden(rule.Field, "R13", "%s", rule.Message))
}

// plausible refuses an intent that contradicts what is known about the customer.
func (s subject) plausible(scenario catalogue.Scenario) error {
	switch {
	case scenario.Scope != scope(s.intent):
		code := lockboxv1.ReasonCode_REASON_CODE_SUBSCRIPTION_REQUIRED
		if scenario.Scope == lockboxv1.Scope_SCOPE_TENANT {
			code = lockboxv1.ReasonCode_REASON_CODE_SUBSCRIPTION_NOT_ALLOWED
		}
		return refusal.Because(
			refusal.Invalid("subscription_id", "R18", "%q is done to %s", scenario.Name, reach(scenario.Scope)),
			reason.Of(code, "scenario", scenario.Name))
	case s.subscriptionMissing:
		return refusal.Because(refusal.NotFound("subscription_id", "R18", "the tenant has no such subscription"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_SUBSCRIPTION_NOT_FOUND))
	case s.subscriptionFaulty:
		return refusal.Because(
			refusal.Unavailable("subscription_id", "I6", "the subscription's history contradicts itself"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_SUBSCRIPTION_FAULTY))
	case s.ticketMissing:
		return refusal.Because(refusal.NotFound("ticket_id", "R11", "the tenant has no such ticket"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TICKET_NOT_FOUND))
	case s.ticketOfProvider &&
		s.intent.GetReasonType() == lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT:
		return refusal.Because(refusal.Precondition("ticket_id", "R61",
			"the provider opened this ticket, and support that the customer asked for needs one that the customer opened"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TICKET_OF_PROVIDER))
	case s.ticketClosed:
		return refusal.Because(refusal.Precondition("ticket_id", "R61",
			"the ticket is closed, and this customer's access ends with its ticket; have it opened again first"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TICKET_NOT_OPEN))
	case s.by.GetEmployer() == "":
		return refusal.Because(refusal.Forbidden("token", "R5", "the token does not say who employs the engineer"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_EMPLOYER_UNKNOWN))
	case !aggregate.Provider(s.by, aggregate.SupportEngineers, aggregate.DevOpsManagers, aggregate.SupportLeads):
		return refusal.Because(refusal.Forbidden("token", "R13", "access is requested by the provider's engineers"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NOT_AN_ENGINEER))
	}
	return nil
}

// Resource returns the catalogue's facts about what an intent requests; nil if the catalogue does not contain it, or if
// the resources are not all of the type that the intent names: what is known of one type says nothing about another.
func Resource(in *lockboxv1.AccessIntent, c *catalogue.Catalogue) *request.Resource {
	service, scenario, err := c.Lookup(in.GetResourceType(), in.GetScenario())
	if err != nil || service.Fits(root(in), in.GetResourceIds()) != nil {
		return nil
	}
	return &request.Resource{CustomerData: scenario.CustomerData,
		Preview: service.Stage == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW}
}

// waive records the basis on which the customer is not asked, if there is one.
func waive(v *lockboxv1.AccessEvaluated) {
	v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED
	switch f := v.GetFacts(); {
	case !f.GetCustomerData():
		v.Waiver = lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA
		explain(v, "This operation reaches no customer data, so the customer is not asked.", // R3
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NO_CUSTOMER_DATA))
	case !f.GetLockboxEnabled():
		v.Waiver = lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED
		explain(v, "The customer has not switched Lockbox on.", // R2
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_LOCKBOX_NOT_ENABLED))
	case f.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW && !f.GetPreviewSignedUp():
		v.Waiver = lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP
		explain(v, "The service is in preview and the customer has not signed up for it.", // R8
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_PREVIEW_NOT_SIGNED_UP))
	case f.GetEmergency():
		v.Waiver = lockboxv1.Waiver_WAIVER_EMERGENCY
		explain(v, "An emergency cannot wait for the customer, who is told as soon as access begins.", // R43
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_EMERGENCY))
	default:
		v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES
		explain(v, "This operation reaches customer data, so the customer decides.", // R17
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_CUSTOMER_DECIDES))
	}
}

// demand records the internal stages and their common deadline: stages run one after the other, each with its own time.
func demand(v *lockboxv1.AccessEvaluated, stages []*lockboxv1.InternalStage, terms request.Terms, now time.Time) {
	if len(stages) == 0 {
		return
	}
	until := now
	for _, stage := range stages {
		within := terms.InternalApproval
		if stage.GetAnswerWithin() != nil {
			within = stage.GetAnswerWithin().AsDuration()
		}
		until = until.Add(within)
		v.InternalStages = append(v.InternalStages, &lockboxv1.InternalStage{
			Group: stage.GetGroup(), Count: stage.GetCount(), AnswerWithin: durationpb.New(within),
		})
	}
	v.InternalExpiresAt, v.InternalRemindBefore = timestamppb.New(until), terms.Reminders()
}

func refuse(v *lockboxv1.AccessEvaluated, err error) *lockboxv1.AccessEvaluated {
	v.Outcome, v.Refusal = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED, refusal.Of(err)
	explain(v, v.GetRefusal().GetMessage(), v.GetRefusal().GetCodedReason())
	return v
}

// explain records a reason, as a sentence and as a code.
func explain(v *lockboxv1.AccessEvaluated, recorded string, code *lockboxv1.Reason) {
	v.Reasons, v.CodedReasons = append(v.Reasons, recorded), append(v.CodedReasons, code)
}

func root(in *lockboxv1.AccessIntent) string {
	return resource.Root(in.GetTenant(), in.GetSubscriptionId())
}

func scope(in *lockboxv1.AccessIntent) lockboxv1.Scope {
	if in.GetSubscriptionId() == "" {
		return lockboxv1.Scope_SCOPE_TENANT
	}
	return lockboxv1.Scope_SCOPE_SUBSCRIPTION
}

func reach(s lockboxv1.Scope) string {
	if s == lockboxv1.Scope_SCOPE_TENANT {
		return "the tenant as a whole; name no subscription"
	}
	return "resources of one subscription; name it"
}
