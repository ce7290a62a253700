package merkle

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TenantTree is a tenant's tree at a checkpoint.
type TenantTree struct {
	Tenant string
	Tree   tlog.Tree
}

// Directory contains the tenants' trees at one checkpoint. Its root is a leaf of the global tree.
type Directory struct {
	tenants []TenantTree
	salts   []Salt
	hashes  []tlog.Hash // of the whole tree, as tlog stores them
	root    tlog.Hash
}

// NewDirectory returns the directory with that number, which is the size of the global tree before it. The tenants must
// be in the order of their slots: a tenant never leaves or moves, and new ones come last.
func NewDirectory(salts *Salts, number int64, tenants []TenantTree) (*Directory, error) {
	if number < 0 || len(tenants) == 0 {
		return nil, errors.New("directories count from 0, and hold somebody")
	}
	d := &Directory{tenants: tenants, salts: make([]Salt, len(tenants))}
	seen := make(map[string]bool, len(tenants))
	for slot, t := range tenants {
		if t.Tenant == "" || len(t.Tenant) > maxTenant || t.Tree.N < 1 || seen[t.Tenant] {
			return nil, fmt.Errorf("slot %d: tenant %q is there twice, or has no event", slot, t.Tenant)
		}
		seen[t.Tenant] = true
		d.salts[slot] = salts.slot(t.Tenant, uint64(number))
		stored, err := tlog.StoredHashes(int64(slot), slotEntry(d.salts[slot], uint64(slot), t), tlog.HashReaderFunc(d.read))
		if err != nil {
			return nil, err
		}
		d.hashes = append(d.hashes, stored...)
	}
	var err error
	d.root, err = tlog.TreeHash(int64(len(tenants)), tlog.HashReaderFunc(d.read))
	return d, err
}

func (d *Directory) read(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = d.hashes[index]
	}
	return found, nil
}

// Entry returns the entry of this directory in the global tree.
func (d *Directory) Entry() []byte { return directoryEntry(int64(len(d.tenants)), d.root) }

// Open returns one tenant's slot with its inclusion proof. It reveals nothing about other tenants.
func (d *Directory) Open(slot int) (Opening, error) {
	if slot < 0 || slot >= len(d.tenants) {
		return Opening{}, fmt.Errorf("the directory has %d slots, none of them %d", len(d.tenants), slot)
	}
	proof, err := tlog.ProveRecord(int64(len(d.tenants)), int64(slot), tlog.HashReaderFunc(d.read))
	if err != nil {
		return Opening{}, err
	}
	t := d.tenants[slot]
	return Opening{
		Size: t.Tree.N, Root: t.Tree.Hash, Slot: int64(slot), Slots: int64(len(d.tenants)),
		Salt: tlog.Hash(d.salts[slot]), Directory: d.root, Proof: proof,
	}, nil
}

// Opening is a tenant's checkpoint with the proof of its slot in a directory.
type Opening struct {
	// Size and Root are those of the tenant's tree.
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
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

// verify checks that this is the tenant's entry in the last directory of the global tree.
func (o Opening) verify(tenant string, global tlog.Tree, last tlog.RecordProof) error {
	if o.Size < 1 || o.Size > maxTreeSize || o.Slot < 0 || o.Slot >= o.Slots || tenant == "" || len(tenant) > maxTenant {
		return broken(Slot, "no slot holds this")
	}
	entry := slotEntry(Salt(o.Salt), uint64(o.Slot), TenantTree{tenant, o.Tree()})
	if err := tlog.CheckRecord(o.Proof, o.Slots, o.Directory, o.Slot, tlog.RecordHash(entry)); err != nil {
		return broken(Slot, "slot %d of %d does not hold this tenant with this size and root: %v", o.Slot, o.Slots, err)
	}
	if global.N < 1 {
		return broken(Global, "the global tree is empty")
	}
	leaf := tlog.RecordHash(directoryEntry(o.Slots, o.Directory))
	if err := tlog.CheckRecord(last, global.N, global.Hash, global.N-1, leaf); err != nil {
		return broken(Global, "the directory is not the last leaf of %d: %v", global.N, err)
	}
	return nil
}

func slotEntry(salt Salt, slot uint64, t TenantTree) []byte {
	entry := append([]byte{version}, salt[:]...)
	entry = binary.BigEndian.AppendUint64(entry, slot)
	entry = binary.BigEndian.AppendUint64(entry, uint64(t.Tree.N)) //nolint:gosec // G115: both callers refused negative sizes
	entry = append(entry, t.Tree.Hash[:]...)
	return append(entry, t.Tenant...)
}

func directoryEntry(slots int64, root tlog.Hash) []byte {
	entry := binary.BigEndian.AppendUint64([]byte{version}, uint64(slots)) //nolint:gosec // G115: both callers refused negative ones
	return append(entry, root[:]...)
}
