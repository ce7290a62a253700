package plan_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Whoever has lost the role hears that, and nothing more of the request (R20, R33).
//
// control: nist:AC-6, iso:5.18
func TestR20WhoIsRelievedHearsNoMoreOfTheRequest(t *testing.T) {
	question := &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{QuestionId: "q1", Text: "Why?"}}
	answer := &lockboxv1.Event_QuestionAnswered{QuestionAnswered: &lockboxv1.QuestionAnswered{QuestionId: "q1",
		Text: "So."}}
	lose := func(s *telling) *telling {
		return s.subscription(grace, removed("fleur-given")).told("role-removed: grace/fr", "role-lost: fleur/fr")
	}
	lose(waiting(t)).then(otto, question).then(erin, answer).told("question-answered: otto/en").
		at(deadline.Add(-24*time.Hour)).then(clock, reminder(0)).told("approval-reminder: otto/en").
		at(deadline).then(clock, &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}).
		told("request-expired: otto/en erin/en security/fr audit/ja")
	lose(waiting(t, two).approved(fleur)).approved(otto).told().then(clock, &lockboxv1.Event_AccessLapsed{
		AccessLapsed: &lockboxv1.AccessLapsed{Reason: "the role was lost"}}).
		told("access-lapsed: otto/en erin/en security/fr audit/ja")
	s := lose(waiting(t).approved(otto).granted())
	s.then(erin, &lockboxv1.Event_AccessReleased{AccessReleased: &lockboxv1.AccessReleased{}}).
		told("access-released: otto/en erin/en security/fr audit/ja")
	// If no approver is left to be told how it ended, the administrators are.
	lose(waiting(t)).subscription(grace, removed("otto-given")).
		at(deadline).then(clock, &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}).
		told("request-expired: erin/en security/fr Otto/fr audit/ja grace/fr")
	// A role that was given again counts again.
	again := role("fleur-again", fleur, lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
	lose(waiting(t)).subscription(grace, assigned(again)).at(deadline.Add(-24*time.Hour)).then(clock, reminder(0)).
		told("approval-reminder: otto/en fleur/fr")
	// An alternate contact whom the settings name no longer is told nothing more either.
	waiting(t).tenant(grace, &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{
		Settings: &lockboxv1.TenantSettings{DefaultLanguage: "fr", RequiredApprovals: 1,
			Alternates: []*lockboxv1.AlternateAddress{{Email: "Security@meadowbank.example"}}}}}).
		then(fleur, &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "No."}}).
		told("request-denied: otto/en fleur/fr erin/en security/fr")
}

// A role that only has to be activated again is not lost (R21).
func TestR21WhoseRoleIsNotActiveIsTold(t *testing.T) {
	s := tell(t).requested().evaluated(customerDecides)
	n := notified()
	s.basis = s.givenBy(n)
	s.given(ofSubscription, grace, removed("otto-given"))
	eligible := role("otto-eligible", otto, lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
	eligible.EligibleOnly, eligible.ExpiresAt = true, timestamppb.New(start.Add(48*time.Hour))
	s.given(ofSubscription, grace, assigned(eligible))
	s.given(ofSubscription, otto, &lockboxv1.Event_RoleActivated{RoleActivated: &lockboxv1.RoleActivated{
		AssignmentId: "otto-eligible", Until: timestamppb.New(start.Add(8 * time.Hour))}})
	sub := s.States.Subscription(ofSubscription.Tenant, ofSubscription.ID)
	s.basis.Subscription = &sub
	s.then(clock, &lockboxv1.Event_CustomerNotified{CustomerNotified: n})
	if s.data("otto").Dormant || s.data("fleur").Dormant {
		t.Error("an active role is said not to be")
	}
	answered := func(id string) {
		s.then(fleur, &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{QuestionId: id, Text: "?"}}).
			then(erin, &lockboxv1.Event_QuestionAnswered{QuestionAnswered: &lockboxv1.QuestionAnswered{QuestionId: id,
				Text: "!"}})
	}
	answered("q1")
	s.told("question-answered: otto/en fleur/fr")
	s.at(start.Add(9 * time.Hour))
	answered("q2")
	if s.told("question-answered: otto/en fleur/fr"); !s.data("otto").Dormant || s.data("fleur").Dormant {
		t.Error("nobody says that a role has to be activated")
	}
	s.at(start.Add(48 * time.Hour))
	answered("q3")
	s.told("question-answered: fleur/fr")
}

// Those whose role goes with a subscription, or with a sign-in that ends, hear of that.
func TestWhoIsRelievedByWhatHappensToOthersHearsIt(t *testing.T) {
	waiting(t).subscription(orla, &lockboxv1.Event_SubscriptionGivenUp{
		SubscriptionGivenUp: &lockboxv1.SubscriptionGivenUp{Reason: "Sold."}}).
		told("subscription-given-up: grace/fr otto/en fleur/fr")
}

// What is true when the event happens may be so no longer when its mail goes.
func TestR20TheRightToKnowIsAskedForWhenTheMailGoes(t *testing.T) {
	s := waiting(t)
	asked := s.last
	entitled := func(want ...string) {
		t.Helper()
		var got []string
		for _, n := range asked {
			if n.Entitled(s.States.Tenant(ofTenant.ID), s.States.Subscription(ofSubscription.Tenant, ofSubscription.ID),
				s.Now) {
				got = append(got, n.Recipient)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("entitled are %v, not %v", got, want)
		}
		for i, name := range want {
			if got[i][:len(name)+1] != name+"@" {
				t.Errorf("entitled are %v, not %v", got, want)
			}
		}
	}
	entitled("otto", "fleur", "security", "audit", "erin")
	s.subscription(grace, removed("fleur-given"))
	entitled("otto", "security", "audit", "erin")
	told := s.last // fleur may know of her own removal, whatever becomes of her
	s.tenant(grace, assigned(role("fleur-ga", fleur, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)))
	entitled("otto", "fleur", "security", "audit", "erin")
	s.tenant(grace, removed("fleur-ga"))
	s.tenant(grace, &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{
		Settings: &lockboxv1.TenantSettings{DefaultLanguage: "fr", RequiredApprovals: 1}}})
	entitled("otto", "erin")
	asked = told
	entitled("grace", "fleur")
	for _, n := range told {
		if n.Template == plan.RoleLost && len(n.RestsOn()) > 0 {
			t.Error("the mail about a removal can be lost by it")
		}
	}
}

// Whoever can write one event that contradicts a tenant's history does not silence the mails about its requests.
func TestAContradictionTakesNobodysRightAway(t *testing.T) {
	s := waiting(t)
	before := s.last
	contradicted := tenant.State{History: aggregate.History{Fault: &aggregate.Fault{Rule: "a gap"}}}
	s.States[ofTenant] = &contradicted
	s.at(deadline.Add(-24*time.Hour)).then(clock, reminder(0)).told("approval-reminder: otto/en fleur/fr")
	for _, n := range before {
		if !n.Entitled(contradicted, tenant.Subscription{}, s.Now) {
			t.Errorf("%s may not know what was for them", n.Recipient)
		}
	}
}
