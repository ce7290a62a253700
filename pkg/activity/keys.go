package activity

import (
	"github.com/openlockbox/lockbox/pkg/approval"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// keyChange says what a statement about keys wants; whether it is signed by those who may is not known here.
func (l speaker) keyChange(s *lockboxv1.SignedStatement) string {
	if _, err := approval.ParseGenesis(s.GetStatement()); err == nil {
		return l.say("key-change/begin", "Words", fingerprint(s))
	}
	c, err := approval.ParseKeyChange(s.GetStatement())
	if err != nil {
		return l.say("key-change/unreadable")
	}
	switch c.Change {
	case approval.AddKey:
		return l.say("key-change/add", "Subject", c.Keys[0].Person.Subject)
	case approval.SetDemand:
		return l.say("key-change/demand-" + string(c.Demand))
	}
	return l.say("key-change/" + c.Change)
}

// fingerprint is that of a genesis, in the words that people compare.
func fingerprint(genesis *lockboxv1.SignedStatement) string {
	return approval.Text(approval.Digest(approval.FormatGenesis, genesis.GetStatement()), approval.FingerprintWords)
}
