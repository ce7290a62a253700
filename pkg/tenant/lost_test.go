package tenant_test

import (
	"slices"
	"testing"
	"time"
)

// Whoever lost a role is told who took it and when, or that it ended by itself; nothing of what they still have.
func TestWhatSomebodyLost(t *testing.T) {
	s := contoso(t, premier)
	end := 2 * time.Hour
	s.play(t,
		row{0, gina, assign(ending(assignment("brief", otto, ownerRole, ofSubscription), end)), yes},
		row{0, gina, assign(assignment("taken", otto, approver, ofSubscription)), yes},
		row{0, gina, owner(lena), yes},
		row{1, gina, remove(ofSubscription, "taken"), yes},
		row{1, gina, remove(ofSubscription, "lena"), yes},
	)
	lost := func(at time.Duration) (ids []string) {
		for _, l := range s.subscription().Roles.Lost(otto.GetPerson(), start, start.Add(at)) {
			who := "by itself"
			if l.Actor != nil {
				who = l.Actor.GetPerson().GetSubject()
			}
			ids = append(ids, l.GetId()+" "+who+" "+l.At.Sub(start).String())
		}
		return ids
	}
	if got := lost(end - 1); !slices.Equal(got, []string{"taken gina 1ns"}) {
		t.Errorf("before the end: %q", got)
	}
	both := []string{"brief by itself 2h0m0s", "taken gina 1ns"}
	if got := lost(end); !slices.Equal(got, both) {
		t.Errorf("at the end: %q", got)
	}
	s.play(t, row{end + 1, gina, remove(ofSubscription, "brief"), yes}) // there was nothing left to take
	if got := lost(end + 1); !slices.Equal(got, both) {
		t.Errorf("removed after its end: %q", got)
	}
	s.play(t, row{end + 2, gina, assign(eligible(assignment("again", otto, ownerRole, ofSubscription))), yes})
	if got := lost(end + 2); !slices.Equal(got, both[1:]) {
		t.Errorf("can be activated again: %q", got)
	}
	if got := s.subscription().Roles.Lost(otto.GetPerson(), start.Add(end+1), start.Add(end+2)); len(got) != 0 {
		t.Errorf("long ago: %v", got)
	}
}
