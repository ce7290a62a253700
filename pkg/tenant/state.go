// Package tenant implements the customer's side of the rules: support plan, enablement, previews, settings,
// subscriptions, role assignments, and the approvers of a request. It is pure.
package tenant

import (
	"maps"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// State is a tenant, folded from its events.
type State struct {
	aggregate.History
	Name     string
	Plan     lockboxv1.SupportPlan
	Issuer   *lockboxv1.TenantIssuer
	Enabled  bool
	Settings *lockboxv1.TenantSettings
	// Roles are the assignments at tenant scope.
	Roles    Roles
	previews map[string]bool
}

// SignedUp reports whether the tenant takes part in the preview of a resource type (R8).
func (s State) SignedUp(resourceType string) bool { return s.previews[resourceType] }

// Previews returns the resource types whose preview the tenant takes part in, sorted.
func (s State) Previews() []string { return slices.Sorted(maps.Keys(s.previews)) }

// RequiredApprovals is how many different people must approve (R30).
func (s State) RequiredApprovals() int { return max(1, int(s.Settings.GetRequiredApprovals())) }

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

func (s *State) apply(e *lockboxv1.Event) (broken string) {
	created, isCreation := e.GetFact().(*lockboxv1.Event_TenantCreated)
	if isCreation != (e.GetVersion() == 1) {
		return "a tenant begins with its creation, once"
	}
	if broken := s.mayChange(e); broken != "" {
		return broken
	}
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_TenantCreated:
		t := created.TenantCreated
		s.Name, s.Plan, s.Issuer = t.GetDisplayName(), t.GetPlan(), t.GetIssuer()
		s.Settings = &lockboxv1.TenantSettings{
			DefaultLanguage: t.GetDefaultLanguage(), RequiredApprovals: 1,
			Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
		}
		return s.Roles.assign(t.GetAdministrator())
	case *lockboxv1.Event_SupportPlanChanged:
		s.Plan = f.SupportPlanChanged.GetTo()
	case *lockboxv1.Event_LockboxEnabled:
		s.Enabled = true
	case *lockboxv1.Event_LockboxDisabled:
		s.Enabled = false
	case *lockboxv1.Event_PreviewSignedUp:
		s.previews = with(s.previews, f.PreviewSignedUp.GetResourceType(), true)
	case *lockboxv1.Event_PreviewSignedOff:
		s.previews = with(s.previews, f.PreviewSignedOff.GetResourceType(), false)
	case *lockboxv1.Event_SettingsChanged:
		s.Settings = f.SettingsChanged.GetSettings()
	default:
		return s.Roles.apply(e)
	}
	return ""
}

// mayChange returns the rule that the event's actor breaks, or "". The fold checks it as well as the decision, so that
// the orchestrator's stolen key cannot produce a fact unnoticed.
func (s *State) mayChange(e *lockboxv1.Event) (broken string) {
	switch e.GetFact().(type) {
	case *lockboxv1.Event_TenantCreated, *lockboxv1.Event_SupportPlanChanged:
		if !aggregate.Provider(e.GetActor(), aggregate.Onboarding) {
			return "the provider's onboarding creates a tenant and changes its support plan (R1, R2)"
		}
	case *lockboxv1.Event_RoleActivated, *lockboxv1.Event_RoleDeactivated: // see Roles.apply
	default:
		if s.administrator(e.GetActor(), "R2", e.GetTime().AsTime()) != nil {
			return "only a Global Administrator of the tenant changes it (R2)"
		}
	}
	if e.GetAggregateId() != e.GetTenant() {
		return "a tenant's own events are about itself"
	}
	return ""
}

// Subscription is one of a tenant's subscriptions, folded from its events.
type Subscription struct {
	aggregate.History
	Name  string
	Roles Roles
}

// EvolveSubscription folds one stored event of a subscription, as Evolve does for a tenant.
func EvolveSubscription(s Subscription, sequence uint64, e *lockboxv1.Event) Subscription {
	return aggregate.Fold(s, sequence, e, (*Subscription).apply)
}

func (s *Subscription) apply(e *lockboxv1.Event) (broken string) {
	registered, isRegistration := e.GetFact().(*lockboxv1.Event_SubscriptionRegistered)
	if isRegistration != (e.GetVersion() == 1) {
		return "a subscription begins with its registration, once"
	}
	// Whether the actor is a Global Administrator is known only from the tenant's history; their side can be checked here.
	if by := e.GetActor(); !aggregate.Customer(by) && !(isRegistration && aggregate.Provider(by, aggregate.Onboarding)) {
		return "a subscription is the customer's to change; the provider's onboarding may register it (R18)"
	}
	if isRegistration {
		s.Name = registered.SubscriptionRegistered.GetDisplayName()
		return ""
	}
	return s.Roles.apply(e)
}

func with(m map[string]bool, key string, on bool) map[string]bool {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]bool{}
	}
	if on {
		m[key] = true
	} else {
		delete(m, key)
	}
	return m
}
