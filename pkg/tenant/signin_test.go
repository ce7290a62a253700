package tenant_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	newHome = "https://id.contoso.example"

	correct   = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION
	customers = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER
	recover_  = lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY

	day = 24 * time.Hour
)

var (
	onno = story.Provider("onno", aggregate.Onboarding)
	// gina2 and otto2 are people of the issuer that Contoso moves to.
	gina2 = at(newHome, gina)
	otto2 = at(newHome, otto)
)

// at is somebody's account at another issuer.
func at(issuer string, a *lockboxv1.Actor) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: a.GetSide(), MultiFactor: true, Person: &lockboxv1.Person{Issuer: issuer,
		Subject: "new-" + a.GetPerson().GetSubject(), DisplayName: a.GetPerson().GetDisplayName(),
		Email: a.GetPerson().GetEmail()}}
}

func wanted(issuer string, administrators ...*lockboxv1.Actor) *lockboxv1.SignInChange {
	c := &lockboxv1.SignInChange{Reason: "It moves."}
	if issuer != "" {
		c.Issuer = &lockboxv1.TenantIssuer{Url: issuer, Audience: "lockbox", Jwks: []byte(`{"keys":[{}]}`)}
	}
	for _, a := range administrators {
		c.Administrators = append(c.Administrators, a.GetPerson())
	}
	return c
}

func propose(route lockboxv1.SignInRoute, c *lockboxv1.SignInChange) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ProposeSignInChange{
		ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: route, Change: c}}}
}

func confirm(s customerStory) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmSignInChange{
		ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: s.waiting()}}}
}

func stop(s customerStory) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_StopSignInChange{
		StopSignInChange: &lockboxv1.StopSignInChange{ChangeId: s.waiting(), Reason: "No."}}}
}

func endFormer() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_EndFormerSignIn{EndFormerSignIn: &lockboxv1.EndFormerSignIn{}}}
}

func signIn() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}}
}

func (s customerStory) waiting() string {
	if c := s.tenant().Change; c != nil {
		return c.ID
	}
	return "none"
}

// passes moves the clock on and does what is due.
func (s customerStory) passes(after time.Duration) {
	s.At(start.Add(after))
	s.Owed(aggregate.Tenant(id))
}

func (s customerStory) holds(t *testing.T) {
	t.Helper()
	if broken := invariant.Check(s.History()); len(broken) > 0 {
		t.Errorf("%v", broken)
	}
}

func administrators(s customerStory, at time.Duration) (names []string) {
	for _, p := range s.tenant().Administrators(start.Add(at)) {
		names = append(names, p.GetSubject())
	}
	return names
}

func TestR65TwoOfOnboardingCorrectATenantUntilSomebodySignedIn(t *testing.T) {
	s := contoso(t, premier)
	right := wanted(newHome, gina2)
	right.DisplayName = "Contoso Ltd"
	twin := story.Human("N-1", story.Provider("ona-admin", aggregate.Onboarding))
	ona := story.Human("N-1", ona)
	s.play(t,
		row{1, eve, propose(correct, right), no(forbidden, "token", "R65")},
		row{1, gina2, propose(correct, right), no(forbidden, "token", "R65")},
		row{1, ona, propose(recover_, right), no(precondition, "propose_sign_in_change.route", "R65")},
		row{1, ona, propose(correct, &lockboxv1.SignInChange{Reason: "x"}),
			no(invalid, "propose_sign_in_change.change", "R65")},
		row{1, ona, propose(correct, wanted(newHome)), no(invalid, "propose_sign_in_change.change.administrators", "R65")},
		row{1, ona, propose(correct, wanted(newHome, gina)),
			no(invalid, "propose_sign_in_change.change.administrators.issuer", "I10")},
		row{1, ona, propose(correct, wanted(story.ProviderIssuer, ona)),
			no(invalid, "propose_sign_in_change.change.issuer.url", "I10")},
		row{1, ona, propose(correct, right), yes},
		row{2, onno, propose(correct, right), no(conflict, "propose_sign_in_change", "R65")})
	s.play(t,
		row{2, ona, confirm(s), no(forbidden, "token", "R65")},
		row{2, twin, confirm(s), no(forbidden, "token", "R65")},
		row{2, eve, confirm(s), no(forbidden, "token", "R65")})
	if s.tenant().Issuer.GetUrl() != home {
		t.Error("one person was enough")
	}
	s.play(t, row{3, onno, confirm(s), yes})
	if got := s.tenant(); got.Issuer.GetUrl() != newHome || got.Name != "Contoso Ltd" || len(got.Issuers()) != 1 ||
		got.Roles.Holds(gina.GetPerson(), administrator, start) || !got.Roles.Holds(gina2.GetPerson(), administrator, start) {
		t.Errorf("corrected to %+v", got)
	}
	// A proposal that waits when somebody signs in is over.
	s.play(t, row{4, ona, propose(correct, wanted("", otto2)), yes})
	late := confirm(s)
	s.play(t,
		row{5, gina2, signIn(), yes},
		row{5, gina2, signIn(), already},
		row{6, onno, late, no(notFound, "confirm_sign_in_change.change_id", "R65")},
		row{6, onno, propose(correct, right), no(precondition, "propose_sign_in_change.route", "R65")},
		row{7, gina2, enable(), yes})
	s.holds(t)
}

func TestR65TheCustomerChangesItsSignInByTwoAdministrators(t *testing.T) {
	s := contoso(t, premier)
	s.play(t,
		row{1, gina, enable(), yes},
		row{1, otto, propose(customers, wanted(newHome, gina2)), no(forbidden, "token", "R65")},
		row{1, ona, propose(customers, wanted(newHome, gina2)), no(forbidden, "token", "R65")},
		row{1, mole, propose(customers, wanted(newHome, gina2)), no(forbidden, "token", "R65")},
		row{2, gina, assign(assignment("otto", otto, administrator, ofTenant)), yes},
		row{2, gina, owner(lena), yes},
		row{3, gina, propose(customers, wanted(newHome, gina2)), yes})
	s.play(t,
		row{4, gina, confirm(s), no(forbidden, "token", "R65")},
		row{4, ona, confirm(s), no(forbidden, "token", "R65")},
		row{4, mole, confirm(s), no(notFound, "confirm_sign_in_change.change_id", "R65")}.or(forbidden, "token"),
		row{5, otto, confirm(s), yes})
	got := s.tenant()
	if got.Issuer.GetUrl() != newHome || len(got.Issuers()) != 2 || got.Issuers()[1].GetUrl() != home {
		t.Fatalf("both are accepted: %v", got.Issuers())
	}
	// One human of both issuers is one voice.
	s.play(t, row{6, gina, propose(customers, wanted("", otto2)), yes})
	s.play(t, row{6, gina2, confirm(s), no(forbidden, "token", "R65")})
	s.play(t, row{6, otto, stop(s), yes})
	// Roles are carried over while both are accepted.
	s.play(t,
		row{7, gina, endFormer(), no(precondition, "token", "R65")},
		row{7, otto, assign(assignment("lena-new", at(newHome, lena), ownerRole, ofSubscription)), yes})
	if n := len(tenant.Resolve(s.tenant(), ptr(s.subscription()), nil, start.Add(8)).People); n != 2 {
		t.Errorf("%d are asked while both count", n)
	}
	s.play(t,
		row{9, gina2, endFormer(), yes},
		row{9, gina2, endFormer(), no(precondition, "end_former_sign_in", "R65")},
		row{10, otto, disable(""), no(forbidden, "token", "R2")})
	a := tenant.Resolve(s.tenant(), ptr(s.subscription()), nil, start.Add(10))
	if len(a.People) != 1 || a.People[0].GetPerson().GetSubject() != "new-lena" || len(a.Excluded) != 1 {
		t.Errorf("who can sign in no longer is not asked: %v", a)
	}
	if names := administrators(s, 10); len(names) != 1 || names[0] != "new-gina" {
		t.Errorf("administrators are %v", names)
	}
	s.holds(t)
}

func TestR65OneAdministratorAloneWaitsADayAndAnyOtherCanStopIt(t *testing.T) {
	s := contoso(t, premier)
	keys := wanted(home)
	s.play(t, row{1, gina, enable(), yes}, row{1, gina, assign(assignment("otto", otto, administrator, ofTenant)), yes},
		row{2, gina, propose(customers, keys), yes})
	s.passes(1 + day)
	if s.tenant().Change == nil {
		t.Fatal("it was made early")
	}
	s.play(t, row{2 + day, otto, stop(s), yes})
	s.passes(3 + day)
	if len(s.tenant().Issuers()) != 1 {
		t.Error("it was made although it was stopped")
	}
	s.play(t, row{4 + day, gina, propose(customers, keys), yes})
	s.passes(4 + 2*day)
	if got := s.tenant(); len(got.Issuers()) != 2 || got.Change != nil || got.Issuer.GetUrl() != home {
		t.Errorf("new keys stand beside the old: %v", got.Issuers())
	}
	s.play(t, row{5 + 2*day, otto, endFormer(), yes})
	if got := s.tenant(); len(got.Issuers()) != 1 || len(administrators(s, 5+2*day)) != 2 {
		t.Error("with the same issuer nobody's role ends")
	}
	// Whoever lost the role meanwhile changes nothing any more.
	s.play(t, row{6 + 2*day, otto, propose(customers, wanted(newHome, otto2)), yes},
		row{7 + 2*day, gina, remove(ofTenant, "otto"), yes})
	s.passes(6 + 3*day)
	if got := s.tenant(); got.Issuer.GetUrl() != home || got.Change != nil {
		t.Errorf("it was made for one who is no administrator: %+v", got.Change)
	}
	s.holds(t)
}

func TestR65ARecoveryTakesTwoPeopleAndSevenDaysAndAnySignInStopsIt(t *testing.T) {
	s := contoso(t, premier)
	s.play(t, row{1, gina, enable(), yes}, row{2, ona, propose(recover_, wanted(newHome, gina2)), yes})
	s.passes(30 * day)
	if s.tenant().Change == nil || s.tenant().Change.Confirmed != nil {
		t.Fatal("one person alone changed something")
	}
	s.play(t, row{30 * day, ona, confirm(s), no(forbidden, "token", "R65")}, row{30 * day, onno, confirm(s), yes})
	s.play(t, row{30 * day, onno, confirm(s), no(precondition, "confirm_sign_in_change.change_id", "R65")},
		row{31 * day, otto, signIn(), already}) // he is no administrator
	s.passes(35*day - 1)
	before := len(s.Entries)
	s.passes(35 * day)
	if len(s.Entries) != before+1 {
		t.Error("nobody was reminded")
	}
	s.passes(37*day - 1)
	if s.tenant().Issuer.GetUrl() != home {
		t.Fatal("it was made early")
	}
	s.play(t, row{37*day - 1, gina, signIn(), yes})
	s.passes(38 * day)
	if got := s.tenant(); got.Issuer.GetUrl() != home || got.Change != nil {
		t.Fatal("a sign-in did not stop it")
	}
	// With nobody left it is made; the former issuer stays until the new administrator ends it.
	s.play(t, row{40 * day, ona, propose(recover_, wanted(newHome, gina2)), yes})
	s.play(t, row{40 * day, onno, confirm(s), yes})
	s.passes(45 * day)
	s.passes(47 * day)
	if got := s.tenant(); got.Issuer.GetUrl() != newHome || len(got.Issuers()) != 2 {
		t.Fatalf("nothing was recovered: %v", got.Issuers())
	}
	s.play(t, row{48 * day, gina2, endFormer(), yes})
	s.holds(t)
}

// or replaces the refusal that is expected.
func (r row) or(code lockboxv1.RefusalCode, field string) row {
	r.then = no(code, field, r.then.refusal.GetRule())
	return r
}

func ptr[T any](v T) *T { return &v }

// That an account was identified tells of what its holder did before: it is no sign-in, which stops a recovery. It is
// told of people of each issuer that is accepted, once (R51).
func TestR65AnAccountIsIdentifiedWithoutASignIn(t *testing.T) {
	s := contoso(t, premier)
	s.Command(gina, signIn())
	s.Command(ona, propose(recover_, wanted(newHome, gina2)))
	s.Command(onno, confirm(s))
	identify := func(a *lockboxv1.Actor) bool {
		e, err := tenant.Identify(s.tenant(), story.Human("E-1", a), "", s.Now)
		if err != nil {
			t.Fatal(err)
		}
		if e != nil {
			s.Record(e)
		}
		return e != nil
	}
	if !identify(gina) || identify(gina) || identify(gina2) || s.waiting() == "" {
		t.Errorf("before: %v", s.tenant().Change)
	}
	s.passes(5 * day)
	s.passes(7 * day)
	s.passes(8 * day)
	if !identify(gina2) || s.tenant().Issuer.GetUrl() != newHome {
		t.Errorf("after: %v", s.tenant().Issuer)
	}
	s.holds(t)
}

// With another claim as the subject everybody is somebody else, as at another issuer.
func TestR65AnotherSubjectClaimNeedsANewAdministrator(t *testing.T) {
	s := contoso(t, premier)
	c := wanted(gina.GetPerson().GetIssuer())
	c.Issuer.SubjectClaim = "oid"
	err := s.Try(gina, propose(customers, c))
	if r, _ := refusal.As(err); r.GetField() != "propose_sign_in_change.change.administrators" {
		t.Errorf("got %v", err)
	}
}

// A sign-in, and whatever stops a change or ends a former issuer, is never refused for being one too many.
func TestR52WhatStopsAChangeOfSignInIsNeverLimited(t *testing.T) {
	for _, c := range []*lockboxv1.Command{signIn(), endFormer(), {Action: &lockboxv1.Command_StopSignInChange{}}} {
		if !aggregate.TakesAway(c) {
			t.Errorf("%v may be limited", c)
		}
	}
	if aggregate.TakesAway(propose(customers, wanted(newHome))) {
		t.Error("a proposal is never limited")
	}
}
