// Package sealed encrypts to a service what stands in the event stream for ever and only that service may read: HPKE
// (RFC 9180) with X-Wing, a KEM of X25519 and ML-KEM-768, so that whoever keeps today's stream cannot read it with a
// quantum computer either; HKDF-SHA256 and ChaCha20-Poly1305. What is encrypted is bound to a purpose, a tenant and an
// id, and opens under no other, so that nothing can be moved from one tenant to another.
//
// Keys are in two files. Whoever encrypts has the public one, one line. The service has the private one: a line for
// each key, the newest first, so that what was encrypted to a former key can still be read.
package sealed

import (
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/durable"
)

const (
	privatePrefix = "lbsk1_"
	publicPrefix  = "lbpk1_"
	// version begins everything that is encrypted.
	version = 1
	// most is how many private keys a file may hold.
	most = 20
)

// ErrNoKey is returned for what none of the keys opens, under this purpose, tenant and id.
var ErrNoKey = errors.New("none of the keys opens it")

// About is what something is encrypted for. Purpose, Tenant and ID hold no zero byte.
type About struct{ Purpose, Tenant, ID string }

func (a About) info() []byte {
	return fmt.Appendf(nil, "lockbox sealed 1\x00%s\x00%s\x00%s", a.Purpose, a.Tenant, a.ID)
}

// Public is a key to encrypt to.
type Public struct{ key hpke.PublicKey }

// Private are the keys that open what was encrypted to them.
type Private struct{ keys []hpke.PrivateKey }

func kem() hpke.KEM   { return hpke.MLKEM768X25519() }
func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.ChaCha20Poly1305() }

// Seal encrypts to the key.
func (p Public) Seal(about About, plain []byte) ([]byte, error) {
	text, err := hpke.Seal(p.key, kdf(), aead(), about.info(), plain)
	if err != nil {
		return nil, err
	}
	return append([]byte{version}, text...), nil
}

// Open decrypts what was sealed for the same purpose, tenant and id, with whichever key fits.
func (p Private) Open(about About, text []byte) ([]byte, error) {
	if len(text) == 0 || text[0] != version {
		return nil, ErrNoKey
	}
	for _, k := range p.keys {
		if plain, err := hpke.Open(k, kdf(), aead(), about.info(), text[1:]); err == nil {
			return plain, nil
		}
	}
	return nil, ErrNoKey
}

// ReadPublic reads the file of a public key.
func ReadPublic(path string) (Public, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return Public{}, err
	}
	raw, is := strings.CutPrefix(strings.TrimSpace(string(text)), publicPrefix)
	data, err := base64.StdEncoding.DecodeString(raw)
	if !is || err != nil {
		return Public{}, fmt.Errorf("%s holds no public key, which begins with %s", path, publicPrefix)
	}
	key, err := kem().NewPublicKey(data)
	if err != nil {
		return Public{}, fmt.Errorf("%s: %w", path, err)
	}
	return Public{key}, nil
}

// ReadPrivate reads the file of private keys.
func ReadPrivate(file config.SecretFile) (p Private, err error) {
	text, err := file.Read()
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(text) {
		raw, is := strings.CutPrefix(strings.TrimSpace(line), privatePrefix)
		data, err := base64.StdEncoding.DecodeString(raw)
		if !is || err != nil {
			return p, fmt.Errorf("%s holds another line than a private key, which begins with %s", file, privatePrefix)
		}
		key, err := kem().NewPrivateKey(data)
		if err != nil {
			return p, fmt.Errorf("%s: %w", file, err)
		}
		p.keys = append(p.keys, key)
	}
	if len(p.keys) == 0 || len(p.keys) > most {
		return p, fmt.Errorf("%s holds %d keys, and may hold 1 to %d", file, len(p.keys), most)
	}
	return p, nil
}

// The endings of the names of a private and a public key's file.
const (
	KeyFile    = ".key"
	PublicFile = ".public"
)

// LoadOrCreate makes the files of a private and a public key of that name in a directory, if they are not there. Of a
// private key alone, the public one is derived.
func LoadOrCreate(dir, name string) error {
	if _, err := os.Lstat(filepath.Join(dir, name+KeyFile)); errors.Is(err, fs.ErrNotExist) {
		return Rotate(dir, name)
	} else if err != nil {
		return err
	}
	return publish(dir, name)
}

// Rotate adds a new private key before those that are there, and makes the public file its own. What was encrypted
// before can still be read.
func Rotate(dir, name string) error {
	path := filepath.Join(dir, name+KeyFile)
	former, err := os.ReadFile(path) // #nosec G304 -- the operator names the directory
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := kem().GenerateKey()
	if err != nil {
		return err
	}
	data, err := key.Bytes()
	if err != nil {
		return err
	}
	text := privatePrefix + base64.StdEncoding.EncodeToString(data) + "\n" + string(former)
	if err := durable.Replace(path, []byte(text), 0o600); err != nil {
		return err
	}
	return publish(dir, name)
}

// publish writes the public half of the newest key.
func publish(dir, name string) error {
	private, err := ReadPrivate(config.SecretFile(filepath.Join(dir, name+KeyFile)))
	if err != nil {
		return err
	}
	text := publicPrefix + base64.StdEncoding.EncodeToString(private.keys[0].PublicKey().Bytes()) + "\n"
	return durable.Replace(filepath.Join(dir, name+PublicFile), []byte(text), 0o644)
}
