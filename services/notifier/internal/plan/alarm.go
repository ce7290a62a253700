package plan

import (
	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// alarm notifies the security officers of a difference between the log and its trees, of a message that cannot be an
// event, of events that contradict each other, or of mails that are overdue, naming what is concerned.
func (p *planner) alarm(f *lockboxv1.DifferenceFound) {
	d := p.data()
	_, d.What = activity.In(language(p.settings.DefaultLanguage)).Describe(p.Event)
	d.Description, d.Resources = f.GetDetail(), f.GetSubjects()
	template := IntegrityAlarm
	if aggregate.ContradictsItself(f) {
		template = HistoryAlarm
	}
	switch f.GetKind() {
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT:
		template, d.Sequence = StrayMessage, f.GetFirstSequence()
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE:
		template = MailOverdue
	}
	p.tell(template, d, p.securityOfficers())
}

// contested notifies them of a subscription that is nobody's until onboarding says whose it is.
func (p *planner) contested(f *lockboxv1.OwnershipContested) {
	d := p.data()
	d.Subscription = p.Event.GetAggregateId()
	for _, r := range f.GetRegistered() {
		d.Resources = append(d.Resources, r.GetTenant()+": "+r.GetDisplayName()+" ("+r.GetSubscriptionId()+")")
	}
	p.tell(Contested, d, p.securityOfficers())
}

func (p *planner) securityOfficers() (list []recipient) {
	for _, r := range p.group(aggregate.SecurityOfficers) {
		r.standing = SecurityOfficer
		list = append(list, r)
	}
	return list
}
