// Package approval holds decisions that only the customer can make (R30, R42): statements that people sign with keys of
// their own, the verification of those signatures (WebAuthn assertions and SSH signatures), and the chain of signed
// statements that says whose keys count at which place of the tenant's log. README.md is the specification. It is pure,
// and stands on the standard library alone, so that whoever verifies an approval has little to review.
package approval
