package administration

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// message names what a value of an enum is called: ROLE_OWNER, a role, is "administration.role.owner".
func message(part, value, prefix string) string {
	return root + "." + part + "." + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", "-")
}

// Role is what a role is called.
func (l looking) Role(r lockboxv1.Role) (string, error) {
	return l.Say.Say(message("role", r.String(), "ROLE_"))
}

// Roles are what several are called.
func (l looking) Roles(list []lockboxv1.Role) (string, error) {
	names := make([]string, len(list))
	for i, r := range list {
		var err error
		if names[i], err = l.Role(r); err != nil {
			return "", err
		}
	}
	between, err := l.Say.Say("administration.between")
	return strings.Join(names, between), err
}

// Plan is a support plan's name, which is the same in every language.
func (looking) Plan(p lockboxv1.SupportPlan) string { return tenant.PlanName(p) }

// PlanSuffices reports whether Lockbox can be switched on with it.
func (looking) PlanSuffices(p lockboxv1.SupportPlan) bool { return tenant.PlanSuffices(p) }

// Language is what a language is called; without one, that the tenant's is taken.
func (l looking) Language(tag string) (string, error) {
	if tag == "" {
		tag = "default"
	}
	return l.Say.Say("administration.language." + tag)
}

// Languages that can be chosen.
func (looking) Languages() []string { return tenant.Languages }

// person is somebody as they are listed.
type person struct{ Name, Email string }

// Person is what to list of somebody.
func (looking) Person(p *lockboxv1.Person) person {
	switch {
	case p.GetDisplayName() != "":
		return person{p.GetDisplayName(), p.GetEmail()}
	case p.GetEmail() != "":
		return person{Name: p.GetEmail()}
	}
	return person{Name: p.GetSubject()}
}

// Reason is why an assignment does not count.
func (l looking) Reason(code *lockboxv1.Reason, recorded string) reason.Text {
	return reason.Show(l.Say.Language, code, recorded)
}

// Means is what a role lets somebody do.
func (s scoped) Means(r lockboxv1.Role) (string, error) {
	where := ".tenant"
	if s.ID != "" {
		where = ".subscription"
	}
	return s.Say.Say(message("role", r.String(), "ROLE_") + where)
}

// Counting says how many assignments there are, and how many of them count now.
func (l looking) Counting(list []*lockboxv1.AssignmentView) (string, error) {
	if len(list) == 0 {
		return l.Say.Say("administration.no-assignments")
	}
	count := 0
	for _, a := range list {
		if a.GetActive() {
			count++
		}
	}
	return l.Say.Say("administration.counting", "Count", count, "All", len(list))
}
