// Package policy is just-in-time evaluation: verified facts in, a reproducible decision out (R13, R14). It is pure. Its
// rules are few and fixed; publishing rules as configuration comes later, and Version will tell the sets apart.
package policy

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/event"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Version names this rule set in every evaluation.
const Version = "builtin-1"

// Facts are what an evaluation may weigh. None of them is the intent's word about the engineer.
type Facts struct {
	Intent *lockboxv1.AccessIntent
	// By is the engineer, from the verified token.
	By     *lockboxv1.Actor
	Tenant tenant.State
	// Subscription is nil for a tenant-scoped intent.
	Subscription *tenant.Subscription
	// Ticket is nil if the intent names none.
	Ticket *ticket.State
}

// Evaluate decides what becomes of an intent at now. It refuses, or names the one basis on which the customer is not
// asked, or lets the customer decide; and says which internal approvals come first (R15).
func Evaluate(f Facts, c *catalogue.Catalogue, terms request.Terms, now time.Time) *lockboxv1.AccessEvaluated {
	v := &lockboxv1.AccessEvaluated{
		PolicyVersion: Version, CatalogueVersion: c.Version(), Duration: durationpb.New(terms.Longest(f.Intent)),
		Facts: &lockboxv1.EvaluationFacts{
			Scope: scope(f.Intent), MultiFactor: f.By.GetMultiFactor(), IsolatedIdentity: f.By.GetIsolatedIdentity(),
			LockboxEnabled: f.Tenant.Enabled, TenantSequence: f.Tenant.Sequence, Emergency: f.Intent.GetEmergency(),
		},
	}
	if d := f.Intent.GetDuration(); d != nil {
		v.Duration = d
	}
	service, scenario, err := c.Lookup(f.Intent.GetResourceType(), f.Intent.GetScenario())
	if err != nil {
		return refuse(v, err)
	}
	v.Facts.ServiceName, v.Facts.Stage, v.Facts.PreviewSignedUp = service.Name, service.Stage, f.Tenant.SignedUp(service.Type)
	v.Facts.ScenarioName, v.Facts.CustomerData, v.Facts.Elevated = scenario.Name, scenario.CustomerData, scenario.Elevated
	if err := plausible(f, scenario); err != nil {
		return refuse(v, err)
	}
	if !f.By.GetMultiFactor() && !f.By.GetIsolatedIdentity() {
		return refuse(v, refusal.Forbidden("token", "R13", "sign in with multi-factor authentication or an isolated identity"))
	}
	if err := mayHurry(f); err != nil {
		return refuse(v, err)
	}
	waive(v)
	demandInternal(v, terms, now)
	hurry(v, terms, now)
	return v
}

// plausible refuses an intent that contradicts what is known of the customer.
func plausible(f Facts, scenario catalogue.Scenario) error {
	switch {
	case scenario.Scope != scope(f.Intent):
		return refusal.Invalid("subscription_id", "R18", "%q is done to %s", scenario.Name, reach(scenario.Scope))
	case f.Subscription != nil && !f.Subscription.Exists():
		return refusal.NotFound("subscription_id", "R18", "the tenant has no such subscription")
	case f.Subscription != nil && f.Subscription.Fault != nil:
		return refusal.Unavailable("subscription_id", "I6", "the subscription's history contradicts itself")
	case f.Ticket != nil && !f.Ticket.Exists():
		return refusal.NotFound("ticket_id", "R11", "the tenant has no such ticket")
	case f.By.GetEmployer() == "":
		return refusal.Forbidden("token", "R5", "the token does not say who employs the engineer")
	case !event.Provider(f.By, event.SupportEngineers, event.DevOpsManagers, event.SupportLeads):
		return refusal.Forbidden("token", "R13", "access is requested by the provider's engineers")
	}
	return nil
}

// waive finds the basis on which the customer is not asked, if there is one.
func waive(v *lockboxv1.AccessEvaluated) {
	v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED
	switch f := v.GetFacts(); {
	case !f.GetCustomerData():
		v.Waiver = lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA
		v.Reasons = append(v.Reasons, "This operation reaches no customer data, so the customer is not asked (R3).")
	case !f.GetLockboxEnabled():
		v.Waiver = lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED
		v.Reasons = append(v.Reasons, "The customer has not switched Lockbox on (R2).")
	case f.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW && !f.GetPreviewSignedUp():
		v.Waiver = lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP
		v.Reasons = append(v.Reasons, "The service is in preview and the customer has not signed up for it (R8).")
	case f.GetEmergency():
		v.Waiver = lockboxv1.Waiver_WAIVER_EMERGENCY
		v.Reasons = append(v.Reasons, "An emergency cannot wait for the customer, who is told as soon as access begins (R43).")
	default:
		v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES
		v.Reasons = append(v.Reasons, "This operation reaches customer data, so the customer decides (R17).")
	}
}

// demandInternal asks for one internal approval where permission is elevated or the whole tenant is reached.
func demandInternal(v *lockboxv1.AccessEvaluated, terms request.Terms, now time.Time) {
	var group string
	switch f := v.GetFacts(); {
	case f.GetElevated():
		group = event.DevOpsManagers
		v.Reasons = append(v.Reasons, "Elevated permission needs a DevOps manager's approval first (R15).")
	case f.GetScope() == lockboxv1.Scope_SCOPE_TENANT:
		group = event.SupportLeads
		v.Reasons = append(v.Reasons, "Reaching the whole tenant needs a customer support lead's approval first (R15).")
	default:
		return
	}
	v.InternalStages = []*lockboxv1.InternalStage{{Group: group, Count: 1}}
	v.InternalExpiresAt, v.InternalRemindBefore = timestamppb.New(now.Add(terms.InternalApproval)), terms.InternalReminders()
}

func refuse(v *lockboxv1.AccessEvaluated, err error) *lockboxv1.AccessEvaluated {
	v.Outcome, v.Refusal = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED, refusal.Of(err)
	v.Reasons = append(v.Reasons, v.GetRefusal().GetMessage())
	return v
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
