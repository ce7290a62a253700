package invariant

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// groupRoleLasts is how long somebody can hold a role by a group at most before they have to show it again (R67).
const groupRoleLasts = 24 * time.Hour

// groupRoles are the roles that are assigned to groups, on a tenant or subscription. Nobody holds one by that.
type groupRoles []*lockboxv1.RoleAssignment

func (all groupRoles) find(id string) *lockboxv1.RoleAssignment {
	for _, g := range all {
		if g.GetId() == id {
			return g
		}
	}
	return nil
}

// step applies an event.
func (all *groupRoles) step(e *lockboxv1.Event) {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_RoleAssigned:
		if as := f.RoleAssigned.GetAssignment(); as.GetGroup() != "" {
			*all = append(slices.Clip(*all), as)
		}
	case *lockboxv1.Event_RoleRemoved:
		*all = slices.DeleteFunc(slices.Clone(*all), func(g *lockboxv1.RoleAssignment) bool {
			return g.GetId() == f.RoleRemoved.GetAssignmentId()
		})
	case *lockboxv1.Event_SubscriptionGivenUp:
		*all = nil
	}
}

// mappedNames are the tenant's names of an issuer's groups.
func mappedNames(i *lockboxv1.TenantIssuer) (names []string) {
	for _, g := range i.GetGroupMap() {
		if names = append(names, g.GetName()); g.GetName() == "" {
			names[len(names)-1] = g.GetId()
		}
	}
	return names
}

// maps reports whether a tenant's sign-in mapped a group when an event was decided: that of one issuer, or of any that
// was accepted if issuer is empty. Of a tenant whose creation is not in the history nothing is known.
func (b *book) maps(tenant, issuer, group string, r Recorded) bool {
	if len(b.about[aggregate.Tenant(tenant)]) == 0 {
		return true
	}
	return slices.ContainsFunc(b.readings(tenant, r), func(at uint64) bool {
		then := b.signInAt(tenant, at)
		return slices.ContainsFunc(then.accepted, func(url string) bool {
			return (issuer == "" || issuer == url) && slices.Contains(then.mapped[url], group)
		})
	})
}

// byGroup returns why an activation gives nobody a role of a group; empty if it does.
func (b *book) byGroup(of aggregate.Key, g *lockboxv1.RoleAssignment, r Recorded) string {
	f, by := r.Event.GetRoleActivated(), r.Event.GetActor()
	as, until, now := f.GetAssignment(), f.GetUntil().AsTime(), instant(r)
	want := &lockboxv1.RoleAssignment{Id: as.GetId(), Person: by.GetPerson(), Role: g.GetRole(), Scope: g.GetScope(),
		ExpiresAt: f.GetUntil(), Group: g.GetGroup()}
	if same(as.GetPerson(), by.GetPerson()) {
		want.Person = as.GetPerson() // who they are is certain; how to address them, they say themselves
	}
	switch {
	case g == nil:
		return "which is assigned to no group"
	case by.GetSide() != lockboxv1.Side_SIDE_TENANT || !slices.Contains(by.GetGroups(), g.GetGroup()):
		return "and the token does not name the group " + g.GetGroup()
	case !b.maps(of.Tenant, by.GetPerson().GetIssuer(), g.GetGroup(), r):
		return "and the sign-in did not map the group " + g.GetGroup()
	case as.GetId() == "" || !proto.Equal(as, want):
		return "and got another role, or somebody else did"
	case !until.After(now) || until.Sub(now) > groupRoleLasts,
		g.GetExpiresAt() != nil && until.After(g.GetExpiresAt().AsTime()):
		return "until " + until.String()
	}
	return ""
}

// rolesByGroup is I21: nobody holds a role by a group that no administrator assigned it to, or that their token did not
// name by the map of their issuer.
func rolesByGroup(b *book, of aggregate.Key, events []Recorded, broken say) {
	var groups groupRoles
	held := map[string]bool{} // what people activated by a group, by its id
	for _, r := range events {
		by := r.Event.GetActor()
		who := by.GetPerson().GetSubject()
		if by.GetSide() == lockboxv1.Side_SIDE_TENANT {
			for _, group := range by.GetGroups() {
				if !b.maps(of.Tenant, by.GetPerson().GetIssuer(), group, r) {
					broken("I21", r, "the token of %s names the group %q, which the sign-in did not map", who, group)
				}
			}
		}
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_RoleAssigned:
			switch as := f.RoleAssigned.GetAssignment(); {
			case as.GetGroup() == "":
			case as.GetPerson() != nil || !as.GetEligibleOnly():
				broken("I21", r, "%s gave somebody what the people of %q have to activate", who, as.GetGroup())
			case !b.administers(of.Tenant, r):
				broken("I21", r, "%s assigned a role to %q, and is no administrator", who, as.GetGroup())
			case !b.maps(of.Tenant, "", as.GetGroup(), r):
				broken("I21", r, "%s assigned a role to %q, which the sign-in did not map", who, as.GetGroup())
			}
		case *lockboxv1.Event_RoleActivated:
			id, as := f.RoleActivated.GetAssignmentId(), f.RoleActivated.GetAssignment()
			g := groups.find(id)
			switch {
			case as != nil:
				if why := b.byGroup(of, g, r); why != "" {
					broken("I21", r, "%s activated %q, %s", who, id, why)
				}
				held[as.GetId()] = true
			case g != nil || held[id]:
				broken("I21", r, "%s activated %q without showing a group", who, id)
			}
		}
		groups.step(r.Event)
	}
}

// groupRolesAt returns the roles of a tenant's groups as of a sequence.
func (b *book) groupRolesAt(in aggregate.Key, sequence uint64) (groups groupRoles) {
	for _, e := range b.upTo(in, sequence) {
		groups.step(e)
	}
	return groups
}
