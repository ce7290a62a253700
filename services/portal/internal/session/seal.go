package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// record is the plaintext of a session in the bucket.
type record struct {
	used time.Time // last use
	end  time.Time // absolute expiry
	data []byte
}

const (
	purpose    = "lockbox portal session 1"
	headerSize = 16 // used and end, in nanoseconds
)

// keyOf returns a session's key in the bucket. Neither the token nor the encryption key can be derived from it.
func keyOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// sealing returns AES-256-GCM with a key derived from the token, so that only its holder can decrypt. The token is 256
// random bits, so the derivation needs no salt.
func sealing(token string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(token), nil, purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func seal(token string, r record) ([]byte, error) {
	aead, err := sealing(token)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, 0, headerSize+len(r.data))
	plain = binary.BigEndian.AppendUint64(plain, uint64(r.used.UnixNano()))         // #nosec G115 -- converted back
	plain = binary.BigEndian.AppendUint64(plain, uint64(r.end.UnixNano()))          // #nosec G115
	return aead.Seal(nil, nil, append(plain, r.data...), []byte(keyOf(token))), nil // #nosec G407 -- random nonce
}

// unseal returns false for data that was not sealed with this token.
func unseal(token string, sealed []byte) (record, bool) {
	aead, err := sealing(token)
	if err != nil {
		return record{}, false
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(keyOf(token)))
	if err != nil || len(plain) < headerSize {
		return record{}, false
	}
	at := func(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b))) } // #nosec G115
	return record{used: at(plain), end: at(plain[8:]), data: plain[headerSize:]}, true
}
