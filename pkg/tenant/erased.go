package tenant

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// whole returns a person as they can be checked when a stored event is folded. Name and address that were erased
// (R63), or cannot be read, are beyond any rule: what was decided once stays true without them.
func whole(p *lockboxv1.Person) *lockboxv1.Person {
	if p.GetDisplayName() != "" || p.GetEmail() != "" || p == nil {
		return p
	}
	p = proto.CloneOf(p)
	p.DisplayName, p.Email = "erased", "erased@lockbox.invalid"
	return p
}

// wholeChange does the same for those whom a change of sign-in names.
func wholeChange(c *lockboxv1.SignInChange) *lockboxv1.SignInChange {
	c = proto.CloneOf(c)
	for i, p := range c.GetAdministrators() {
		c.Administrators[i] = whole(p)
	}
	return c
}
