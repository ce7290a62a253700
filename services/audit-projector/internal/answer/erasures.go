package answer

import (
	"context"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
	"google.golang.org/protobuf/proto"
)

// listErasures returns erasures to the tenant's Global Administrators and Auditors, and to security officers (R63).
func (v *viewer) listErasures(ctx context.Context, ask *lockboxv1.ListErasures) (*lockboxv1.ErasureList, error) {
	limit, err := pageLimit("list_erasures.limit", ask.GetLimit())
	if err == nil && ask.GetErasureId() != "" {
		err = input.Token("list_erasures.erasure_id", ask.GetErasureId())
	}
	if err != nil {
		return nil, err
	}
	if !v.seesErasures() {
		return nil, notFound()
	}
	rows, err := v.Erasures(ctx, v.scope, ask.GetErasureId(), limit)
	if err != nil {
		return nil, err
	}
	history, err := v.History(ctx, rows, false)
	if err != nil {
		return nil, err
	}
	list, size := new(lockboxv1.ErasureList), 0
	for _, r := range rows {
		shown, err := v.erasure(ctx, history[r.Sequence])
		if err != nil {
			return nil, err
		}
		if shown == nil {
			continue
		}
		if size += proto.Size(shown) + 8; size > largest {
			break
		}
		list.Erasures = append(list.Erasures, shown)
	}
	return list, nil
}

func (v *viewer) seesErasures() bool {
	if v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		return v.scope.All && v.sees()
	}
	return holds(v.customer.Tenant.Roles.Held(v.by.GetPerson(), v.now), lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
		lockboxv1.Role_ROLE_AUDITOR)
}

// erasure returns what the viewer is shown of an erasure; nil if it would tell of a disclosure of which the customer
// may not know yet (R46).
func (v *viewer) erasure(ctx context.Context, events []projection.Event) (*lockboxv1.ErasureView, error) {
	var s erasure.State
	for _, e := range events {
		s = erasure.Evolve(s, e.Sequence, e.Event)
	}
	shown := view.Erasure(s, events)
	for _, t := range s.Targets {
		target := &lockboxv1.ErasureTargetView{Target: t}
		switch what := t.GetWhat().(type) {
		case *lockboxv1.ErasureTarget_Person:
			p, err := v.called(ctx, s, what.Person)
			if err != nil {
				return nil, err
			}
			target.Person = p
		case *lockboxv1.ErasureTarget_Texts:
			e, err := v.At(ctx, v.scope, aggregate.Key{Tenant: s.Tenant, Kind: what.Texts.GetKind(),
				ID: what.Texts.GetAggregateId()}, what.Texts.GetVersion())
			switch {
			case err != nil:
				return nil, err
			case e != nil:
				entry := v.language.Entry(e.Sequence, e.Event)
				target.Type, target.Title, target.Time, target.Actor = entry.GetType(), entry.GetTitle(), entry.GetTime(),
					entry.GetActor()
			case what.Texts.GetKind() == aggregate.KindDisclosure && !v.scope.Untold:
				return nil, nil //nolint:nilnil // it is not shown
			}
		}
		shown.Targets = append(shown.Targets, target)
	}
	shown.Allowed = v.allowedOn(s)
	return shown, nil
}

// erasableOf returns the versions of the events in which somebody wrote something that the viewer could have erased
// now.
func (v *viewer) erasableOf(events []projection.Event) (versions []uint64, err error) {
	officer := v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER && v.scope.All
	may := officer || v.customer != nil && v.customer.Tenant.MayErase(v.anew, "R63", v.now) == nil
	if !may {
		return nil, nil
	}
	for _, e := range events {
		if e.Event.GetVersion() == 0 || e.Event.GetActor().GetPerson() == nil || len(erasable.Texts(e.Event)) == 0 ||
			!officer && !aggregate.Customer(e.Event.GetActor()) {
			continue
		}
		stored, err := input.DecodeEvent(e.Bytes)
		if err != nil {
			return nil, err
		}
		if len(erasable.Keys(stored, true)) > 0 {
			versions = append(versions, e.Event.GetVersion())
		}
	}
	return versions, nil
}

// called returns a person by the name that they have at the erasure's tenant, unless it was erased.
func (v *viewer) called(
	ctx context.Context, s erasure.State, who *lockboxv1.ErasedPerson,
) (*lockboxv1.Person, error) {
	p := &lockboxv1.Person{Issuer: who.GetIssuer(), Subject: who.GetSubject()}
	if p.Erased = s.Status == erasure.Destroyed; p.GetErased() {
		return p, nil
	}
	name, err := v.displayName(ctx, s.Tenant, p)
	p.DisplayName = name
	return p, err
}

// displayName is the name that a person has at a tenant: of a role, or else when they acted last.
func (v *viewer) displayName(ctx context.Context, tenantID string, p *lockboxv1.Person) (string, error) {
	if c := v.Customer(tenantID); c != nil {
		all := c.Tenant.Roles.All()
		for _, sub := range c.Subscriptions {
			all = append(slices.Clip(all), sub.Roles.All()...)
		}
		for _, a := range all {
			if tenant.SamePerson(a.GetPerson(), p) {
				return a.GetPerson().GetDisplayName(), nil
			}
		}
	}
	e, err := v.LastOf(ctx, tenantID, p)
	if e != nil && tenant.SamePerson(e.Event.GetActor().GetPerson(), p) {
		return e.Event.GetActor().GetPerson().GetDisplayName(), err
	}
	return "", err
}

// allowedOn lists the verbs of the commands about an erasure that the viewer could give now.
func (v *viewer) allowedOn(s erasure.State) (verbs []string) {
	var t tenant.State
	if c := v.Customer(s.Tenant); c != nil {
		t = c.Tenant
	}
	for _, c := range []*lockboxv1.Command{
		{Action: &lockboxv1.Command_ConfirmErasure{ConfirmErasure: &lockboxv1.ConfirmErasure{}}},
		{Action: &lockboxv1.Command_DeclineErasure{DeclineErasure: &lockboxv1.DeclineErasure{}}},
	} {
		c.Tenant, c.AggregateId = s.Tenant, s.ID
		if e, err := erasure.Decide(s, t, aggregate.Command{Command: c, By: v.anew}, v.now); e != nil && err == nil {
			verbs = append(verbs, bus.Verb(c))
		}
	}
	return verbs
}
