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
	// humans are those of the accounts that were identified (R51).
	humans map[account]string
	// Former are the issuers that are accepted beside Issuer until an administrator ends them, the oldest first.
	Former []*lockboxv1.TenantIssuer
	// Change is a change of where people sign in that waits; nil if none does.
	Change *SignInChange
	// Webhooks are the tenant's own, the oldest first.
	Webhooks []Webhook
	// SignedIn: somebody of the tenant has signed in, so that it is theirs to change.
	SignedIn bool
	// Off is what switched Lockbox off last; without an event while it is on, and if it never was.
	Off Stored
	// Required are the changes of how many different people have to approve, and the settings that were signed; the
	// oldest first.
	Required []Stored
	// left is what left a preview last, by resource type.
	left map[string]Stored
	// changed is the last change of what people see and decide on.
	changed aggregate.Changed
	// ended are the URLs of issuers that are accepted no longer.
	ended []string
}

// Stored is an event as it is stored, on which more rests than the fold can know: whether it had to be signed by the
// customer, and is (R42).
type Stored struct {
	Sequence uint64
	Event    *lockboxv1.Event
}

// Left is what left the preview of a resource type last; without an event if nothing did.
func (s State) Left(resourceType string) Stored { return s.left[resourceType] }

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
	if isCreation := e.GetTenantCreated() != nil; isCreation != (e.GetVersion() == 1) {
		return "a tenant begins with its creation, once"
	}
	if broken := s.mayChange(e); broken != "" {
		return broken
	}
	if e.GetAccountIdentified() != nil { // tells of what somebody did before
		s.identified(e.GetActor().GetPerson())
		return ""
	}
	broken, ours := s.applySignIn(e)
	if !ours {
		broken, ours = s.applyWebhook(e)
	}
	if !ours {
		broken = s.applyOther(e)
	}
	if broken == "" {
		s.seen(e)
		if e.GetSignedIn() == nil && e.GetSignInChangeReminded() == nil {
			s.changed = aggregate.ChangedBy(e)
		}
	}
	return broken
}

func (s *State) applyOther(e *lockboxv1.Event) (broken string) {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_TenantCreated:
		t := f.TenantCreated
		s.Name, s.Plan, s.Issuer = t.GetDisplayName(), t.GetPlan(), t.GetIssuer()
		s.Settings = &lockboxv1.TenantSettings{
			DefaultLanguage: t.GetDefaultLanguage(), RequiredApprovals: 1,
			Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
		}
		if i := t.GetInvitation(); i != nil {
			if t.GetAdministrator() != nil {
				return "the first Global Administrator is named or invited (R66)"
			}
			return s.Roles.invited(place{tenant: s, ofTenant: true, now: e.GetTime().AsTime()}, i, e.GetActor())
		}
		return s.Roles.assign(t.GetAdministrator())
	case *lockboxv1.Event_SupportPlanChanged:
		s.Plan = f.SupportPlanChanged.GetTo()
	case *lockboxv1.Event_LockboxEnabled:
		s.Enabled, s.Off = true, Stored{}
	case *lockboxv1.Event_LockboxDisabled:
		s.Enabled, s.Off = false, Stored{s.Sequence, e}
	case *lockboxv1.Event_PreviewSignedUp:
		s.previews = with(s.previews, f.PreviewSignedUp.GetResourceType(), true)
	case *lockboxv1.Event_PreviewSignedOff:
		s.previews = with(s.previews, f.PreviewSignedOff.GetResourceType(), false)
		s.left = maps.Clone(s.left)
		if s.left == nil {
			s.left = map[string]Stored{}
		}
		s.left[f.PreviewSignedOff.GetResourceType()] = Stored{s.Sequence, e}
	case *lockboxv1.Event_SettingsChanged:
		before := s.RequiredApprovals()
		if s.Settings = f.SettingsChanged.GetSettings(); s.RequiredApprovals() != before || e.GetSigned() != nil {
			s.Required = append(slices.Clip(s.Required), Stored{s.Sequence, e})
		}
	default:
		return s.Roles.apply(s, e)
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
	case *lockboxv1.Event_RoleActivated, *lockboxv1.Event_RoleDeactivated, *lockboxv1.Event_RoleEnded,
		*lockboxv1.Event_RoleInvited,
		*lockboxv1.Event_InvitationRedeemed, *lockboxv1.Event_InvitationConfirmed,
		*lockboxv1.Event_InvitationEnded: // see Roles.apply
	case *lockboxv1.Event_AccountIdentified:
		if !s.identifies(e.GetActor()) {
			return "an account is identified by what its holder does, at the tenant's own issuer (R51)"
		}
	case *lockboxv1.Event_SignInChangeProposed, *lockboxv1.Event_SignInChangeConfirmed,
		*lockboxv1.Event_SignInChangeStopped, *lockboxv1.Event_SignInChangeReminded, *lockboxv1.Event_SignInChanged,
		*lockboxv1.Event_FormerSignInEnded, *lockboxv1.Event_SignedIn: // see applySignIn
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
	// GivenUp: the subscription went to another customer.
	GivenUp bool
	// changed is its last change.
	changed aggregate.Changed
}

// Registered reports whether the tenant has the subscription now. Whose it is, is decided by its Ownership alone, which
// the subscription follows.
func (s Subscription) Registered() bool { return s.Exists() && !s.GivenUp }

// EvolveSubscription folds one stored event of a subscription, as Evolve does for a tenant.
func EvolveSubscription(s Subscription, sequence uint64, e *lockboxv1.Event) Subscription {
	return aggregate.Fold(s, sequence, e, (*Subscription).apply)
}

func (s *Subscription) apply(e *lockboxv1.Event) (broken string) {
	defer func() {
		if broken == "" {
			s.changed = aggregate.ChangedBy(e)
		}
	}()
	registered, isRegistration := e.GetFact().(*lockboxv1.Event_SubscriptionRegistered)
	if isRegistration == (e.GetVersion() > 1 && !s.GivenUp) {
		return "a subscription begins with its registration, and again after it was given up"
	}
	// Whether the actor is a Global Administrator is known only from the tenant's history; their side can be checked
	// here. Customers registered subscriptions themselves before ownership was recorded.
	byOnboarding := aggregate.Provider(e.GetActor(), aggregate.Onboarding)
	switch e.GetFact().(type) {
	case *lockboxv1.Event_SubscriptionRegistered:
		if !byOnboarding && !aggregate.Customer(e.GetActor()) {
			return "the provider's onboarding registers a subscription (R48)"
		}
		s.Name, s.GivenUp = registered.SubscriptionRegistered.GetDisplayName(), false
		return ""
	case *lockboxv1.Event_SubscriptionGivenUp:
		if !byOnboarding {
			return onlyOnboarding
		}
		s.GivenUp, s.Roles = true, Roles{}
		return ""
	case *lockboxv1.Event_SignedIn:
		if !s.Roles.unseen(e.GetActor()) || tellsOfTenant(e) {
			return "a sign-in is recorded on a subscription the first time, of somebody who holds a role on it (R66)"
		}
	case *lockboxv1.Event_RoleEnded:
		return s.Roles.apply(nil, e)
	default:
		if !aggregate.Customer(e.GetActor()) {
			return "a subscription's roles are the customer's to change (R18)"
		}
		broken = s.Roles.apply(nil, e)
	}
	if broken == "" {
		s.Roles.saw(e.GetActor())
	}
	return broken
}

// tellsOfTenant reports whether the fact says what only the tenant's own can: that nobody had, or that a change stops.
func tellsOfTenant(e *lockboxv1.Event) bool {
	return e.GetSignedIn().GetFirst() || e.GetSignedIn().GetStoppedChangeId() != ""
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
