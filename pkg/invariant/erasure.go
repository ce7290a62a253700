package invariant

import (
	"slices"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// mostErased is how many things one erasure has at most.
const mostErased = 50

// erasedRightly is I22: keys are destroyed only after two different security officers decided so, or one of the
// tenant's Global Administrators about the tenant's own people and what they wrote.
func erasedRightly(b *book, of aggregate.Key, events []Recorded, broken say) {
	if of.Kind != aggregate.KindErasure {
		return
	}
	var proposed, decided, ended *Recorded
	for i := range events {
		r := &events[i]
		by := r.Event.GetActor()
		who := by.GetPerson().GetSubject()
		if ended != nil {
			broken("I22", *r, "the erasure had ended")
		}
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_ErasureProposed:
			if proposed != nil || decided != nil || !isOfficer(by) {
				broken("I22", *r, "%s proposed to erase something", who)
			}
			targetsNamed(f.ErasureProposed.GetTargets(), *r, broken)
			proposed = r
		case *lockboxv1.Event_ErasureDecided:
			targetsNamed(f.ErasureDecided.GetTargets(), *r, broken)
			switch {
			case decided != nil:
				broken("I22", *r, "decided a second time")
			case proposed == nil:
				b.erasesItsOwn(of, f.ErasureDecided.GetTargets(), *r, broken)
			case !isOfficer(by) || oneHuman(by.GetPerson(), proposed.Event.GetActor().GetPerson()):
				broken("I22", *r, "%s confirmed what %s wants erased", who, proposed.Event.GetActor().GetPerson().GetSubject())
			case !slices.EqualFunc(f.ErasureDecided.GetTargets(), proposed.Event.GetErasureProposed().GetTargets(),
				func(x, y *lockboxv1.ErasureTarget) bool { return proto.Equal(x, y) }):
				broken("I22", *r, "decided to erase other things than were proposed")
			}
			decided = r
		case *lockboxv1.Event_ErasureDeclined:
			if proposed == nil || decided != nil || !isOfficer(by) {
				broken("I22", *r, "%s declined what did not wait", who)
			}
			ended = r
		case *lockboxv1.Event_KeysDestroyed:
			if decided == nil || by.GetSide() != lockboxv1.Side_SIDE_SYSTEM {
				broken("I22", *r, "keys were destroyed, and nobody had decided so")
			}
			ended = r
		}
	}
	if late := b.newest.Sub(instant(events[len(events)-1])); decided != nil && ended == nil && late > endMissing {
		broken("I22", *decided, "nothing says that the keys were destroyed, %s later", late)
	}
}

func isOfficer(a *lockboxv1.Actor) bool {
	return a.GetSide() == lockboxv1.Side_SIDE_PROVIDER && a.GetPerson().GetSubject() != "" &&
		slices.Contains(a.GetGroups(), aggregate.SecurityOfficers)
}

// targetsNamed: whatever is erased is named, with its keys.
func targetsNamed(targets []*lockboxv1.ErasureTarget, r Recorded, broken say) {
	if len(targets) == 0 || len(targets) > mostErased {
		broken("I22", r, "erases %d things", len(targets))
	}
	for _, t := range targets {
		unknown := slices.ContainsFunc(t.GetKeyIds(), func(id []byte) bool {
			_, is := erasable.ParseKeyID(id)
			return !is
		})
		if unknown || len(t.GetKeyIds()) == 0 || t.GetWhat() == nil {
			broken("I22", r, "does not say what is erased, or with which keys")
		}
	}
}

// erasesItsOwn checks what a tenant's administrator decided alone.
func (b *book) erasesItsOwn(of aggregate.Key, targets []*lockboxv1.ErasureTarget, r Recorded, broken say) {
	who := r.Event.GetActor().GetPerson().GetSubject()
	if of.Tenant == aggregate.ProviderTenant || !b.administers(of.Tenant, r) ||
		r.Event.GetActor().GetSide() != lockboxv1.Side_SIDE_TENANT {
		broken("I22", r, "%s decided alone to erase something, and is no administrator of the tenant", who)
	}
	for _, t := range targets {
		own := false
		switch what := t.GetWhat().(type) {
		case *lockboxv1.ErasureTarget_Person:
			own = b.couldSignIn(of.Tenant, what.Person.GetIssuer(), r)
		case *lockboxv1.ErasureTarget_Texts:
			events := b.find(aggregate.Key{Tenant: of.Tenant, Kind: what.Texts.GetKind(), ID: what.Texts.GetAggregateId()})
			at := slices.IndexFunc(events, func(e Recorded) bool {
				version := e.Event.GetReportKey()
				if version == "" {
					version = strconv.FormatUint(e.Event.GetVersion(), 10)
				}
				return version == what.Texts.GetVersion() && e.Sequence < r.Sequence
			})
			// Of an aggregate that is not in the history nothing is known.
			own = len(events) == 0 || at >= 0 && events[at].Event.GetActor().GetSide() == lockboxv1.Side_SIDE_TENANT
		}
		if !own {
			broken("I22", r, "%s decided alone to erase what is not the tenant's own", who)
		}
	}
}
