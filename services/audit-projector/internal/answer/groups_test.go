package answer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Whoever is in a group sees the roles that are assigned to it, and of everything else no more than before; once they
// have activated one, what its holders see; and when that has ended, what they were asked about (R67).
func TestR67PeopleOfAGroupSeeWhatTheyCanActivate(t *testing.T) {
	p := newPlace(t)
	p.story.Command(p.actor("grace"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
		Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{
			Id: "on-call", Group: devissuer.OnCall, EligibleOnly: true, Role: owner,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
	whole := p.query("grace", getTenant(bank)).GetTenant().GetSubscriptions()[0].GetAssignments()
	if n := len(whole); whole[n-1].GetAssignment().GetGroup() != devissuer.OnCall || whole[n-1].GetActive() ||
		whole[n-1].GetNeverSignedIn() {
		t.Errorf("the administrator sees %v", whole)
	}
	if r := p.query("eli", getTenant(bank)).GetRefusal(); r.GetCode() != notFound {
		t.Errorf("of no group: %v", r)
	}
	v := p.query("audrey", getTenant(bank)).GetTenant()
	if !v.GetPartial() || len(v.GetAssignments()) != 0 || len(v.GetSubscriptions()) != 1 ||
		len(v.GetSubscriptions()[0].GetAssignments()) != 1 {
		t.Errorf("of the group: %v", v)
	}
	if r := p.query("audrey", getRequest(bank, p.prod[bank])).GetRefusal(); r.GetCode() != notFound {
		t.Errorf("a request, before the role is activated: %v", r)
	}
	self := p.query("audrey", getSelf(bank)).GetSelf()
	if !slices.Contains(self.GetActor().GetGroups(), devissuer.OnCall) || len(self.GetRoles()) != 0 {
		t.Errorf("she is %v", self)
	}

	p.story.Command(p.actor("audrey"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
		Action: &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "on-call",
			Until: timestamppb.New(p.story.Now.Add(time.Hour))}}})
	id := p.story.Submit(p.actor("erin"), story.Dump(bank, "prod", "machine-9"))
	if v := p.query("audrey", getRequest(bank, id)).GetRequest(); v.GetActivateFirst() || len(v.GetAllowed()) == 0 {
		t.Errorf("while it is active: %v", v)
	}
	if roles := p.query("audrey", getTenant(bank)).GetTenant().GetSubscriptions()[0].GetAssignments(); len(roles) != 3 {
		t.Errorf("the owner, herself and the group: %v", roles)
	}
	p.story.At(p.story.Now.Add(time.Hour))
	v2 := p.query("audrey", getRequest(bank, id)).GetRequest()
	if v2.GetRequestId() != id || !v2.GetActivateFirst() || slices.Contains(v2.GetAllowed(), "approve") {
		t.Errorf("once it has ended: %v", v2)
	}
	if roles := p.query("audrey", getTenant(bank)).GetTenant().GetSubscriptions()[0].GetAssignments(); len(roles) != 1 {
		t.Errorf("what has ended is shown still: %v", roles)
	}
}
