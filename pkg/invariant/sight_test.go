package invariant_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// sight is what a tenant's people see of a history: places instead of sequences, and the evaluations withheld if hide
// is set. Details of people are encrypted, and nobody has the keys.
func sight(t *testing.T, history []invariant.Recorded, hide bool) (s *invariant.Sight, order []aggregate.Key) {
	t.Helper()
	s = invariant.NewSight()
	place := uint64(0)
	for _, r := range history {
		of := aggregate.KeyOf(r.Event)
		if of.Tenant != story.Tenant {
			continue
		}
		if place++; !slices.Contains(order, of) {
			order = append(order, of)
		}
		if hide && r.Event.GetAccessEvaluated() != nil {
			s.Hide(of, "AccessEvaluated")
			continue
		}
		e := proto.CloneOf(r.Event)
		key := erasable.Key{1}
		if err := erasable.Seal(e, func(erasable.Owner) (erasable.KeyID, erasable.Key, error) {
			return erasable.KeyID{}, key, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := erasable.Open(e, func(erasable.KeyID) (erasable.Key, erasable.Standing, error) {
			return erasable.Key{}, erasable.Destroyed, nil
		}); err != nil {
			t.Fatal(err)
		}
		s.Add(invariant.Recorded{Sequence: place, Event: e})
	}
	return s, order
}

func seen(t *testing.T, history []invariant.Recorded, hide bool) (found []invariant.Violation) {
	t.Helper()
	s, order := sight(t, history, hide)
	for _, of := range order {
		switch of.Kind {
		case aggregate.KindRequest, aggregate.KindTenant, aggregate.KindSubscription:
			broken, unchecked := s.Check(of)
			found = append(found, broken...)
			want := []string(nil)
			if hide && of.Kind == aggregate.KindRequest {
				want = []string{invariant.UncheckedEvaluation}
			}
			if !slices.Equal(unchecked, want) {
				t.Errorf("of %v it leaves unchecked %q", of, unchecked)
			}
		}
	}
	return found
}

// Whatever is withheld or encrypted, an honest history accuses nobody.
func TestAnHonestStoryAccusesNobodyToItsCustomer(t *testing.T) {
	for name, history := range map[string][]invariant.Recorded{"told": told(), "waived": waived(), "denied": denied(),
		"expired": expired(), "released": released(), "reminded": reminded(), "hurried": hurried()} {
		for _, hide := range []bool{false, true} {
			if found := seen(t, history, hide); len(found) > 0 {
				t.Errorf("%s, evaluation hidden: %t: %v", name, hide, found)
			}
		}
	}
}

// What is withheld of a tenant's roles leaves unchecked what rests on them, and nothing else.
func TestWhatIsWithheldIsNotChecked(t *testing.T) {
	s, order := sight(t, told(), false)
	s.Miss(aggregate.Tenant(story.Tenant))
	for _, of := range order {
		if of.Kind != aggregate.KindRequest {
			continue
		}
		if found, unchecked := s.Check(of); len(found) > 0 || !slices.Equal(unchecked,
			[]string{invariant.UncheckedRoles}) {
			t.Errorf("it finds %v, and leaves unchecked %q", found, unchecked)
		}
		s.Hide(of, "CustomerDenied")
		if found, unchecked := s.Check(of); len(found) > 0 || !slices.Equal(unchecked,
			[]string{invariant.UncheckedRest}) {
			t.Errorf("it finds %v, and leaves unchecked %q", found, unchecked)
		}
	}
}

// A customer finds what breaks the promises to it, whether it sees how a request was evaluated or not.
func TestACustomerFindsWhatBreaksItsPromises(t *testing.T) {
	without := func(typ string) func([]invariant.Recorded) []invariant.Recorded {
		return func(history []invariant.Recorded) []invariant.Recorded {
			history = slices.DeleteFunc(slices.Clone(history), func(r invariant.Recorded) bool {
				return aggregate.TypeOf(r.Event) == typ
			})
			n := uint64(0)
			for i, r := range history {
				if r.Event.GetKind() == aggregate.KindRequest {
					n++
					history[i].Event = proto.CloneOf(r.Event)
					history[i].Event.Version = n
				}
			}
			return history
		}
	}
	change := func(typ string, change func(*lockboxv1.Event)) func([]invariant.Recorded) []invariant.Recorded {
		return func(history []invariant.Recorded) []invariant.Recorded {
			return forgery{history, typ, change, nil, ""}.forged(t)
		}
	}
	for name, row := range map[string]struct {
		of    []invariant.Recorded
		forge func([]invariant.Recorded) []invariant.Recorded
		rule  string
		// alone means that nothing but the request's own events is needed to see it.
		alone bool
	}{
		"granted and nobody approved": {told(), without("CustomerApproved"), "I1", true},
		"granted and nobody was asked": {told(), func(h []invariant.Recorded) []invariant.Recorded {
			return without("CustomerNotified")(without("CustomerApproved")(h))
		}, "I1", true},
		"granted for longer than approved": {told(), change("AccessGranted", func(e *lockboxv1.Event) {
			e.GetAccessGranted().EndsAt.Seconds += 86400
		}), "I4", true},
		"approved after the deadline": {told(), change("CustomerApproved", func(e *lockboxv1.Event) {
			e.Time.Seconds += 30 * 86400
		}), "I3", true},
		"approved by the provider": {told(), change("CustomerApproved", func(e *lockboxv1.Event) { e.Actor = sven }), "I10",
			true},
		"granted once more": {told(), func(h []invariant.Recorded) []invariant.Recorded {
			f := forgery{h, "AccessCompleted", nil, &lockboxv1.Event{Fact: h[len(h)-2].Event.GetFact()}, ""}
			f.after.Time, f.after.Actor = h[len(h)-1].Event.GetTime(), box
			return f.forged(t)
		}, "I2", true},
		"somebody is asked who held no role": {told(), change("CustomerNotified", func(e *lockboxv1.Event) {
			e.GetCustomerNotified().Approvers[0].Person = lena.GetPerson()
		}), "I1", false},
		"somebody is not asked": {told(), change("CustomerNotified", func(e *lockboxv1.Event) {
			n := e.GetCustomerNotified()
			n.Approvers = n.Approvers[1:]
		}), "I1", false},
		"one approval where two are demanded": {told(), change("CustomerNotified", func(e *lockboxv1.Event) {
			e.GetCustomerNotified().RequiredApprovals++
		}), "I1", false},
	} {
		for _, hide := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, evaluation hidden: %t", name, hide), func(t *testing.T) {
				history := row.forge(row.of)
				s, order := sight(t, history, hide)
				var of aggregate.Key
				for _, a := range order {
					if a.Kind == aggregate.KindRequest {
						of = a
					}
				}
				found, _ := s.Check(of)
				i := slices.IndexFunc(found, func(v invariant.Violation) bool { return v.Invariant == row.rule })
				if i < 0 {
					t.Fatalf("it finds %v", found)
				}
				if s.Alone(of, found[i]) != row.alone {
					t.Errorf("alone: %t: %v", !row.alone, found[i])
				}
			})
		}
	}
}

// Roles that change while a request is decided may have been read before or after the change; long before, they may
// not.
func TestNobodyKnowsAsOfWhichEventRolesWereRead(t *testing.T) {
	for ago, wrong := range map[time.Duration]bool{10 * time.Second: false, time.Hour: true} {
		s := asked()
		history := s.History()
		at := slices.IndexFunc(history, func(r invariant.Recorded) bool { return r.Event.GetCustomerNotified() != nil })
		last := s.Clone()
		last.At(history[at].Event.GetTime().AsTime().Add(-ago)).Command(gina, story.Assign("late",
			story.Human("lena", lena), lockboxv1.Role_ROLE_OWNER,
			lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION))
		grown := last.History()
		late := grown[len(grown)-1]
		moved := slices.Insert(slices.Clone(history), at, late)
		if found := seen(t, moved, false); (len(found) > 0) != wrong {
			t.Errorf("a role of %v before: %v", ago, found)
		}
	}
}
