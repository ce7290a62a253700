package merkle

import "fmt"

// ConvictionError means that a log signed two things that cannot both be true. Whoever has both can convince anybody
// who knows the log's key, without the log, its witnesses or a network.
type ConvictionError struct{ Reason string }

func (e *ConvictionError) Error() string { return e.Reason }

func convicted(format string, args ...any) error {
	return &ConvictionError{fmt.Sprintf(format, args...)}
}

// LogAlone returns the policy without its witnesses: what the log signed convicts it whoever else has seen it.
func (p *Policy) LogAlone() *Policy { return &Policy{logs: p.logs} }

// Verify verifies what was seen: the note as the policy demands, and the tenant's slot unless only the note was seen.
func (s Seen) Verify(policy *Policy) (Signed, error) {
	signed, err := policy.Open([]byte(s.Checkpoint))
	if err == nil && s.Opening.Size != 0 {
		err = s.Opening.verify(s.Tenant, signed.Tree, s.Directory)
	}
	return signed, err
}

// Contradict compares two checkpoints of a log, in any order, by nothing but what they show. It returns a
// *ConvictionError if the log cannot have signed both and tell the truth, nil if it can, and a *ProofError if one of
// them is not what the log signed. Two sizes of a tree contradict each other only if the later is smaller; whether one
// tree grew out of the other takes a proof (CheckGrowth), and a proof that does not hold says nothing about the log.
func Contradict(a, b Seen, policy *Policy) error {
	first, err := a.Verify(policy.LogAlone())
	if err != nil {
		return err
	}
	second, err := b.Verify(policy.LogAlone())
	if err != nil {
		return err
	}
	if first.Tree.N > second.Tree.N {
		first, second, a, b = second, first, b, a
	}
	if first.Tree.N == second.Tree.N && first.Tree != second.Tree {
		return convicted("the log signed two trees of size %d, with the roots %v and %v", first.Tree.N, first.Tree.Hash,
			second.Tree.Hash)
	}
	if a.Tenant != b.Tenant || a.Opening.Size == 0 || b.Opening.Size == 0 {
		return nil
	}
	return contradictSlots(a.Opening, b.Opening, first.Tree.N, second.Tree.N)
}

// contradictSlots compares a tenant's slots at an earlier and a later size of the global tree, or at the same.
func contradictSlots(a, b Opening, earlier, later int64) error {
	switch {
	case a.Slot != b.Slot:
		return convicted("the tenant stands in two slots, %d and %d", a.Slot, b.Slot)
	case b.Size < a.Size:
		return convicted("the tenant had %d events at size %d of the log, and has %d at size %d: they were cut off",
			a.Size, earlier, b.Size, later)
	case b.Size == a.Size && b.Root != a.Root:
		return convicted("the tenant has two trees of %d events, with the roots %v and %v", a.Size, a.Root, b.Root)
	case b.Slots < a.Slots:
		return convicted("there were %d slots at size %d of the log, and are %d at size %d", a.Slots, earlier, b.Slots, later)
	case b.Format() < a.Format():
		return convicted("the directory is of format %d at size %d of the log, and of %d at size %d", a.Format(), earlier,
			b.Format(), later)
	case b.Size == a.Size && a.Heads != nil && *a.Heads != *b.Heads:
		return convicted("the tenant's tree of %d events has two roots of heads", a.Size)
	}
	return nil
}
