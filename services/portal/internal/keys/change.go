package keys

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/proto"
)

// A statement about keys is drafted here, recorded without any signature, and then signed by each of those who have to,
// on its own page.

// draft records a statement and leads to its page.
func draft(
	v *site.Visit, f *form.Form, format string, statement []byte, again func(*site.Visit, *form.Form) error,
) error {
	digest := approval.Digest(format, statement)
	return do(v, f, &lockboxv1.Command{Action: &lockboxv1.Command_SignKeys{
		SignKeys: &lockboxv1.SignKeys{Change: &lockboxv1.SignedStatement{Statement: statement}}}},
		v.Path(root, "statements", hex.EncodeToString(digest[:])), again)
}

func nonce() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// change drafts a change of the keys that there are.
func (p pages) change(v *site.Visit) error {
	f := form.Sent(v.R)
	l, err := look(v, f)
	if err != nil {
		return err
	}
	c := approval.KeyChange{Format: approval.FormatKeys, Origin: l.Keys.GetOrigin(), Tenant: v.Session.Tenant,
		Genesis: l.Fingerprint(), Keys: []approval.Enrolment{}, Recovery: []approval.Key{},
		IssuedAt: approval.TimeText(v.Now().Truncate(time.Second)), Nonce: nonce()}
	if c.Number, c.Previous, err = l.next(); err != nil {
		return err
	}
	switch {
	case f.Value("add") != "":
		c.Change = approval.AddKey
		k := l.key(f.Value("add"))
		e, err := approval.ParseEnrolment(k.GetEnrolment())
		if err != nil {
			return unknown("add")
		}
		c.Keys = append(c.Keys, e)
	case f.Value("remove") != "":
		if c.Change, c.Remove = approval.RemoveKey, f.Value("remove"); l.key(c.Remove) == nil {
			return unknown("remove")
		}
	case f.Value("demand") != "":
		c.Change, c.Demand = approval.SetDemand, approval.Demand(f.Value("demand"))
	default:
		return unknown("do")
	}
	statement, err := c.Bytes()
	if err != nil {
		return unknown("demand")
	}
	return draft(v, f, approval.FormatKeys, statement, p.list)
}

func unknown(field string) error {
	return refusal.OfKind(refusal.Invalid(field, "bad input", "is not what the page's own form says"), "form")
}

// next returns what the next statement about the keys follows: its number, and the digest of the one before.
func (l looking) next() (number uint64, previous string, err error) {
	for _, e := range l.Keys.GetEvents() {
		stored := new(lockboxv1.Event)
		if err := proto.Unmarshal(e.GetStored(), stored); err != nil {
			return 0, "", err
		}
		format, statement := approval.FormatKeys, stored.GetKeyChainChanged().GetChange().GetStatement()
		if began := stored.GetKeyChainBegan(); began != nil {
			format, statement = approval.FormatGenesis, began.GetGenesis().GetStatement()
		}
		if len(statement) > 0 {
			digest := approval.Digest(format, statement)
			number, previous = number+1, hex.EncodeToString(digest[:])
		}
	}
	if number == 0 {
		return 0, "", refusal.OfKind(refusal.Precondition("change", "R42", "there are no keys yet"), "no-keys")
	}
	return number + 1, previous, nil
}

// key finds a key by its id; nil if there is none.
func (l looking) key(id string) *lockboxv1.KeyView {
	for _, k := range l.Keys.GetKeys() {
		if hex.EncodeToString(k.GetKeyId()) == id {
			return k
		}
	}
	return nil
}

// beginning is the data of the page on which a genesis is drafted.
type beginning struct{ looking }

// Administrators are the keys of administrators that are offered.
func (b beginning) Administrators() []row {
	return slices.DeleteFunc(b.Rows(), func(r row) bool {
		return r.GetRole() != approval.Administrator || r.GetStanding() != lockboxv1.KeyStanding_KEY_STANDING_OFFERED
	})
}

// Chosen reports whether the key is part of the genesis: all are, until somebody chooses.
func (b beginning) Chosen(id string) bool {
	return b.Form.Value("threshold") == "" || b.Form.Has("administrator", id)
}

// choice is one value of a list.
type choice struct {
	Value, Text string
	Chosen      bool
}

var (
	delays     = []time.Duration{time.Hour, 24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour}
	recoveries = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 30 * 24 * time.Hour}
)

func (b beginning) choices(field string, all []time.Duration, usual int) (list []choice) {
	for i, d := range all {
		value := strconv.FormatInt(int64(d/time.Second), 10)
		list = append(list, choice{value, b.Say.Duration(d),
			b.Form.Value(field) == value || b.Form.Value(field) == "" && i == usual})
	}
	return list
}

// Delays are how long new keys may wait.
func (b beginning) Delays() []choice { return b.choices("delay", delays, 1) }

// Recoveries are how long keys may wait that the recovery key enrols.
func (b beginning) Recoveries() []choice { return b.choices("recovery-delay", recoveries, 1) }

// Demand reports whether that is what will be demanded.
func (b beginning) Demand(d string) bool {
	return b.Form.Value("demand") == d || b.Form.Value("demand") == "" && d == string(approval.DemandSignatures)
}

// AllDemands are the demands to choose from.
func (b beginning) AllDemands() (all []string) {
	for _, d := range demands {
		all = append(all, string(d))
	}
	return all
}

// Quorum is how many of the witnesses have to have seen a key.
func (b beginning) Quorum() int {
	return max(int(b.Keys.GetQuorum()), len(b.Keys.GetWitnesses())/2+1)
}

// Threshold is how many administrators have to sign.
func (b beginning) Threshold() string {
	if t := b.Form.Value("threshold"); t != "" {
		return t
	}
	return "2"
}

func (p pages) genesis(v *site.Visit, f *form.Form) error {
	l, err := look(v, f)
	if err != nil {
		return err
	}
	if l.Begun() {
		return refusal.NotFound("path", "I9", "there is nothing here")
	}
	return p.show(l, "genesis", "keys.genesis.title", site.Page{Data: beginning{l}})
}

// begin drafts the genesis.
func (p pages) begin(v *site.Visit) error {
	f := form.Sent(v.R)
	l, err := look(v, f)
	if err != nil {
		return err
	}
	wrong := func(name string) {
		f.Problems = append(f.Problems, form.Problem{Field: form.Field{Name: name, Label: "keys.genesis." + name},
			Message: "keys.genesis.wrong." + name})
	}
	g := approval.Genesis{Format: approval.FormatGenesis, Origin: l.Keys.GetOrigin(), Tenant: v.Session.Tenant,
		Demand: approval.Demand(f.Value("demand")), Witnesses: slices.Sorted(slices.Values(l.Keys.GetWitnesses())),
		IssuedAt: approval.TimeText(v.Now().Truncate(time.Second)), Nonce: nonce()}
	g.Quorum = uint64(beginning{l}.Quorum()) // #nosec G115 -- a few
	people := map[approval.Person]bool{}
	for _, id := range f.All("administrator") {
		e, err := approval.ParseEnrolment(l.key(id).GetEnrolment())
		if err != nil {
			return unknown("administrator")
		}
		g.Administrators = append(g.Administrators, e)
		people[e.Person] = true
	}
	g.Threshold, _ = strconv.ParseUint(f.Value("threshold"), 10, 32)
	g.DelaySeconds, _ = strconv.ParseUint(f.Value("delay"), 10, 32)
	g.RecoverySeconds, _ = strconv.ParseUint(f.Value("recovery-delay"), 10, 32)
	if g.Recovery, err = sshKey(f.Value("recovery")); err != nil {
		wrong("recovery")
	}
	if len(people) < 2 {
		wrong("administrator")
	} else if g.Threshold < 2 || g.Threshold > uint64(len(people)) {
		wrong("threshold")
	}
	if g.RecoverySeconds < g.DelaySeconds {
		wrong("recovery-delay")
	}
	if len(f.Problems) > 0 {
		return p.genesis(v, f)
	}
	statement, err := g.Bytes()
	if err != nil {
		wrong("administrator")
		return p.genesis(v, f)
	}
	return draft(v, f, approval.FormatGenesis, statement, p.genesis)
}

// sshKey reads a public key as ssh-keygen writes it: an algorithm, the key, a comment.
func sshKey(line string) (k approval.Key, err error) {
	words := strings.Fields(line)
	if len(words) < 2 || strings.Contains(line, "PRIVATE KEY") {
		return k, unknown(recovery)
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return k, err
	}
	k = approval.Key{Kind: approval.KindSSH, Public: base64url.EncodeToString(blob), Origins: []string{}}
	_, err = k.ID()
	return k, err
}
