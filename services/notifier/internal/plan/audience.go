package plan

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// approvers are the frozen ones that keep says yes to (R20).
func (p *planner) approvers(keep func(*lockboxv1.Person) bool) []recipient {
	var list []recipient
	for _, a := range p.Request.Notified.GetApprovers() {
		if keep(a.GetPerson()) {
			list = append(list, p.tenantPerson(a.GetPerson(), Approver))
		}
	}
	return list
}

func everybody(*lockboxv1.Person) bool { return true }

func except(a *lockboxv1.Actor) func(*lockboxv1.Person) bool {
	return func(other *lockboxv1.Person) bool { return !tenant.SamePerson(a.GetPerson(), other) }
}

// undecided are the approvers who have not approved; a denial would have ended it.
func (p *planner) undecided(person *lockboxv1.Person) bool {
	return !slices.ContainsFunc(p.Request.CustomerDecisions, func(d *lockboxv1.Decision) bool {
		return tenant.SamePerson(d.GetActor().GetPerson(), person)
	})
}

// alternates are the addresses that are told and may do nothing (R24), as they were when the request was created. Who
// is an approver already is left out: one mail, and the one that says more.
func (p *planner) alternates() []recipient {
	approver := map[string]bool{}
	for _, r := range p.approvers(everybody) {
		approver[ID("", "", r.email)] = true
	}
	var list []recipient
	for _, a := range p.Request.Notified.GetAlternates() {
		if !approver[ID("", "", a.GetEmail())] {
			list = append(list, recipient{email: a.GetEmail(), language: p.customer(a.GetLanguage()), standing: Alternate})
		}
	}
	return list
}

// unasked are the customer's people who learn of an emergency (R43): those who would have been asked, all
// administrators, and the alternate addresses.
func (p *planner) unasked() []recipient {
	var sub *tenant.Subscription
	if p.Request.Intent.GetSubscriptionId() != "" {
		sub = &p.Subscription
	}
	var list []recipient
	for _, a := range tenant.Resolve(p.Tenant, sub, p.Request.Requester.GetPerson(), p.Event.GetTime().AsTime()).People {
		list = append(list, p.tenantPerson(a.GetPerson(), Affected))
	}
	return append(append(list, p.administrators()...), p.alternatesNow()...)
}

// alternatesNow are the alternate addresses as they are when there is no Lockbox request that froze them.
func (p *planner) alternatesNow() []recipient {
	var list []recipient
	for _, a := range p.Tenant.Settings.GetAlternates() {
		list = append(list, recipient{email: a.GetEmail(), language: p.customer(a.GetLanguage()), standing: Alternate})
	}
	return list
}

func (p *planner) requester() []recipient {
	person := p.Request.Requester.GetPerson()
	return []recipient{{
		email: person.GetEmail(), name: Name(person), standing: Requester, person: person,
		language: language(person.GetLanguage(), p.settings.DefaultLanguage),
	}}
}

// everyone is who learns the outcome (R33). Where nobody can decide, administrators learn it too (R23).
func (p *planner) everyone() []recipient {
	list := slices.Concat(p.approvers(everybody), p.requester(), p.alternates())
	if p.Request.Abandoned || p.Request.Notified.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY {
		list = append(list, p.administrators()...)
	}
	return list
}

// group is one of the provider's groups.
func (p *planner) group(name string) []recipient {
	var list []recipient
	for _, email := range p.settings.Groups[name] {
		list = append(list, recipient{email: email, standing: InternalApprover,
			language: language(p.settings.DefaultLanguage)})
	}
	return list
}

// askedGroups are those of the internal stages up to one, by its index.
func (p *planner) askedGroups(last int) []recipient {
	var list []recipient
	for i, stage := range p.Request.Evaluation.GetInternalStages() {
		if i <= last {
			list = append(list, p.group(stage.GetGroup())...)
		}
	}
	return list
}

// waitingGroups are those that were asked before the request ended at the stage where it waited.
func (p *planner) waitingGroups() []recipient {
	_, waiting := p.Request.Stage()
	return p.askedGroups(waiting)
}

// administrators are the tenant's Global Administrators just before the event and after it, so that somebody who was
// removed hears it too. Those whose role is only eligible are told as well: silence must not depend on who happens to
// be activated.
func (p *planner) administrators() []recipient {
	at := p.Event.GetTime().AsTime()
	var list []recipient
	for _, state := range []tenant.State{p.TenantBefore, p.Tenant} {
		for _, a := range state.Roles.All() {
			if a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && !ended(a, at) {
				list = append(list, p.tenantPerson(a.GetPerson(), Administrator))
			}
		}
	}
	return list
}

func ended(a tenant.Assignment, at time.Time) bool {
	return a.GetExpiresAt() != nil && !at.Before(a.GetExpiresAt().AsTime())
}

func (p *planner) tenantPerson(person *lockboxv1.Person, standing Standing) recipient {
	return recipient{
		email: person.GetEmail(), name: Name(person), standing: standing, person: person,
		language: p.customer(person.GetLanguage()),
	}
}
