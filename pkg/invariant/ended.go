package invariant

import (
	"fmt"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// ends is I16 for the assignments of a tenant or subscription that end by themselves: each end is recorded, which the
// mails about it follow from, and none before it has come. Assignments from before any end was recorded in the stream
// are left out: an older version recorded none, and this one learns of those only when something else happens there.
func (b *Book) ends(of aggregate.Key, events []Recorded) (found []Violation) {
	if of.Kind != aggregate.KindTenant && of.Kind != aggregate.KindSubscription {
		return nil
	}
	var groups groupRoles
	made, told := map[string]uint64{}, map[string]bool{}
	for _, r := range events {
		groups.step(r.Event)
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_RoleAssigned:
			made[f.RoleAssigned.GetAssignment().GetId()] = r.Sequence
		case *lockboxv1.Event_InvitationConfirmed:
			made[f.InvitationConfirmed.GetAssignment().GetId()] = r.Sequence
		case *lockboxv1.Event_RoleRemoved:
			delete(told, f.RoleRemoved.GetAssignmentId())
		case *lockboxv1.Event_RoleEnded:
			id := f.RoleEnded.GetAssignmentId()
			if at := b.ending(of, groups, r.Sequence)[id]; at.IsZero() || instant(r).Before(at) || told[id] {
				found = append(found, Violation{"I16", r.Sequence, "the end of an assignment is told that has not ended, " +
					"or was told before"})
			}
			told[id] = true
		}
	}
	for id, at := range b.ending(of, groups, events[len(events)-1].Sequence) {
		if late := b.now.Sub(at); made[id] > b.ended && b.ended > 0 && !told[id] && late > mailOverdue {
			found = append(found, Violation{"I16", made[id], fmt.Sprintf("nothing tells of the end of the assignment %s, %s "+
				"later", id, late.Round(time.Minute))})
		}
	}
	return found
}

// holderTold: whoever held what has ended hears of it, unless they do as an administrator.
func (o *owing) holderTold() {
	id := o.r.Event.GetRoleEnded().GetAssignmentId()
	for _, a := range o.assignments(o.q.of, o.r.Sequence) {
		address := addressOf(a.GetPerson())
		if a.GetId() == id && !slices.ContainsFunc(o.mails, func(m Mail) bool { return oneAddress(m.Recipient, address) }) {
			o.tell("own-role-ended", []string{address})
		}
	}
}

// ending returns when the assignments of people and groups end that have an end, by their ids.
func (b *book) ending(of aggregate.Key, groups groupRoles, sequence uint64) map[string]time.Time {
	at := map[string]time.Time{}
	for _, a := range b.assignments(of, sequence) {
		if a.by == "" && a.GetExpiresAt() != nil {
			at[a.GetId()] = a.GetExpiresAt().AsTime()
		}
	}
	for _, g := range groups {
		if g.GetExpiresAt() != nil {
			at[g.GetId()] = g.GetExpiresAt().AsTime()
		}
	}
	return at
}
