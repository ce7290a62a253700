package administration

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// message returns the message ID for an enum value: ROLE_OWNER as a role is "administration.role.owner".
func message(part, value, prefix string) string {
	return root + "." + part + "." + nameOf(value, prefix)
}

// nameOf returns an enum value as a part of a message ID: ROLE_OWNER as "owner".
func nameOf(value, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", "-")
}

// Role returns a role's display name.
func (l looking) Role(r lockboxv1.Role) (string, error) {
	return l.Say.Say(message("role", r.String(), "ROLE_"))
}

// Roles returns the display names of several roles as a list.
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

// Plan returns a support plan's name, which is the same in every language.
func (looking) Plan(p lockboxv1.SupportPlan) string { return tenant.PlanName(p) }

// PlanSuffices reports whether the plan is sufficient to enable Lockbox.
func (looking) PlanSuffices(p lockboxv1.SupportPlan) bool { return tenant.PlanSuffices(p) }

// Language returns a language's name; for an empty tag, that the tenant's language applies.
func (l looking) Language(tag string) (string, error) {
	if tag == "" {
		tag = "default"
	}
	return l.Say.Say("administration.language." + tag)
}

// Languages lists the languages to choose from.
func (looking) Languages() []string { return tenant.Languages }

// person is a list entry for a person.
type person struct{ Name, Email string }

// Person returns a person's list entry.
func (looking) Person(p *lockboxv1.Person) person {
	switch {
	case p.GetDisplayName() != "":
		return person{p.GetDisplayName(), p.GetEmail()}
	case p.GetEmail() != "":
		return person{Name: p.GetEmail()}
	}
	return person{Name: p.GetSubject()}
}

// Reason returns why an assignment is not active.
func (l looking) Reason(code *lockboxv1.Reason, recorded string) reason.Text {
	return reason.Show(l.Say.Language, code, recorded)
}

// Means describes what a role permits.
func (s scoped) Means(r lockboxv1.Role) (string, error) {
	where := ".tenant"
	if s.ID != "" {
		where = ".subscription"
	}
	return s.Say.Say(message("role", r.String(), "ROLE_") + where)
}

// Counting says how many assignments of people there are and how many of them are active.
func (l looking) Counting(list []*lockboxv1.AssignmentView) (string, error) {
	list = slices.DeleteFunc(slices.Clone(list), func(a *lockboxv1.AssignmentView) bool {
		return tenant.ToGroup(a.GetAssignment())
	})
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
