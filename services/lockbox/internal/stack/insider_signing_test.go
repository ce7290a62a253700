package stack_test

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What the attempts of the trust table do where a customer demands signatures, each in a Lockbox of its own: demands
// stay.

// decidesUnsigned sends as the portal a decision of somebody who is signed in, and has a key.
func (i *insider) decidesUnsigned() {
	i.Helper()
	l := demanding(i.T, approval.DemandSignatures)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	c := approve(id)
	c.Id, c.Tenant, c.Token = newID(i), bank, l.token("otto")
	data, err := proto.Marshal(c)
	must(i, err)
	m, err := l.connect(bus.Portal).Request(bus.CommandSubject(bus.Portal, bus.Verb(c)), data, patience)
	must(i, err)
	reply := new(lockboxv1.CommandReply)
	must(i, proto.Unmarshal(m.Data, reply))
	if r := reply.GetRefusal(); r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN || r.GetRule() != "R42" {
		i.Errorf("%v", reply)
	}
	if tried := l.attempts(); len(tried) != 1 || tried[0].GetAbout() != id {
		i.Errorf("on record: %v", tried)
	}
}

// approvesUnsigned stores an approval of somebody who did not sign it.
func (i *insider) approvesUnsigned() {
	i.Helper()
	l := demanding(i.T, approval.DemandSignatures)
	genuine, id := l.requested(l.intent("erin"), request.CustomerNotified), l.requested(l.intent("erin"),
		request.CustomerNotified)
	l.does("otto", l.signs(l.otto, approve(genuine)))
	e := l.history(journal.Replay{Tenant: bank, ID: genuine, Type: "CustomerApproved"})[0].Event
	e.Id, e.AggregateId, e.CorrelationId, e.CausationId = newID(i), id, id, newID(i)
	e.Version, e.Time = l.state(id).Version+1, timestamppb.Now()
	sequence, err := l.journal(bus.Orchestrator).Append(l.Context(), l.state(id).Sequence, e)
	must(i, err)
	l.never("with the signature of another", id)
	l.alarmed("with the signature of another", sequence)
}

// addsItsKey stores a change of a customer's keys.
func (i *insider) addsItsKey() {
	i.Helper()
	l := demanding(i.T, approval.DemandSignatures)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	signed := l.signs(l.otto, approve(id))
	mallory := &keyholder{"otto", approvaltest.New("mallory", approvaltest.ES256), l.otto.who}
	sequence := l.adds(mallory)
	l.alarmed("with a key of the insider's", sequence)
	l.mayNot("otto", signed, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, "R42")
}

// adds stores with the orchestrator's keys that a key was added, signed by that key alone, and returns the sequence.
func (l *lockbox) adds(k *keyholder) uint64 {
	l.Helper()
	v := l.keys("grace")
	change := approval.KeyChange{Format: approval.FormatKeys, Origin: v.GetOrigin(), Tenant: bank,
		Genesis: hexOf(v.GetFingerprint()), Previous: hexOf(v.GetFingerprint()), Number: 2, Change: approval.AddKey,
		Keys: []approval.Enrolment{k.enrolment(approval.Administrator)}, Recovery: []approval.Key{},
		IssuedAt: approval.TimeText(time.Now().UTC()), Nonce: nonce(l)}
	statement, err := change.Bytes()
	must(l, err)
	stored := l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindKeys})
	last, about := stored[len(stored)-1], aggregate.Keys(bank)
	sequence, err := l.journal(bus.Orchestrator).Append(l.Context(), last.Seq, &lockboxv1.Event{Id: newID(l), Tenant: bank,
		Kind: about.Kind, AggregateId: about.ID, Version: last.Event.GetVersion() + 1, Time: timestamppb.Now(),
		Actor: last.Event.GetActor(), CausationId: newID(l), Fact: &lockboxv1.Event_KeyChainChanged{
			KeyChainChanged: &lockboxv1.KeyChainChanged{Change: keychain.ToProto(
				approvaltest.Signed(approval.FormatKeys, statement, k.key))}}})
	must(l, err)
	return sequence
}

// sawNothing stores what no witness saw, as the audit-projector: it counts for nothing, and stops nothing.
func (i *insider) sawNothing() {
	i.Helper()
	l := demanding(i.T, approval.DemandSignatures)
	stored := l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindKeys})
	last, about := stored[len(stored)-1], aggregate.Keys(bank)
	_, err := l.journal(bus.Projector).Append(l.Context(), last.Seq, &lockboxv1.Event{Id: newID(i), Tenant: bank,
		Kind: about.Kind, AggregateId: about.ID, Version: last.Event.GetVersion() + 1, Time: timestamppb.Now(),
		Actor:       &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Projector)},
		CausationId: newID(i), Fact: &lockboxv1.Event_KeysSighted{KeysSighted: &lockboxv1.KeysSighted{
			LogKeys: "log", Seen: []byte(`{}`), Head: []byte(`{}`)}}})
	must(i, err)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", l.signs(l.otto, approve(id)))
	l.reaches(id, request.Active)
}
