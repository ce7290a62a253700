package plan

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// approvers returns the frozen approvers for whom keep returns true (R20), with the addresses that their roles name.
// Those whom only the request's event names are not told anything.
func (p *planner) approvers(keep func(*lockboxv1.Person) bool) []recipient {
	var list []recipient
	due := p.due().People
	for _, a := range p.Request.Notified.GetApprovers() {
		if held := among(due, a.GetPerson()); held != nil && keep(a.GetPerson()) {
			list = append(list, p.tenantPerson(held.GetPerson(), Approver))
		}
	}
	return list
}

func everybody(*lockboxv1.Person) bool { return true }

func except(a *lockboxv1.Actor) func(*lockboxv1.Person) bool {
	return func(other *lockboxv1.Person) bool { return !tenant.SamePerson(a.GetPerson(), other) }
}

// undecided reports whether an approver has not approved yet; a denial would have ended the request.
func (p *planner) undecided(person *lockboxv1.Person) bool {
	return !slices.ContainsFunc(p.Request.CustomerDecisions, func(d *lockboxv1.Decision) bool {
		return tenant.SamePerson(d.GetActor().GetPerson(), person)
	})
}

// alternates returns the addresses that are notified but cannot decide (R24), as the settings named them when the
// request was created. Approvers are left out: they get one mail, the one that says more.
func (p *planner) alternates() []recipient {
	approver := map[string]bool{}
	for _, r := range p.approvers(everybody) {
		approver[ID("", "", r.email)] = true
	}
	var list []recipient
	for _, a := range p.Basis.Tenant.Settings.GetAlternates() {
		if !approver[ID("", "", a.GetEmail())] {
			list = append(list, recipient{email: a.GetEmail(), language: p.customer(a.GetLanguage()), standing: Alternate})
		}
	}
	return list
}

// unasked returns the customer's people who are notified of an emergency (R43): those who would have been asked, all
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

// alternatesNow returns the current alternate addresses, for events without a Lockbox request that froze them.
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

// everyone returns those who are notified of the outcome (R33). If nobody can decide, that includes administrators
// (R23).
func (p *planner) everyone() []recipient {
	list := slices.Concat(p.approvers(everybody), p.requester(), p.alternates())
	if p.Request.Abandoned || p.Request.Notified.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY {
		list = append(list, p.administrators()...)
	}
	return list
}

// group returns one of the provider's groups.
func (p *planner) group(name string) []recipient {
	var list []recipient
	for _, email := range p.settings.Groups[name] {
		list = append(list, recipient{email: email, standing: InternalApprover,
			language: language(p.settings.DefaultLanguage)})
	}
	return list
}

// askedGroups returns the groups of the internal stages up to and including an index.
func (p *planner) askedGroups(last int) []recipient {
	var list []recipient
	for i, stage := range p.Request.Evaluation.GetInternalStages() {
		if i <= last {
			list = append(list, p.group(stage.GetGroup())...)
		}
	}
	return list
}

// waitingGroups returns the groups that were asked before the request ended at the stage where it waited.
func (p *planner) waitingGroups() []recipient {
	_, waiting := p.Request.Stage()
	return p.askedGroups(waiting)
}

// administrators returns the tenant's Global Administrators just before and after the event, so that one who was
// removed is notified too. Those whose role is only eligible are included: who is notified must not depend on who
// happens to be activated.
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
