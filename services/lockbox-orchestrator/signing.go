package orchestrator

import (
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signing"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// signsFirst refuses to begin signing (PRECONDITION) unless this service signs the event about it as it has to be: with
// the first key that is certified for it. Otherwise that event would be refused by everybody, and its place be taken.
func (o *orchestrator) signsFirst(c *lockboxv1.BeginSigning) error {
	if o.Signer == nil {
		return refusal.Precondition("begin_signing", "R50", "%s has no key to sign with", Name)
	}
	if first := signed.IDOf(signing.CertifiedFirst(c, aggregate.Orchestrator)); first != o.Signer.KeyID() {
		return refusal.Precondition("begin_signing.certificates", "R50",
			"the first certificate of %s is for the key %s; it signs with %s", Name, first, o.Signer.KeyID())
	}
	if o.Keyring != nil && !o.Keyring.Pinned(c.GetDeploymentKey()) {
		return refusal.Precondition("begin_signing.deployment_key", "R50", "%s is configured with another deployment key", Name)
	}
	return nil
}
