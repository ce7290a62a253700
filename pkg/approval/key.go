package approval

import (
	"slices"
	"strings"
)

// Kinds of keys.
const (
	KindWebAuthn = "webauthn"
	KindSSH      = "ssh"
)

// Key is a public key as it is enrolled.
type Key struct {
	// Kind is KindWebAuthn or KindSSH.
	Kind string `json:"kind"`
	// Public is the COSE key, or the public key of SSH's wire format; base64url without padding, as are all bytes here.
	Public string `json:"public"`
	// Credential is the id of WebAuthn's credential; empty for SSH.
	Credential string `json:"credential"`
	// RelyingParty is the host for which the credential was made; empty for SSH.
	RelyingParty string `json:"relyingParty"`
	// Origins are the exact origins at which it may be used, in the order of their bytes; none for SSH.
	Origins []string `json:"origins"`
	// Backup is 1 if the credential may be copied to other devices (a synced passkey), and 0 if it cannot be.
	Backup uint64 `json:"backup"`
	// Verification is 1 if the authenticator must verify its user each time: always for WebAuthn, and as it was enrolled
	// for a security key of SSH.
	Verification uint64 `json:"verification"`
}

// ID is the key's id: a hash of all of it, in hexadecimal digits.
func (k Key) ID() (string, error) {
	text, err := k.Bytes()
	if err != nil {
		return "", err
	}
	return hash64("lockbox-key/v1", text), nil
}

// Bytes is the key's one spelling. It refuses one that could not sign.
func (k Key) Bytes() ([]byte, error) {
	if _, err := k.open(); err != nil {
		return nil, err
	}
	return canonical(k)
}

// opened is a key that is ready to verify.
type opened struct {
	Key
	public publicKey
	// application is that of a security key of SSH; empty for other keys.
	application string
	credential  []byte
}

// hardware reports whether the key is one of SSH that lives in a security key.
func (k opened) hardware() bool { return k.application != "" }

func (k Key) open() (o opened, err error) {
	o.Key = k
	public, err := decode64("public", k.Public, 1024)
	if err != nil {
		return o, err
	}
	if k.Backup > 1 || k.Verification > 1 {
		return o, refuse("backup", RuleKey, "backup and verification are 0 or 1")
	}
	switch k.Kind {
	case KindWebAuthn:
		if o.credential, err = decode64("credential", k.Credential, 1023); err != nil {
			return o, err
		}
		if err := k.checkParty(); err != nil {
			return o, err
		}
		if k.Verification != 1 {
			return o, refuse("verification", RuleKey, "a key of WebAuthn always verifies its user")
		}
		o.public, err = parseCOSE(public)
	case KindSSH:
		if k.Credential != "" || k.RelyingParty != "" || len(k.Origins) != 0 || k.Backup != 0 {
			return o, refuse("kind", RuleKey, "a key of SSH has no credential, relying party, origin or backup")
		}
		if o.public, o.application, err = parseSSHKey(public); err == nil && !o.hardware() && k.Verification != 0 {
			err = refuse("verification", RuleKey, "only a security key verifies its user")
		}
	default:
		err = refuse("kind", RuleKey, "%q is no kind of key", k.Kind)
	}
	return o, err
}

const maxOrigins = 4

// checkParty checks relying party and origins: each origin is of exactly that host, since a parent domain has pages of
// others. Only localhost, which no other machine can be, may do without TLS.
func (k Key) checkParty() error {
	host := k.RelyingParty
	if !isHost(host) {
		return refuse("relyingParty", RuleKey, "%q is no host name in lower case", host)
	}
	if len(k.Origins) == 0 || len(k.Origins) > maxOrigins || !slices.IsSorted(k.Origins) ||
		len(slices.Compact(slices.Clone(k.Origins))) != len(k.Origins) {
		return refuse("origins", RuleKey, "are 1 to %d in the order of their bytes, each once", maxOrigins)
	}
	for _, origin := range k.Origins {
		rest, secure := strings.CutPrefix(origin, "https://")
		if !secure && host == "localhost" {
			rest, _ = strings.CutPrefix(origin, "http://")
		}
		port, ok := strings.CutPrefix(rest, host)
		if !ok || rest == origin || port != "" && !isPort(port, secure) {
			return refuse("origins", RuleKey, "%q is no origin of %s", origin, host)
		}
	}
	return nil
}

// isPort reports whether it is a port as browsers write it behind a host: never the scheme's own.
func isPort(s string, secure bool) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' || s[1] == '0' {
		return false
	}
	n := 0
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return n <= 65535 && (secure && n != 443 || !secure && n != 80)
}

// isHost reports whether it is a domain's name, and no address: the last label does not begin with a digit.
func isHost(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		ok := l != "" && len(l) <= 63 && l[0] != '-' && l[len(l)-1] != '-'
		for i := 0; ok && i < len(l); i++ {
			ok = l[i] >= 'a' && l[i] <= 'z' || l[i] >= '0' && l[i] <= '9' || l[i] == '-'
		}
		if !ok {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(s) <= 253 && (last[0] < '0' || last[0] > '9') && (len(labels) > 1 || s == "localhost")
}
