package evaluator

import (
	"context"
	"sync"

	"github.com/openlockbox/lockbox/pkg/fold"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// rules are those in force, compiled once a version.
type rules struct {
	// builtin are in force until others were published.
	builtin *policy.Rules

	mu        sync.Mutex
	published *policy.Rules
}

// inForce returns the rule set that was published last, as the leader has it. One that this program cannot compile lets
// nothing through: the intent waits for a program that can (I11).
func (r *rules) inForce(ctx context.Context, read fold.Reader) (*policy.Rules, error) {
	last, err := read.Rules(ctx)
	switch {
	case err != nil:
		return nil, err
	case last.Fault != nil:
		return nil, refusal.Unavailable("", "I6", "the history of the rules contradicts itself at sequence %d (%s)", last.Fault.Sequence, last.Fault.Rule)
	case !last.Exists():
		return r.builtin, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.published == nil || r.published.Version() != last.PolicyVersion {
		compiled, err := policy.Parse([]byte(last.Text))
		if err != nil || compiled.Version() != last.PolicyVersion {
			return nil, refusal.Unavailable("", "I11", "the published rules %s cannot be used: %v", last.PolicyVersion, err)
		}
		r.published = compiled
	}
	return r.published, nil
}
