// Package erasable encrypts what can be erased from events that are stored for ever: details of people, and what they
// wrote (R63). Whoever destroys a key makes unreadable what was encrypted with it, in every copy of the stream, and
// changes no event: signatures and proofs are over the encrypted values. The format is in pkg/merkle/FORMATS.md.
//
// The package is pure. Where keys are, and how they are destroyed, is in package keystore.
package erasable

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// A Key encrypts the details of one person at one tenant, one mail address there, or the texts of one event.
type Key [32]byte

// KeyID says where a key is: on which page of the key store, and at which place there, counted from 0.
type KeyID struct {
	Page  PageID
	Place uint8
}

// PageID is the name of a page: random, or derived from whose key it holds.
type PageID [12]byte

const (
	// mark begins an encrypted value. No text that is taken in has such a character.
	mark = "\x02"

	idSize    = len(PageID{}) + 1
	nonceSize = 12
	tagSize   = 16
)

// ErrDamaged means that an encrypted value does not open with its key: it was changed, or is of another key.
var ErrDamaged = errors.New("erasable: the value does not open with its key")

var encoding = base64.RawURLEncoding.Strict() // which passes over line feeds

// Bytes returns the id as it is recorded.
func (id KeyID) Bytes() []byte { return append(id.Page[:], id.Place) }

// ParseKeyID is the inverse of Bytes; false if the bytes are no id.
func ParseKeyID(b []byte) (id KeyID, is bool) {
	if len(b) != idSize {
		return id, false
	}
	copy(id.Page[:], b)
	id.Place = b[idSize-1]
	return id, true
}

// Encrypt returns the encrypted value. The same text under the same key gives the same value.
func Encrypt(id KeyID, key Key, text string) string {
	aead := aeadOf(key)
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("lockbox/v1 nonce\n" + text))
	b := append(id.Bytes(), mac.Sum(nil)[:nonceSize]...)
	return mark + encoding.EncodeToString(aead.Seal(b, b[idSize:], []byte(text), bound(id)))
}

// KeyOf returns which key a value is encrypted with; false if it is not encrypted.
func KeyOf(value string) (KeyID, bool) {
	id, _, is := parse(value)
	return id, is
}

// Decrypt is the inverse of Encrypt. It returns ErrDamaged if the value is not encrypted with the key.
func Decrypt(value string, key Key) (string, error) {
	id, b, is := parse(value)
	if !is {
		return "", ErrDamaged
	}
	text, err := aeadOf(key).Open(nil, b[:nonceSize], b[nonceSize:], bound(id))
	if err != nil {
		return "", ErrDamaged
	}
	return string(text), nil
}

func parse(value string) (id KeyID, rest []byte, is bool) {
	coded, marked := strings.CutPrefix(value, mark)
	if !marked {
		return id, nil, false
	}
	b, err := encoding.DecodeString(coded)
	if err != nil || len(b) < idSize+nonceSize+tagSize || encoding.EncodeToString(b) != coded {
		return id, nil, false
	}
	id, is = ParseKeyID(b[:idSize])
	return id, b[idSize:], is
}

func aeadOf(key Key) cipher.AEAD {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("lockbox/v1 value\n"))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic(err) // not with 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // not with AES
	}
	return aead
}

func bound(id KeyID) []byte { return append([]byte("lockbox/v1 erasable\n"), id.Bytes()...) }
