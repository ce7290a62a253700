package tenant

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A role can be assigned to a group of the tenant's issuer (R67). Nobody holds it by that: the group's assignment is
// kept apart from those of people, and every question about who holds a role is answered by these alone. Whoever's
// token names the group activates the role, which gives them an assignment of their own for that time.

const (
	groupRule = "R67"
	// groupsField is the field of a refusal because of what a token says of groups.
	groupsField = "token.groups"
)

// ToGroup reports whether a role is assigned to a group rather than to a person.
func ToGroup(as *lockboxv1.RoleAssignment) bool { return as.GetGroup() != "" && as.GetPerson() == nil }

// GroupAssignments returns the assignments to groups in order of creation.
func (r Roles) GroupAssignments() []*lockboxv1.RoleAssignment { return slices.Clip(r.groups) }

// Group returns the assignment to a group that has an id.
func (r Roles) Group(id string) (*lockboxv1.RoleAssignment, bool) {
	i := slices.IndexFunc(r.groups, func(a *lockboxv1.RoleAssignment) bool { return a.GetId() == id })
	if i < 0 {
		return nil, false
	}
	return r.groups[i], true
}

// groupOf returns the group's assignment that has an id, or by which the assignment that has it was activated.
func (r Roles) groupOf(id string) (*lockboxv1.RoleAssignment, bool) {
	if as, held := r.Get(id); held {
		id = as.By
	}
	return r.Group(id)
}

// GroupNames returns the tenant's names of the groups that an issuer's tokens can name, sorted; of all issuers that are
// accepted if issuer is empty.
func (s State) GroupNames(issuer string) (names []string) {
	for _, i := range s.Issuers() {
		if issuer != "" && i.GetUrl() != issuer {
			continue
		}
		for _, g := range i.GetGroupMap() {
			names = append(names, aggregate.MappedName(g))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// carries reports whether somebody's verified token names a group of the tenant's.
func carries(by *lockboxv1.Actor, group string) bool {
	return aggregate.Customer(by) && group != "" && slices.Contains(by.GetGroups(), group)
}

// checkGroup refuses an assignment to a group that nobody could activate.
func (s State) checkGroup(field string, as *lockboxv1.RoleAssignment) error {
	switch known := s.GroupNames(""); {
	case as.GetPerson() != nil:
		return refusal.Invalid(field+".person", groupRule, "a role is assigned to a person or to a group, not to both")
	case len(known) == 0:
		return refusal.OfKind(
			refusal.Invalid(field+".group", groupRule,
				"your organisation's sign-in maps no groups; name them first, with a change of your sign-in"),
			"no-groups")
	case !slices.Contains(known, as.GetGroup()):
		return refusal.Naming(
			refusal.Invalid(field+".group", groupRule, "your organisation's sign-in has no group %q%s", as.GetGroup(),
				input.DidYouMean(as.GetGroup(), known)),
			"group", as.GetGroup())
	case !as.GetEligibleOnly():
		return refusal.Invalid(field+".eligible_only", groupRule, "the people of a group have to activate its role")
	case as.GetScope() == lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP:
		return refusal.Invalid(field+".scope", "R22", "must be the tenant or the subscription")
	}
	return nil
}

// activateGroup decides that somebody activates the role of a group that their token names.
func (s State) activateGroup(
	roles Roles, g *lockboxv1.RoleAssignment, c aggregate.Command, e *lockboxv1.Event, now time.Time,
) error {
	if err := s.mayActivate(g, c, now); err != nil {
		return err
	}
	until, err := activationEnd(c.GetActivateRole(), now)
	if err != nil {
		return err
	}
	if g.GetExpiresAt() != nil && g.GetExpiresAt().AsTime().Before(until) {
		until = g.GetExpiresAt().AsTime()
	}
	as := byGroup(g, activating(c), until)
	if there, held := roles.Get(as.GetId()); held {
		switch {
		case there.By != g.GetId():
			return refusal.Conflict("activate_role.assignment_id", groupRule, "another assignment has the id %s", as.GetId())
		case there.GetExpiresAt().AsTime().Equal(until):
			return nil
		}
	}
	if err := checkPerson("activate_role", as.GetPerson(), c.By.GetPerson().GetIssuer()); err != nil {
		if r, _ := refusal.As(err); r.GetField() == "activate_role.email" && as.GetPerson().GetEmail() == "" {
			return refusal.Because(refusal.Invalid(r.GetField(), "R24",
				"your sign-in names no address of yours: say where mails to you go"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_NO_ADDRESS_IN_SIGN_IN))
		}
		return err
	}
	e.Fact = &lockboxv1.Event_RoleActivated{RoleActivated: &lockboxv1.RoleActivated{AssignmentId: g.GetId(),
		Until: timestamp(until), Assignment: as}}
	return nil
}

// mayActivate refuses those whose token does not name the group, and says what it lacks.
func (s State) mayActivate(g *lockboxv1.RoleAssignment, c aggregate.Command, now time.Time) error {
	const field = "activate_role.assignment_id"
	from := c.By.GetPerson().GetIssuer()
	i := slices.IndexFunc(s.Issuers(), func(i *lockboxv1.TenantIssuer) bool { return i.GetUrl() == from })
	switch {
	case !aggregate.Customer(c.By) || i < 0:
		return refusal.NotFound(field, "R21", "you have no such assignment")
	case !slices.Contains(s.GroupNames(from), g.GetGroup()):
		return refusal.Because(refusal.Forbidden(groupsField, groupRule,
			"your organisation's sign-in at %s has no group %q any more, so nobody can activate this role", from, g.GetGroup()),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_GROUP_NOT_MAPPED))
	case c.GroupsUnread != nil:
		return c.GroupsUnread
	case !carries(c.By, g.GetGroup()):
		return refusal.Because(refusal.Forbidden(groupsField, groupRule,
			"the `%s` of your token do not name the group %q",
			cmp.Or(s.Issuers()[i].GetGroupsClaim(), "groups"), g.GetGroup()),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NOT_IN_THE_GROUP))
	case g.GetExpiresAt() != nil && !now.Before(g.GetExpiresAt().AsTime()):
		return refusal.Precondition(field, "R20", "the group's assignment has ended")
	}
	return nil
}

// activating is the sender of a command as the role is going to name them.
func activating(c aggregate.Command) *lockboxv1.Person {
	return introduced(c.By.GetPerson(), c.GetActivateRole().GetEmail())
}

// introduced is a person as their token describes them, with an address for mail if it has none.
func introduced(p *lockboxv1.Person, email string) *lockboxv1.Person {
	p = proto.CloneOf(p)
	if p == nil {
		p = &lockboxv1.Person{}
	}
	p.Human = "" // is read from whatever they do
	p.Email = cmp.Or(p.GetEmail(), email)
	p.DisplayName = cmp.Or(p.GetDisplayName(), p.GetSubject())
	if language("language", p.GetLanguage(), true) != nil {
		p.Language = "" // the tenant's
	}
	return p
}

// byGroup is what a person holds by a group's assignment. Its id is always the same, so that there is one for each.
func byGroup(g *lockboxv1.RoleAssignment, p *lockboxv1.Person, until time.Time) *lockboxv1.RoleAssignment {
	sum := sha256.Sum256([]byte(g.GetId() + "\n" + p.GetIssuer() + "\n" + p.GetSubject()))
	return &lockboxv1.RoleAssignment{Id: "group-" + hex.EncodeToString(sum[:8]), Person: p, Role: g.GetRole(),
		Scope: g.GetScope(), ExpiresAt: timestamppb.New(until), Group: g.GetGroup()}
}

// assignGroup folds that a role is assigned to a group. t is nil for a subscription's roles.
func (r *Roles) assignGroup(t *State, as *lockboxv1.RoleAssignment) (broken string) {
	switch {
	case as.GetId() == "" || r.taken(as.GetId()):
		return usedOnce
	case as.GetPerson() != nil || !as.GetEligibleOnly():
		return "a role is assigned to a person, or to a group whose people have to activate it (R67)"
	case t != nil && !slices.Contains(t.GroupNames(""), as.GetGroup()):
		return "a role is assigned to a group that the tenant's sign-in maps (R67)"
	}
	r.groups = append(slices.Clip(r.groups), as)
	return ""
}

// activatedGroup folds that somebody whose token names a group activated its role. What the fold of a subscription does
// not know, which issuers are accepted and what they map, is checked by pkg/invariant.
func (r *Roles) activatedGroup(t *State, e *lockboxv1.Event, f *lockboxv1.RoleActivated) (broken string) {
	g, is := r.Group(f.GetAssignmentId())
	by, as, now := e.GetActor(), f.GetAssignment(), e.GetTime().AsTime()
	if !is {
		return "what a group's people activate is a group's assignment (R67)"
	}
	until := f.GetUntil().AsTime()
	switch {
	case !carries(by, g.GetGroup()):
		return "a group's role is activated by those whose token names the group (R67)"
	case t != nil && !slices.Contains(t.GroupNames(by.GetPerson().GetIssuer()), g.GetGroup()):
		return "a group's role is activated by those whose issuer's map has the group (R67)"
	case !SamePerson(by.GetPerson(), as.GetPerson()), !proto.Equal(as, byGroup(g, as.GetPerson(), until)):
		return "who activates a group's role holds that role, and until then (R67)"
	case !until.After(now) || until.Sub(now) > MaxActivation,
		g.GetExpiresAt() != nil && until.After(g.GetExpiresAt().AsTime()):
		return "an activation is for a day at most, and ends with the group's assignment (R67)"
	}
	made := Assignment{RoleAssignment: as, By: g.GetId()}
	switch i := r.index(as.GetId()); {
	case i < 0:
		r.list = append(slices.Clip(r.list), made)
	case r.list[i].By != g.GetId():
		return usedOnce
	default:
		r.list = slices.Clone(r.list)
		r.list[i] = made
	}
	return ""
}

// leaves folds that somebody gives up what they hold by a group.
func (r *Roles) leaves(by *lockboxv1.Actor, i int) (broken string) {
	if !aggregate.Customer(by) || !SamePerson(by.GetPerson(), r.list[i].GetPerson()) {
		return "an assignment is deactivated by the person who holds it (R21)"
	}
	r.list = slices.Concat(r.list[:i], r.list[i+1:])
	return ""
}

// Lapsed reports whether a person held the assignment by a group, and holds it no longer. It is as good as gone: to
// activate the role again takes a token with the group.
func (a Assignment) Lapsed(now time.Time) bool {
	return a.By != "" && !now.Before(a.GetExpiresAt().AsTime())
}

// lapsed forgets what has lapsed.
func (r *Roles) lapsed(now time.Time) {
	over := func(a Assignment) bool { return a.Lapsed(now) }
	if slices.ContainsFunc(r.list, over) {
		r.list = slices.DeleteFunc(slices.Clone(r.list), over)
	}
}
