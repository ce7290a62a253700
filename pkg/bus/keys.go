package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nats-io/nkeys"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/input"
	"golang.org/x/sync/errgroup"
)

// Keys maps identities to their nkey seeds. Seeds are secrets.
type Keys map[Identity][]byte

const (
	seedSuffix   = ".nk"
	publicSuffix = ".pub"
)

// SeedFile is the name of the file of an identity's key.
func SeedFile(id Identity) string { return string(id) + seedSuffix }

// PublicKeyFile is the name of the file of an identity's public key.
func PublicKeyFile(id Identity) string { return string(id) + publicSuffix }

// KeyError means that an identity cannot connect with the key that it was given, before somebody mends that.
type KeyError struct {
	Identity Identity
	// File is empty if the key is from none.
	File string
	Err  error
}

func (e *KeyError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("bus: the key of %s: %v", e.Identity, e.Err)
	}
	return fmt.Sprintf("bus: the key of %s in %s: %v", e.Identity, e.File, e.Err)
}

// Unwrap returns the reason.
func (e *KeyError) Unwrap() error { return e.Err }

// ReadSeed reads an identity's key. Every error is a *KeyError; one is that others may read the file.
func ReadSeed(id Identity, file string) ([]byte, error) {
	if file == "" {
		return nil, &KeyError{id, "", errors.New("no file is named")}
	}
	seed, err := readSecret(file)
	if err != nil {
		return nil, &KeyError{id, file, err}
	}
	public, err := publicOf(seed)
	if err == nil && !nkeys.IsValidPublicUserKey(public) {
		err = errors.New("this is not the nkey of a user")
	}
	if err != nil {
		return nil, &KeyError{id, file, err}
	}
	return seed, nil
}

// IsOwn reports whether nobody else may read or write a key. The group may read one of root's if it is the process's
// own: so Kubernetes mounts secrets for a pod that has an fsGroup.
func IsOwn(key fs.FileInfo) bool {
	others := key.Mode().Perm() & 0o077
	if at, is := key.Sys().(*syscall.Stat_t); is && others == 0o040 && at.Uid == 0 {
		groups, err := os.Getgroups()
		return err == nil && slices.Contains(append(groups, os.Getegid()), int(at.Gid))
	}
	return others == 0
}

// isCredential reports whether systemd has handed the key to this process (LoadCredential=): it lies in a directory
// that no other user can enter and is root's, with an access list for the process's user, which shows as a right of the
// group.
func isCredential(file string, key fs.FileInfo) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	at, is := key.Sys().(*syscall.Stat_t)
	return dir != "" && filepath.Dir(file) == filepath.Clean(dir) && is && at.Uid == 0 && key.Mode().Perm() == 0o440
}

func readSecret(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && !IsOwn(info) && !isCredential(file, info) {
		return nil, fmt.Errorf("others may read or write it (mode %04o): chmod 600 %s", info.Mode().Perm(), file)
	}
	var seed []byte
	if err == nil {
		seed, err = os.ReadFile(file) // #nosec G304 -- the operator names the file
	}
	if path := new(fs.PathError); errors.As(err, &path) {
		return nil, path.Err // without the path, which the caller names
	}
	return seed, err
}

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

// LoadOrCreateKeys reads <identity>.nk from dir for every identity, tool and copy and creates missing ones (mode 0600).
// It writes each public key to <identity>.pub, which is all that a server needs.
func LoadOrCreateKeys(dir string, tools []string, copies ...Identity) (Keys, error) {
	ids, err := withTools(tools)
	if err != nil {
		return nil, err
	}
	for _, id := range copies {
		_, tool := id.tool()
		if id == id.Of() || len(Rights(id)) == 0 || !tool && !slices.Contains(Identities(), id.Of()) {
			return nil, fmt.Errorf("bus: %q is not a copy of an identity, such as %s", id, Client.Copy("laptop"))
		}
		ids = append(ids, id)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	seeds := make([][]byte, len(ids))
	var all errgroup.Group // each new file is flushed to disk, and several are together
	for i, id := range ids {
		all.Go(func() (err error) {
			seeds[i], err = loadOrCreate(dir, id)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	keys := Keys{}
	for i, id := range ids {
		keys[id] = seeds[i]
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

// ReadKeys reads every <identity>.nk in dir.
func ReadKeys(dir string) (Keys, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+seedSuffix))
	if err != nil {
		return nil, err
	}
	keys := Keys{}
	for _, path := range paths {
		id := Identity(strings.TrimSuffix(filepath.Base(path), seedSuffix))
		if keys[id], err = ReadSeed(id, path); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// ReadPublicKeys reads every <identity>.pub in dir. While a key is being replaced, it holds both.
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
		if t == PortalTool {
			return nil, fmt.Errorf("bus: no tool is called %q: that is the portal, which has a key", t)
		}
		ids = append(ids, Tool(t))
	}
	return ids, nil
}

// loadOrCreate never replaces a key: processes that use the old one would be locked out.
func loadOrCreate(dir string, id Identity) ([]byte, error) {
	file := filepath.Join(dir, SeedFile(id))
	seed, err := ReadSeed(id, file)
	if errors.Is(err, fs.ErrNotExist) {
		if seed, err = newSeed(); err != nil {
			return nil, err
		}
		err = durable.Create(file, seed, 0o600)
		if errors.Is(err, fs.ErrExist) { // another process created it first
			seed, err = ReadSeed(id, file)
		}
	}
	if err != nil {
		return nil, err
	}
	public, err := publicOf(seed)
	if err != nil {
		return nil, err
	}
	file = filepath.Join(dir, PublicKeyFile(id))
	if _, err := os.Lstat(file); err == nil {
		return seed, nil
	}
	err = durable.Create(file, []byte(public+"\n"), 0o644)
	if err != nil && !errors.Is(err, fs.ErrExist) {
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
