package stack_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
)

// demandsTwo lets two people of the bank have to approve.
func (l *lockbox) demandsTwo() {
	l.Helper()
	l.does("grace", &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: &lockboxv1.TenantSettings{
			DefaultLanguage: "en", RequiredApprovals: 2}}}})
}

func (l *lockbox) assigns(id, to string, role lockboxv1.Role) *lockboxv1.CommandReply {
	l.Helper()
	return l.does("grace", &lockboxv1.Command{AggregateId: demo.BankProduction, Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: id, Person: l.issuer.Person(to),
			Role: role, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
}

// twoAccounts lets two people of the bank have to approve, and Otto's two accounts be the only ones that are asked.
func (l *lockbox) twoAccounts() {
	l.Helper()
	l.demandsTwo()
	l.assigns("otto-admin-owner", "otto-admin", lockboxv1.Role_ROLE_OWNER)
	l.does("grace", &lockboxv1.Command{AggregateId: demo.BankProduction, Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "fleur-approver"}}})
}

// Both accounts of one human are asked, because nobody knows it. Once they have acted it is known: the customer's
// administrators are told that this request cannot be approved, and the next one asks the fallback too (R51).
//
// control: nist:AC-5
func TestR51TheAccountsOfOneHumanAreFoundOut(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.twoAccounts()
	first := l.requested(l.intent("erin"), request.CustomerNotified)
	if basis := l.state(first).Notified.GetBasis(); basis != lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION {
		t.Errorf("asked by %s", basis)
	}
	l.does("otto", approve(first))
	r := l.answered("otto-admin", approve(first), conflict).GetRefusal()
	if r.GetCode() != conflict || r.GetRule() != "R51" {
		t.Errorf("with the other account: %v", r)
	}
	l.until(first, "the quorum is out of reach", func(s request.State) bool { return s.OutOfReach })
	l.mailed(first, "approvals-out-of-reach", "grace")
	second := l.requested(l.intent("erin"), request.CustomerNotified)
	if n := l.state(second).Notified; n.GetBasis() != lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK ||
		len(n.GetApprovers()) != 3 {
		t.Errorf("asked are %v by %s", n.GetApprovers(), n.GetBasis())
	}
	l.does("otto-admin", approve(second))
	l.does("grace", approve(second))
	l.reaches(second, request.Active)
	if m := l.assigns("again", "otto-admin", lockboxv1.Role_ROLE_LOCKBOX_APPROVER).GetMessage(); !strings.Contains(m,
		"otto-admin is another account of otto") {
		t.Errorf("whoever assigns a role is told %q", m)
	}
	identified := map[string]int{}
	for _, e := range l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindTenant, Type: "AccountIdentified"}) {
		identified[e.Event.GetActor().GetPerson().GetSubject()]++
	}
	if identified["otto"] != 1 || identified["otto-admin"] != 1 || identified["grace"] != 1 {
		t.Errorf("identified are %v", identified)
	}
	if broken := l.verified().Violations; len(broken) > 0 {
		t.Error(broken)
	}
}
