package tenant

import (
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Ownership is the provider's record of which customer a subscription belongs to (R48), folded from its events. Its id
// is the subscription's id in lower case.
type Ownership struct {
	aggregate.History
	// Owner is the subscription as its owner has it; nil if it is nobody's, or contested.
	Owner *lockboxv1.OwnedSubscription
	// Contested are the registrations of a subscription that was registered more than once before ownership was recorded.
	Contested []*lockboxv1.OwnedSubscription
	// Former are the registrations that ended when the subscription went to its owner.
	Former []*lockboxv1.OwnedSubscription
	// Given are the transfers, the oldest first, each with what it was transferred from.
	Given []Given
	// Reason is why it was transferred last.
	Reason string
	// By is who recorded the owner; nil if the customer's own registration was adopted.
	By *lockboxv1.Actor
}

// Given is a transfer, and what it ended.
type Given struct {
	Stored
	By []*lockboxv1.OwnedSubscription
}

// Of reports whether the subscription belongs to a tenant.
func (o Ownership) Of(tenant string) bool {
	return o.Fault == nil && o.Owner != nil && o.Owner.GetTenant() == tenant
}

// Elsewhere reports whether the subscription is known to belong to another tenant.
func (o Ownership) Elsewhere(tenant string) bool {
	return o.Fault == nil && o.Owner != nil && !o.Of(tenant)
}

// Spelling returns the subscription's id as a tenant has it registered, or had it last, or as it was asked for if it
// has not.
func (o Ownership) Spelling(tenant, asked string) string {
	for _, r := range append([]*lockboxv1.OwnedSubscription{o.Owner}, o.Former...) {
		if r.GetTenant() == tenant {
			return r.GetSubscriptionId()
		}
	}
	return asked
}

// EvolveOwnership folds one stored event of an ownership, as Evolve does for a tenant.
func EvolveOwnership(o Ownership, sequence uint64, e *lockboxv1.Event) Ownership {
	return aggregate.Fold(o, sequence, e, (*Ownership).apply)
}

func (o *Ownership) apply(e *lockboxv1.Event) (broken string) {
	if _, transferred := e.GetFact().(*lockboxv1.Event_OwnershipTransferred); transferred != (e.GetVersion() > 1) {
		return "whose a subscription is is recorded once, and changes by a transfer"
	}
	byInventory := aggregate.Provider(e.GetActor(), aggregate.Onboarding)
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_OwnershipRecorded:
		adopted := f.OwnershipRecorded.GetAdopted()
		if adopted && !aggregate.System(e.GetActor()) || !adopted && !byInventory {
			return onlyOnboarding
		}
		if o.Owner = f.OwnershipRecorded.GetOwner(); byInventory {
			o.By = e.GetActor()
		}
	case *lockboxv1.Event_OwnershipContested:
		if !aggregate.System(e.GetActor()) {
			return "Lockbox itself finds that several customers registered one subscription (R48)"
		}
		if o.Contested = f.OwnershipContested.GetRegistered(); len(o.Contested) < 2 {
			return "a contested subscription was registered at least twice"
		}
		for _, r := range o.Contested {
			if broken := o.names(r); broken != "" {
				return broken
			}
		}
		return ""
	case *lockboxv1.Event_OwnershipTransferred:
		t := f.OwnershipTransferred
		switch {
		case !byInventory:
			return onlyOnboarding
		case t.GetFrom() != o.Owner.GetTenant():
			return "a subscription is transferred from its owner"
		case t.GetFrom() == t.GetOwner().GetTenant():
			return "a subscription is transferred to another customer"
		}
		o.Former = slices.DeleteFunc(o.registered(), func(r *lockboxv1.OwnedSubscription) bool {
			return r.GetTenant() == t.GetOwner().GetTenant() && r.GetSubscriptionId() == t.GetOwner().GetSubscriptionId()
		})
		o.Given = append(slices.Clip(o.Given), Given{Stored{o.Sequence, e}, o.Former})
		o.Owner, o.Contested, o.Reason, o.By = t.GetOwner(), nil, t.GetReason(), e.GetActor()
	}
	return o.names(o.Owner)
}

const onlyOnboarding = "the provider's onboarding says whose a subscription is, from its inventory" // R48

// registered returns the subscription as the customers have it now.
func (o *Ownership) registered() []*lockboxv1.OwnedSubscription {
	if o.Owner != nil {
		return []*lockboxv1.OwnedSubscription{o.Owner}
	}
	return slices.Clone(o.Contested)
}

// names returns what is wrong with a registration of this subscription, or "".
func (o *Ownership) names(r *lockboxv1.OwnedSubscription) (broken string) {
	if strings.ToLower(r.GetSubscriptionId()) != o.ID || input.Token("", r.GetSubscriptionId()) != nil ||
		input.Tenant("", r.GetTenant()) != nil {
		return "an ownership names its own subscription, and the customer whose it is"
	}
	return ""
}

// DecideOwnership is Decide for a command that says whose a subscription is. The subscription itself follows it
// (FollowOwnership).
func DecideOwnership(t State, o Ownership, c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	e, err := o.Begin(c, o.Version, func() error {
		switch {
		case !aggregate.Provider(c.By, aggregate.Onboarding):
			return refusal.Forbidden("token", "R48",
				"whose a subscription is is recorded by the provider's onboarding, from its inventory")
		case !t.Exists() || t.Fault != nil:
			return refusal.NotFound("tenant", "I9", "there is no such tenant")
		}
		return nil
	}, now)
	if e == nil || err != nil {
		return nil, err
	}
	if err := o.decide(c, e); err != nil {
		return nil, err
	}
	return aggregate.End(o, e, EvolveOwnership)
}

func (o Ownership) decide(c aggregate.Command, e *lockboxv1.Event) error {
	to := &lockboxv1.OwnedSubscription{Tenant: c.GetTenant(), SubscriptionId: c.GetAggregateId()}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_RegisterSubscription:
		to.DisplayName = a.RegisterSubscription.GetDisplayName()
		if err := prose.CheckLine("register_subscription.display_name", to.GetDisplayName(), 1, 120); err != nil {
			return err
		}
		switch {
		case o.Contested != nil:
			return refusal.Precondition("aggregate_id", "R48",
				"several customers had registered this subscription; transfer it to the one whose it is")
		case !o.Exists():
			e.Fact = &lockboxv1.Event_OwnershipRecorded{OwnershipRecorded: &lockboxv1.OwnershipRecorded{Owner: to}}
		case o.Owner.GetTenant() != to.GetTenant():
			return refusal.Conflict("aggregate_id", "R48",
				"this subscription belongs to another customer; if it changed hands, transfer it")
		case o.Owner.GetDisplayName() != to.GetDisplayName():
			return refusal.Naming(
				refusal.Conflict("aggregate_id", "R18", "this subscription is registered as %q", o.Owner.GetDisplayName()),
				"name", o.Owner.GetDisplayName())
		}
	case *lockboxv1.Command_TransferSubscription:
		to.DisplayName = a.TransferSubscription.GetDisplayName()
		from, reason := a.TransferSubscription.GetFrom(), a.TransferSubscription.GetReason()
		for _, err := range []error{
			prose.CheckLine("transfer_subscription.display_name", to.GetDisplayName(), 1, 120),
			prose.Check("transfer_subscription.reason", reason, 1, 4000),
		} {
			if err != nil {
				return err
			}
		}
		switch {
		case !o.Exists():
			return refusal.NotFound("aggregate_id", "R48", "no customer has this subscription; register it")
		case o.Owner.GetTenant() == to.GetTenant():
			return nil
		case o.Owner.GetTenant() != from:
			return refusal.Conflict("transfer_subscription.from", "R48",
				"the subscription belongs to another customer than that")
		}
		e.Fact = &lockboxv1.Event_OwnershipTransferred{OwnershipTransferred: &lockboxv1.OwnershipTransferred{
			From: from, Owner: to, Reason: reason}}
	default:
		return refusal.Invalid("action", "bad input", "this command is not about whose a subscription is")
	}
	return nil
}

// FollowOwnership returns the next event by which a subscription follows its ownership: its former owners give it up,
// and then its owner has it. It returns nil if that is so already. at returns a registered subscription's state.
func FollowOwnership(
	o Ownership, at func(*lockboxv1.OwnedSubscription) Subscription, causationID string, now time.Time,
) (*lockboxv1.Event, error) {
	if o.Fault != nil || o.Owner == nil || o.By == nil {
		return nil, nil
	}
	for _, former := range o.Former {
		if s := at(former); s.Registered() {
			e := s.Follow(o.By, causationID, now)
			e.Fact = &lockboxv1.Event_SubscriptionGivenUp{
				SubscriptionGivenUp: &lockboxv1.SubscriptionGivenUp{Reason: o.Reason}}
			return aggregate.End(s, e, EvolveSubscription)
		}
	}
	s := at(o.Owner)
	if s.Registered() {
		return nil, nil
	}
	e := s.Follow(o.By, causationID, now)
	if !s.Exists() {
		e.Tenant, e.Kind, e.AggregateId = o.Owner.GetTenant(), aggregate.KindSubscription, o.Owner.GetSubscriptionId()
	}
	e.Fact = &lockboxv1.Event_SubscriptionRegistered{
		SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{DisplayName: o.Owner.GetDisplayName()}}
	return aggregate.End(s, e, EvolveSubscription)
}

// Adopt returns the event that makes an ownership out of registrations from before ownership was recorded, the first
// first: one is adopted as it is, several contest the subscription. It returns nil if there is an ownership already.
func Adopt(
	o Ownership, registered []*lockboxv1.OwnedSubscription, by *lockboxv1.Actor, now time.Time,
) (*lockboxv1.Event, error) {
	if o.Exists() || o.Fault != nil || len(registered) == 0 {
		return nil, nil
	}
	e := o.Follow(by, "", now)
	key := aggregate.Ownership(registered[0].GetSubscriptionId())
	e.Tenant, e.Kind, e.AggregateId = key.Tenant, key.Kind, key.ID
	if len(registered) == 1 {
		e.Fact = &lockboxv1.Event_OwnershipRecorded{
			OwnershipRecorded: &lockboxv1.OwnershipRecorded{Owner: registered[0], Adopted: true}}
	} else {
		e.Fact = &lockboxv1.Event_OwnershipContested{
			OwnershipContested: &lockboxv1.OwnershipContested{Registered: registered}}
	}
	return aggregate.End(o, e, EvolveOwnership)
}
