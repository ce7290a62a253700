package approval

import (
	"slices"
	"strings"
	"time"
)

// Person is who has a key.
type Person struct {
	Account
	// Human is which human it is, by the claim of their issuer (R51); empty if nothing says so.
	Human string `json:"human"`
}

// Same reports whether two are known to be one human: by the account, or by the claim, whoever issued it.
func (p Person) Same(q Person) bool {
	return p.Account == q.Account || p.Human != "" && p.Human == q.Human
}

// Roles of keys.
const (
	// Administrator keys change keys, and decide.
	Administrator = "administrator"
	// Approver keys decide.
	Approver = "approver"
)

// Enrolment is whose a key is, and what it is for.
type Enrolment struct {
	Key    Key    `json:"key"`
	Person Person `json:"person"`
	Role   string `json:"role"`
}

// Bytes is the enrolment's one spelling. It refuses one that could not be read again.
func (e Enrolment) Bytes() ([]byte, error) {
	if err := e.check("enrolment"); err != nil {
		return nil, err
	}
	return canonical(e)
}

// ParseEnrolment reads an enrolment in its only spelling.
func ParseEnrolment(data []byte) (e Enrolment, err error) {
	if err = parse(data, maxEnrolment, &e); err == nil {
		err = e.check("enrolment")
	}
	return e, err
}

func (e Enrolment) check(field string) error {
	if err := e.Person.check(field + ".person"); err != nil {
		return err
	}
	if len(e.Person.Human) > 255 {
		return refuse(field+".person.human", RuleValue, "is at most 255 bytes long")
	}
	if e.Role != Administrator && e.Role != Approver {
		return refuse(field+".role", RuleValue, "%q is no role", e.Role)
	}
	return nil
}

const (
	maxKeys      = 32
	maxWitnesses = 16
	maxEnrolment = 8 << 10           // bytes
	maxDelay     = 90 * 24 * 60 * 60 // seconds
)

// Genesis begins a tenant's chain of keys. Its digest is the fingerprint that people compare and verifiers pin.
type Genesis struct {
	Format string `json:"format"`
	Origin string `json:"origin"`
	Tenant string `json:"tenant"`
	// Replaces is the fingerprint of the chain before it, in hexadecimal digits; empty for a tenant's first. The keys of
	// a chain that replaces another wait for RecoverySeconds.
	Replaces string `json:"replaces"`
	// Administrators have keys of at least two different people.
	Administrators []Enrolment `json:"administrators"`
	// Recovery is a key of SSH that the customer keeps offline. It decides nothing.
	Recovery Key `json:"recovery"`
	// Threshold is how many different administrators sign for a new key; at least two.
	Threshold uint64 `json:"threshold"`
	Demand    Demand `json:"demand"`
	// DelaySeconds is how long what M administrators change waits, RecoverySeconds what the recovery key changes.
	DelaySeconds    uint64 `json:"delaySeconds"`
	RecoverySeconds uint64 `json:"recoverySeconds"`
	// Witnesses are the verifier keys of those whose cosignatures measure the delays, in the order of their bytes; Quorum,
	// more than half of them, is how many must have cosigned.
	Witnesses []string `json:"witnesses"`
	Quorum    uint64   `json:"quorum"`
	IssuedAt  string   `json:"issuedAt"`
	Nonce     string   `json:"nonce"`
}

// Bytes is what is signed: the statement's one spelling. It refuses a statement that could not be read again.
func (g Genesis) Bytes() ([]byte, error) { return spell(g) }

// ParseGenesis reads a genesis in its only spelling.
func ParseGenesis(data []byte) (g Genesis, err error) {
	if err = parse(data, MaxStatement, &g); err == nil {
		err = g.check()
	}
	return g, err
}

func (g Genesis) check() error {
	if err := checkFrame(g.Format, FormatGenesis, g.Origin, g.Tenant, g.IssuedAt, g.Nonce); err != nil {
		return err
	}
	if g.Replaces != "" {
		if err := checkHash("replaces", g.Replaces); err != nil {
			return err
		}
	}
	if len(g.Administrators) > maxKeys {
		return refuse("administrators", RuleValue, "are at most %d keys", maxKeys)
	}
	var people []Person
	for _, e := range g.Administrators {
		if err := e.check("administrators"); err != nil {
			return err
		}
		if e.Role != Administrator {
			return refuse("administrators.role", RuleValue, "genesis has keys of administrators only")
		}
		if !slices.ContainsFunc(people, e.Person.Same) {
			people = append(people, e.Person)
		}
	}
	switch n := uint64(len(people)); {
	case n < 2:
		return refuse("administrators", RulePeople, "are at least two different people")
	case g.Threshold < 2 || g.Threshold > n:
		return refuse("threshold", RuleValue, "is 2 to %d", n)
	case g.Recovery.Kind != KindSSH:
		return refuse("recovery", RuleValue, "is a key of SSH")
	case g.DelaySeconds == 0 || g.DelaySeconds > maxDelay:
		return refuse("delaySeconds", RuleValue, "is 1 to %d", maxDelay)
	case g.RecoverySeconds < g.DelaySeconds || g.RecoverySeconds > maxDelay:
		return refuse("recoverySeconds", RuleValue, "is from delaySeconds to %d", maxDelay)
	}
	if err := g.Demand.check("demand"); err != nil {
		return err
	}
	return g.checkWitnesses()
}

func (g Genesis) checkWitnesses() error {
	n := len(g.Witnesses)
	if n == 0 || n > maxWitnesses {
		return refuse("witnesses", RuleValue, "are 1 to %d", maxWitnesses)
	}
	for i, w := range g.Witnesses {
		if err := checkText("witnesses", w, 512); err != nil {
			return err
		}
		if strings.Count(w, "+") < 2 {
			return refuse("witnesses", RuleValue, "%q is no verifier key", w)
		}
		if i > 0 && g.Witnesses[i-1] >= w {
			return refuse("witnesses", RuleValue, "are not in the order of their bytes, each once")
		}
	}
	if g.Quorum > uint64(n) || 2*g.Quorum <= uint64(n) {
		return refuse("quorum", RuleValue, "is more than half of %d witnesses, and no more than all", n)
	}
	return nil
}

func checkFrame(format, want, origin, tenant, issuedAt, nonce string) error {
	if format != want {
		return refuse("format", RuleForm, "%q is not %s", format, want)
	}
	if _, err := parseTime("issuedAt", issuedAt); err != nil {
		return err
	}
	for _, err := range []error{checkText("origin", origin, 256), checkTenant(tenant), checkHash("nonce", nonce)} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Changes of keys.
const (
	// AddKey adds one key: signed by it, and by as many administrators as genesis says, or by another key of the very
	// account and at least the same role. Valid after the delay.
	AddKey = "add"
	// RemoveKey removes one key at once: signed by one administrator, a key of the same human, or the recovery key. It
	// also stops a key that waits.
	RemoveKey = "remove"
	// RecoverKeys adds keys of administrators: signed by them and the recovery key. Valid after the recovery's delay.
	RecoverKeys = "recover"
	// ReplaceRecovery replaces the recovery key: signed by the new one, and by as many administrators as genesis says.
	// Valid after the delay.
	ReplaceRecovery = "replace-recovery"
	// SetDemand demands more at once, signed by one administrator, or less after the delay, signed by as many as genesis
	// says. What demands less and waits is stopped by the next change of the demand.
	SetDemand = "demand"
)

// KeyChange is a change of a tenant's keys, or of what it demands.
type KeyChange struct {
	Format string `json:"format"`
	Origin string `json:"origin"`
	Tenant string `json:"tenant"`
	// Genesis is the chain's fingerprint, Previous the digest of the statement before; in hexadecimal digits.
	Genesis  string `json:"genesis"`
	Previous string `json:"previous"`
	// Number counts from 2; genesis is the first.
	Number uint64 `json:"number"`
	Change string `json:"change"`
	// Keys are those that AddKey (one) and RecoverKeys add.
	Keys []Enrolment `json:"keys"`
	// Recovery is the new recovery key of ReplaceRecovery.
	Recovery []Key `json:"recovery"`
	// Remove is the id of the key that RemoveKey removes; else empty.
	Remove string `json:"remove"`
	// Demand is what SetDemand sets; else empty.
	Demand   Demand `json:"demand"`
	IssuedAt string `json:"issuedAt"`
	Nonce    string `json:"nonce"`
}

// Bytes is what is signed: the statement's one spelling. It refuses a statement that could not be read again.
func (c KeyChange) Bytes() ([]byte, error) { return spell(c) }

// ParseKeyChange reads a change of keys in its only spelling.
func ParseKeyChange(data []byte) (c KeyChange, err error) {
	if err = parse(data, MaxStatement, &c); err == nil {
		err = c.check()
	}
	return c, err
}

func (c KeyChange) check() error {
	if err := checkFrame(c.Format, FormatKeys, c.Origin, c.Tenant, c.IssuedAt, c.Nonce); err != nil {
		return err
	}
	for _, err := range []error{checkHash("genesis", c.Genesis), checkHash("previous", c.Previous)} {
		if err != nil {
			return err
		}
	}
	if c.Number < 2 {
		return refuse("number", RuleValue, "counts from 2")
	}
	for _, e := range c.Keys {
		if err := e.check("keys"); err != nil {
			return err
		}
		if c.Change == RecoverKeys && e.Role != Administrator {
			return refuse("keys.role", RuleValue, "the recovery key enrols administrators only")
		}
	}
	if c.Remove != "" {
		if err := checkHash("remove", c.Remove); err != nil {
			return err
		}
	}
	if c.Demand != "" {
		if err := c.Demand.check("demand"); err != nil {
			return err
		}
	}
	if len(c.Recovery) > 0 && c.Recovery[0].Kind != KindSSH {
		return refuse("recovery", RuleValue, "is a key of SSH")
	}
	var parts [4]int // which of the four there are, and nothing beside what the change is about
	parts[0], parts[1] = len(c.Keys), len(c.Recovery)
	parts[2], parts[3] = min(len(c.Remove), 1), min(len(c.Demand), 1)
	var fits bool
	switch c.Change {
	case AddKey:
		fits = parts == [4]int{1, 0, 0, 0}
	case RecoverKeys:
		fits = parts == [4]int{len(c.Keys), 0, 0, 0} && len(c.Keys) > 0 && len(c.Keys) <= maxKeys
	case ReplaceRecovery:
		fits = parts == [4]int{0, 1, 0, 0}
	case RemoveKey:
		fits = parts == [4]int{0, 0, 1, 0}
	case SetDemand:
		fits = parts == [4]int{0, 0, 0, 1}
	default:
		return refuse("change", RuleValue, "%q is no change of keys", c.Change)
	}
	if !fits {
		return refuse("change", RuleValue, "says more or less than %s does", c.Change)
	}
	return nil
}

func seconds(n uint64) time.Duration { return time.Duration(n) * time.Second } // #nosec G115 -- at most maxDelay
