// Package logkeys keeps the two secrets of the Merkle log: the key that signs its checkpoints, and that of which its salts are
// made. They are files of the projector, and of nobody else.
package logkeys

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/note"
)

// Keys are the log's. Whoever has the signing key can sign another history, which witnesses, customers and e-mails contradict;
// whoever has the secret of the salts can guess what receipts withhold.
type Keys struct {
	Signer note.Signer
	// Verifier is the public key, as policies name it.
	Verifier string
	secret   []byte
}

// The files in a directory of keys.
const (
	SigningKeyFile = "log.key"
	PublicKeyFile  = "log.vkey"
	SaltsFile      = "log.salts"

	saltsSize = 32 // bytes
)

// Read reads a signing key and a secret for salts.
func Read(signingKeyFile, saltsFile string) (Keys, error) {
	key, err := config.SecretFile(signingKeyFile).Read()
	if err != nil {
		return Keys{}, err
	}
	secret, err := config.SecretFile(saltsFile).Read()
	if err != nil {
		return Keys{}, err
	}
	var k Keys
	if k.Signer, err = note.NewSigner(strings.TrimSpace(key)); err != nil {
		return Keys{}, fmt.Errorf("%s: %w", signingKeyFile, err)
	}
	if k.Verifier, err = publicKey(strings.TrimSpace(key)); err != nil {
		return Keys{}, fmt.Errorf("%s: %w", signingKeyFile, err)
	}
	if k.secret, err = hex.DecodeString(strings.TrimSpace(secret)); err != nil || len(k.secret) < saltsSize {
		return Keys{}, fmt.Errorf("%s: not the hexadecimal form of 32 bytes or more", saltsFile)
	}
	return k, nil
}

// LoadOrCreate reads the keys in dir, and makes those that are not there for a log of that name. The salts are never made
// anew beside a key that exists: trees could then not be made again from the stream.
func LoadOrCreate(dir, origin string) (Keys, error) {
	key, salts := filepath.Join(dir, SigningKeyFile), filepath.Join(dir, SaltsFile)
	_, err := os.Stat(key)
	if errors.Is(err, fs.ErrNotExist) {
		err = create(dir, origin)
	}
	if err != nil {
		return Keys{}, err
	}
	return Read(key, salts)
}

func create(dir, origin string) error {
	secret := make([]byte, saltsSize)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	// The signing key comes last: when it is there, all are.
	for _, f := range []struct{ name, text string }{
		{SaltsFile, hex.EncodeToString(secret)}, {PublicKeyFile, public}, {SigningKeyFile, private},
	} {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// publicKey is the verifier's key of a signer's: PRIVATE+KEY+<name>+<hash>+<kind and seed>.
func publicKey(private string) (string, error) {
	parts := strings.SplitN(private, "+", 5)
	if len(parts) != 5 {
		return "", errors.New("not a signing key")
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("not an Ed25519 signing key")
	}
	return note.NewEd25519VerifierKey(parts[2], ed25519.PublicKey(ed25519.NewKeyFromSeed(seed[1:])[ed25519.SeedSize:]))
}

// Salts are made anew for each goroutine.
func (k Keys) Salts() *merkle.Salts {
	s, err := merkle.NewSalts(k.secret)
	if err != nil {
		panic(err) // Read has looked at its length
	}
	return s
}

// Policy trusts the log alone.
func (k Keys) Policy() (*merkle.Policy, error) {
	return merkle.ParsePolicy([]byte("log " + k.Verifier + "\nquorum none\n"))
}
