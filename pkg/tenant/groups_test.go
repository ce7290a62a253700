package tenant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const hours = time.Hour

// grouped is a tenant whose sign-in maps the groups "approvers", by an id, and "admins", by its own name.
func grouped(t *testing.T) customerStory {
	t.Helper()
	s := begin()
	c := create(premier)
	c.GetCreateTenant().Issuer.GroupMap = mapped("guid-1", "approvers", "admins", "")
	s.play(t, row{0, ona, c, yes}, row{0, ona, register("Production"), yes})
	return s
}

// mapped is a map of groups: pairs of the issuer's and the tenant's names.
func mapped(pairs ...string) (list []*lockboxv1.MappedGroup) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, &lockboxv1.MappedGroup{Id: pairs[i], Name: pairs[i+1]})
	}
	return list
}

// in is somebody whose token names groups, by the tenant's names.
func in(a *lockboxv1.Actor, groups ...string) *lockboxv1.Actor {
	a = proto.CloneOf(a)
	a.Groups = groups
	return a
}

// toGroup is a role of a group; its id is the group's name.
func toGroup(group string, role lockboxv1.Role, scope lockboxv1.AssignmentScope) *lockboxv1.RoleAssignment {
	return &lockboxv1.RoleAssignment{Id: group, Group: group, Role: role, Scope: scope, EligibleOnly: true}
}

func (s customerStory) owns(a *lockboxv1.Actor, at time.Duration) bool {
	return s.subscription().Roles.Holds(a.GetPerson(), ownerRole, start.Add(at))
}

func (s customerStory) administers(a *lockboxv1.Actor, at time.Duration) bool {
	return s.tenant().Roles.Holds(a.GetPerson(), administrator, start.Add(at))
}

func TestR67ARoleIsAssignedToAGroupOfTheSignIn(t *testing.T) {
	const as = "assign_role.assignment"
	s := grouped(t)
	other := func(change func(*lockboxv1.RoleAssignment)) *lockboxv1.Command {
		a := toGroup("approvers", ownerRole, ofSubscription)
		change(a)
		return on(ofSubscription, assign(a))
	}
	s.play(t,
		row{1, otto, assign(toGroup("approvers", ownerRole, ofSubscription)), no(forbidden, "token", "R20")},
		row{1, ona, assign(toGroup("approvers", ownerRole, ofSubscription)), no(forbidden, "token", "R20")},
		row{1, gina, assign(toGroup("guid-1", ownerRole, ofSubscription)), no(invalid, as+".group", "R67")},
		row{1, gina, assign(toGroup("Approvers", ownerRole, ofSubscription)), no(invalid, as+".group", "R67")},
		row{1, gina, other(func(a *lockboxv1.RoleAssignment) { a.Person = otto.GetPerson() }),
			no(invalid, as+".person", "R67")},
		row{1, gina, other(func(a *lockboxv1.RoleAssignment) { a.EligibleOnly = false }),
			no(invalid, as+".eligible_only", "R67")},
		row{1, gina, other(func(a *lockboxv1.RoleAssignment) { a.Scope = ofGroup }), no(invalid, as+".scope", "R22")},
		row{1, gina, other(func(a *lockboxv1.RoleAssignment) { a.Role = administrator }), no(invalid, as+".role", "R18")},
		row{1, gina, other(func(a *lockboxv1.RoleAssignment) { a.Id = "no id" }), no(invalid, as+".id", "bad input")},
		row{1, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes},
		row{1, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), already},
		row{1, gina, assign(assignment("approvers", otto, ownerRole, ofSubscription)), no(conflict, as+".id", "R20")},
		row{1, gina, other(func(a *lockboxv1.RoleAssignment) { a.Role = approver }), no(conflict, as+".id", "R20")},
		row{1, gina, owner(otto), yes},
		row{1, gina, other(func(a *lockboxv1.RoleAssignment) { a.Id = "otto" }), no(conflict, as+".id", "R20")},
	)
	if got := s.subscription().Roles.All(); len(got) != 1 {
		t.Errorf("a group is somebody: %v", got)
	}
	contoso(t, premier).play(t,
		row{1, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), no(invalid, as+".group", "R67")})
	s.holds(t)
}

// Whoever's token names the group holds the role for a time, and then has to show the group again.
func TestR67WhoeverCarriesTheGroupActivatesItsRole(t *testing.T) {
	const id = "activate_role.assignment_id"
	s := grouped(t)
	s.play(t,
		row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes},
		row{1, otto, activate(ofSubscription, "approvers"), no(forbidden, "token.groups", "R67")},
		row{1, in(otto, "admins"), activate(ofSubscription, "approvers"), no(forbidden, "token.groups", "R67")},
		row{1, in(otto, "guid-1"), activate(ofSubscription, "approvers"), no(forbidden, "token.groups", "R67")},
		row{1, in(mole, "approvers"), activate(ofSubscription, "approvers"), no(notFound, id, "R21")},
		row{1, in(eve, "approvers"), activate(ofSubscription, "approvers"), no(notFound, id, "R21")},
		row{1, in(otto, "approvers"), activate(ofTenant, "approvers"), no(notFound, id, "R21")},
		row{1, in(otto, "approvers"), activate(ofSubscription, "approvers", 24*hours+2),
			no(invalid, "activate_role.until", "R21")},
		row{1, in(otto, "approvers"), activate(ofSubscription, "approvers", 1), no(invalid, "activate_role.until", "R21")},
		row{1, in(otto, "approvers"), activate(ofSubscription, "approvers", 8*hours), yes},
		row{2, in(otto, "approvers"), activate(ofSubscription, "approvers", 8*hours), already})
	for at, want := range map[time.Duration]bool{2: true, 8*hours - 1: true, 8 * hours: false} {
		if s.owns(otto, at) != want {
			t.Errorf("owns at %v: %t", at, !want)
		}
	}
	own := s.subscription().Roles.All()[0]
	if own.GetGroup() != "approvers" || own.By != "approvers" || !tenant.SamePerson(own.GetPerson(), otto.GetPerson()) {
		t.Errorf("holds %v by %q", own, own.By)
	}
	// Neither the group's assignment nor their own is activated anew without the group, and by nobody else.
	s.play(t,
		row{3, otto, activate(ofSubscription, own.GetId(), 9*hours), no(forbidden, "token.groups", "R67")},
		row{3, otto, activate(ofSubscription, "approvers", 9*hours), no(forbidden, "token.groups", "R67")},
		row{3, lena, deactivate(ofSubscription, own.GetId()), no(notFound, "deactivate_role.assignment_id", "R21")},
		row{3, lena, deactivate(ofSubscription, "approvers"), no(notFound, "deactivate_role.assignment_id", "R21")},
		row{3, in(otto, "approvers"), activate(ofSubscription, own.GetId(), 9*hours), yes},
		row{4, in(lena, "approvers"), activate(ofSubscription, "approvers"), yes})
	if got := s.subscription().Roles.All(); len(got) != 2 || !s.owns(otto, 9*hours-1) || s.owns(otto, 9*hours) {
		t.Errorf("after the second time: %v", got)
	}
	s.play(t,
		row{5, otto, deactivate(ofSubscription, "approvers"), yes}, // needs no group
		row{6, otto, deactivate(ofSubscription, "approvers"), no(notFound, "deactivate_role.assignment_id", "R21")},
		row{20 * hours, lena, deactivate(ofSubscription, "approvers"), // it has ended
			no(notFound, "deactivate_role.assignment_id", "R21")},
		row{20 * hours, gina, owner(otto), yes})
	if got := s.subscription().Roles.All(); len(got) != 1 {
		t.Errorf("what has ended is there still: %v", got)
	}
	s.holds(t)
}

// What cannot be read of a token's groups is said in the words of whoever read it.
func TestR67WhyTheGroupsCouldNotBeReadIsSaid(t *testing.T) {
	s := grouped(t)
	s.play(t, row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes})
	unread := refusal.Forbidden("token.groups", "R67", "too many (`hasgroups`)")
	c := s.Given(otto, s.ID(), activate(ofSubscription, "approvers"))
	c.GroupsUnread = unread
	if _, err := s.States.Decide(c, tenant.Limits{}, start.Add(1)); err == nil || err.Error() != unread.Error() {
		t.Errorf("%v", err)
	}
}

func TestR67AnAddressIsNeededForMails(t *testing.T) {
	s := grouped(t)
	s.play(t, row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes})
	unreachable := in(otto, "approvers")
	unreachable.Person.Email = ""
	named := activate(ofSubscription, "approvers")
	named.GetActivateRole().Email = "otto@elsewhere.example"
	s.play(t,
		row{1, unreachable, activate(ofSubscription, "approvers"), no(invalid, "activate_role.email", "R24")},
		row{1, unreachable, named, yes},
		row{2, in(otto, "approvers"), named, yes}) // a moment later is another end
	if got := s.subscription().Roles.All()[0].GetPerson().GetEmail(); got != otto.GetPerson().GetEmail() {
		t.Errorf("mails go to %q, which is not what the token says", got)
	}
}

// The group's assignment takes along what people hold by it, whether it is removed or ends; other roles of theirs stay.
func TestR67WithTheGroupsAssignmentGoesWhatItGave(t *testing.T) {
	s := grouped(t)
	s.play(t,
		row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes},
		row{0, gina, assign(ending(toGroup("admins", approver, ofSubscription), 2*hours)), yes},
		row{0, gina, owner(otto), yes},
		row{1, in(otto, "approvers", "admins"), activate(ofSubscription, "approvers"), yes},
		row{1, in(lena, "approvers"), activate(ofSubscription, "approvers"), yes},
		row{1, in(lena, "admins"), activate(ofSubscription, "admins"), yes})
	if until := s.subscription().Roles.All()[3].GetExpiresAt().AsTime(); !until.Equal(start.Add(2 * hours)) {
		t.Errorf("lasts until %v, longer than the group's assignment", until)
	}
	if s.subscription().Roles.Holds(lena.GetPerson(), approver, start.Add(2*hours)) {
		t.Error("the group's assignment has ended, and hers has not")
	}
	s.play(t,
		row{2 * hours, in(otto, "admins"), activate(ofSubscription, "admins"),
			no(precondition, "activate_role.assignment_id", "R20")},
		row{2 * hours, otto, remove(ofSubscription, "approvers"), no(forbidden, "token", "R20")},
		row{2 * hours, gina, remove(ofSubscription, "approvers"), yes},
		row{2 * hours, in(lena, "approvers"), activate(ofSubscription, "approvers"), // between the page and the click
			no(notFound, "activate_role.assignment_id", "R21")},
		row{2 * hours, gina, remove(ofSubscription, "approvers"), no(notFound, "remove_role.assignment_id", "R20")})
	if s.owns(lena, 2*hours) || !s.owns(otto, 2*hours) {
		t.Error("lena keeps what she had by the group, or otto lost what he was given")
	}
	s.holds(t)
}

// A group is no administrator: not the last one, nor the one who ends former issuers; whoever activates its role is one
// for that time.
func TestR2AGroupIsNotTheLastAdministrator(t *testing.T) {
	s := grouped(t)
	s.play(t,
		row{0, gina, assign(toGroup("admins", administrator, ofTenant)), yes},
		row{1, gina, remove(ofTenant, "first-administrator"), no(precondition, "remove_role.assignment_id", "R2")},
		row{1, in(otto, "admins"), enable(), no(forbidden, "token", "R2")},
		row{1, in(otto, "admins"), activate(ofTenant, "admins"), yes},
		row{2, otto, enable(), yes},
		row{2, otto, remove(ofTenant, "first-administrator"), no(precondition, "remove_role.assignment_id", "R2")},
		row{9 * hours, otto, disable("x"), no(forbidden, "token", "R2")})
	if !s.administers(gina, 9*hours) || s.administers(otto, 9*hours) {
		t.Error("who administers?")
	}
	s.holds(t)
}

// Who may become an administrator by a group stops a recovery by being there, as everybody who may does.
func TestR65APersonOfAnAdministratorsGroupStopsARecovery(t *testing.T) {
	s := grouped(t)
	s.play(t,
		row{0, gina, assign(toGroup("admins", administrator, ofTenant)), yes},
		row{1, ona, propose(recover_, wanted("", lena)), yes},
		row{2, in(otto, "approvers"), signIn(), already})
	if s.waiting() == "none" {
		t.Fatal("another group stopped it")
	}
	s.play(t, row{3, in(otto, "admins"), signIn(), yes})
	if s.waiting() != "none" {
		t.Error("it waits still")
	}
	s.holds(t)
}

// A map that no longer has the group ends who may activate, at once and whichever keys signed the token; a group keeps
// its roles where the organisation moves, if it is mapped there.
func TestR67TheMapChanges(t *testing.T) {
	s := grouped(t)
	remapped := func(list []*lockboxv1.MappedGroup) *lockboxv1.Command {
		next := proto.CloneOf(s.tenant().Issuer)
		next.GroupMap = list
		return propose(customers, &lockboxv1.SignInChange{Issuer: next, Reason: "Groups."})
	}
	s.play(t,
		row{0, gina, assign(assignment("otto", otto, administrator, ofTenant)), yes},
		row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes},
		row{1, in(lena, "approvers"), activate(ofSubscription, "approvers"), yes},
		row{2, gina, remapped(mapped("admins", "")), yes})
	s.play(t, row{2, gina, confirm(s), no(forbidden, "token", "R65")}) // a change of sign-in as any other
	s.play(t, row{3, otto, confirm(s), yes})
	if got := s.tenant(); len(got.Issuers()) != 1 || len(got.GroupNames("")) != 1 {
		t.Errorf("the former map counts still: %v", got.Issuers())
	}
	s.play(t,
		row{4, in(lena, "approvers"), activate(ofSubscription, "approvers", 9*hours), no(forbidden, "token.groups", "R67")},
		row{4, gina, assign(toGroup("approvers", approver, ofTenant)), no(invalid, "assign_role.assignment.group", "R67")})

	// With other keys as well, the former ones are accepted, and their map is the new one.
	rotated := proto.CloneOf(s.tenant().Issuer)
	rotated.Jwks, rotated.GroupMap = []byte(`{"keys":[{},{}]}`), mapped("staff", "approvers")
	s.play(t, row{5, gina, propose(customers, &lockboxv1.SignInChange{Issuer: rotated, Reason: "Keys."}), yes})
	s.play(t, row{6, otto, confirm(s), yes})
	for _, i := range s.tenant().Issuers() {
		if len(i.GetGroupMap()) != 1 || i.GetGroupMap()[0].GetId() != "staff" {
			t.Errorf("the map of %d keys: %v", len(i.GetJwks()), i.GetGroupMap())
		}
	}
	s.play(t, row{7, in(lena, "approvers"), activate(ofSubscription, "approvers", 9*hours), yes})

	moved := wanted(newHome, gina2)
	moved.Issuer.GroupMap = mapped("/lockbox", "approvers")
	s.play(t, row{8, gina, propose(customers, moved), yes})
	s.play(t,
		row{9, otto, confirm(s), yes},
		row{10, in(otto2, "approvers"), activate(ofSubscription, "approvers", 9*hours), yes},
		row{11, in(otto, "approvers"), activate(ofSubscription, "approvers", 9*hours), yes},
		row{12, gina2, endFormer(), yes},
		row{13, in(otto, "approvers"), activate(ofSubscription, "approvers", 10*hours),
			no(notFound, "activate_role.assignment_id", "R21")},
		row{13, in(otto2, "approvers"), activate(ofSubscription, "approvers", 10*hours), yes})
	s.holds(t)
}

func TestR52ActivationsOfAGroupAreCounted(t *testing.T) {
	s := grouped(t)
	s.play(t, row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes})
	for i := range tenant.DefaultRoleChanges {
		until := time.Duration(i+2) * time.Minute
		s.play(t, row{1, in(otto, "approvers"), activate(ofSubscription, "approvers", until), yes})
	}
	s.play(t,
		row{1, in(otto, "approvers"), activate(ofSubscription, "approvers", 5*hours), no(precondition, "token", "R52")},
		row{1, otto, deactivate(ofSubscription, "approvers"), yes},
		row{1, in(lena, "approvers"), activate(ofSubscription, "approvers"), yes})
}

// Who has activated the role is asked, by it once even if they hold it otherwise too; who has not is not (R20).
func TestR67WhoHasActivatedIsAsked(t *testing.T) {
	s := grouped(t)
	asked := func(at time.Duration) (names []string) {
		sub := s.subscription()
		a := tenant.Resolve(s.tenant(), &sub, nil, start.Add(at))
		for _, p := range a.People {
			names = append(names, p.GetPerson().GetSubject())
		}
		if len(a.Excluded) > 0 {
			t.Errorf("left out: %v", a.Excluded)
		}
		return names
	}
	s.play(t, row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes})
	if got := asked(0); !slices.Equal(got, []string{"gina"}) { // the fallback
		t.Errorf("the group is asked: %v", got)
	}
	s.play(t,
		row{1, gina, owner(otto), yes},
		row{2, in(otto, "approvers"), activate(ofSubscription, "approvers"), yes},
		row{2, in(lena, "approvers"), activate(ofSubscription, "approvers"), yes})
	if got := asked(3); !slices.Equal(got, []string{"otto", "lena"}) {
		t.Errorf("asked: %v", got)
	}
	if got := asked(9 * hours); !slices.Equal(got, []string{"otto"}) {
		t.Errorf("asked once it has ended: %v", got)
	}
}

// What nobody decided, the fold does not believe, whoever's key wrote it.
func TestR67TheFoldRefusesWhatNobodysGroupGave(t *testing.T) {
	s := grouped(t)
	s.play(t,
		row{0, gina, assign(toGroup("approvers", ownerRole, ofSubscription)), yes},
		row{0, gina, assign(toGroup("admins", administrator, ofTenant)), yes},
		row{0, gina, owner(lena), yes})
	there := func(place lockboxv1.AssignmentScope, group string) *lockboxv1.Event {
		e, err := s.Decide(in(otto, "admins", "approvers"), s.ID(), activate(place, group))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	fold := func(e *lockboxv1.Event) *aggregate.Fault {
		if e.GetKind() == aggregate.KindTenant {
			return tenant.Evolve(s.tenant(), 100, e).Fault
		}
		return tenant.EvolveSubscription(s.subscription(), 100, e).Fault
	}
	as := func(e *lockboxv1.Event) *lockboxv1.RoleAssignment { return e.GetRoleActivated().GetAssignment() }
	forgeries := map[string]func(e *lockboxv1.Event){
		"without the group":        func(e *lockboxv1.Event) { e.Actor.Groups = nil },
		"with another group":       func(e *lockboxv1.Event) { e.Actor.Groups = []string{"guid-1"} },
		"by the provider's people": func(e *lockboxv1.Event) { e.Actor.Side = lockboxv1.Side_SIDE_PROVIDER },
		"by Lockbox itself":        func(e *lockboxv1.Event) { e.Actor = story.System("lockbox-orchestrator") },
		"for somebody else":        func(e *lockboxv1.Event) { as(e).Person = lena.GetPerson() },
		"for nobody":               func(e *lockboxv1.Event) { as(e).Person = nil },
		"to another role":          func(e *lockboxv1.Event) { as(e).Role = approver },
		"elsewhere":                func(e *lockboxv1.Event) { as(e).Scope = ofGroup },
		"by another id":            func(e *lockboxv1.Event) { as(e).Id = "lena" },
		"of another group":         func(e *lockboxv1.Event) { as(e).Group = "x" },
		"for good":                 func(e *lockboxv1.Event) { as(e).ExpiresAt = nil },
		"for longer than it says":  func(e *lockboxv1.Event) { as(e).ExpiresAt = timestamppb.New(start.Add(9 * hours)) },
		"for two days": func(e *lockboxv1.Event) {
			e.GetRoleActivated().Until = timestamppb.New(start.Add(48 * hours))
			as(e).ExpiresAt = e.GetRoleActivated().GetUntil()
		},
		"that is over":               func(e *lockboxv1.Event) { e.Time = timestamppb.New(start.Add(24 * hours)) },
		"of no group's assignment":   func(e *lockboxv1.Event) { e.GetRoleActivated().AssignmentId = "lena" },
		"without what anybody holds": func(e *lockboxv1.Event) { e.GetRoleActivated().Assignment = nil },
	}
	for _, honest := range []*lockboxv1.Event{there(ofSubscription, "approvers"), there(ofTenant, "admins")} {
		if fault := fold(honest); fault != nil {
			t.Fatalf("the honest one: %v", fault)
		}
		for name, forge := range forgeries {
			e := proto.CloneOf(honest)
			if forge(e); fold(e) == nil {
				t.Errorf("%s: %s: believed", e.GetKind(), name)
			}
		}
	}
	unmapped := there(ofTenant, "admins")
	unmapped.Actor.Person.Issuer, as(unmapped).Person.Issuer = newHome, newHome
	if fold(unmapped) == nil {
		t.Error("by an issuer that maps nothing: believed")
	}

	given := func(a *lockboxv1.RoleAssignment) *lockboxv1.Event {
		h := s.tenant().History
		e := h.Follow(gina, "", start)
		e.Fact = &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{Assignment: a}}
		return e
	}
	both := toGroup("approvers", auditor, ofTenant)
	both.Person = otto.GetPerson()
	held := toGroup("approvers", auditor, ofTenant)
	held.EligibleOnly = false
	for name, a := range map[string]*lockboxv1.RoleAssignment{
		"a group and a person": both, "a group that holds it": held, "a group of nobody's": toGroup("x", auditor, ofTenant),
		"an id that is taken": toGroup("admins", auditor, ofTenant),
	} {
		if fold(given(a)) == nil {
			t.Errorf("%s: believed", name)
		}
	}
	if fault := fold(given(toGroup("approvers", auditor, ofTenant))); fault != nil {
		t.Errorf("the honest one: %v", fault)
	}
}
