package invariant

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// assignment is a role assignment with its activation, which an eligible one needs (R21).
type assignment struct {
	*lockboxv1.RoleAssignment
	activated bool
	until     time.Time
	// by is the id of the group's assignment by which its holder activated it; empty: it was given to them.
	by string
}

// counts reports whether the assignment is active at a given time (R20-R22).
func (a assignment) counts(at time.Time) bool {
	return a.GetScope() != lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP &&
		(a.GetExpiresAt() == nil || at.Before(a.GetExpiresAt().AsTime())) &&
		(!a.GetEligibleOnly() || a.activated && at.Before(a.until))
}

// assignments returns those of a tenant or subscription as of a sequence.
func (b *book) assignments(in aggregate.Key, sequence uint64) []assignment {
	if known, ok := b.holders.Load(place{in, sequence}); ok {
		return known.([]assignment) //nolint:errcheck,forcetypeassert // nothing else is in it
	}
	var list []assignment
	find := func(id string) *assignment {
		if i := slices.IndexFunc(list, func(a assignment) bool { return a.GetId() == id }); i >= 0 {
			return &list[i]
		}
		return new(assignment) // activating an assignment that does not exist has no effect
	}
	var invited offers
	var groups groupRoles
	for _, r := range b.about[in] {
		if r.Sequence > sequence {
			continue
		}
		if role, _ := invited.step(r); role != nil {
			list = append(list, assignment{RoleAssignment: role})
		}
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_SignInChangeConfirmed, *lockboxv1.Event_SignInChanged:
			list = b.changedRoles(in.Tenant, r.Sequence, list)
		case *lockboxv1.Event_FormerSignInEnded:
			gone := b.signInAt(in.Tenant, r.Sequence).ended
			list = slices.DeleteFunc(slices.Clone(list), func(a assignment) bool {
				return slices.Contains(gone, a.GetPerson().GetIssuer())
			})
		case *lockboxv1.Event_TenantCreated:
			if first := f.TenantCreated.GetAdministrator(); first != nil {
				list = append(list, assignment{RoleAssignment: first})
			}
		case *lockboxv1.Event_SubscriptionGivenUp:
			list = nil
		case *lockboxv1.Event_RoleAssigned:
			if f.RoleAssigned.GetAssignment().GetGroup() == "" {
				list = append(list, assignment{RoleAssignment: f.RoleAssigned.GetAssignment()})
			}
		case *lockboxv1.Event_RoleRemoved:
			id := f.RoleRemoved.GetAssignmentId()
			list = slices.DeleteFunc(list, func(a assignment) bool { return a.GetId() == id || a.by == id })
		case *lockboxv1.Event_RoleActivated:
			if as := f.RoleActivated.GetAssignment(); as != nil {
				if b.byGroup(in, groups.find(f.RoleActivated.GetAssignmentId()), r) == "" {
					list = slices.DeleteFunc(list, func(a assignment) bool { return a.GetId() == as.GetId() })
					list = append(list, assignment{RoleAssignment: as, by: f.RoleActivated.GetAssignmentId()})
				}
				break
			}
			a := find(f.RoleActivated.GetAssignmentId())
			a.activated, a.until = true, f.RoleActivated.GetUntil().AsTime()
		case *lockboxv1.Event_RoleDeactivated:
			id := f.RoleDeactivated.GetAssignmentId()
			find(id).activated = false
			list = slices.DeleteFunc(list, func(a assignment) bool { return a.GetId() == id && a.by != "" })
		}
		groups.step(r.Event)
	}
	b.holders.Store(place{in, sequence}, list)
	return list
}

// upTo returns the events of an aggregate up to and including a sequence.
func (b *book) upTo(in aggregate.Key, sequence uint64) []*lockboxv1.Event {
	var events []*lockboxv1.Event
	for _, r := range b.about[in] {
		if r.Sequence <= sequence {
			events = append(events, r.Event)
		}
	}
	return events
}

// tenantAt returns, as of a sequence, whether a tenant had Lockbox enabled (R2), which previews it had signed up for
// (R8), and the maximum age of a sign-in (R25; 0: no limit).
func (b *book) tenantAt(
	id string, sequence uint64,
) (enabled bool, previews map[string]bool, freshness time.Duration) {
	previews = map[string]bool{}
	for _, e := range b.upTo(aggregate.Tenant(id), sequence) {
		switch f := e.GetFact().(type) {
		case *lockboxv1.Event_LockboxEnabled:
			enabled = true
		case *lockboxv1.Event_LockboxDisabled:
			enabled = false
		case *lockboxv1.Event_PreviewSignedUp:
			previews[f.PreviewSignedUp.GetResourceType()] = true
		case *lockboxv1.Event_PreviewSignedOff:
			delete(previews, f.PreviewSignedOff.GetResourceType())
		case *lockboxv1.Event_SettingsChanged:
			freshness = f.SettingsChanged.GetSettings().GetMaxAuthenticationAge().AsDuration()
		}
	}
	return enabled, previews, freshness
}

// reading holds the sequences at which a decision read the roles, as recorded in its event.
type reading interface {
	GetTenantSequence() uint64
	GetSubscriptionSequence() uint64
}

// readingOf returns the reading of an event; nil if it does not depend on roles.
func readingOf(e *lockboxv1.Event) reading {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_CustomerNotified:
		return f.CustomerNotified
	case *lockboxv1.Event_ApproversUnavailable:
		return f.ApproversUnavailable
	case *lockboxv1.Event_CustomerApproved:
		return f.CustomerApproved
	case *lockboxv1.Event_CustomerDenied:
		return f.CustomerDenied
	case *lockboxv1.Event_AccessGranted:
		return f.AccessGranted
	case *lockboxv1.Event_AccessLapsed:
		return f.AccessLapsed
	}
	return nil
}

// rolesAt returns the roles by which a person could decide a request at a given time, as of a reading of its tenant and
// subscription.
func (b *book) rolesAt(
	q request, n *lockboxv1.CustomerNotified, r reading, p *lockboxv1.Person, at time.Time,
) []lockboxv1.Role {
	var roles []lockboxv1.Role
	if slices.Contains(b.signInAt(q.of.Tenant, r.GetTenantSequence()).ended, p.GetIssuer()) {
		return nil
	}
	add := func(in aggregate.Key, sequence uint64, deciders ...lockboxv1.Role) {
		for _, a := range b.assignments(in, sequence) {
			if same(a.GetPerson(), p) && a.counts(at) && slices.Contains(deciders, a.GetRole()) {
				roles = append(roles, a.GetRole())
			}
		}
	}
	if n.GetScope() == lockboxv1.Scope_SCOPE_SUBSCRIPTION {
		at := r.GetSubscriptionSequence()
		add(b.subscription(q, at), at, lockboxv1.Role_ROLE_OWNER, lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
	}
	if n.GetScope() == lockboxv1.Scope_SCOPE_TENANT || n.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK {
		add(q.tenant(), r.GetTenantSequence(), lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
	}
	return roles
}

func same(a, b *lockboxv1.Person) bool {
	return a.GetSubject() != "" && a.GetSubject() == b.GetSubject() && a.GetIssuer() == b.GetIssuer()
}

// oneHuman reports whether two people are one human by their account, or by what their common issuer said of the human
// (R51). Events from before that was recorded say nothing of it.
func oneHuman(a, b *lockboxv1.Person) bool {
	if a.GetIssuer() != b.GetIssuer() {
		return false
	}
	return same(a, b) || len(a.GetHuman()) > 0 && a.GetHuman() == b.GetHuman()
}
