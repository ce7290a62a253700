package requests

import (
	"encoding/hex"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// signature is how one of the customer's decisions was signed.
type signature struct {
	*lockboxv1.Decision
	// Name is who decided.
	Name string
	// Key is the key that signed, Short the beginning of its id; Words are those of the statement. Empty if nothing is
	// signed.
	Key, Short, Words string
	// CommandLine reports that it was signed at the command line.
	CommandLine bool
	// Invalid reports that it does not verify with that key as this decision of this person.
	Invalid bool
}

// signatures are those of the customer's decisions; none if nothing is signed and nobody has keys.
func signatures(v *site.Visit, r loaded) ([]signature, error) {
	if len(r.GetCustomerDecisions()) == 0 {
		return nil, nil
	}
	reply, err := v.AskAbout(r.GetTenant(), &lockboxv1.Query{Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}})
	if empty(err) != nil {
		return nil, err
	}
	keys, any := reply.GetKeys(), len(reply.GetKeys().GetFingerprint()) > 0
	var all []signature
	for _, d := range r.GetCustomerDecisions() {
		s := signature{Decision: d, Name: shown.Name(d.GetActor().GetPerson())}
		if d.GetSigned() != nil {
			any = true
			s.read(r, keys)
		}
		all = append(all, s)
	}
	if !any {
		return nil, nil
	}
	return all, nil
}

// read reads what was signed, and verifies it as far as a page can: with the key, as this decision. That the key
// counted when it was recorded is verified by who records it, and by everybody who has the log.
func (s *signature) read(r loaded, keys *lockboxv1.KeysView) {
	signed := keychain.FromProto(s.GetSigned())
	s.Words = approval.Text(approval.Digest(approval.FormatDecision, []byte(signed.Statement)), approval.DecisionWords)
	d, err := approval.ParseDecision([]byte(signed.Statement))
	if s.Invalid = err != nil || len(signed.Signatures) != 1; s.Invalid {
		return
	}
	s.Short = d.Key[:16]
	verb := approval.Deny
	if s.GetApproved() {
		verb = approval.Approve
	}
	s.Invalid = d.Request != r.GetRequestId() || d.Tenant != r.GetTenant() || d.Decision != verb ||
		d.By != keychain.AccountOf(s.GetActor().GetPerson())
	if keys == nil {
		return // who reads this may not see keys
	}
	for _, k := range keys.GetKeys() {
		if hex.EncodeToString(k.GetKeyId()) != d.Key || k.GetStanding() == lockboxv1.KeyStanding_KEY_STANDING_OFFERED {
			continue
		}
		e, err := approval.ParseEnrolment(k.GetEnrolment())
		if err == nil {
			_, err = e.Key.Verify(signed.Signatures[0], approval.FormatDecision, []byte(signed.Statement))
		}
		s.Key, s.CommandLine = k.GetLabel(), k.GetKind() == approval.KindSSH
		s.Invalid = s.Invalid || err != nil || signed.Signatures[0].Key != d.Key
		return
	}
	s.Invalid = true // no such key was ever enrolled
}
