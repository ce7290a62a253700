package answer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
)

// Exact reads aggregates as of the stream's leader, exactly as they are stored: *journal.Journal. Whoever signs has to
// see the very last event, and the projection may be behind.
type Exact interface {
	LoadAtLeader(ctx context.Context, agg aggregate.Key) ([]journal.Entry, error)
	Latest(ctx context.Context, agg aggregate.Key) (journal.Entry, error)
}

// keychain folds the keys of the viewer's tenant.
func (v *viewer) keychain(ctx context.Context) (s keychain.State, entries []journal.Entry, err error) {
	entries, err = v.exact.LoadAtLeader(ctx, aggregate.Keys(v.scope.Tenant))
	for _, e := range entries {
		s = keychain.Evolve(s, e.Seq, e.Event)
	}
	return s, entries, err
}

// customersPerson reports whether the viewer is one of the tenant's people and has a role there.
func (v *viewer) customersPerson() bool {
	return v.by.GetSide() == lockboxv1.Side_SIDE_TENANT && v.customer != nil && v.sees()
}

// getSigning returns the exact bytes that a statement of the viewer's would rest on (R42). It reads the stream, and not
// the projection: a statement about anything but the last events is refused later.
func (v *viewer) getSigning(ctx context.Context, ask *lockboxv1.GetSigning) (*lockboxv1.SigningView, error) {
	if !v.customersPerson() {
		return nil, notFound()
	}
	shown := &lockboxv1.SigningView{Origin: v.log.Origin, Tenant: v.scope.Tenant}
	var err error
	switch about := ask.GetAbout().(type) {
	case *lockboxv1.GetSigning_RequestId:
		shown.Events, err = v.requestExactly(ctx, about.RequestId)
	case *lockboxv1.GetSigning_SubscriptionId:
		shown.Events, err = v.subscriptionExactly(ctx, about.SubscriptionId)
	case *lockboxv1.GetSigning_TenantItself:
		shown.Events, err = v.lastExactly(ctx, aggregate.Tenant(v.scope.Tenant), v.scope.All)
	default:
		err = refusal.OfKind(
			refusal.Invalid("get_signing.about", "R42", "must be a request, a subscription or the tenant itself"),
			"signed-about")
	}
	if err != nil {
		return nil, err
	}
	s, _, err := v.keychain(ctx)
	if err != nil {
		return nil, err
	}
	shown.Demand = string(s.Demand(keychain.Now))
	if s.Chain == nil || s.Fault != nil {
		return shown, nil // nothing that anybody signs would count
	}
	fingerprint := s.Chain.Fingerprint()
	shown.Genesis = fingerprint[:]
	for _, k := range s.KeysOf(v.by.GetPerson(), keychain.Now) {
		is, err := v.key(ctx, s, k)
		if err != nil {
			return nil, err
		}
		shown.Keys = append(shown.Keys, is)
	}
	return shown, nil
}

// requestExactly returns a request's events, version 1 first. What a receipt withholds from the customer is not shown
// here either.
func (v *viewer) requestExactly(ctx context.Context, id string) (list []*lockboxv1.RestsOn, err error) {
	row, _, err := v.history(ctx, "get_signing.request_id", id, false)
	if err != nil {
		return nil, err
	}
	entries, err := v.exact.LoadAtLeader(ctx, aggregate.Request(row.Tenant, row.ID))
	for _, e := range entries {
		list = append(list, restsOn(e, !ledger.Withholds(e.Event)))
	}
	return list, err
}

func (v *viewer) subscriptionExactly(ctx context.Context, id string) ([]*lockboxv1.RestsOn, error) {
	if err := input.Token("get_signing.subscription_id", id); err != nil {
		return nil, err
	}
	sub, has := v.customer.Subscription(id)
	if !has || !v.scope.All && !slices.Contains(v.scope.Subscriptions, sub.ID) {
		return nil, notFound()
	}
	return v.lastExactly(ctx, aggregate.Subscription(v.scope.Tenant, sub.ID), true)
}

// lastExactly returns the last event of an aggregate, its bytes only if the viewer may see them.
func (v *viewer) lastExactly(ctx context.Context, of aggregate.Key, whole bool) ([]*lockboxv1.RestsOn, error) {
	e, err := v.exact.Latest(ctx, of)
	if err != nil || e.Seq == 0 {
		return nil, err
	}
	return []*lockboxv1.RestsOn{restsOn(e, whole)}, nil
}

func restsOn(e journal.Entry, whole bool) *lockboxv1.RestsOn {
	sum := sha256.Sum256(e.Data)
	r := &lockboxv1.RestsOn{Version: e.Event.GetVersion(), Type: aggregate.TypeOf(e.Event), Sha256: sum[:]}
	if whole {
		r.Stored = e.Data
	}
	return r
}

// bytesOf is what a text of hexadecimal digits stands for; ids of keys are.
func bytesOf(text string) []byte {
	b, _ := hex.DecodeString(text)
	return b
}

// person is whose a key is, by the name that they have at the tenant.
func (v *viewer) person(ctx context.Context, p approval.Person) (*lockboxv1.Person, error) {
	is := &lockboxv1.Person{Issuer: p.Issuer, Subject: p.Subject, Human: p.Human}
	name, err := v.displayName(ctx, v.scope.Tenant, is)
	is.DisplayName = name
	return is, err
}
