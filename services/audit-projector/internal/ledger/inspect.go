package ledger

import (
	"fmt"
	"reflect"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

// Inspected is a checkpoint with all its trees, for comparison with the stream. The trees stay readable for the
// lifetime of the ledger, even while it grows.
type Inspected struct {
	// Covered is the sequence of the last event in the trees.
	Covered uint64
	Global  tlog.Tree
	Tenants []merkle.TenantTree
	Salts   *merkle.Salts

	ledger *Ledger
}

// Inspect returns the last checkpoint's trees, and ErrDiffers if the state on disk is not what was signed.
func (l *Ledger) Inspect() (is Inspected, err error) {
	err = l.view(func(s shown) error {
		disk, err := readState(l.Dir)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(disk, s.state) {
			return fmt.Errorf("%w: %s is not what was written", ErrDiffers, stateFile)
		}
		is = Inspected{s.Covered, s.Global, s.Tenants, l.Keys.Salts(), l}
		return nil
	})
	return is, err
}

// Tree returns a reader of a tenant's files, including the second copy.
func (i Inspected) Tree(tenant string) merkle.Reader { return tenantReader{i.ledger, tenant} }

type tenantReader struct {
	ledger *Ledger
	tenant string
}

func (r tenantReader) Read(path string) (data []byte, err error) {
	err = r.ledger.view(func(shown) error {
		data, err = r.ledger.tenantTree(r.tenant).Read(path)
		return err
	})
	return data, err
}

// GlobalTree returns a reader of the global tree's files.
func (i Inspected) GlobalTree() merkle.Reader { return globalReader{i.ledger} }

type globalReader struct{ ledger *Ledger }

func (r globalReader) Read(path string) (data []byte, err error) {
	err = r.ledger.view(func(shown) error {
		data, err = r.ledger.globalTree().Read(path)
		return err
	})
	return data, err
}
