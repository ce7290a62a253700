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

// required is how many different people have to have signed: as many as were asked for, or as the tenant last demanded
// before that. Fewer were asked for only if the orchestrator's key was used to say so.
func (w World) required(s State) uint64 {
	required := uint64(s.Notified.GetRequiredApprovals())
	for _, e := range w.Events {
		if e.Type == "CustomerNotified" {
			required = max(required, uint64(w.Keys.Required(w.Tenant, e.Sequence))) // #nosec G115 -- at least 1
		}
	}
	return required
}

// sign puts what the sender has signed into the event of a decision of the customer's. It refuses a signature that does
// not hold, and the decision if it has to be signed and is not (R42): an approval wherever that is demanded, a denial
// of whoever has a key, never a revocation.
func (w World) sign(c aggregate.Command, e *lockboxv1.Event, now time.Time) error {
	g, decides := Given(e)
	if !decides || !aggregate.Customer(c.By) {
		return nil
	}
	if err := w.signable(); err != nil {
		if g.Verb == approval.Approve {
			return err
		}
		return nil // what takes away is recorded without a signature that nobody could verify
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

// Given returns the decision that an event is, and what it is signed with; false if it is none.
func Given(e *lockboxv1.Event) (g keychain.Given, is bool) {
	g.Signed, g.By, g.Version = e.GetSigned(), e.GetActor().GetPerson(), e.GetVersion()
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
