package plan

import (
	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// erasure notifies of an erasure (R63): the provider's security officers, of whom another one has to confirm it, and
// the customer's administrators, from whom no erasure is hidden, whoever wants it.
func (p *planner) erasure() {
	s, d := p.Erasure, p.data()
	d.ErasureID, d.Erased, d.Text = s.ID, s.Targets, s.Reason
	if s.ProposedBy != nil {
		d.Proposer = Name(s.ProposedBy.GetPerson())
	}
	if p.Event.GetTenant() == aggregate.ProviderTenant {
		d.Tenant = d.Provider
	}
	switch f := p.Event.GetFact().(type) {
	case *lockboxv1.Event_ErasureProposed:
		p.tell(ErasureConfirmation, d, p.securityOfficers())
		p.tell(ErasureProposed, d, p.administrators())
	case *lockboxv1.Event_ErasureDecided:
		p.tell(ErasureDecided, d, p.administrators(), p.proposers())
	case *lockboxv1.Event_ErasureDeclined:
		d.Text = f.ErasureDeclined.GetReason()
		p.tell(ErasureDeclined, d, p.administrators(), p.proposers())
	}
}

// proposers are the security officers, if one of them proposed the erasure.
func (p *planner) proposers() []recipient {
	if p.Erasure.ProposedBy == nil {
		return nil
	}
	return p.securityOfficers()
}
