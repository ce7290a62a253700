package tenant

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Roles are the current assignments of one tenant or subscription, in order of creation. The list is never modified in
// place, because states share it.
type Roles struct {
	list []Assignment
	// groups are the assignments to groups. Nobody holds anything by them.
	groups []*lockboxv1.RoleAssignment
	// changes are those of the last day before the last change, oldest first.
	changes []change
	// invitations are in order of creation, and not modified in place either.
	invitations []Invitation
	// administrated: somebody was made Global Administrator here.
	administrated bool
	// seen are the accounts that did something here while a role here named them.
	seen map[account]bool
	// ended are the assignments of which it was recorded that they ended by themselves, and not modified in place either.
	ended []string
	// removals are the last that there were, oldest first, and not modified in place either.
	removals []Removal
}

// change is a change of roles by somebody.
type change struct {
	issuer, subject string
	at              time.Time
}

// Limits bound the changes of roles, so that nobody can flood others by them (R52). They are configuration, and no fold
// depends on them; 0 means the default, a negative number no limit.
type Limits struct {
	// RoleChangesPerDay is how many role changes, activations among them, one person can make in a day, counted back from
	// each change, on each subscription and on the tenant itself. Taking a role away is counted and never refused.
	// 0: 100; -1: no limit.
	RoleChangesPerDay int `yaml:"role_changes_per_day"`
}

// DefaultRoleChanges is the default of Limits.RoleChangesPerDay.
const DefaultRoleChanges = 100

const day = 24 * time.Hour

// mayChange refuses (PRECONDITION) a person who has made too many changes.
func (r Roles) mayChange(by *lockboxv1.Person, l Limits, now time.Time) error {
	most := cmp.Or(l.RoleChangesPerDay, DefaultRoleChanges)
	made := 0
	for _, c := range r.changes {
		if c.issuer == by.GetIssuer() && c.subject == by.GetSubject() && now.Sub(c.at) < day {
			made++
		}
	}
	if most > 0 && made >= most {
		return refusal.Because(refusal.Precondition("token", "R52",
			"you have made %d role changes here within a day, and no more than %d may be made; go on tomorrow, or let somebody "+
				"else do it", made, most),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TOO_MANY_ROLE_CHANGES))
	}
	return nil
}

// changed remembers a change, and forgets those of which nobody asks any more.
func (r *Roles) changed(e *lockboxv1.Event) {
	at := e.GetTime().AsTime()
	old := 0
	for old < len(r.changes) && at.Sub(r.changes[old].at) >= day {
		old++
	}
	by := e.GetActor().GetPerson()
	r.changes = append(slices.Clone(r.changes[old:]), change{by.GetIssuer(), by.GetSubject(), at})
}

// Assignment is a role that a person holds or may activate.
type Assignment struct {
	*lockboxv1.RoleAssignment
	// ActivatedUntil is when the activation of an eligible assignment ends; zero if it is not activated.
	ActivatedUntil time.Time
	// By is the id of the group's assignment by which it was activated; empty: an administrator gave it.
	By string
}

// Why an assignment is not active.
const (
	counts            = lockboxv1.ReasonCode_REASON_CODE_UNSPECIFIED
	atManagementGroup = lockboxv1.ReasonCode_REASON_CODE_ASSIGNED_AT_MANAGEMENT_GROUP
	ended             = lockboxv1.ReasonCode_REASON_CODE_ASSIGNMENT_ENDED
	notActivated      = lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED
	activationEnded   = lockboxv1.ReasonCode_REASON_CODE_ACTIVATION_ENDED
	ownRequest        = lockboxv1.ReasonCode_REASON_CODE_OWN_REQUEST
	requestersAddress = lockboxv1.ReasonCode_REASON_CODE_REQUESTERS_ADDRESS
)

// recorded are the sentences that events record beside the code.
var recorded = map[lockboxv1.ReasonCode]string{
	atManagementGroup: "assigned at management-group scope, which is not supported",
	ended:             "the assignment has ended",
	notActivated:      "eligible, but not activated",
	activationEnded:   "the activation has ended",
	ownRequest:        "nobody decides their own request",
	requestersAddress: "has the requester's e-mail address",
}

// Recorded returns the sentence recorded with the code of why an assignment is not active; empty if it is active.
func Recorded(code lockboxv1.ReasonCode) string { return recorded[code] }

// Inactive returns why the assignment is not active at now; unspecified if it is. At its end time it has already ended.
func (a Assignment) Inactive(now time.Time) lockboxv1.ReasonCode {
	switch {
	case a.GetScope() == lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP:
		return atManagementGroup
	case a.GetExpiresAt() != nil && !now.Before(a.GetExpiresAt().AsTime()):
		return ended
	case a.GetEligibleOnly() && a.ActivatedUntil.IsZero():
		return notActivated
	case a.GetEligibleOnly() && !now.Before(a.ActivatedUntil):
		return activationEnded
	}
	return counts
}

// InactiveIn is Inactive as the tenant decides: the roles of people who can sign in no longer count for nothing, also
// where only the tenant knows that they cannot, as on a subscription (R65).
func (a Assignment) InactiveIn(t State, now time.Time) lockboxv1.ReasonCode {
	if t.Gone(a.GetPerson()) {
		return ended
	}
	return a.Inactive(now)
}

// ActiveUntil returns when the assignment stops being active without further events; zero if never.
func (a Assignment) ActiveUntil() time.Time {
	var ends []time.Time
	if t := a.GetExpiresAt(); t != nil {
		ends = append(ends, t.AsTime())
	}
	if a.GetEligibleOnly() {
		ends = append(ends, a.ActivatedUntil)
	}
	if len(ends) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(ends, time.Time.Compare)
}

// All returns the assignments in order of creation.
func (r Roles) All() []Assignment { return slices.Clip(r.list) }

// Get returns one assignment.
func (r Roles) Get(id string) (Assignment, bool) {
	if i := r.index(id); i >= 0 {
		return r.list[i], true
	}
	return Assignment{}, false
}

func (r Roles) index(id string) int {
	return slices.IndexFunc(r.list, func(a Assignment) bool { return a.GetId() == id })
}

// Held returns the roles that a person holds at now.
func (r Roles) Held(p *lockboxv1.Person, now time.Time) []lockboxv1.Role {
	var roles []lockboxv1.Role
	for _, a := range r.list {
		if SamePerson(a.GetPerson(), p) && a.Inactive(now) == counts && !slices.Contains(roles, a.GetRole()) {
			roles = append(roles, a.GetRole())
		}
	}
	return roles
}

// Involves reports whether somebody has a role, active or not, or is to have one by an invitation that they redeemed:
// there is something that they have to be told of.
func (r Roles) Involves(p *lockboxv1.Person, now time.Time) bool {
	return slices.ContainsFunc(r.list, func(a Assignment) bool {
		return SamePerson(a.GetPerson(), p) && (a.GetExpiresAt() == nil || now.Before(a.GetExpiresAt().AsTime()))
	}) || slices.ContainsFunc(r.invitations, func(i Invitation) bool {
		return i.SettledBy == nil && i.Person != nil && SamePerson(i.Person, p)
	})
}

// Holds reports whether a person holds a role at now.
func (r Roles) Holds(p *lockboxv1.Person, role lockboxv1.Role, now time.Time) bool {
	return slices.Contains(r.Held(p, now), role)
}

// Administrators returns everyone who is a Global Administrator at now.
func (s State) Administrators(now time.Time) []*lockboxv1.Person {
	var people []*lockboxv1.Person
	for _, a := range s.Roles.list {
		if a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && a.Inactive(now) == counts {
			people = append(people, a.GetPerson())
		}
	}
	return people
}

// SamePerson compares accounts: issuer and subject. It finds whose a role or a mail is; SameHuman compares those who
// act.
func SamePerson(a, b *lockboxv1.Person) bool {
	return a.GetIssuer() == b.GetIssuer() && a.GetSubject() == b.GetSubject() && a.GetSubject() != ""
}

// saw remembers that somebody whom a role here names has done something here.
func (r *Roles) saw(by *lockboxv1.Actor) {
	if r.unseen(by) {
		r.seen = maps.Clone(r.seen)
		if r.seen == nil {
			r.seen = map[account]bool{}
		}
		r.seen[accountOf(by.GetPerson())] = true
	}
}

// unseen reports whether a role here names somebody who has done nothing here yet.
func (r Roles) unseen(by *lockboxv1.Actor) bool {
	return aggregate.Customer(by) && !r.seen[accountOf(by.GetPerson())] && r.Names(by.GetPerson())
}

// Names reports whether an assignment is somebody's, whether it counts or not.
func (r Roles) Names(p *lockboxv1.Person) bool {
	return slices.ContainsFunc(r.list, func(a Assignment) bool { return SamePerson(a.GetPerson(), p) })
}

// apply folds a change of roles. t is the tenant whose own roles they are; nil for a subscription's.
func (r *Roles) apply(t *State, e *lockboxv1.Event) (broken string) {
	if f := e.GetRoleEnded(); f != nil {
		return r.end(e, f.GetAssignmentId())
	}
	r.changed(e)
	r.lapsed(e.GetTime().AsTime())
	if broken, ours := r.applyInvitation(t, e); ours {
		return broken
	}
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_RoleAssigned:
		if f.RoleAssigned.GetAssignment().GetGroup() != "" {
			return r.assignGroup(t, f.RoleAssigned.GetAssignment())
		}
		return r.assign(f.RoleAssigned.GetAssignment())
	case *lockboxv1.Event_RoleRemoved:
		return r.remove(e, f.RoleRemoved.GetAssignmentId())
	case *lockboxv1.Event_RoleActivated:
		if f.RoleActivated.GetAssignment() != nil {
			return r.activatedGroup(t, e, f.RoleActivated)
		}
		return r.activate(e.GetActor(), f.RoleActivated.GetAssignmentId(), f.RoleActivated.GetUntil().AsTime())
	case *lockboxv1.Event_RoleDeactivated:
		return r.activate(e.GetActor(), f.RoleDeactivated.GetAssignmentId(), time.Time{})
	}
	return ""
}

const usedOnce = "an assignment's id is used once"

// taken reports whether an assignment, of a person or a group, has an id.
func (r Roles) taken(id string) bool {
	_, toGroup := r.Group(id)
	return toGroup || r.index(id) >= 0
}

func (r *Roles) assign(a *lockboxv1.RoleAssignment) (broken string) {
	if a.GetId() == "" || r.taken(a.GetId()) {
		return usedOnce
	}
	r.administrated = r.administrated || a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
	r.list = append(slices.Clip(r.list), Assignment{RoleAssignment: a})
	return ""
}

// remove folds that an assignment is gone; with a group's, all that people hold by it.
func (r *Roles) remove(e *lockboxv1.Event, id string) (broken string) {
	if !r.taken(id) {
		return "only an assignment that exists is removed"
	}
	gone := func(a Assignment) bool { return a.GetId() == id || a.By == id }
	r.removed(e, gone)
	r.ended = slices.DeleteFunc(slices.Clone(r.ended), func(of string) bool { return of == id })
	r.groups = slices.DeleteFunc(slices.Clone(r.groups), func(a *lockboxv1.RoleAssignment) bool { return a.GetId() == id })
	r.list = slices.DeleteFunc(slices.Clone(r.list), gone)
	return ""
}

func (r *Roles) activate(by *lockboxv1.Actor, id string, until time.Time) (broken string) {
	i := r.index(id)
	switch {
	case i >= 0 && r.list[i].By != "" && until.IsZero():
		return r.leaves(by, i)
	case i < 0 || !r.list[i].GetEligibleOnly():
		return "only an eligible assignment is activated"
	case !aggregate.Customer(by) || !SamePerson(by.GetPerson(), r.list[i].GetPerson()):
		return "an assignment is activated by the person who holds it (R21)"
	}
	r.list = slices.Clone(r.list)
	r.list[i].ActivatedUntil = until
	return ""
}
