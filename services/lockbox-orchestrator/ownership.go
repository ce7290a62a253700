package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// follow lets a subscription follow its ownership at its former owner and at its owner, and returns the sequence of the
// last event that this took; 0 if it had followed already.
func (o *orchestrator) follow(ctx context.Context, about aggregate.Key, causationID string) (last uint64, err error) {
	for range attempts {
		states, err := o.repository.BasisOf(ctx, about)
		if err != nil {
			return last, err
		}
		owner := states.Ownership(about.ID)
		if owner.Contested != nil {
			o.Log.Error("ALARM: several customers registered one subscription; no access to it is given until the provider's "+
				"onboarding transfers it to the one whose it is", zap.String("subscription", about.ID),
				zap.Strings("tenants", tenantsOf(owner.Contested)))
		}
		e, err := o.process.Perform(states, about, causationID, o.Now())
		if e.Event == nil || err != nil {
			return last, err
		}
		stored, err := o.Append(ctx, o.repository, states, e)
		if err != nil && !errors.Is(err, repository.ErrConflict) {
			return last, err
		}
		for _, sequence := range stored {
			last = sequence
		}
	}
	return last, refusal.Unavailable("aggregate_id", "R48", "%s changes too often to be followed", about)
}

func tenantsOf(registered []*lockboxv1.OwnedSubscription) (tenants []string) {
	for _, r := range registered {
		tenants = append(tenants, r.GetTenant())
	}
	return tenants
}

const (
	// adoptedAtOnce is how many ownerships are read with one question.
	adoptedAtOnce = 200
	// adoptAgain is the pause before registrations that could not be read are read again.
	adoptAgain = time.Second
)

// adopt records an owner for each subscription that was registered before ownership was. Nothing is decided before that
// has been done: until then a subscription is nobody's.
func (o *orchestrator) adopt(ctx context.Context) error {
	for {
		err := o.adoptAll(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		o.Log.Warn("whose the registered subscriptions are cannot be read; nothing is decided before", zap.Error(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(adoptAgain):
		}
	}
}

func (o *orchestrator) adoptAll(ctx context.Context) error {
	registered := map[aggregate.Key][]*lockboxv1.OwnedSubscription{}
	var keys []aggregate.Key
	all := journal.Replay{Kind: aggregate.KindSubscription, Type: "SubscriptionRegistered"}
	err := o.Journal.Replay(ctx, all, func(e journal.Entry) error {
		r := &lockboxv1.OwnedSubscription{
			Tenant: e.Event.GetTenant(), SubscriptionId: e.Event.GetAggregateId(),
			DisplayName: e.Event.GetSubscriptionRegistered().GetDisplayName(),
		}
		key := aggregate.Ownership(r.GetSubscriptionId())
		if registered[key] == nil {
			keys = append(keys, key)
		}
		registered[key] = append(registered[key], r)
		return nil
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(keys, adoptedAtOnce) {
		states, err := o.repository.Basis(ctx, some...)
		if err != nil {
			return err
		}
		for _, key := range some {
			e, err := tenant.Adopt(states.Ownership(key.ID), registered[key], o.process.Actor, o.Now())
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			if e == nil {
				continue
			}
			if _, err := o.Append(ctx, o.repository, states, repository.Decided{Event: e}); err != nil {
				return err // another copy of this service was quicker
			}
		}
	}
	return nil
}
