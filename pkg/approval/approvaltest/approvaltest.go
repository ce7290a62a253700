// Package approvaltest makes keys and signatures for tests: authenticators of WebAuthn, and keys of SSH with and
// without hardware, without any hardware. The same name gives the same key, and the same statement the same
// signature, so that what is made with it can be kept in files.
package approvaltest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"

	"github.com/openlockbox/lockbox/pkg/approval"
)

// Algorithms of keys.
const (
	ES256     = "ES256"
	EdDSA     = "EdDSA"
	RS256     = "RS256"
	Ed25519   = "ssh-ed25519"
	ECDSA     = "ecdsa-sha2-nistp256"
	SKEd25519 = "sk-ssh-ed25519@openssh.com"
	SKECDSA   = "sk-ecdsa-sha2-nistp256@openssh.com"
)

// Algorithms are all of them.
var Algorithms = []string{ES256, EdDSA, RS256, Ed25519, ECDSA, SKEd25519, SKECDSA}

// Flags of authenticators.
const (
	UP byte = 0x01
	UV byte = 0x04
	BE byte = 0x08
	BS byte = 0x10
)

const application = "ssh:"

// Key is a private key, and what its authenticator says when it signs. Change the fields to make it lie.
type Key struct {
	approval.Key
	Algorithm string
	Flags     byte
	Counter   uint32
	// Party and Origin are whom an authenticator of WebAuthn signs for, and where.
	Party, Origin string
	// Type, CrossOrigin and Extra are parts of the client data; Extra follows crossOrigin.
	Type, CrossOrigin, Extra string
	// Namespace, Reserved and Hash are parts of an SSHSIG; an empty Namespace is the format's.
	Namespace, Reserved, Hash string
	// Tail follows the authenticator data.
	Tail []byte
	// Number writes one of the two numbers of an ECDSA signature of SSH.
	Number func(n *big.Int) string
	// SignatureType is the algorithm that a signature of SSH says it is of.
	SignatureType string

	signer crypto.Signer
}

// New makes the key of that name.
func New(name, algorithm string) *Key {
	seed := sha256.Sum256([]byte("lockbox test key " + name + " " + algorithm))
	k := &Key{Algorithm: algorithm, Flags: UP | UV, Counter: 7, Hash: "sha512", SignatureType: algorithm,
		Number: mpint}
	var point []byte
	switch algorithm {
	case EdDSA, Ed25519, SKEd25519:
		private := ed25519.NewKeyFromSeed(seed[:])
		k.signer, point = private, private[32:]
	case ES256, ECDSA, SKECDSA:
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
		must(err)
		point, err = private.PublicKey.Bytes()
		must(err)
		k.signer = private
	case RS256:
		k.signer = rsaKey(name)
	default:
		panic(algorithm)
	}
	switch algorithm {
	case ES256, EdDSA, RS256:
		credential := sha256.Sum256(append(seed[:], "credential"...))
		k.Party, k.Origin = "portal.bank.example", "https://portal.bank.example"
		k.Type, k.CrossOrigin = "webauthn.get", "false"
		k.Key = approval.Key{Kind: approval.KindWebAuthn, Public: encode(cose(k.signer, point)),
			Credential: encode(credential[:]), RelyingParty: k.Party, Origins: []string{k.Origin}, Verification: 1}
	default:
		blob := text([]byte(nil), algorithm)
		if algorithm == ECDSA || algorithm == SKECDSA {
			blob = text(blob, "nistp256")
		}
		blob = text(blob, string(point))
		if k.hardware() {
			blob = text(blob, application)
		}
		k.Key = approval.Key{Kind: approval.KindSSH, Public: encode(blob), Origins: []string{}}
		if k.hardware() {
			k.Verification = 1
		}
	}
	return k
}

func (k *Key) hardware() bool { return k.Algorithm == SKEd25519 || k.Algorithm == SKECDSA }

// ID is the key's id.
func (k *Key) ID() string {
	id, err := k.Key.ID()
	must(err)
	return id
}

// Sign signs a statement of a format.
func (k *Key) Sign(format string, statement []byte) approval.Signature {
	challenge := approval.Digest(format, statement)
	return k.SignClientData(format, statement, fmt.Appendf(nil,
		`{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":%s%s}`, k.Type, encode(challenge[:]), k.Origin, k.CrossOrigin,
		k.Extra))
}

// SignClientData signs as Sign does, with any client data; a key of SSH has none.
func (k *Key) SignClientData(format string, statement, client []byte) approval.Signature {
	s := approval.Signature{Key: k.ID()}
	if k.Kind == approval.KindSSH {
		s.Bytes = encode(k.SSHSIG(format, statement))
		return s
	}
	party, hash := sha256.Sum256([]byte(k.Party)), sha256.Sum256(client)
	authenticator := append(binary.BigEndian.AppendUint32(append(party[:], k.Flags), k.Counter), k.Tail...)
	s.AuthenticatorData, s.ClientData = encode(authenticator), encode(client)
	s.Bytes = encode(k.raw(slices.Concat(authenticator, hash[:])))
	return s
}

// Signed is a statement with signatures of some keys, in their order.
func Signed(format string, statement []byte, keys ...*Key) approval.Signed {
	s := approval.Signed{Statement: string(statement)}
	for _, k := range keys {
		s.Signatures = append(s.Signatures, k.Sign(format, statement))
	}
	slices.SortFunc(s.Signatures, func(a, b approval.Signature) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return s
}

// SSHSIG signs as ssh-keygen -Y sign does, without the armor.
func (k *Key) SSHSIG(format string, message []byte) []byte {
	namespace := k.Namespace
	if namespace == "" {
		namespace = approval.Namespace(format)
	}
	sum512, sum256 := sha512.Sum512(message), sha256.Sum256(message)
	sum := sum512[:]
	if k.Hash == "sha256" {
		sum = sum256[:]
	}
	inner := k.SignData(text([]byte("SSHSIG"), namespace, k.Reserved, k.Hash, string(sum)))
	blob := binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1)
	return text(blob, string(k.PublicBytes()), namespace, k.Reserved, k.Hash, string(inner))
}

// SignData signs data as ssh-agent does: the signature in SSH's wire format.
func (k *Key) SignData(signed []byte) []byte {
	var tail []byte
	if k.hardware() {
		app, hash := sha256.Sum256([]byte(application)), sha256.Sum256(signed)
		tail = binary.BigEndian.AppendUint32([]byte{k.Flags}, k.Counter)
		signed = slices.Concat(app[:], tail, hash[:])
	}
	raw := k.raw(signed)
	if k.Algorithm == ECDSA || k.Algorithm == SKECDSA {
		var n struct{ R, S *big.Int }
		_, err := asn1.Unmarshal(raw, &n)
		must(err)
		raw = text(nil, k.Number(n.R), k.Number(n.S))
	}
	return append(text(nil, k.SignatureType, string(raw)), tail...)
}

// PublicBytes are the bytes of the public key.
func (k *Key) PublicBytes() []byte {
	b, err := base64.RawURLEncoding.DecodeString(k.Public)
	must(err)
	return b
}

// AuthorizedKey is the key as a line of an allowed_signers file has it, behind the name.
func (k *Key) AuthorizedKey() string {
	return k.Algorithm + " " + base64.StdEncoding.EncodeToString(k.PublicBytes())
}

// Signer is the private key.
func (k *Key) Signer() crypto.Signer { return k.signer }

// raw signs as WebAuthn has it. Without chance, the same message has the same signature (RFC 6979).
func (k *Key) raw(message []byte) []byte {
	if _, is := k.signer.(ed25519.PrivateKey); is {
		signature, err := k.signer.Sign(nil, message, crypto.Hash(0))
		must(err)
		return signature
	}
	sum := sha256.Sum256(message)
	signature, err := k.signer.Sign(nil, sum[:], crypto.SHA256)
	must(err)
	return signature
}

func cose(signer crypto.Signer, point []byte) []byte {
	if key, is := signer.(*rsa.PrivateKey); is {
		n := key.N.Bytes()
		head := []byte{0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, byte(len(n) >> 8), byte(len(n))} // #nosec G115 -- 256 bytes
		return slices.Concat(head, n, []byte{0x21, 0x43, 1, 0, 1})
	}
	if len(point) == 32 {
		return append([]byte{0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32}, point...)
	}
	x, y := []byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, []byte{0x22, 0x58, 32}
	return slices.Concat(x, point[1:33], y, point[33:])
}

func text(to []byte, texts ...string) []byte {
	for _, s := range texts {
		to = append(binary.BigEndian.AppendUint32(to, uint32(len(s))), s...) // #nosec G115 -- short
	}
	return to
}

func mpint(n *big.Int) string {
	b := n.Bytes()
	if b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return string(b)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
