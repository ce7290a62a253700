package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/verifier/witness"
)

// bankWitness is what the demo's witness is called. It stands for one that the bank runs: without a witness, nobody but
// the provider could say when the delay of a new key is over, so a chain of keys cannot begin.
const bankWitness = "witness.meadowbank.example"

// serveWitness serves the demo's witness, and writes the log's policy that names it.
func serveWitness(dir, keysDir string) (policy string, stop func() error, err error) {
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(keysDir, 0o700)); err != nil {
		return "", nil, err
	}
	if _, err := logkeys.LoadOrCreate(keysDir, stack.LogName); err != nil {
		return "", nil, err
	}
	key := filepath.Join(dir, "witness.key")
	if _, err := os.Lstat(key); errors.Is(err, fs.ErrNotExist) {
		if _, err := witness.Create(key, bankWitness, "ed25519"); err != nil {
			return "", nil, err
		}
	}
	log := filepath.Join(keysDir, logkeys.PublicKeyFile)
	public, err := os.ReadFile(log) // #nosec G304 -- the user names the directory
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	listens, ended := make(chan [2]string, 1), make(chan error, 1)
	go func() {
		ended <- witness.Serve(ctx, witness.Config{Key: key, State: filepath.Join(dir, "witness"), Logs: []string{log},
			Listen: "127.0.0.1:0", Say: func(bool, string) {}}, func(at net.Addr, key string) {
			listens <- [2]string{at.String(), key}
		})
	}()
	stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case err := <-ended:
		cancel()
		return "", nil, fmt.Errorf("the demo's witness: %w", err)
	case at := <-listens:
		policy = filepath.Join(dir, "log.policy")
		text := fmt.Sprintf("log %s\nwitness meadowbank %s http://%s\nquorum meadowbank\n",
			strings.TrimSpace(string(public)), at[1], at[0])
		if err := durable.Replace(policy, []byte(text), 0o644); err != nil {
			return "", nil, errors.Join(err, stop())
		}
	}
	return policy, stop, nil
}
