package plan

import lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"

// disclosed notifies the customer of a disclosure outside any request, once its embargo is over (R46).
func (p *planner) disclosed() {
	if _, told := p.Event.GetFact().(*lockboxv1.Event_DisclosureTold); !told {
		return
	}
	s, d := p.Disclosure, p.data()
	o := s.Occurrence
	d.By, d.Organisation = Name(s.By.GetPerson()), p.employer(s.By)
	d.What, d.HappenedAt, d.Resources = o.GetWhat(), o.GetHappenedAt().AsTime(), o.GetResourceIds()
	d.Description, d.Text, d.DisclosureID = o.GetDescription(), o.GetReason(), s.ID
	d.Authority, d.Reference = s.Demand.GetAuthority(), s.Demand.GetReference()
	t := ExposureDisclosed
	if s.Demand != nil {
		t = LegalDemandDisclosed
	}
	p.tell(t, d, p.administrators(), p.alternatesNow())
}
