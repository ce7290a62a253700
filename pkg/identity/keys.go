package identity

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/reason"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// algorithms are the accepted signature algorithms. Symmetric ones are absent: every verifier could forge tokens.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// algorithmsAre names them for people.
const algorithmsAre = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA"

const (
	// MaxJWKS is the maximum size of a key set, in bytes, unless an issuer is configured otherwise: ten keys with the
	// certificates of their authorities.
	MaxJWKS = 128 << 10
	// MostJWKS is the largest maximum that can be configured.
	MostJWKS = 1 << 20

	// maxNamesakes is how many keys of one kid are tried, so that a key set cannot make tokens expensive to verify.
	maxNamesakes = 16
	minRSABits   = 2048
	maxRSABits   = 8192 // a larger key costs more to verify with than a token is worth
)

// ErrNotKeySet means that the input is not a JSON Web Key Set, or is too long.
var ErrNotKeySet = errors.New("is not a JSON Web Key Set")

// KeySet holds the keys of an issuer that can be used, and says which were passed over. It is immutable. An empty or
// nil KeySet verifies nothing.
type KeySet struct {
	keys   []publicKey
	passed []PassedKey
}

// PassedKey is a key of a set that is not used.
type PassedKey struct {
	// Number is its place in the set, from 1.
	Number int
	// KeyID is its `kid`; empty if it has none.
	KeyID string
	// Why completes the sentence "it is passed over because ...".
	Why string
	// Reason says the same as a code, for readers of other languages.
	Reason *lockboxv1.Reason
	// Secret means that the set gives away the key's private part.
	Secret bool
}

// String names the key and the reason; it is safe to show.
func (p PassedKey) String() string {
	if p.KeyID == "" {
		return fmt.Sprintf("key %d: %s", p.Number, p.Why)
	}
	return fmt.Sprintf("key %d (%.100q): %s", p.Number, p.KeyID, p.Why)
}

// Same reports whether another is passed over in the same place for the same reason.
func (p PassedKey) Same(other PassedKey) bool {
	return p.String() == other.String() && p.KeyID == other.KeyID && p.Secret == other.Secret
}

// Len returns the number of keys that can be used.
func (s *KeySet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// PassedOver returns the keys that are not used, in the order of the set.
func (s *KeySet) PassedOver() []PassedKey {
	if s == nil {
		return nil
	}
	return slices.Clone(s.passed)
}

// IDs returns the ids of the keys that can be used, sorted: the `kid`, or the thumbprint of a key without one.
func (s *KeySet) IDs() []string {
	if s == nil {
		return nil
	}
	ids := make([]string, 0, len(s.keys))
	for _, k := range s.keys {
		ids = append(ids, cmp.Or(k.kid, base64.RawURLEncoding.EncodeToString([]byte(k.thumbprint))))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Usable returns an error that says why no key can be used, nil if one can.
func (s *KeySet) Usable() error {
	switch {
	case s.Len() > 0:
		return nil
	case len(s.PassedOver()) == 0:
		return errors.New("its key set holds no key")
	}
	var why []string
	for i, p := range s.passed {
		if i == 5 {
			why = append(why, fmt.Sprintf("and %d more", len(s.passed)-i))
			break
		}
		why = append(why, p.String())
	}
	return fmt.Errorf("its key set holds no key that can be used (%s)", strings.Join(why, "; "))
}

// MarshalJSON writes the keys that can be used as a JSON Web Key Set, which ParseKeys reads as an equal one. It holds
// nothing secret, whatever the set was read from.
func (s *KeySet) MarshalJSON() ([]byte, error) {
	keys := []map[string]any{}
	for _, k := range s.keys {
		raw, err := json.Marshal(jose.JSONWebKey{Key: k.key, KeyID: k.kid, Algorithm: k.algorithm, Use: "sig"})
		if err != nil {
			return nil, err
		}
		m := map[string]any{}
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, err
		}
		if len(k.x5t) > 0 {
			m["x5t"] = k.x5t[0]
		}
		if len(k.x5t256) > 0 {
			m["x5t#S256"] = k.x5t256[0]
		}
		keys = append(keys, m)
	}
	return json.Marshal(map[string]any{"keys": keys})
}

// publicKey is a key that can be used.
type publicKey struct {
	key any // *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
	kid string
	// x5t and x5t256 are the thumbprints of its certificate (RFC 7517 §4.8 and 4.9): other names of it.
	x5t, x5t256 []string
	// algorithm is the only one the issuer allows for this key; empty: any that fits.
	algorithm string
	// thumbprint is the same for equal keys (RFC 7638).
	thumbprint string
}

// ParseKeys reads a key set (RFC 7517 §5). A key that cannot be used is passed over and never affects another, except
// that a key whose private part is published anywhere in the set is not trusted wherever it occurs. The only error is
// ErrNotKeySet: a set without a usable key is an empty one, because an issuer that has replaced its keys by others has
// withdrawn them, whether or not we understand those others.
func ParseKeys(jwks []byte) (*KeySet, error) { return ParseKeysUpTo(jwks, MaxJWKS) }

// ParseKeysUpTo is ParseKeys for an issuer with a maximum size of its own.
func ParseKeysUpTo(jwks []byte, limit int) (*KeySet, error) {
	if len(jwks) > limit {
		return nil, fmt.Errorf("its key set %w: it is %d bytes long, and at most %d are read", ErrNotKeySet, len(jwks), limit)
	}
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(jwks, []byte("\ufeff")), &set); err != nil || set.Keys == nil {
		return nil, fmt.Errorf("its key set %w", ErrNotKeySet)
	}
	s := &KeySet{}
	read := make([]*webKey, len(*set.Keys))
	betrayed := map[string]bool{}
	for i, raw := range *set.Keys {
		read[i] = readKey(raw)
		for _, material := range read[i].betrays {
			betrayed[material] = true
		}
	}
	for i, k := range read {
		why := k.why
		switch {
		case why.found():
		case betrayed[k.material]:
			why = flawed("its private part is published in the same key set; replace it, for it is no secret any more").
				because(keyNotSecret)
			k.secret = true
		default:
			why = s.add(k.publicKey)
		}
		if why.found() {
			s.passed = append(s.passed, passedKey(i+1, k, why))
		}
	}
	return s, nil
}

func passedKey(number int, k *webKey, why flaw) PassedKey {
	named := strconv.Itoa(number)
	if k.kid != "" {
		named = fmt.Sprintf("%d, %.100q", number, k.kid)
	}
	return PassedKey{Number: number, KeyID: k.kid, Why: why.text, Secret: k.secret,
		Reason: reason.Of(why.code, append([]string{"key", named}, why.pairs...)...)}
}

// add adds a key, or returns why not.
func (s *KeySet) add(k publicKey) flaw {
	namesakes := 0
	for i := range s.keys {
		other := &s.keys[i]
		if other.kid != k.kid || k.kid == "" {
			continue // without a kid they are never tried one after the other
		}
		if namesakes++; namesakes == maxNamesakes {
			return flawed("%d others have its `kid`", maxNamesakes).
				because(tooManyNamesakes, "most", strconv.Itoa(maxNamesakes))
		}
		if other.thumbprint != k.thumbprint {
			continue
		}
		if other.algorithm == k.algorithm || other.algorithm == "" {
			other.x5t, other.x5t256 = append(other.x5t, k.x5t...), append(other.x5t256, k.x5t256...)
			return flaw{} // the same once more
		}
	}
	s.keys = append(s.keys, k)
	return flaw{}
}

// names are what a token's header says about the key that signed it.
type names struct {
	kid, x5t, x5t256 string
	algorithm        jose.SignatureAlgorithm
}

// choice is which keys of a set a token may be signed with.
type choice struct {
	keys []publicKey
	// named means that the set has a key of that name, fitting or not; a newer set need not be fetched.
	named bool
}

// choose returns the keys that fit the token: those of its kid; if no key has that, those of its certificate's
// thumbprint; and if neither names a key, the only key that fits, which must not have a kid of its own if the token
// names one (OpenID Connect Core 1.0 §10.1 demands a kid only where there are several).
func (s *KeySet) choose(n names) choice {
	if s == nil {
		return choice{}
	}
	for _, is := range []func(publicKey) bool{
		func(k publicKey) bool { return n.kid != "" && k.kid == n.kid },
		func(k publicKey) bool {
			return n.x5t256 != "" && slices.Contains(k.x5t256, n.x5t256) || n.x5t != "" && slices.Contains(k.x5t, n.x5t)
		},
	} {
		var c choice
		for _, k := range s.keys {
			if is(k) {
				c.named = true
				if k.fits(n.algorithm) {
					c.keys = append(c.keys, k)
				}
			}
		}
		if c.named {
			return c
		}
	}
	var only []publicKey
	for _, k := range s.keys {
		if !k.fits(n.algorithm) || n.kid != "" && k.kid != "" {
			continue
		}
		if len(only) > 0 && only[0].thumbprint != k.thumbprint {
			return choice{}
		}
		only = append(only, k)
	}
	return choice{keys: only[:min(len(only), 1)]}
}

// fitting counts the keys that fit an algorithm.
func (s *KeySet) fitting(alg jose.SignatureAlgorithm) (n int) {
	if s == nil {
		return 0
	}
	for _, k := range s.keys {
		if k.fits(alg) {
			n++
		}
	}
	return n
}

// fits reports whether an algorithm may be used with this type of key, so that a public RSA key is never used as a
// shared secret.
func (k publicKey) fits(alg jose.SignatureAlgorithm) bool {
	return (k.algorithm == "" || k.algorithm == string(alg)) && suits(k.key, alg)
}

// decode reads base64 as issuers write it: without padding in the alphabet for URLs, as RFC 7515 demands, or otherwise.
func decode(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "=")))
}
