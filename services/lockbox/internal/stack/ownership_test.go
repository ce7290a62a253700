package stack_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func register(tenant, id string) *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: tenant, AggregateId: id, Action: &lockboxv1.Command_RegisterSubscription{
		RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: "Ours"}}}
}

func transfer(id, from, to string) *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: to, AggregateId: id, Action: &lockboxv1.Command_TransferSubscription{
		TransferSubscription: &lockboxv1.TransferSubscription{From: from, DisplayName: "Ours now", Reason: "It was sold."}}}
}

// of is an intent about another tenant's, or another, subscription.
func (l *lockbox) of(tenant, subscription string) *lockboxv1.AccessIntent {
	in := l.intent("erin")
	in.Tenant, in.SubscriptionId, in.TicketId = tenant, subscription, ""
	in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT
	in.ResourceIds = []string{demo.Machine(subscription, "payments-1")}
	return in
}

// told waits until a mail about a change to a tenant is reported.
func (l *lockbox) told(tenant, template, recipient string) {
	l.Helper()
	within(l.T, patience, recipient+" is told of "+template, func() bool {
		for _, e := range l.history(journal.Replay{Tenant: tenant, Kind: aggregate.KindDelivery}) {
			n := e.Event.GetNotificationSent().GetNotification()
			if n.GetTemplate() == template && strings.HasPrefix(n.GetRecipient(), recipient) {
				return true
			}
		}
		return false
	})
}

// awaiting lists the bank's requests that wait for somebody, once a request is among those that are known.
func (l *lockbox) awaiting(as, id string) []*lockboxv1.RequestView {
	l.Helper()
	return l.query(&lockboxv1.Query{Tenant: bank, Token: l.token(as), MinSequence: l.state(id).Sequence,
		Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{AwaitingMe: true}}}).
		GetRequests().GetRequests()
}

// Another customer's administrator can neither register the bank's subscription, in whatever case its id is written,
// nor approve access to it; a customer without Lockbox gets nobody into it either (R48).
//
// control: nist:AC-3
func TestNobodyGetsAtAnothersSubscription(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	shouted := strings.ToUpper(demo.BankProduction)
	for _, id := range []string{demo.BankProduction, shouted} {
		l.mayNot("hana", register(health, id), forbidden, "R48")
		l.mayNot("onboarding", register(health, id), lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT, "R48")
	}
	l.mayNot("grace", register(bank, "meadow-new"), forbidden, "R48")
	l.does("hana", &lockboxv1.Command{Tenant: health, Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: "Nobody shall be asked."}}})
	for _, id := range []string{demo.BankProduction, shouted} {
		if r := l.submit(l.of(health, id)).GetRefusal(); r.GetField() != "subscription_id" {
			t.Errorf("access to %s through another customer: %v", id, r)
		}
	}
	// The owner has it, however it is written.
	id := l.requested(l.of(bank, shouted), request.CustomerNotified)
	if !slices.ContainsFunc(l.awaiting("otto", id),
		func(r *lockboxv1.RequestView) bool { return r.GetRequestId() == id }) {
		t.Error("otto does not see it among those that wait for him")
	}
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	if v := l.verified(); len(v.Violations) > 0 {
		t.Errorf("audit verify finds %v", v.Violations)
	}
}

// A transfer is told to both customers. What the former owner had allowed ends, what waits there comes to nothing, and
// its new owner decides (R48).
func TestATransferIsSeenByBothAndEndsWhatWasAllowed(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	running := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(running))
	l.reaches(running, request.Active)
	waits := l.requested(l.intent("erin"), request.CustomerNotified)
	l.mayNot("grace", transfer(demo.BankProduction, bank, health), unauthenticated, "R13")
	l.mayNot("hana", transfer(demo.BankProduction, bank, health), forbidden, "R48")
	l.does("onboarding", transfer(demo.BankProduction, bank, health))
	if s := l.reaches(running, request.Revoked); s.CodedEndReason.GetCode() !=
		lockboxv1.ReasonCode_REASON_CODE_TRANSFERRED || !aggregate.System(s.EndedBy) {
		t.Errorf("it ends as %+v", s)
	}
	l.until(waits, "nobody is left to decide", func(s request.State) bool { return s.Abandoned })
	l.mayNot("otto", approve(waits), forbidden, "R20")
	l.told(bank, "subscription-given-up", "grace@")
	l.told(health, "subscription-registered", "hana@")
	if r := l.submit(l.of(bank, demo.BankProduction)).GetRefusal(); r.GetField() != "subscription_id" {
		t.Errorf("its former owner is still asked: %v", r)
	}
	if o := l.submit(l.of(health, demo.BankProduction)); o.GetRefusal() != nil {
		t.Errorf("its new owner is not asked: %v", o.GetRefusal())
	}
	if v := l.verified(); len(v.Violations) > 0 {
		t.Errorf("audit verify finds %v", v.Violations)
	}
}

// What customers had registered themselves is theirs if nobody else had; what several had is nobody's, with an alarm,
// until onboarding says whose it is (R48).
func TestOldRegistrationsGetAnOwnerAtTheStart(t *testing.T) {
	t.Parallel()
	l := empty(t, request.DefaultTerms())
	must(t, demo.SeedTenants(t.Context(), l.client, l.issuer, time.Now))
	old := l.journal(bus.Orchestrator)
	for _, r := range []struct{ tenant, id, by string }{
		{bank, "Meadow-Old", "grace"}, {bank, "shared", "grace"}, {health, "SHARED", "hana"},
	} {
		e := &lockboxv1.Event{
			Tenant: r.tenant, Kind: aggregate.KindSubscription, AggregateId: r.id, Version: 1, Time: timestamppb.Now(),
			Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: l.issuer.Person(r.by)},
			Fact: &lockboxv1.Event_SubscriptionRegistered{
				SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{DisplayName: "Old"}},
		}
		must(t, repository.Identify(e))
		_, err := old.Append(t.Context(), 0, e)
		must(t, err)
	}
	heard := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Log = zap.New(heard)
	l.config.Notifier.Groups = map[string][]string{aggregate.SecurityOfficers: {"security@nimbus.example"}}
	l.restart(0)
	l.restart(0) // what is adopted once is not adopted again
	if got := len(l.history(journal.Replay{Kind: aggregate.KindOwnership})); got != 2 {
		t.Errorf("%d events say whose two subscriptions are", got)
	}
	within(t, patience, "the alarm", func() bool { return heard.heard("ALARM: several customers registered one") })
	l.told(aggregate.ProviderTenant, "subscription-contested", "security@")
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	l.requested(l.of(bank, "meadow-OLD"), request.CustomerNotified)
	for _, tenant := range []string{bank, health} {
		if r := l.submit(l.of(tenant, "shared")).GetRefusal(); r.GetField() != "subscription_id" {
			t.Errorf("%s has what is contested: %v", tenant, r)
		}
	}
	l.does("onboarding", transfer("shared", "", bank))
	l.told(health, "subscription-given-up", "hana@")
	l.requested(l.of(bank, "shared"), request.CustomerNotified)
	if v := l.verified(); len(v.Violations) > 0 {
		t.Errorf("audit verify finds %v", v.Violations)
	}
}
