package plan

import (
	"cmp"
	"slices"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// approvers returns the frozen approvers for whom keep returns true (R20), with the addresses that their roles name.
// Those whom only the request's event names are not told anything, nor is whoever has lost those roles since.
func (p *planner) approvers(keep func(*lockboxv1.Person) bool) []recipient {
	var list []recipient
	due, now := p.due(), p.Event.GetTime().AsTime()
	for _, a := range p.Request.Notified.GetApprovers() {
		held := among(due.People, a.GetPerson())
		if held != nil && keep(a.GetPerson()) && keeps(p.Tenant, p.reached(), due.Basis, held, now) {
			r := p.tenantPerson(held.GetPerson(), Approver)
			r.right = Right{due.Basis, []*lockboxv1.Approver{held}, p.reachedID()}
			r.dormant = len(tenant.Deciding(p.Tenant, p.reached(), due.Basis, held.GetPerson(), now)) == 0
			list = append(list, r)
		}
	}
	return list
}

// reached is the subscription that the request reaches, as of the event; nil if it is about the tenant itself.
func (p *planner) reached() *tenant.Subscription {
	if p.Request.Intent.GetSubscriptionId() == "" {
		return nil
	}
	return &p.Subscription
}

func (p *planner) reachedID() string {
	if sub := p.reached(); sub != nil {
		return cmp.Or(sub.ID, p.Request.Intent.GetSubscriptionId())
	}
	return ""
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
// request was created and still do. Approvers are left out: they get one mail, the one that says more.
func (p *planner) alternates() []recipient {
	approver := map[string]bool{}
	for _, r := range p.approvers(everybody) {
		approver[ID("", "", r.email)] = true
	}
	var list []recipient
	for _, a := range p.Basis.Tenant.Settings.GetAlternates() {
		if !approver[ID("", "", a.GetEmail())] && names(p.Tenant, a.GetEmail()) {
			list = append(list, recipient{email: a.GetEmail(), language: p.customer(a.GetLanguage()), standing: Alternate})
		}
	}
	return list
}

// unasked returns the customer's people who are notified of an emergency (R43): those who would have been asked, all
// administrators, and the alternate addresses.
func (p *planner) unasked() []recipient {
	var list []recipient
	asked := tenant.Resolve(p.Tenant, p.reached(), p.Request.Requester.GetPerson(), p.Event.GetTime().AsTime())
	for _, a := range asked.People {
		r := p.tenantPerson(a.GetPerson(), Affected)
		r.right = Right{asked.Basis, []*lockboxv1.Approver{a}, p.reachedID()}
		list = append(list, r)
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

// everyone returns those who are notified of the outcome (R33). If too few could decide, or no approver is left to be
// told, that includes administrators (R23).
func (p *planner) everyone() []recipient {
	approvers := p.approvers(everybody)
	list := slices.Concat(approvers, p.requester(), p.alternates())
	if p.Request.OutOfReach || len(approvers) == 0 {
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
// removed is notified too.
func (p *planner) administrators() []recipient {
	at := p.Event.GetTime().AsTime()
	still := administratorsOf(p.Tenant, at)
	var list []recipient
	for _, a := range administratorsOf(p.TenantBefore, at) {
		standing := Former
		if slices.ContainsFunc(still, func(b *lockboxv1.Person) bool { return tenant.SamePerson(a, b) }) {
			standing = Administrator
		}
		list = append(list, p.tenantPerson(a, standing))
	}
	for _, a := range still {
		list = append(list, p.tenantPerson(a, Administrator))
	}
	return list
}

// relieved returns those whose role in before is gone after the event.
func (p *planner) relieved(before, after tenant.Roles) []recipient {
	var list []recipient
	for _, a := range before.All() {
		if _, left := after.Get(a.GetId()); !left {
			list = append(list, p.tenantPerson(a.GetPerson(), Former))
		}
	}
	return list
}

func (p *planner) tenantPerson(person *lockboxv1.Person, standing Standing) recipient {
	return recipient{
		email: person.GetEmail(), name: Name(person), standing: standing, person: person,
		language: p.customer(person.GetLanguage()),
	}
}
