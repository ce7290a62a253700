// Package keychain is the aggregate of the keys with which a customer's people sign what they decide (R42): the keys
// that they offer, the statements that wait for signatures, the chain itself, and what witnesses saw of it. It is pure;
// which statements count is said by package approval.
//
// Places are sequences of the stream here, not of the customer's tree as in a file for others: each aggregate is folded
// where it is stored, and the order is the same. A sighting says how many of these events a tree had that witnesses
// cosigned, and it is stored itself; so whatever comes after it came after the time for which they vouch.
package keychain

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/approval/sighted"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	rule = "R42"
	// mostOffers is how many keys wait at most, mostOpen how many statements do.
	mostOffers, mostOpen = 64, 16
)

// State is a customer's keys, folded from its events. It is never modified in place.
type State struct {
	aggregate.History
	// Offers are the keys that wait to be enrolled, the newest last.
	Offers []Offer
	// Open are the statements that wait for signatures, the newest last.
	Open []Open
	// Chain is nil before its genesis.
	Chain *approval.Chain
	// Labels are what people call their keys, by the key's id.
	Labels map[string]string
	// Holders are those who offered keys, as they were when they last did.
	Holders map[approval.Account]*lockboxv1.Person
	// Times are when a key was enrolled, and removed, by the clock of who wrote it down.
	Enrolled, Removed map[string]time.Time

	entries   []approval.Stored
	sightings []approval.Sighting
	// sequences are those of the events, by version.
	sequences []uint64
	by        *lockboxv1.Actor
	at        time.Time
}

// Offer is a key that waits to be enrolled.
type Offer struct {
	approval.Enrolment
	ID    string
	Label string
	By    *lockboxv1.Actor
	At    time.Time
}

// Open is a statement about keys that waits for signatures.
type Open struct {
	approval.Signed
	By      *lockboxv1.Actor
	At      time.Time
	Version uint64
}

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault: then nothing that
// these keys sign is accepted, since what was left out could be a removal.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

func (s *State) apply(e *lockboxv1.Event) (broken string) {
	s.sequences = append(slices.Clip(s.sequences), s.Sequence)
	at := e.GetTime().AsTime()
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_KeyOffered:
		broken = s.offered(f.KeyOffered, e.GetActor(), at)
	case *lockboxv1.Event_KeyChangeOffered:
		broken = s.open(f.KeyChangeOffered.GetChange(), e.GetActor(), at)
	case *lockboxv1.Event_KeyChainBegan:
		broken = s.began(f.KeyChainBegan.GetGenesis(), at)
	case *lockboxv1.Event_KeyChainChanged:
		broken = s.changed(f.KeyChainChanged.GetChange(), at)
	case *lockboxv1.Event_KeysSighted:
		broken = s.sighted(f.KeysSighted)
	default:
		return "the fact belongs to another kind of aggregate"
	}
	if broken == "" && aggregate.Customer(e.GetActor()) {
		s.by, s.at = e.GetActor(), at
	}
	return broken
}

func (s *State) offered(f *lockboxv1.KeyOffered, by *lockboxv1.Actor, at time.Time) (broken string) {
	e, err := approval.ParseEnrolment(f.GetEnrolment())
	if err != nil || !ofActor(e.Person, by) {
		return "people offer keys of their own (R42)"
	}
	id, err := e.Key.ID()
	if err != nil {
		return "people offer keys that could sign (R42)"
	}
	s.Offers = append(without(s.Offers, e.Person.Account, id), Offer{e, id, f.GetLabel(), by, at})
	if s.Holders = maps.Clone(s.Holders); s.Holders == nil {
		s.Holders = map[approval.Account]*lockboxv1.Person{}
	}
	s.Holders[e.Person.Account] = by.GetPerson()
	return ""
}

// without returns the offers but those of the same person for the same kind of key, and those of the key itself.
func without(offers []Offer, of approval.Account, id string) []Offer {
	return slices.DeleteFunc(slices.Clone(offers), func(o Offer) bool { return o.ID == id && o.Person.Account == of })
}

func (s *State) open(change *lockboxv1.SignedStatement, by *lockboxv1.Actor, at time.Time) (broken string) {
	signed := FromProto(change)
	is := Open{signed, by, at, s.Version}
	i := slices.IndexFunc(s.Open, func(o Open) bool { return o.Statement == signed.Statement })
	s.Open = slices.Clone(s.Open)
	switch {
	case i < 0:
		s.Open = append(s.besides(by), is)
	case !within(s.Open[i].Signatures, signed.Signatures):
		return "no signature is taken back (R42)"
	default:
		is.By, is.At = s.Open[i].By, s.Open[i].At
		s.Open[i] = is
	}
	return ""
}

// besides are the statements that wait beside a new one of somebody's. It takes the place of what they drafted before
// and nobody has signed: nothing is lost with that, and drafts that nobody signs keep nobody from changing keys.
func (s State) besides(by *lockboxv1.Actor) []Open {
	return slices.DeleteFunc(slices.Clone(s.Open), func(o Open) bool {
		return len(o.Signatures) == 0 && AccountOf(o.By.GetPerson()) == AccountOf(by.GetPerson())
	})
}

func within(some, all []approval.Signature) bool {
	return !slices.ContainsFunc(some, func(o approval.Signature) bool { return !slices.Contains(all, o) })
}

func (s *State) began(genesis *lockboxv1.SignedStatement, at time.Time) (broken string) {
	if s.Chain != nil {
		return "a chain of keys begins once (R42)"
	}
	g, err := approval.ParseGenesis(genesis.GetStatement())
	if err != nil || g.Tenant != s.Tenant || g.Replaces != "" {
		return "a chain of keys begins with the customer's own genesis (R42)"
	}
	return s.chained(FromProto(genesis), at)
}

func (s *State) changed(change *lockboxv1.SignedStatement, at time.Time) (broken string) {
	if s.Chain == nil {
		return "a chain of keys begins with a genesis (R42)"
	}
	return s.chained(FromProto(change), at)
}

// chained adds a statement to the chain, if it may stand there.
func (s *State) chained(signed approval.Signed, at time.Time) (broken string) {
	s.entries = append(slices.Clip(s.entries), approval.Stored{Sequence: s.Sequence, Signed: signed})
	chain, err := approval.Fold(s.entries, s.sightings)
	if err != nil {
		return "a statement about keys is signed by those who may, with keys that count where it stands (R42)"
	}
	enrolled, removed := map[string]time.Time{}, map[string]time.Time{}
	for _, k := range slices.Concat(chain.Keys(), chain.Recovery()) {
		enrolled[k.ID] = s.time(s.Enrolled, k.ID, at)
		if k.Removed != 0 {
			removed[k.ID] = s.time(s.Removed, k.ID, at)
		}
	}
	s.Chain, s.Enrolled, s.Removed = chain, enrolled, removed
	s.Labels = s.labels(chain)
	s.Offers = slices.DeleteFunc(slices.Clone(s.Offers), func(o Offer) bool { return !enrolled[o.ID].IsZero() })
	s.Open = nil // none of them follows this one
	return ""
}

func (s *State) time(known map[string]time.Time, id string, at time.Time) time.Time {
	if t, is := known[id]; is {
		return t
	}
	return at
}

// labels are those of the offers that were taken, beside those that are known.
func (s *State) labels(chain *approval.Chain) map[string]string {
	labels := map[string]string{}
	for _, k := range chain.Keys() {
		labels[k.ID] = s.Labels[k.ID]
		for _, o := range s.Offers {
			if o.ID == k.ID && o.Person == k.Person {
				labels[k.ID] = o.Label
			}
		}
	}
	return labels
}

// sighted adds what witnesses saw, if it verifies.
func (s *State) sighted(f *lockboxv1.KeysSighted) (broken string) {
	if s.Chain == nil {
		return "" // no genesis says whose witnesses count
	}
	seen, version, err := sighted.Verify(s.Chain.Genesis(), f)
	if err != nil || version == 0 || version >= s.Version {
		return ""
	}
	seen.Size, seen.Next = s.sequences[version-1], s.Sequence+1
	s.sightings = append(slices.Clip(s.sightings), seen)
	chain, err := approval.Fold(s.entries, s.sightings)
	if err != nil { // with more sightings, no fewer keys count
		return "what witnesses saw makes no statement invalid (R42)"
	}
	s.Chain = chain
	return ""
}

// Now is a place after everything that is stored.
const Now = uint64(1) << 62

// Demand is what the customer demands of the event at a place.
func (s State) Demand(place uint64) approval.Demand {
	if s.Chain == nil {
		return approval.DemandNone
	}
	return s.Chain.Demand(place)
}

// Began is the sequence of the genesis; 0 before there is one.
func (s State) Began() uint64 {
	if s.Chain == nil {
		return 0
	}
	return s.entries[0].Sequence
}

// Key is an enrolled key by its id, whether it counts or not.
func (s State) Key(id string) (k approval.Enrolled, is bool) {
	if s.Chain == nil {
		return k, false
	}
	keys := s.Chain.Keys()
	i := slices.IndexFunc(keys, func(k approval.Enrolled) bool { return k.ID == id })
	if i < 0 {
		return k, false
	}
	return keys[i], true
}

// KeysOf are somebody's keys that count at a place.
func (s State) KeysOf(p *lockboxv1.Person, place uint64) (keys []approval.Enrolled) {
	if s.Chain == nil {
		return nil
	}
	for _, k := range s.Chain.Keys() {
		if k.Counts(place) && k.Person.Account == AccountOf(p) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Wants reports whether a sighting of the first so many of these events would make more keys count, or bring the day
// nearer: something that waits was not seen yet, or was seen so long ago that its delay is over at now.
func (s State) Wants(version uint64, now time.Time) bool {
	if s.Chain == nil || s.Fault != nil || version == 0 || version > uint64(len(s.sequences)) {
		return false
	}
	seen := s.sequences[version-1]
	change, recovery := s.Chain.Genesis().Delays()
	wants := func(added uint64, delay time.Duration) bool {
		due, published := s.Chain.Due(added, delay)
		return added <= seen && (!published || !now.Before(due))
	}
	for _, k := range s.waiting() {
		if wants(k.Added, s.delayOf(k, change, recovery)) {
			return true
		}
	}
	if _, waits := s.Chain.Awaited(); waits {
		_, _, last := s.Chain.Last()
		return wants(last, change)
	}
	return false
}

// Waits reports whether a delay is not proven to be over: of a key, or of a demand that is less than before.
func (s State) Waits() bool {
	if s.Chain == nil || s.Fault != nil {
		return false
	}
	_, waits := s.Chain.Awaited()
	return waits || len(s.waiting()) > 0
}

// waiting are the keys, those of recovery included, whose delay is not proven to be over.
func (s State) waiting() []approval.Enrolled {
	return slices.DeleteFunc(slices.Concat(s.Chain.Keys(), s.Chain.Recovery()),
		func(k approval.Enrolled) bool { return k.From != 0 || k.Removed != 0 })
}

// Helps reports whether what witnesses saw would make more keys count, or bring the day nearer, if it were the next of
// these events. The time is that for which the witnesses vouch: whoever writes it down would not be believed.
func (s State) Helps(f *lockboxv1.KeysSighted) bool {
	if !s.Waits() {
		return false
	}
	seen, version, err := sighted.Verify(s.Chain.Genesis(), f)
	if err != nil {
		return false
	}
	since, enough := s.Chain.Genesis().Since(seen)
	return enough && s.Wants(version, since)
}

// delayOf is how long a key waits: longer if the recovery key enrolled it.
func (s State) delayOf(k approval.Enrolled, change, recovery time.Duration) time.Duration {
	for _, e := range s.entries {
		if c, err := approval.ParseKeyChange([]byte(e.Statement)); err == nil && e.Sequence == k.Added &&
			c.Change == approval.RecoverKeys {
			return recovery
		}
	}
	return change
}

// CountsFrom is when a key that waits counts at the earliest, by the witnesses; false if they have not seen it, or if
// it does not wait.
func (s State) CountsFrom(k approval.Enrolled) (time.Time, bool) {
	if k.From != 0 || k.Removed != 0 {
		return time.Time{}, false
	}
	change, recovery := s.Chain.Genesis().Delays()
	return s.Chain.Due(k.Added, s.delayOf(k, change, recovery))
}

// AccountOf is whose account a person is.
func AccountOf(p *lockboxv1.Person) approval.Account {
	return approval.Account{Issuer: p.GetIssuer(), Subject: p.GetSubject()}
}

// ofActor reports whether an enrolment is of who acts: their account, and which human they are known to be.
func ofActor(p approval.Person, by *lockboxv1.Actor) bool {
	return aggregate.Customer(by) && p.Account == AccountOf(by.GetPerson()) && p.Human == by.GetPerson().GetHuman()
}

// OfKey is the person of a key as an actor, who has shown nothing else than that.
func OfKey(p approval.Person) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{Issuer: p.Issuer,
		Subject: p.Subject, Human: p.Human}}
}

// administrator reports whether somebody administers the tenant.
func administrator(t tenant.State, by *lockboxv1.Actor, now time.Time) bool {
	return slices.Contains(t.Roles.Held(by.GetPerson(), now), lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
}

// FromProto is a signed statement as package approval has it.
func FromProto(s *lockboxv1.SignedStatement) approval.Signed { return logged.FromProto(s) }

// ToProto is a signed statement as an event has it. Of what is not in its only spelling, less is left, and that does
// not verify.
func ToProto(s approval.Signed) *lockboxv1.SignedStatement { return logged.ToProto(s) }

// Merge adds signatures of a statement to others of the same, in the order of the keys' ids; of one key, the first
// stays.
func Merge(into, more []approval.Signature) []approval.Signature {
	all := slices.Clone(into)
	for _, s := range more {
		if !slices.ContainsFunc(all, func(o approval.Signature) bool { return o.Key == s.Key }) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b approval.Signature) int { return cmp.Compare(a.Key, b.Key) })
	return all
}
