package stack_test

import (
	"crypto/rand"
	"encoding/hex"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// changes puts somebody's signature of a change of the tenant itself, or of one of its subscriptions, into its command.
func (l *lockbox) changes(s *keyholder, of aggregate.Key, c *lockboxv1.Command) *lockboxv1.Command {
	l.Helper()
	about := &lockboxv1.GetSigning{About: &lockboxv1.GetSigning_TenantItself{TenantItself: true}}
	if of.Kind == aggregate.KindSubscription {
		about.About = &lockboxv1.GetSigning_SubscriptionId{SubscriptionId: of.ID}
	}
	q := &lockboxv1.Query{Tenant: bank, Token: l.token(s.name), MinSequence: l.decided(),
		Ask: &lockboxv1.Query_GetSigning{GetSigning: about}}
	choice := keychain.Choice{By: keychain.AccountOf(s.who), Key: s.key.ID(), Now: time.Now().UTC(), Language: "en"}
	_, err := rand.Read(choice.Nonce[:])
	must(l, err)
	_, err = rand.Read(choice.Salt[:])
	must(l, err)
	is, err := keychain.ComposeChange(l.query(q).GetSigning(), of.Kind, of.ID, c, choice,
		func(c approval.Change) string { return shown.ChangeText(c, "en") })
	must(l, err)
	statement, err := is.Bytes()
	must(l, err)
	c.Signed = keychain.ToProto(approvaltest.Signed(approval.FormatChange, statement, s.key))
	c.Signed.CommentSalt = hex.EncodeToString(choice.Salt[:])
	return c
}

func switchOff() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: "We try it without."}}}
}

// What could get around a demand is refused without a signature, and is on record; stored by whoever holds the
// orchestrator's keys, the customer is asked nevertheless. Signed, it counts.
//
// control: iso:5.15, soc2:CC6.1
func TestWhatCouldGetAroundADemandIsSigned(t *testing.T) {
	t.Parallel()
	l := demanding(t, approval.DemandSignatures)
	l.mayNot("grace", switchOff(), lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "R42")
	l.mayNot("grace", assignment("new", l.self("fleur"), lockboxv1.Role_ROLE_LOCKBOX_APPROVER),
		lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "R42")
	subs := l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindSubscription, Type: "SubscriptionRegistered"})
	away := transfer(subs[0].Event.GetAggregateId(), bank, health)
	l.mayNot("onboarding", away, lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "R42")
	tried := l.attempts()
	if len(tried) != 3 || tried[0].GetVerb() != "disable_lockbox" || tried[1].GetVerb() != "assign_role" ||
		tried[2].GetVerb() != "transfer_subscription" || tried[2].GetAbout() != subs[0].Event.GetAggregateId() {
		t.Errorf("on record: %v", tried)
	}

	stored := l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindTenant})
	last := stored[len(stored)-1]
	_, err := l.journal(bus.Orchestrator).Append(t.Context(), last.Seq, &lockboxv1.Event{Id: newID(t), Tenant: bank,
		Kind: aggregate.KindTenant, AggregateId: bank, Version: last.Event.GetVersion() + 1, Time: timestamppb.Now(),
		Actor: stored[1].Event.GetActor(), CausationId: newID(t), Fact: &lockboxv1.Event_LockboxDisabled{
			LockboxDisabled: &lockboxv1.LockboxDisabled{Reason: "Nobody wanted this."}}})
	must(t, err)
	l.requested(l.intent("erin"), request.CustomerNotified)

	l.does("grace", &lockboxv1.Command{
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}})
	l.does("grace", l.changes(l.grace, aggregate.Tenant(bank), switchOff()))
	id := l.requested(l.intent("erin"), request.Active)

	// Whoever gives a subscription up signs that.
	of := aggregate.Subscription(bank, subs[0].Event.GetAggregateId())
	l.does("onboarding", l.changes(l.otto, of, transfer(of.ID, bank, health)))

	// When the bank's sign-in is down, an administrator's key alone proposes another.
	c := l.changes(l.otto, aggregate.Tenant(bank), &lockboxv1.Command{Action: &lockboxv1.Command_ProposeSignInChange{
		ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER,
			Change: &lockboxv1.SignInChange{Reason: "Ours is down.", Administrators: []*lockboxv1.Person{{
				Issuer: l.otto.who.GetIssuer(), Subject: "dora", DisplayName: "Dora", Email: "dora@bank.example"}}}}}})
	for _, by := range []struct {
		signed *lockboxv1.SignedStatement
		code   lockboxv1.RefusalCode
	}{
		{l.statement(l.otto, revoke(id, "x")),
			lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED},
		{c.GetSigned(), lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED},
	} {
		c.Id, c.Tenant, c.Signed = newID(t), bank, by.signed
		data, err := proto.Marshal(c)
		must(t, err)
		if r := l.send(bus.CommandSubject(bus.Client, bus.Verb(c)), data); r.GetRefusal().GetCode() != by.code {
			t.Errorf("%v, not %v", r, by.code)
		}
	}
}
