package plan_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/terms"
	"github.com/openlockbox/lockbox/pkg/keychain"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

var (
	ofKeys     = aggregate.Keys(ofTenant.ID)
	ottosKey   = approvaltest.New("otto", approvaltest.ES256)
	gracesKey  = approvaltest.New("grace", approvaltest.Ed25519)
	fleursKey  = approvaltest.New("fleur", approvaltest.Ed25519)
	offlineKey = approvaltest.New("offline", approvaltest.Ed25519)
)

// keyed is a customer in which Grace and Otto have keys, who both administer it.
type keyed struct {
	*telling
	genesis  []byte
	previous [32]byte
	number   uint64
}

func enrolment(who *lockboxv1.Actor, k *approvaltest.Key, role string) approval.Enrolment {
	return approval.Enrolment{Key: k.Key, Role: role,
		Person: approval.Person{Account: keychain.AccountOf(who.GetPerson())}}
}

func (s *telling) offers(who *lockboxv1.Actor, k *approvaltest.Key, role, label string) *telling {
	s.Helper()
	b, err := enrolment(who, k, role).Bytes()
	if err != nil {
		s.Fatal(err)
	}
	return s.happens(ofKeys, who, &lockboxv1.Event_KeyOffered{
		KeyOffered: &lockboxv1.KeyOffered{Enrolment: b, Label: label}})
}

func signed(format string, statement []byte, by ...*approvaltest.Key) *lockboxv1.SignedStatement {
	return keychain.ToProto(approvaltest.Signed(format, statement, by...))
}

// begun tells how the keys began.
func begun(t *testing.T) *keyed {
	t.Helper()
	s := tell(t)
	s.tenant(grace, assigned(role("otto-ga", otto, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)))
	s.offers(otto, ottosKey, approval.Administrator, "blue key").told("key-offered: grace/fr otto/en")
	s.offers(grace, gracesKey, approval.Administrator, "laptop")
	genesis, err := approval.Genesis{
		Format: approval.FormatGenesis, Origin: "log", Tenant: ofTenant.ID,
		Administrators: []approval.Enrolment{enrolment(otto, ottosKey, approval.Administrator),
			enrolment(grace, gracesKey, approval.Administrator)},
		Recovery: offlineKey.Key, Threshold: 2, Demand: approval.DemandNone, DelaySeconds: 3600, RecoverySeconds: 7200,
		Witnesses: approvaltest.Witnesses, Quorum: 2, IssuedAt: approval.TimeText(start), Nonce: approvaltest.Hash("g"),
	}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return &keyed{s, genesis, approval.Digest(approval.FormatGenesis, genesis), 1}
}

func (k *keyed) began() *keyed {
	k.Helper()
	k.happens(ofKeys, otto, &lockboxv1.Event_KeyChainBegan{KeyChainBegan: &lockboxv1.KeyChainBegan{
		Genesis: signed(approval.FormatGenesis, k.genesis, ottosKey, gracesKey, offlineKey)}})
	return k
}

// change is the next statement about keys.
func (k *keyed) change(c approval.KeyChange) []byte {
	k.Helper()
	genesis := approval.Digest(approval.FormatGenesis, k.genesis)
	c.Format, c.Origin, c.Tenant = approval.FormatKeys, "log", ofTenant.ID
	c.Genesis, c.Previous, c.Number = hex.EncodeToString(genesis[:]), hex.EncodeToString(k.previous[:]), k.number+1
	c.IssuedAt, c.Nonce = approval.TimeText(k.Now), approvaltest.Hash("n")
	if c.Keys == nil {
		c.Keys = []approval.Enrolment{}
	}
	if c.Recovery == nil {
		c.Recovery = []approval.Key{}
	}
	statement, err := c.Bytes()
	if err != nil {
		k.Fatal(err)
	}
	return statement
}

func (k *keyed) changes(by *lockboxv1.Actor, statement []byte, keys ...*approvaltest.Key) {
	k.Helper()
	k.happens(ofKeys, by, &lockboxv1.Event_KeyChainChanged{KeyChainChanged: &lockboxv1.KeyChainChanged{
		Change: signed(approval.FormatKeys, statement, keys...)}})
	k.previous, k.number = approval.Digest(approval.FormatKeys, statement), k.number+1
}

// R42: administrators hear of whatever happens to keys, of a statement that waits for signatures once, and when it took
// effect; each time with the fingerprint, and from when it counts.
func TestR42AdministratorsHearOfKeys(t *testing.T) {
	k := begun(t)
	words := approval.Text(approval.Digest(approval.FormatGenesis, k.genesis), approval.FingerprintWords)
	draft := func(by *lockboxv1.Actor, keys ...*approvaltest.Key) {
		k.happens(ofKeys, by, &lockboxv1.Event_KeyChangeOffered{KeyChangeOffered: &lockboxv1.KeyChangeOffered{
			Change: signed(approval.FormatGenesis, k.genesis, keys...)}})
	}
	draft(grace, gracesKey)
	k.told("key-change-offered: grace/fr otto/en")
	if d := k.data("otto"); d.By != "Grace Hall" || d.Keys.Fingerprint != words || d.Keys.Change != "" ||
		len(d.Keys.Keys) != 2 || d.Keys.Keys[0].Label != "blue key" || d.Keys.Keys[0].Holder != "Otto Brandt" {
		t.Errorf("the genesis waits: %+v", d.Keys)
	}
	draft(otto, gracesKey, ottosKey)
	k.told() // they know that it waits

	k.began().told("key-chain-began: grace/fr otto/en")
	if d := k.data("grace"); d.Keys.Fingerprint != words || d.Keys.Demand != approval.DemandNone ||
		!k.last[0].Urgent(k.Now) {
		t.Errorf("the keys begin: %+v", d.Keys)
	}

	k.offers(fleur, fleursKey, approval.Approver, "Fleur’s").told("key-offered: grace/fr otto/en fleur/fr")
	add := k.change(approval.KeyChange{Change: approval.AddKey,
		Keys: []approval.Enrolment{enrolment(fleur, fleursKey, approval.Approver)}})
	k.changes(otto, add, ottosKey, gracesKey, fleursKey)
	k.told("key-chain-changed: grace/fr otto/en fleur/fr")
	if d := k.data("fleur"); d.Keys.Change != approval.AddKey || !d.Keys.From.Equal(k.Now.Add(time.Hour)) ||
		d.Keys.Fingerprint != words || d.Keys.Words == "" || d.Keys.Keys[0].Label != "Fleur’s" || !d.Keys.Keys[0].SSH {
		t.Errorf("a key is added: %+v", d.Keys)
	}
	k.changes(grace, k.change(approval.KeyChange{Change: approval.RemoveKey, Remove: fleursKey.ID()}), gracesKey)
	k.told("key-chain-changed: grace/fr otto/en fleur/fr")
	if d := k.data("grace"); !d.Keys.From.IsZero() || d.Keys.Keys[0].Holder != "Fleur Martin" {
		t.Errorf("a key is removed: %+v", d.Keys)
	}
	k.changes(grace, k.change(approval.KeyChange{Change: approval.SetDemand, Demand: approval.DemandSignatures}),
		gracesKey)
	if d := k.data("grace"); !d.Keys.From.IsZero() || d.Keys.Less || d.Keys.Demand != approval.DemandSignatures {
		t.Errorf("more is demanded: %+v", d.Keys)
	}
	k.changes(grace, k.change(approval.KeyChange{Change: approval.SetDemand, Demand: approval.DemandNone}),
		ottosKey, gracesKey)
	if d := k.data("grace"); !d.Keys.From.Equal(k.Now.Add(time.Hour)) || !d.Keys.Less {
		t.Errorf("less is demanded: %+v", d.Keys)
	}
	k.happens(ofKeys, &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "audit-projector"},
		&lockboxv1.Event_KeysSighted{KeysSighted: &lockboxv1.KeysSighted{}}).told()
}

// R42: what was refused for want of a signature is told to administrators.
func TestR42AdministratorsHearOfRefusedSignatures(t *testing.T) {
	s := tell(t)
	e := &lockboxv1.Event{Tenant: ofTenant.ID, Kind: aggregate.KindAttempt, AggregateId: "signatures", Actor: fleur,
		Fact: &lockboxv1.Event_SignatureRefused{SignatureRefused: &lockboxv1.SignatureRefused{Kind: aggregate.KindRequest,
			About: requestID, Verb: "approve"}}}
	s.last = plan.Plan(plan.Input{Event: e, Tenant: s.States.Tenant(ofTenant.ID)}, settings)
	s.told("signature-refused: grace/fr")
	if d := s.data("grace"); d.By != "Fleur Martin" || d.RequestID != requestID || d.Refused.GetVerb() != "approve" {
		t.Errorf("%+v", d)
	}
}

// decides has Otto approve the story's request with a signature over exactly its events, changed before it is signed.
func (k *keyed) decides(change func(*approval.Decision)) *plan.Signing {
	k.Helper()
	exact := k.exact()
	var stored [][]byte
	for _, e := range exact {
		stored = append(stored, e.Data)
	}
	about, err := terms.Of(stored)
	if err != nil {
		k.Fatal(err)
	}
	genesis := approval.Digest(approval.FormatGenesis, k.genesis)
	d := approval.Decision{Head: approval.Head{Format: approval.FormatDecision, Origin: "log",
		Genesis: hex.EncodeToString(genesis[:]), Tenant: ofTenant.ID, By: keychain.AccountOf(otto.GetPerson()),
		Key: ottosKey.ID(), Language: "en", Text: approval.TextHash("Approve?"), IssuedAt: approval.TimeText(k.Now),
		Nonce: approvaltest.Hash("d")},
		Decision: approval.Approve, Request: about.Request, Subscription: about.Subscription,
		ResourceType: about.ResourceType, Scenario: about.Scenario, Engineer: about.Engineer, Events: about.Events,
		Resources: []string{"/subscriptions/pay-prod/vm-1"}, Seconds: 4 * 3600, AnswerBy: about.AnswerBy,
		Approvals: about.Approvals}
	change(&d)
	statement, err := d.Bytes()
	if err != nil {
		k.Fatal(err)
	}
	e := k.event(ofRequest, otto, &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
		Duration: durationpb.New(4 * time.Hour), ResourceIds: []string{"/subscriptions/pay-prod/vm-1"}}})
	e.Signed = signed(approval.FormatDecision, statement, ottosKey)
	k.Record(e)
	k.plan(e)
	return k.data("fleur").Signing
}

// exact are the story's events about its request, as they are stored.
func (k *keyed) exact() (all []keychain.Exact) {
	for _, e := range k.Entries {
		if aggregate.KeyOf(e.Event) == ofRequest {
			data, err := proto.Marshal(e.Event)
			if err != nil {
				k.Fatal(err)
			}
			all = append(all, keychain.Exact{Sequence: e.Seq, Version: e.Event.GetVersion(),
				Type: aggregate.TypeOf(e.Event), Data: data})
		}
	}
	return all
}

// plan plans the mails about an event of the request.
func (k *keyed) plan(e *lockboxv1.Event) {
	k.last = plan.Plan(plan.Input{Event: e, Request: k.States.Request(ofRequest), Basis: k.basis,
		Tenant: k.States.Tenant(ofTenant.ID), Subscription: k.States.Subscription(ofSubscription.Tenant, ofSubscription.ID),
		Keys: k.States.Keys(ofTenant.ID), Exact: k.exact()}, settings)
}

// R42: the mail about a decision says with which key it was signed, by the words that its signer saw; that it was not;
// or that its signature does not hold. Of customers who have no keys it says nothing.
func TestR42ADecisionIsToldWithItsSignature(t *testing.T) {
	waits := func() *keyed {
		k := begun(t).began()
		k.requested().evaluated(customerDecides).asked(two)
		return k
	}
	same := func(*approval.Decision) {}
	k := waits()
	s := k.decides(same)
	if s == nil || s.Words == "" || s.Broken || s.Key.Label != "blue key" || s.Key.SSH {
		t.Errorf("signed: %+v", s)
	}
	e := k.event(ofRequest, fleur, &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
		Duration: durationpb.New(4 * time.Hour), ResourceIds: []string{"/subscriptions/pay-prod/vm-1"}}})
	k.Record(e)
	k.granted()
	k.plan(k.Entries[len(k.Entries)-1].Event)
	a := k.data("otto").Approvals
	if len(a) != 2 || a[0].Signing == nil || a[0].Signing.Words != s.Words || a[1].Signing == nil ||
		a[1].Signing.Words != "" || a[1].Signing.Broken {
		t.Errorf("granted: %+v", a)
	}
	if erins := k.data("erin").Approvals; erins[0].Signing.Words != s.Words {
		t.Errorf("the requester reads %+v", erins)
	}

	for what, change := range map[string]func(*approval.Decision){
		"another request": func(d *approval.Decision) { d.Request = "01975a2c-7b3c-7e4a-9d8e-0123456789ff" },
		"other terms":     func(d *approval.Decision) { d.Events[1].SHA256 = approvaltest.Hash("other") },
		"less time":       func(d *approval.Decision) { d.Seconds = 3600 },
	} {
		if s := waits().decides(change); s == nil || !s.Broken || s.Words != "" {
			t.Errorf("%s: %+v", what, s)
		}
	}

	plain := waiting(t, two).approved(otto)
	if s := plain.data("fleur").Signing; s != nil {
		t.Errorf("a customer without keys reads %+v", s)
	}
}
