package approval

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"slices"
)

// A publicKey verifies one signature algorithm; signatures are as WebAuthn has them.
type publicKey interface {
	verify(message, signature []byte) bool
}

type edKey ed25519.PublicKey

func (k edKey) verify(message, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(ed25519.PublicKey(k), message, signature)
}

type ecKey struct{ *ecdsa.PublicKey }

// verify takes a signature in DER only, as crypto/ecdsa does; r and s are from 1 to below the curve's order.
func (k ecKey) verify(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(k.PublicKey, sum[:], signature)
}

type rsaKey struct{ *rsa.PublicKey }

func (k rsaKey) verify(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return rsa.VerifyPKCS1v15(k.PublicKey, crypto.SHA256, sum[:], signature) == nil
}

// smallOrder are the y-coordinates of Ed25519's points of small order, and the other spellings of them, without the
// sign of x. With such a key, anybody can make a signature that holds for many messages.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
}

func newEdKey(raw []byte) (publicKey, error) {
	y := slices.Clone(raw)
	y[31] &= 0x7f
	if slices.Contains(smallOrder, hex.EncodeToString(y)) {
		return nil, refuse("public", RuleKey, "a point of small order, for which anybody can sign")
	}
	// What is no point of the curve verifies nothing, so it cannot prove that anybody possesses it.
	return edKey(slices.Clone(raw)), nil
}

func newECKey(point []byte) (publicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, refuse("public", RuleKey, "no point of the curve P-256")
	}
	return ecKey{key}, nil
}

// newRSAKey takes what platform authenticators make: 2048, 3072 or 4096 bits, and the exponent 65537.
func newRSAKey(modulus []byte) (publicKey, error) {
	if modulus[0] < 0x80 || modulus[len(modulus)-1]&1 == 0 {
		return nil, refuse("public", RuleKey, "a modulus that is shorter than it says, or even")
	}
	return rsaKey{&rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}}, nil
}

// COSE keys (RFC 9052 §7) in the only spelling that CTAP2 lets an authenticator give them: what stands around the
// numbers is always the same, so nothing has to be parsed.
var (
	coseES256 = [][]byte{{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 0x20}, {0x22, 0x58, 0x20}}
	coseEdDSA = []byte{0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 0x20}
	coseRS256 = []byte{0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59}
	exponent  = []byte{0x21, 0x43, 1, 0, 1}
)

func parseCOSE(key []byte) (publicKey, error) {
	if rest, is := bytes.CutPrefix(key, coseES256[0]); is && len(rest) == 32+3+32 {
		if y, is := bytes.CutPrefix(rest[32:], coseES256[1]); is {
			return newECKey(slices.Concat([]byte{4}, rest[:32], y))
		}
	}
	if rest, is := bytes.CutPrefix(key, coseEdDSA); is && len(rest) == 32 {
		return newEdKey(rest)
	}
	if rest, is := bytes.CutPrefix(key, coseRS256); is && len(rest) > 2 {
		size := int(rest[0])<<8 | int(rest[1])
		modulus, is := bytes.CutSuffix(rest[2:], exponent)
		if is && len(modulus) == size && (size == 256 || size == 384 || size == 512) {
			return newRSAKey(modulus)
		}
	}
	return nil, refuse("public", RuleKey, "not a COSE key for ES256, EdDSA or RS256 in CTAP2's canonical form")
}
