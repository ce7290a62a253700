package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// identify records which human an actor's account is of, unless the tenant knows it (R51).
func (o *orchestrator) identify(ctx context.Context, tenantID string, by *lockboxv1.Actor, causationID string) error {
	if !aggregate.Customer(by) || by.GetPerson().GetHuman() == "" {
		return nil
	}
	about := aggregate.Tenant(tenantID)
	states, err := o.repository.Recent(ctx, about, 0) // what is known there is known at the leader
	for range attempts {
		if err != nil {
			return err
		}
		var e *lockboxv1.Event
		if e, err = tenant.Identify(states.Tenant(tenantID), by, causationID, o.Now()); e == nil || err != nil {
			return err
		}
		_, err = o.Append(ctx, o.repository, states, repository.Decided{Event: e})
		if !errors.Is(err, repository.ErrConflict) {
			return err
		}
		states, err = o.repository.Basis(ctx, about)
	}
	return refusal.Unavailable("tenant", "R51", "%s changes too often", about)
}

// warning returns what whoever gave or took a role should know: another account of the same human holds one there.
func warning(states repository.States, about aggregate.Key, e *lockboxv1.Event) string {
	assigned := e.GetRoleAssigned().GetAssignment().GetPerson()
	if as := e.GetInvitationConfirmed().GetAssignment(); as != nil {
		assigned = as.GetPerson()
	}
	if as := e.GetRoleActivated().GetAssignment(); as != nil {
		assigned = as.GetPerson()
	}
	if assigned == nil {
		return ""
	}
	t := states.Tenant(about.Tenant)
	roles := t.Roles
	if about.Kind == aggregate.KindSubscription {
		roles = states.Subscription(about.Tenant, about.ID).Roles
	}
	other := t.OtherAccount(roles, assigned)
	if other == nil {
		return ""
	}
	return fmt.Sprintf("%s is another account of %s: both are asked, and one person counts once", assigned.GetSubject(),
		other.GetSubject())
}
