package merkle

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// minSlots is the smallest number of slots of a directory of format 2.
const minSlots = 64

// TenantTree is a tenant's tree at a checkpoint.
type TenantTree struct {
	Tenant string
	Tree   tlog.Tree
	// Heads is the root of the tree's heads; a directory of format 1 does not hold it.
	Heads tlog.Hash `json:",omitzero"`
}

// Directory contains the tenants' trees at one checkpoint. Its root is a leaf of the global tree.
type Directory struct {
	format  uint8
	tenants []TenantTree
	slots   int64
	salts   []Salt
	hashes  []tlog.Hash // of the whole tree, as tlog stores them
	root    tlog.Hash
}

// NewDirectory returns the directory with that number, which is the size of the global tree before it. The tenants must
// be in the order of their slots: a tenant never leaves or moves, and new ones come last. In format 2 empty slots
// follow, so that nobody sees how many there are.
func NewDirectory(format uint8, salts *Salts, number int64, tenants []TenantTree) (*Directory, error) {
	if number < 0 || len(tenants) == 0 || format != Format1 && format != Format2 {
		return nil, errors.New("directories are of format 1 or 2, count from 0, and hold somebody")
	}
	d := &Directory{format: format, tenants: tenants, slots: int64(len(tenants))}
	if format == Format2 {
		d.slots = padded(d.slots)
	}
	seen := make(map[string]bool, len(tenants))
	d.salts = make([]Salt, d.slots)
	for slot := range d.slots {
		var t TenantTree
		if slot < int64(len(tenants)) {
			t = tenants[slot] //nolint:gosec // G602: there is one
			if checkTenant(t.Tenant) != nil || t.Tree.N < 1 || seen[t.Tenant] {
				return nil, fmt.Errorf("slot %d: tenant %q is there twice, or has no event", slot, t.Tenant)
			}
			seen[t.Tenant] = true
		}
		d.salts[slot] = salts.slot(format, uint64(number), uint64(slot), t.Tenant)
		entry := slotEntry(format, d.salts[slot], slot, t)
		stored, err := tlog.StoredHashes(slot, entry, tlog.HashReaderFunc(d.read))
		if err != nil {
			return nil, err
		}
		d.hashes = append(d.hashes, stored...)
	}
	var err error
	d.root, err = tlog.TreeHash(d.slots, tlog.HashReaderFunc(d.read))
	return d, err
}

// padded returns the number of slots of a directory of format 2 for so many tenants.
func padded(tenants int64) int64 {
	slots := int64(minSlots)
	for slots < tenants {
		slots *= 2
	}
	return slots
}

func (d *Directory) read(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = d.hashes[index]
	}
	return found, nil
}

// Entry returns the entry of this directory in the global tree.
func (d *Directory) Entry() []byte { return directoryEntry(d.format, d.slots, d.root) }

// Open returns one tenant's slot with its inclusion proof. It reveals nothing about other tenants.
func (d *Directory) Open(slot int) (Opening, error) {
	if slot < 0 || slot >= len(d.tenants) {
		return Opening{}, fmt.Errorf("slot %d of %d holds no tenant", slot, d.slots)
	}
	proof, err := tlog.ProveRecord(d.slots, int64(slot), tlog.HashReaderFunc(d.read))
	if err != nil {
		return Opening{}, err
	}
	t := d.tenants[slot]
	o := Opening{
		Size: t.Tree.N, Root: t.Tree.Hash, Slot: int64(slot), Slots: d.slots,
		Salt: tlog.Hash(d.salts[slot]), Directory: d.root, Proof: proof,
	}
	if d.format == Format2 {
		o.Heads = &t.Heads
	}
	return o, nil
}

// Opening is a tenant's checkpoint with the proof of its slot in a directory.
type Opening struct {
	// Size and Root are those of the tenant's tree.
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
	// Heads is the root of the tree's heads. It is there in format 2 and missing in format 1.
	Heads *tlog.Hash `json:"heads,omitempty"`
	// Slot is the tenant's slot in every directory, Slots the number of slots in this one.
	Slot  int64 `json:"slot"`
	Slots int64 `json:"slots"`
	// Salt is the salt of this slot in this directory; it reveals nothing about any other.
	Salt tlog.Hash `json:"salt"`
	// Directory is the root of the directory, and Proof the inclusion proof of the slot in it.
	Directory tlog.Hash   `json:"directory"`
	Proof     []tlog.Hash `json:"proof"`
}

// Tree returns the tenant's tree.
func (o Opening) Tree() tlog.Tree { return tlog.Tree{N: o.Size, Hash: o.Root} }

// Format returns the format of the directory.
func (o Opening) Format() uint8 {
	if o.Heads == nil {
		return Format1
	}
	return Format2
}

// verify checks that this is the tenant's entry in the last directory of the global tree.
func (o Opening) verify(tenant string, global tlog.Tree, last tlog.RecordProof) error {
	format, is := o.Format(), TenantTree{Tenant: tenant, Tree: o.Tree()}
	switch {
	case o.Size < 1 || o.Size > maxTreeSize || checkTenant(tenant) != nil:
		return broken(Slot, "no slot holds this")
	case o.Slot < 0 || o.Slot >= o.Slots:
		return broken(Slot, "there is no slot %d of %d", o.Slot, o.Slots)
	case format == Format2 && (o.Slots > maxTreeSize || o.Slots != padded(o.Slots)):
		return broken(Slot, "a directory of format 2 has a power of two of slots, at least %d, not %d", minSlots, o.Slots)
	case format == Format2:
		is.Heads = *o.Heads
	}
	entry := slotEntry(format, Salt(o.Salt), o.Slot, is)
	if err := tlog.CheckRecord(o.Proof, o.Slots, o.Directory, o.Slot, tlog.RecordHash(entry)); err != nil {
		return broken(Slot, "slot %d of %d does not hold this tenant with this size and root: %v", o.Slot, o.Slots, err)
	}
	if global.N < 1 {
		return broken(Global, "the global tree is empty")
	}
	leaf := tlog.RecordHash(directoryEntry(format, o.Slots, o.Directory))
	if err := tlog.CheckRecord(last, global.N, global.Hash, global.N-1, leaf); err != nil {
		return broken(Global, "the directory is not the last leaf of %d: %v", global.N, err)
	}
	return nil
}

// slotEntry returns the entry of a slot; an empty slot has no tenant.
func slotEntry(format uint8, salt Salt, slot int64, t TenantTree) []byte {
	entry := append([]byte{format}, salt[:]...)
	entry = binary.BigEndian.AppendUint64(entry, uint64(slot)) //nolint:gosec // G115: both callers refused negative ones
	if t.Tenant == "" {
		return entry
	}
	entry = binary.BigEndian.AppendUint64(entry, uint64(t.Tree.N)) //nolint:gosec // G115: both callers refused negative sizes
	entry = append(entry, t.Tree.Hash[:]...)
	if format == Format2 {
		entry = append(entry, t.Heads[:]...)
	}
	return append(entry, t.Tenant...)
}

func directoryEntry(format uint8, slots int64, root tlog.Hash) []byte {
	entry := binary.BigEndian.AppendUint64([]byte{format}, uint64(slots)) //nolint:gosec // G115: both callers refused negative ones
	return append(entry, root[:]...)
}
