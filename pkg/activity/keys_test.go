package activity

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// R42: the log says what became of keys in words, and what was tried without a signature.
func TestR42KeysAreToldInWords(t *testing.T) {
	world := approvaltest.Begin()
	genesis := &lockboxv1.SignedStatement{Statement: []byte(world.Entries[0].Statement)}
	change := func(c approval.KeyChange) *lockboxv1.SignedStatement {
		text, err := world.Change(c).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return &lockboxv1.SignedStatement{Statement: text}
	}
	carl := approvaltest.New("carl", approvaltest.ES256).Enrol("carl", approval.Approver)
	none := []approval.Enrolment{}
	changed := func(c approval.KeyChange) *lockboxv1.Event {
		if c.Keys == nil {
			c.Keys = none
		}
		c.Recovery = append([]approval.Key{}, c.Recovery...)
		return &lockboxv1.Event{Fact: &lockboxv1.Event_KeyChainChanged{
			KeyChainChanged: &lockboxv1.KeyChainChanged{Change: change(c)}}}
	}
	tried := func(verb string, statement []byte) *lockboxv1.Event {
		return &lockboxv1.Event{Fact: &lockboxv1.Event_SignatureRefused{SignatureRefused: &lockboxv1.SignatureRefused{
			Verb: verb, StatementSha256: statement}}}
	}
	words := approval.Text(world.Fingerprint(), approval.FingerprintWords)
	for want, e := range map[string]*lockboxv1.Event{
		"to sign decisions with: “blue key”.": {Fact: &lockboxv1.Event_KeyOffered{
			KeyOffered: &lockboxv1.KeyOffered{Label: "blue key"}}},
		"the first keys, with the fingerprint " + words: {Fact: &lockboxv1.Event_KeyChangeOffered{
			KeyChangeOffered: &lockboxv1.KeyChangeOffered{Change: genesis}}},
		"Fingerprint: " + words + ".": {Fact: &lockboxv1.Event_KeyChainBegan{
			KeyChainBegan: &lockboxv1.KeyChainBegan{Genesis: genesis}}},
		"a key of carl is added": changed(approval.KeyChange{Change: approval.AddKey, Keys: []approval.Enrolment{carl}}),
		"a key is removed":       changed(approval.KeyChange{Change: approval.RemoveKey, Remove: world.Otto.ID()}),
		"no longer have to be signed": changed(approval.KeyChange{Change: approval.SetDemand,
			Demand: approval.DemandNone}),
		"one of them at the command line": changed(approval.KeyChange{Change: approval.SetDemand,
			Demand: approval.DemandCommandLine}),
		"the recovery key is replaced": changed(approval.KeyChange{Change: approval.ReplaceRecovery,
			Recovery: []approval.Key{approvaltest.New("new", approvaltest.Ed25519).Key}}),
		"tried an approval without the signature": tried("approve", nil),
		"tried a revocation with a signature":     tried("revoke", []byte("hash")),
		"tried a change without the signature":    tried("set_settings", nil),
	} {
		e.Kind = "keys"
		for tag, l := range languages {
			if _, said := l.Describe(e); tag == "en" && !strings.Contains(said, want) {
				t.Errorf("%q is not in %q", want, said)
			} else if strings.Contains(said, "key-change/") || strings.Contains(said, "tried/") {
				t.Errorf("%s: %q", tag, said)
			}
		}
	}
}
