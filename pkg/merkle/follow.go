package merkle

import (
	"golang.org/x/mod/sumdb/tlog"
)

// CheckGrowth verifies a consistency proof: the newer tree extends the older one, with nothing changed, removed or
// inserted.
func CheckGrowth(older, newer tlog.Tree, proof []tlog.Hash) error {
	switch {
	case checkTree(older) != nil || checkTree(newer) != nil || len(proof) > maxProof:
		return broken(Format, "these are no trees")
	case newer.N < older.N:
		return broken(Growth, "it had %d leaves and now has %d: it was cut off", older.N, newer.N)
	case newer.N == older.N && newer.Hash != older.Hash:
		return broken(Growth, "there are two different trees of %d leaves: a fork", newer.N)
	case newer.N == older.N || older.N == 0:
		if len(proof) > 0 || older.N == 0 && older != EmptyTree() {
			return broken(Growth, "there is nothing to prove here")
		}
		return nil
	}
	if err := tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash); err != nil {
		return broken(Growth, "the tree of %d leaves does not begin with the one of %d: %v", newer.N, older.N, err)
	}
	return nil
}

// ProveGrowth returns the consistency proof for CheckGrowth, from the tiles of the newer tree.
func ProveGrowth(from Reader, olderSize int64, newer tlog.Tree) ([]tlog.Hash, error) {
	if olderSize == 0 || olderSize == newer.N {
		return []tlog.Hash{}, nil
	}
	return tlog.ProveTree(newer.N, olderSize, Hashes(from, newer))
}

// Sighting is a tenant's view of the log at a global checkpoint, with the proofs that it extends an earlier one.
type Sighting struct {
	// Checkpoint is the signed note of the global tree, GlobalGrowth the consistency proof from the one seen before.
	Checkpoint   string      `json:"checkpoint"`
	GlobalGrowth []tlog.Hash `json:"globalGrowth"`
	// Opening is the tenant's checkpoint in the last directory, Directory the proof that this directory is the last.
	Opening   Opening     `json:"tenantCheckpoint"`
	Directory []tlog.Hash `json:"directoryProof"`
	// TenantGrowth is the consistency proof from the tenant's tree seen before.
	TenantGrowth []tlog.Hash `json:"tenantGrowth"`
}

// Seen is what a follower stores between sightings: enough to prove a contradiction to anybody.
type Seen struct {
	Tenant string `json:"tenant"`
	// Checkpoint is the last signed note.
	Checkpoint string  `json:"checkpoint"`
	Opening    Opening `json:"tenantCheckpoint"`
	// Directory is the inclusion proof of the opening's directory in the checkpoint's tree.
	Directory []tlog.Hash `json:"directoryProof"`
}

// Follow verifies the next sighting against what was seen before. Before the first sighting, Seen holds only the
// tenant, and the slot of the first sighting is trusted on first use: compare it once through another channel. An error
// says that the sighting is not proven to come after; whether the log contradicts itself, Contradict says.
func Follow(before Seen, next Sighting, policy *Policy) (Seen, error) {
	signed, err := policy.Open([]byte(next.Checkpoint))
	if err != nil {
		return before, err
	}
	if err := next.Opening.verify(before.Tenant, signed.Tree, next.Directory); err != nil {
		return before, err
	}
	global, tenant := EmptyTree(), EmptyTree()
	if before.Checkpoint != "" {
		// It was verified when it was seen, possibly under an older policy.
		earlier, _, err := unverified([]byte(before.Checkpoint))
		if err != nil {
			return before, err
		}
		if earlier.Origin != signed.Origin {
			return before, broken(LogSignature, "what was seen is of %s, this is of %s", earlier.Origin, signed.Origin)
		}
		if next.Opening.Slot != before.Opening.Slot {
			return before, broken(Slot, "the tenant stood in slot %d and now stands in %d: a fork", before.Opening.Slot,
				next.Opening.Slot)
		}
		if next.Opening.Slots < before.Opening.Slots {
			return before, broken(Growth, "there were %d slots and now are %d", before.Opening.Slots, next.Opening.Slots)
		}
		if next.Opening.Format() < before.Opening.Format() {
			return before, broken(Growth, "directories were of format %d and now are of %d", before.Opening.Format(),
				next.Opening.Format())
		}
		global, tenant = earlier.Tree, before.Opening.Tree()
	}
	if err := CheckGrowth(global, signed.Tree, next.GlobalGrowth); err != nil {
		return before, err
	}
	if err := CheckGrowth(tenant, next.Opening.Tree(), next.TenantGrowth); err != nil {
		return before, err
	}
	return Seen{
		Tenant: before.Tenant, Checkpoint: next.Checkpoint, Opening: next.Opening, Directory: next.Directory,
	}, nil
}
