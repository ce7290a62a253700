package activity

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Name is how a person's name is compared: in any case of letters.
func Name(s string) string { return strings.ToLower(s) }

// Names are those by which a person is found: subject, name and address.
func Names(p *lockboxv1.Person) [3]string {
	return [3]string{Name(p.GetSubject()), Name(p.GetDisplayName()), Name(p.GetEmail())}
}

// Is tells whether somebody means this person (R39).
func Is(p *lockboxv1.Person, name string) bool {
	for _, own := range Names(p) {
		if own != "" && own == Name(name) {
			return true
		}
	}
	return false
}
