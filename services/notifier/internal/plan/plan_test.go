package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Everyone concerned by the story's request, in the order in which they are told: approvers, requester, alternates.
const everyone = "otto/en fleur/fr erin/en security/fr audit/ja"

func TestTheCustomerIsAsked(t *testing.T) {
	s := tell(t).requested().told().evaluated(customerDecides).told().
		asked().told("approval-requested: otto/en fleur/fr", "approval-requested-alternate: security/fr audit/ja",
		"customer-asked: erin/en")
	d := s.data("otto")
	if d.RequestID != requestID || d.TicketID != "SR-1" || d.Service != "Virtual Machines" ||
		d.Scenario != "Memory dump" || d.Subscription != "Payments (pay-prod)" ||
		len(d.Resources) != 2 || d.Justification == "" || d.Requester != "Erin Cole" ||
		d.Employer != "Fabrikam Field Services" ||
		d.Duration != 8*time.Hour || !d.RespondBy.Equal(deadline) || d.Tenant != "Meadow Bank" ||
		d.Provider != "Northwind Cloud" {
		t.Errorf("R24 is not complete: %+v", d)
	}
	if !slices.Equal(d.Others, []string{"Fleur Martin"}) ||
		!slices.Equal(s.data("security").Others, []string{"Otto Brandt", "Fleur Martin"}) {
		t.Errorf("who else was asked: Otto reads %v, an alternate %v", d.Others, s.data("security").Others)
	}
}

func TestAnApprovalStory(t *testing.T) {
	s := waiting(t).
		then(otto, &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{QuestionId: "q1",
			Text: "Which region?"}}).told("question-asked: erin/en").
		then(erin, &lockboxv1.Event_QuestionAnswered{QuestionAnswered: &lockboxv1.QuestionAnswered{QuestionId: "q1",
			Text: "The same."}}).told("question-answered: otto/en fleur/fr")
	if d := s.data("fleur"); d.Question != "Which region?" || d.Text != "The same." || d.By != "Erin Cole" {
		t.Errorf("the answer: %+v", d)
	}
	s.approved(otto).told(). // one mail for both, below
					granted().told("access-granted: " + everyone)
	d := s.data("erin")
	if d.Duration != 4*time.Hour || !d.Shortened || !d.Narrowed || len(d.Resources) != 1 ||
		d.Ends.Sub(d.Starts) != 4*time.Hour || len(d.Approvals) != 1 || d.Approvals[0].By != "Otto Brandt" {
		t.Errorf("the grant: %+v", d)
	}
	s.at(d.Ends).then(clock,
		&lockboxv1.Event_AccessCompleted{AccessCompleted: &lockboxv1.AccessCompleted{}}).told("access-completed: " + everyone)
}

// control: nist:SA-9, iso:5.22
func TestEveryOutcomeReachesEveryoneConcerned(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(*telling) *telling
		want plan.Template
		text string
	}{
		{"denied", func(s *telling) *telling {
			return s.then(fleur, &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "Not now."}})
		}, plan.RequestDenied, "Not now."},
		{"expired", func(s *telling) *telling {
			return s.at(deadline).then(clock, &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}})
		}, plan.RequestExpired, ""},
		{"withdrawn", func(s *telling) *telling {
			return s.then(erin, &lockboxv1.Event_RequestWithdrawn{
				RequestWithdrawn: &lockboxv1.RequestWithdrawn{Reason: "Solved."}})
		}, plan.RequestWithdrawn, "Solved."},
		{"lapsed", func(s *telling) *telling {
			return s.approved(otto).then(clock,
				&lockboxv1.Event_AccessLapsed{AccessLapsed: &lockboxv1.AccessLapsed{Reason: "the role was lost"}})
		}, plan.AccessLapsed, "the role was lost"},
		{"revoked", func(s *telling) *telling {
			return s.approved(otto).granted().then(fleur,
				&lockboxv1.Event_AccessRevoked{AccessRevoked: &lockboxv1.AccessRevoked{Reason: "Enough."}})
		}, plan.AccessRevoked, "Enough."},
		{"revoked before it began", func(s *telling) *telling {
			return s.approved(otto).then(fleur,
				&lockboxv1.Event_AccessRevoked{AccessRevoked: &lockboxv1.AccessRevoked{Reason: "Enough."}})
		}, plan.AccessRevoked, "Enough."},
		{"released", func(s *telling) *telling {
			return s.approved(otto).granted().then(erin,
				&lockboxv1.Event_AccessReleased{AccessReleased: &lockboxv1.AccessReleased{}})
		}, plan.AccessReleased, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := row.end(waiting(t)).told(string(row.want) + ": " + everyone)
			if d := s.data("otto"); d.Text != row.text {
				t.Errorf("the reason is %q", d.Text)
			}
		})
	}
}

func TestOneOfTwoApprovalsIsToldToTheOtherApprovers(t *testing.T) {
	s := waiting(t, two).approved(otto).told("approval-recorded: fleur/fr")
	if d := s.data("fleur"); d.Given != 1 || d.Required != 2 || d.By != "Otto Brandt" {
		t.Errorf("%+v", d)
	}
	s.at(deadline.Add(-24*time.Hour)).then(clock, reminder(0)).told("approval-reminder: fleur/fr").
		approved(fleur).told()
}

func reminder(i uint32) *lockboxv1.Event_ApprovalReminderDue {
	return &lockboxv1.Event_ApprovalReminderDue{ApprovalReminderDue: &lockboxv1.ApprovalReminderDue{Index: i}}
}

func TestARemindersGoesToThoseWhoHaveNotDecided(t *testing.T) {
	waiting(t).at(deadline.Add(-24*time.Hour)).then(clock, reminder(0)).told("approval-reminder: otto/en fleur/fr")
}

func TestNobodyLeftToDecideIsNeverSilence(t *testing.T) {
	nobody := func(n *lockboxv1.CustomerNotified) {
		n.Basis, n.Approvers = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY, nil
	}
	t.Run("from the beginning", func(t *testing.T) {
		s := waiting(t, nobody).told("nobody-to-ask: grace/fr security/fr Otto/fr audit/ja", "customer-asked: erin/en")
		if d := s.data("erin"); d.Basis != lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY {
			t.Error("the requester does not learn that nobody can decide")
		}
		s.at(deadline).then(clock, &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}).
			told("request-expired: erin/en security/fr Otto/fr audit/ja grace/fr")
	})
	t.Run("later", func(t *testing.T) {
		waiting(t).then(clock,
			&lockboxv1.Event_ApproversUnavailable{ApproversUnavailable: &lockboxv1.ApproversUnavailable{}}).
			told("approvers-unavailable: grace/fr security/fr audit/ja erin/en").
			at(deadline).then(clock, &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}).
			told("request-expired: " + everyone + " grace/fr")
	})
	t.Run("the fallback is said", func(t *testing.T) {
		s := waiting(t, func(n *lockboxv1.CustomerNotified) { n.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK })
		for _, who := range []string{"otto", "security", "erin"} {
			if s.data(who).Basis != lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK {
				t.Errorf("%s does not learn of it", who)
			}
		}
	})
}

func stage(group string, count uint32) *lockboxv1.InternalStage {
	return &lockboxv1.InternalStage{Group: group, Count: count}
}

func TestInternalApproversAreToldStageByStage(t *testing.T) {
	given := func(stage uint32) *lockboxv1.Event_InternalApprovalGiven {
		return &lockboxv1.Event_InternalApprovalGiven{InternalApprovalGiven: &lockboxv1.InternalApprovalGiven{Stage: stage}}
	}
	lead := employee("lea", "Lea Novak", "Northwind Cloud")
	nadia, orla := inGroup(nadia, "devops-managers"), inGroup(orla, "devops-managers")
	lead = inGroup(lead, "customer-support-leads")
	hasty := stage("customer-support-leads", 1)
	hasty.AnswerWithin = durationpb.New(time.Hour)
	s := tell(t).requested().evaluated(customerDecides, stage("devops-managers", 2), hasty).
		told("internal-approval-requested: devops/en oncall/en")
	if d := s.data("devops"); d.Group != "devops-managers" || d.Required != 2 ||
		!d.RespondBy.Equal(start.Add(24*time.Hour)) {
		t.Errorf("%+v", d)
	}
	remind := func(stage, index uint32) *lockboxv1.Event_InternalReminderDue {
		return &lockboxv1.Event_InternalReminderDue{InternalReminderDue: &lockboxv1.InternalReminderDue{Stage: stage,
			Index: index}}
	}
	s.then(nadia, given(0)).told().
		at(start.Add(20*time.Hour)).then(clock, remind(0, 0)).told("internal-approval-reminder: devops/en oncall/en").
		then(orla, given(0)).told("internal-approval-requested: leads/en")
	if d := s.data("leads"); d.Group != "customer-support-leads" || !d.RespondBy.Equal(s.Now.Add(time.Hour)) {
		t.Errorf("the stage's own time is not said: %+v", d)
	}
	s.
		then(lead, given(1)).told().
		asked().told("approval-requested: otto/en fleur/fr", "approval-requested-alternate: security/fr audit/ja",
		"customer-asked: erin/en")
}

func inGroup(a *lockboxv1.Actor, groups ...string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: a.GetSide(), Person: a.GetPerson(), Employer: a.GetEmployer(), Groups: groups}
}

func TestWhatEndsBeforeTheCustomerIsAskedStaysAtTheProvider(t *testing.T) {
	internal := func(t *testing.T) *telling {
		return tell(t).requested().evaluated(customerDecides, stage("devops-managers", 1), stage("customer-support-leads", 1))
	}
	t.Run("refused by evaluation", func(t *testing.T) {
		s := tell(t).requested().evaluated(lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED).told(
			"request-refused: erin/en")
		if s.data("erin").Text != "multi-factor authentication is needed" {
			t.Errorf("%+v", s.data("erin"))
		}
	})
	t.Run("refused internally", func(t *testing.T) {
		internal(t).then(inGroup(nadia, "devops-managers"),
			&lockboxv1.Event_InternalApprovalRefused{
				InternalApprovalRefused: &lockboxv1.InternalApprovalRefused{Reason: "No."}}).
			told("internally-refused: erin/en devops/en oncall/en")
	})
	t.Run("expired internally", func(t *testing.T) {
		internal(t).at(start.Add(24*time.Hour)).then(clock,
			&lockboxv1.Event_InternalApprovalExpired{InternalApprovalExpired: &lockboxv1.InternalApprovalExpired{}}).
			told("internal-expired: erin/en devops/en oncall/en")
	})
	t.Run("withdrawn", func(t *testing.T) {
		internal(t).then(erin, &lockboxv1.Event_RequestWithdrawn{RequestWithdrawn: &lockboxv1.RequestWithdrawn{}}).
			told("request-withdrawn: erin/en devops/en oncall/en")
	})
	t.Run("withdrawn at once", func(t *testing.T) {
		tell(t).requested().then(erin,
			&lockboxv1.Event_RequestWithdrawn{RequestWithdrawn: &lockboxv1.RequestWithdrawn{}}).told(
			"request-withdrawn: erin/en")
	})
}

func TestAWaivedGrantIsToldToTheRequesterOnly(t *testing.T) {
	s := tell(t).requested().evaluated(lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED).told().
		granted().told("access-granted: erin/en")
	if s.data("erin").Waiver != lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA {
		t.Error("the waiver is not said")
	}
	s.at(s.data("erin").Ends).then(clock,
		&lockboxv1.Event_AccessCompleted{AccessCompleted: &lockboxv1.AccessCompleted{}}).told("access-completed: erin/en")
}

// control: nist:SA-9, iso:5.22
func TestR43TheCustomerLearnsOfAnEmergencyAsItBeginsAndEnds(t *testing.T) {
	rosa, olga := inGroup(erin, "support-engineers", "emergency-responders"), inGroup(orla, "security-officers")
	hurried := func(t *testing.T, sub string) *telling {
		owner := role("otto-owner", otto, lockboxv1.Role_ROLE_OWNER)
		s := tell(t).tenant(grace,
			&lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{Settings: &lockboxv1.TenantSettings{
				DefaultLanguage: "fr", RequiredApprovals: 1,
				Alternates: []*lockboxv1.AlternateAddress{{Email: "audit@meadowbank.example", Language: "ja"},
					{Email: "OTTO@meadowbank.example"}},
			}}}).
			subscription(orla, &lockboxv1.Event_SubscriptionRegistered{
				SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{DisplayName: "Payments"}}).
			subscription(grace, assigned(owner))
		resource := "/tenants/meadowbank/y"
		if sub != "" {
			resource = "/subscriptions/" + sub + "/y"
		}
		s.then(rosa, &lockboxv1.Event_AccessRequested{
			AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{
				Id: requestID, Tenant: "meadowbank", SubscriptionId: sub, ResourceType: "compute/virtual-machines",
				Scenario: "memory-dump", ResourceIds: []string{resource}, Emergency: true,
				ReasonType:    lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT,
				Justification: "Payments are down.",
			}}}).told()
		return s.then(clock, &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED, Waiver: lockboxv1.Waiver_WAIVER_EMERGENCY,
			Duration: durationpb.New(time.Hour), Facts: &lockboxv1.EvaluationFacts{Emergency: true, CustomerData: true},
			InternalStages:    []*lockboxv1.InternalStage{stage("security-officers", 1)},
			InternalExpiresAt: timestamppb.New(start.Add(24 * time.Hour)),
		}}).told("internal-approval-requested: officers/en").
			then(olga, &lockboxv1.Event_InternalApprovalGiven{InternalApprovalGiven: &lockboxv1.InternalApprovalGiven{}}).told()
	}
	s := hurried(t, "pay-prod").granted().told("access-granted: erin/en", "emergency-access: otto/en grace/fr audit/ja")
	if d := s.data("otto"); !d.Emergency || d.Waiver != lockboxv1.Waiver_WAIVER_EMERGENCY || len(d.Approvals) != 1 ||
		d.Approvals[0].By != "Orla Byrne" || d.Ends.Sub(d.Starts) != time.Hour {
		t.Errorf("%+v", d)
	}
	s.at(s.data("otto").Ends).then(clock,
		&lockboxv1.Event_AccessCompleted{AccessCompleted: &lockboxv1.AccessCompleted{}}).told(
		"access-completed: erin/en otto/en grace/fr audit/ja")
	hurried(t, "pay-prod").granted().then(otto,
		&lockboxv1.Event_AccessRevoked{AccessRevoked: &lockboxv1.AccessRevoked{Reason: "No."}}).told(
		"access-revoked: erin/en otto/en grace/fr audit/ja")
	hurried(t, "pay-prod").granted().then(rosa,
		&lockboxv1.Event_AccessReleased{AccessReleased: &lockboxv1.AccessReleased{}}).told(
		"access-released: erin/en otto/en grace/fr audit/ja")
	// Of the tenant itself, its administrators; and of what never began, nobody at the customer.
	hurried(t, "").granted().told("access-granted: erin/en", "emergency-access: grace/fr audit/ja OTTO/fr")
	hurried(t, "pay-prod").then(clock,
		&lockboxv1.Event_AccessLapsed{AccessLapsed: &lockboxv1.AccessLapsed{Reason: "x"}}).told("access-lapsed: erin/en")
}

// control: nist:SA-9, iso:5.23
func TestR46TheCustomerIsToldOfADisclosureOnceTheTimeHasCome(t *testing.T) {
	olga := inGroup(orla, "security-officers")
	what := &lockboxv1.Occurrence{
		What: "A capture", HappenedAt: timestamppb.New(start), ResourceIds: []string{"/x"}, Description: "Health checks.",
		Reason: "A faulty line card.",
	}
	begun := func(t *testing.T) *telling {
		return tell(t).tenant(grace,
			&lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{Settings: &lockboxv1.TenantSettings{
				DefaultLanguage: "fr", RequiredApprovals: 1,
				Alternates: []*lockboxv1.AlternateAddress{{Email: "audit@meadowbank.example", Language: "ja"}},
			}}})
	}
	told := &lockboxv1.Event_DisclosureTold{DisclosureTold: &lockboxv1.DisclosureTold{}}
	s := begun(t).disclosure(olga,
		&lockboxv1.Event_ExposureDisclosed{ExposureDisclosed: &lockboxv1.ExposureDisclosed{Occurrence: what}}).told().
		disclosure(clock, told).told("exposure-disclosed: grace/fr audit/ja")
	if d := s.data("grace"); d.What != "A capture" || d.Text != "A faulty line card." || d.Description == "" ||
		d.By != "Orla Byrne" || d.DisclosureID == "" || len(d.Resources) != 1 || !d.HappenedAt.Equal(start) {
		t.Errorf("%+v", d)
	}
	end := start.Add(90 * 24 * time.Hour)
	s = begun(t).disclosure(olga,
		&lockboxv1.Event_LegalDemandDisclosed{LegalDemandDisclosed: &lockboxv1.LegalDemandDisclosed{
			Occurrence: what, Authority: "A court", Reference: "12/34", EmbargoUntil: timestamppb.New(end),
		}}).told().at(end).disclosure(clock, told).told("legal-demand-disclosed: grace/fr audit/ja")
	if d := s.data("grace"); d.Authority != "A court" || d.Reference != "12/34" || !d.At.Equal(end) {
		t.Errorf("%+v", d)
	}
}

// control: iso:5.22
func TestAllAdministratorsHearOfEveryChangeToTheirTenant(t *testing.T) {
	graceAndOtto := "grace/fr otto/en"
	s := tell(t).told("tenant-created: grace/fr").
		tenant(grace, assigned(role("otto-ga", otto,
			lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR))).told("role-assigned: "+graceAndOtto).
		tenant(grace, assigned(role("fleur-approver", fleur,
			lockboxv1.Role_ROLE_LOCKBOX_APPROVER))).told("role-assigned: "+graceAndOtto).
		tenant(grace, &lockboxv1.Event_LockboxEnabled{LockboxEnabled: &lockboxv1.LockboxEnabled{}}).told(
		"lockbox-enabled: "+graceAndOtto).
		tenant(otto, &lockboxv1.Event_PreviewSignedUp{PreviewSignedUp: &lockboxv1.PreviewSignedUp{ResourceType: "x"}}).told(
		"preview-signed-up: "+graceAndOtto).
		tenant(otto, &lockboxv1.Event_PreviewSignedOff{
			PreviewSignedOff: &lockboxv1.PreviewSignedOff{ResourceType: "x"}}).told("preview-signed-off: "+graceAndOtto).
		tenant(orla, planned(lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD,
			lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER)).told("plan-changed: "+graceAndOtto).
		tenant(orla, planned(lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER,
			lockboxv1.SupportPlan_SUPPORT_PLAN_BASIC)).told("plan-lowered: " + graceAndOtto)
	s.tenant(grace, &lockboxv1.Event_SettingsChanged{
		SettingsChanged: &lockboxv1.SettingsChanged{Settings: &lockboxv1.TenantSettings{
			DefaultLanguage: "ja", RequiredApprovals: 2,
			Alternates: []*lockboxv1.AlternateAddress{{Email: "mallory@elsewhere.example"}},
		}}}).told("settings-changed: grace/ja otto/en")
	if d := s.data("otto"); d.SettingsWere.GetRequiredApprovals() != 1 || d.Settings.GetRequiredApprovals() != 2 {
		t.Errorf("the settings before and after: %+v", d)
	}
	s.tenant(otto, &lockboxv1.Event_LockboxDisabled{LockboxDisabled: &lockboxv1.LockboxDisabled{Reason: "Test."}}).told(
		"lockbox-disabled: grace/ja otto/en")
	if s.data("grace").Text != "Test." {
		t.Error("the reason is not said")
	}
	s.tenant(otto, removed("grace-ga")).told("role-removed: grace/ja otto/en")
	if d := s.data("grace"); d.Person != "Grace Hall" || d.Role != lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR ||
		d.By != "Otto Brandt" {
		t.Errorf("the one who was removed hears %+v", d)
	}
	s.tenant(otto, removed("fleur-approver")).told("role-removed: otto/en", "role-lost: fleur/fr")
}

func assigned(a *lockboxv1.RoleAssignment) *lockboxv1.Event_RoleAssigned {
	return &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{Assignment: a}}
}

func removed(id string) *lockboxv1.Event_RoleRemoved {
	return &lockboxv1.Event_RoleRemoved{RoleRemoved: &lockboxv1.RoleRemoved{AssignmentId: id}}
}

func planned(from, to lockboxv1.SupportPlan) *lockboxv1.Event_SupportPlanChanged {
	return &lockboxv1.Event_SupportPlanChanged{SupportPlanChanged: &lockboxv1.SupportPlanChanged{From: from, To: to}}
}

func TestAnAdministratorWhoIsOnlyEligibleHearsItToo(t *testing.T) {
	eligible := role("kenji-ga", kenji, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
	eligible.EligibleOnly = true
	brief := role("fleur-ga", fleur, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
	brief.ExpiresAt = timestamppb.New(start.Add(time.Hour))
	s := tell(t).
		tenant(grace, assigned(eligible)).told("role-assigned: grace/fr kenji/ja").
		tenant(grace, assigned(brief)).told("role-assigned: grace/fr kenji/ja fleur/fr").
		tenant(kenji, &lockboxv1.Event_RoleActivated{RoleActivated: &lockboxv1.RoleActivated{AssignmentId: "kenji-ga",
			Until: timestamppb.New(start.Add(8 * time.Hour))}}).
		told("role-activated: grace/fr kenji/ja fleur/fr")
	if d := s.data("grace"); !d.Until.Equal(start.Add(8*time.Hour)) || d.Person != "Kenji Sato" {
		t.Errorf("%+v", d)
	}
	s.tenant(kenji, &lockboxv1.Event_RoleDeactivated{RoleDeactivated: &lockboxv1.RoleDeactivated{
		AssignmentId: "kenji-ga"}}).told("role-deactivated: grace/fr kenji/ja fleur/fr").
		at(start.Add(time.Hour)).tenant(grace, removed("kenji-ga")).told("role-removed: grace/fr kenji/ja")
}

func TestAChangeToASubscriptionIsToldToTheTenantsAdministrators(t *testing.T) {
	owner := role("otto-owner", otto, lockboxv1.Role_ROLE_OWNER)
	s := tell(t).
		subscription(orla, &lockboxv1.Event_SubscriptionRegistered{SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{
			DisplayName: "Payments"}}).told("subscription-registered: grace/fr").
		subscription(grace, assigned(owner)).told("role-assigned: grace/fr").
		subscription(grace, removed("otto-owner")).told("role-removed: grace/fr", "role-lost: otto/en")
	if d := s.data("grace"); d.Person != "Otto Brandt" || d.Role != lockboxv1.Role_ROLE_OWNER ||
		d.Subscription != "Payments (pay-prod)" {
		t.Errorf("%+v", d)
	}
}

func TestAnEventThatCannotBeTrueIsTellingNobodyAnything(t *testing.T) {
	s := waiting(t)
	forged := s.event(ofRequest, clock, &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{}})
	in := plan.Input{Event: forged, Request: request.Evolve(s.States.Request(ofRequest), 99, forged),
		Tenant: s.States.Tenant(ofTenant.ID)}
	if told := plan.Plan(in, settings); in.Fault() == nil || len(told) > 0 {
		t.Errorf("a grant without an approval is told: %v", told)
	}
}

func TestAFaultyTenantDoesNotSilenceItsRequests(t *testing.T) {
	s := waiting(t)
	s.States[ofTenant].Folded().Fail(99, "forged")
	s.then(fleur, &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "No."}}).told(
		"request-denied: " + everyone)
}

func TestOneMailToASharedMailbox(t *testing.T) {
	team := &lockboxv1.Person{Issuer: bank, Subject: "team", DisplayName: "Team", Email: "OTTO@meadowbank.example"}
	waiting(t, func(n *lockboxv1.CustomerNotified) {
		n.Approvers = append(n.Approvers, &lockboxv1.Approver{Person: team})
	}).told("approval-requested: otto/en fleur/fr", "approval-requested-alternate: security/fr audit/ja",
		"customer-asked: erin/en")
}

func TestAnIdTellsEventTemplateAndRecipientApart(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{
		plan.ID("a", "b", "c"), plan.ID("a", "b", "d"), plan.ID("a", "x", "c"), plan.ID("x", "b", "c"),
		plan.ID("ab", "", "c"), plan.ID("", "ab", "c"),
	} {
		if parsed, err := uuid.Parse(id); err != nil || parsed.Version() != 5 || seen[id] {
			t.Errorf("%s: %v", id, err)
		}
		seen[id] = true
	}
	if plan.ID("a", "b", "Otto@Example.org") != plan.ID("a", "b", "otto@example.org") {
		t.Error("two spellings of one address are two recipients")
	}
}

func TestTheLanguageIsThePersonsOwnElseTheTenantsElseTheProviders(t *testing.T) {
	foreign := customer("ines", "Inês Costa", "pt-BR")
	regional := customer("rene", "René Roy", "fr-CA")
	waiting(t, func(n *lockboxv1.CustomerNotified) {
		n.Approvers = []*lockboxv1.Approver{{Person: kenji.GetPerson()}, {Person: foreign.GetPerson()},
			{Person: regional.GetPerson()}}
		n.Alternates = nil
	}).told("approval-requested: kenji/ja ines/fr rene/fr", "customer-asked: erin/en")
}

func TestAnAlarmGoesToEverySecurityOfficer(t *testing.T) {
	found := &lockboxv1.DifferenceFound{Where: "stream", Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP,
		FirstSequence: 4, LastSequence: 6, Count: 3, Subjects: []string{"lockbox.event.x"}}
	in := plan.Input{Event: &lockboxv1.Event{Id: "e", Tenant: "_", Kind: "alarm",
		Fact: &lockboxv1.Event_DifferenceFound{DifferenceFound: found}}}
	s := plan.Settings{DefaultLanguage: "fr",
		Groups: map[string][]string{aggregate.SecurityOfficers: {"one@nimbus.example", "two@nimbus.example"},
			aggregate.SupportLeads: {"lead@nimbus.example"}}}
	told := plan.Plan(in, s)
	if len(told) != 2 || told[0].Recipient != "one@nimbus.example" || told[1].Recipient != "two@nimbus.example" {
		t.Fatalf("told: %v", told)
	}
	for _, n := range told {
		if n.Template != plan.IntegrityAlarm || n.Language != "fr" || n.Standing != plan.SecurityOfficer ||
			!strings.Contains(n.Data.What, "ALERTE") || !slices.Equal(n.Data.Resources, found.GetSubjects()) {
			t.Errorf("%+v", n)
		}
	}
}

// Who of the customer's people decided is named to the provider's engineers as the customer wishes.
func TestWhoDecidedIsNamedAsTheCustomerWishes(t *testing.T) {
	for shown, want := range map[lockboxv1.DecidersShown]string{
		lockboxv1.DecidersShown_DECIDERS_SHOWN_UNSPECIFIED:  "Otto Brandt",
		lockboxv1.DecidersShown_DECIDERS_SHOWN_NAME:         "Otto Brandt",
		lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION: "Meadow Bank",
	} {
		s := waiting(t)
		settings := s.States.Tenant(ofTenant.ID).Settings
		settings.DecidersShown = shown
		s.tenant(grace, &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{Settings: settings}}).
			approved(otto).granted()
		if a := s.data("erin").Approvals; len(a) != 1 || a[0].By != want {
			t.Errorf("%s: the engineer reads of %v", shown, a)
		}
		if a := s.data("fleur").Approvals; len(a) != 1 || a[0].By != "Otto Brandt" {
			t.Errorf("%s: an approver reads of %v", shown, a)
		}
		s.then(otto, &lockboxv1.Event_AccessRevoked{AccessRevoked: &lockboxv1.AccessRevoked{Reason: "No."}})
		if s.data("erin").By != want || s.data("fleur").By != "Otto Brandt" {
			t.Errorf("%s: revoked by %s, and by %s", shown, s.data("erin").By, s.data("fleur").By)
		}
	}
}
