package invariant_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// owned is an event about whose the story's subscription is, at an hour, as onboarding would write it.
func owned(hours int, version uint64, e *lockboxv1.Event) *lockboxv1.Event {
	key := aggregate.Ownership(story.Subscription)
	e.Tenant, e.Kind, e.AggregateId, e.Version = key.Tenant, key.Kind, key.ID, version
	e.Time, e.Actor = timestamppb.New(start.Add(time.Duration(hours)*time.Hour)),
		story.Provider("ona", aggregate.Onboarding)
	return e
}

// moved says that it went to another customer.
func moved() *lockboxv1.Event {
	to := &lockboxv1.OwnedSubscription{Tenant: "fabrikam", SubscriptionId: story.Subscription}
	return &lockboxv1.Event{Fact: &lockboxv1.Event_OwnershipTransferred{
		OwnershipTransferred: &lockboxv1.OwnershipTransferred{From: story.Tenant, Owner: to}}}
}

// control: nist:AC-3, nist:AU-6
func TestNobodyGetsAtAnothersSubscriptionUnseen(t *testing.T) {
	for name, f := range map[string]forgery{
		"an owner recorded by the customer": {told(), "OwnershipRecorded", func(e *lockboxv1.Event) { e.Actor = gina }, nil,
			"I13"},
		"another customer's subscription": {told(), "OwnershipRecorded",
			func(e *lockboxv1.Event) { e.GetOwnershipRecorded().Owner.Tenant = "fabrikam" }, nil, "I13"},
		"another subscription's owner": {told(), "OwnershipRecorded",
			func(e *lockboxv1.Event) { e.GetOwnershipRecorded().Owner.SubscriptionId = "sub-2" }, nil, "I13"},
		"adopted without a registration": {told(), "OwnershipRecorded",
			func(e *lockboxv1.Event) { e.GetOwnershipRecorded().Adopted, e.Actor = true, box }, nil, "I13"},
		"a second owner": {told(), "CustomerNotified", nil, owned(1, 2, &lockboxv1.Event{
			Fact: &lockboxv1.Event_OwnershipRecorded{OwnershipRecorded: &lockboxv1.OwnershipRecorded{
				Owner: &lockboxv1.OwnedSubscription{Tenant: "fabrikam", SubscriptionId: story.Subscription}}}}), "I13"},
		"a grant after a transfer": {told(), "CustomerNotified", nil, owned(1, 2, moved()), "I13"},
		"a transfer by the customer": {told(), "AccessGranted", nil, func() *lockboxv1.Event {
			e := owned(5, 2, moved())
			e.Actor = gina
			return e
		}(), "I13"},
		"a transfer from somebody else": {told(), "AccessGranted", nil, func() *lockboxv1.Event {
			e := owned(5, 2, moved())
			e.GetOwnershipTransferred().From = "sakura"
			return e
		}(), "I13"},
		"registered without being the owner": {told(), "AccessRequested", nil, func() *lockboxv1.Event {
			e := owned(0, 1, &lockboxv1.Event{Fact: &lockboxv1.Event_SubscriptionRegistered{}})
			e.Tenant, e.Kind, e.AggregateId = "fabrikam", aggregate.KindSubscription, "SUB-1"
			return e
		}(), "I13"},
		"an owner that was not read": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().OwnershipSequence = 0 }, nil, "I13"},
		"an owner read in the future": {told(), "AccessGranted",
			func(e *lockboxv1.Event) { e.GetAccessGranted().OwnershipSequence = 99 }, nil, "I13"},
		"a subscription of nobody's": {told(), "AccessRequested",
			func(e *lockboxv1.Event) { e.GetAccessRequested().Intent.SubscriptionId = "sub-9" }, nil, "I13"},
	} {
		t.Run(name, f.isFound)
	}
}
