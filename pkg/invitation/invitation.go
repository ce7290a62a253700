// Package invitation makes and reads the links by which people are invited to roles, and the codes that go with the
// first one of a customer (R66). Command line and portal use it: Lockbox itself learns neither secret nor code, only a
// hash of the proof, and the proof once somebody redeems the invitation.
package invitation

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

const (
	rule = "R66"

	secretLength = 32 // bytes
	// rounds make it expensive to try codes with a link that leaked and the hash that is in the stream: 2^17 rounds and
	// the 60 bits of a code are about 2^77 hashes.
	rounds = 1 << 17

	codeLength = 12
	// letters can be read aloud: base 32 without I, L, O and U.
	letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// page is the portal's page below a tenant's pages.
const page = "invitation"

// Secret is the secret of an invitation's link.
type Secret [secretLength]byte

// New makes a secret.
func New() (s Secret) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// String is the secret as a link has it: 43 letters, digits, `-` and `_`.
func (s Secret) String() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// Link returns the link to the portal's page. The secret is behind the `#`, which browsers keep to themselves: it
// reaches neither the portal's log nor that of a proxy, nor a Referer. Without a portal it is the secret alone.
func (s Secret) Link(portal, tenant string) string {
	if portal == "" {
		return s.String()
	}
	return portalurl.To(portal, tenant, page) + "#" + s.String()
}

// Parse reads a link, or the secret alone. It refuses (INVALID) what is neither, without repeating it.
func Parse(field, link string) (s Secret, err error) {
	link = strings.TrimSpace(link)
	data, err := base64.RawURLEncoding.Strict().DecodeString(link[strings.LastIndexByte(link, '#')+1:])
	if err != nil || len(data) != secretLength {
		return s, refusal.OfKind(
			refusal.Invalid(field, rule,
				"is no invitation link: copy the whole link, up to its end; it ends with a # and 43 characters"),
			"invitation-link")
	}
	copy(s[:], data)
	return s, nil
}

// NewCode makes a code that can be read aloud, of 60 bits: three groups of four.
func NewCode() string {
	var random [codeLength]byte
	_, _ = rand.Read(random[:]) // never fails
	var code strings.Builder
	for i, b := range random {
		if i > 0 && i%4 == 0 {
			code.WriteByte('-')
		}
		code.WriteByte(letters[int(b)%len(letters)])
	}
	return code.String()
}

// alike are the letters that are read as digits, and what people put between the groups.
var alike = strings.NewReplacer("O", "0", "I", "1", "L", "1", "-", "", " ", "", "\u00a0", "")

// Proof derives what an invitation is redeemed by from the link's secret and the code, which is empty where none was
// given. How a code is spelled does not matter: case, groups, and O for 0 or I and L for 1.
func (s Secret) Proof(code string) ([]byte, error) {
	proof, err := pbkdf2.Key(sha256.New, alike.Replace(strings.ToUpper(code)), s[:], rounds, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	return proof, nil
}

// Hash returns what of the secret and the code becomes part of the invitation.
func (s Secret) Hash(code string) ([]byte, error) {
	proof, err := s.Proof(code)
	hash := sha256.Sum256(proof)
	return hash[:], err
}

// Tenant returns the tenant whose page a link leads to; empty if it is the secret alone.
func Tenant(link string) string {
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil || u.Host == "" {
		return ""
	}
	rest, of := strings.CutPrefix(u.Path, "/t/")
	id, is := strings.CutSuffix(rest, "/"+page)
	if !of || !is || strings.Contains(id, "/") {
		return ""
	}
	return id
}
