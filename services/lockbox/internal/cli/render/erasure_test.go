package render

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// erasures are one in each standing.
func erasures() []*lockboxv1.ErasureView {
	officer := func(name string) *lockboxv1.Actor {
		return &lockboxv1.Actor{Person: &lockboxv1.Person{Subject: name, DisplayName: name}, Employer: "Nimbus Cloud"}
	}
	person := func(p *lockboxv1.Person) *lockboxv1.ErasureTargetView {
		return &lockboxv1.ErasureTargetView{Person: p, Target: &lockboxv1.ErasureTarget{
			What: &lockboxv1.ErasureTarget_Person{Person: &lockboxv1.ErasedPerson{Subject: p.GetSubject()}}}}
	}
	texts := &lockboxv1.ErasureTargetView{Title: "Deny Lockbox Request", Target: &lockboxv1.ErasureTarget{
		What: &lockboxv1.ErasureTarget_Texts{Texts: &lockboxv1.ErasedTexts{Kind: "request",
			AggregateId: "019b0000-0000-7000-8000-000000000001", Version: "9"}}}}
	address := &lockboxv1.ErasureTargetView{Target: &lockboxv1.ErasureTarget{
		What: &lockboxv1.ErasureTarget_Address{Address: &lockboxv1.ErasedAddress{}}}}
	return []*lockboxv1.ErasureView{
		{ErasureId: "019b0000-0000-7000-8000-0000000000e1", Tenant: "meadowbank", ProposedBy: officer("Olga Orlova"),
			Status: lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED,
			Targets: []*lockboxv1.ErasureTargetView{
				person(&lockboxv1.Person{Subject: "erin", DisplayName: "Erin Ellis"}), address}},
		{ErasureId: "019b0000-0000-7000-8000-0000000000e2", Tenant: "meadowbank", ProposedBy: officer("Olga Orlova"),
			DecidedBy: officer("Sam Okafor"), Status: lockboxv1.ErasureStatus_ERASURE_STATUS_DECIDED,
			Targets: []*lockboxv1.ErasureTargetView{texts}},
		{ErasureId: "019b0000-0000-7000-8000-0000000000e3", Tenant: "sakura",
			DecidedBy: &lockboxv1.Actor{Person: &lockboxv1.Person{Subject: "grace", Erased: true}},
			EndedAt:   ago(time.Hour), Status: lockboxv1.ErasureStatus_ERASURE_STATUS_ERASED,
			Targets: []*lockboxv1.ErasureTargetView{person(&lockboxv1.Person{Subject: "otto", Erased: true})}},
		{ErasureId: "019b0000-0000-7000-8000-0000000000e4", Tenant: "_", ProposedBy: officer("Olga Orlova"),
			DeclinedBy: officer("Sam Okafor"), Status: lockboxv1.ErasureStatus_ERASURE_STATUS_DECLINED,
			Targets: []*lockboxv1.ErasureTargetView{texts}},
	}
}
