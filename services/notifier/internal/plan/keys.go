package plan

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// KeyMatter is what a mail about keys says of the statement, or of the key that is offered.
type KeyMatter struct {
	// Change is one of package approval's changes of keys; empty for a genesis, and for a key that is offered.
	Change string
	// Keys are those that it is about.
	Keys []Key
	// Fingerprint has the words of the chain, or of the genesis that is to begin it; empty before there is one. Words are
	// those of a change.
	Fingerprint, Words string
	// Less reports that less is demanded than before.
	Less bool
	// Demand is what is demanded from then on; empty if that does not change.
	Demand approval.Demand
	// From is before when it does not count; zero if it counts at once, or not by itself.
	From time.Time
}

// Key is a key as people know it.
type Key struct {
	// Label is what its holder calls it, Holder is whose it is; either may be empty.
	Label, Holder string
	// SSH reports that it is a key of SSH, and not of a browser.
	SSH bool
	// of is who offered a key by that account, as they were then; nil if nobody did.
	of *lockboxv1.Person
}

// Signing is how a decision was signed, as far as that can be verified.
type Signing struct {
	// Words are those of the statement; empty if it was not signed.
	Words string
	// Broken reports that what stands there as a signature does not hold.
	Broken bool
	Key    Key
}

// keys notifies administrators of whatever happens to the keys with which decisions are signed, and those whose keys
// they are. Of a statement that waits for signatures they hear once, not with each of them.
func (p *planner) keys() {
	d := p.data()
	var t Template
	var change *lockboxv1.SignedStatement
	switch f := p.Event.GetFact().(type) {
	case *lockboxv1.Event_KeyOffered:
		t = KeyOffered
		if e, err := approval.ParseEnrolment(f.KeyOffered.GetEnrolment()); err == nil {
			d.Keys = &KeyMatter{Keys: []Key{p.enrolled(e)}}
		}
	case *lockboxv1.Event_KeyChangeOffered:
		t, change = KeyChangeOffered, f.KeyChangeOffered.GetChange()
		if slices.ContainsFunc(p.KeysBefore.Open, func(o keychain.Open) bool {
			return o.Statement == string(change.GetStatement())
		}) {
			return
		}
	case *lockboxv1.Event_KeyChainBegan:
		t, change = KeyChainBegan, f.KeyChainBegan.GetGenesis()
	case *lockboxv1.Event_KeyChainChanged:
		t, change = KeyChainChanged, f.KeyChainChanged.GetChange()
	default:
		return
	}
	if change != nil {
		d.Keys = p.statement(change)
	}
	if d.Keys == nil {
		return // it would not have been written
	}
	if chain := p.Keys.Chain; chain != nil {
		d.Keys.Fingerprint = approval.Text(chain.Fingerprint(), approval.FingerprintWords)
	}
	var holders []recipient
	for _, k := range d.Keys.Keys {
		if k.of != nil {
			holders = append(holders, p.tenantPerson(k.of, Keyholder))
		}
	}
	p.tell(t, d, p.administrators(), holders)
}

// attempt notifies administrators that something was refused for want of a customer's signature.
func (p *planner) attempt(f *lockboxv1.SignatureRefused) {
	d := p.data()
	if d.Refused = f; f.GetKind() == aggregate.KindRequest {
		d.RequestID = f.GetAbout()
	}
	p.tell(SignatureRefused, d, p.administrators())
}

// statement is what a mail says of a statement about keys.
func (p *planner) statement(signed *lockboxv1.SignedStatement) *KeyMatter {
	m := new(KeyMatter)
	if g, err := approval.ParseGenesis(signed.GetStatement()); err == nil {
		m.Fingerprint = approval.Text(approval.Digest(approval.FormatGenesis, signed.GetStatement()),
			approval.FingerprintWords)
		m.Demand = g.Demand
		for _, e := range g.Administrators {
			m.Keys = append(m.Keys, p.enrolled(e))
		}
		return m
	}
	c, err := approval.ParseKeyChange(signed.GetStatement())
	if err != nil {
		return nil
	}
	m.Change, m.Demand = c.Change, c.Demand
	m.Words = approval.Text(approval.Digest(approval.FormatKeys, signed.GetStatement()), approval.DecisionWords)
	for _, e := range c.Keys {
		m.Keys = append(m.Keys, p.enrolled(e))
	}
	if c.Remove != "" {
		m.Keys = append(m.Keys, p.known(c.Remove))
	}
	m.Less = c.Change == approval.SetDemand && c.Demand.Less(p.KeysBefore.Demand(keychain.Now))
	if delay := p.delay(m); delay > 0 && p.Event.GetKeyChainChanged() != nil {
		m.From = p.Event.GetTime().AsTime().Add(delay)
	}
	return m
}

// delay is how long a change waits; 0 if it counts at once.
func (p *planner) delay(m *KeyMatter) time.Duration {
	if p.Keys.Chain == nil {
		return 0
	}
	change, recovery := p.Keys.Chain.Genesis().Delays()
	switch {
	case m.Change == approval.RecoverKeys:
		return recovery
	case m.Change == approval.AddKey, m.Change == approval.ReplaceRecovery, m.Less:
		return change
	}
	return 0
}

// enrolled is a key that somebody offers, or that a statement enrols.
func (p *planner) enrolled(e approval.Enrolment) Key {
	k := Key{Holder: e.Person.Subject, SSH: e.Key.Kind == approval.KindSSH, of: p.Keys.Holders[e.Person.Account]}
	if k.of != nil {
		k.Holder = Name(k.of)
	}
	id, _ := e.Key.ID() // it was read, so it has one
	for _, o := range slices.Concat(p.Keys.Offers, p.KeysBefore.Offers) {
		if o.ID == id && o.Person == e.Person {
			k.Label = o.Label
		}
	}
	return k
}

// known is a key of the chain.
func (p *planner) known(id string) (k Key) {
	if p.Keys.Chain == nil {
		return k
	}
	for _, e := range p.Keys.Chain.Keys() {
		if e.ID == id {
			k = p.enrolled(e.Enrolment)
			k.Label = p.Keys.Labels[id]
		}
	}
	return k
}

// signing is how a decision was signed; nil if the customer has no keys.
func (p *planner) signing(g keychain.Given) *Signing {
	if p.Keys.Chain == nil {
		return nil
	}
	if g.Signed == nil {
		return new(Signing)
	}
	a, err := p.Keys.Decides(g, p.Exact)
	if err != nil {
		return &Signing{Broken: true}
	}
	digest := approval.Digest(approval.FormatDecision, g.Signed.GetStatement())
	return &Signing{Words: approval.Text(digest, approval.DecisionWords), Key: p.known(a.KeyID)}
}

// withheld is it without what its holder calls the key.
func (s *Signing) withheld() *Signing {
	if s == nil {
		return nil
	}
	return &Signing{Words: s.Words, Broken: s.Broken, Key: Key{SSH: s.Key.SSH}}
}
