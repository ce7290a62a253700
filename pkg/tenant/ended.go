package tenant

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// nextEnd returns which assignment is the next to end by itself, or has ended without that being recorded, and when;
// the zero time if none does. What somebody activated as one of a group has an end that they chose, and is none.
func (r Roles) nextEnd() (id string, at time.Time) {
	soonest := func(a *lockboxv1.RoleAssignment) {
		if a.GetExpiresAt() == nil || slices.Contains(r.ended, a.GetId()) {
			return
		}
		if end := a.GetExpiresAt().AsTime(); at.IsZero() || end.Before(at) {
			id, at = a.GetId(), end
		}
	}
	for _, a := range r.list {
		if a.By == "" {
			soonest(a.RoleAssignment)
		}
	}
	for _, g := range r.groups {
		soonest(g)
	}
	return id, at
}

// end folds that an assignment has ended. It stays on the list, as one that is over.
func (r *Roles) end(e *lockboxv1.Event, id string) (broken string) {
	as, found := r.Group(id)
	if held, is := r.Get(id); is && held.By == "" {
		as, found = held.RoleAssignment, true
	}
	if !found || !aggregate.System(e.GetActor()) || slices.Contains(r.ended, id) || as.GetExpiresAt() == nil ||
		e.GetTime().AsTime().Before(as.GetExpiresAt().AsTime()) {
		return "Lockbox records once that an assignment has ended, after its end"
	}
	r.ended = append(slices.Clip(r.ended), id)
	return ""
}

// NextDueSubscription returns the next time at which something falls due for a subscription without further events;
// false if never.
func NextDueSubscription(s Subscription) (time.Time, bool) {
	_, at := s.Roles.nextEnd()
	return at, s.Fault == nil && !at.IsZero()
}

// PerformSubscription returns the event that is due for a subscription at now; nil if none is.
func PerformSubscription(
	s Subscription, by *lockboxv1.Actor, causationID string, now time.Time,
) (*lockboxv1.Event, error) {
	due, waits := NextDueSubscription(s)
	if !waits || now.Before(due) {
		return nil, nil
	}
	e := s.Follow(by, causationID, now)
	e.Fact = s.Roles.ending()
	return aggregate.End(s, e, EvolveSubscription)
}

func (r Roles) ending() *lockboxv1.Event_RoleEnded {
	id, _ := r.nextEnd()
	return &lockboxv1.Event_RoleEnded{RoleEnded: &lockboxv1.RoleEnded{AssignmentId: id}}
}
