package erasable_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

func TestWhatWasErasedOfOneContradictsNothing(t *testing.T) {
	otto := &lockboxv1.Person{Issuer: "i", Subject: "otto", DisplayName: "Otto", Email: "otto@contoso.example"}
	gone := &lockboxv1.Person{Issuer: "i", Subject: "otto", Erased: true}
	with := func(change func(*lockboxv1.Person)) *lockboxv1.Person {
		p := proto.CloneOf(otto)
		change(p)
		return p
	}
	for _, row := range []struct {
		a, b  *lockboxv1.Person
		alike bool
	}{
		{otto, otto, true},
		{otto, gone, true},
		{gone, otto, true},
		{gone, gone, true},
		{otto, with(func(p *lockboxv1.Person) { p.Email = "mallory@contoso.example" }), false},
		{otto, with(func(p *lockboxv1.Person) { p.DisplayName = "" }), false},
		{otto, with(func(p *lockboxv1.Person) { p.DisplayName, p.Email = "", "" }), false}, // empty, and not erased
		{gone, with(func(p *lockboxv1.Person) { p.Subject = "mallory" }), false},
		{gone, with(func(p *lockboxv1.Person) { p.Human = "h" }), false},
		{gone, nil, false},
	} {
		if got := erasable.Alike(row.a, row.b); got != row.alike {
			t.Errorf("%v and %v: %t", row.a, row.b, got)
		}
		assigned := func(p *lockboxv1.Person) *lockboxv1.RoleAssignment {
			return &lockboxv1.RoleAssignment{Id: "1", Person: p}
		}
		if got := erasable.Alike(assigned(row.a), assigned(row.b)); got != row.alike {
			t.Errorf("assignments of %v and %v: %t", row.a, row.b, got)
		}
	}
	address := func(s string) *lockboxv1.AlternateAddress {
		return &lockboxv1.AlternateAddress{Email: s, Language: "fr"}
	}
	if !erasable.Alike(address(""), address("a@contoso.example")) ||
		erasable.Alike(address("a@contoso.example"), address("b@contoso.example")) {
		t.Error("addresses")
	}
	if !erasable.Alike((*lockboxv1.Person)(nil), nil) {
		t.Error("nobody is not like nobody")
	}
}
