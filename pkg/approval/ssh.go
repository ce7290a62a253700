package approval

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
)

// Algorithms of SSH keys that are accepted, and their signatures.
const (
	sshEd25519   = "ssh-ed25519"
	sshECDSA     = "ecdsa-sha2-nistp256"
	sshSKEd25519 = "sk-ssh-ed25519@openssh.com"
	sshSKECDSA   = "sk-ecdsa-sha2-nistp256@openssh.com"
)

const (
	sshMagic = "SSHSIG"
	// sshApplication is how the application of a security key begins: no web page can have its signatures made.
	sshApplication = "ssh:"
	sshFlags       = flagUP | flagUV | flagBE | flagBS
)

// wire reads SSH's data types (RFC 4251 §5).
type wire struct {
	rest []byte
	bad  bool
}

func (w *wire) take(n uint64) []byte {
	if w.bad || n > uint64(len(w.rest)) {
		w.bad = true
		return nil
	}
	taken := w.rest[:n]
	w.rest = w.rest[n:]
	return taken
}

func (w *wire) u32() uint32 {
	if b := w.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (w *wire) text() []byte { return w.take(uint64(w.u32())) }

// over reports whether everything was read, and nothing else stands there.
func (w *wire) over() bool { return !w.bad && len(w.rest) == 0 }

func appendSSH(to []byte, texts ...string) []byte {
	for _, s := range texts {
		to = append(binary.BigEndian.AppendUint32(to, uint32(len(s))), s...) // #nosec G115 -- all are short
	}
	return to
}

func parseSSHKey(blob []byte) (key publicKey, application string, err error) {
	w := wire{rest: blob}
	algorithm := string(w.text())
	switch algorithm {
	case sshEd25519, sshSKEd25519:
		raw := w.text()
		if len(raw) != 32 {
			return nil, "", refuse("public", RuleKey, "no key of Ed25519")
		}
		key, err = newEdKey(raw)
	case sshECDSA, sshSKECDSA:
		if string(w.text()) != "nistp256" {
			return nil, "", refuse("public", RuleKey, "not the curve P-256")
		}
		key, err = newECKey(w.text())
	default:
		return nil, "", refuse("public", RuleKey, "%q is not accepted", algorithm)
	}
	if algorithm == sshSKEd25519 || algorithm == sshSKECDSA {
		application = string(w.text())
		if !strings.HasPrefix(application, sshApplication) {
			return nil, "", refuse("public", RuleKey, "the application %q is not one of SSH", application)
		}
	}
	if err == nil && !w.over() {
		err = refuse("public", RuleKey, "not in SSH's wire format")
	}
	return key, application, err
}

// verifySSH verifies a signature of OpenSSH's format SSHSIG over a message, and returns a security key's counter.
func (k opened) verifySSH(s Signature, namespace string, message []byte) (counter uint32, err error) {
	if s.AuthenticatorData != "" || s.ClientData != "" {
		return 0, refuse("authenticatorData", RuleForm, "is not part of a signature of SSH")
	}
	blob, err := decode64("signature", s.Bytes, 2048)
	if err != nil {
		return 0, err
	}
	rest, is := bytes.CutPrefix(blob, []byte(sshMagic))
	w := wire{rest: rest}
	version, public, space, reserved, hash, inner := w.u32(), w.text(), w.text(), w.text(), w.text(), w.text()
	switch {
	case !is || !w.over() || version != 1:
		return 0, refuse("signature", RuleForm, "no SSHSIG of version 1")
	case base64url.EncodeToString(public) != k.Public:
		return 0, refuse("signature.publickey", RuleStranger, "is another key")
	case string(space) != namespace:
		return 0, refuse("signature.namespace", RuleNamespace, "%q is not %s", space, namespace)
	case len(reserved) != 0:
		return 0, refuse("signature.reserved", RuleReserved, "is not empty")
	case string(hash) != "sha512":
		return 0, refuse("signature.hash_algorithm", RuleHash, "%q is not sha512", hash)
	}
	sum := sha512.Sum512(message)
	signed := appendSSH([]byte(sshMagic), namespace, "", "sha512", string(sum[:]))
	return k.verifySSHSignature(inner, signed)
}

func (k opened) verifySSHSignature(inner, signed []byte) (counter uint32, err error) {
	w := wire{rest: inner}
	algorithm, raw := string(w.text()), w.text()
	of := wire{rest: must64(k.Public)}
	if algorithm != string(of.text()) {
		return 0, refuse("signature.signature", RuleAlgorithm, "%q is not that of the key", algorithm)
	}
	var flags byte
	if k.hardware() {
		if b := w.take(1); b != nil {
			flags = b[0]
		}
		counter = w.u32()
	}
	if !w.over() {
		return 0, refuse("signature.signature", RuleForm, "not in SSH's wire format")
	}
	if k.hardware() {
		switch {
		case flags&^sshFlags != 0:
			return 0, refuse("signature.flags", RuleFlags, "%#02x are not those of a signature", flags)
		case flags&flagUP == 0:
			return 0, refuse("signature.flags", RulePresence, "nobody touched the key")
		case k.Verification == 1 && flags&flagUV == 0:
			return 0, refuse("signature.flags", RuleVerification, "the user was not verified")
		}
		application, message := sha256.Sum256([]byte(k.application)), sha256.Sum256(signed)
		signed = binary.BigEndian.AppendUint32(append(application[:], flags), counter)
		signed = append(signed, message[:]...)
	}
	if _, is := k.public.(ecKey); is {
		if raw, err = derOf(raw); err != nil {
			return 0, err
		}
	}
	if !k.public.verify(signed, raw) {
		return 0, refuse("signature", RuleSignature, "not the key's over these bytes")
	}
	return counter, nil
}

// derOf makes DER of the two numbers of an ECDSA signature of SSH, each in its only spelling.
func derOf(raw []byte) ([]byte, error) {
	w := wire{rest: raw}
	var numbers struct{ R, S *big.Int }
	for _, number := range []**big.Int{&numbers.R, &numbers.S} {
		b := w.text()
		if len(b) == 0 || len(b) > 33 || b[0] >= 0x80 || b[0] == 0 && (len(b) == 1 || b[1] < 0x80) {
			return nil, refuse("signature.signature", RuleForm, "no two positive numbers")
		}
		*number = new(big.Int).SetBytes(b)
	}
	if !w.over() {
		return nil, refuse("signature.signature", RuleForm, "more than two numbers")
	}
	der, err := asn1.Marshal(numbers)
	if err != nil {
		return nil, refuse("signature.signature", RuleForm, "%v", err)
	}
	return der, nil
}

// must64 decodes what was decoded before.
func must64(s string) []byte {
	b, err := base64url.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

const (
	armorBegin = "-----BEGIN SSH SIGNATURE-----\n"
	armorEnd   = "-----END SSH SIGNATURE-----\n"
	armorWidth = 70 // columns, as ssh-keygen writes it
)

// Armor writes a signature of SSH as ssh-keygen does, for a file that ssh-keygen -Y verify reads.
func Armor(blob []byte) []byte {
	out := []byte(armorBegin)
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(blob)), armorWidth) {
		out = append(append(out, line...), '\n')
	}
	return append(out, armorEnd...)
}

// Unarmor reads a signature that ssh-keygen -Y sign wrote.
func Unarmor(text []byte) ([]byte, error) {
	inner, begins := strings.CutPrefix(strings.ReplaceAll(string(text), "\r\n", "\n"), armorBegin)
	inner, ends := strings.CutSuffix(inner, armorEnd)
	blob, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(inner, "\n", ""))
	if !begins || !ends || err != nil || len(blob) == 0 {
		return nil, refuse("signature", RuleForm, "no armored signature of SSH")
	}
	return blob, nil
}
