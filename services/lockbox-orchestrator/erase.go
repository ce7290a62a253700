package orchestrator

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// find looks up what is behind the things that a command wants erased (R63).
func (o *orchestrator) find(ctx context.Context, about aggregate.Key, c *lockboxv1.Command) ([]aggregate.Found, error) {
	targets := c.GetEraseDetails().GetTargets()
	if len(targets) == 0 || refusal.First(erasure.Faults(c)...) != nil {
		return nil, nil //nolint:nilerr // decided without looking
	}
	if o.Keys == nil {
		return nil, refusal.Precondition("erase_details", "R63", "%s has no key store, so nothing is encrypted", Name)
	}
	found := make([]aggregate.Found, len(targets))
	for i, t := range targets {
		var err error
		switch what := t.GetWhat().(type) {
		case *lockboxv1.ErasureTarget_Person:
			p := &lockboxv1.Person{Issuer: what.Person.GetIssuer(), Subject: what.Person.GetSubject()}
			found[i].Keys, err = o.Keys.OwnerKeys(ctx, about.Tenant,
				erasable.Owner{Issuer: p.GetIssuer(), Subject: p.GetSubject()})
			if err == nil {
				found[i].Holds, err = o.holds(ctx, about.Tenant, p)
			}
			if err == nil {
				found[i].Asks, err = o.asks(ctx, about.Tenant, p)
			}
		case *lockboxv1.ErasureTarget_Address:
			found[i].Keys, err = o.Keys.OwnerKeys(ctx, about.Tenant, erasable.AddressOwner(what.Address.GetAddress()))
		case *lockboxv1.ErasureTarget_Texts:
			found[i], err = o.texts(ctx, aggregate.Key{Tenant: about.Tenant, Kind: what.Texts.GetKind(),
				ID: what.Texts.GetAggregateId()}, what.Texts.GetVersion())
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// holds reports whether somebody has a role on one of a tenant's subscriptions. No other decision reads all of them.
func (o *orchestrator) holds(ctx context.Context, of string, p *lockboxv1.Person) (holds bool, err error) {
	if of == aggregate.ProviderTenant {
		return false, nil
	}
	states, all := repository.States{}, journal.Replay{Tenant: of, Kind: aggregate.KindSubscription}
	if err := o.Journal.Replay(ctx, all, func(e journal.Entry) error {
		states.Add(e.Seq, e.Event)
		return nil
	}); err != nil {
		return false, err
	}
	for key := range states {
		if states.Subscription(of, key.ID).Roles.Involves(p, o.Now()) {
			return true, nil
		}
	}
	return false, nil
}

// asks reports whether somebody has a request at a tenant that has not ended: without their address it could not be
// told whether an approver shares it, and approvers would not see whom they let in.
func (o *orchestrator) asks(ctx context.Context, of string, p *lockboxv1.Person) (bool, error) {
	open, err := o.Journal.Timers(ctx, of, aggregate.KindRequest)
	if err != nil {
		return false, err
	}
	for some := range slices.Chunk(open, requestsAtOnce) {
		states, err := o.repository.BasisOf(ctx, some...)
		if err != nil {
			return false, err
		}
		for _, about := range some {
			if r := states.Request(about); !request.Ended(r.Status) && tenant.SamePerson(r.Requester.GetPerson(), p) {
				return true, nil
			}
		}
	}
	return false, nil
}

// texts returns who caused an event, and with which keys its texts are encrypted, as far as there still are some.
func (o *orchestrator) texts(ctx context.Context, about aggregate.Key, version string) (f aggregate.Found, err error) {
	e, err := o.Journal.At(ctx, about, version)
	if e.Seq == 0 || err != nil {
		return f, err
	}
	stored, err := input.DecodeEvent(e.Data)
	if err != nil {
		return f, err
	}
	f.By = e.Event.GetActor()
	if about.Kind == aggregate.KindDisclosure {
		states, err := o.repository.Basis(ctx, about)
		if err != nil {
			return f, err
		}
		f.Untold = states.Disclosure(about.Tenant, about.ID).ToldAt.IsZero()
	}
	f.Keys, err = o.Keys.Left(ctx, erasable.Keys(stored, true))
	return f, err
}

// destroy destroys the keys of an erasure that was decided, and records that.
func (o *orchestrator) destroy(ctx context.Context, about aggregate.Key, causationID string) error {
	for {
		states, err := o.repository.Basis(ctx, about)
		if err != nil {
			return err
		}
		s := states.Erasure(about)
		if s.Fault != nil || s.Status != erasure.Decided {
			return nil
		}
		if o.Keys == nil {
			return refusal.Unavailable("", "I11", "%s has no key store, and %s waits to be carried out", Name, about)
		}
		n, err := o.Keys.Destroy(ctx, about.ID, s.Keys()...)
		if err != nil {
			return err
		}
		e, err := erasure.Carry(s, n, o.process.Actor, causationID, o.Now())
		if e == nil || err != nil {
			return err
		}
		if err := repository.Identify(e); err != nil {
			return err
		}
		if _, err = o.Append(ctx, o.repository, states, repository.Decided{Event: e}); !errors.Is(err, journal.ErrConflict) {
			return err
		}
	}
}

// destroyAgain destroys once more what was decided to be erased: a backup of the key store that was restored may have
// brought it back.
func (o *orchestrator) destroyAgain(ctx context.Context) error {
	if o.Keys == nil {
		return nil
	}
	// What was decided and not carried out is about to be.
	gone, err := Erased(ctx, o.Journal, func(s erasure.State) bool { return s.Status == erasure.Destroyed })
	if err != nil {
		return err
	}
	left, err := o.Keys.Left(ctx, gone)
	if len(left) == 0 || err != nil {
		return err
	}
	o.Log.Warn("keys that were destroyed were there again, and are destroyed again", zap.Int("keys", len(left)))
	_, err = o.Keys.Destroy(ctx, uuid.Must(uuid.NewV7()).String(), left...)
	return err
}

// Erased returns the keys of those erasures in the stream that are wanted.
func Erased(
	ctx context.Context, j *journal.Journal, wanted func(erasure.State) bool,
) (keys []erasable.KeyID, err error) {
	all := map[aggregate.Key]erasure.State{}
	err = j.Replay(ctx, journal.Replay{Kind: aggregate.KindErasure}, func(e journal.Entry) error {
		about := aggregate.KeyOf(e.Event)
		all[about] = erasure.Evolve(all[about], e.Seq, e.Event)
		return nil
	})
	for _, s := range all {
		if wanted(s) {
			keys = append(keys, s.Keys()...)
		}
	}
	return keys, err
}
