package answer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/keychain/keychaintest"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func getKeys(tenant string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}}
}

func getSigning(tenant string, about *lockboxv1.GetSigning) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GetSigning{GetSigning: about}}
}

func signingOf(id string) *lockboxv1.GetSigning {
	return &lockboxv1.GetSigning{About: &lockboxv1.GetSigning_RequestId{RequestId: id}}
}

// fresh is a persona who has just signed in.
func (c *cast) fresh(name string) *lockboxv1.Actor {
	by := c.actor(name)
	by.AuthenticatedAt = timestamppb.New(c.story.Now)
	return by
}

func (c *cast) holder(name, algorithm string) story.Keyholder {
	return story.Keyholder{By: c.fresh(name), Key: approvaltest.New(name, algorithm)}
}

// genesis begins the bank's chain with the keys of Grace and Otto.
func (c *cast) genesis() (grace, otto *approvaltest.Key) {
	g, o := c.holder("grace", approvaltest.ES256), c.holder("otto", approvaltest.SKEd25519)
	c.story.Genesis(bank, approval.DemandSignatures, g, o)
	return g.Key, o.Key
}

// R42: the customer's people and security officers see whose keys count; whoever else asks learns nothing.
func TestR42WhoSeesKeysAndWhatTheySay(t *testing.T) {
	c := newCast(t)
	c.assign("otto", tenantRole, globalAdmin, false)
	c.assign("audrey", tenantRole, auditor, false)
	before := c.query("grace", getKeys(bank)).GetKeys()
	if before.GetFingerprint() != nil || before.GetDemand() != "" || len(before.GetKeys()) != 0 ||
		before.GetOrigin() != keychaintest.Origin || before.GetLogKeys() != "log.example+key" || before.GetQuorum() != 1 ||
		len(before.GetWitnesses()) != 1 {
		t.Errorf("before there are keys: %v", before)
	}
	grace, otto := c.genesis()
	must(t, c.story.Offer(c.holder("audrey", approvaltest.ES256), bank, approval.Approver))
	for _, who := range []string{"grace", "otto", "audrey"} {
		v := c.query(who, getKeys(bank)).GetKeys()
		words := strings.Fields(v.GetFingerprintWords())
		if len(v.GetFingerprint()) != 32 || len(words) != approval.FingerprintWords || v.GetDemand() != "signatures" ||
			v.GetDemandWaiting() != "" || v.GetFault() != "" || v.GetVersion() != 6 || len(v.GetOffered()) != 0 {
			t.Errorf("%s sees %v", who, v)
		}
		var keys []string
		for _, k := range v.GetKeys() {
			keys = append(keys, strings.Join([]string{hex.EncodeToString(k.GetKeyId()), k.GetKind(), k.GetRole(),
				k.GetPerson().GetDisplayName(), k.GetLabel(), k.GetStanding().String()}, " "))
			if k.GetSince().AsTime().IsZero() || k.GetRemovedAt() != nil || k.GetCountsFrom() != nil {
				t.Errorf("%v", k)
			}
		}
		audrey := v.GetKeys()[3]
		want := []string{
			grace.ID() + " webauthn administrator Grace Green Key of grace KEY_STANDING_COUNTS",
			otto.ID() + " ssh administrator Otto Owens Key of otto KEY_STANDING_COUNTS",
			story.Recovery().ID() + " ssh recovery   KEY_STANDING_COUNTS",
			hex.EncodeToString(audrey.GetKeyId()) + " webauthn approver Audrey Abbott Key of audrey KEY_STANDING_OFFERED",
		}
		if !slices.Equal(keys, want) {
			t.Errorf("%s sees\n%s", who, strings.Join(keys, "\n"))
		}
		if e, err := approval.ParseEnrolment(audrey.GetEnrolment()); err != nil || e.Role != approval.Approver {
			t.Errorf("%v, %v", e, err)
		}
		// Whoever does not believe it folds the events.
		if len(v.GetEvents()) != 1 || v.GetEvents()[0].GetType() != "KeyChainBegan" || v.GetEvents()[0].GetVersion() != 5 {
			t.Fatalf("%v", v.GetEvents())
		}
		var e lockboxv1.Event
		must(t, proto.Unmarshal(v.GetEvents()[0].GetStored(), &e))
		chain, err := approval.Fold([]approval.Stored{{Sequence: v.GetEvents()[0].GetSequence(),
			Signed: keychain.FromProto(e.GetKeyChainBegan().GetGenesis())}}, nil)
		must(t, err)
		if fingerprint := chain.Fingerprint(); !bytes.Equal(fingerprint[:], v.GetFingerprint()) {
			t.Error("the events have another fingerprint")
		}
	}
	if v := c.query("olga", getKeys(bank)).GetKeys(); len(v.GetKeys()) != 4 {
		t.Errorf("a security officer sees %v", v)
	}
	for who, of := range map[string]string{"erin": bank, "lena": bank, "hana": bank, "olga": "", "onboarding": bank} {
		if r := c.query(who, getKeys(of)).GetRefusal(); r.GetCode() != notFound {
			t.Errorf("%s: %v", who, r)
		}
	}
}

// A key that two administrators added waits until witnesses say that its delay is over; a demand that is to be less
// waits likewise, and a statement that not everybody signed is shown with who began it.
func TestR42WhatWaitsIsShownToWait(t *testing.T) {
	c := newCast(t)
	c.assign("otto", tenantRole, globalAdmin, false)
	c.assign("audrey", tenantRole, auditor, false)
	grace, otto := c.genesis()
	audrey := c.holder("audrey", approvaltest.ES256)
	must(t, c.story.Offer(audrey, bank, approval.Approver))
	sign := func(by string, text []byte, keys ...*approvaltest.Key) {
		must(t, c.story.SignKeys(c.fresh(by), bank, approval.FormatKeys, text, keys...))
	}
	text := c.story.ChangeOf(bank, approval.KeyChange{Change: approval.AddKey,
		Keys: []approval.Enrolment{audrey.Enrolment(approval.Approver)}})
	sign("audrey", text, audrey.Key)
	offered := c.query("audrey", getKeys(bank)).GetKeys().GetOffered()
	if len(offered) != 1 || !bytes.Equal(offered[0].GetChange().GetStatement(), text) ||
		offered[0].GetBy().GetPerson().GetSubject() != "audrey" || len(offered[0].GetChange().GetSignatures()) != 1 ||
		offered[0].GetVersion() != 7 {
		t.Errorf("%v", offered)
	}
	sign("otto", text, otto, grace)
	sign("otto", c.story.ChangeOf(bank, approval.KeyChange{Change: approval.SetDemand, Demand: approval.DemandNone}),
		otto, grace)
	v := c.query("audrey", getKeys(bank)).GetKeys()
	if k := v.GetKeys()[2]; k.GetStanding() != lockboxv1.KeyStanding_KEY_STANDING_WAITING ||
		k.GetPerson().GetSubject() != "audrey" || len(v.GetOffered()) != 0 || v.GetDemand() != "signatures" ||
		v.GetDemandWaiting() != "none" {
		t.Errorf("%v", v)
	}
	if keys := c.query("audrey", getSigning(bank, &lockboxv1.GetSigning{
		About: &lockboxv1.GetSigning_TenantItself{TenantItself: true}})).GetSigning(); len(keys.GetKeys()) != 0 {
		t.Errorf("a key that waits is offered to sign with: %v", keys)
	}
}

// R42: whoever decides is given the exact bytes that their statement rests on, as of the leader, and their own keys.
func TestR42WhatIsSignedRestsOnTheExactBytes(t *testing.T) {
	c := newCast(t)
	c.assign("otto", tenantRole, globalAdmin, false)
	c.assign("audrey", tenantRole, auditor, false)
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	none := c.query("otto", getSigning(bank, signingOf(id))).GetSigning()
	if none.GetGenesis() != nil || none.GetDemand() != "none" || len(none.GetEvents()) == 0 || len(none.GetKeys()) != 0 {
		t.Errorf("without keys: %v", none)
	}
	_, otto := c.genesis()
	v := c.query("otto", getSigning(bank, signingOf(id))).GetSigning()
	entries, err := leader{c}.LoadAtLeader(t.Context(), aggregate.Request(bank, id))
	must(t, err)
	if len(v.GetEvents()) != len(entries) || v.GetTenant() != bank || v.GetOrigin() != keychaintest.Origin ||
		v.GetDemand() != "signatures" || len(v.GetKeys()) != 1 || hex.EncodeToString(v.GetKeys()[0].GetKeyId()) != otto.ID() {
		t.Fatalf("%v", v)
	}
	for i, e := range v.GetEvents() {
		sum := sha256.Sum256(entries[i].Data)
		counted := e.GetType() == "AccessEvaluated"
		if e.GetVersion() != uint64(i+1) || !bytes.Equal(e.GetSha256(), sum[:]) || counted != (len(e.GetStored()) == 0) ||
			!counted && !bytes.Equal(e.GetStored(), entries[i].Data) {
			t.Errorf("event %d: %v", i, e)
		}
	}
	by := keychain.AccountOf(c.actor("otto").GetPerson())
	choice := keychain.Choice{Verb: approval.Approve, By: by, Key: otto.ID(), Now: c.story.Now, Language: "en"}
	words := func(approval.Decision) string { return "words" }
	if _, err := keychain.Compose(v, choice, words); approval.RuleOf(err) != approval.RuleValue {
		t.Errorf("how long was asked for is withheld, and yet: %v", err)
	}
	choice.Duration = time.Hour
	d, err := keychain.Compose(v, choice, words)
	must(t, err)
	text, err := d.Bytes()
	must(t, err)
	var exact []keychain.Exact
	for _, e := range entries {
		exact = append(exact, keychain.Exact{Sequence: e.Seq, Version: e.Event.GetVersion(),
			Type: aggregate.TypeOf(e.Event), Data: e.Data})
	}
	given := keychain.Given{Signed: keychain.ToProto(approvaltest.Signed(approval.FormatDecision, text, otto)),
		Verb: approval.Approve, By: c.actor("otto").GetPerson(), Version: uint64(len(exact)) + 1,
		Resources: d.Resources, Duration: time.Duration(d.Seconds) * time.Second}
	if _, err := c.story.States.Keys(bank).Decides(given, exact); err != nil {
		t.Errorf("what was made of it does not count: %v", err)
	}
}

// Of the tenant and of subscriptions only the last event is needed, and its bytes are for those who may see it.
func TestR42SettingsRestOnTheLastEvent(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	ask := func(who string, about *lockboxv1.GetSigning) *lockboxv1.QueryReply {
		return c.query(who, getSigning(bank, about))
	}
	tenant := &lockboxv1.GetSigning{About: &lockboxv1.GetSigning_TenantItself{TenantItself: true}}
	of := func(sub string) *lockboxv1.GetSigning {
		return &lockboxv1.GetSigning{About: &lockboxv1.GetSigning_SubscriptionId{SubscriptionId: sub}}
	}
	for _, row := range []struct {
		who   string
		about *lockboxv1.GetSigning
		key   aggregate.Key
		whole bool
	}{
		{"grace", tenant, aggregate.Tenant(bank), true}, {"otto", tenant, aggregate.Tenant(bank), false},
		{"grace", of("PROD"), aggregate.Subscription(bank, "prod"), true},
		{"otto", of("prod"), aggregate.Subscription(bank, "prod"), true},
	} {
		want, err := leader{c}.Latest(t.Context(), row.key)
		must(t, err)
		sum := sha256.Sum256(want.Data)
		got := ask(row.who, row.about).GetSigning().GetEvents()
		if len(got) != 1 || !bytes.Equal(got[0].GetSha256(), sum[:]) || got[0].GetVersion() != want.Event.GetVersion() ||
			row.whole != bytes.Equal(got[0].GetStored(), want.Data) || !row.whole && len(got[0].GetStored()) != 0 {
			t.Errorf("%s: %v", row.who, got)
		}
	}
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "test", "a"))
	for who, about := range map[string]*lockboxv1.GetSigning{"otto": of("test"), "hana": tenant, "olga": tenant,
		"erin": signingOf(id), "audrey": tenant} {
		if r := ask(who, about).GetRefusal(); r.GetCode() != notFound {
			t.Errorf("%s: %v", who, r)
		}
	}
	if r := ask("otto", signingOf(id)).GetRefusal(); r.GetCode() != notFound {
		t.Errorf("of another subscription's request: %v", r)
	}
	if r := ask("grace", &lockboxv1.GetSigning{}).GetRefusal(); r.GetCode() != invalid {
		t.Errorf("about nothing: %v", r)
	}
}

// R42: a request says of each decision who signed it with which key, and whether that holds; a decision that somebody
// who holds the orchestrator's key stored is shown as what it is.
func TestR42ARequestSaysWhoSignedIt(t *testing.T) {
	c := newCast(t)
	c.assign("otto", tenantRole, globalAdmin, false)
	before := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	c.story.Command(c.actor("otto"), story.Approve(bank, before))
	g, o := c.holder("grace", approvaltest.ES256), c.holder("otto", approvaltest.SKEd25519)
	c.story.Genesis(bank, approval.DemandSignatures, g, o)
	signed := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	c.story.Command(c.actor("otto"), c.story.Sign(o, story.Approve(bank, signed)))
	forged := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	denied := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	entry := func(id, typ string) *lockboxv1.Event {
		i := slices.IndexFunc(c.story.Entries, func(e journal.Entry) bool {
			return e.Event.GetAggregateId() == id && aggregate.TypeOf(e.Event) == typ
		})
		return proto.CloneOf(c.story.Entries[i].Event)
	}
	forge := func(id string, statement *lockboxv1.SignedStatement) {
		e := entry(signed, "CustomerApproved")
		e.Id, e.CausationId, e.AggregateId, e.CorrelationId, e.Signed = c.story.ID(), c.story.ID(), id, id, statement
		e.Version = c.story.States.Request(aggregate.Request(bank, id)).Version + 1
		c.story.Record(e)
	}
	forge(forged, entry(signed, "CustomerApproved").GetSigned())
	forge(denied, nil)

	view := func(who, tenant, id string) (d, e *lockboxv1.SignatureView, r *lockboxv1.RequestView) {
		r = c.query(who, getRequest(tenant, id)).GetRequest()
		if len(r.GetCustomerDecisions()) != 1 {
			t.Fatalf("%s: %v", id, r)
		}
		d = r.GetCustomerDecisions()[0].GetSignature()
		for _, entry := range r.GetTimeline() {
			if is := entry.GetType() == "CustomerApproved"; is {
				e = entry.GetSignature()
			} else if entry.GetSignature() != nil {
				t.Errorf("%s has a signature", entry.GetType())
			}
		}
		return d, e, r
	}
	if d, e, _ := view("grace", bank, before); d != nil || e != nil {
		t.Errorf("of before there were keys: %v", d)
	}
	d, e, r := view("grace", bank, signed)
	statement := r.GetCustomerDecisions()[0].GetSigned().GetStatement()
	words := approval.Text(approval.Digest(approval.FormatDecision, statement), approval.DecisionWords)
	if !proto.Equal(d, e) || !d.GetSigned() || !d.GetHolds() || d.GetRule() != "" || d.GetLabel() != "Key of otto" ||
		hex.EncodeToString(d.GetKeyId()) != o.Key.ID() || d.GetKind() != "ssh" || d.GetWords() != words ||
		len(strings.Fields(words)) != approval.DecisionWords {
		t.Errorf("signed: %v", d)
	}
	if d, _, _ := view("grace", bank, forged); !d.GetSigned() || d.GetHolds() || d.GetRule() == "" ||
		d.GetLabel() != "Key of otto" {
		t.Errorf("signed for another request: %v", d)
	}
	if d, _, _ := view("grace", bank, denied); d == nil || d.GetSigned() || d.GetHolds() {
		t.Errorf("not signed: %v", d)
	}
	// Which keys the customer's people have is not for the provider's engineers, and a list has no room for statements.
	if d, _, r := view("erin", bank, signed); d != nil || r.GetCustomerDecisions()[0].GetSigned() != nil {
		t.Errorf("the engineer sees %v", d)
	}
	for _, r := range c.query("grace", listRequests(bank, &lockboxv1.ListRequests{})).GetRequests().GetRequests() {
		if r.GetCustomerDecisions()[0].GetSigned() != nil {
			t.Error("a list has statements")
		}
	}
}
