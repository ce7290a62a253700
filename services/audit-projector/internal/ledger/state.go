package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

// state is the last checkpoint whose trees are on disk.
type state struct {
	// Covered is the last event of the stream that is in the trees; 0: nothing was signed yet.
	Covered uint64 `json:"covered"`
	// Checkpoint is its signed note, as it was reported.
	Checkpoint string    `json:"checkpoint"`
	Global     tlog.Tree `json:"global"`
	// Tenants are their trees, in the order of their slots.
	Tenants []merkle.TenantTree `json:"tenants"`
}

// directory is that of the checkpoint.
func (s state) directory(salts *merkle.Salts) (*merkle.Directory, error) {
	return merkle.NewDirectory(salts, s.Global.N-1, s.Tenants)
}

const stateFile = "state.json"

// DirName is what the directory is called in that of the projector.
const DirName = "trees"

func readState(dir string) (s state, err error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile)) // #nosec G304 -- the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return state{}, fmt.Errorf("%w: %s: %w", ErrDiffers, stateFile, err)
	}
	return s, nil
}

func (s state) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, stateFile), data, 0o600)
}
