package stack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity/jwks/glewlwydtest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// toGroup assigns a role on a subscription to a group, under the id "on-call".
func toGroup(subscription, group string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: "on-call", Group: group,
			EligibleOnly: true, Role: lockboxv1.Role_ROLE_OWNER,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}}
}

func activation(subscription string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_ActivateRole{
		ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "on-call"}}}
}

// A customer's approvers are a group of its identity provider, which is not ours: whoever is in it activates the role,
// is asked, and approves; whoever is in another is refused; and whoever has not activated it is not asked (R67).
func TestR67PeopleOfAGroupApproveWithAnIssuerThatIsNotOurs(t *testing.T) {
	t.Parallel()
	const subscription = "harbour-production"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	issuer := glewlwydtest.Start(t)
	issuer.Configure(key)
	issuer.Person("gus", "Gus Grey", "gus@harbour.example", "Harbour Freight", "staff")
	issuer.Person("ada", "Ada Amber", "ada@harbour.example", "Harbour Freight", "/harbour/on-call", "staff")
	issuer.Person("ben", "Ben Brown", "ben@harbour.example", "Harbour Freight", "/harbour/on-call")
	token := func(name string) string {
		id, _ := issuer.SignIn(name)
		return id
	}
	l := start(t, request.DefaultTerms())
	as := func(who string, c *lockboxv1.Command) *lockboxv1.Command {
		c = proto.CloneOf(c)
		c.Tenant, c.Token = harbour, who
		return c
	}
	gus, ada, ben := token("gus"), token("ada"), token("ben")
	l.does("onboarding", &lockboxv1.Command{Tenant: harbour,
		Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: "Harbour Freight", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
			Issuer: &lockboxv1.TenantIssuer{Url: issuer.Issuer(), Audience: glewlwydtest.Audience,
				JwksUrl: issuer.Issuer() + "/jwks", GroupsClaim: "roles",
				GroupMap: []*lockboxv1.MappedGroup{{Id: "/harbour/on-call", Name: "On call"}}},
			Administrator: &lockboxv1.Person{Issuer: issuer.Issuer(), Subject: subject(t, gus), DisplayName: "Gus Grey",
				Email: "gus@harbour.example"},
		}}})
	l.does("onboarding", register(harbour, subscription))
	l.does("", as(gus, enableLockbox()))
	l.mayNot("", as(ada, toGroup(subscription, "On call")), forbidden, "R20")
	l.mayNot("", as(gus, toGroup(subscription, "staff")), invalid, "R67") // is not mapped
	assigned := l.does("", as(gus, toGroup(subscription, "On call")))

	// Ada sees what she may activate, and nothing else; Gus is in another group, and nobody without a token of theirs is
	// in any.
	v := l.ask(harbour, ada, assigned.GetSequence()).GetTenant()
	if !v.GetPartial() || len(v.GetSubscriptions()) != 1 || len(v.GetSubscriptions()[0].GetAssignments()) != 1 ||
		v.GetSubscriptions()[0].GetAssignments()[0].GetActive() {
		t.Errorf("she sees %v", v)
	}
	r := l.mayNot("", as(gus, activation(subscription)), forbidden, "R67")
	if !strings.Contains(r.GetMessage(), "`roles`") {
		t.Errorf("the claim is not named: %v", r)
	}
	other := as(ada, activation(subscription))
	other.Tenant = bank
	l.mayNot("", other, unauthenticated, "R13")
	activated := l.does("", as(ada, activation(subscription)))
	l.told(harbour, "role-assigned", "gus")
	l.told(harbour, "role-activated", "gus")
	held := l.ask(harbour, gus, activated.GetSequence()).GetTenant().GetSubscriptions()[0].GetAssignments()
	if len(held) != 2 || !held[0].GetActive() || held[0].GetNeverSignedIn() ||
		held[0].GetAssignment().GetGroup() != "On call" || held[1].GetActive() {
		t.Errorf("held: %v", held)
	}

	in := l.of(harbour, subscription)
	in.ResourceIds = []string{demo.Machine(subscription, "crane-1")}
	if o := l.submit(in); o.GetRefusal() != nil {
		t.Fatal(o.GetRefusal())
	}
	s := l.reachesOf(harbour, in.GetId(), request.CustomerNotified)
	if n := s.Notified.GetApprovers(); len(n) != 1 || n[0].GetPerson().GetDisplayName() != "Ada Amber" {
		t.Errorf("asked: %v", n)
	}
	l.does("", as(ben, activation(subscription))) // too late for this request (R20)
	for _, late := range []string{ben, gus} {
		l.mayNot("", as(late, approve(in.GetId())), forbidden, "R20")
	}
	l.does("", as(ada, approve(in.GetId())))
	l.reachesOf(harbour, in.GetId(), request.Active)

	l.does("", as(gus, &lockboxv1.Command{AggregateId: subscription,
		Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "on-call"}}}))
	l.mayNot("", as(ada, activation(subscription)), notFound, "R21")
	if broken := l.verified().Violations; len(broken) > 0 {
		t.Errorf("audit verify finds %v", broken)
	}
}

// A map of groups is part of the sign-in: it takes two administrators to change, and counts at once, for old tokens
// too. That groups cannot be read ends nobody's sign-in (R65, R67).
func TestR67AMapOfGroupsIsPartOfTheSignIn(t *testing.T) {
	t.Parallel()
	m := startMovers(t)
	gus, ada := m.at(m.old, "gus"), m.at(m.old, "ada")
	m.says(gus, enableLockbox())
	m.assigns(gus, "ada", m.person(m.old, "ada"))
	m.says(m.onboarding("ona"), register(harbour, freight))
	m.fails(gus, toGroup(freight, "approvers"), invalid, "R67")
	mapped := func(theirs string) *lockboxv1.SignInChange {
		next := m.recorded(m.old)
		next.GroupMap = []*lockboxv1.MappedGroup{{Id: theirs, Name: "approvers"},
			{Id: "ours", Name: aggregate.Onboarding}, {Id: "officers", Name: aggregate.SecurityOfficers}}
		return &lockboxv1.SignInChange{Issuer: next}
	}
	m.proposes(gus, customers, mapped("guid-1"))
	m.fails(gus, m.confirmation(), forbidden, "R65")
	m.fails(gus, toGroup(freight, "approvers"), invalid, "R67")
	m.says(ada, m.confirmation())
	m.says(gus, toGroup(freight, "approvers"))

	bob, tim := m.at(m.old, "bob", "groups=guid-1"), m.at(m.old, "tim", "hasgroups=true")
	before := m.at(m.old, "cat", "groups=guid-1")
	m.says(bob, activation(freight))
	if r := m.fails(tim, activation(freight), forbidden, "R67"); !strings.Contains(r.GetMessage(), "`groups`") ||
		!strings.Contains(r.GetMessage(), "`hasgroups`") {
		t.Errorf("what is too many is not named: %v", r)
	}
	without := m.fails(m.at(m.old, "tom"), activation(freight), forbidden, "R67")
	if !strings.Contains(without.GetMessage(), "`groups`") {
		t.Errorf("the claim is not named: %v", without)
	}
	m.says(tim, &lockboxv1.Command{AggregateId: "SR-1", Action: &lockboxv1.Command_OpenTicket{
		OpenTicket: &lockboxv1.OpenTicket{Title: "It hangs"}}}) // he is signed in all the same
	m.says(before, &lockboxv1.Command{AggregateId: "SR-2", Action: &lockboxv1.Command_OpenTicket{
		OpenTicket: &lockboxv1.OpenTicket{Title: "It hangs"}}}) // her token is known, with the group
	self := m.query(&lockboxv1.Query{Tenant: harbour, Token: tim, Ask: &lockboxv1.Query_GetSelf{
		GetSelf: &lockboxv1.GetSelf{}}}).GetSelf()
	if !slices.ContainsFunc(self.GetClaims(), func(c *lockboxv1.ClaimReading) bool {
		return c.GetFact() == "groups" && strings.Contains(c.GetSays(), "hasgroups") && c.GetCountsAs() == ""
	}) {
		t.Errorf("what his groups count for: %v", self.GetClaims())
	}

	// A group of theirs that is called as one of the provider's is not that.
	m.fails(m.at(m.old, "tam", "groups=ours"), &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSupportPlan{
		ChangeSupportPlan: &lockboxv1.ChangeSupportPlan{Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER}}}, forbidden, "R1")
	m.fails(m.at(m.old, "tam", "groups=ours"), propose(recovery, &lockboxv1.SignInChange{
		Administrators: []*lockboxv1.Person{m.person(m.old, "tam")}}), forbidden, "R65")
	m.fails(m.at(m.old, "tam", "groups=officers"), &lockboxv1.Command{AggregateId: newID(t),
		Action: &lockboxv1.Command_DiscloseExposure{DiscloseExposure: &lockboxv1.DiscloseExposure{
			Occurrence: &lockboxv1.Occurrence{What: "A packet capture", Description: "Traffic.", Reason: "A fault.",
				HappenedAt: timestamppb.Now()}}}}, forbidden, "R46")

	m.proposes(gus, customers, mapped("guid-2"))
	m.says(ada, m.confirmation())
	m.fails(before, activation(freight), forbidden, "R67")
	m.says(m.at(m.old, "dan", "groups=guid-2"), activation(freight))

	// Whoever is signed in through a former issuer is told what their claims count for, too.
	m.proposes(gus, customers, &lockboxv1.SignInChange{Issuer: m.recorded(m.new),
		Administrators: []*lockboxv1.Person{m.person(m.new, "new-gus")}})
	moved := m.says(ada, m.confirmation())
	former := m.query(&lockboxv1.Query{Tenant: harbour, Token: ada, MinSequence: moved.GetSequence(),
		Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	if former.GetRefusal() != nil || len(former.GetSelf().GetClaims()) == 0 {
		t.Errorf("of the former issuer: %v", former)
	}
	m.holds()
}
