package administration

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Groups lists the groups to which a role can be assigned, by the tenant's own names (R67).
func (l looking) Groups() (names []string) {
	signIn := l.Tenant.GetSignIn()
	for _, i := range append([]*lockboxv1.TenantIssuer{signIn.GetIssuer()}, signIn.GetFormer()...) {
		for _, g := range i.GetGroupMap() {
			names = append(names, aggregate.MappedName(g))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Mapped reports whether the people of a group can be recognised.
func (l looking) Mapped(group string) bool { return slices.Contains(l.Groups(), group) }

// ToGroup reports whether a role is assigned to a group.
func (scoped) ToGroup(a *lockboxv1.RoleAssignment) bool { return tenant.ToGroup(a) }

// Carries reports whether the reader's own token names the group that a role is assigned to.
func (l looking) Carries(a *lockboxv1.RoleAssignment) bool {
	return tenant.ToGroup(a) && slices.Contains(l.me.GetActor().GetGroups(), a.GetGroup())
}

// Unaddressed reports whether the reader's token names no address, so that they have to say where mails go.
func (l looking) Unaddressed() bool { return l.me.GetActor().GetPerson().GetEmail() == "" }

// ForGroup reports whether the form is about a role of a group rather than a person's.
func (s scoped) ForGroup() bool { return s.Form.Has("to", "group") }
