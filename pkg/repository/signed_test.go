package repository_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// signedStory is a customer with two administrators, Anna with a passkey and Otto with a security key of SSH, and Carl,
// who has no key yet. All three own the subscription.
type signedStory struct {
	*story.Story
	t                *testing.T
	anna, otto, carl story.Keyholder
	erin             *lockboxv1.Actor
}

const customer, production = "contoso", "sub-1"

var monday = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func tellSigned(t *testing.T, demand approval.Demand) *signedStory {
	s := &signedStory{Story: story.New(monday), t: t,
		anna: story.Keyholder{By: story.Customer(customer, "anna"), Key: at.New("anna", at.ES256)},
		otto: story.Keyholder{By: story.Customer(customer, "otto"), Key: at.New("otto", at.SKEd25519)},
		carl: story.Keyholder{By: story.Customer(customer, "carl"), Key: at.New("carl", at.EdDSA)},
		erin: story.Provider("erin", aggregate.SupportEngineers)}
	s.Create(customer, "Contoso", nil, s.anna.By)
	s.Subscription(customer, production, "Production")
	s.Assign(s.anna.By, customer, "", "a", s.otto.By, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, false)
	for i, h := range []story.Keyholder{s.anna, s.otto, s.carl} {
		s.Assign(s.anna.By, customer, production, string(rune('b'+i)), h.By, lockboxv1.Role_ROLE_OWNER, false)
	}
	if demand != "" {
		s.Genesis(customer, demand, s.anna, s.otto)
	}
	return s
}

// asked is a request that the customer was asked about.
func (s *signedStory) asked() string {
	s.t.Helper()
	id := s.Submit(s.erin, story.Disk(customer, production, "vm-1", "vm-2"))
	s.Command(story.Provider("dora", aggregate.DevOpsManagers), story.InternalApprove(customer, id))
	s.is(id, request.CustomerNotified)
	return id
}

func (s *signedStory) is(id string, want request.Status) {
	s.t.Helper()
	if got := s.States.Request(aggregate.Request(customer, id)).Status; got != want {
		s.t.Fatalf("the request is %v, not %v", got, want)
	}
}

func (s *signedStory) refused(by *lockboxv1.Actor, c *lockboxv1.Command, kind string, rule approval.Rule) {
	s.t.Helper()
	err := s.Try(by, c)
	r, is := refusal.As(err)
	if !is || kindOf(r) != kind || rule != "" && keychain.RuleIn(r) != string(rule) {
		s.t.Errorf("%v; want a refusal of %s, %s", err, kind, rule)
	}
	if kind == "signature" && !keychain.Attempt(r) {
		s.t.Errorf("%v is no attempt", r)
	}
}

func kindOf(r *lockboxv1.Refusal) string {
	for _, p := range r.GetCodedReason().GetParameters() {
		if p.GetName() == refusal.Kind {
			return p.GetValue()
		}
	}
	return ""
}

// holds checks every invariant over what is stored.
func (s *signedStory) holds() (broken []invariant.Violation) {
	var history []invariant.Recorded
	for _, e := range s.Entries {
		history = append(history, invariant.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event, Bytes: e.Data})
	}
	return slices.DeleteFunc(invariant.Check(history), func(v invariant.Violation) bool { return v.Invariant != "I23" })
}

func (s *signedStory) hold() {
	s.t.Helper()
	if broken := s.holds(); len(broken) > 0 {
		s.t.Errorf("%v", broken)
	}
}

// control: iso:5.15, soc2:CC6.1
func TestWhereSignaturesAreDemandedNothingElseApproves(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	id := s.asked()
	s.refused(s.otto.By, story.Approve(customer, id), "unsigned", "")
	s.refused(s.carl.By, story.Approve(customer, id), "unsigned-no-key", "")
	s.is(id, request.CustomerNotified)
	s.Command(s.otto.By, s.Sign(s.otto, story.Approve(customer, id)))
	s.is(id, request.Active)
	s.hold()
}

func TestASignedApprovalCountsForNothingElse(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	id, other := s.asked(), s.asked()
	signed := func(to string) *lockboxv1.Command { return s.Sign(s.otto, story.Approve(customer, to)) }

	moved := story.Approve(customer, other)
	moved.Signed = signed(id).Signed
	s.refused(s.otto.By, moved, "signature", approval.RuleOther)

	longer := story.Approve(customer, id)
	longer.Signed = s.Sign(s.otto, story.Within(story.Approve(customer, id), time.Hour)).Signed
	s.refused(s.otto.By, longer, "signature", approval.RuleOther)

	fewer := story.Approve(customer, id)
	fewer.GetApprove().ResourceIds = s.States.Request(aggregate.Request(customer, id)).Intent.GetResourceIds()[:1]
	fewer.Signed = signed(id).Signed
	s.refused(s.otto.By, fewer, "signature", approval.RuleOther)

	s.refused(s.anna.By, signed(id), "signature", approval.RuleOther) // Otto's signature, sent by Anna

	denial := story.Deny(customer, id)
	denial.Signed = signed(id).Signed
	s.refused(s.otto.By, denial, "signature", approval.RuleOther)

	written := story.Approve(customer, id)
	written.GetApprove().Reason = "Go ahead."
	written = s.Sign(s.otto, written)
	written.GetApprove().Reason = "Go ahead, for ever."
	s.refused(s.otto.By, written, "signature", approval.RuleOther)

	early := signed(id)
	s.At(s.Now.Add(11 * time.Minute))
	s.refused(s.otto.By, early, "signature", approval.RuleLate)

	seen := signed(id)
	s.Command(s.carl.By, &lockboxv1.Command{Tenant: customer, AggregateId: id, Action: &lockboxv1.Command_Ask{
		Ask: &lockboxv1.Ask{Text: "What for?"}}})
	s.refused(s.otto.By, seen, "signature", approval.RuleOther)

	s.is(id, request.CustomerNotified)
	s.Command(s.otto.By, signed(id))
	s.is(id, request.Active)
	s.hold()
}

// Whoever has the orchestrator's key stores an approval, as an event that the fold takes for true.
//
// control: iso:8.15, soc2:CC7.2
func TestAForgedApprovalBeginsNoAccess(t *testing.T) {
	forged := map[string]func(s *signedStory, id string, e *lockboxv1.Event){
		"unsigned": func(_ *signedStory, _ string, e *lockboxv1.Event) { e.Signed = nil },
		"with a signature for something else": func(s *signedStory, _ string, e *lockboxv1.Event) {
			e.Signed = s.Sign(s.otto, story.Approve(customer, s.asked())).Signed
		},
		"with a key of the forger's": func(s *signedStory, _ string, e *lockboxv1.Event) {
			mallory := story.Keyholder{By: s.otto.By, Key: at.New("mallory", at.ES256)}
			e.Signed = s.Sign(mallory, story.Approve(customer, e.GetAggregateId())).Signed
		},
		"for longer": func(s *signedStory, id string, e *lockboxv1.Event) {
			e.Signed = s.Sign(s.otto, story.Within(story.Approve(customer, id), time.Minute)).Signed
		},
	}
	for name, forge := range forged {
		t.Run(name, func(t *testing.T) {
			s := tellSigned(t, approval.DemandSignatures)
			id := s.asked()
			e, err := s.Decide(s.otto.By, s.ID(), s.Sign(s.otto, story.Approve(customer, id)))
			if err != nil {
				t.Fatal(err)
			}
			forge(s, id, e)
			s.Record(e)
			s.is(id, request.Approved)
			s.Owed(aggregate.Request(customer, id))
			s.is(id, request.Lapsed)
			last := s.Entries[len(s.Entries)-1].Event
			if c := last.GetAccessLapsed().GetCodedReason().GetCode(); c !=
				lockboxv1.ReasonCode_REASON_CODE_APPROVAL_NOT_SIGNED {
				t.Errorf("lapsed because of %v", c)
			}
			if broken := s.holds(); len(broken) != 1 {
				t.Errorf("the oracle finds %v", broken)
			}
		})
	}
}

func TestRevokingNeedsNoSignatureAndAKeyAloneIsEnough(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	id := s.asked()
	s.Command(s.otto.By, s.Sign(s.otto, story.Approve(customer, id)))
	revoke := &lockboxv1.Command{Tenant: customer, AggregateId: id, Action: &lockboxv1.Command_Revoke{
		Revoke: &lockboxv1.Revoke{Reason: "Enough."}}}
	signed := s.Sign(s.anna, revoke)
	holder, err := s.States.Keys(customer).Holder(signed.GetSigned(), 7)
	if err != nil || holder.Account != keychain.AccountOf(s.anna.By.GetPerson()) {
		t.Errorf("%v, %v", holder, err)
	}
	s.Command(keychain.OfKey(holder), signed)
	s.is(id, request.Revoked)
	s.hold()
}

// A key that is added counts only once witnesses vouch that its delay is over, whatever the events' times say.
func TestANewKeyWaitsForItsDelayByTheWitnessesTime(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	if err := s.Offer(s.carl, customer, approval.Approver); err != nil {
		t.Fatal(err)
	}
	statement := s.ChangeOf(customer, approval.KeyChange{Change: approval.AddKey,
		Keys: []approval.Enrolment{s.carl.Enrolment(approval.Approver)}})
	for i, h := range []story.Keyholder{s.carl, s.anna, s.otto} {
		if err := s.SignKeys(h.By, customer, approval.FormatKeys, statement, h.Key); err != nil {
			t.Fatal(err)
		}
		if k := s.States.Keys(customer); (len(k.Chain.Keys()) == 3) != (i == 2) || (len(k.Open) == 1) != (i < 2) {
			t.Fatalf("after %d signatures: %d keys, %d open", i+1, len(k.Chain.Keys()), len(k.Open))
		}
	}
	id := s.asked()
	refused := func() {
		t.Helper()
		s.refused(s.carl.By, s.Sign(s.carl, story.Approve(customer, id)), "signature", approval.RuleStranger)
	}
	refused()
	s.Sighted(customer)
	s.At(s.Now.Add(story.KeyDelay - time.Minute))
	s.Sighted(customer)
	refused()
	s.At(s.Now.Add(2 * time.Minute))
	refused() // time alone is nothing
	s.Sighted(customer, "alpha")
	refused() // nor is one witness of the three
	s.Sighted(customer, "alpha", "gamma")
	s.Command(s.carl.By, s.Sign(s.carl, story.Approve(customer, id)))
	s.is(id, request.Active)
	s.hold()
}

func TestOneSignatureRemovesAKeyAtOnce(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	id := s.asked()
	statement := s.ChangeOf(customer, approval.KeyChange{Change: approval.RemoveKey, Remove: s.otto.Key.ID()})
	if err := s.SignKeys(s.anna.By, customer, approval.FormatKeys, statement, s.anna.Key); err != nil {
		t.Fatal(err)
	}
	s.refused(s.otto.By, s.Sign(s.otto, story.Approve(customer, id)), "signature", approval.RuleStranger)
	s.Command(s.anna.By, s.Sign(s.anna, story.Approve(customer, id)))
	s.is(id, request.Active)
	s.hold()
}

func TestADemandForTheCommandLineIsNotMetByAPage(t *testing.T) {
	s := tellSigned(t, approval.DemandCommandLine)
	id := s.asked()
	s.Command(s.anna.By, s.Sign(s.anna, story.Approve(customer, id)))
	s.is(id, request.Lapsed)
	id = s.asked()
	s.Command(s.otto.By, s.Sign(s.otto, story.Approve(customer, id)))
	s.is(id, request.Active)
	s.hold()
}

// A statement about keys that does not hold, stored with the orchestrator's key, stops every approval: what was left
// out could be a removal. To deny and to revoke it stops nobody.
func TestAForgedChangeOfKeysStopsEveryApproval(t *testing.T) {
	s := tellSigned(t, approval.DemandSignatures)
	id := s.asked()
	mallory := at.New("mallory", at.ES256)
	statement := s.ChangeOf(customer, approval.KeyChange{Change: approval.AddKey, Keys: []approval.Enrolment{
		story.Keyholder{By: s.otto.By, Key: mallory}.Enrolment(approval.Administrator)}})
	about := aggregate.Keys(customer)
	e := &lockboxv1.Event{Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID,
		Version: s.States.Keys(customer).Version + 1, Actor: s.otto.By, CausationId: s.ID(), Id: s.ID(),
		Fact: &lockboxv1.Event_KeyChainChanged{KeyChainChanged: &lockboxv1.KeyChainChanged{Change: keychain.ToProto(
			at.Signed(approval.FormatKeys, statement, mallory))}}}
	c := s.Sign(s.otto, story.Approve(customer, id))
	s.Write(e)
	s.States.Add(s.Entries[len(s.Entries)-1].Seq, e)
	if err := s.Try(s.otto.By, c); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
		t.Errorf("%v", err)
	}
	s.Command(s.otto.By, story.Deny(customer, id)) // to say no nothing stops anybody
	s.is(id, request.Denied)
	if broken := s.holds(); len(broken) == 0 {
		t.Error("the oracle finds nothing")
	}
}
