package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/approval/sighted"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"google.golang.org/protobuf/proto"
)

// keyring is a customer's keys. Which of them count is folded here from the signed statements: of that, nothing that
// the answer says is believed.
type keyring struct {
	*lockboxv1.KeysView
	tenant string
	// chain is nil before its genesis.
	chain *approval.Chain
	// keys are all that were ever offered or enrolled, without those of recovery.
	keys []holder
}

// keyring asks for the keys of the selected customer, and verifies them.
func (s *session) keyring(ctx context.Context) (*keyring, error) {
	tenant, err := s.oneTenant(ctx)
	if err != nil {
		return nil, err
	}
	reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}})
	if err != nil {
		return nil, err
	}
	k := &keyring{KeysView: reply.GetKeys(), tenant: tenant, keys: heldBy(reply.GetKeys().GetKeys())}
	if k.chain, err = foldKeys(tenant, k.GetEvents()); err != nil {
		return nil, fmt.Errorf("%w: %w", errKeysNotTrue, err)
	}
	if hex.EncodeToString(k.fingerprint()) != hex.EncodeToString(k.GetFingerprint()) {
		return nil, fmt.Errorf("%w: another fingerprint is shown than they have", errKeysNotTrue)
	}
	return k, s.app.pinned(k.fingerprint())
}

// errKeysNotTrue reports keys that do not verify: nothing that they sign is accepted, here or anywhere.
var errKeysNotTrue = &pinError{"the keys that are shown do not verify"}

// foldKeys verifies statements and what witnesses saw of them. Nil without an error: there is no genesis yet.
func foldKeys(tenant string, events []*lockboxv1.KeyEvent) (*approval.Chain, error) {
	var entries []approval.Stored
	var sightings []approval.Sighting
	var genesis approval.Genesis
	for i, one := range events {
		e := new(lockboxv1.Event)
		if err := proto.Unmarshal(one.GetStored(), e); err != nil {
			return nil, err
		}
		if e.GetTenant() != tenant || e.GetKind() != aggregate.KindKeys || e.GetVersion() != one.GetVersion() {
			return nil, fmt.Errorf("event %d is not about these keys", one.GetVersion())
		}
		signed := first2(e.GetKeyChainBegan().GetGenesis(), e.GetKeyChainChanged().GetChange())
		switch {
		case signed != nil:
			entries = append(entries, approval.Stored{Sequence: one.GetSequence(), Signed: keychain.FromProto(signed)})
			if len(entries) > 1 {
				continue
			}
			var err error
			if genesis, err = approval.ParseGenesis(signed.GetStatement()); err != nil {
				return nil, err
			}
			if genesis.Tenant != tenant {
				return nil, fmt.Errorf("the genesis is of %s", genesis.Tenant)
			}
		case e.GetKeysSighted() != nil && len(entries) > 0:
			seen, version, err := sighted.Verify(genesis, e.GetKeysSighted())
			if err != nil {
				continue // it counts for nothing
			}
			// The place up to which the witnesses saw: that of the last event that is shown here and that they saw.
			for _, before := range events[:i] {
				if before.GetVersion() <= version {
					seen.Size = before.GetSequence()
				}
			}
			seen.Next = one.GetSequence() + 1
			sightings = append(sightings, seen)
		}
	}
	if len(entries) == 0 {
		return nil, nil //nolint:nilnil // there are no keys yet
	}
	return approval.Fold(entries, sightings)
}

func first2(a, b *lockboxv1.SignedStatement) *lockboxv1.SignedStatement {
	if a != nil {
		return a
	}
	return b
}

// fingerprint is that of the genesis; nil before there is one.
func (k *keyring) fingerprint() []byte {
	if k.chain == nil {
		return nil
	}
	digest := k.chain.Fingerprint()
	return digest[:]
}

// open are the statements that wait, as they are signed so far.
func (k *keyring) open() (list []approval.Signed) {
	for _, o := range k.GetOffered() {
		list = append(list, keychain.FromProto(o.GetChange()))
	}
	return list
}

// needsGenesis refuses a change of keys where there are none.
func (k *keyring) needsGenesis() error {
	if k.chain == nil {
		return refusal.OfKind(refusal.Precondition("keys", "R42",
			"your organisation has no keys yet: `lockbox key genesis` begins"), "no-keys")
	}
	return nil
}

// needsNone refuses another genesis.
func (k *keyring) needsNone() error {
	if k.chain != nil {
		return refusal.OfKind(refusal.Conflict("keys", "R42",
			"your organisation has its keys already: `lockbox key list` shows them"), "keys-begun")
	}
	return nil
}

// named finds a key by its label, its id or a part of that.
func (s *session) namedKey(named string, keys []holder) (holder, error) {
	return pick(s.command, "key", named, "lockbox key list", keys, func(h holder) candidate {
		return candidate{id: h.id, name: h.label, about: h.label + ", " + h.Person.Subject + ", " + h.Role}
	})
}

// in are the keys of those standings.
func (k *keyring) in(standings ...lockboxv1.KeyStanding) (list []holder) {
	for _, v := range k.GetKeys() {
		if slices.Contains(standings, v.GetStanding()) {
			list = append(list, heldBy([]*lockboxv1.KeyView{v})...)
		}
	}
	return list
}

// offered are the keys that wait to be enrolled, of a role; all of them if it is empty.
func (k *keyring) offered(role string) []holder {
	return slices.DeleteFunc(k.in(lockboxv1.KeyStanding_KEY_STANDING_OFFERED),
		func(h holder) bool { return role != "" && h.Role != role })
}

// statement is a statement about keys that somebody reads and signs.
type statement struct {
	format, text string
	bytes        []byte
	// Exactly one of the two is what it says.
	genesis *approval.Genesis
	change  *approval.KeyChange
}

// readStatement reads a statement about keys.
func (a *app) readStatement(data []byte) (st statement, err error) {
	st.bytes = data
	if st.text, st.format, err = shown.Of(data, a.language()); err != nil {
		return st, keychain.Refusal("statement", err)
	}
	switch st.format {
	case approval.FormatGenesis:
		g, err := approval.ParseGenesis(data)
		st.genesis = &g
		return st, err
	case approval.FormatKeys:
		c, err := approval.ParseKeyChange(data)
		st.change = &c
		return st, err
	}
	return st, refusal.Invalid("statement", "R42", "it is not about keys")
}

// adds are the keys that have to sign it as their owners have them.
func (st statement) adds() (keys []approval.Key) {
	if st.genesis != nil {
		for _, e := range st.genesis.Administrators {
			keys = append(keys, e.Key)
		}
		return append(keys, st.genesis.Recovery)
	}
	for _, e := range st.change.Keys {
		keys = append(keys, e.Key)
	}
	return append(keys, st.change.Recovery...)
}

func (st statement) words() string { return wordsOf(st.format, st.bytes) }

func (st statement) digest() string {
	d := approval.Digest(st.format, st.bytes)
	return hex.EncodeToString(d[:])
}

// waiting finds the open statement that is named by its digest or by the first of its words; without a name, the only
// one.
func (s *session) waiting(k *keyring, named string) (statement, error) {
	var all []statement
	for _, o := range k.open() {
		st, err := s.app.readStatement([]byte(o.Statement))
		if err != nil {
			return st, err
		}
		all = append(all, st)
	}
	fits := slices.DeleteFunc(slices.Clone(all), func(st statement) bool {
		of := strings.ReplaceAll(strings.ToLower(named), "-", " ")
		return !strings.HasPrefix(st.digest(), of) && !strings.HasPrefix(st.words()+" ", of+" ")
	})
	if named == "" {
		fits = all
	}
	switch {
	case len(all) == 0:
		return statement{}, refusal.NotFound("statement", "R42", "no statement waits for signatures")
	case len(fits) == 1:
		return fits[0], nil
	}
	var list strings.Builder
	for _, st := range all {
		what, _, _ := strings.Cut(st.text, "\n")
		fmt.Fprintf(&list, "\n  %q  %s", strings.Join(strings.Fields(st.words())[:2], " "), render.Clean(what))
	}
	if len(fits) == 0 {
		return statement{}, usage(s.command, "no open statement has the words or the digest %q; there are:%s", named,
			list.String())
	}
	return statement{}, usage(s.command, "%d statements wait; name one by its first words:%s", len(fits), list.String())
}
