package projector

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// keyStore opens everything, until the one person's key is gone.
type keyStore struct {
	erased erasable.Owner
	gone   atomic.Bool
}

func keyID(o erasable.Owner) (id erasable.KeyID) {
	sum := sha256.Sum256([]byte(o.Issuer + o.Subject + o.Address))
	copy(id.Page[:], sum[:])
	return id
}

func (k *keyStore) Open(_ context.Context, e *lockboxv1.Event) error {
	return erasable.Open(e, func(id erasable.KeyID) (erasable.Key, erasable.Standing, error) {
		if id == keyID(k.erased) && k.gone.Load() {
			return erasable.Key{}, erasable.Destroyed, nil
		}
		return erasable.Key{}, erasable.Readable, nil
	})
}

func (*keyStore) Forget() {}

// R63: a person's key that a backup had brought back is destroyed once more, of which the stream tells nothing new. As
// soon as the service hears of it, nobody is found by that name.
func TestItForgetsWhenItHearsThatKeysAreGone(t *testing.T) {
	t.Parallel()
	c := story.Crowd(40)
	engineer := story.Provider("engineer-07").GetPerson()
	k := &keyStore{erased: erasable.Owner{Issuer: engineer.GetIssuer(), Subject: engineer.GetSubject()}}
	id := keyID(k.erased)
	targets := []*lockboxv1.ErasureTarget{{KeyIds: [][]byte{id.Bytes()}, What: &lockboxv1.ErasureTarget_Person{
		Person: &lockboxv1.ErasedPerson{Issuer: engineer.GetIssuer(), Subject: engineer.GetSubject()}}}}
	about := aggregate.Erasure("meadowbank", c.ID())
	for i, e := range []*lockboxv1.Event{
		{Actor: story.Provider("olga", aggregate.SecurityOfficers), Fact: &lockboxv1.Event_ErasureProposed{
			ErasureProposed: &lockboxv1.ErasureProposed{Targets: targets}}},
		{Actor: story.Provider("oscar", aggregate.SecurityOfficers), Fact: &lockboxv1.Event_ErasureDecided{
			ErasureDecided: &lockboxv1.ErasureDecided{Targets: targets}}},
		{Actor: story.System("lockbox-orchestrator"), Fact: &lockboxv1.Event_KeysDestroyed{
			KeysDestroyed: &lockboxv1.KeysDestroyed{Count: 1}}},
	} {
		e.Id, e.Tenant, e.Kind, e.AggregateId, e.Version = c.ID(), about.Tenant, about.Kind, about.ID, uint64(i+1)
		e.Time = timestamppb.New(c.Now)
		c.Record(e)
	}
	entries := make([]journal.Entry, len(c.Entries))
	for i, e := range c.Entries {
		stored := proto.CloneOf(e.Event)
		must(t, erasable.Seal(stored, func(o erasable.Owner) (erasable.KeyID, erasable.Key, error) {
			return keyID(o), erasable.Key{}, nil
		}))
		data, err := proto.Marshal(stored)
		must(t, err)
		entries[i] = e
		entries[i].Data = data
	}
	forget := make(chan struct{}, 1)
	r := start(t, t.TempDir(), &story.Stream{Entries: entries, More: make(chan journal.Entry)}, func(f *follower) {
		f.details, f.forget = k, forget
	})
	defer r.end()
	s := r.store()
	found := func() int {
		v, err := s.Snapshot(t.Context())
		must(t, err)
		list, err := v.Activities(t.Context(), projection.Scope{All: true},
			projection.ActivityFilter{Person: engineer.GetDisplayName()}, 1000)
		must(t, err)
		must(t, v.Close())
		return len(list)
	}
	if found() == 0 {
		t.Fatal("nobody is found while there is a key")
	}
	k.gone.Store(true)
	forget <- struct{}{}
	for end := time.Now().Add(time.Minute); found() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("they are found all the same")
		}
	}
}
