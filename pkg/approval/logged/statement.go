// Package logged reads what a log shows of signed statements: from events, from the evidence of witnesses, and from the
// receipts in an approval file. It is pure, and what a customer's verifier links besides package approval.
package logged

import (
	"encoding/base64"
	"encoding/hex"
	"slices"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

var base64url = base64.RawURLEncoding.Strict()

// FromProto is a signed statement as package approval has it.
func FromProto(s *lockboxv1.SignedStatement) approval.Signed {
	signed := approval.Signed{Statement: string(s.GetStatement()), Signatures: []approval.Signature{}}
	for _, one := range s.GetSignatures() {
		signed.Signatures = append(signed.Signatures, approval.Signature{Key: hex.EncodeToString(one.GetKeyId()),
			AuthenticatorData: base64url.EncodeToString(one.GetAuthenticatorData()),
			ClientData:        base64url.EncodeToString(one.GetClientDataJson()),
			Bytes:             base64url.EncodeToString(one.GetSignature())})
	}
	return signed
}

// ToProto is a signed statement as an event has it. Of what is not in its only spelling, less is left, and that does
// not verify.
func ToProto(s approval.Signed) *lockboxv1.SignedStatement {
	signed := &lockboxv1.SignedStatement{Statement: []byte(s.Statement)}
	for _, one := range s.Signatures {
		id, _ := hex.DecodeString(one.Key)
		made := &lockboxv1.StatementSignature{KeyId: id}
		made.AuthenticatorData, _ = base64url.DecodeString(one.AuthenticatorData)
		made.ClientDataJson, _ = base64url.DecodeString(one.ClientData)
		made.Signature, _ = base64url.DecodeString(one.Bytes)
		signed.Signatures = append(signed.Signatures, made)
	}
	return signed
}

// VerbOf is the verb of the decision that an event is; empty if it is none that a customer signs.
func VerbOf(e *lockboxv1.Event) string {
	switch {
	case e.GetCustomerApproved() != nil:
		return approval.Approve
	case e.GetCustomerDenied() != nil:
		return approval.Deny
	case e.GetAccessRevoked() != nil:
		return approval.Revoke
	}
	return ""
}

// Says refuses a statement that is not what stands in the event beside it: another decision, by somebody else, of other
// resources or another duration, or for another reason if that can be read.
func Says(d approval.Decision, e *lockboxv1.Event) error {
	by, approved := e.GetActor().GetPerson(), e.GetCustomerApproved()
	resources := slices.Sorted(slices.Values(approved.GetResourceIds()))
	reason := approved.GetReason() + e.GetCustomerDenied().GetReason() + e.GetAccessRevoked().GetReason()
	switch {
	case d.Decision != VerbOf(e):
		return refuse("decision", "signed to %s, and recorded as %q", d.Decision, VerbOf(e))
	case d.By != account(by):
		return refuse("by", "signed by %q, and recorded as by %q", d.By.Subject, by.GetSubject())
	case approved != nil && !slices.Equal(d.Resources, resources):
		return refuse("resources", "other resources were signed than are recorded")
	case approved != nil && d.Seconds != uint64(approved.GetDuration().GetSeconds()), // #nosec G115 -- then it differs
		approved.GetDuration().GetNanos() != 0:
		return refuse("seconds", "%d seconds were signed, and %v recorded", d.Seconds,
			approved.GetDuration().AsDuration())
	}
	if _, sealed := erasable.KeyOf(reason); reason == "" || sealed || erasable.Gone(reason) {
		return nil // nobody can read it here
	}
	salt, err := hex.DecodeString(e.GetSigned().GetCommentSalt())
	if err != nil || len(salt) != 32 || approval.CommentHash([32]byte(salt), reason) != d.Comment {
		return refuse("comment", "something else was written than is signed")
	}
	return nil
}

func account(p *lockboxv1.Person) approval.Account {
	return approval.Account{Issuer: p.GetIssuer(), Subject: p.GetSubject()}
}

func refuse(field, format string, args ...any) error {
	return approval.Refuse(field, approval.RuleOther, format, args...)
}
