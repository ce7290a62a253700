package orchestrator

import (
	"context"
	"crypto/sha256"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// byKey reports whether a command shows who sends it by an enrolled key alone: a revocation or a change of sign-in
// without a token, for when the customer's own sign-in is down (R64, R65).
func byKey(c *lockboxv1.Command) bool {
	takes := c.GetRevoke() != nil || c.GetProposeSignInChange() != nil || c.GetConfirmSignInChange() != nil
	return c.GetToken() == "" && takes && c.GetSigned() != nil
}

// keyholder returns who sends a command by their key alone. Everything about the statement is verified again when the
// command is decided.
func (o *orchestrator) keyholder(
	about aggregate.Key, c *lockboxv1.Command, states repository.States,
) (*lockboxv1.Actor, error) {
	keys := states.Keys(about.Tenant)
	var a approval.Person
	var err error
	if c.GetRevoke() != nil {
		a, err = keys.Holder(c.GetSigned(), states.Request(about).Version+1)
	} else {
		a, err = keys.HolderOfChange(c.GetSigned())
	}
	if err != nil {
		return nil, refusal.OfKind(refusal.Unauthenticated("signed", "R64",
			"without a token, only a revocation of this request or a change of sign-in is taken, signed with an enrolled key"),
			"key-unknown")
	}
	by := keychain.OfKey(a)
	by.AuthenticatedAt = timestamppb.New(o.Now()) // by the key, this moment
	by.Person = states.Tenant(about.Tenant).Known(by.GetPerson())
	return by, nil
}

// attempted puts on record that something was refused because it should have been signed by the customer, or because
// the signature does not hold: the customer is to see what was tried (R42). It is a report of its own, and changes
// nothing.
func (o *orchestrator) attempted(
	ctx context.Context, about aggregate.Key, c *lockboxv1.Command, by *lockboxv1.Actor, why error,
) {
	r, refused := refusal.As(why)
	changes := about.Kind != aggregate.KindRequest && aggregate.Provider(by)
	if !refused || !keychain.Attempt(r) || !aggregate.Customer(by) && !changes {
		return
	}
	if about.Kind == aggregate.KindOwnership { // it is told to whoever was to lose the subscription
		about = aggregate.Subscription(c.GetTransferSubscription().GetFrom(), c.GetAggregateId())
		if about.Tenant == "" {
			return
		}
	}
	at := aggregate.Attempts(about.Tenant)
	tried := &lockboxv1.SignatureRefused{Kind: about.Kind, About: about.ID, Verb: bus.Verb(c), Field: r.GetField(),
		Rule: keychain.RuleIn(r)}
	if s := c.GetSigned().GetStatement(); len(s) > 0 {
		sum := sha256.Sum256(s)
		tried.StatementSha256 = sum[:]
	}
	e := &lockboxv1.Event{Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID, ReportKey: c.GetId(),
		Time: timestamppb.New(o.Now()), Actor: by, CausationId: c.GetId(),
		Fact: &lockboxv1.Event_SignatureRefused{SignatureRefused: tried}}
	if about.Kind == aggregate.KindRequest {
		e.CorrelationId = about.ID
	}
	err := repository.Identify(e)
	if err == nil {
		_, _, err = o.Journal.Report(ctx, e)
	}
	if err != nil {
		o.Log.Warn("a refused signature is not on record", observe.AboutCommand(c, bus.Verb(c), zap.Error(err))...)
	}
}
