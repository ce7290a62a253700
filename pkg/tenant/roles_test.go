package tenant_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// control: nist:AC-2, soc2:CC6.3, iso:5.18
func TestRolesAreTheGlobalAdministratorsAffair(t *testing.T) {
	s := contoso(t, premier)
	s.play(t,
		row{0, otto, owner(otto), no(forbidden, "token", "R20")},
		row{0, ona, owner(otto), no(forbidden, "token", "R20")}, // onboarding only once
		row{0, mole, owner(otto), no(forbidden, "token", "R20")},
		row{1, gina, owner(otto), yes},
		row{2, gina, owner(otto), already},
		row{2, gina, assign(assignment("otto", lena, ownerRole, ofSubscription)),
			no(conflict, "assign_role.assignment.id", "R20")},
		row{3, otto, remove(ofSubscription, "otto"), no(forbidden, "token", "R20")},
		row{3, gina, remove(ofSubscription, "lena"), no(notFound, "remove_role.assignment_id", "R20")},
		row{3, gina, remove(ofTenant, "otto"), no(notFound, "remove_role.assignment_id", "R20")},
		row{4, gina, remove(ofSubscription, "otto"), yes},
		row{5, gina, remove(ofSubscription, "otto"), no(notFound, "remove_role.assignment_id", "R20")},
		row{6, gina, owner(otto), yes},
	)
	if !s.subscription().Roles.Holds(otto.GetPerson(), ownerRole, start) {
		t.Error("otto owns nothing")
	}
}

func TestI10NobodyOfAnotherIssuerGetsARole(t *testing.T) {
	const field = "assign_role.assignment.person"
	nameless := story.Customer(id, "")
	contoso(t, premier).play(t,
		row{0, gina, owner(eve), no(invalid, field+".issuer", "I10")},
		row{0, gina, owner(mole), no(invalid, field+".issuer", "I10")},
		row{0, gina, assign(assignment("x", eve, administrator, ofTenant)), no(invalid, field+".issuer", "I10")},
		row{0, gina, assign(&lockboxv1.RoleAssignment{Id: "x", Role: ownerRole, Scope: ofSubscription}),
			no(invalid, field+".issuer", "I10")},
		row{0, gina, assign(assignment("x", nameless, ownerRole, ofSubscription)),
			no(invalid, field+".subject", "bad input")},
	)
}

func TestR18R19ARoleBelongsWhereItIsAssigned(t *testing.T) {
	at := func(place lockboxv1.AssignmentScope, a *lockboxv1.RoleAssignment) *lockboxv1.Command {
		c := assign(a)
		c.AggregateId = ""
		return on(place, c)
	}
	const role, scope = "assign_role.assignment.role", "assign_role.assignment.scope"
	contoso(t, premier).play(t,
		row{0, gina, at(ofTenant, assignment("a", otto, ownerRole, ofTenant)), no(invalid, role, "R18")},
		row{0, gina, at(ofSubscription, assignment("b", otto, administrator, ofSubscription)), no(invalid, role, "R18")},
		row{0, gina, at(ofSubscription, assignment("c", otto, auditor, ofSubscription)), no(invalid, role, "R18")},
		row{0, gina, at(ofTenant, assignment("d", otto, 0, ofTenant)), no(invalid, role, "R18")},
		row{0, gina, at(ofTenant, assignment("e", otto, administrator, ofSubscription)), no(invalid, scope, "R22")},
		row{0, gina, at(ofTenant, assignment("f", otto, administrator, ofGroup)), no(invalid, scope, "R22")},
		row{0, gina, at(ofSubscription, assignment("g", otto, ownerRole, ofTenant)), no(invalid, scope, "R22")},
		row{0, gina, at(ofSubscription, assignment("h", otto, ownerRole, 0)), no(invalid, scope, "R22")},
		row{0, gina, at(ofTenant, assignment("i.", otto, auditor, ofTenant)),
			no(invalid, "assign_role.assignment.id", "bad input")},
		row{0, gina, at(ofTenant, ending(assignment("j", otto, auditor, ofTenant), 0)),
			no(invalid, "assign_role.assignment.expires_at", "R20")},
		row{0, gina, at(ofTenant, ending(assignment("k", otto, auditor, ofTenant), 1)), yes},
		row{0, gina, at(ofTenant, assignment("l", otto, approver, ofTenant)), yes},
		row{0, gina, at(ofSubscription, assignment("m", otto, approver, ofSubscription)), yes},
		row{0, gina, at(ofSubscription, assignment("n", otto, ownerRole, ofGroup)), yes}, // recorded, and not counted (R22)
	)
}

func TestR2TheLastGlobalAdministratorStays(t *testing.T) {
	s := contoso(t, premier)
	const field = "remove_role.assignment_id"
	s.play(t,
		row{0, gina, remove(ofTenant, "first-administrator"), no(precondition, field, "R2")},
		// Those who are administrators only now and then, or for a time, do not count.
		row{1, gina, assign(eligible(assignment("otto", otto, administrator, ofTenant))), yes},
		row{2, otto, activate(ofTenant, "otto", time.Hour), yes},
		row{3, gina, assign(ending(assignment("lena", lena, administrator, ofTenant), time.Hour)), yes},
		row{4, gina, remove(ofTenant, "first-administrator"), no(precondition, field, "R2")},
		row{5, gina, remove(ofTenant, "otto"), yes},
		row{5, gina, remove(ofTenant, "lena"), yes},
		row{6, gina, assign(assignment("lena-2", lena, administrator, ofTenant)), yes},
		row{7, gina, remove(ofTenant, "first-administrator"), yes},
		row{8, lena, remove(ofTenant, "lena-2"), no(precondition, field, "R2")},
		row{8, gina, enable(), no(forbidden, "token", "R2")},
	)
}

// control: nist:AC-2, iso:5.18
func TestR21AnEligibleRoleIsActivatedByItsHolderForATime(t *testing.T) {
	posing := story.Provider("otto")
	posing.Person.Issuer = home
	s := contoso(t, premier)
	s.play(t,
		row{0, gina, assign(eligible(assignment("otto", otto, ownerRole, ofSubscription))), yes},
		row{0, gina, owner(lena), yes},
		row{1, gina, activate(ofSubscription, "otto"), no(notFound, "activate_role.assignment_id", "R21")},
		row{1, lena, activate(ofSubscription, "otto"), no(notFound, "activate_role.assignment_id", "R21")},
		row{1, posing, activate(ofSubscription, "otto"), no(notFound, "activate_role.assignment_id", "R21")},
		row{1, otto, activate(ofSubscription, "olga"), no(notFound, "activate_role.assignment_id", "R21")},
		row{1, otto, activate(ofSubscription, "lena"), no(notFound, "activate_role.assignment_id", "R21")},
		row{1, lena, activate(ofSubscription, "lena"), no(precondition, "activate_role.assignment_id", "R21")},
		row{1, otto, activate(ofSubscription, "otto", 1), no(invalid, "activate_role.until", "R21")}, // now is not the future
		row{1, otto, activate(ofSubscription, "otto", 24*time.Hour+2), no(invalid, "activate_role.until", "R21")},
		row{1, otto, deactivate(ofSubscription, "otto"), already},
		row{1, otto, activate(ofSubscription, "otto"), yes},
	)
	as, _ := s.subscription().Roles.Get("otto")
	if !as.ActivatedUntil.Equal(start.Add(8*time.Hour + 1)) {
		t.Errorf("activated until %s", as.ActivatedUntil)
	}
	s.play(t,
		row{2, otto, activate(ofSubscription, "otto", 24*time.Hour+2), yes},
		row{3, otto, activate(ofSubscription, "otto", 24*time.Hour+2), already},
		row{4, lena, deactivate(ofSubscription, "otto"), no(notFound, "deactivate_role.assignment_id", "R21")},
		row{4, otto, deactivate(ofSubscription, "otto"), yes},
		row{5, otto, deactivate(ofSubscription, "otto"), already},
	)
}

// control: nist:AC-2, iso:5.18
func TestR20R21R22WhenAnAssignmentCounts(t *testing.T) {
	s := contoso(t, premier)
	end := 2 * time.Hour
	s.play(t,
		row{0, gina, assign(ending(assignment("plain", otto, ownerRole, ofSubscription), end)), yes},
		row{0, gina, assign(eligible(assignment("eligible", otto, ownerRole, ofSubscription))), yes},
		row{0, gina, assign(assignment("group", otto, ownerRole, ofGroup)), yes},
		row{0, gina, assign(ending(eligible(assignment("both", otto, ownerRole, ofSubscription)), end+1)), yes},
		row{0, gina, assign(assignment("always", otto, ownerRole, ofSubscription)), yes},
	)
	counts := func(id string, at time.Duration, want string) {
		t.Helper()
		as, _ := s.subscription().Roles.Get(id)
		code := as.Inactive(start.Add(at))
		if why := tenant.Recorded(code); (want == "") != (code == 0) || want == "" && why != "" ||
			!strings.Contains(why, want) {
			t.Errorf("%s at %s: %s, %q, want %q", id, at, code, why, want)
		}
	}
	counts("plain", end-1, "")
	counts("plain", end, "assignment has ended")
	counts("plain", end+1, "assignment has ended")
	counts("eligible", 0, "not activated")
	counts("group", 0, "management-group")
	counts("always", 1000*time.Hour, "")
	s.play(t,
		row{1, otto, activate(ofSubscription, "eligible", end), yes},
		row{1, otto, activate(ofSubscription, "both", end), yes},
	)
	counts("eligible", end-1, "")
	counts("eligible", end, "ended")
	counts("eligible", end+1, "ended")
	counts("both", end, "activation has ended")
	counts("both", end+1, "assignment has ended")
	for id, want := range map[string]time.Time{"plain": start.Add(end), "eligible": start.Add(end), "both": start.Add(end),
		"always": {}} {
		if as, _ := s.subscription().Roles.Get(id); !as.ActiveUntil().Equal(want) {
			t.Errorf("%s is active until %s", id, as.ActiveUntil())
		}
	}
}

func TestR18R19R23R30WhoWouldBeAsked(t *testing.T) {
	olga := story.Customer(id, "olga")
	tooFew := &lockboxv1.TenantSettings{DefaultLanguage: "en", RequiredApprovals: 2}
	approvers := &lockboxv1.TenantSettings{DefaultLanguage: "en",
		Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS}
	const (
		subscription = lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION
		tenantWide   = lockboxv1.ApproverBasis_APPROVER_BASIS_TENANT
		fallback     = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
		nobody       = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
	)
	for name, c := range map[string]struct {
		given    []*lockboxv1.Command
		ofTenant bool
		who      *lockboxv1.Actor
		basis    lockboxv1.ApproverBasis
		want     []string
		excluded []string
	}{
		"Owners and Lockbox Approvers": {[]*lockboxv1.Command{owner(otto),
			assign(assignment("lena", lena, approver, ofSubscription))}, false, eve, subscription, []string{"otto", "lena"},
			nil},
		"the tenant's people": {[]*lockboxv1.Command{owner(otto),
			assign(assignment("lena", lena, approver, ofTenant))}, true, eve, tenantWide, []string{"gina", "lena"}, nil},
		"an auditor decides nothing": {[]*lockboxv1.Command{assign(assignment("lena", lena, auditor, ofTenant))},
			true, eve, tenantWide, []string{"gina"}, nil},
		"nobody on the subscription": {nil, false, eve, fallback, []string{"gina"}, nil},
		"one person, two roles": {[]*lockboxv1.Command{owner(otto),
			assign(assignment("otto-2", otto, approver, ofSubscription))}, false, eve, subscription, []string{"otto"}, nil},
		"an inherited Owner": {[]*lockboxv1.Command{assign(assignment("otto", otto, ownerRole, ofGroup))},
			false, eve, fallback, []string{"gina"}, []string{"otto"}},
		"an Owner who would have to activate": {[]*lockboxv1.Command{assign(eligible(assignment("otto", otto, ownerRole,
			ofSubscription))), owner(olga)}, false, eve, subscription, []string{"olga"}, []string{"otto"}},
		"fewer than must approve": {[]*lockboxv1.Command{owner(otto), set(tooFew)}, false, eve, fallback,
			[]string{"otto", "gina"}, nil},
		"enough of those who must approve": {[]*lockboxv1.Command{owner(otto), owner(olga), set(tooFew)}, false, eve,
			subscription, []string{"otto", "olga"}, nil},
		"the only Owner is also administrator": {[]*lockboxv1.Command{owner(gina), set(tooFew)}, false, eve, fallback,
			[]string{"gina"}, nil},
		"the fallback that the tenant chose": {[]*lockboxv1.Command{assign(assignment("lena", lena, approver, ofTenant)),
			set(approvers)}, false, eve, fallback, []string{"lena"}, nil},
		"a fallback that is empty": {[]*lockboxv1.Command{set(approvers)}, false, eve, nobody, nil, nil},
		"an empty fallback, and somebody short": {[]*lockboxv1.Command{assign(eligible(assignment("lena", lena, approver,
			ofTenant))), set(approvers)}, false, eve, nobody, nil, []string{"lena"}},
		"too few for the tenant itself": {[]*lockboxv1.Command{set(tooFew),
			assign(eligible(assignment("lena", lena, approver, ofTenant)))}, true, eve, tenantWide, []string{"gina"},
			[]string{"lena"}},
		"the requester is never asked (I10)": {[]*lockboxv1.Command{owner(otto), owner(olga)}, false, otto, subscription,
			[]string{"olga"}, []string{"otto"}},
		"nor is anybody with the requester's address (R51)": {[]*lockboxv1.Command{owner(otto), owner(olga)}, false,
			withAddress("OTTO@contoso.example"), subscription, []string{"olga"}, []string{"otto"}},
		"nor is the fallback's requester (I10)":  {nil, false, gina, nobody, nil, []string{"gina"}},
		"and none of the tenant's, if it is one": {nil, true, gina, nobody, nil, []string{"gina"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := contoso(t, premier)
			for _, g := range c.given {
				s.play(t, row{0, gina, g, yes})
			}
			subscription := s.subscription()
			of := &subscription
			if c.ofTenant {
				of = nil
			}
			a := tenant.Resolve(s.tenant(), of, c.who.GetPerson(), start)
			var got, excluded []string
			for _, p := range a.People {
				got = append(got, p.GetPerson().GetSubject())
			}
			for _, x := range a.Excluded {
				excluded = append(excluded, x.GetPerson().GetSubject())
				if code := x.GetCodedReason().GetCode(); code == 0 || x.GetReason() != tenant.Recorded(code) {
					t.Errorf("%s is recorded as %q", code, x.GetReason())
				}
			}
			if a.Basis != c.basis || !slices.Equal(got, c.want) || !slices.Equal(excluded, c.excluded) {
				t.Errorf("%v by %s without %v, want %v by %s without %v", got, a.Basis, excluded, c.want, c.basis, c.excluded)
			}
			if (a.Scope == lockboxv1.Scope_SCOPE_TENANT) != c.ofTenant || a.Required != s.tenant().RequiredApprovals() {
				t.Errorf("%s, %d approvals", a.Scope, a.Required)
			}
		})
	}
}

func withAddress(address string) *lockboxv1.Actor {
	a := story.Provider("eve")
	a.Person.Email = address
	return a
}

func TestTheAdministratorsAreThoseOfNow(t *testing.T) {
	s := contoso(t, premier)
	s.play(t,
		row{0, gina, assign(ending(assignment("otto", otto, administrator, ofTenant), time.Hour)), yes},
		row{0, gina, assign(eligible(assignment("olga", story.Customer(id, "olga"), administrator, ofTenant))), yes},
		row{0, gina, assign(assignment("lena", lena, auditor, ofTenant)), yes},
	)
	for at, want := range map[time.Duration]int{time.Hour - 1: 2, time.Hour: 1} {
		if got := s.tenant().Administrators(start.Add(at)); len(got) != want {
			t.Errorf("at %s: %v", at, got)
		}
	}
}

func TestNamesForPeople(t *testing.T) {
	if got := tenant.PlanName(lockboxv1.SupportPlan_SUPPORT_PLAN_PROFESSIONAL_DIRECT); got != "Professional Direct" {
		t.Error(got)
	}
	if got := tenant.RoleName(administrator); got != "Global Administrator" {
		t.Error(got)
	}
}

// Nobody floods others by changing roles: a hundred times a day is enough, or as many as are configured. Others go on,
// and so does the next day; and taking a role away is never refused (R52).
func TestR52RoleChangesAreLimitedPerPersonAndDay(t *testing.T) {
	on := func(until time.Duration) *lockboxv1.Command { return activate(ofSubscription, "otto", until) }
	for set, most := range map[int]int{0: tenant.DefaultRoleChanges, 6: 6, -1: 0} {
		s := contoso(t, premier)
		s.Limits.RoleChangesPerDay = set
		s.play(t, row{0, gina, assign(eligible(assignment("otto", otto, ownerRole, ofSubscription))), yes})
		for n := range cmp.Or(most, 2*tenant.DefaultRoleChanges)/2 - 1 {
			at := time.Duration(n) * time.Second
			s.play(t, row{at, otto, on(at + time.Hour), yes}, row{at, otto, deactivate(ofSubscription, "otto"), yes})
		}
		s.play(t, row{time.Hour, otto, on(2 * time.Hour), yes}, row{time.Hour, otto, on(3 * time.Hour), yes})
		if most == 0 {
			s.play(t, row{time.Hour, otto, on(4 * time.Hour), yes})
			continue
		}
		s.play(t,
			row{time.Hour, otto, on(4 * time.Hour), no(precondition, "token", "R52")},
			row{time.Hour, otto, deactivate(ofSubscription, "otto"), yes},
			row{time.Hour, gina, owner(lena), yes},
			row{24*time.Hour - 1, otto, on(30 * time.Hour), no(precondition, "token", "R52")},
			row{25 * time.Hour, otto, on(30 * time.Hour), yes},
		)
	}
}

// Whoever has made as many changes as they may still takes roles away (R52).
func TestR52RolesAreTakenAwayWithoutLimit(t *testing.T) {
	s := contoso(t, premier)
	s.Limits.RoleChangesPerDay = 2
	s.play(t,
		row{0, gina, owner(otto), yes},
		row{0, gina, assign(assignment("second", otto, ownerRole, ofSubscription)), yes},
		row{1, gina, owner(lena), no(precondition, "token", "R52")},
		row{1, gina, remove(ofSubscription, "otto"), yes},
		row{1, gina, remove(ofSubscription, "second"), yes},
		row{1, gina, owner(lena), no(precondition, "token", "R52")},
	)
}
