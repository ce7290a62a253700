// Package logkeys keeps the two secrets of the Merkle log: the key that signs its checkpoints, and the secret from
// which its salts are derived. They are files that only the projector may read.
package logkeys

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	"golang.org/x/mod/sumdb/note"
)

// Keys are the log's secrets. The signing key allows signing another history, which witnesses, customers and e-mails
// would contradict; the secret of the salts allows guessing what receipts withhold.
type Keys struct {
	// Signers are the keys that sign, the newest first: several while the log's key is being replaced.
	Signers []note.Signer
	// Verifiers are the public keys in the form that policies use: those of the signers, and after them those of former
	// keys, with which older checkpoints were signed.
	Verifiers []string
	secret    []byte
}

// The files in a directory of keys.
const (
	SigningKeyFile = "log.key"
	PublicKeyFile  = "log.vkey"
	SaltsFile      = "log.salts"

	privatePrefix = "PRIVATE+KEY+"

	// pendingFile holds new keys until each is in its own file.
	pendingFile = "log.new"

	saltsSize = 32 // bytes
)

// Read reads the log's keys and a secret for salts. Each line of the file of keys is a key that signs or, after those,
// the public half of a former one.
func Read(signingKeyFile, saltsFile string) (Keys, error) {
	key, err := config.SecretFile(signingKeyFile).Read()
	if err != nil {
		return Keys{}, err
	}
	secret, err := config.SecretFile(saltsFile).Read()
	if err != nil {
		return Keys{}, err
	}
	k, err := parse(key)
	if err != nil {
		return Keys{}, fmt.Errorf("%s: %w", signingKeyFile, err)
	}
	if k.secret, err = hex.DecodeString(strings.TrimSpace(secret)); err != nil || len(k.secret) < saltsSize {
		return Keys{}, fmt.Errorf("%s: not the hexadecimal form of 32 bytes or more", saltsFile)
	}
	return k, nil
}

// parse reads the lines of a file of keys.
func parse(text string) (k Keys, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, privatePrefix) && len(k.Signers) > 0 {
			k.Verifiers = append(k.Verifiers, line)
			continue
		}
		if len(k.Verifiers) > len(k.Signers) {
			return Keys{}, errors.New("a signing key stands after a former one")
		}
		signer, err := note.NewSigner(line)
		if err != nil {
			return Keys{}, err
		}
		public, err := signed.VerifierKey(line)
		if err != nil {
			return Keys{}, err
		}
		k.Signers, k.Verifiers = append(k.Signers, signer), append(k.Verifiers, public)
	}
	_, err = k.Policy()
	return k, err
}

// LoadOrCreate reads the keys in dir; if there are none, it creates them for a log of that name.
//
// Trees can be rebuilt from the stream only with the salts that they were built with, so no key is created beside an
// existing one: if only one of the two is missing, LoadOrCreate fails. Both become durable in one step, as the file
// log.new, and are then moved to their own files; an interrupted call is completed by the next one.
func LoadOrCreate(dir, origin string) (Keys, error) {
	unlock, err := lock(dir)
	if err != nil {
		return Keys{}, err
	}
	defer unlock()
	key, salts := filepath.Join(dir, SigningKeyFile), filepath.Join(dir, SaltsFile)
	pending := filepath.Join(dir, pendingFile)
	made, err := os.ReadFile(pending) // #nosec G304 -- the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		var both bool
		if both, err = present(key, salts, filepath.Join(dir, PublicKeyFile)); both {
			return Read(key, salts)
		}
		if err == nil {
			made, err = generate(origin)
		}
		if err == nil {
			err = durable.Create(pending, made, 0o600)
		}
	}
	if err != nil {
		return Keys{}, err
	}
	if err := install(dir, made); err != nil {
		return Keys{}, err
	}
	return Read(key, salts)
}

// present reports whether both secrets exist. It fails if only one does, or only the public key.
func present(key, salts, public string) (bool, error) {
	var missing, found []string
	for _, path := range []string{key, salts, public} {
		switch _, err := os.Lstat(path); {
		case err == nil:
			found = append(found, path)
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		case path != public: // which can be derived from the signing key
			missing = append(missing, path)
		}
	}
	switch {
	case len(missing) == 0:
		return true, nil
	case len(found) == 0:
		return false, nil
	}
	return false, fmt.Errorf("missing: %s, although %s exists; without it the log cannot continue and its trees cannot be rebuilt, "+
		"so it is never generated anew: restore it from a backup (only where no event has been recorded yet: move %s away and run this again)",
		strings.Join(missing, " and "), strings.Join(found, " and "), strings.Join(found, " and "))
}

// generate returns the content of log.new: the signing key and the secret of the salts, one line each.
func generate(origin string) ([]byte, error) {
	secret := make([]byte, saltsSize)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	private, _, err := note.GenerateKey(rand.Reader, origin)
	return []byte(private + "\n" + hex.EncodeToString(secret) + "\n"), err
}

// install moves the keys of log.new to their files, unless an earlier call has, and removes it.
func install(dir string, made []byte) error {
	pending := filepath.Join(dir, pendingFile)
	lines := strings.Split(string(made), "\n")
	if len(lines) != 3 {
		return fmt.Errorf("%s: not a signing key and the secret of the salts, a line each", pending)
	}
	public, err := signed.VerifierKey(lines[0])
	if err != nil {
		return fmt.Errorf("%s: %w", pending, err)
	}
	for _, f := range []struct{ name, text string }{{SaltsFile, lines[1]}, {PublicKeyFile, public},
		{SigningKeyFile, lines[0]}} {
		path, text := filepath.Join(dir, f.name), []byte(f.text+"\n")
		err := durable.Create(path, text, 0o600)
		if errors.Is(err, fs.ErrExist) {
			var there []byte
			if there, err = os.ReadFile(path); err == nil && !bytes.Equal(there, text) { // #nosec G304 -- as above
				err = fmt.Errorf("%s and %s hold different keys: keep the ones that the log was signed with, and move the other file away", path, pending)
			}
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(sweep(dir), os.Remove(pending), durable.Sync(dir))
}

// sweep removes the temporary files of processes that were killed while creating keys: they hold secrets.
func sweep(dir string) error {
	var failed error
	for _, name := range []string{SigningKeyFile, PublicKeyFile, SaltsFile, pendingFile} {
		left, err := filepath.Glob(filepath.Join(dir, "."+name+".*"))
		failed = errors.Join(failed, err)
		for _, path := range left {
			failed = errors.Join(failed, os.Remove(path))
		}
	}
	return failed
}

// lock keeps other processes from creating keys in the same directory at the same time.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil { // #nosec G115 -- a file descriptor
		return nil, errors.Join(err, d.Close())
	}
	return func() { _ = d.Close() }, nil
}

// Rotate makes a new key, with which checkpoints are signed beside the one before from the next start on. The salts
// stay.
func Rotate(dir string) error {
	return change(dir, func(k Keys, lines []string) ([]string, error) {
		if len(k.Signers) > 1 {
			return nil, errors.New("the last change of the log's key is not finished yet")
		}
		private, _, err := note.GenerateKey(rand.Reader, k.Signers[0].Name())
		return append([]string{private}, lines...), err
	})
}

// Finish ends what Rotate began: nothing is signed with the former key any more, and what it has signed stays valid.
func Finish(dir string) error {
	return change(dir, func(k Keys, lines []string) ([]string, error) {
		if len(k.Signers) < 2 {
			return nil, errors.New("the log's key is not being changed")
		}
		return append(lines[:1:1], k.Verifiers[1:]...), nil
	})
}

// change replaces the lines of the file of keys, and then the public keys, which are made again from it if a call is
// interrupted.
func change(dir string, next func(Keys, []string) ([]string, error)) error {
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(dir, SigningKeyFile)
	text, err := config.SecretFile(path).Read()
	if err != nil {
		return err
	}
	k, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	lines, err := next(k, strings.Fields(text))
	if err != nil {
		return err
	}
	text = strings.Join(lines, "\n") + "\n"
	if k, err = parse(text); err != nil {
		return err
	}
	public := filepath.Join(dir, PublicKeyFile)
	if err := durable.Replace(path, []byte(text), 0o600); err != nil {
		return err
	}
	return durable.Replace(public, []byte(strings.Join(k.Verifiers, "\n")+"\n"), 0o600)
}

// Salts returns a new instance, since one must not be shared between goroutines.
func (k Keys) Salts() *merkle.Salts {
	s, err := merkle.NewSalts(k.secret)
	if err != nil {
		panic(err) // Read has checked its length
	}
	return s
}

// Policy returns a policy that trusts the log alone, with any of its keys, without witnesses.
func (k Keys) Policy() (*merkle.Policy, error) {
	return merkle.KeysAlone(strings.Join(k.Verifiers, "\n"))
}
