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

const keyFormat = "lockbox-witness-key/v1"

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
	text := fmt.Sprintf("%s\n%s\n%s\n", keyFormat, name, base64.StdEncoding.EncodeToString(private.Seed()))
	if err := durable.Create(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return key, nil
}

// ReadKey reads a key written by CreateKey.
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
	if len(lines) != 3 || lines[0] != keyFormat {
		return nil, fmt.Errorf("%s is not a witness's key", file)
	}
	seed, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is not a witness's key", file)
	}
	return merkle.NewCosigner(lines[1], ed25519.NewKeyFromSeed(seed))
}
