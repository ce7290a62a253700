package cli

import (
	"slices"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Roles of a former sign-in are carried over once: not if whoever holds one is there already, or is invited (R65, R66).
func TestR66FormerRolesAreThoseStillToBeCarriedOver(t *testing.T) {
	t.Parallel()
	const former, present = "https://old.example", "https://new.example"
	held := func(issuer, name string, role lockboxv1.Role) *lockboxv1.AssignmentView {
		return &lockboxv1.AssignmentView{Assignment: &lockboxv1.RoleAssignment{Id: name, Role: role,
			Person: &lockboxv1.Person{Issuer: issuer, Subject: issuer + name, DisplayName: name,
				Email: name + "@bank.example"}}}
	}
	invited := func(name string, state lockboxv1.InvitationState) *lockboxv1.InvitationView {
		return &lockboxv1.InvitationView{State: state,
			Invitation: &lockboxv1.RoleInvitation{Note: name, Role: lockboxv1.Role_ROLE_OWNER}}
	}
	inherited := held(former, "kim", lockboxv1.Role_ROLE_OWNER)
	inherited.Assignment.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP
	renamed := held(present, "Fleur L.", lockboxv1.Role_ROLE_OWNER)
	renamed.Assignment.Person.Email = "FLEUR@bank.example"
	v := &lockboxv1.TenantView{
		Issuer: present,
		Assignments: []*lockboxv1.AssignmentView{held(former, "grace", lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR),
			held(present, "grace", lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR),
			held(former, "grace", lockboxv1.Role_ROLE_AUDITOR)},
		Subscriptions: []*lockboxv1.SubscriptionView{{SubscriptionId: "s", Assignments: []*lockboxv1.AssignmentView{
			held(former, "otto", lockboxv1.Role_ROLE_OWNER), held(former, "eli", lockboxv1.Role_ROLE_OWNER),
			held(former, "lena", lockboxv1.Role_ROLE_OWNER), held(former, "fleur", lockboxv1.Role_ROLE_OWNER), renamed,
			inherited},
			Invitations: []*lockboxv1.InvitationView{
				invited("otto", lockboxv1.InvitationState_INVITATION_STATE_OPEN),
				invited("eli", lockboxv1.InvitationState_INVITATION_STATE_EXPIRED),
			}}},
	}
	var got []string
	for _, r := range formerRoles(v) {
		got = append(got, r.GetAssignment().GetId()+" "+r.GetAssignment().GetRole().String()+" "+r.subscription)
	}
	want := []string{"grace ROLE_AUDITOR ", "eli ROLE_OWNER s", "lena ROLE_OWNER s"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
