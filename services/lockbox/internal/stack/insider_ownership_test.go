package stack_test

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// owned appends an event about whose a subscription is.
func (i *insider) owned(subscription string, e *lockboxv1.Event) {
	i.Helper()
	key := aggregate.Ownership(subscription)
	states, err := repository.New(i.watch).Basis(i.Context(), key)
	must(i, err)
	o := states.Ownership(subscription)
	e.Id, e.Tenant, e.Kind, e.AggregateId = newID(i), key.Tenant, key.Kind, key.ID
	e.Version, e.Time = o.Version+1, timestamppb.Now()
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	_, err = j.Append(i.Context(), o.Sequence, e)
	must(i, err)
}

// moved says that a subscription of the bank's is the other customer's.
func moved(subscription string, by *lockboxv1.Actor) *lockboxv1.Event {
	return &lockboxv1.Event{Actor: by, Fact: &lockboxv1.Event_OwnershipTransferred{
		OwnershipTransferred: &lockboxv1.OwnershipTransferred{From: bank, Reason: "An insider's.",
			Owner: &lockboxv1.OwnedSubscription{Tenant: health, SubscriptionId: subscription, DisplayName: "Ours"}}}}
}

// givesAway transfers a subscription in the name of onboarding.
func (i *insider) givesAway() {
	i.Helper()
	const there = "meadow-archive"
	i.does("onboarding", register(bank, there))
	registered := i.history(journal.Replay{Kind: aggregate.KindOwnership, ID: there})
	i.owned(there, moved(there, registered[0].Event.GetActor()))
	i.told(bank, "subscription-given-up", "grace@")
	i.told(health, "subscription-registered", "hana@")
}

// letsClaim registers a subscription of the bank's at the other customer, and transfers it in their name.
func (i *insider) letsClaim() {
	i.Helper()
	const there = "meadow-vault"
	i.does("onboarding", register(bank, there))
	hana := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: i.issuer.Person("hana")}
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	seq, err := j.Append(i.Context(), 0, &lockboxv1.Event{
		Id: newID(i), Tenant: health, Kind: aggregate.KindSubscription, AggregateId: there, Version: 1,
		Time: timestamppb.Now(), Actor: hana, Fact: &lockboxv1.Event_SubscriptionRegistered{
			SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{DisplayName: "Ours"}},
	})
	must(i, err)
	i.owned(there, moved(there, hana))
	if r := i.submit(i.of(health, there)).GetRefusal(); r.GetField() != "subscription_id" {
		i.Errorf("access through the customer who claims it: %v", r)
	}
	if found := i.verified().Violations; !slices.ContainsFunc(found, func(v verify.Violation) bool {
		return v.Invariant == "I13" && v.Sequence == seq
	}) {
		i.Errorf("audit verify finds %v", found)
	}
}
