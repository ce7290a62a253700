package stack_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

const (
	correct   = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION
	customers = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER
	recovery  = lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY
)

// harbour is a customer beside the demo's, whose keys are recorded.
const harbour = "harbour"

// movers is a Lockbox whose provider has several people of onboarding, and a customer that just came on board.
type movers struct {
	*lockbox
	// provider, old and new are issuers: the provider's second one, the customer's, and the one that it moves to.
	provider, old, new *ownIssuer
}

func startMovers(t *testing.T) *movers {
	l := closed(t, request.DefaultTerms(), devissuer.Config{})
	l.certifiedSince(time.Now().Add(-10 * 24 * time.Hour))
	m := &movers{l, l.ownIssuer(nil), l.ownIssuer(nil), l.ownIssuer(nil)}
	l.config.Issuers = append(l.config.Issuers, identity.Issuer{URL: m.provider.URL, Audience: "lockbox",
		JWKS: m.provider.jwks, Side: lockboxv1.Side_SIDE_PROVIDER, Claims: identity.Claims{Human: "employee"}})
	l.open()
	t.Cleanup(func() { l.close() })
	m.says(m.onboarding("ona"), &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{
		CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: "Harbour Freight", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
			Issuer: m.recorded(m.old), Administrator: m.person(m.old, "gus"),
		}}})
	return m
}

func (m *movers) recorded(at *ownIssuer) *lockboxv1.TenantIssuer {
	return &lockboxv1.TenantIssuer{Url: at.URL, Audience: "lockbox", Jwks: at.jwks}
}

func (m *movers) person(at *ownIssuer, subject string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: at.URL, Subject: subject, DisplayName: subject, Email: subject + "@harbour.example"}
}

// says sends a command with a token; fails expects a refusal of it.
func (m *movers) says(token string, c *lockboxv1.Command) *lockboxv1.CommandReply {
	m.Helper()
	c.Tenant, c.Token = harbour, token
	return m.does("", c)
}

func (m *movers) fails(
	token string, c *lockboxv1.Command, code lockboxv1.RefusalCode, rule string,
) *lockboxv1.Refusal {
	m.Helper()
	c.Tenant, c.Token = harbour, token
	return m.mayNot("", c, code, rule)
}

// at signs somebody in.
func (m *movers) at(i *ownIssuer, subject string, more ...string) string {
	m.Helper()
	claims := map[string]any{"iss": i.URL, "aud": "lockbox", "sub": subject, "exp": time.Now().Add(time.Hour).Unix(),
		"email": subject + "@harbour.example"}
	for _, m := range more {
		name, value, _ := strings.Cut(m, "=")
		claims[name] = value
	}
	token, err := jwt.Signed(i.signer).Claims(claims).Serialize()
	must(m, err)
	return token
}

func (m *movers) onboarding(subject string, more ...string) string {
	return m.at(m.provider, subject, append(more, "groups="+aggregate.Onboarding, "email="+subject+"@nimbus.example")...)
}

// state is the customer as it is now.
func (m *movers) state() tenant.State {
	m.Helper()
	states, err := repository.New(m.watch).Basis(m.Context(), aggregate.Tenant(harbour))
	must(m, err)
	return states.Tenant(harbour)
}

func (m *movers) proposes(token string, route lockboxv1.SignInRoute, c *lockboxv1.SignInChange) {
	m.Helper()
	m.says(token, propose(route, c))
}

func propose(route lockboxv1.SignInRoute, c *lockboxv1.SignInChange) *lockboxv1.Command {
	c.Reason = "It has to be."
	return &lockboxv1.Command{Action: &lockboxv1.Command_ProposeSignInChange{
		ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: route, Change: c}}}
}

func (m *movers) confirmation() *lockboxv1.Command {
	id := "none"
	if c := m.state().Change; c != nil {
		id = c.ID
	}
	return &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmSignInChange{
		ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: id}}}
}

func enableLockbox() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
}

func finish() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_EndFormerSignIn{EndFormerSignIn: &lockboxv1.EndFormerSignIn{}}}
}

func signInCommand() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}}
}

func (m *movers) assigns(token string, id string, to *lockboxv1.Person) {
	m.Helper()
	m.says(token, &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
		Assignment: &lockboxv1.RoleAssignment{Id: id, Person: to, Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}}}})
}

func (m *movers) holds() {
	m.Helper()
	var history []invariant.Recorded
	for _, e := range m.history(journal.Replay{}) {
		history = append(history, invariant.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event})
	}
	if broken := invariant.Check(history); len(broken) > 0 {
		m.Errorf("%v", broken)
	}
}

// A mistake at onboarding is corrected by two people, and not by one, nor after somebody signed in (R65).
func TestR65AMistypedIssuerIsCorrected(t *testing.T) {
	t.Parallel()
	m := startMovers(t)
	right := func() *lockboxv1.SignInChange {
		return &lockboxv1.SignInChange{Issuer: m.recorded(m.new), Administrators: []*lockboxv1.Person{m.person(m.new, "gus")}}
	}
	m.fails(m.at(m.new, "gus"), enableLockbox(), unauthenticated, "R13")
	m.fails(m.at(m.provider, "eve"), propose(correct, right()), forbidden, "R65")
	m.proposes(m.onboarding("ona", "employee=7"), correct, right())
	m.fails(m.onboarding("ona"), m.confirmation(), forbidden, "R65")
	m.fails(m.onboarding("ona-admin", "employee=7"), m.confirmation(), forbidden, "R65")
	provider := right()
	provider.Issuer.Url = m.provider.URL
	m.says(m.onboarding("onno", "employee=8"), m.confirmation())
	m.says(m.at(m.new, "gus"), enableLockbox())
	m.fails(m.at(m.old, "gus"), enableLockbox(), unauthenticated, "R13")
	m.fails(m.onboarding("ona"), propose(correct, right()), precondition, "R65")
	m.fails(m.onboarding("ona"), propose(recovery, provider), invalid, "I10")
	m.holds()
}

// A customer whose recorded keys rotate, and whose issuer then moves: nobody is locked out, and nobody let in (R65).
func TestR65KeysRotateAndTheIssuerMoves(t *testing.T) {
	t.Parallel()
	m := startMovers(t)
	gus := func() string { return m.at(m.old, "gus") }
	m.says(gus(), enableLockbox())
	m.assigns(gus(), "ada", m.person(m.old, "ada"))

	rotated := m.ownIssuer(nil)
	rotated.URL = m.old.URL // the same issuer with other keys
	m.proposes(gus(), customers, &lockboxv1.SignInChange{Issuer: m.recorded(rotated)})
	m.fails(gus(), m.confirmation(), forbidden, "R65")
	m.fails(m.onboarding("ona"), m.confirmation(), forbidden, "R65")
	m.fails(m.at(rotated, "ada"), m.confirmation(), unauthenticated, "R13") // its keys are not accepted yet
	m.says(m.at(m.old, "ada"), m.confirmation())
	m.fails(gus(), finish(), unauthenticated, "R13") // old keys do not show that the new ones work
	m.says(m.at(rotated, "gus"), signInCommand())
	m.says(gus(), signInCommand())
	m.says(m.at(rotated, "gus"), finish())
	m.fails(gus(), signInCommand(), unauthenticated, "R13")

	m.proposes(m.at(rotated, "gus"), customers, &lockboxv1.SignInChange{Issuer: m.recorded(m.new),
		Administrators: []*lockboxv1.Person{m.person(m.new, "new-gus")}})
	m.says(m.at(rotated, "ada"), m.confirmation())
	reply := m.says(m.at(m.new, "new-gus"), signInCommand())
	if answer := m.ask(harbour, m.at(m.new, "new-gus"), reply.GetSequence()); len(
		answer.GetTenant().GetSignIn().GetFormer()) != 1 {
		t.Errorf("what is accepted is shown: %v", answer)
	}
	m.says(m.at(rotated, "ada"), &lockboxv1.Command{AggregateId: "SR-1", Action: &lockboxv1.Command_OpenTicket{
		OpenTicket: &lockboxv1.OpenTicket{Title: "It hangs"}}})
	m.says(m.at(m.new, "new-gus"), finish())
	m.fails(m.at(rotated, "ada"), signInCommand(), unauthenticated, "R13")
	m.holds()
}

// A customer's only administrator left: two people of the provider and a week, and whoever signs in stops it (R65).
func TestR65ASignInStopsARecovery(t *testing.T) {
	t.Parallel()
	m := startMovers(t)
	m.says(m.at(m.old, "gus"), enableLockbox())
	other := func() *lockboxv1.SignInChange {
		return &lockboxv1.SignInChange{Administrators: []*lockboxv1.Person{m.person(m.old, "ada")}}
	}
	m.proposes(m.onboarding("ona"), recovery, other())
	m.fails(m.onboarding("ona"), m.confirmation(), forbidden, "R65")
	m.says(m.onboarding("onno"), m.confirmation())
	if c := m.state().Change; c == nil || time.Until(c.DueAt) < 7*24*time.Hour-time.Minute {
		t.Fatalf("waits as %+v", c)
	}
	m.says(m.at(m.old, "ada"), &lockboxv1.Command{AggregateId: "SR-1", Action: &lockboxv1.Command_OpenTicket{
		OpenTicket: &lockboxv1.OpenTicket{Title: "It hangs"}}}) // whoever is no administrator stops nothing
	if m.state().Change == nil {
		t.Fatal("stopped by somebody without a role")
	}
	m.says(m.at(m.old, "gus"), &lockboxv1.Command{AggregateId: "SR-2", Action: &lockboxv1.Command_OpenTicket{
		OpenTicket: &lockboxv1.OpenTicket{Title: "It hangs still"}}})
	if c := m.state().Change; c != nil {
		t.Errorf("an administrator is here, and it waits: %+v", c)
	}
	m.holds()
}

// What falls due while nobody looks is done by the timer (R65).
func TestR65ARecoveryIsMadeAfterItsTime(t *testing.T) {
	t.Parallel()
	m := startMovers(t)
	m.says(m.at(m.old, "gus"), enableLockbox())
	m.close()
	m.open()
	s := m.state()
	long := time.Now().Add(-8 * 24 * time.Hour)
	act := func(subject string) *lockboxv1.Actor {
		return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{aggregate.Onboarding},
			Person: &lockboxv1.Person{Issuer: m.provider.URL, Subject: subject}}
	}
	writer := m.journal("lockbox-orchestrator")
	write := func(by string, at time.Time, c *lockboxv1.Command) {
		c.Id, c.Tenant = newID(t), harbour
		e, err := tenant.Decide(s, aggregate.Command{Command: c, By: act(by)}, tenant.Limits{}, at)
		must(t, err)
		must(t, repository.Identify(e))
		sequence, err := writer.Append(t.Context(), s.Sequence, e)
		must(t, err)
		s = tenant.Evolve(s, sequence, e)
	}
	write("ona", long, propose(recovery, &lockboxv1.SignInChange{
		Administrators: []*lockboxv1.Person{m.person(m.old, "ada")}}))
	write("onno", long, &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmSignInChange{
		ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: s.Change.ID}}})
	for deadline := time.Now().Add(patience); m.state().Change != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it still waits")
		}
	}
	m.says(m.at(m.old, "ada"), &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: "quiet"}}})
}

// A request waits while the customer moves to another issuer: whom it asked decides it, and revokes, through the former
// one until that is ended; from then on their roles are gone, and whoever is of the present one revokes (R65, R32).
func TestR65ARequestThatWaitsIsDecidedByWhomItAsked(t *testing.T) {
	t.Parallel()
	m := startMovers(t)
	gus, ada := m.at(m.old, "gus"), m.at(m.old, "ada")
	m.says(gus, enableLockbox())
	m.assigns(gus, "ada", m.person(m.old, "ada"))
	m.says(m.onboarding("ona"), register(harbour, freight))
	m.says(gus, &lockboxv1.Command{AggregateId: freight, Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: "ada", Person: m.person(m.old, "ada"),
			Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
	m.says(gus, &lockboxv1.Command{AggregateId: freight, Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: "gus", Person: m.person(m.old, "gus"),
			Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
	asks := func() string {
		in := m.of(harbour, freight)
		if o := m.submit(in); o.GetRefusal() != nil {
			t.Fatal(o)
		}
		m.reachesOf(harbour, in.GetId(), request.CustomerNotified)
		return in.GetId()
	}
	approved, denied, late, open := asks(), asks(), asks(), asks()
	m.proposes(gus, customers, &lockboxv1.SignInChange{Issuer: m.recorded(m.new),
		Administrators: []*lockboxv1.Person{{Issuer: m.new.URL, Subject: "g", DisplayName: "Gus", Email: "gus@new.example"}}})
	m.says(ada, m.confirmation())
	moved := func() string { return m.at(m.new, "g", "email=gus@new.example") }
	m.fails(moved(), approve(approved), forbidden, "R20") // was not asked
	for _, id := range []string{approved, open} {
		m.says(ada, approve(id))
		m.reachesOf(harbour, id, request.Active)
	}
	m.says(gus, &lockboxv1.Command{AggregateId: denied, Action: &lockboxv1.Command_Deny{
		Deny: &lockboxv1.Deny{Reason: "Not now."}}})
	revoke := func(id string) *lockboxv1.Command {
		return &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_Revoke{
			Revoke: &lockboxv1.Revoke{Reason: "Enough."}}}
	}
	m.says(ada, revoke(approved))
	ended := m.says(moved(), finish())
	for _, a := range m.ask(harbour, moved(), ended.GetSequence()).GetTenant().GetSubscriptions()[0].GetAssignments() {
		if a.GetActive() || a.GetCodedReason().GetCode() != lockboxv1.ReasonCode_REASON_CODE_ASSIGNMENT_ENDED {
			t.Errorf("shown as if it counted: %v", a)
		}
	}
	m.finally(late, "nobody is left", func(e *lockboxv1.Event) bool { return e.GetApproversUnavailable() != nil })
	m.fails(ada, approve(late), unauthenticated, "R13")
	m.fails(moved(), approve(late), forbidden, "R20")
	m.says(moved(), revoke(open))
	m.holds()
}
