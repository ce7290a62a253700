package request

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Given are the customer's approvals so far, as they were given.
func (s State) Given() (all []keychain.Given) {
	for _, d := range s.Approvals() {
		all = append(all, keychain.Given{Signed: d.GetSigned(), Verb: approval.Approve, By: d.GetActor().GetPerson(),
			Version: d.GetVersion(), Reason: d.GetReason(), Resources: d.GetResourceIds(),
			Duration: d.GetDuration().AsDuration()})
	}
	return all
}

// sign puts what the sender has signed into the event of a decision of the customer's. It refuses a signature that does
// not hold, and the decision if it has to be signed and is not (R42): an approval wherever that is demanded, a denial
// of whoever has a key, never a revocation.
func (w World) sign(c aggregate.Command, e *lockboxv1.Event, now time.Time) error {
	g, decides := DecisionIn(e)
	if !decides || !aggregate.Customer(c.By) {
		return nil
	}
	g.Signed = c.GetSigned()
	if g.Signed == nil {
		hasKey := len(w.Keys.KeysOf(g.By, keychain.Now)) > 0
		if !w.Keys.Demand(keychain.Now).Needs(g.Verb, hasKey) {
			return nil
		}
		kind := "unsigned"
		if !hasKey {
			kind = "unsigned-no-key"
		}
		return refusal.OfKind(refusal.Forbidden("signed", "R42", "this has to be signed with a key of yours"), kind)
	}
	a, err := w.Keys.Decides(g, w.Events)
	if err == nil {
		err = a.Decision.InTime(now)
	}
	if err != nil {
		return keychain.Refusal("signed", err)
	}
	e.Signed = g.Signed
	return nil
}

// DecisionIn returns the decision of a customer's that an event is, without its signature.
func DecisionIn(e *lockboxv1.Event) (g keychain.Given, is bool) {
	g.By, g.Version = e.GetActor().GetPerson(), e.GetVersion()
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_CustomerApproved:
		g.Verb, g.Reason = approval.Approve, f.CustomerApproved.GetReason()
		g.Resources, g.Duration = f.CustomerApproved.GetResourceIds(), f.CustomerApproved.GetDuration().AsDuration()
	case *lockboxv1.Event_CustomerDenied:
		g.Verb, g.Reason = approval.Deny, f.CustomerDenied.GetReason()
	case *lockboxv1.Event_AccessRevoked:
		g.Verb, g.Reason = approval.Revoke, f.AccessRevoked.GetReason()
	default:
		return g, false
	}
	return g, true
}
