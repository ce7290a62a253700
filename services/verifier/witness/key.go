package witness

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
)

const (
	keyFormat      = "lockbox-witness-key/v1"
	mldsaKeyFormat = "lockbox-witness-key/v1 ml-dsa-44"
)

// CreateKey writes a new key with the given name to a new file that only its owner can read. It never overwrites a
// file.
func CreateKey(file, name string) (*merkle.Cosigner, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := merkle.NewCosigner(name, private)
	if err != nil {
		return nil, err
	}
	return key, writeKey(file, keyFormat, name, private.Seed())
}

// CreateMLDSAKey is CreateKey for an ML-DSA-44 key, whose cosignatures also stand against quantum computers.
func CreateMLDSAKey(file, name string) (*merkle.Cosigner, error) {
	seed := make([]byte, seedSize)
	_, _ = rand.Read(seed) // it never fails
	key, err := merkle.NewMLDSACosigner(name, seed)
	if err != nil {
		return nil, err
	}
	return key, writeKey(file, mldsaKeyFormat, name, seed)
}

// KeyTypes are those that Create knows.
func KeyTypes() []string { return []string{"ed25519", "ml-dsa-44"} }

// Create is CreateKey or CreateMLDSAKey.
func Create(file, name, keyType string) (*merkle.Cosigner, error) {
	switch keyType {
	case "ed25519":
		return CreateKey(file, name)
	case "ml-dsa-44":
		return CreateMLDSAKey(file, name)
	}
	return nil, fmt.Errorf("the type of a key is one of %s", strings.Join(KeyTypes(), ", "))
}

// seedSize is that of both types of keys.
const seedSize = ed25519.SeedSize

func writeKey(file, format, name string, seed []byte) error {
	text := fmt.Sprintf("%s\n%s\n%s\n", format, name, base64.StdEncoding.EncodeToString(seed))
	return durable.Create(file, []byte(text), 0o600)
}

// ReadKey reads a key written by CreateKey or CreateMLDSAKey.
func ReadKey(file string) (*merkle.Cosigner, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("the key in %s can be replaced by any user of this machine (mode %v)", file,
			info.Mode().Perm())
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 3 || lines[0] != keyFormat && lines[0] != mldsaKeyFormat {
		return nil, fmt.Errorf("%s is not a witness's key", file)
	}
	seed, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(seed) != seedSize {
		return nil, fmt.Errorf("%s is not a witness's key", file)
	}
	if lines[0] == mldsaKeyFormat {
		return merkle.NewMLDSACosigner(lines[1], seed)
	}
	return merkle.NewCosigner(lines[1], ed25519.NewKeyFromSeed(seed))
}
