package tenant_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func other(c *lockboxv1.Command, tenantID, subscription string) *lockboxv1.Command {
	c.Tenant, c.AggregateId = tenantID, subscription
	return c
}

func transfer(from, to, subscription string) *lockboxv1.Command {
	return other(&lockboxv1.Command{Action: &lockboxv1.Command_TransferSubscription{
		TransferSubscription: &lockboxv1.TransferSubscription{From: from, DisplayName: "Ours now", Reason: "It was sold."},
	}}, to, subscription)
}

// A subscription id has one owner across all customers, in whatever case its letters are written, and only the
// provider's onboarding says whose it is (R48).
func TestR48ASubscriptionBelongsToOneCustomer(t *testing.T) {
	elsewhere := other(create(premier), "fabrikam", "")
	elsewhere.GetCreateTenant().Administrator = mole.GetPerson()
	elsewhere.GetCreateTenant().Issuer = &lockboxv1.TenantIssuer{Url: mole.GetPerson().GetIssuer(), Audience: "lockbox",
		Jwks: []byte("{}")}
	s := contoso(t, premier)
	s.play(t,
		row{1, ona, elsewhere, yes},
		row{2, mole, other(register("Ours"), "fabrikam", sub), no(forbidden, "token", "R48")},
		row{2, ona, other(register("Ours"), "fabrikam", sub), no(conflict, "aggregate_id", "R48")},
		row{2, ona, other(register("Ours"), "fabrikam", strings.ToUpper(sub)), no(conflict, "aggregate_id", "R48")},
		row{3, ona, register("Production"), already},
		row{3, ona, transfer(id, "nobody", sub), no(notFound, "tenant", "I9")},
		row{3, ona, transfer(id, "fabrikam", "sub-9"), no(notFound, "aggregate_id", "R48")},
		row{3, ona, transfer("sakura", "fabrikam", sub), no(conflict, "transfer_subscription.from", "R48")},
		row{3, gina, transfer(id, "fabrikam", sub), no(forbidden, "token", "R48")},
		row{3, eve, transfer(id, "fabrikam", sub), no(forbidden, "token", "R48")},
		row{4, gina, owner(otto), yes},
	)
	if len(s.subscription().Roles.All()) != 1 {
		t.Error("otto owns nothing")
	}
	s.play(t,
		row{5, ona, transfer(id, "fabrikam", strings.ToUpper(sub)), yes},
		row{6, ona, transfer(id, "fabrikam", sub), already},
		row{6, gina, owner(lena), no(notFound, "aggregate_id", "I9")},
		row{6, ona, register("Production"), no(conflict, "aggregate_id", "R48")},
	)
	if former := s.subscription(); former.Registered() || len(former.Roles.All()) != 0 {
		t.Errorf("its former owner still has it: %+v", former)
	}
	now := s.States.Subscription("fabrikam", strings.ToUpper(sub))
	if !now.Registered() || now.Name != "Ours now" {
		t.Errorf("its owner has it as %+v", now)
	}
	for asked, w := range map[string]lockboxWorld{sub: world(s, "fabrikam", sub), "SUB-1": world(s, "fabrikam", "SUB-1")} {
		if !w.Subscription.Registered() || !w.Ownership.Of("fabrikam") {
			t.Errorf("as %s its owner does not have it", asked)
		}
	}
	if w := world(s, id, sub); w.Subscription.Registered() || w.Ownership.Of(id) {
		t.Error("it still counts as its former owner's")
	}
	// It can come back; the roles of old do not.
	s.play(t, row{7, ona, transfer("fabrikam", id, sub), yes}, row{8, gina, owner(otto), yes})
	if back := s.subscription(); !back.Registered() || len(back.Roles.All()) != 1 || back.Name != "Ours now" {
		t.Errorf("it came back as %+v", back)
	}
}

type lockboxWorld struct {
	Subscription tenant.Subscription
	Ownership    tenant.Ownership
}

func world(s customerStory, tenantID, subscription string) lockboxWorld {
	w := s.States.World(request.State{History: aggregate.History{Tenant: tenantID},
		Intent: &lockboxv1.AccessIntent{SubscriptionId: subscription}})
	return lockboxWorld{*w.Subscription, w.Ownership}
}

// What was registered before ownership was recorded is adopted if nobody else claims it; else it is nobody's until
// onboarding says whose it is (R48).
func TestR48OldRegistrationsAreAdoptedOrContested(t *testing.T) {
	box := story.System("lockbox-orchestrator")
	old := func(s customerStory, by *lockboxv1.Actor, tenantID, subscription string) *lockboxv1.OwnedSubscription {
		s.Record(&lockboxv1.Event{Tenant: tenantID, Kind: aggregate.KindSubscription, AggregateId: subscription, Version: 1,
			Actor: by, Fact: &lockboxv1.Event_SubscriptionRegistered{
				SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{DisplayName: "Old"}}})
		return &lockboxv1.OwnedSubscription{Tenant: tenantID, SubscriptionId: subscription, DisplayName: "Old"}
	}
	adopt := func(s customerStory, registered ...*lockboxv1.OwnedSubscription) {
		e, err := tenant.Adopt(s.States.Ownership(registered[0].GetSubscriptionId()), registered, box, s.Now)
		if err != nil {
			t.Fatal(err)
		}
		if e != nil {
			s.Record(e)
		}
	}
	s := contoso(t, premier)
	alone := old(s, gina, id, "Alone")
	adopt(s, alone)
	adopt(s, alone) // a second start changes nothing
	if o := s.States.Ownership("ALONE"); !o.Of(id) || o.Version != 1 || o.Spelling(id, "alone") != "Alone" {
		t.Errorf("alone is %+v", o)
	}
	if w := world(s, id, "alone"); !w.Subscription.Registered() {
		t.Error("what was adopted is not there")
	}
	ours, shells := old(s, gina, id, "shared"), old(s, mole, "fabrikam", "SHARED")
	adopt(s, ours, shells)
	for _, claims := range []string{id, "fabrikam"} {
		if w := world(s, claims, "shared"); w.Subscription.Registered() || w.Ownership.Of(claims) {
			t.Errorf("what is contested counts as %s's", claims)
		}
	}
	s.play(t,
		row{1, ona, other(register("Old"), id, "shared"), no(precondition, "aggregate_id", "R48")},
		row{1, ona, transfer("fabrikam", id, "shared"), no(conflict, "transfer_subscription.from", "R48")},
		row{2, ona, transfer("", id, "shared"), yes},
	)
	if w := world(s, id, "shared"); !w.Subscription.Registered() {
		t.Error("its owner does not have it")
	}
	if s.States.Subscription("fabrikam", "SHARED").Registered() {
		t.Error("the other still has it")
	}
}

// The fold asks as well who says whose a subscription is.
func TestTheOwnershipsFoldRefusesWhatNobodyDecided(t *testing.T) {
	there, box := contoso(t, premier), story.System("lockbox-orchestrator")
	owned := func(tenantID, subscription string) *lockboxv1.OwnedSubscription {
		return &lockboxv1.OwnedSubscription{Tenant: tenantID, SubscriptionId: subscription, DisplayName: "x"}
	}
	recorded := func(adopted bool, o *lockboxv1.OwnedSubscription) *lockboxv1.Event {
		return &lockboxv1.Event{Fact: &lockboxv1.Event_OwnershipRecorded{
			OwnershipRecorded: &lockboxv1.OwnershipRecorded{Owner: o, Adopted: adopted}}}
	}
	moved := func(from string, to *lockboxv1.OwnedSubscription) *lockboxv1.Event {
		return &lockboxv1.Event{Fact: &lockboxv1.Event_OwnershipTransferred{
			OwnershipTransferred: &lockboxv1.OwnershipTransferred{From: from, Owner: to}}}
	}
	contested := func(by ...*lockboxv1.OwnedSubscription) *lockboxv1.Event {
		return &lockboxv1.Event{Fact: &lockboxv1.Event_OwnershipContested{
			OwnershipContested: &lockboxv1.OwnershipContested{Registered: by}}}
	}
	none := tenant.Ownership{}
	for name, f := range map[string]struct {
		of   tenant.Ownership
		by   *lockboxv1.Actor
		says *lockboxv1.Event
		rule string
	}{
		"a customer's claim":     {none, gina, recorded(false, owned(id, "sub-2")), "onboarding"},
		"a customer's old claim": {none, gina, recorded(true, owned(id, "sub-2")), "onboarding"},
		"an engineer's claim":    {none, eve, recorded(false, owned(id, "sub-2")), "onboarding"},
		"a service's claim":      {none, box, recorded(false, owned(id, "sub-2")), "onboarding"},
		"another's subscription": {none, ona, recorded(false, owned(id, "sub-3")), "names its own"},
		"nobody's subscription":  {none, ona, recorded(false, nil), "names its own"},
		"a transfer of nothing":  {none, ona, moved("", owned(id, "sub-2")), "recorded once"},
		"one who contests":       {none, box, contested(owned(id, "sub-2")), "at least twice"},
		"somebody who contests":  {none, ona, contested(owned(id, "sub-2"), owned("x", "sub-2")), "itself"},
		"a second record": {there.States.Ownership(sub), ona, recorded(false, owned("fabrikam", sub)),
			"recorded once"},
		"a transfer by the customer":  {there.States.Ownership(sub), gina, moved(id, owned("fabrikam", sub)), "onboarding"},
		"a transfer by a service":     {there.States.Ownership(sub), box, moved(id, owned("fabrikam", sub)), "onboarding"},
		"a transfer from a stranger":  {there.States.Ownership(sub), ona, moved("x", owned("fabrikam", sub)), "its owner"},
		"a transfer to its own owner": {there.States.Ownership(sub), ona, moved(id, owned(id, sub)), "another customer"},
	} {
		t.Run(name, func(t *testing.T) {
			e := f.of.Follow(f.by, "", start.Add(time.Hour))
			subscription := sub
			if !f.of.Exists() {
				subscription = "sub-2"
			}
			key := aggregate.Ownership(subscription)
			e.Tenant, e.Kind, e.AggregateId, e.Fact = key.Tenant, key.Kind, key.ID, f.says.GetFact()
			fault := tenant.EvolveOwnership(f.of, 100, e).Fault
			if fault == nil || !strings.Contains(fault.Rule, f.rule) {
				t.Errorf("fault %v, want %q", fault, f.rule)
			}
		})
	}
	given := &lockboxv1.Event{Fact: &lockboxv1.Event_SubscriptionGivenUp{}}
	f := forgery{there, gina, "subscription", sub, given, "onboarding"}
	f.refused(t, tenant.EvolveSubscription(f.of.subscription(), 100, f.event(f.of.subscription().History)).Fault)
}
