package tenant

import (
	"slices"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Removal is a role that somebody lost.
type Removal struct {
	Assignment
	// Actor is who took it away; nil: it ended by itself.
	Actor *lockboxv1.Actor
	// At is when.
	At time.Time
}

// mostRemovals is how many removals are remembered. They tell people why they see less, and decide nothing.
const mostRemovals = 100

// removed remembers who took assignments away.
func (r *Roles) removed(e *lockboxv1.Event, gone func(Assignment) bool) {
	old := max(0, len(r.removals)-mostRemovals)
	r.removals = slices.Clone(r.removals[old:])
	for _, a := range r.list {
		if gone(a) {
			r.removals = append(r.removals, Removal{a, e.GetActor(), e.GetTime().AsTime()})
		}
	}
}

// Lost returns the roles that a person held, or could have activated, since then, and neither has nor can activate now;
// the latest first.
func (r Roles) Lost(p *lockboxv1.Person, since, now time.Time) (lost []Removal) {
	has := map[lockboxv1.Role]bool{}
	for _, a := range r.list {
		if !SamePerson(a.GetPerson(), p) {
			continue
		}
		switch why := a.Inactive(now); {
		case why == ended:
			lost = append(lost, Removal{Assignment: a, At: a.GetExpiresAt().AsTime()})
		case why == activationEnded && a.By != "":
			lost = append(lost, Removal{Assignment: a, At: a.ActivatedUntil})
		case why != atManagementGroup:
			has[a.GetRole()] = true
		}
	}
	for _, removed := range r.removals {
		if !SamePerson(removed.GetPerson(), p) {
			continue
		}
		if removed.Inactive(removed.At) == ended { // there was nothing left to take
			removed.Actor, removed.At = nil, removed.GetExpiresAt().AsTime()
		}
		lost = append(lost, removed)
	}
	lost = slices.DeleteFunc(lost, func(l Removal) bool { return has[l.GetRole()] || l.At.Before(since) })
	slices.SortStableFunc(lost, func(a, b Removal) int { return b.At.Compare(a.At) })
	return lost
}
