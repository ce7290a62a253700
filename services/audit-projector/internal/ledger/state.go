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
	// Covered is the sequence of the last event in the trees; 0 if nothing was signed yet.
	Covered uint64 `json:"covered"`
	// Checkpoint is the signed note as it was reported.
	Checkpoint string `json:"checkpoint"`
	// Format is that of its directory and of the leaves that it is the first to cover. In files of before there was a
	// second format it is missing.
	Format uint8     `json:"format"`
	Global tlog.Tree `json:"global"`
	// Tenants are the tenants' trees in the order of their slots.
	Tenants []merkle.TenantTree `json:"tenants"`
}

// directory returns the checkpoint's directory of tenants.
func (s state) directory(salts *merkle.Salts) (*merkle.Directory, error) {
	return merkle.NewDirectory(s.Format, salts, s.Global.N-1, s.Tenants)
}

const stateFile = "state.json"

// DirName is the name of the trees' directory within the projector's.
const DirName = "trees"

func readState(dir string) (s state, err error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile)) // #nosec G304 -- the operator names the directory
	s.Format = merkle.Format1
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
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
