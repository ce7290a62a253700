package approval

import (
	"errors"
	"fmt"
	"strings"
)

// Rule names what was broken. The README has them all, and testdata has something that breaks each.
type Rule string

// The rules.
const (
	// RuleForm: not the only spelling, an unknown or missing field, or beyond a limit.
	RuleForm Rule = "form"
	// RuleValue: a value that the field cannot have, or that does not go with the others.
	RuleValue Rule = "value"
	// RuleOther: signed for something else than what it is used for.
	RuleOther Rule = "other"
	// RuleKey: a key that is not well-formed, or of a kind that is not accepted.
	RuleKey Rule = "key"
	// RuleStranger: signed with a key that is not the one named, or that does not count at this place of the log.
	RuleStranger Rule = "stranger"
	// RuleAlgorithm: the signature is of another algorithm than the key.
	RuleAlgorithm Rule = "algorithm"
	// RuleSignature: the signature is not the key's over these bytes.
	RuleSignature Rule = "signature"

	// RuleType: the client data is of another ceremony than an assertion.
	RuleType Rule = "type"
	// RuleChallenge: the client data holds another challenge than the statement's digest.
	RuleChallenge Rule = "challenge"
	// RuleOrigin: the assertion was made on a page of another origin.
	RuleOrigin Rule = "origin"
	// RuleCrossOrigin: the assertion was made inside another site's page.
	RuleCrossOrigin Rule = "cross-origin"
	// RuleRelyingParty: the assertion is for another relying party.
	RuleRelyingParty Rule = "relying party"
	// RulePresence: nobody touched the authenticator.
	RulePresence Rule = "presence"
	// RuleVerification: the authenticator did not verify its user.
	RuleVerification Rule = "verification"
	// RuleBackup: the key can be copied, and was enrolled as one that cannot, or the reverse.
	RuleBackup Rule = "backup"
	// RuleFlags: flags that an assertion cannot have.
	RuleFlags Rule = "flags"

	// RuleNamespace: an SSH signature of another namespace.
	RuleNamespace Rule = "namespace"
	// RuleReserved: an SSH signature whose reserved field holds something.
	RuleReserved Rule = "reserved"
	// RuleHash: an SSH signature over another hash than SHA-512.
	RuleHash Rule = "hash"

	// RuleGenesis: a chain that does not begin with a genesis, or a change of another chain.
	RuleGenesis Rule = "genesis"
	// RuleFollows: a change that does not follow the one before it.
	RuleFollows Rule = "follows"
	// RulePossession: a key that did not sign its own enrolment.
	RulePossession Rule = "possession"
	// RuleAuthority: those who signed may not make this change.
	RuleAuthority Rule = "authority"
	// RulePeople: too few different people.
	RulePeople Rule = "people"
	// RuleReused: a key that was enrolled before, whoever had it.
	RuleReused Rule = "reused"

	// RulePin: another genesis than the one that was compared.
	RulePin Rule = "pin"
	// RuleProof: the log does not prove what stands in the file.
	RuleProof Rule = "proof"
	// RuleAsOf: it is not proven that the chain is all of it, at or after the decision.
	RuleAsOf Rule = "as of"
	// RuleLate: the time for it was over.
	RuleLate Rule = "late"
	// RuleDemand: it is not signed as the tenant demands.
	RuleDemand Rule = "demand"
)

// Error is why something does not count. It changes nothing.
type Error struct {
	// Field is a path to what is at fault.
	Field string
	Rule  Rule
	// Reason is for whoever looks into it, in English.
	Reason string
}

func (r *Error) Error() string { return fmt.Sprintf("%s: %s (%s)", r.Field, r.Reason, r.Rule) }

// Refuse returns an *Error, for packages that judge what else belongs to a statement.
func Refuse(field string, rule Rule, format string, args ...any) error {
	return refuse(field, rule, format, args...)
}

func refuse(field string, rule Rule, format string, args ...any) error {
	return &Error{field, rule, fmt.Sprintf(format, args...)}
}

// at puts a path in front of the field of a refusal.
func at(path string, err error) error {
	var r *Error
	if !errors.As(err, &r) {
		return err
	}
	return &Error{strings.TrimSuffix(path+"."+r.Field, "."), r.Rule, r.Reason}
}

// RuleOf is the rule for which something was refused; empty if it was not.
func RuleOf(err error) Rule {
	var r *Error
	if !errors.As(err, &r) {
		return ""
	}
	return r.Rule
}
