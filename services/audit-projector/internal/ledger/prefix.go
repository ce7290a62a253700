package ledger

import (
	"errors"
	"io/fs"

	"github.com/openlockbox/lockbox/pkg/merkle"
)

// GlobalTile returns a tile of the global tree, hashes or entries, by its path. Entries of format 1 say how many
// tenants there were: bundles that hold one are not served, as if they had been pruned.
func (p Public) GlobalTile(path string) (data []byte, err error) {
	tile, err := merkle.ParsePath(path)
	if err != nil {
		return nil, err
	}
	err = p.view(func(s shown) error {
		if !within(tile, s.Global.N) {
			return ErrNoTree
		}
		data, err = p.globalTree().Read(path)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoTree
	}
	if err != nil || tile.L >= 0 {
		return data, err
	}
	entries, err := merkle.Entries(data)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if len(e) == 0 || e[0] != merkle.Format2 {
			return nil, ErrNoTree
		}
	}
	return data, nil
}

// TenantCheckpoint returns a checkpoint of the tenant's tree as the published checkpoint covers it (merkle.SignTenant).
// Nothing is signed once the log is contradicted.
func (p Public) TenantCheckpoint(tenant string) (signed []byte, err error) {
	if err := p.Failed(); err != nil {
		return nil, err
	}
	err = p.view(func(s shown) error {
		_, tree, err := s.slot(tenant)
		if err != nil {
			return err
		}
		signed, err = merkle.SignTenant(p.policy.Origin(), tenant, tree, p.Keys.Signers...)
		return err
	})
	return signed, err
}
