package identity

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1" // #nosec G505 -- only a name of a certificate (RFC 7517 §4.8)
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// webKey is one member of a key set (RFC 7517 §4), as far as it could be read.
type webKey struct {
	publicKey
	// material identifies the key whatever its other members say: a modulus, or a point of a curve.
	material string
	// why the key cannot be used; the zero value: it can.
	why flaw
	// secret means that private or symmetric key material is there, betrays of which keys.
	secret  bool
	betrays []string
}

// flaw is why a key cannot be used: in words, and as a code with the parameters of its sentence.
type flaw struct {
	text  string
	code  lockboxv1.ReasonCode
	pairs []string
}

func (f flaw) found() bool { return f.text != "" }

func (f flaw) because(code lockboxv1.ReasonCode, pairs ...string) flaw {
	f.code, f.pairs = code, pairs
	return f
}

func flawed(format string, args ...any) flaw { return flaw{text: fmt.Sprintf(format, args...)} }

// members are those of a key. Absent, null and empty ones are the same: some issuers write all members that exist.
type members map[string]json.RawMessage

// text returns a member that is a text; ok is false if it is something else.
func (m members) text(name string) (s string, ok bool) {
	raw, given := m[name]
	if !given || string(raw) == "null" {
		return "", true
	}
	return s, json.Unmarshal(raw, &s) == nil
}

func (m members) has(name string) bool {
	switch string(m[name]) {
	case "", "null", `""`, "[]":
		return false
	}
	return true
}

// curves are the elliptic curves of keys, each with its only algorithm (RFC 7518 §3.4).
var curves = map[string]struct {
	elliptic.Curve
	algorithm jose.SignatureAlgorithm
}{
	"P-256": {elliptic.P256(), jose.ES256}, "P-384": {elliptic.P384(), jose.ES384}, "P-521": {elliptic.P521(), jose.ES512},
}

// suits reports whether an algorithm is for this type of key and its curve.
func suits(key any, alg jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return curves[k.Params().Name].algorithm == alg
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	case *rsa.PublicKey:
		return slices.Contains(algorithms, alg) && (alg[0] == 'R' || alg[0] == 'P')
	}
	return false
}

// readKey reads one key, and says why if it cannot be used.
func readKey(raw json.RawMessage) *webKey {
	k := &webKey{}
	var m members
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		k.why = flawed("it is not an object, or has a member twice").because(keyMalformed)
		return k
	}
	texts := map[string]string{}
	for _, name := range []string{"kid", "kty", "use", "alg", "crv"} {
		s, ok := m.text(name)
		if !ok && !k.why.found() {
			k.why = flawed("its `%s` is not a text", name).because(partMalformed, "part", name)
		}
		texts[name] = s
	}
	k.kid = texts["kid"]
	k.readMaterial(m, texts["kty"], texts["crv"])
	if k.readSecret(m, texts["kty"], texts["crv"]); k.secret {
		k.why = flawed("it holds private or symmetric key material; replace it, for it is no secret any more").
			because(keyNotSecret)
		return k
	}
	if !k.why.found() {
		k.why = k.purpose(m, texts["use"], texts["alg"])
	}
	if k.why.found() {
		return k
	}
	sum, err := (&jose.JSONWebKey{Key: k.key}).Thumbprint(crypto.SHA256)
	if err != nil {
		k.why = flawed("it is malformed").because(keyMalformed)
		return k
	}
	k.thumbprint = string(sum)
	k.readThumbs(m)
	return k
}

// readMaterial reads the public key.
func (k *webKey) readMaterial(m members, kty, crv string) {
	var why flaw
	switch kty {
	case "RSA":
		why = k.readRSA(m)
	case "EC":
		why = k.readEC(m, crv)
	case "OKP":
		why = k.readEd25519(m, crv)
	case "":
		why = flawed("it has no type (`kty`)").because(partMalformed, "part", "kty")
	default:
		why = flawed("its type (`kty`) %.40q is not used here", kty).
			because(keyOfUnusedKind, "part", "kty", "says", quoted(kty))
	}
	if !k.why.found() {
		k.why = why
	}
}

// bytes reads a member that is a number in base64.
func (m members) bytes(name string) ([]byte, bool) {
	s, ok := m.text(name)
	if !ok || s == "" {
		return nil, false
	}
	b, err := decode(s)
	return b, err == nil && len(b) > 0
}

func (k *webKey) readRSA(m members) flaw {
	n, ok := m.bytes("n")
	if !ok {
		return flawed("its modulus (`n`) is malformed").because(partMalformed, "part", "n")
	}
	modulus := new(big.Int).SetBytes(n)
	k.material = "RSA " + modulus.Text(16)
	e, ok := m.bytes("e")
	exponent := new(big.Int).SetBytes(e)
	switch {
	case !ok || exponent.BitLen() > 31 || exponent.Bit(0) == 0 || exponent.Cmp(big.NewInt(3)) < 0:
		return flawed("its exponent (`e`) is malformed").because(partMalformed, "part", "e")
	case modulus.BitLen() < minRSABits || modulus.BitLen() > maxRSABits:
		return flawed("it has %d bits; %d to %d are used", modulus.BitLen(), minRSABits, maxRSABits).because(keyOfUnusedSize,
			"bits", strconv.Itoa(modulus.BitLen()), "least", strconv.Itoa(minRSABits), "most", strconv.Itoa(maxRSABits))
	case modulus.Bit(0) == 0:
		return flawed("its modulus (`n`) is malformed").because(partMalformed, "part", "n")
	}
	k.key = &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
	return flaw{}
}

// readEC reads a point. Leading zero bytes of its coordinates may be missing, although RFC 7518 §6.2.1.2 demands them:
// Debian's glewlwyd drops them.
func (k *webKey) readEC(m members, crv string) flaw {
	curve, known := curves[crv]
	if !known {
		return unusedCurve(crv)
	}
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed
	for _, name := range []string{"x", "y"} {
		b, ok := m.bytes(name)
		c := new(big.Int).SetBytes(b)
		if !ok || c.BitLen() > 8*size {
			return flawed("its coordinate `%s` is malformed", name).because(partMalformed, "part", name)
		}
		point = append(point, c.FillBytes(make([]byte, size))...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve.Curve, point)
	if err != nil {
		return flawed("its point is not on its curve").because(keyMalformed)
	}
	k.key, k.material = key, pointOf(crv, point)
	return flaw{}
}

func (k *webKey) readEd25519(m members, crv string) flaw {
	if crv != "Ed25519" {
		return unusedCurve(crv)
	}
	x, ok := m.bytes("x")
	if !ok || len(x) != ed25519.PublicKeySize {
		return flawed("its point (`x`) is malformed").because(partMalformed, "part", "x")
	}
	k.key, k.material = ed25519.PublicKey(x), pointOf(crv, x)
	return flaw{}
}

func unusedCurve(crv string) flaw {
	return flawed("its curve (`crv`) %.40q is not used here", crv).
		because(keyOfUnusedKind, "part", "crv", "says", quoted(crv))
}

// quoted is what a foreign key says, in a form that can be shown; "-" if that is nothing.
func quoted(said string) string { return cmp.Or(strings.Trim(fmt.Sprintf("%.40q", said), `"`), "-") }

func pointOf(crv string, point []byte) string { return crv + " " + string(point) }

// readSecret looks for private and symmetric key material. It inspects all types of key, because one that is not used
// here can be private too. The key that a private one opens is computed where that is easy, in case the set names
// another beside it.
func (k *webKey) readSecret(m members, kty, crv string) {
	k.secret = kty == "oct"
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		k.secret = k.secret || m.has(name)
	}
	if !k.secret {
		return
	}
	if k.material != "" {
		k.betrays = append(k.betrays, k.material)
	}
	d, _ := m.bytes("d")
	switch curve, known := curves[crv]; {
	case kty == "EC" && known:
		size := (curve.Params().BitSize + 7) / 8
		if scalar := new(big.Int).SetBytes(d); scalar.BitLen() <= 8*size {
			if private, err := ecdsa.ParseRawPrivateKey(curve.Curve, scalar.FillBytes(make([]byte, size))); err == nil {
				if point, err := private.PublicKey.Bytes(); err == nil {
					k.betrays = append(k.betrays, pointOf(crv, point))
				}
			}
		}
	case kty == "OKP" && crv == "Ed25519" && len(d) == ed25519.SeedSize:
		if public, ok := ed25519.NewKeyFromSeed(d).Public().(ed25519.PublicKey); ok {
			k.betrays = append(k.betrays, pointOf(crv, public))
		}
	case kty == "RSA":
		p, has := m.bytes("p")
		q, both := m.bytes("q")
		if has && both && len(p)+len(q) <= maxRSABits/4 {
			n := new(big.Int).Mul(new(big.Int).SetBytes(p), new(big.Int).SetBytes(q))
			k.betrays = append(k.betrays, "RSA "+n.Text(16))
		}
	}
}

// purpose returns why the key is not for signatures with an algorithm of ours.
func (k *webKey) purpose(m members, use, alg string) flaw {
	if use != "" && use != "sig" {
		return flawed("it is not for signatures (its `use` is %.40q)", use).because(keyNotForSignatures, "part", "use")
	}
	if m.has("key_ops") {
		var operations []string
		if json.Unmarshal(m["key_ops"], &operations) != nil || !slices.Contains(operations, "verify") {
			return flawed("it is not for verifying signatures (`key_ops`)").because(keyNotForSignatures, "part", "key_ops")
		}
	}
	if alg == "Ed25519" { // RFC 9864 names what EdDSA with this curve is
		alg = string(jose.EdDSA)
	}
	if alg != "" && !suits(k.key, jose.SignatureAlgorithm(alg)) {
		return flawed("its algorithm (`alg`) %.40q is not used here with such a key", alg).
			because(keyOfUnusedKind, "part", "alg", "says", quoted(alg))
	}
	k.algorithm = alg
	return flaw{}
}

// readThumbs reads the thumbprints of the key's certificate, and computes them if the certificate is there and is the
// key's. Nothing else is taken from it: an issuer vouches for its keys by publishing them.
func (k *webKey) readThumbs(m members) {
	add := func(list *[]string, thumb string) {
		if thumb != "" && !slices.Contains(*list, thumb) {
			*list = append(*list, thumb)
		}
	}
	x5t, _ := m.text("x5t")
	x5t256, _ := m.text("x5t#S256")
	add(&k.x5t, plainThumb(x5t))
	add(&k.x5t256, plainThumb(x5t256))
	var chain []string
	if json.Unmarshal(m["x5c"], &chain) != nil || len(chain) == 0 {
		return
	}
	der, err := decode(chain[0])
	if err != nil {
		return
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return
	}
	if public, ok := k.key.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(certificate.PublicKey) {
		return
	}
	short, long := sha1.Sum(der), sha256.Sum256(der) // #nosec G401 -- only a name
	add(&k.x5t, base64.RawURLEncoding.EncodeToString(short[:]))
	add(&k.x5t256, base64.RawURLEncoding.EncodeToString(long[:]))
}

// plainThumb writes a thumbprint as RFC 7515 does.
func plainThumb(s string) string {
	if b, err := decode(s); err == nil {
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return s
}
