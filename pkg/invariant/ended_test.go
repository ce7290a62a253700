package invariant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Roles that end by themselves: otto's first, whose end is told, and then olga's.
func TestI16TheEndOfARoleIsTold(t *testing.T) {
	const end = time.Hour
	tell := func(olgas bool) *story.Story {
		s := story.New(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
		s.ByHand = true
		gina := story.Customer(story.Tenant, "gina")
		s.Create(story.Tenant, "Contoso", nil, gina)
		s.Subscription(story.Tenant, story.Subscription, "Production")
		brief := func(name string) {
			s.Command(gina, &lockboxv1.Command{Tenant: story.Tenant, AggregateId: story.Subscription,
				Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{
					Id: name, Person: story.Customer(story.Tenant, name).GetPerson(), Role: lockboxv1.Role_ROLE_OWNER,
					Scope:     lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION,
					ExpiresAt: timestamppb.New(s.Now.Add(end))}}}})
		}
		brief("otto")
		s.Now = s.Now.Add(end)
		s.Owed(aggregate.Subscription(story.Tenant, story.Subscription))
		brief("olga")
		s.Now = s.Now.Add(end)
		if olgas {
			s.Owed(aggregate.Subscription(story.Tenant, story.Subscription))
		}
		return s
	}
	broken := func(history []invariant.Recorded, now time.Time) (what []string) {
		b := (&timeline{history}).book(t)
		b.MailsAsOf(now)
		found, err := b.Check()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range found {
			if v.Invariant == "I16" && strings.Contains(v.What, "assignment") {
				what = append(what, v.What)
			}
		}
		return what
	}
	told, silent := tell(true), tell(false)
	forged := func(change func(*lockboxv1.Event)) []invariant.Recorded {
		history := slices.Clone(told.History())
		i := slices.IndexFunc(history, func(r invariant.Recorded) bool { return r.Event.GetRoleEnded() != nil })
		history[i].Event = proto.CloneOf(history[i].Event)
		change(history[i].Event)
		return history
	}
	const not = "that has not ended"
	for name, c := range map[string]struct {
		history []invariant.Recorded
		after   time.Duration
		says    string
	}{
		"all are told":           {told.History(), 24 * time.Hour, ""},
		"one is not yet":         {silent.History(), time.Hour, ""},
		"one is not":             {silent.History(), 2 * time.Hour, "nothing tells of the end of the assignment olga"},
		"before its end":         {forged(func(e *lockboxv1.Event) { e.Time.Seconds-- }), 0, not},
		"of nobody's assignment": {forged(func(e *lockboxv1.Event) { e.GetRoleEnded().AssignmentId = "x" }), 0, not},
	} {
		got := broken(c.history, told.Now.Add(c.after))
		if (len(got) > 0) != (c.says != "") || c.says != "" && !strings.Contains(got[0], c.says) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
