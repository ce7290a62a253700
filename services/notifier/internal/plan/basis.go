package plan

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Basis is whom a request has to ask according to the customer's own events, at the sequences that CustomerNotified
// recorded. Whoever holds the orchestrator's key could write anybody's address into CustomerNotified itself.
type Basis struct {
	Tenant tenant.State
	// Subscription is nil for a tenant-scoped request.
	Subscription *tenant.Subscription
	// Lost reports that the subscription may not have been the customer's, so that its roles did not count (R48).
	Lost bool
	// Stale reports that the recorded sequences had long been overtaken. Then the states are those as of the event.
	Stale bool
}

// due returns whom the request has to ask.
func (p *planner) due() tenant.Approvers {
	requester, at := p.Request.Requester.GetPerson(), p.Request.NotifiedAt
	due := tenant.Resolve(p.Basis.Tenant, p.Basis.Subscription, requester, at)
	if sub := p.Basis.Subscription; sub != nil && p.Basis.Lost && p.compare(due) != nil {
		without := *sub
		without.Roles = tenant.Roles{}
		if other := tenant.Resolve(p.Basis.Tenant, &without, requester, at); p.compare(other) == nil {
			return other
		}
	}
	return due
}

// Differences are how a request asks otherwise than the customer's roles and settings say.
type Differences struct {
	// Missing are approvers by their roles whom the request does not ask, Added are people whom it asks and who are none,
	// and Altered are approvers whom it names with another address, name or language.
	Missing, Added, Altered []string
	// Otherwise: other alternate addresses, another number of approvals, or another basis; or the event rests on roles and
	// settings from long before.
	Otherwise bool
}

// compare returns nil if the request asks those whom it has to ask.
func (p *planner) compare(due tenant.Approvers) *Differences {
	var d Differences
	n := p.Request.Notified
	for _, want := range due.People {
		switch is := among(n.GetApprovers(), want.GetPerson()); {
		case is == nil:
			d.Missing = append(d.Missing, Name(want.GetPerson()))
		case !erasable.Alike(is.GetPerson(), want.GetPerson()):
			d.Altered = append(d.Altered, Name(want.GetPerson()))
		}
	}
	for _, is := range n.GetApprovers() {
		if among(due.People, is.GetPerson()) == nil {
			d.Added = append(d.Added, Name(is.GetPerson()))
		}
	}
	d.Otherwise = p.Basis.Stale || n.GetBasis() != due.Basis || int(n.GetRequiredApprovals()) != due.Required ||
		!slices.EqualFunc(n.GetAlternates(), p.Basis.Tenant.Settings.GetAlternates(),
			erasable.Alike[*lockboxv1.AlternateAddress])
	if len(d.Missing)+len(d.Added)+len(d.Altered) == 0 && !d.Otherwise {
		return nil
	}
	return &d
}

func among(list []*lockboxv1.Approver, person *lockboxv1.Person) *lockboxv1.Approver {
	if i := slices.IndexFunc(list, func(a *lockboxv1.Approver) bool {
		return tenant.SamePerson(a.GetPerson(), person)
	}); i >= 0 {
		return list[i]
	}
	return nil
}
