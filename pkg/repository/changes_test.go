package repository_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	ona       = story.Provider("ona", aggregate.Onboarding)
	ofTenant  = aggregate.Tenant(customer)
	ofProduct = aggregate.Subscription(customer, production)
)

func disable() *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: "We try it without."}}}
}

func enable() *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_EnableLockbox{
		EnableLockbox: &lockboxv1.EnableLockbox{}}}
}

func preview(joins bool) *lockboxv1.Command {
	if joins {
		return &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_SignUpPreview{
			SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: "compute/disks"}}}
	}
	return &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_SignOffPreview{
		SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: "compute/disks"}}}
}

func approvals(n uint32, alternates ...string) *lockboxv1.Command {
	s := &lockboxv1.TenantSettings{DefaultLanguage: "en", RequiredApprovals: n}
	for _, a := range alternates {
		s.Alternates = append(s.Alternates, &lockboxv1.AlternateAddress{Email: a})
	}
	return &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: s}}}
}

func owner(id string, who *lockboxv1.Actor) *lockboxv1.Command {
	c := story.Assign(id, who, lockboxv1.Role_ROLE_OWNER, lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION)
	c.Tenant, c.AggregateId = customer, production
	return c
}

func remove(of aggregate.Key, id string) *lockboxv1.Command {
	c := &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: id}}}
	if of.Kind == aggregate.KindSubscription {
		c.AggregateId = of.ID
	}
	return c
}

func invite(id string) *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_InviteRole{InviteRole: &lockboxv1.InviteRole{
		Invitation: &lockboxv1.RoleInvitation{Id: id, Role: lockboxv1.Role_ROLE_AUDITOR, Note: "Dora",
			Scope:      lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
			SecretHash: make([]byte, 32)}}}}
}

func signIn(route lockboxv1.SignInRoute, of *lockboxv1.Person) *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_ProposeSignInChange{
		ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: route, Change: &lockboxv1.SignInChange{
			Administrators: []*lockboxv1.Person{of}, Reason: "We move."}}}}
}

func transfer(from, to string) *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: to, AggregateId: production, Action: &lockboxv1.Command_TransferSubscription{
		TransferSubscription: &lockboxv1.TransferSubscription{From: from, DisplayName: "Production", Reason: "It was sold."}}}
}

// Each of these is refused without a signature, of whoever sends it, and taken with one of an administrator's key.
//
// control: iso:5.15, soc2:CC6.1
func TestWhatCouldGetAroundADemandHasToBeSigned(t *testing.T) {
	type row struct {
		of      aggregate.Key
		command func(*signedStory) *lockboxv1.Command
	}
	plainly := func(c *lockboxv1.Command) func(*signedStory) *lockboxv1.Command {
		return func(*signedStory) *lockboxv1.Command { return c }
	}
	for name, r := range map[string]row{
		"switching Lockbox off": {ofTenant, plainly(disable())},
		"leaving a preview":     {ofTenant, plainly(preview(false))},
		"asking fewer people":   {ofTenant, plainly(approvals(1))},
		"telling somebody else": {ofTenant, plainly(approvals(2, "eve@evil.example"))},
		"removing a role":       {ofProduct, plainly(remove(ofProduct, "b"))},
		"removing an admin":     {ofTenant, plainly(remove(ofTenant, "a"))},
		"inviting somebody":     {ofTenant, plainly(invite("new"))},
		"another sign-in": {ofTenant, func(s *signedStory) *lockboxv1.Command {
			return signIn(lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER, s.carl.By.GetPerson())
		}},
		"assigning a role there": {ofProduct, plainly(owner("new", story.Customer(customer, "dora")))},
	} {
		t.Run(name, func(t *testing.T) {
			s := tellSigned(t, "")
			s.Assign(s.anna.By, customer, "", "z", s.carl.By, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, false)
			s.Command(s.anna.By, preview(true))
			s.Command(s.anna.By, approvals(2))
			s.Genesis(customer, approval.DemandSignatures, s.anna, s.otto)
			c := func() *lockboxv1.Command { return proto.CloneOf(r.command(s)) }
			s.refused(s.anna.By, c(), "unsigned", "")
			s.refused(s.carl.By, c(), "unsigned-no-key", "")
			s.refused(s.otto.By, s.SignChange(s.anna, r.of, c()), "signature", approval.RuleOther)
			signed := s.SignChange(s.anna, r.of, c())
			s.Command(s.anna.By, signed)
			if last := s.Entries[len(s.Entries)-1].Event; last.GetSigned() == nil {
				t.Errorf("%s is not signed", aggregate.TypeOf(last))
			}
			s.hold()
		})
	}
}

// What asks for more, or gives up one's own, never waits for a key.
func TestWhatAsksForMoreIsNotSigned(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	s.Command(s.anna.By, preview(true))
	s.Command(s.anna.By, approvals(2))
	s.Command(s.otto.By, s.SignChange(s.otto, ofTenant, disable()))
	s.Command(s.anna.By, enable())
	s.hold()
}

func TestASignedChangeCountsForNothingElse(t *testing.T) {
	for name, row := range map[string]struct {
		with func(*signedStory, *lockboxv1.Command) *lockboxv1.Command
		rule approval.Rule
	}{
		"other content": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			other := disable()
			other.GetDisableLockbox().Reason = "Something else."
			c.Signed = s.SignChange(s.anna, ofTenant, other).Signed
			return c
		}, approval.RuleOther},
		"another kind of change": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			c.Signed = s.SignChange(s.anna, ofTenant, approvals(3)).Signed
			return c
		}, approval.RuleOther},
		"of a subscription": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			return s.SignChange(s.anna, ofProduct, c)
		}, approval.RuleOther},
		"before something else happened": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			c = s.SignChange(s.anna, ofTenant, c)
			s.Command(s.anna.By, approvals(4))
			return c
		}, approval.RuleFollows},
		"too long ago": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			c = s.SignChange(s.anna, ofTenant, c)
			s.At(s.Now.Add(11 * time.Minute))
			return c
		}, approval.RuleLate},
		"without the salt": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			c = s.SignChange(s.anna, ofTenant, c)
			c.Signed.CommentSalt = ""
			return c
		}, approval.RuleValue},
		"with a key that nobody enrolled": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			return s.SignChange(story.Keyholder{By: s.anna.By, Key: at.New("mallory", at.ES256)}, ofTenant, c)
		}, approval.RuleStranger},
		"a decision": {func(s *signedStory, c *lockboxv1.Command) *lockboxv1.Command {
			c.Signed = s.Sign(s.anna, story.Approve(customer, s.asked())).Signed
			return c
		}, approval.RuleForm},
	} {
		t.Run(name, func(t *testing.T) {
			s := tellSigned(t, approval.DemandSignatures)
			s.refused(s.anna.By, row.with(s, disable()), "signature", row.rule)
			if !s.States.Tenant(customer).Enabled {
				t.Error("Lockbox is off")
			}
		})
	}
}

// A page can lie: where the command line is demanded, it changes nothing either.
func TestADemandForTheCommandLineIsAlsoOfChanges(t *testing.T) {
	s := tellSigned(t, approval.DemandCommandLine)
	s.refused(s.anna.By, s.SignChange(s.anna, ofTenant, disable()), "signature", approval.RuleDemand)
	s.Command(s.otto.By, s.SignChange(s.otto, ofTenant, disable()))
	s.hold()
}

// An approver decides, and changes nothing about who is asked.
func TestAnApproversKeySignsNoChange(t *testing.T) {
	s := tellSigned(t, "")
	s.Assign(s.anna.By, customer, "", "z", s.carl.By, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, false)
	s.Genesis(customer, approval.DemandSignatures, s.anna, s.otto)
	if err := s.Offer(s.carl, customer, approval.Approver); err != nil {
		t.Fatal(err)
	}
	statement := s.ChangeOf(customer, approval.KeyChange{Change: approval.AddKey,
		Keys: []approval.Enrolment{s.carl.Enrolment(approval.Approver)}})
	if err := s.SignKeys(s.anna.By, customer, approval.FormatKeys, statement, s.carl.Key, s.anna.Key,
		s.otto.Key); err != nil {
		t.Fatal(err)
	}
	s.Sighted(customer)
	s.At(s.Now.Add(story.KeyDelay + time.Minute))
	s.Sighted(customer)
	s.refused(s.carl.By, s.SignChange(s.carl, ofTenant, disable()), "signature", approval.RuleAuthority)
	s.refused(s.carl.By, disable(), "unsigned-no-key", "")
}

// The provider's people cannot do for a customer what the customer would have to sign.
func TestTheProviderCannotGetAroundADemand(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	s.Create("fabrikam", "Fabrikam", nil, story.Customer("fabrikam", "fay"))
	s.Command(s.anna.By, &lockboxv1.Command{Tenant: customer,
		Action: &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}})
	s.refused(ona, signIn(lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY, s.carl.By.GetPerson()), "unsigned-provider", "")
	s.refused(ona, transfer(customer, "fabrikam"), "unsigned-provider", "")
	// What is the provider's, or asks for more, stays so.
	s.Command(ona, &lockboxv1.Command{Tenant: customer, Action: &lockboxv1.Command_ChangeSupportPlan{
		ChangeSupportPlan: &lockboxv1.ChangeSupportPlan{Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD}}})
	s.Subscription(customer, "sub-2", "Test")
	s.hold()
}

// Whoever gives a subscription up signs that, and it is good once.
func TestATransferIsSignedByWhoGivesTheSubscriptionUp(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	s.Create("fabrikam", "Fabrikam", nil, story.Customer("fabrikam", "fay"))
	s.Create("tailspin", "Tailspin", nil, story.Customer("tailspin", "tess"))
	away := s.SignChange(s.anna, ofProduct, transfer(customer, "fabrikam"))
	elsewhere := transfer(customer, "tailspin")
	elsewhere.Signed = away.Signed
	s.refused(ona, elsewhere, "signature", approval.RuleOther)
	s.At(s.Now.Add(71 * time.Hour))
	s.Command(ona, away)
	if o := s.States.Ownership(production); !o.Of("fabrikam") {
		t.Errorf("it is of %v", o.Owner)
	}
	s.Command(ona, transfer("fabrikam", customer)) // who has no keys
	again := transfer(customer, "fabrikam")
	again.Signed = away.Signed
	s.refused(ona, again, "signature", approval.RuleFollows)
	s.hold()
}

// forge stores an event with the orchestrator's key, as the fold takes it for true.
func (s *signedStory) forge(of aggregate.Key, by *lockboxv1.Actor, e *lockboxv1.Event) {
	s.t.Helper()
	e.Tenant, e.Kind, e.AggregateId = of.Tenant, of.Kind, of.ID
	e.Version, e.Actor, e.CausationId = s.States[of].Folded().Version+1, by, s.ID()
	s.Record(e)
}

func (s *signedStory) lapsed(id string, want lockboxv1.ReasonCode) {
	s.t.Helper()
	s.is(id, request.Lapsed)
	last := s.Entries[len(s.Entries)-1].Event
	if got := last.GetAccessLapsed().GetCodedReason().GetCode(); got != want {
		s.t.Errorf("lapsed because of %v, not %v", got, want)
	}
}

func switchedOff() *lockboxv1.Event {
	return &lockboxv1.Event{Fact: &lockboxv1.Event_LockboxDisabled{
		LockboxDisabled: &lockboxv1.LockboxDisabled{Reason: "We try it without."}}}
}

// Whoever has the orchestrator's key stores that the customer switched Lockbox off: they are asked as before, and an
// evaluation that says otherwise begins no access.
//
// control: iso:8.15, soc2:CC7.2
func TestAForgedSwitchWaivesNothing(t *testing.T) {
	for name, forge := range map[string]func(s *signedStory, e *lockboxv1.Event){
		"unsigned": func(*signedStory, *lockboxv1.Event) {},
		"with a signature of earlier": func(s *signedStory, e *lockboxv1.Event) {
			c := s.SignChange(s.anna, ofTenant, disable())
			s.Command(s.anna.By, c)
			s.Command(s.anna.By, enable())
			e.Signed = c.Signed
		},
		"with a key of the forger's": func(s *signedStory, e *lockboxv1.Event) {
			mallory := story.Keyholder{By: s.anna.By, Key: at.New("mallory", at.ES256)}
			e.Signed = s.SignChange(mallory, ofTenant, disable()).Signed
		},
		"signed for something else": func(s *signedStory, e *lockboxv1.Event) {
			e.Signed = s.SignChange(s.anna, ofTenant, approvals(1)).Signed
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := tellSigned(t, approval.DemandSignatures)
			e := switchedOff()
			forge(s, e)
			s.forge(ofTenant, s.anna.By, e)
			if s.States.Tenant(customer).Enabled {
				t.Fatal("the fold believes it")
			}
			s.asked()
			if broken := s.holds(); len(broken) != 1 {
				t.Errorf("the oracle finds %v", broken)
			}
			// An evaluation that waives the approval takes the evaluator's key as well.
			id := s.waived()
			s.lapsed(id, lockboxv1.ReasonCode_REASON_CODE_CHANGE_NOT_SIGNED)
			s.Command(s.anna.By, enable())
			s.asked()
		})
	}
}

// waived is a request whose evaluation says that Lockbox is off.
func (s *signedStory) waived() string {
	s.t.Helper()
	in := story.Disk(customer, production, "vm-1")
	in.Id = s.ID()
	about := aggregate.Request(customer, in.GetId())
	e, err := s.Submitted(s.erin, in)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Record(e)
	v := &lockboxv1.AccessEvaluated{Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED,
		Waiver: lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED, Duration: durationpb.New(time.Hour),
		Facts: &lockboxv1.EvaluationFacts{CustomerData: true, Time: timestamppb.New(s.Now)}}
	e, _, err = request.RecordEvaluation(s.States.Request(about), v, story.System("jit-evaluator"), s.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Record(e)
	s.Owed(about)
	return about.ID
}

// What the customer switched off with a signature, or before they demanded any, is off.
func TestWhatTheCustomerSwitchedOffIsOff(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	s.Command(s.anna.By, s.SignChange(s.anna, ofTenant, disable()))
	s.is(s.waived(), request.Active)

	s = tellSigned(t, "")
	s.Command(s.anna.By, disable())
	s.Genesis(customer, approval.DemandSignatures, s.anna, s.otto)
	s.is(s.waived(), request.Active)
	s.hold()
}

// Leaving a preview is believed in the same way.
func TestAForgedLeavingOfAPreviewIsNotBelieved(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	s.Command(s.anna.By, preview(true))
	keys := func() bool { return s.States.Keys(customer).SignedUp(s.States.Tenant(customer), "compute/disks") }
	s.forge(ofTenant, s.anna.By, &lockboxv1.Event{Fact: &lockboxv1.Event_PreviewSignedOff{
		PreviewSignedOff: &lockboxv1.PreviewSignedOff{ResourceType: "compute/disks"}}})
	if s.States.Tenant(customer).SignedUp("compute/disks") || !keys() {
		t.Error("an unsigned event is believed")
	}
	s.Command(s.anna.By, preview(true))
	s.Command(s.anna.By, s.SignChange(s.anna, ofTenant, preview(false)))
	if keys() {
		t.Error("a signed one is not")
	}
}

// One approver who is in with the provider is not enough because the orchestrator's key says so.
func TestAForgedNumberOfApprovalsIsNotEnough(t *testing.T) {
	s := tellSigned(t, "")
	s.Command(s.anna.By, approvals(2))
	s.Genesis(customer, approval.DemandSignatures, s.anna, s.otto)
	s.forge(ofTenant, s.anna.By, &lockboxv1.Event{Fact: &lockboxv1.Event_SettingsChanged{
		SettingsChanged: &lockboxv1.SettingsChanged{Settings: approvals(1).GetChangeSettings().GetSettings()}}})
	id := s.asked()
	s.Command(s.otto.By, s.Sign(s.otto, story.Approve(customer, id)))
	s.lapsed(id, lockboxv1.ReasonCode_REASON_CODE_APPROVAL_NOT_SIGNED)
	// The customer means it: one is enough.
	s.Command(s.anna.By, approvals(2))
	s.Command(s.anna.By, s.SignChange(s.anna, ofTenant, approvals(1)))
	id = s.asked()
	s.Command(s.otto.By, s.Sign(s.otto, story.Approve(customer, id)))
	s.is(id, request.Active)
	s.hold()
}

// Whoever is given a role with the orchestrator's key has no key of the customer's.
func TestAForgedRoleApprovesNothing(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	mole := story.Customer(customer, "mole")
	s.forge(ofProduct, s.anna.By, &lockboxv1.Event{Fact: &lockboxv1.Event_RoleAssigned{
		RoleAssigned: &lockboxv1.RoleAssigned{Assignment: owner("mole", mole).GetAssignRole().GetAssignment()}}})
	id := s.asked()
	s.refused(mole, story.Approve(customer, id), "unsigned-no-key", "")
	holder := story.Keyholder{By: mole, Key: at.New("mole", at.ES256)}
	s.refused(mole, s.Sign(holder, story.Approve(customer, id)), "signature", approval.RuleStranger)
	s.forge(aggregate.Request(customer, id), mole, &lockboxv1.Event{CorrelationId: id,
		Fact: &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
			Duration:             s.States.Request(aggregate.Request(customer, id)).Evaluation.GetDuration(),
			ResourceIds:          s.States.Request(aggregate.Request(customer, id)).Intent.GetResourceIds(),
			TenantSequence:       s.States.Tenant(customer).Sequence,
			SubscriptionSequence: s.States.Subscription(customer, production).Sequence}}})
	s.Owed(aggregate.Request(customer, id))
	s.lapsed(id, lockboxv1.ReasonCode_REASON_CODE_APPROVAL_NOT_SIGNED)
	if broken := s.holds(); len(broken) != 2 {
		t.Errorf("the oracle finds %v", broken)
	}
}

// A subscription that was taken from a customer without their signature is nobody's until they have it back: another
// customer, who approves everything, does not decide about it.
func TestAForgedTransferGivesNobodyTheSubscription(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	fay := story.Customer("fabrikam", "fay")
	s.Create("fabrikam", "Fabrikam", nil, fay)
	about := aggregate.Ownership(production)
	s.forge(about, ona, &lockboxv1.Event{Fact: &lockboxv1.Event_OwnershipTransferred{
		OwnershipTransferred: &lockboxv1.OwnershipTransferred{From: customer, Reason: "It was sold.",
			Owner: &lockboxv1.OwnedSubscription{Tenant: "fabrikam", SubscriptionId: production, DisplayName: "Production"}}}})
	s.Owed(about)
	s.Assign(fay, "fabrikam", production, "x", fay, lockboxv1.Role_ROLE_OWNER, false)
	asked := func() string {
		id := s.Submit(s.erin, story.Disk("fabrikam", production, "vm-1"))
		_ = s.Try(story.Provider("dora", aggregate.DevOpsManagers), story.InternalApprove("fabrikam", id))
		_ = s.Try(fay, story.Approve("fabrikam", id))
		return id
	}
	if got := s.States.Request(aggregate.Request("fabrikam", asked())).Status; got != request.Refused {
		t.Errorf("access to a subscription that was stolen: %v", got)
	}
	// It goes back, which nobody has to sign, and then away as its customer wants.
	s.Command(ona, transfer("fabrikam", customer))
	id := s.asked()
	s.Command(s.otto.By, s.Sign(s.otto, story.Approve(customer, id)))
	s.is(id, request.Active)
	s.Command(ona, s.SignChange(s.otto, ofProduct, transfer(customer, "fabrikam")))
	s.Assign(fay, "fabrikam", production, "y", fay, lockboxv1.Role_ROLE_OWNER, false)
	if got := s.States.Request(aggregate.Request("fabrikam", asked())).Status; got != request.Active {
		t.Errorf("a subscription that was given: %v", got)
	}
}

// Whoever has lost the customer's sign-in proposes another with an administrator's key.
func TestAnAdministratorsKeyAloneProposesASignIn(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	c := s.SignChange(s.anna, ofTenant, signIn(lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER, s.carl.By.GetPerson()))
	holder, err := s.States.Keys(customer).HolderOfChange(c.GetSigned())
	if err != nil || holder.Account != keychain.AccountOf(s.anna.By.GetPerson()) {
		t.Fatalf("%v, %v", holder, err)
	}
	by := keychain.OfKey(holder)
	s.Command(by, c)
	if s.States.Tenant(customer).Change == nil {
		t.Error("nothing is proposed")
	}
	s.hold()
}
