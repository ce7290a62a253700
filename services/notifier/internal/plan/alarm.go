package plan

import (
	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// alarm notifies the security officers of a difference between the log and its trees, naming the events concerned.
func (p *planner) alarm(f *lockboxv1.DifferenceFound) {
	var to []recipient
	for _, r := range p.group(aggregate.SecurityOfficers) {
		r.standing = SecurityOfficer
		to = append(to, r)
	}
	d := p.data()
	_, d.What = activity.In(language(p.settings.DefaultLanguage)).Describe(p.Event)
	d.Description, d.Resources = f.GetDetail(), f.GetSubjects()
	p.tell(IntegrityAlarm, d, to)
}
