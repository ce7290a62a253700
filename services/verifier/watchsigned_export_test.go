package verifier

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/merkle"
)

// SaidOf is what a watcher says of these events after a place, and what of it does not hold.
func SaidOf(keys, request []merkle.Proven, after uint64, pin *approval.Pin) (said, faults string) {
	lines, c, wrong := saidOfKeys(keys, after, pin)
	more, others := saidOfRequest(request, after, c)
	return strings.Join(append(lines, more...), "\n"), strings.Join(append(wrong, others...), "\n")
}
