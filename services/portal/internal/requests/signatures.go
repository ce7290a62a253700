package requests

import (
	"encoding/hex"

	"github.com/openlockbox/lockbox/pkg/approval"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
)

// signature is how one of the customer's decisions was signed. Whether it holds is said by the projector, which
// verified it from the stored bytes.
type signature struct {
	*lockboxv1.SignatureView
	// Name is who decided, Approved whether they approved.
	Name     string
	Approved bool
}

// signatures are those of the customer's decisions; none as long as the customer had no keys.
func signatures(r loaded) (all []signature) {
	for _, d := range r.GetCustomerDecisions() {
		if d.GetSignature() != nil {
			all = append(all, signature{d.GetSignature(), shown.Name(d.GetActor().GetPerson()),
				d.GetApproved()})
		}
	}
	return all
}

// Short is the beginning of the key's id.
func (s signature) Short() string {
	id := hex.EncodeToString(s.GetKeyId())
	return id[:min(16, len(id))]
}

// CommandLine reports that it was signed at the command line.
func (s signature) CommandLine() bool { return s.GetKind() == approval.KindSSH }

// approvedThere reports whether it is an approval from the command line that counts.
func (s signature) approvedThere() bool { return s.Approved && s.GetHolds() && s.CommandLine() }
