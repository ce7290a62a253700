package verifier

import (
	"errors"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/merkle"
)

// The verdicts on what a log shows, besides that all is well. Each has an exit code of its own.
var (
	// ErrContradiction says that the log signed two things that cannot both be true. It is never said without evidence
	// that convinces anybody who knows the log's key.
	ErrContradiction = errors.New("THE LOG CONTRADICTS ITSELF")
	// ErrNotTrusted says that fewer witnesses than the policy demands have cosigned it yet.
	ErrNotTrusted = errors.New("not trusted yet")
	// ErrStale says that nothing contradicts what was seen, and that it is older than that, or than it may be.
	ErrStale = errors.New("stale")
	// ErrInconclusive says that what was shown proves nothing: it may have been changed on its way. Ask again.
	ErrInconclusive = errors.New("nothing is proved")
)

// Verdict returns the verdict that an error is; nil if it is none.
func Verdict(err error) error {
	for _, verdict := range []error{ErrContradiction, ErrNotTrusted, ErrStale, ErrInconclusive} {
		if errors.Is(err, verdict) {
			return verdict
		}
	}
	return nil
}

// inconclusive makes what did not verify inconclusive, or not trusted if nothing but cosignatures is missing.
func inconclusive(err error) error {
	var proof *merkle.ProofError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &proof) && proof.Part == merkle.Cosignatures:
		return fmt.Errorf("%w: %w", ErrNotTrusted, err)
	case errors.As(err, &proof):
		return fmt.Errorf("%w, ask again: %w", ErrInconclusive, err)
	}
	return err
}
