package administration

import (
	"cmp"
	"slices"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// mostSignIns is how many records of sign-ins are looked through for people to choose from.
const mostSignIns = 1000

// candidate is somebody to whom a role can be given without typing who they are.
type candidate struct {
	*lockboxv1.Person
	// NeverSignedIn: they hold a role, and nothing that they did is recorded.
	NeverSignedIn bool
}

// Label is what the list says of them.
func (c candidate) Label() string {
	name := cmp.Or(c.GetDisplayName(), c.GetEmail(), c.GetSubject())
	if about := cmp.Or(c.GetEmail(), c.GetSubject()); about != name {
		name += " (" + about + ")"
	}
	return name
}

// candidates lists the people of the tenant's present issuer who hold a role anywhere or have signed in, by name.
// Whether they may see who signed in is for the service to say; without that, those who hold roles are left.
func candidates(l looking) ([]candidate, error) {
	var list []candidate
	add := func(p *lockboxv1.Person, never bool) {
		i := slices.IndexFunc(list, func(c candidate) bool { return c.GetSubject() == p.GetSubject() })
		if p.GetErased() { // what stands instead of the name is no name
			p = &lockboxv1.Person{Issuer: p.GetIssuer(), Subject: p.GetSubject()}
		}
		switch {
		case p.GetIssuer() != l.Tenant.GetIssuer() || p.GetSubject() == "":
		case i < 0:
			list = append(list, candidate{p, never})
		default:
			list[i].NeverSignedIn = list[i].NeverSignedIn && never
		}
	}
	scopes := [][]*lockboxv1.AssignmentView{l.Tenant.GetAssignments()}
	for _, s := range l.Tenant.GetSubscriptions() {
		scopes = append(scopes, s.GetAssignments())
	}
	for _, a := range slices.Concat(scopes...) {
		add(a.GetAssignment().GetPerson(), a.GetNeverSignedIn())
	}
	reply, err := l.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListAccess{ListAccess: &lockboxv1.ListAccess{
		Kinds: []lockboxv1.AccessKind{lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN}, Limit: mostSignIns}}})
	if err != nil && !site.NotFound(err) {
		return nil, err
	}
	for _, r := range reply.GetAccess().GetRecords() {
		if who := r.GetWho(); who.GetSide() == lockboxv1.Side_SIDE_TENANT {
			add(&lockboxv1.Person{Issuer: who.GetIssuer(), Subject: who.GetSubject(), DisplayName: who.GetName()}, false)
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return strings.Compare(a.Label(), b.Label()) })
	return list, nil
}

// personField is the list to choose from.
var personField = form.Field{Name: "person", Label: "administration.person"}

// chosen returns the person whom a form names: one of those to choose from, or somebody whose ID was typed. A problem
// is added to the form if it names nobody, or both.
func (s scoped) chosen(f *form.Form) (*lockboxv1.Person, error) {
	typed := &lockboxv1.Person{Issuer: s.Tenant.GetIssuer(), Subject: f.Value("subject"), DisplayName: f.Value("name"),
		Email: f.Value("email"), Language: f.Value("language")}
	subject := f.Value(personField.Name)
	switch {
	case subject == "" && typed.GetSubject() == "":
		f.Problems = append(f.Problems, form.Problem{Field: personField, Message: "administration.choose-somebody"})
		return typed, nil
	case subject == "":
		return typed, nil
	case typed.GetSubject() != "":
		f.Problems = append(f.Problems, form.Problem{Field: personField, Message: "administration.choose-one"})
		return typed, nil
	}
	for _, c := range s.People {
		if c.GetSubject() == subject {
			return &lockboxv1.Person{Issuer: c.GetIssuer(), Subject: subject,
				DisplayName: cmp.Or(c.GetDisplayName(), typed.GetDisplayName()),
				Email:       cmp.Or(typed.GetEmail(), c.GetEmail()), Language: cmp.Or(typed.GetLanguage(), c.GetLanguage())}, nil
		}
	}
	return nil, unknown()
}

// Undecided reports whether nobody who decides in a scope is active: the tenant itself or, of those that decide for it,
// a subscription. Of what the reader does not see as a whole, nothing is said.
func (l looking) Undecided(list []*lockboxv1.AssignmentView, subscription bool) bool {
	deciding := []lockboxv1.Role{lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_LOCKBOX_APPROVER}
	if subscription {
		deciding[0] = lockboxv1.Role_ROLE_OWNER
	}
	return !l.Tenant.GetPartial() && !slices.ContainsFunc(list, func(a *lockboxv1.AssignmentView) bool {
		return a.GetActive() && slices.Contains(deciding, a.GetAssignment().GetRole())
	})
}

// OwnOnly reports whether the reader sees of a scope nothing but their own assignments; an empty ID is the tenant's.
func (l looking) OwnOnly(subscription string) bool {
	return l.Tenant.GetPartial() && (subscription == "" || !slices.ContainsFunc(l.me.GetRoles(),
		func(r *lockboxv1.HeldRole) bool { return strings.EqualFold(r.GetSubscriptionId(), subscription) }))
}

// Nobody reports whether nobody at all would be asked.
func (s scoped) Nobody() bool {
	return s.Asked.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
}
