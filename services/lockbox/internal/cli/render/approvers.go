package render

import (
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// approvers lists who was asked, and what they answered.
func (p *page) approvers(v *lockboxv1.RequestView) {
	n := v.GetLockbox()
	if n == nil {
		return
	}
	p.heading(fmt.Sprintf("Asked: %s", basisName(n.GetBasis())))
	var rows [][]cell
	for _, a := range n.GetApprovers() {
		answer := cell{"no answer", dim}
		if NeverSignedIn(v.GetNeverSignedIn(), a.GetPerson()) {
			answer.text += "; never signed in"
		}
		for _, d := range v.GetCustomerDecisions() {
			if tenant.SamePerson(d.GetActor().GetPerson(), a.GetPerson()) {
				answer = cell{decided(d) + " " + p.In(d.GetTime().AsTime()), bad}
				if d.GetApproved() {
					answer.paint = good
				}
				if reason := Clean(d.GetReason()); reason != "" {
					answer.text += ": " + reason
				}
			}
		}
		rows = append(rows, []cell{{PersonName(a.GetPerson()), plain}, text(a.GetPerson().GetEmail()),
			text(roleNames(a.GetRoles())), answer})
	}
	switch {
	case len(rows) == 0 && n.GetBasis() != lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY:
		p.line(p.paint(dim, "  Who they are is the customer's affair."))
	case len(rows) > 0:
		p.indented([]column{{title: "APPROVER", min: 12}, {title: "ADDRESS", drop: 1}, {title: "ROLE", min: 16, drop: 2},
			{title: "ANSWER", min: 20}}, rows)
	}
	if r := required(v); r > 1 {
		p.line(fmt.Sprintf("  %d different people must approve (R30); so far %d.", r, approvals(v)))
	}
	for _, a := range n.GetAlternates() {
		p.field("Also told", Clean(a.GetEmail()))
	}
	if len(rows) == 0 {
		for _, d := range v.GetCustomerDecisions() {
			p.decision(d, "")
		}
	}
	for _, sharing := range tenant.SharedAddresses(n.GetApprovers()) {
		p.line(fmt.Sprintf("  %s share the address %s.", people(sharing), Clean(sharing[0].GetEmail())))
	}
	p.excluded(n.GetExcluded())
}

func people(list []*lockboxv1.Person) string {
	names := make([]string, len(list))
	for i, each := range list {
		names[i] = PersonName(each)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// accounts names those who acted, or were asked, with several accounts, which count as one person.
func (p *page) accounts(v *lockboxv1.RequestView) {
	var acted []*lockboxv1.Person
	for _, a := range v.GetLockbox().GetApprovers() {
		acted = append(acted, a.GetPerson())
	}
	for _, e := range v.GetTimeline() {
		acted = append(acted, e.GetActor().GetPerson())
	}
	for _, accounts := range tenant.OneHuman(acted) {
		p.field("One person", people(accounts)+", accounts of one person, who counts once")
	}
}

func (p *page) excluded(list []*lockboxv1.ExcludedAssignment) {
	if len(list) == 0 {
		return
	}
	p.heading("Not counted")
	for _, e := range list {
		p.hang("  "+p.glyph("•", "-")+" ", dim,
			fmt.Sprintf("%s, %s: %s", PersonName(e.GetPerson()), tenant.RoleName(e.GetRole()),
				Clean(reason.Show(english, e.GetCodedReason(), e.GetReason()).Text)))
	}
}
