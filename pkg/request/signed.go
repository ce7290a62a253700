package request

import (
	"crypto/sha256"
	"fmt"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// MaxSigned is the largest intent that a tool can sign, in bytes.
const MaxSigned = 32 << 10

// SignedStatement returns what a tool signs for an intent that somebody else publishes for it (R62): lines that say
// what it is, and whom and what it is for, so that it is worth nothing as anything else. The intent is the body as it
// is sent, byte for byte; the token is the engineer's, without "Bearer".
//
//	lockbox intent v1
//	tool ticketing
//	tenant meadowbank
//	dry-run false
//	token-sha256 <64 lower-case hexadecimal digits>
//	body-sha256 <64 lower-case hexadecimal digits>
//
// Each line ends with a line feed.
func SignedStatement(tool, tenant string, dryRun bool, token string, body []byte) []byte {
	return fmt.Appendf(nil, "lockbox intent v1\ntool %s\ntenant %s\ndry-run %t\ntoken-sha256 %x\nbody-sha256 %x\n",
		tool, tenant, dryRun, sha256.Sum256([]byte(token)), sha256.Sum256(body))
}

// Unwrap returns the intent that counts: of one that a tool signed, what it signed, with the token that came beside it.
// It refuses (INVALID) what cannot be read, or says two things. The signature is not verified.
func Unwrap(in *lockboxv1.AccessIntent) (*lockboxv1.AccessIntent, error) {
	if len(in.GetSigned()) == 0 && len(in.GetSignature()) == 0 && in.GetSignedBy() == "" {
		return in, nil
	}
	if n := len(in.GetSigned()); n == 0 || n > MaxSigned {
		return nil, refusal.OfKind(
			refusal.Invalid("signed", "R62", "is 1 to %d bytes long", MaxSigned),
			"signed-size", "most", strconv.Itoa(MaxSigned))
	}
	if !proto.Equal(in, &lockboxv1.AccessIntent{Tenant: in.GetTenant(), Token: in.GetToken(), DryRun: in.GetDryRun(),
		SignedBy: in.GetSignedBy(), Signature: in.GetSignature(), Signed: in.GetSigned()}) {
		return nil, refusal.OfKind(
			refusal.Invalid("signed", "R62", "is the whole intent; nothing else is said beside it"),
			"signed-alone")
	}
	signed := new(lockboxv1.AccessIntent)
	if err := written.Message(in.GetSigned(), signed); err != nil {
		return nil, err
	}
	if err := CheckBody(signed); err != nil {
		return nil, err
	}
	if signed.GetTenant() == "" {
		signed.Tenant = in.GetTenant()
	}
	signed.Token, signed.DryRun = in.GetToken(), in.GetDryRun()
	return signed, nil
}

// CheckBody refuses (INVALID) an intent, as a tool writes it, that holds what is sent beside it.
func CheckBody(in *lockboxv1.AccessIntent) error {
	switch {
	case in.GetToken() != "":
		return refusal.Invalid("token", "R62", "does not belong into the intent; it is sent beside it")
	case in.GetDryRun(), in.GetSignedBy() != "", len(in.GetSignature()) > 0, len(in.GetSigned()) > 0:
		return refusal.Invalid("signed", "R62", "an intent says neither by whom it is signed nor whether it is a dry run")
	}
	return nil
}
