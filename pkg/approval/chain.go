package approval

import (
	"encoding/hex"
	"slices"
	"strconv"
	"time"
)

// Stored is a signed statement as an event of the tenant holds it.
type Stored struct {
	// Sequence is the event's tenant sequence: its place in the tenant's tree, from 1 on.
	Sequence uint64
	Signed
}

// Enrolled is a key of a chain, and from when to when it counts.
type Enrolled struct {
	Enrolment
	ID string
	// Added is the tenant's sequence of the statement that enrolled it.
	Added uint64
	// From is the first of the tenant's events that it may sign; 0 if it is not proven that its delay is over.
	From uint64
	// Removed is the tenant's sequence at which it was removed; 0 if it was not.
	Removed uint64

	opened opened
}

// Counts reports whether the key may sign the tenant's event of that sequence.
func (e *Enrolled) Counts(sequence uint64) bool {
	return e.From != 0 && e.From <= sequence && (e.Removed == 0 || sequence < e.Removed)
}

// Chain is a tenant's keys, and what it demands, at every place of its log. It holds what was proven when it was
// folded: with fewer sightings, fewer keys count.
type Chain struct {
	genesis     Genesis
	fingerprint [32]byte
	keys        []*Enrolled
	// recovery are the recovery keys in their order: the last one that counts is the one.
	recovery []*Enrolled
	demands  []demanded
	clock    clock
	// What the next statement has to follow.
	last     [32]byte
	number   uint64
	sequence uint64
}

type demanded struct {
	demand Demand
	from   uint64 // 0: not yet
}

// Fold verifies a chain: genesis and each change, in the order of the log. Every statement is judged by the keys that
// counted at its own place. It refuses all of a chain that holds a statement which may not stand there: no part of it
// is trusted then, since what was left out could be a removal.
func Fold(entries []Stored, sightings []Sighting) (*Chain, error) {
	if len(entries) == 0 {
		return nil, refuse("keys", RuleGenesis, "there is no genesis")
	}
	c := new(Chain)
	if err := c.begin(entries[0], sightings); err != nil {
		return nil, at("keys.0", err)
	}
	for i, e := range entries[1:] {
		if err := c.add(e); err != nil {
			return nil, at("keys."+strconv.Itoa(i+1), err)
		}
	}
	return c, nil
}

// Extend verifies one more change, whose place is the tenant's sequence that it will have, and returns the longer
// chain. The chain itself stays as it is. It is for whoever decides whether to write the change down.
func (c *Chain) Extend(e Stored) (*Chain, error) {
	longer := *c
	longer.keys, longer.recovery = cloned(c.keys), cloned(c.recovery)
	longer.demands = slices.Clone(c.demands)
	if err := longer.add(e); err != nil {
		return nil, at("key", err)
	}
	return &longer, nil
}

func cloned(keys []*Enrolled) []*Enrolled {
	copies := make([]*Enrolled, len(keys))
	for i, k := range keys {
		copied := *k
		copies[i] = &copied
	}
	return copies
}

// Fingerprint is what people compare and verifiers pin: the digest of the genesis.
func (c *Chain) Fingerprint() [32]byte { return c.fingerprint }

// Genesis is how the chain began.
func (c *Chain) Genesis() Genesis { return c.genesis }

// Keys are all that were ever enrolled, in their order.
func (c *Chain) Keys() []Enrolled {
	keys := make([]Enrolled, len(c.keys))
	for i, k := range c.keys {
		keys[i] = *k
	}
	return keys
}

// Recovery are all recovery keys that there ever were, in their order.
func (c *Chain) Recovery() []Enrolled {
	keys := make([]Enrolled, len(c.recovery))
	for i, k := range c.recovery {
		keys[i] = *k
	}
	return keys
}

// Offline is the id of the recovery key at a place; empty before there is one.
func (c *Chain) Offline(sequence uint64) string {
	if k := c.offlineAt(sequence); k != nil {
		return k.ID
	}
	return ""
}

// Last is the digest of the last statement, its number, and its sequence: what the next change names as its previous
// one.
func (c *Chain) Last() (digest [32]byte, number, sequence uint64) {
	return c.last, c.number, c.sequence
}

// Demand is what the tenant demanded of its event of that sequence: nothing before the genesis.
func (c *Chain) Demand(sequence uint64) Demand {
	d := DemandNone
	for _, set := range c.demands {
		if set.from != 0 && set.from <= sequence {
			d = set.demand
		}
	}
	return d
}

// Awaited is a demand that is less than the one before, and waits for its delay.
func (c *Chain) Awaited() (d Demand, is bool) {
	last := c.demands[len(c.demands)-1]
	return last.demand, last.from == 0
}

// Due is when a delay that began with the tenant's event of that sequence is over at the earliest, by the times of
// the witnesses; false as long as too few of them have seen it.
func (c *Chain) Due(sequence uint64, delay time.Duration) (at time.Time, is bool) {
	at, is = c.clock.published(sequence)
	return at.Add(delay), is
}

// Delays are how long a change waits, and how long what the recovery key changes does.
func (g Genesis) Delays() (change, recovery time.Duration) {
	return seconds(g.DelaySeconds), seconds(g.RecoverySeconds)
}

func (c *Chain) begin(e Stored, sightings []Sighting) error {
	if err := c.name(e, sightings); err != nil {
		return err
	}
	signed, err := c.signers(e, FormatGenesis)
	if err != nil {
		return err
	}
	if len(signed) != len(c.keys)+1 {
		return refuse("signatures", RulePossession, "each of the %d keys of a genesis signs it", len(c.keys)+1)
	}
	c.demands = []demanded{{c.genesis.Demand, e.Sequence}}
	c.last, c.number, c.sequence = c.fingerprint, 1, e.Sequence
	return nil
}

// name enrols the keys that a genesis names, whoever has signed it.
func (c *Chain) name(e Stored, sightings []Sighting) error {
	g, err := ParseGenesis([]byte(e.Statement))
	if err != nil {
		return err
	}
	if e.Sequence == 0 {
		return refuse("sequence", RuleFollows, "counts from 1")
	}
	c.genesis, c.fingerprint = g, Digest(FormatGenesis, []byte(e.Statement))
	c.clock = newClock(g.Witnesses, int(g.Quorum), sightings) // #nosec G115 -- at most maxWitnesses
	from := e.Sequence
	if g.Replaces != "" {
		from = c.clock.since(e.Sequence, seconds(g.RecoverySeconds))
	}
	for _, k := range g.Administrators {
		if err := c.enrol(k, e.Sequence, from); err != nil {
			return at("administrators", err)
		}
	}
	return c.offline(g.Recovery, e.Sequence, from)
}

// enrol adds a key that was never enrolled before, under whatever name.
func (c *Chain) enrol(e Enrolment, sequence, from uint64) error {
	k, err := c.fresh(e.Key)
	if err == nil {
		k.Enrolment, k.Added, k.From = e, sequence, from
		c.keys = append(c.keys, k)
	}
	return err
}

// offline adds a recovery key.
func (c *Chain) offline(key Key, sequence, from uint64) error {
	k, err := c.fresh(key)
	if err == nil {
		k.Key, k.Added, k.From = key, sequence, from
		c.recovery = append(c.recovery, k)
	}
	return at("recovery", err)
}

func (c *Chain) fresh(key Key) (*Enrolled, error) {
	o, err := key.open()
	if err != nil {
		return nil, err
	}
	id, err := key.ID()
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Concat(c.keys, c.recovery) {
		if k.Key.Public == key.Public || key.Credential != "" && k.Key.Credential == key.Credential {
			return nil, refuse("key", RuleReused, "it was enrolled before")
		}
	}
	return &Enrolled{ID: id, opened: o}, nil
}

func (c *Chain) key(id string) *Enrolled {
	for _, k := range slices.Concat(c.keys, c.recovery) {
		if k.ID == id {
			return k
		}
	}
	return nil
}

// signers verifies every signature of a statement. None may be wrong, even if it is not needed.
func (c *Chain) signers(e Stored, format string) (signed []*Enrolled, err error) {
	if len(e.Signatures) == 0 || len(e.Signatures) > maxKeys+1 {
		return nil, refuse("signatures", RuleForm, "are 1 to %d", maxKeys+1)
	}
	for i, s := range e.Signatures {
		if i > 0 && e.Signatures[i-1].Key >= s.Key {
			return nil, refuse("signatures", RuleForm, "are not in the order of their keys, each once")
		}
		k := c.key(s.Key)
		if k == nil {
			return nil, refuse("signatures", RuleStranger, "%q is no key of this chain", s.Key)
		}
		if _, err := k.opened.verify(s, format, []byte(e.Statement)); err != nil {
			return nil, at("signatures", err)
		}
		signed = append(signed, k)
	}
	return signed, nil
}

// take enrols what a change adds, so that it can sign, whoever has signed the change. It returns from where on what
// waits counts, which is later than this place.
func (c *Chain) take(e Stored) (change KeyChange, wait uint64, err error) {
	if change, err = ParseKeyChange([]byte(e.Statement)); err != nil {
		return change, 0, err
	}
	switch g := c.genesis; {
	case change.Origin != g.Origin || change.Tenant != g.Tenant || change.Genesis != hex.EncodeToString(c.fingerprint[:]):
		return change, 0, refuse("genesis", RuleGenesis, "is of another chain")
	case change.Number != c.number+1 || change.Previous != hex.EncodeToString(c.last[:]) || e.Sequence <= c.sequence:
		return change, 0, refuse("previous", RuleFollows, "does not follow the statement before it")
	}
	wait = c.clock.since(e.Sequence, seconds(c.genesis.DelaySeconds))
	if change.Change == RecoverKeys {
		wait = c.clock.since(e.Sequence, seconds(c.genesis.RecoverySeconds))
	}
	for _, k := range change.Keys {
		if err := c.enrol(k, e.Sequence, wait); err != nil {
			return change, 0, at("keys", err)
		}
	}
	for _, k := range change.Recovery {
		if err := c.offline(k, e.Sequence, wait); err != nil {
			return change, 0, err
		}
	}
	return change, wait, nil
}

// Partly verifies a change that not everybody has signed who has to: that it follows the last statement, and that each
// signature there is holds, by a key of the chain or one that the change adds.
func (c *Chain) Partly(e Stored) error {
	longer := *c
	longer.keys, longer.recovery = cloned(c.keys), cloned(c.recovery)
	longer.demands = slices.Clone(c.demands)
	change, _, err := longer.take(e)
	if err == nil && len(e.Signatures) > 0 {
		_, err = longer.signers(e, change.Format)
	}
	return at("key", err)
}

// PartlyGenesis verifies a genesis that not all of its keys have signed.
func PartlyGenesis(e Stored) error {
	c := new(Chain)
	if err := c.name(e, nil); err != nil {
		return at("keys.0", err)
	}
	if len(e.Signatures) == 0 {
		return nil
	}
	_, err := c.signers(e, FormatGenesis)
	return at("keys.0", err)
}

// add folds one change.
func (c *Chain) add(e Stored) error {
	before := c.Demand(e.Sequence)
	change, wait, err := c.take(e)
	if err != nil {
		return err
	}
	signed, err := c.signers(e, FormatKeys)
	if err != nil {
		return err
	}
	if err := c.allow(change, before, e.Sequence, signed); err != nil {
		return err
	}
	switch change.Change {
	case RemoveKey:
		c.key(change.Remove).Removed = e.Sequence
	case SetDemand:
		c.demands = slices.DeleteFunc(c.demands, func(d demanded) bool { return d.from == 0 || d.from > e.Sequence })
		if change.Demand.rank() >= before.rank() {
			wait = e.Sequence
		}
		c.demands = append(c.demands, demanded{change.Demand, wait})
	}
	c.last, c.number, c.sequence = Digest(FormatKeys, []byte(e.Statement)), change.Number, e.Sequence
	return nil
}

// allow refuses a change that those who signed may not make. Whoever signed without any right is refused too.
func (c *Chain) allow(change KeyChange, before Demand, sequence uint64, signed []*Enrolled) error {
	var administrators []*Enrolled
	var others []*Enrolled // keys that count, of approvers
	recovery, own := false, 0
	for _, k := range signed {
		switch {
		case k.Added == sequence:
			own++
		case k == c.offlineAt(sequence):
			recovery = true
		case !k.Counts(sequence) || k.Role == "":
			return refuse("signatures", RuleStranger, "the key %s does not count here", k.ID)
		case k.Role == Administrator:
			administrators = append(administrators, k)
		default:
			others = append(others, k)
		}
	}
	if own != len(change.Keys)+len(change.Recovery) {
		return refuse("signatures", RulePossession, "each new key signs its own enrolment")
	}
	counted := slices.Concat(administrators, others)
	switch change.Change {
	case AddKey:
		if e := change.Keys[0]; !recovery && len(counted) == 1 && counted[0].Person == e.Person &&
			(counted[0].Role == Administrator || e.Role == Approver) {
			return nil
		}
		return c.needThreshold(administrators, others, recovery)
	case ReplaceRecovery:
		return c.needThreshold(administrators, others, recovery)
	case SetDemand:
		if change.Demand.rank() < before.rank() {
			return c.needThreshold(administrators, others, recovery)
		}
		if len(administrators) == 0 || len(others) > 0 || recovery {
			return refuse("signatures", RuleAuthority, "an administrator demands more")
		}
	case RecoverKeys:
		if !recovery || len(counted) > 0 {
			return refuse("signatures", RuleAuthority, "the recovery key, and nobody else, signs beside the new ones")
		}
	case RemoveKey:
		gone := c.key(change.Remove)
		if gone == nil || gone.Role == "" || gone.Removed != 0 {
			return refuse("remove", RuleStranger, "is no key that could be removed")
		}
		same := func(k *Enrolled) bool { return k.Person.Same(gone.Person) }
		if len(administrators) == 0 && !recovery && !slices.ContainsFunc(others, same) {
			return refuse("signatures", RuleAuthority, "an administrator, the same person or the recovery key removes it")
		}
	}
	return nil
}

// needThreshold refuses what is signed by fewer different administrators than genesis demands, or by others beside
// them.
func (c *Chain) needThreshold(administrators, others []*Enrolled, recovery bool) error {
	var people []Person
	for _, k := range administrators {
		if !slices.ContainsFunc(people, k.Person.Same) {
			people = append(people, k.Person)
		}
	}
	if len(others) > 0 || recovery {
		return refuse("signatures", RuleAuthority, "only administrators sign beside the new key")
	}
	if n := uint64(len(people)); n < c.genesis.Threshold {
		return refuse("signatures", RulePeople, "%d of %d different administrators signed", n, c.genesis.Threshold)
	}
	return nil
}

// offlineAt is the recovery key at a place: the last one that counts there.
func (c *Chain) offlineAt(sequence uint64) (key *Enrolled) {
	for _, k := range c.recovery {
		if k.Counts(sequence) {
			key = k
		}
	}
	return key
}

// Approves verifies a signed decision at its place of the tenant's log: the form, that it is of this chain, that the
// key counts there and is of who decides, and the signature. What it is about is compared by [Decision.Within].
func (c *Chain) Approves(e Stored) (Approval, error) {
	d, err := ParseDecision([]byte(e.Statement))
	if err != nil {
		return Approval{}, err
	}
	k, counter, err := c.signed(e, d.Head)
	if err != nil {
		return Approval{}, err
	}
	return Approval{Decision: d, Digest: Digest(d.Format, []byte(e.Statement)), Key: k.Key, KeyID: k.ID, Person: k.Person,
		Counter: counter, Sequence: e.Sequence, RemovedAt: k.Removed}, nil
}

// Changes verifies a signed change of settings in the same way. One signature is of one person; how many a change
// needs, and whether it follows the aggregate's last event, is for whoever makes it to say.
func (c *Chain) Changes(e Stored) (Change, Enrolled, error) {
	change, err := ParseChange([]byte(e.Statement))
	if err != nil {
		return Change{}, Enrolled{}, err
	}
	k, _, err := c.signed(e, change.Head)
	if err != nil {
		return Change{}, Enrolled{}, err
	}
	return change, *k, nil
}

func (c *Chain) signed(e Stored, h Head) (key *Enrolled, counter uint32, err error) {
	switch {
	case h.Origin != c.genesis.Origin:
		return nil, 0, refuse("origin", RuleOther, "%q is not %s", h.Origin, c.genesis.Origin)
	case h.Tenant != c.genesis.Tenant:
		return nil, 0, refuse("tenant", RuleOther, "%q is not %s", h.Tenant, c.genesis.Tenant)
	case h.Genesis != hex.EncodeToString(c.fingerprint[:]):
		return nil, 0, refuse("genesis", RuleGenesis, "is of another chain")
	case len(e.Signatures) != 1 || e.Signatures[0].Key != h.Key:
		return nil, 0, refuse("signatures", RuleStranger, "is not the one signature of the key that the statement names")
	}
	key = c.key(h.Key)
	switch {
	case key == nil || key.Role == "" || !key.Counts(e.Sequence):
		return nil, 0, refuse("key", RuleStranger, "does not count at event %d of the tenant", e.Sequence)
	case key.Person.Account != h.By:
		return nil, 0, refuse("by", RuleStranger, "is not whose key it is")
	}
	counter, err = key.opened.verify(e.Signatures[0], h.Format, []byte(e.Statement))
	return key, counter, at("signatures", err)
}
