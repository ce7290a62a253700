package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// algorithms are the accepted signature algorithms. Symmetric ones are absent: every verifier could forge tokens.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256, jose.PS256}

const (
	// MaxJWKS is the maximum size of a key set, in bytes.
	MaxJWKS    = 32 << 10
	maxKeys    = 64
	minRSABits = 2048
	maxRSABits = 8192 // a larger key costs more to verify with than a token is worth
)

// ErrNotKeySet means that the input is not a JSON Web Key Set, or is too long. Other errors of ParseKeys mean that it
// is one, but that none of its keys may be trusted.
var ErrNotKeySet = errors.New("is not a JSON Web Key Set")

// KeySet holds an issuer's public keys by `kid`. It is immutable. An empty or nil KeySet verifies nothing.
type KeySet struct{ keys map[string]publicKey }

func (s *KeySet) find(kid string) (publicKey, bool) {
	if s == nil {
		return publicKey{}, false
	}
	k, known := s.keys[kid]
	return k, known
}

type publicKey struct {
	key any // *ecdsa.PublicKey on P-256, ed25519.PublicKey or *rsa.PublicKey
	// algorithm is the only one the issuer allows for this key; empty: any that fits.
	algorithm string
}

// fits reports whether an algorithm may be used with this type of key, so that a public RSA key is never used as a
// shared secret.
func (k publicKey) fits(alg jose.SignatureAlgorithm) bool {
	if k.algorithm != "" && k.algorithm != string(alg) {
		return false
	}
	switch k.key.(type) {
	case *ecdsa.PublicKey:
		return alg == jose.ES256
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	case *rsa.PublicKey:
		return alg == jose.RS256 || alg == jose.PS256
	}
	return false
}

// ParseKeys reads a key set (RFC 7517 §5). A private or symmetric key in it is an error, because it is no longer
// secret. Keys for other purposes or unsupported algorithms are skipped; at least one key must remain.
func ParseKeys(jwks []byte) (*KeySet, error) {
	if len(jwks) > MaxJWKS {
		return nil, fmt.Errorf("its key set %w: it is %d bytes long, and at most %d are read", ErrNotKeySet, len(jwks),
			MaxJWKS)
	}
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil || set.Keys == nil {
		return nil, fmt.Errorf("its key set %w", ErrNotKeySet)
	}
	if len(*set.Keys) > maxKeys {
		return nil, fmt.Errorf("its key set holds %d keys; at most %d are read", len(*set.Keys), maxKeys)
	}
	keys := make(map[string]publicKey)
	for i, raw := range *set.Keys {
		if secret(raw) {
			return nil, fmt.Errorf("key %d of its key set holds private or symmetric key material; replace that key, for it is no secret any more", i+1)
		}
		var jwk jose.JSONWebKey
		if err := json.Unmarshal(raw, &jwk); errors.Is(err, jose.ErrUnsupportedKeyType) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("key %d of its key set is malformed", i+1)
		}
		if !usable(jwk) {
			continue
		}
		if _, twice := keys[jwk.KeyID]; twice {
			return nil, fmt.Errorf("key %d of its key set has the kid of another", i+1)
		}
		keys[jwk.KeyID] = publicKey{key: jwk.Key, algorithm: jwk.Algorithm}
	}
	if len(keys) == 0 {
		return nil, errors.New("its key set holds no public key with a kid that fits ES256, EdDSA, RS256 or PS256")
	}
	return &KeySet{keys}, nil
}

// secret reports whether a key has private members. It inspects the raw JSON, because a key of an unsupported type can
// be private too.
func secret(raw json.RawMessage) bool {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return false // malformed; the caller detects that
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, has := members[name]; has {
			return true
		}
	}
	return string(members["kty"]) == `"oct"`
}

func usable(jwk jose.JSONWebKey) bool {
	if jwk.KeyID == "" || (jwk.Use != "" && jwk.Use != "sig") {
		return false
	}
	switch k := jwk.Key.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits && k.E >= 3 && k.E%2 == 1
	}
	return false
}
