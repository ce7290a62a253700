package tenant

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/reason"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Approvers are the people who may decide a request, as of one moment.
type Approvers struct {
	Scope    lockboxv1.Scope
	Basis    lockboxv1.ApproverBasis
	People   []*lockboxv1.Approver
	Excluded []*lockboxv1.ExcludedAssignment
	Required int

	known func(*lockboxv1.Person) *lockboxv1.Person
}

var (
	subscriptionDeciders = []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER, lockboxv1.Role_ROLE_LOCKBOX_APPROVER}
	tenantDeciders       = []lockboxv1.Role{lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_LOCKBOX_APPROVER}
)

// Resolve returns who would be asked at now: for a subscription, its Owners and Lockbox Approvers (R18); for a
// tenant-scoped request, the Global Administrators and tenant Lockbox Approvers (R19); and also the tenant's fallback
// if a subscription has too few (R23, R30), where a human with several accounts counts once: each of them is asked, and
// may decide (R51). The requester is never among them, nor anybody with the requester's address (I10, R51).
func Resolve(t State, sub *Subscription, requester *lockboxv1.Person, now time.Time) Approvers {
	a := Approvers{Required: t.RequiredApprovals(), known: t.Known}
	if sub != nil {
		a.Scope, a.Basis = lockboxv1.Scope_SCOPE_SUBSCRIPTION, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION
		a.add(t, sub.Roles, subscriptionDeciders, requester, now)
	} else {
		a.Scope, a.Basis = lockboxv1.Scope_SCOPE_TENANT, lockboxv1.ApproverBasis_APPROVER_BASIS_TENANT
		a.add(t, t.Roles, tenantDeciders, requester, now)
	}
	// A tenant-scoped request already asks everybody whom a fallback would add.
	if sub != nil && Humans(a.People) < a.Required {
		fallback := lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
		if t.Settings.GetFallback() == lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS {
			fallback = lockboxv1.Role_ROLE_LOCKBOX_APPROVER
		}
		a.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
		a.add(t, t.Roles, []lockboxv1.Role{fallback}, requester, now)
	}
	if len(a.People) == 0 {
		a.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
	}
	return a
}

func (a *Approvers) add(
	t State, roles Roles, deciders []lockboxv1.Role, requester *lockboxv1.Person, now time.Time,
) {
	for _, as := range roles.All() {
		if !slices.Contains(deciders, as.GetRole()) || as.Lapsed(now) {
			continue
		}
		why := as.InactiveIn(t, now)
		switch {
		case t.Gone(as.GetPerson()):
		case SameHuman(as.GetPerson(), requester):
			why = ownRequest
		case ShareAddress(as.GetPerson(), requester):
			why = requestersAddress
		}
		if why != counts {
			a.Excluded = append(a.Excluded, &lockboxv1.ExcludedAssignment{
				Person: as.GetPerson(), Role: as.GetRole(), Reason: Recorded(why), CodedReason: reason.Of(why),
			})
			continue
		}
		i := slices.IndexFunc(a.People, func(p *lockboxv1.Approver) bool { return SamePerson(p.GetPerson(), as.GetPerson()) })
		if i < 0 {
			a.People = append(a.People, &lockboxv1.Approver{Person: a.known(as.GetPerson()),
				Roles: []lockboxv1.Role{as.GetRole()}})
		} else if !slices.Contains(a.People[i].GetRoles(), as.GetRole()) {
			a.People[i].Roles = append(a.People[i].Roles, as.GetRole())
		}
	}
}

// Deciding returns the roles by which a frozen approver may still decide at now (R20): roles in the subscription, or in
// the tenant if the frozen list is based on tenant roles.
func Deciding(
	t State, sub *Subscription, basis lockboxv1.ApproverBasis, p *lockboxv1.Person, now time.Time,
) []lockboxv1.Role {
	return deciding(t, sub, basis, p, func(a Assignment) bool { return a.Inactive(now) == counts })
}

// Keeping returns the roles of Deciding, and those by which the person could decide again once they activate them
// (R21): whoever has none of them left was relieved of deciding, and must not hear more of what they were asked.
func Keeping(
	t State, sub *Subscription, basis lockboxv1.ApproverBasis, p *lockboxv1.Person, now time.Time,
) []lockboxv1.Role {
	return deciding(t, sub, basis, p, func(a Assignment) bool {
		why := a.Inactive(now)
		return why == counts || why == notActivated || why == activationEnded
	})
}

func deciding(
	t State, sub *Subscription, basis lockboxv1.ApproverBasis, p *lockboxv1.Person, keep func(Assignment) bool,
) []lockboxv1.Role {
	var roles []lockboxv1.Role
	if t.Gone(p) {
		return nil
	}
	add := func(r Roles, deciders []lockboxv1.Role) {
		for _, a := range r.list {
			if SamePerson(a.GetPerson(), p) && keep(a) && slices.Contains(deciders, a.GetRole()) &&
				!slices.Contains(roles, a.GetRole()) {
				roles = append(roles, a.GetRole())
			}
		}
	}
	if sub != nil {
		add(sub.Roles, subscriptionDeciders)
	}
	if sub == nil || basis == lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK {
		add(t.Roles, tenantDeciders)
	}
	return roles
}
