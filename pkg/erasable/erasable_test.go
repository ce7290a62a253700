package erasable_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// store is a key store in memory: each owner has a key, and each event one for its texts.
type store struct {
	ids  map[erasable.Owner]erasable.KeyID
	keys map[erasable.KeyID]erasable.Key
	gone map[erasable.KeyID]bool
}

func newStore() *store {
	return &store{map[erasable.Owner]erasable.KeyID{}, map[erasable.KeyID]erasable.Key{}, map[erasable.KeyID]bool{}}
}

func (s *store) of(o erasable.Owner) (erasable.KeyID, erasable.Key, error) {
	id, known := s.ids[o]
	if !known {
		id.Page[0], id.Place = byte(len(s.keys)+1), uint8(len(s.keys)) //nolint:gosec // G115: few
		s.ids[o], s.keys[id] = id, erasable.Key{byte(len(s.keys) + 1)}
	}
	return id, s.keys[id], nil
}

func (s *store) find(id erasable.KeyID) (erasable.Key, erasable.Standing, error) {
	if s.gone[id] {
		return erasable.Key{}, erasable.Destroyed, nil
	}
	key, known := s.keys[id]
	if !known {
		return key, erasable.Unknown, nil
	}
	return key, erasable.Readable, nil
}

func denied() *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: "contoso", Kind: "request", AggregateId: "r", Version: 4,
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{
			Issuer: "https://id.example", Subject: "otto", DisplayName: "Otto Okoye", Email: "otto@contoso.example"}},
		Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "Not while we audit."}},
	}
}

func TestWhatIsSealedOpensAgain(t *testing.T) {
	e, s := denied(), newStore()
	must(t, erasable.Seal(e, s.of))
	stored, err := proto.Marshal(e)
	must(t, err)
	for _, plain := range []string{"Otto", "contoso.example", "audit"} {
		if strings.Contains(string(stored), plain) {
			t.Errorf("the stored event shows %q", plain)
		}
	}
	for _, stays := range []string{"https://id.example", "otto", "contoso"} {
		if !strings.Contains(string(stored), stays) {
			t.Errorf("the stored event has lost %q, on which folds decide", stays)
		}
	}
	again := proto.CloneOf(e)
	must(t, erasable.Seal(again, s.of))
	if !proto.Equal(e, again) {
		t.Error("what is encrypted was encrypted again")
	}
	must(t, erasable.Open(e, s.find))
	if !proto.Equal(e, denied()) {
		t.Errorf("opened: %v", e)
	}
}

func TestWithoutAKeyOnlyItsOwnValuesAreGone(t *testing.T) {
	e, s := denied(), newStore()
	must(t, erasable.Seal(e, s.of))
	texts := erasable.Keys(e, true)
	if all := erasable.Keys(e, false); len(all) != 2 || len(texts) != 1 {
		t.Fatalf("%d keys, %d of them of texts", len(all), len(texts))
	}
	s.gone[texts[0]] = true
	one := proto.CloneOf(e)
	must(t, erasable.Open(one, s.find))
	want := denied()
	want.GetCustomerDenied().Reason = erasable.Erased
	if !proto.Equal(one, want) {
		t.Errorf("without the text's key: %v", one)
	}
	s.gone[s.ids[erasable.Owner{Issuer: "https://id.example", Subject: "otto"}]] = true
	must(t, erasable.Open(e, s.find))
	want.Actor.Person = &lockboxv1.Person{Issuer: "https://id.example", Subject: "otto", Erased: true}
	if !proto.Equal(e, want) {
		t.Errorf("without both keys: %v", e)
	}
}

func TestALostKeyIsNotCalledErased(t *testing.T) {
	e := denied()
	must(t, erasable.Seal(e, newStore().of))
	must(t, erasable.Open(e, newStore().find))
	if p := e.GetActor().GetPerson(); p.GetErased() || p.GetDisplayName() != "" || p.GetEmail() != "" ||
		e.GetCustomerDenied().GetReason() != erasable.Unreadable {
		t.Errorf("%v", e)
	}
}

func TestAChangedValueIsNotRead(t *testing.T) {
	id, key := erasable.KeyID{Place: 3}, erasable.Key{1}
	value := erasable.Encrypt(id, key, "Not while we audit.")
	for i := 1; i < len(value); i++ {
		for _, by := range []byte("A_z9") {
			if value[i] == by {
				continue
			}
			changed := value[:i] + string(by) + value[i+1:]
			if text, err := erasable.Decrypt(changed, key); err == nil {
				t.Fatalf("with byte %d changed it reads %q", i, text)
			}
		}
	}
	if _, err := erasable.Decrypt(value, erasable.Key{2}); !errors.Is(err, erasable.ErrDamaged) {
		t.Errorf("with another key: %v", err)
	}
}

func TestTheSameTextGivesTheSameValueUnderOneKeyOnly(t *testing.T) {
	a := erasable.Encrypt(erasable.KeyID{}, erasable.Key{1}, "Otto")
	if a != erasable.Encrypt(erasable.KeyID{}, erasable.Key{1}, "Otto") {
		t.Error("it gives two values")
	}
	if a == erasable.Encrypt(erasable.KeyID{}, erasable.Key{2}, "Otto") ||
		a == erasable.Encrypt(erasable.KeyID{Place: 1}, erasable.Key{1}, "Otto") {
		t.Error("it gives one value under two keys")
	}
}

func TestAnAddressHasOneKeyHoweverItIsWritten(t *testing.T) {
	if erasable.AddressOwner(" Otto@Contoso.example") != erasable.AddressOwner("otto@contoso.example") {
		t.Error("it has two")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
