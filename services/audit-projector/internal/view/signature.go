package view

import (
	"encoding/hex"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
)

// Signatures returns what the signatures of a request's decisions are worth, by the events' versions: verified from the
// stored bytes with the customer's keys (R42). There is none of a decision of before there were keys.
func Signatures(keys keychain.State, events []projection.Event) map[uint64]*lockboxv1.SignatureView {
	var exact []keychain.Exact
	for _, e := range events {
		if e.Event.GetKind() == aggregate.KindRequest {
			exact = append(exact, keychain.Exact{Sequence: e.Sequence, Version: e.Event.GetVersion(),
				Type: aggregate.TypeOf(e.Event), Data: e.Bytes})
		}
	}
	found := map[uint64]*lockboxv1.SignatureView{}
	for _, e := range events {
		given, is := request.Given(e.Event)
		if is && aggregate.Customer(e.Event.GetActor()) && keys.Began() != 0 && keys.Began() < e.Sequence {
			found[e.Event.GetVersion()] = signature(keys, given, exact)
		}
	}
	return found
}

func signature(keys keychain.State, g keychain.Given, exact []keychain.Exact) *lockboxv1.SignatureView {
	if g.Signed == nil {
		return &lockboxv1.SignatureView{}
	}
	statement := g.Signed.GetStatement()
	v := &lockboxv1.SignatureView{Signed: true, Words: approval.Text(approval.Digest(approval.FormatDecision, statement),
		approval.DecisionWords)}
	if d, err := approval.ParseDecision(statement); err == nil {
		v.KeyId, _ = hex.DecodeString(d.Key)
		if k, is := keys.Key(d.Key); is {
			v.Label, v.Kind = keys.Labels[k.ID], k.Key.Kind
		}
	}
	_, err := keys.Decides(g, exact)
	if v.Holds = err == nil; err != nil {
		v.Rule = string(approval.RuleOf(err))
	}
	return v
}

// Sign adds to a request what its decisions' signatures are worth.
func Sign(v *lockboxv1.RequestView, found map[uint64]*lockboxv1.SignatureView) {
	for _, e := range v.GetTimeline() {
		if e.GetVersion() != 0 {
			e.Signature = found[e.GetVersion()]
		}
	}
	decisions := make([]*lockboxv1.Decision, len(v.GetCustomerDecisions()))
	for i, d := range v.GetCustomerDecisions() {
		decisions[i] = proto.CloneOf(d) // shared with whoever asks at the same time
		decisions[i].Signature = found[d.GetVersion()]
	}
	v.CustomerDecisions = decisions
}

// WithoutStatements removes the statements that people signed: of a list, they would be most.
func WithoutStatements(v *lockboxv1.RequestView) {
	decisions := make([]*lockboxv1.Decision, len(v.GetCustomerDecisions()))
	for i, d := range v.GetCustomerDecisions() {
		if decisions[i] = d; d.GetSigned() != nil {
			decisions[i] = proto.CloneOf(d)
			decisions[i].Signed = nil
		}
	}
	v.CustomerDecisions = decisions
}
