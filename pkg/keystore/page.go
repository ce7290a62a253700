package keystore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/erasable"
)

// Secret encrypts the pages of a key store, and names the pages of persons and addresses, so that nobody finds out from
// the store whose they are. Without it no key in the store can be used; with it and a copy of the store, all that are
// in the copy can. It is 32 bytes.
type Secret struct{ key [32]byte }

const (
	secretPrefix = "lbps1_"
	// SecretFile is the name of the file of a secret, in a directory of keys.
	SecretFile = "erasable.key"

	// placesOfTexts is how many keys of texts one page holds.
	placesOfTexts = 64
	placeSize     = 1 + len(erasable.Key{})
	pageFormat    = 0x01
	nonceSize     = 12
	inUse         = 0x01
	mostPlaces    = 256
)

// ReadSecret reads the file of a secret.
func ReadSecret(file config.SecretFile) (s Secret, err error) {
	text, err := file.Read()
	if err != nil {
		return s, err
	}
	raw, is := strings.CutPrefix(text, secretPrefix)
	b, err := base64.StdEncoding.DecodeString(raw)
	if !is || err != nil || len(b) != len(s.key) {
		return s, fmt.Errorf("%s holds no key store's secret, which begins with %s", file, secretPrefix)
	}
	copy(s.key[:], b)
	return s, nil
}

// LoadOrCreate makes the file of a secret in a directory if it is not there, and reads it.
func LoadOrCreate(dir string) (Secret, error) {
	file := filepath.Join(dir, SecretFile)
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return Secret{}, err
	}
	err := durable.Create(file, []byte(secretPrefix+base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return Secret{}, err
	}
	return ReadSecret(config.SecretFile(file))
}

func (s Secret) derive(purpose string, parts ...string) []byte {
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write([]byte(purpose))
	for _, p := range parts {
		_ = binary.Write(mac, binary.BigEndian, uint32(len(p))) //nolint:gosec // G115: short
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// pageOf returns the page of an owner's key at a tenant. There is another for the next key after one was destroyed.
func (s Secret) pageOf(tenant string, o erasable.Owner, generation uint32) (id erasable.PageID) {
	number := binary.BigEndian.AppendUint32(nil, generation)
	copy(id[:], s.derive("lockbox/v1 owner\n", string(number), tenant, o.Issuer, o.Subject, o.Address))
	return id
}

// page is a version of a page.
type page struct {
	id      erasable.PageID
	version int
	// sequence is where it is stored.
	sequence uint64
	// places are the keys; nil where one was destroyed.
	places []*erasable.Key
}

// newPage returns a page of so many new keys.
func newPage(id erasable.PageID, keys int) (*page, error) {
	p := &page{id: id, places: make([]*erasable.Key, keys)}
	for i := range p.places {
		p.places[i] = new(erasable.Key)
		if _, err := rand.Read(p.places[i][:]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *page) has(place uint8) bool { return int(place) < len(p.places) && p.places[place] != nil }

func nameOf(id erasable.PageID) string { return hex.EncodeToString(id[:]) }

// pageAt returns which version of which page a subject is for, without its keys.
func pageAt(subject string) (*page, error) {
	name, version, err := bus.ParseKeyPageSubject(subject)
	if err != nil {
		return nil, err
	}
	p := &page{version: version}
	if n, err := hex.Decode(p.id[:], []byte(name)[:min(len(name), 2*len(p.id))]); err != nil || n < len(p.id) ||
		nameOf(p.id) != name {
		return nil, fmt.Errorf("%s is no page of the key store", subject)
	}
	return p, nil
}

func (s Secret) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.derive("lockbox/v1 page\n"))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (p *page) bound() []byte {
	b := append([]byte("lockbox/v1 page\n"), p.id[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(p.version)) //nolint:gosec // G115: small
}

// encrypt returns the page as it is stored.
func (s Secret) encrypt(p *page) ([]byte, error) {
	var nonce [nonceSize]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	return s.encryptWith(nonce, p)
}

func (s Secret) encryptWith(nonce [nonceSize]byte, p *page) ([]byte, error) {
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(p.places)*placeSize)
	for place, key := range p.places {
		if key != nil {
			plain[place*placeSize] = inUse
			copy(plain[place*placeSize+1:], key[:])
		}
	}
	return aead.Seal(append([]byte{pageFormat}, nonce[:]...), nonce[:], plain, p.bound()), nil
}

// decrypt reads the keys of a page whose id and version are set.
func (s Secret) decrypt(p *page, stored []byte) error {
	aead, err := s.aead()
	if err != nil {
		return err
	}
	if len(stored) < 1+nonceSize || stored[0] != pageFormat {
		return errors.New("it is no page")
	}
	plain, err := aead.Open(nil, stored[1:1+nonceSize], stored[1+nonceSize:], p.bound())
	if err != nil || len(plain)%placeSize != 0 || len(plain) > mostPlaces*placeSize {
		return errors.New("it was encrypted with another secret, or changed")
	}
	for place := range len(plain) / placeSize {
		at := plain[place*placeSize:][:placeSize]
		switch {
		case at[0] == inUse:
			p.places = append(p.places, (*erasable.Key)(at[1:]))
		case [placeSize]byte(at) == [placeSize]byte{}:
			p.places = append(p.places, nil) // what was there is destroyed
		default:
			return errors.New("a place on it is neither a key nor empty")
		}
	}
	return nil
}
