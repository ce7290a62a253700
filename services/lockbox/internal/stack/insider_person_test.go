package stack_test

import (
	"fmt"
	"sync/atomic"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What the attempts of the trust table do with people's own tokens.

// signed is a command with a valid token of a persona's.
func (i *insider) signed(as string, c *lockboxv1.Command) *lockboxv1.Command {
	i.Helper()
	c.Id, c.Token = newID(i), i.token(as)
	if c.GetTenant() == "" {
		c.Tenant = bank
	}
	return c
}

// floodsAsSomebody sends more commands of one person's than they may send within two minutes.
func (i *insider) floodsAsSomebody() {
	i.Helper()
	var refused atomic.Int64
	var all errgroup.Group
	all.SetLimit(64)
	for range 2*orchestrator.DefaultCommands + 100 {
		c := i.signed("eli", approve(newID(i)))
		all.Go(func() error {
			if i.sends(c).GetRefusal().GetRule() == "R52" {
				refused.Add(1)
			}
			return nil
		})
	}
	must(i, all.Wait())
	if refused.Load() < 100 {
		i.Errorf("%d were refused", refused.Load())
	}
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	if r := i.sends(i.signed("otto", deny(id, "No."))).GetRefusal(); r != nil { // as others go on
		i.Errorf("another is refused: %v", r)
	}
}

// takesSubscription asks for the bank's subscription in the name of another customer, and of their administrator.
func (i *insider) takesSubscription() {
	i.Helper()
	before := i.decided()
	for as, c := range map[string]*lockboxv1.Command{
		"hana": register(health, demo.BankProduction),
		"erin": transfer(demo.BankProduction, bank, health),
	} {
		if r := i.sends(i.signed(as, c)).GetRefusal(); r.GetRule() != "R48" {
			i.Errorf("%s: %v", as, r)
		}
	}
	c := i.signed("onboarding", register(health, demo.BankProduction))
	if r := i.sends(c).GetRefusal(); r.GetRule() != "R48" { // it is the bank's, whoever registers it
		i.Errorf("onboarding: %v", r)
	}
	if i.decided() != before {
		i.Error("it was recorded")
	}
	i.logged("refused ", "command:"+c.GetId())
}

// approvesTwice has two accounts of one human decide where two humans must, and lets its own emergency through.
func (i *insider) approvesTwice() {
	i.Helper()
	l := start(i.T, request.DefaultTerms())
	l.twoAccounts()
	other := &insider{l, l.connect(bus.Identity(i.nc.Opts.Name)), i.said}
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	if r := other.sends(other.signed("otto", approve(id))).GetRefusal(); r != nil {
		i.Fatal(r)
	}
	if r := other.sends(other.signed("otto-admin", approve(id))).GetRefusal(); r.GetRule() != "R51" {
		i.Errorf("the customer's: %v", r)
	}
	l.mailed(id, "approvals-out-of-reach", "grace")
	in := l.intent("rosa")
	in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
	id = l.requested(in, request.AwaitingInternalApproval)
	yes := &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_InternalApprove{
		InternalApprove: &lockboxv1.InternalApprove{}}}
	if r := other.sends(other.signed("rosa-admin", yes)).GetRefusal(); r.GetRule() != "R51" {
		i.Errorf("the provider's: %v", r)
	}
}

// makesOneOfTwo says that two of the bank's approvers are one human, in a Lockbox of its own.
func (i *insider) makesOneOfTwo() {
	i.Helper()
	l := start(i.T, request.DefaultTerms())
	l.demandsTwo()
	j, err := l.opens(l.connect(bus.Orchestrator))
	must(i, err)
	defer j.Close()
	for _, name := range []string{"otto", "fleur"} {
		states, err := repository.New(l.watch).Basis(i.Context(), aggregate.Tenant(bank))
		must(i, err)
		t := states.Tenant(bank)
		who := l.issuer.Person(name)
		who.Human = "one"
		_, err = j.Append(i.Context(), t.Sequence, &lockboxv1.Event{
			Id: newID(i), Tenant: bank, Kind: aggregate.KindTenant, AggregateId: bank, Version: t.Version + 1,
			Time: timestamppb.Now(), Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: who},
			Fact: &lockboxv1.Event_AccountIdentified{AccountIdentified: &lockboxv1.AccountIdentified{}},
		})
		must(i, err)
	}
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	if asked := l.state(id).Notified; len(asked.GetApprovers()) != 3 {
		i.Errorf("asked are %v", asked.GetApprovers())
	}
	l.does("otto", approve(id))
	l.does("fleur", approve(id))
	l.reaches(id, request.Active)
}

// claimsAnEmergency has a Lockbox of its own, where an engineer who may not have emergencies has asked enough.
func (i *insider) claimsAnEmergency() {
	i.Helper()
	l := start(i.T, request.DefaultTerms())
	l.close()
	l.config.Limits = policy.Limits{PerEngineer: 1}
	l.open()
	l.requested(l.intent("erin"), request.CustomerNotified)
	in := l.intent("erin")
	in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
	if r := l.submit(in).GetRefusal(); r.GetRule() != "R52" {
		i.Errorf("refused as %v", r)
	}
}

// ownershipEvents are the subjects of events that say whose a subscription is.
func ownershipEvents() (subjects []string) {
	for _, typ := range []string{"OwnershipRecorded", "OwnershipContested", "OwnershipTransferred"} {
		subjects = append(subjects, fmt.Sprintf("lockbox.event._.%s.x.2.%s", aggregate.KindOwnership, typ))
	}
	return append(subjects, "lockbox.event."+health+"."+aggregate.KindSubscription+".x.1.SubscriptionRegistered")
}
