package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Keys maps identities to their nkey seeds. Seeds are secrets.
type Keys map[Identity][]byte

const (
	seedSuffix   = ".nk"
	publicSuffix = ".pub"
)

// GenerateKeys creates a new key for every identity and each named tool.
func GenerateKeys(tools ...string) (Keys, error) {
	ids, err := withTools(tools)
	if err != nil {
		return nil, err
	}
	keys := Keys{}
	for _, id := range ids {
		if keys[id], err = newSeed(); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// LoadOrCreateKeys reads <identity>.nk from dir for every identity and tool and creates missing ones (mode 0600). It
// writes each public key to <identity>.pub, which is all that a server needs.
func LoadOrCreateKeys(dir string, tools []string) (Keys, error) {
	ids, err := withTools(tools)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keys := Keys{}
	for _, id := range ids {
		if keys[id], err = loadOrCreate(filepath.Join(dir, string(id))); err != nil {
			return nil, fmt.Errorf("key of %s: %w", id, err)
		}
	}
	return keys, nil
}

// Public returns the public key of each identity.
func (k Keys) Public() (map[Identity]string, error) {
	public := map[Identity]string{}
	for id, seed := range k {
		p, err := publicOf(seed)
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", id, err)
		}
		public[id] = p
	}
	return public, nil
}

// ReadPublicKeys reads every <identity>.pub in dir.
func ReadPublicKeys(dir string) (map[Identity]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+publicSuffix))
	if err != nil {
		return nil, err
	}
	public := map[Identity]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path) // #nosec G304 -- the operator names the directory
		if err != nil {
			return nil, err
		}
		public[Identity(strings.TrimSuffix(filepath.Base(path), publicSuffix))] = strings.TrimSpace(string(data))
	}
	return public, nil
}

func withTools(tools []string) ([]Identity, error) {
	ids := Identities()
	for _, t := range tools {
		if err := input.Token("tool", t); err != nil {
			return nil, err
		}
		ids = append(ids, Tool(t))
	}
	return ids, nil
}

// loadOrCreate never replaces a key: processes that use the old one would be locked out.
func loadOrCreate(path string) ([]byte, error) {
	seed, err := os.ReadFile(path + seedSuffix) // #nosec G304 -- the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		if seed, err = newSeed(); err != nil {
			return nil, err
		}
		err = durable.Create(path+seedSuffix, seed, 0o600)
		if errors.Is(err, fs.ErrExist) { // another process created it first
			seed, err = os.ReadFile(path + seedSuffix) // #nosec G304
		}
	}
	if err != nil {
		return nil, err
	}
	public, err := publicOf(seed)
	if err != nil {
		return nil, err
	}
	if err := durable.Create(path+publicSuffix, []byte(public+"\n"), 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return seed, nil
}

// NewSeed creates a key that is not stored, for a single run.
func NewSeed() ([]byte, error) { return newSeed() }

func newSeed() ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	return pair.Seed()
}

func publicOf(seed []byte) (string, error) {
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}
