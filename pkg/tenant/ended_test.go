package tenant_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

var clock = story.System("lockbox-orchestrator")

// endsAt says which assignment of the aggregate is recorded as ended at a time, if one is, and records it.
func (s customerStory) endsAt(t *testing.T, about aggregate.Key, at time.Duration) string {
	t.Helper()
	by := s.At(start.Add(at))
	e, err := tenant.Perform(s.tenant(), clock, "cause", by.Now)
	if about.Kind == aggregate.KindSubscription {
		e, err = tenant.PerformSubscription(s.subscription(), clock, "cause", by.Now)
	}
	if err != nil {
		t.Fatal(err)
	}
	if e != nil {
		e.Id = s.ID()
		s.Record(e)
	}
	return e.GetRoleEnded().GetAssignmentId()
}

// The end of a role is recorded once, when it has come, whoever holds it: a person, or a group.
func TestR33TheEndOfARoleIsRecordedOnce(t *testing.T) {
	s := grouped(t)
	end := 2 * time.Hour
	onSub := aggregate.Subscription(id, sub)
	s.play(t,
		row{0, gina, assign(ending(assignment("brief", otto, ownerRole, ofSubscription), end)), yes},
		row{0, gina, assign(ending(toGroup("approvers", ownerRole, ofSubscription), end+time.Hour)), yes},
		row{0, gina, assign(assignment("lasting", lena, ownerRole, ofSubscription)), yes},
		row{0, gina, assign(ending(assignment("auditor", lena, auditor, ofTenant), end)), yes})
	group := s.subscription().Roles.GroupAssignments()[0].GetId()
	for _, c := range []struct {
		about aggregate.Key
		at    time.Duration
		ends  string
	}{
		{onSub, end - 1, ""}, {onSub, end, "brief"}, {onSub, end, ""}, {onSub, end + time.Hour - 1, ""},
		{onSub, end + 5*time.Hour, group}, {onSub, end + 500*time.Hour, ""},
		{aggregate.Tenant(id), end - 1, ""}, {aggregate.Tenant(id), end + 1, "auditor"},
		{aggregate.Tenant(id), end + 500*time.Hour, ""},
	} {
		if got := s.endsAt(t, c.about, c.at); got != c.ends {
			t.Errorf("at %v on %s ends %q, want %q", c.at, c.about, got, c.ends)
		}
	}
	if _, due := tenant.NextDueSubscription(s.subscription()); due {
		t.Error("something is due still")
	}
	if why := s.subscription().Roles.All()[0].Inactive(start.Add(end)); why == 0 {
		t.Error("it counts again")
	}
}

// What is taken away before its end does not end, and an id that is used again ends again.
func TestR33ARoleThatWasRemovedDoesNotEnd(t *testing.T) {
	s := contoso(t, premier)
	brief := func(end time.Duration) *lockboxv1.Command {
		return assign(ending(assignment("brief", otto, ownerRole, ofSubscription), end))
	}
	s.play(t, row{0, gina, brief(time.Hour), yes}, row{1, gina, remove(ofSubscription, "brief"), yes})
	onSub := aggregate.Subscription(id, sub)
	if got := s.endsAt(t, onSub, 2*time.Hour); got != "" {
		t.Errorf("%s ends", got)
	}
	s.play(t, row{2 * time.Hour, gina, brief(3 * time.Hour), yes})
	first := s.endsAt(t, onSub, 3*time.Hour)
	s.play(t, row{4 * time.Hour, gina, remove(ofSubscription, "brief"), yes},
		row{4 * time.Hour, gina, brief(5 * time.Hour), yes})
	if again := s.endsAt(t, onSub, 5*time.Hour); first != "brief" || again != "brief" {
		t.Errorf("%q ended, and then %q", first, again)
	}
}

// A change of sign-in that is due first is made first, and the end of a role later, or the other way round.
func TestR33WhatFallsDueFirstIsDoneFirst(t *testing.T) {
	for _, end := range []time.Duration{time.Hour, 100 * time.Hour} {
		s := contoso(t, premier)
		s.play(t, row{0, gina, assign(ending(assignment("brief", otto, auditor, ofTenant), end)), yes})
		due, waits := tenant.NextDue(s.tenant())
		if !waits || !due.Equal(start.Add(end)) {
			t.Errorf("due at %v (%t)", due, waits)
		}
		changing := s.tenant()
		changing.Change = &tenant.SignInChange{DueAt: start.Add(24 * time.Hour)}
		want := min(end, 24*time.Hour)
		if due, waits = tenant.NextDue(changing); !waits || !due.Equal(start.Add(want)) {
			t.Errorf("with a change of sign-in due at %v, not after %v", due, want)
		}
	}
}

// Nobody makes a role end before its time, a second time, or in Lockbox's name.
func TestR33TheFoldsRefuseAnEndThatIsNone(t *testing.T) {
	for name, forge := range map[string]func(e *lockboxv1.Event){
		"before its end": func(e *lockboxv1.Event) { e.Time.Seconds -= 3600 },
		"by a person":    func(e *lockboxv1.Event) { e.Actor = gina },
		"of another":     func(e *lockboxv1.Event) { e.GetRoleEnded().AssignmentId = "lasting" },
		"of none":        func(e *lockboxv1.Event) { e.GetRoleEnded().AssignmentId = "none" },
	} {
		s := contoso(t, premier)
		s.play(t, row{0, gina, assign(ending(assignment("brief", otto, ownerRole, ofSubscription), time.Hour)), yes},
			row{0, gina, assign(assignment("lasting", lena, ownerRole, ofSubscription)), yes})
		e, err := tenant.PerformSubscription(s.subscription(), clock, "cause", start.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if after := tenant.EvolveSubscription(s.subscription(), 99, e); after.Fault != nil {
			t.Fatalf("%+v", after.Fault)
		}
		forge(e)
		if after := tenant.EvolveSubscription(s.subscription(), 99, e); after.Fault == nil {
			t.Errorf("%s: it is believed", name)
		}
	}
}
