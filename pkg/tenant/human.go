package tenant

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// SameHuman reports whether two people are known to be one human: by the same account, or by the claim with which their
// issuer identifies humans (R51).
func SameHuman(a, b *lockboxv1.Person) bool {
	return SamePerson(a, b) || a.GetHuman() != "" && a.GetHuman() == b.GetHuman() && a.GetIssuer() == b.GetIssuer()
}

// ShareAddress reports whether two people have the same e-mail address, without regard to case. They may be one human,
// or two with a team's mailbox: it excludes only between requester and approver, whose issuers share no claim (R51).
func ShareAddress(a, b *lockboxv1.Person) bool {
	return a.GetEmail() != "" && strings.EqualFold(a.GetEmail(), b.GetEmail())
}

// SameVoice reports whether two of a tenant's people must not count as two: one human, or people of different issuers,
// as while one replaces another (R65), with the same address or human. No issuer knows the other's people.
func SameVoice(a, b *lockboxv1.Person) bool {
	return SameHuman(a, b) || a.GetIssuer() != b.GetIssuer() &&
		(ShareAddress(a, b) || a.GetHuman() != "" && a.GetHuman() == b.GetHuman())
}

// OneHuman returns the accounts that are known to be one human's, for each human who has several, in the order given.
func OneHuman(people []*lockboxv1.Person) [][]*lockboxv1.Person { return several(people, SameHuman) }

// SharedAddresses returns those of the approvers who share an address, for each address, in the order given.
func SharedAddresses(approvers []*lockboxv1.Approver) [][]*lockboxv1.Person {
	people := make([]*lockboxv1.Person, len(approvers))
	for i, a := range approvers {
		people[i] = a.GetPerson()
	}
	return several(people, ShareAddress)
}

// several groups different accounts that are alike, and leaves out those that are like no other.
func several(people []*lockboxv1.Person, alike func(a, b *lockboxv1.Person) bool) (groups [][]*lockboxv1.Person) {
	for _, p := range people {
		i := slices.IndexFunc(groups, func(g []*lockboxv1.Person) bool { return alike(g[0], p) })
		switch {
		case i < 0:
			groups = append(groups, []*lockboxv1.Person{p})
		case !slices.ContainsFunc(groups[i], func(q *lockboxv1.Person) bool { return SamePerson(p, q) }):
			groups[i] = append(groups[i], p)
		}
	}
	return slices.DeleteFunc(groups, func(g []*lockboxv1.Person) bool { return len(g) < 2 })
}

// account is the key of a person's account.
type account struct{ issuer, subject string }

func accountOf(p *lockboxv1.Person) account { return account{p.GetIssuer(), p.GetSubject()} }

// Identify returns the event that records which human an actor's account is of, or neither event nor error if that is
// known, or the actor's token does not say it. A role is given to an account, of which nobody knows the human until it
// acts (R51).
func Identify(s State, by *lockboxv1.Actor, causationID string, now time.Time) (*lockboxv1.Event, error) {
	if s.Fault != nil || !s.Exists() || !s.identifies(by) ||
		s.humans[accountOf(by.GetPerson())] == by.GetPerson().GetHuman() {
		return nil, nil
	}
	e := s.Follow(by, causationID, now)
	e.Fact = &lockboxv1.Event_AccountIdentified{AccountIdentified: &lockboxv1.AccountIdentified{}}
	return aggregate.End(s, e, Evolve)
}

// identifies reports whether what an actor does shows which human has their account.
func (s State) identifies(by *lockboxv1.Actor) bool {
	return aggregate.Customer(by) && s.Accepts(by.GetPerson().GetIssuer()) && by.GetPerson().GetHuman() != ""
}

func (s *State) identified(p *lockboxv1.Person) {
	s.humans = maps.Clone(s.humans)
	if s.humans == nil {
		s.humans = map[account]string{}
	}
	s.humans[accountOf(p)] = p.GetHuman()
}

// Known returns a person as a role assignment names them, with the human that their account is known to be of.
func (s State) Known(p *lockboxv1.Person) *lockboxv1.Person {
	human, known := s.humans[accountOf(p)]
	if !known {
		return p
	}
	p = proto.CloneOf(p)
	p.Human = human
	return p
}

// OtherAccount returns a person who holds or may activate a role in roles with another account than p, though they are
// known to be one human; nil if there is none.
func (s State) OtherAccount(roles Roles, p *lockboxv1.Person) *lockboxv1.Person {
	for _, a := range roles.list {
		if !SamePerson(a.GetPerson(), p) && SameHuman(s.Known(a.GetPerson()), s.Known(p)) {
			return a.GetPerson()
		}
	}
	return nil
}

// Humans counts the people among approvers, each human once as far as their accounts are known.
func Humans(approvers []*lockboxv1.Approver) (n int) {
	for i, a := range approvers {
		if !slices.ContainsFunc(approvers[:i], func(b *lockboxv1.Approver) bool {
			return SameHuman(a.GetPerson(), b.GetPerson())
		}) {
			n++
		}
	}
	return n
}
