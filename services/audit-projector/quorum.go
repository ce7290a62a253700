package projector

import (
	"errors"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
)

// quorum is the log as its witnesses are shown it. It remembers when the quorum of the policy was last complete, for
// the lease.
type quorum struct {
	*ledger.Ledger
	policy *merkle.Policy // nil: nobody is asked

	mu sync.Mutex
	at time.Time
}

// Cosign adds a cosignature to the last checkpoint.
func (q *quorum) Cosign(policy *merkle.Policy, line []byte) error {
	if err := q.Ledger.Cosign(policy, line); err != nil {
		return err
	}
	note, err := q.Public().Checkpoint() // which a witness that is slow may have completed
	if err != nil {
		return nil // it was cosigned, and others have not done so yet
	}
	if signed, err := q.policy.Open(note); err == nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		if signed.Quorum.After(q.at) {
			q.at = signed.Quorum
		}
	}
	return nil
}

// last returns when the quorum was last complete; zero if it was not since the start, or none is demanded.
func (q *quorum) last() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.at
}

// knows refuses a policy of another log: its witnesses would cosign nothing of this one.
func (q *quorum) knows(keys logkeys.Keys) error {
	if q.policy == nil {
		return nil
	}
	own, err := keys.Policy()
	if err != nil {
		return err
	}
	empty, err := merkle.Sign(merkle.Checkpoint{Origin: own.Origin(), Tree: merkle.EmptyTree()}, keys.Signers...)
	if err != nil {
		return err
	}
	_, err = q.policy.Open(empty)
	if wrong := (*merkle.ProofError)(nil); errors.As(err, &wrong) && wrong.Part == merkle.LogSignature {
		return refusal.Invalid("log.policy_file", rule, "does not name the key of this log, %s: `log KEY` with what is in %s",
			own.Origin(), logkeys.PublicKeyFile)
	}
	return nil
}
