package tenant_test

import (
	"fmt"
	"testing"

	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func account(issuer, subject, human, email string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: issuer, Subject: subject, Human: human, Email: email}
}

func TestR51WhoIsOneHuman(t *testing.T) {
	rosa := account("nimbus", "rosa", "N-7", "rosa@nimbus.example")
	for _, c := range []struct {
		name           string
		other          *lockboxv1.Person
		human, address bool
	}{
		{"the account itself", account("nimbus", "rosa", "", ""), true, false},
		{"another account", account("nimbus", "rosa-admin", "N-7", "rosa-admin@nimbus.example"), true, false},
		{"another human", account("nimbus", "sven", "N-8", "Rosa@Nimbus.Example"), false, true},
		{"nobody knows who", account("nimbus", "rosa-admin", "", "rosa@nimbus.example "), false, false},
		{"the same name elsewhere", account("meadowbank", "rosa", "N-7", ""), false, false},
		{"nobody", nil, false, false},
	} {
		if a, b := tenant.SameHuman(rosa, c.other), tenant.SameHuman(c.other, rosa); a != c.human || b != c.human {
			t.Errorf("%s: one human %t, %t", c.name, a, b)
		}
		if a, b := tenant.ShareAddress(rosa, c.other), tenant.ShareAddress(c.other, rosa); a != c.address ||
			b != c.address {
			t.Errorf("%s: one address %t, %t", c.name, a, b)
		}
	}
	if none := account("nimbus", "", "", ""); tenant.SameHuman(none, none) || tenant.ShareAddress(none, none) {
		t.Error("nobody is anybody")
	}
}

// Which human an account is of is shown by what the account does at the tenant's own issuer, and by nothing else; and
// it is nothing that whoever changes the tenant would have had to see.
func TestR51AnAccountIsIdentifiedByItsHolder(t *testing.T) {
	s := contoso(t, premier)
	ginaKnown, ottoKnown := story.Human("7", gina), story.Human("7", otto)
	for name, by := range map[string]*lockboxv1.Actor{"unknown": gina, "the provider's": story.Human("7", eve),
		"another tenant's": story.Human("7", mole)} {
		if e, err := tenant.Identify(s.tenant(), by, "cause", start); e != nil || err != nil {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		of := s.tenant()
		forged := of.Follow(by, "cause", start)
		forged.Fact = &lockboxv1.Event_AccountIdentified{AccountIdentified: &lockboxv1.AccountIdentified{}}
		if after := tenant.Evolve(s.tenant(), 99, forged); after.Fault == nil {
			t.Errorf("%s: the fold believes it", name)
		}
	}
	if e, err := tenant.Identify(tenant.State{}, ginaKnown, "cause", start); e != nil || err != nil {
		t.Errorf("without a tenant: %v, %v", e, err)
	}
	seen := s.tenant().Version
	for _, by := range []*lockboxv1.Actor{ginaKnown, ottoKnown} {
		e, err := tenant.Identify(s.tenant(), by, "cause", start)
		if err != nil {
			t.Fatal(err)
		}
		s.Record(e)
		if again, err := tenant.Identify(s.tenant(), by, "cause", start); again != nil || err != nil {
			t.Errorf("again: %v, %v", again, err)
		}
	}
	enabling := enable()
	enabling.SeenVersion = seen
	s.play(t, row{1, gina, assign(assignment("first", otto, auditor, ofTenant)), yes})
	if other := s.tenant().OtherAccount(s.tenant().Roles, otto.GetPerson()); !tenant.SamePerson(other, gina.GetPerson()) {
		t.Errorf("the other account is %v", other)
	}
	if other := s.tenant().OtherAccount(s.tenant().Roles, lena.GetPerson()); other != nil {
		t.Errorf("lena's other account is %v", other)
	}
	enabling.SeenVersion = s.tenant().Version
	e, err := tenant.Identify(s.tenant(), story.Human("8", lena), "cause", start)
	if err != nil {
		t.Fatal(err)
	}
	s.Record(e)
	s.play(t, row{2, gina, enabling, yes})
	enabling = disable("")
	enabling.SeenVersion = seen
	s.play(t, row{3, gina, enabling, no(conflict, "seen_version", "R29")})
}

func TestR51AccountsAndAddressesThatAreShown(t *testing.T) {
	people := []*lockboxv1.Person{
		account("nimbus", "rosa", "N-7", "a@nimbus.example"), account("nimbus", "sven", "N-8", "b@nimbus.example"),
		account("nimbus", "rosa", "N-7", "a@nimbus.example"), account("nimbus", "rosa-admin", "N-7", "A@nimbus.example"),
		account("nimbus", "lisa", "", ""), account("nimbus", "leo", "", ""), nil, nil,
	}
	approvers := make([]*lockboxv1.Approver, len(people))
	for i, p := range people {
		approvers[i] = &lockboxv1.Approver{Person: p}
	}
	for name, groups := range map[string][][]*lockboxv1.Person{
		"accounts": tenant.OneHuman(people), "addresses": tenant.SharedAddresses(approvers),
	} {
		got := ""
		for _, g := range groups {
			for _, p := range g {
				got += p.GetSubject() + " "
			}
			got += "; "
		}
		if want := "rosa rosa-admin ; "; got != want {
			t.Errorf("%s: %s", name, fmt.Sprintf("%q, want %q", got, want))
		}
	}
}
