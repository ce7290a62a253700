package tenant

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// DefaultActivation is how long an eligible role is activated by default (R21).
	DefaultActivation = 8 * time.Hour
	// MaxActivation is the longest activation.
	MaxActivation = 24 * time.Hour

	maxApprovals  = 10
	maxAlternates = 20
)

// Languages are the supported languages.
var Languages = []string{"en", "fr", "ja"}

// Decide returns the event that results from a command on the tenant, or neither event nor error if it would change
// nothing.
func Decide(s State, c aggregate.Command, l Limits, now time.Time) (*lockboxv1.Event, error) {
	e, err := s.Begin(c, s.changed.Version, nil, now)
	if err != nil && s.administrator(c.By, "R2", now) == nil { // nobody else is told who looks after it
		err = s.changed.Since(c, err)
	}
	if e == nil || err != nil {
		return nil, err
	}
	if err := s.decide(c, e, l, now); err != nil {
		return nil, err
	}
	return aggregate.End(s, e, Evolve)
}

func (s State) decide(c aggregate.Command, e *lockboxv1.Event, l Limits, now time.Time) error {
	if creation, ok := c.GetAction().(*lockboxv1.Command_CreateTenant); ok {
		return s.create(c, creation.CreateTenant, e, now)
	}
	if !s.Exists() {
		return refusal.NotFound("tenant", "I9", "there is no such tenant")
	}
	if ours, err := s.decideSignIn(c, e, now); ours {
		return err
	}
	if ours, err := s.decideWebhook(c, e, now); ours {
		return err
	}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_ChangeSupportPlan:
		if !aggregate.Provider(c.By, aggregate.Onboarding) {
			return refusal.Forbidden("token", "R1", "a support plan is changed by the provider's onboarding")
		}
		to := a.ChangeSupportPlan.GetPlan()
		if err := plan("change_support_plan.plan", to); err != nil || to == s.Plan {
			return err
		}
		e.Fact = &lockboxv1.Event_SupportPlanChanged{SupportPlanChanged: &lockboxv1.SupportPlanChanged{From: s.Plan, To: to}}
	case *lockboxv1.Command_EnableLockbox:
		if err := s.administrator(c.By, "R2", now); err != nil || s.Enabled {
			return err
		}
		if !PlanSuffices(s.Plan) {
			return refusal.Naming(
				refusal.Precondition("enable_lockbox", "R1",
					"Lockbox needs a support plan of at least level Developer; this tenant has %s", PlanName(s.Plan)),
				"plan", PlanName(s.Plan))
		}
		e.Fact = &lockboxv1.Event_LockboxEnabled{LockboxEnabled: &lockboxv1.LockboxEnabled{}}
	case *lockboxv1.Command_DisableLockbox:
		if err := s.freshAdministrator(c.By, "R2", now); err != nil || !s.Enabled {
			return err
		}
		if err := prose.Check("disable_lockbox.reason", a.DisableLockbox.GetReason(), 1, 1000); err != nil {
			return err
		}
		e.Fact = &lockboxv1.Event_LockboxDisabled{
			LockboxDisabled: &lockboxv1.LockboxDisabled{Reason: a.DisableLockbox.GetReason()}}
	case *lockboxv1.Command_SignUpPreview:
		t := a.SignUpPreview.GetResourceType()
		if err := s.preview(c.By, "sign_up_preview.resource_type", t, now); err != nil || s.SignedUp(t) {
			return err
		}
		e.Fact = &lockboxv1.Event_PreviewSignedUp{PreviewSignedUp: &lockboxv1.PreviewSignedUp{ResourceType: t}}
	case *lockboxv1.Command_SignOffPreview:
		t := a.SignOffPreview.GetResourceType()
		err := s.preview(c.By, "sign_off_preview.resource_type", t, now)
		if err == nil {
			err = s.Fresh(c.By, now) // as for disabling Lockbox: the customer is no longer asked
		}
		if err != nil || !s.SignedUp(t) {
			return err
		}
		e.Fact = &lockboxv1.Event_PreviewSignedOff{PreviewSignedOff: &lockboxv1.PreviewSignedOff{ResourceType: t}}
	case *lockboxv1.Command_ChangeSettings:
		if err := s.freshAdministrator(c.By, "R30", now); err != nil {
			return err
		}
		next, err := settings(a.ChangeSettings.GetSettings(), c.By)
		if err != nil || proto.Equal(next, s.Settings) {
			return err
		}
		e.Fact = &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{Settings: next}}
	default:
		return decideRole(s, s.Roles, true, c, e, l, now)
	}
	return nil
}

// DecideSubscription is Decide for a command on one of the tenant's subscriptions.
func DecideSubscription(
	t State, s Subscription, c aggregate.Command, l Limits, now time.Time,
) (*lockboxv1.Event, error) {
	e, err := s.Begin(c, s.Version, func() error {
		if !t.Exists() || t.Fault != nil {
			return refusal.NotFound("tenant", "I9", "there is no such tenant")
		}
		return nil
	}, now)
	if err != nil && t.administrator(c.By, "R2", now) == nil {
		err = s.changed.Since(c, err)
	}
	if e == nil || err != nil {
		return nil, err
	}
	if err := s.decide(t, c, e, l, now); err != nil {
		return nil, err
	}
	return aggregate.End(s, e, EvolveSubscription)
}

func (s Subscription) decide(t State, c aggregate.Command, e *lockboxv1.Event, l Limits, now time.Time) error {
	if !s.Registered() {
		return refusal.OfKind(
			refusal.NotFound("aggregate_id", "I9", "there is no such subscription"),
			"subscription")
	}
	if c.GetSignIn() != nil {
		if s.Roles.unseen(c.By) {
			e.Fact = &lockboxv1.Event_SignedIn{SignedIn: &lockboxv1.SignedIn{}}
		}
		return nil
	}
	return decideRole(t, s.Roles, false, c, e, l, now)
}

func decideRole(
	t State, roles Roles, ofTenant bool, c aggregate.Command, e *lockboxv1.Event, l Limits, now time.Time,
) error {
	err := changeRole(t, roles, ofTenant, c, e, now)
	if err != nil || e.GetFact() == nil || aggregate.TakesAway(c.Command) {
		return err
	}
	return roles.mayChange(c.By.GetPerson(), l, now)
}

func changeRole(t State, roles Roles, ofTenant bool, c aggregate.Command, e *lockboxv1.Event, now time.Time) error {
	roles.lapsed(now)
	if ours, err := changeInvitation(t, roles, ofTenant, c, e, now); ours {
		return err
	}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_AssignRole:
		as := a.AssignRole.GetAssignment()
		if err := t.freshAdministrator(c.By, "R20", now); err != nil {
			return err
		}
		if err := t.checkAssignment(as, ofTenant, now); err != nil {
			return err
		}
		there, exists := roles.Get(as.GetId())
		if g, is := roles.Group(as.GetId()); is {
			there, exists = Assignment{RoleAssignment: g}, true
		}
		if exists {
			if proto.Equal(there.RoleAssignment, as) {
				return nil
			}
			return refusal.Conflict("assign_role.assignment.id", "R20", "another assignment has this id")
		}
		if there, exists := roles.Invitation(as.GetId()); exists && there.SettledBy == nil {
			return refusal.Conflict("assign_role.assignment.id", invitationRule, "an invitation has this id")
		}
		e.Fact = &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{Assignment: as}}
	case *lockboxv1.Command_RemoveRole:
		if err := t.freshAdministrator(c.By, "R20", now); err != nil {
			return err
		}
		as, exists := roles.Get(a.RemoveRole.GetAssignmentId())
		if !exists && !roles.taken(a.RemoveRole.GetAssignmentId()) {
			return refusal.NotFound("remove_role.assignment_id", "R20", "there is no such assignment")
		}
		if ofTenant && t.lastAdministrator(as) {
			return refusal.Precondition("remove_role.assignment_id", "R2",
				"this is the last Global Administrator who always is one; assign another first")
		}
		e.Fact = &lockboxv1.Event_RoleRemoved{RoleRemoved: &lockboxv1.RoleRemoved{
			AssignmentId: a.RemoveRole.GetAssignmentId()}}
	case *lockboxv1.Command_ActivateRole:
		id := a.ActivateRole.GetAssignmentId()
		if g, is := roles.groupOf(id); is {
			return t.activateGroup(roles, g, c, e, now)
		}
		as, err := eligible(roles, "activate_role.assignment_id", id, c.By)
		if err != nil {
			return err
		}
		until, err := activationEnd(a.ActivateRole, now)
		if err != nil || as.ActivatedUntil.Equal(until) {
			return err
		}
		e.Fact = &lockboxv1.Event_RoleActivated{RoleActivated: &lockboxv1.RoleActivated{AssignmentId: as.GetId(),
			Until: timestamp(until)}}
	case *lockboxv1.Command_DeactivateRole:
		id := a.DeactivateRole.GetAssignmentId()
		if g, is := roles.groupOf(id); is {
			id = byGroup(g, c.By.GetPerson(), now).GetId()
		}
		as, err := eligible(roles, "deactivate_role.assignment_id", id, c.By)
		if err != nil || as.ActivatedUntil.IsZero() && as.By == "" {
			return err
		}
		e.Fact = &lockboxv1.Event_RoleDeactivated{RoleDeactivated: &lockboxv1.RoleDeactivated{AssignmentId: as.GetId()}}
	default:
		return refusal.Invalid("action", "bad input", "this command is not about a tenant or subscription")
	}
	return nil
}

// activationEnd returns when an activation that starts at now ends.
func activationEnd(a *lockboxv1.ActivateRole, now time.Time) (time.Time, error) {
	until := now.Add(DefaultActivation)
	if a.GetUntil() != nil {
		until = a.GetUntil().AsTime()
	}
	if !until.After(now) || until.Sub(now) > MaxActivation {
		return until, refusal.Naming(
			refusal.Invalid("activate_role.until", "R21", "an activation ends in the future, within %s",
				MaxActivation),
			"within", MaxActivation.String())
	}
	return until, nil
}

func (s State) create(
	c aggregate.Command, t *lockboxv1.CreateTenant, e *lockboxv1.Event, now time.Time,
) error {
	if !aggregate.Provider(c.By, aggregate.Onboarding) {
		return refusal.Forbidden("token", "R2", "a tenant is created by the provider's onboarding")
	}
	if s.Exists() {
		return refusal.Conflict("tenant", "R2", "this tenant exists already; its Global Administrators change it")
	}
	if t.GetIssuer().GetUrl() == c.By.GetPerson().GetIssuer() {
		return refusal.Invalid("create_tenant.issuer.url", "I10", "the provider's people are not the tenant's")
	}
	for _, err := range []error{
		input.Tenant("tenant", c.GetTenant()),
		prose.CheckLine("create_tenant.display_name", t.GetDisplayName(), 1, 120),
		plan("create_tenant.plan", t.GetPlan()),
		language("create_tenant.default_language", t.GetDefaultLanguage(), false),
	} {
		if err != nil {
			return err
		}
	}
	f := &lockboxv1.TenantCreated{DisplayName: t.GetDisplayName(), Plan: t.GetPlan(), Issuer: t.GetIssuer(),
		DefaultLanguage: t.GetDefaultLanguage()}
	if err := first(t, f, c.By, now); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_TenantCreated{TenantCreated: f}
	return nil
}

// first says how the tenant comes to its first Global Administrator: they are named, or invited (R66).
func first(t *lockboxv1.CreateTenant, f *lockboxv1.TenantCreated, by *lockboxv1.Actor, now time.Time) error {
	const (
		field, id = "create_tenant.invitation", "first-administrator"
		role      = lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
		scope     = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
	)
	asked := t.GetInvitation()
	if asked == nil {
		f.Administrator = &lockboxv1.RoleAssignment{Id: id, Person: t.GetAdministrator(), Role: role, Scope: scope}
		return checkPerson("create_tenant.administrator", t.GetAdministrator(), t.GetIssuer().GetUrl())
	}
	if t.GetAdministrator() != nil {
		return refusal.Invalid("create_tenant.administrator", invitationRule,
			"the first Global Administrator is named or invited, not both")
	}
	f.Invitation = &lockboxv1.RoleInvitation{Id: id, Role: role, Scope: scope, Issuer: t.GetIssuer().GetUrl(),
		Until: timestamp(now.Add(InvitationTime)), SecretHash: asked.GetSecretHash(), Note: asked.GetNote()}
	if !proto.Equal(asked, &lockboxv1.RoleInvitation{SecretHash: asked.GetSecretHash(), Note: asked.GetNote()}) {
		return refusal.OfKind(
			refusal.Invalid(field, invitationRule, "has its secret_hash and note only; the rest is always the same"),
			"invitation-fixed")
	}
	return place{tenant: &State{Issuer: t.GetIssuer()}, ofTenant: true, now: now}.mayInvite(field, f.Invitation, by)
}

// administrator refuses actors who are not a Global Administrator of this tenant at now.
func (s State) administrator(by *lockboxv1.Actor, rule string, now time.Time) error {
	if by.GetSide() != lockboxv1.Side_SIDE_TENANT ||
		!s.Roles.Holds(by.GetPerson(), lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, now) {
		return refusal.Because(refusal.Forbidden("token", rule, "only a Global Administrator of the tenant may do this"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_ADMINISTRATORS_ONLY))
	}
	return nil
}

// freshAdministrator also requires a fresh sign-in. It guards commands by which a stolen session could get around that
// requirement: disabling Lockbox, and changing settings or approvers.
func (s State) freshAdministrator(by *lockboxv1.Actor, rule string, now time.Time) error {
	if err := s.administrator(by, rule, now); err != nil {
		return err
	}
	return s.Fresh(by, now)
}

// lastAdministrator reports whether as is the only permanent Global Administrator. Eligible and expiring assignments do
// not count: the tenant could end up without an administrator.
func (s State) lastAdministrator(as Assignment) bool {
	return permanentAdministrator(as) && !slices.ContainsFunc(s.Roles.All(),
		func(other Assignment) bool { return other.GetId() != as.GetId() && permanentAdministrator(other) })
}

func permanentAdministrator(as Assignment) bool {
	return as.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && !as.GetEligibleOnly() && as.GetExpiresAt() == nil
}

func (s State) preview(by *lockboxv1.Actor, field, resourceType string, now time.Time) error {
	if err := s.administrator(by, "R8", now); err != nil {
		return err
	}
	return prose.CheckLine(field, resourceType, 1, 120)
}

func (s State) checkAssignment(as *lockboxv1.RoleAssignment, ofTenant bool, now time.Time) error {
	const field = "assign_role.assignment"
	if err := input.Token(field+".id", as.GetId()); err != nil {
		return err
	}
	if as.GetGroup() != "" {
		if err := s.checkGroup(field, as); err != nil {
			return err
		}
		return checkPlace(field, as, ofTenant, now)
	}
	issuer := s.Issuer.GetUrl()
	if of := as.GetPerson().GetIssuer(); s.Accepts(of) {
		issuer = of // a former one: roles are carried over while both are accepted
	}
	if err := checkPerson(field+".person", as.GetPerson(), issuer); err != nil {
		return err
	}
	return checkPlace(field, as, ofTenant, now)
}

// checkPlace checks that a role can be held where it is to be, and until when.
func checkPlace(field string, as interface {
	GetRole() lockboxv1.Role
	GetScope() lockboxv1.AssignmentScope
	GetExpiresAt() *timestamppb.Timestamp
}, ofTenant bool, now time.Time) error {
	scope, ok := lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT, as.GetRole() == lockboxv1.Role_ROLE_LOCKBOX_APPROVER
	if ofTenant {
		ok = ok || as.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR || as.GetRole() == lockboxv1.Role_ROLE_AUDITOR
	} else {
		scope, ok = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION, ok || as.GetRole() == lockboxv1.Role_ROLE_OWNER
	}
	inherited := !ofTenant && as.GetScope() == lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP
	switch {
	case !ok:
		return refusal.Invalid(field+".role", "R18",
			"a tenant has Global Administrators, Lockbox Approvers and Auditors; a subscription has Owners and Lockbox Approvers")
	case as.GetScope() != scope && !inherited:
		return refusal.Invalid(field+".scope", "R22", "must be the scope that the role is assigned on")
	case as.GetExpiresAt() != nil && (!as.GetExpiresAt().IsValid() || !as.GetExpiresAt().AsTime().After(now)):
		return refusal.Invalid(field+".expires_at", "R20", "must be in the future")
	}
	return nil
}

// checkPerson checks a person who is to hold a role. They must come from the tenant's own issuer, so that none of the
// provider's people can ever hold one (I10).
func checkPerson(field string, p *lockboxv1.Person, issuer string) error {
	if p.GetIssuer() != issuer || issuer == "" {
		return refusal.Invalid(field+".issuer", "I10", "must be the tenant's own issuer")
	}
	if p.GetHuman() != "" {
		return refusal.Invalid(field+".human", "R51", "is read from the person's own tokens and never entered")
	}
	return refusal.First(personFaults(field, p)...)
}

func settings(in *lockboxv1.TenantSettings, by *lockboxv1.Actor) (*lockboxv1.TenantSettings, error) {
	if err := refusal.First(settingsFaults(in)...); err != nil {
		return nil, err
	}
	if err := authenticationAge(settingsField+".max_authentication_age", in.GetMaxAuthenticationAge(), by); err != nil {
		return nil, err
	}
	return Whole(in), nil
}

// Whole returns a copy of settings in which what is not set is as it counts.
func Whole(in *lockboxv1.TenantSettings) *lockboxv1.TenantSettings {
	out := &lockboxv1.TenantSettings{}
	proto.Merge(out, in)
	out.RequiredApprovals = max(1, in.GetRequiredApprovals())
	if in.GetFallback() == lockboxv1.Fallback_FALLBACK_UNSPECIFIED {
		out.Fallback = lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS
	}
	return out
}

func eligible(roles Roles, field, id string, by *lockboxv1.Actor) (Assignment, error) {
	as, exists := roles.Get(id)
	if !exists || by.GetSide() != lockboxv1.Side_SIDE_TENANT || !SamePerson(as.GetPerson(), by.GetPerson()) {
		return as, refusal.NotFound(field, "R21", "you have no such assignment")
	}
	if !as.GetEligibleOnly() && as.By == "" {
		return as, refusal.Precondition(field, "R21", "this assignment needs no activation")
	}
	return as, nil
}

func plan(field string, p lockboxv1.SupportPlan) error {
	if p < lockboxv1.SupportPlan_SUPPORT_PLAN_BASIC || p > lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER {
		return refusal.OfKind(refusal.Invalid(field, "R1", "is not a support plan"), "support-plan")
	}
	return nil
}

// Involves reports whether somebody has a role of the tenant itself, or is to have one.
func (s State) Involves(p *lockboxv1.Person, now time.Time) bool {
	return s.Roles.Involves(p, now) || s.Change != nil && slices.ContainsFunc(s.Change.Wanted.GetAdministrators(),
		func(a *lockboxv1.Person) bool { return SamePerson(a, p) })
}

// MayErase refuses actors who may not erase what is the tenant's own: anybody but a Global Administrator with a fresh
// sign-in.
func (s State) MayErase(by *lockboxv1.Actor, rule string, now time.Time) error {
	return s.freshAdministrator(by, rule, now)
}
