package bus

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openlockbox/lockbox/pkg/durable"
)

// StoreKeyFile is the name of the file of the key that encrypts the streams on disk.
const StoreKeyFile = "store.key"

// StoreKey encrypts a server's streams on disk. Each of a cluster's servers may have its own, or all the same. NATS
// could be given the key of before beside it (prev_encryption_key), to encrypt anew what it has; 2.15.2 then loses
// consumers and streams that are empty, and does not start in a cluster.
type StoreKey string

// StoreKeyError means that the file of such a key cannot be used, or that the store was encrypted with another.
type StoreKeyError struct {
	File string
	Err  error
}

func (e *StoreKeyError) Error() string {
	return fmt.Sprintf("bus: the key of the streams on disk, %s: %v", e.File, e.Err)
}

// Unwrap returns the reason.
func (e *StoreKeyError) Unwrap() error { return e.Err }

// The file is a piece of a NATS configuration, so that a nats-server of one's own reads the same file.
var storeKeyLine = regexp.MustCompile(`(?m)^encryption_key: "([A-Za-z0-9+/=]{32,})"$`)

// ReadStoreKey reads the file of a key. Every error is a *StoreKeyError; one is that others may read the file.
func ReadStoreKey(file string) (StoreKey, error) {
	text, err := readSecret(file)
	if err != nil {
		return "", &StoreKeyError{file, err}
	}
	found := storeKeyLine.FindSubmatch(text)
	if found == nil {
		return "", &StoreKeyError{file, errors.New(`it has no line encryption_key: "…"`)}
	}
	return StoreKey(found[1]), nil
}

// CreateStoreKey makes the file of a key in a directory, if it is not there.
func CreateStoreKey(dir string) error {
	file := filepath.Join(dir, StoreKeyFile)
	text, err := newStoreKey()
	if err == nil {
		err = durable.Create(file, text, 0o600)
	}
	if errors.Is(err, os.ErrExist) {
		_, err = ReadStoreKey(file)
	}
	return err
}

// ReplaceStoreKey makes a new key in a directory, and returns the name of the file that keeps the old one: backups of
// the servers' files need it.
func ReplaceStoreKey(dir string) (old string, err error) {
	file := filepath.Join(dir, StoreKeyFile)
	before, err := ReadStoreKey(file)
	if err != nil {
		return "", err
	}
	old = StoreKeyFile + ".old." + strings.TrimSpace(before.fingerprint())
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the directory
	if err == nil {
		err = durable.Create(filepath.Join(dir, old), text, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if text, err = newStoreKey(); err != nil {
		return "", err
	}
	return old, durable.Replace(file, text, 0o600)
}

func newStoreKey() ([]byte, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	return []byte("# Encrypts the streams on disk. Without it they are lost: keep a copy elsewhere.\n" +
		"encryption_key: \"" + base64.StdEncoding.EncodeToString(secret) + "\"\n"), nil
}

const (
	// storeNote is the file in which a server notes, before it stores anything, with which key it encrypts. NATS itself
	// would start with another key, or with one where there was none, take what it cannot read for damaged, and begin
	// anew.
	storeNote = "store-key"
	// StoreName is the name of NATS's own directory of the streams.
	StoreName = "jetstream"
)

// OpenStore returns a *StoreKeyError if there is a store in a directory that was encrypted with another key, or not at
// all; if there is none, it notes the key. file is where the key is from; empty: there is none.
func (k StoreKey) OpenStore(dir, file string) error {
	noted, err := os.ReadFile(filepath.Join(dir, storeNote)) // #nosec G304 -- the operator names the directory
	switch {
	case errors.Is(err, os.ErrNotExist):
		return k.note(dir, file)
	case err != nil:
		return err
	case k == "":
		return &StoreKeyError{"of which no file is named", fmt.Errorf("%s is encrypted: name its key with --store-key", dir)}
	case string(noted) != k.fingerprint():
		return &StoreKeyError{file, fmt.Errorf("%s is encrypted with another one: put that back%s", dir, orAnew)}
	}
	return nil
}

// orAnew is what else helps.
const orAnew = " or, if the other servers of its cluster are well, have this one filled anew from them " +
	"(lockbox bus set-aside)"

func (k StoreKey) note(dir, file string) error {
	if k == "" {
		return nil
	}
	switch _, err := os.Stat(filepath.Join(dir, StoreName)); {
	case err == nil:
		return &StoreKeyError{file, fmt.Errorf("%s is not encrypted: go on without a key (--plain-store)%s", dir, orAnew)}
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	return durable.Replace(filepath.Join(dir, storeNote), []byte(k.fingerprint()), 0o600)
}

func (k StoreKey) fingerprint() string {
	sum := sha256.Sum256([]byte("lockbox store key\n" + string(k)))
	return hex.EncodeToString(sum[:8]) + "\n"
}

// ForgetStore removes the note, after the store was moved away.
func ForgetStore(dir string) error {
	err := os.Remove(filepath.Join(dir, storeNote))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
