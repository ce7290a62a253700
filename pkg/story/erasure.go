package story

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Erase has somebody erase something of a tenant (R63), and returns the erasure's id. By a security officer it waits
// for another one.
func (s *Story) Erase(by *lockboxv1.Actor, tenantID, reason string, targets ...*lockboxv1.ErasureTarget) string {
	id := s.ID()
	s.Command(by, &lockboxv1.Command{Tenant: tenantID, AggregateId: id, Action: &lockboxv1.Command_EraseDetails{
		EraseDetails: &lockboxv1.EraseDetails{Targets: targets, Reason: reason}}})
	return id
}

// Confirm has a security officer confirm an erasure.
func (s *Story) Confirm(by *lockboxv1.Actor, tenantID, id string) {
	s.Command(by, &lockboxv1.Command{Tenant: tenantID, AggregateId: id,
		Action: &lockboxv1.Command_ConfirmErasure{ConfirmErasure: &lockboxv1.ConfirmErasure{}}})
}

// ErasePerson is a person as a thing to erase.
func ErasePerson(p *lockboxv1.Person) *lockboxv1.ErasureTarget {
	return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Person{
		Person: &lockboxv1.ErasedPerson{Issuer: p.GetIssuer(), Subject: p.GetSubject()}}}
}

// EraseAddress is a mail address as a thing to erase.
func EraseAddress(address string) *lockboxv1.ErasureTarget {
	return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Address{
		Address: &lockboxv1.ErasedAddress{Address: address}}}
}

// EraseTexts are the texts of an event as a thing to erase.
func EraseTexts(of aggregate.Key, version uint64) *lockboxv1.ErasureTarget {
	return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Texts{Texts: &lockboxv1.ErasedTexts{
		Kind: of.Kind, AggregateId: of.ID, Version: strconv.FormatUint(version, 10)}}}
}

// found stands for a key store: every person, address and event has a key, until it is destroyed.
func (s *Story) found(tenantID string, targets []*lockboxv1.ErasureTarget) []aggregate.Found {
	found := make([]aggregate.Found, len(targets))
	for i, t := range targets {
		name := ""
		switch what := t.GetWhat().(type) {
		case *lockboxv1.ErasureTarget_Person:
			name = what.Person.GetIssuer() + " " + what.Person.GetSubject()
			found[i].Holds = s.holds(tenantID, &lockboxv1.Person{Issuer: what.Person.GetIssuer(),
				Subject: what.Person.GetSubject()})
		case *lockboxv1.ErasureTarget_Address:
			name = erasable.AddressOwner(what.Address.GetAddress()).Address
		case *lockboxv1.ErasureTarget_Texts:
			found[i].By = s.causer(aggregate.Key{Tenant: tenantID, Kind: what.Texts.GetKind(),
				ID: what.Texts.GetAggregateId()}, what.Texts.GetVersion())
			if found[i].By == nil {
				continue
			}
			name = what.Texts.GetKind() + " " + what.Texts.GetAggregateId() + " " + what.Texts.GetVersion()
		}
		var id erasable.KeyID
		sum := sha256.Sum256([]byte(tenantID + " " + name))
		copy(id.Page[:], sum[:])
		if !s.destroyed(id) {
			found[i].Keys = []erasable.KeyID{id}
		}
	}
	return found
}

// holds reports whether somebody has a role on one of a tenant's subscriptions.
func (s *Story) holds(tenantID string, p *lockboxv1.Person) bool {
	for key := range s.States {
		if key.Tenant == tenantID && key.Kind == aggregate.KindSubscription &&
			s.States.Subscription(tenantID, key.ID).Roles.Involves(p, s.Now) {
			return true
		}
	}
	return false
}

// causer returns who caused an event; nil if there is no such event.
func (s *Story) causer(of aggregate.Key, version string) *lockboxv1.Actor {
	for _, e := range s.Entries {
		if aggregate.KeyOf(e.Event) == of && strconv.FormatUint(e.Event.GetVersion(), 10) == version {
			return e.Event.GetActor()
		}
	}
	return nil
}

func (s *Story) destroyed(id erasable.KeyID) bool {
	for _, e := range s.Entries {
		is := s.States.Erasure(aggregate.KeyOf(e.Event))
		if e.Event.GetKeysDestroyed() != nil && slices.Contains(is.Keys(), id) {
			return true
		}
	}
	return false
}

// destroy carries out an erasure that was decided.
func (s *Story) destroy(about aggregate.Key) {
	is := s.States.Erasure(about)
	e, err := erasure.Carry(is, len(is.Keys()), System("lockbox-orchestrator"), s.ID(), s.Now)
	s.must("erasure", e, err)
}

// Erased returns an event of which everything was erased that can be.
func Erased(e *lockboxv1.Event) *lockboxv1.Event {
	var id erasable.KeyID
	var key erasable.Key
	e = proto.CloneOf(e)
	err := erasable.Seal(e, func(erasable.Owner) (erasable.KeyID, erasable.Key, error) { return id, key, nil })
	if err == nil {
		err = erasable.Open(e, func(erasable.KeyID) (erasable.Key, erasable.Standing, error) {
			return key, erasable.Destroyed, nil
		})
	}
	if err != nil {
		panic(fmt.Sprintf("story: %v", err))
	}
	return e
}
