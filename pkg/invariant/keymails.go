package invariant

import (
	"bytes"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// keyMails are the mails about the keys with which a customer's people sign (R42).
var keyMails = map[string]string{"KeyOffered": "key-offered", "KeyChangeOffered": "key-change-offered",
	"KeyChainBegan": "key-chain-began", "KeyChainChanged": "key-chain-changed", "SignatureRefused": "signature-refused"}

// keyMail: administrators hear of whatever happens to keys, and so do those whose keys they are. Of a statement that
// waits for signatures they hear with its first.
func (o *owing) keyMail() {
	statement := o.r.Event.GetKeyChangeOffered().GetChange().GetStatement()
	for _, r := range o.q.events[:len(o.q.events)-1] {
		if statement != nil && bytes.Equal(r.Event.GetKeyChangeOffered().GetChange().GetStatement(), statement) {
			return
		}
	}
	o.tell(keyMails[aggregate.TypeOf(o.r.Event)], o.administrators(o.r.Sequence), o.keyholders())
}

// keyholders returns the addresses of those whose keys an event is about, as they had them when they last offered one.
func (o *owing) keyholders() (addresses []string) {
	offered := map[approval.Account]*lockboxv1.Person{}
	enrolled := map[string]approval.Account{}
	var concerned []approval.Account
	for _, r := range o.q.events {
		concerned = nil
		if e, err := approval.ParseEnrolment(r.Event.GetKeyOffered().GetEnrolment()); err == nil {
			offered[e.Person.Account] = r.Event.GetActor().GetPerson()
			concerned = append(concerned, e.Person.Account)
		}
		keys, removed := keysIn(r.Event)
		for _, e := range keys {
			if id, err := e.Key.ID(); err == nil && r.Event.GetKeyChangeOffered() == nil {
				enrolled[id] = e.Person.Account
			}
			concerned = append(concerned, e.Person.Account)
		}
		if of, is := enrolled[removed]; is {
			concerned = append(concerned, of)
		}
	}
	for _, account := range concerned {
		if who := offered[account]; who != nil {
			addresses = append(addresses, addressOf(who))
		}
	}
	return addresses
}

// keysIn returns the keys that a statement in an event adds, and the id of the one that it removes.
func keysIn(e *lockboxv1.Event) (keys []approval.Enrolment, removed string) {
	for _, s := range []*lockboxv1.SignedStatement{e.GetKeyChangeOffered().GetChange(), e.GetKeyChainBegan().GetGenesis(),
		e.GetKeyChainChanged().GetChange()} {
		if g, err := approval.ParseGenesis(s.GetStatement()); err == nil {
			keys = g.Administrators
		}
		if c, err := approval.ParseKeyChange(s.GetStatement()); err == nil {
			keys, removed = c.Keys, c.Remove
		}
	}
	return keys, removed
}
