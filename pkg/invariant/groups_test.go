package invariant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// inGroup is somebody whose token names a group.
func inGroup(a *lockboxv1.Actor, group string) *lockboxv1.Actor {
	a = proto.CloneOf(a)
	a.Groups = []string{group}
	return a
}

// groups is a customer whose approvers are a group: otto activates the role, is asked, and approves.
func groups() []invariant.Recorded {
	const t = story.Tenant
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s := story.New(start)
	otto := story.Customer(t, "otto")
	s.Create(t, "Contoso", &lockboxv1.TenantIssuer{Url: gina.GetPerson().GetIssuer(), Audience: "lockbox",
		Jwks:     []byte(`{"keys":[]}`),
		GroupMap: []*lockboxv1.MappedGroup{{Id: "guid-1", Name: "approvers"}, {Id: "staff"}}}, gina)
	s.Subscription(t, story.Subscription, "Production")
	role := &lockboxv1.RoleAssignment{Id: "approvers", Group: "approvers", EligibleOnly: true,
		Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}
	s.Command(gina, &lockboxv1.Command{AggregateId: story.Subscription,
		Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: role}}})
	activate := &lockboxv1.Command{AggregateId: story.Subscription, Action: &lockboxv1.Command_ActivateRole{
		ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "approvers"}}}
	s.At(start.Add(time.Hour)).Command(inGroup(otto, "approvers"), activate)
	s.At(start.Add(2 * time.Hour))
	id := s.Submit(story.Provider("eve", aggregate.SupportEngineers), story.Dump(t, story.Subscription, "vm-1"))
	s.Owed(aggregate.Request(t, id))
	s.Command(otto, story.Approve(t, id))
	s.At(start.Add(3*time.Hour)).Command(otto, &lockboxv1.Command{AggregateId: story.Subscription,
		Action: &lockboxv1.Command_DeactivateRole{DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: "approvers"}}})
	return s.History()
}

// Whoever can write events gives a role by a group that nobody was in, or of another name, or for longer, and the
// oracle, which knows nothing of the fold, says so (I21); and what is approved by such a role has no basis (I1).
func TestI21ForgedRolesOfGroupsAreFound(t *testing.T) {
	history := groups()
	if broken := invariant.Check(history); len(broken) > 0 {
		t.Fatalf("the honest story: %v", broken)
	}
	asked := func(r invariant.Recorded) bool {
		return len(r.Event.GetCustomerNotified().GetApprovers()) == 1 &&
			r.Event.GetCustomerNotified().GetApprovers()[0].GetPerson().GetSubject() == "otto"
	}
	if !slices.ContainsFunc(history, asked) ||
		!slices.ContainsFunc(history, func(r invariant.Recorded) bool { return r.Event.GetAccessGranted() != nil }) {
		t.Fatal("otto was not asked, or nothing came of it")
	}
	const created, assigned, activated, approved = "created", "assigned", "activated", "approved"
	is := map[string]func(*lockboxv1.Event) bool{
		created:   func(e *lockboxv1.Event) bool { return e.GetTenantCreated() != nil },
		assigned:  func(e *lockboxv1.Event) bool { return e.GetRoleAssigned() != nil },
		activated: func(e *lockboxv1.Event) bool { return e.GetRoleActivated() != nil },
		approved:  func(e *lockboxv1.Event) bool { return e.GetCustomerApproved() != nil },
	}
	toGroup := func(e *lockboxv1.Event) *lockboxv1.RoleAssignment { return e.GetRoleAssigned().GetAssignment() }
	given := func(e *lockboxv1.Event) *lockboxv1.RoleAssignment { return e.GetRoleActivated().GetAssignment() }
	for name, c := range map[string]struct {
		which  string
		change func(*lockboxv1.Event) // nil: it is left out
		basis  bool                   // and so the access has none
	}{
		"nobody assigned it":   {assigned, nil, true},
		"assigned by nobody":   {assigned, func(e *lockboxv1.Event) { e.Actor = lena }, false},
		"assigned to a person": {assigned, func(e *lockboxv1.Event) { toGroup(e).Person = e.Actor.Person }, false},
		"simply held":          {assigned, func(e *lockboxv1.Event) { toGroup(e).EligibleOnly = false }, false},
		"assigned to another group": {assigned, func(e *lockboxv1.Event) {
			toGroup(e).Group = "guid-1"
		}, true},
		"assigned to a group that does not activate": {assigned, func(e *lockboxv1.Event) {
			toGroup(e).Group = "staff"
		}, true},
		"a role for longer": {activated, func(e *lockboxv1.Event) {
			e.GetRoleActivated().Until = timestamppb.New(e.GetTime().AsTime().Add(25 * time.Hour))
			given(e).ExpiresAt = e.GetRoleActivated().GetUntil()
		}, true},
		"a role for good":    {activated, func(e *lockboxv1.Event) { given(e).ExpiresAt = nil }, true},
		"another role":       {activated, func(e *lockboxv1.Event) { given(e).Role = lockboxv1.Role_ROLE_AUDITOR }, true},
		"of somebody else":   {activated, func(e *lockboxv1.Event) { given(e).Person.Subject = "x" }, true},
		"without the group":  {activated, func(e *lockboxv1.Event) { e.Actor.Groups = nil }, true},
		"in another group":   {activated, func(e *lockboxv1.Event) { e.Actor.Groups = []string{"staff"} }, true},
		"by another issuer":  {activated, func(e *lockboxv1.Event) { e.Actor.Person.Issuer = "https://x.example" }, true},
		"by the provider":    {activated, func(e *lockboxv1.Event) { e.Actor.Side = lockboxv1.Side_SIDE_PROVIDER }, true},
		"without saying who": {activated, func(e *lockboxv1.Event) { e.GetRoleActivated().Assignment = nil }, true},
		"of a group that was not mapped": {created, func(e *lockboxv1.Event) {
			e.GetTenantCreated().Issuer.GroupMap = e.GetTenantCreated().GetIssuer().GetGroupMap()[1:]
		}, true},
		"a group that nobody mapped": {approved, func(e *lockboxv1.Event) { e.Actor.Groups = []string{"x"} }, false},
	} {
		var forged []invariant.Recorded
		for _, r := range history {
			e := proto.CloneOf(r.Event)
			if is[c.which](e) {
				if c.change == nil {
					continue
				}
				c.change(e)
			}
			forged = append(forged, invariant.Recorded{Sequence: r.Sequence, Event: e})
		}
		broken := invariant.Check(forged)
		for _, of := range []struct {
			invariant string
			expected  bool
		}{{"I21", true}, {"I1", c.basis}} {
			if of.expected && !slices.ContainsFunc(broken, func(v invariant.Violation) bool {
				return v.Invariant == of.invariant
			}) {
				t.Errorf("%s: %s not found: %v", name, of.invariant, broken)
			}
		}
	}
}
