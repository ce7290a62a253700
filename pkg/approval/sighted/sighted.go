// Package sighted verifies what witnesses saw of a customer's keys, for whoever folds a chain of them. It is pure.
package sighted

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Subject is what the log calls a tenant's keys.
func Subject(tenantID string) string { return "lockbox.event." + tenantID + ".keys.keys" }

// Verify verifies what witnesses saw of a tenant's keys: that a checkpoint of the log which they cosigned has the
// tenant's tree, and that this tree has so many of these events. Only cosignatures by the genesis's witnesses are
// returned. The sighting's size is that of the tree. Whose the log's keys are does not matter: they come from whoever
// shows this, and it is the witnesses who vouch for the log's name as well.
func Verify(g approval.Genesis, f *lockboxv1.KeysSighted) (seen approval.Sighting, version uint64, err error) {
	var shown merkle.Seen
	var head merkle.HeadProof
	if err := json.Unmarshal(f.GetSeen(), &shown); err != nil {
		return seen, 0, err
	}
	if err := json.Unmarshal(f.GetHead(), &head); err != nil {
		return seen, 0, err
	}
	if shown.Tenant != g.Tenant || shown.Opening.Heads == nil {
		return seen, 0, fmt.Errorf("it is not of %s, or says nothing about heads", g.Tenant)
	}
	policy, keys, err := policyOf(f.GetLogKeys(), g.Witnesses)
	if err != nil {
		return seen, 0, err
	}
	signed, err := shown.Verify(policy)
	if err != nil {
		return seen, 0, err
	}
	if signed.Origin != g.Origin {
		return seen, 0, fmt.Errorf("it is of the log %s, not of %s", signed.Origin, g.Origin)
	}
	is, found, err := merkle.CheckHead(*shown.Opening.Heads, head, Subject(g.Tenant))
	if err != nil {
		return seen, 0, err
	}
	if !found {
		return seen, 0, fmt.Errorf("the log had no events about keys of %s", g.Tenant)
	}
	seen.Size = uint64(shown.Opening.Size) // #nosec G115 -- verified: at least 1
	for _, c := range signed.Cosigned {
		if c.SaysTime() {
			seen.Cosigned = append(seen.Cosigned, approval.Cosigned{Witness: keys[c.Name], At: c.At})
		}
	}
	return seen, is.Version, nil
}

// policyOf is a policy of these witnesses, of which none is demanded: how many are enough is said by the genesis.
func policyOf(logKeys string, witnesses []string) (*merkle.Policy, map[string]string, error) {
	var text strings.Builder
	keys := map[string]string{}
	for line := range strings.Lines(logKeys) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(&text, "log %s\n", line)
		}
	}
	for i, w := range witnesses {
		name := fmt.Sprintf("w%d", i)
		fmt.Fprintf(&text, "witness %s %s\n", name, w)
		keys[name] = w
	}
	text.WriteString("quorum none\n")
	policy, err := merkle.ParsePolicy([]byte(text.String()))
	return policy, keys, err
}
