package activity

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Name normalises a person's name for comparison, which ignores case.
func Name(s string) string { return strings.ToLower(s) }

// Names returns the names by which a person can be found: subject, display name and e-mail address.
func Names(p *lockboxv1.Person) [3]string {
	return [3]string{Name(p.GetSubject()), Name(p.GetDisplayName()), Name(p.GetEmail())}
}

// Is reports whether a name refers to this person (R39).
func Is(p *lockboxv1.Person, name string) bool {
	for _, own := range Names(p) {
		if own != "" && own == Name(name) {
			return true
		}
	}
	return false
}
