package notifier

import (
	"fmt"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// erase has something erased each time that much has happened: by the administrator, by two officers, or not at all.
func (h *happenings) erase() {
	h.steps++
	if h.steps%60 != 0 {
		return
	}
	tenant, nth := customers[h.steps/60%2], h.steps/60%3
	var of *lockboxv1.Event
	for _, e := range h.Entries {
		own := e.Event.GetActor().GetSide() == lockboxv1.Side_SIDE_TENANT
		if e.Event.GetTenant() == tenant && (own || nth > 0) && !h.wanted[e.Event.GetId()] {
			of = e.Event
			break
		}
	}
	if of == nil {
		return
	}
	h.wanted[of.GetId()] = true
	by, id := admin(tenant), h.ID()
	if nth > 0 {
		by = story.Provider("sofia", aggregate.SecurityOfficers)
	}
	h.try(by, tenant, id, &lockboxv1.Command{Action: &lockboxv1.Command_EraseDetails{EraseDetails: &lockboxv1.EraseDetails{
		Targets: []*lockboxv1.ErasureTarget{story.EraseTexts(aggregate.KeyOf(of), of.GetVersion())},
		Reason:  "It has to go."}}})
	sam := story.Provider("sam", aggregate.SecurityOfficers)
	switch nth {
	case 1:
		h.try(sam, tenant, id, &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmErasure{
			ConfirmErasure: &lockboxv1.ConfirmErasure{}}})
	case 2:
		h.try(sam, tenant, id, &lockboxv1.Command{Action: &lockboxv1.Command_DeclineErasure{
			DeclineErasure: &lockboxv1.DeclineErasure{}}})
	}
}

// R63: whatever of whatever happened is erased, no fold finds a fault that it had not found before, and no invariant is
// broken that held.
func TestR63ErasingContradictsNothing(t *testing.T) {
	for seed := range uint64(20) {
		h := begin(t, seed)
		h.tell(300)
		history := h.History()
		were, broken := faults(history), map[string]bool{}
		for _, v := range invariant.Check(history) {
			broken[fmt.Sprint(v.Invariant, v.Sequence)] = true
		}
		for i, r := range history {
			if h.IntN(2) == 0 {
				history[i].Event = story.Erased(r.Event)
			}
		}
		for about, fault := range faults(history) {
			if were[about] == "" {
				t.Errorf("seed %d: %s is at fault: %s", seed, about, fault)
			}
		}
		for _, v := range invariant.Check(history) {
			if !broken[fmt.Sprint(v.Invariant, v.Sequence)] {
				t.Errorf("seed %d: %v", seed, v)
			}
		}
	}
}

// faults are the rules that aggregates break, as they are folded.
func faults(history []invariant.Recorded) map[aggregate.Key]string {
	states, found := repository.States{}, map[aggregate.Key]string{}
	for _, r := range history {
		if s := states.Add(r.Sequence, r.Event); s != nil && s.Folded().Fault != nil {
			found[aggregate.KeyOf(r.Event)] = s.Folded().Fault.Rule
		}
	}
	return found
}
