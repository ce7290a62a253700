package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/durable"
)

// KeyStep says how far the replacement of an identity's key has come.
type KeyStep int

// The steps, in their order. The servers need to have the files of one before the next is taken.
const (
	// KeyAlone: nothing is being replaced.
	KeyAlone KeyStep = iota
	// KeyKnown: the servers accept a new key beside the old one, which the identity still uses.
	KeyKnown
	// KeySwitched: the identity's file holds the new key, which it uses from its next start; the old one is still
	// accepted.
	KeySwitched
)

// nextSuffix ends the name of the file of a key that servers accept and nobody uses yet.
const nextSuffix = ".next"

// KeyReplacing returns how far the replacement of an identity's key has come in a directory of keys.
func KeyReplacing(dir string, id Identity) (KeyStep, error) {
	if _, err := ReadSeed(id, filepath.Join(dir, SeedFile(id))); err != nil {
		return KeyAlone, err
	}
	public, err := os.ReadFile(filepath.Join(dir, PublicKeyFile(id))) // #nosec G304 -- the operator names the directory
	if err != nil {
		return KeyAlone, err
	}
	both := len(strings.Fields(string(public))) > 1
	if _, err := os.Stat(filepath.Join(dir, SeedFile(id)+nextSuffix)); err == nil && both {
		return KeyKnown, nil
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return KeyAlone, err
	}
	if both {
		return KeySwitched, nil
	}
	return KeyAlone, nil
}

// ReplaceKey takes the next step of replacing an identity's key, and returns what has been reached; after KeySwitched
// there is none, until FinishKey.
func ReplaceKey(dir string, id Identity) (KeyStep, error) {
	step, err := KeyReplacing(dir, id)
	if err != nil {
		return step, err
	}
	file := filepath.Join(dir, SeedFile(id))
	switch step {
	case KeyAlone:
		seed, err := newSeed()
		if err != nil {
			return step, err
		}
		if err := durable.Replace(file+nextSuffix, seed, 0o600); err != nil {
			return step, err
		}
		return KeyKnown, publish(dir, id, file, file+nextSuffix)
	case KeyKnown:
		return KeySwitched, os.Rename(file+nextSuffix, file)
	case KeySwitched:
	}
	return step, nil
}

// FinishKey ends the use of the key that was replaced: whoever still connects with it is cut off.
func FinishKey(dir string, id Identity) error {
	step, err := KeyReplacing(dir, id)
	if err != nil {
		return err
	}
	if step != KeySwitched {
		return fmt.Errorf("bus: the key of %s has not been replaced: there is none to remove", id)
	}
	return publish(dir, id, filepath.Join(dir, SeedFile(id)))
}

// publish makes the public halves of keys those that servers accept.
func publish(dir string, id Identity, files ...string) error {
	var text strings.Builder
	for _, file := range files {
		seed, err := ReadSeed(id, file)
		if err != nil {
			return err
		}
		public, err := publicOf(seed)
		if err != nil {
			return err
		}
		text.WriteString(public + "\n")
	}
	return durable.Replace(filepath.Join(dir, PublicKeyFile(id)), []byte(text.String()), 0o644)
}
