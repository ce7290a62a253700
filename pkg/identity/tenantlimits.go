package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// MaxAuthorities is the maximum size of the certificates of a tenant issuer's authorities (PEM), in bytes.
const MaxAuthorities = 16 << 10

// checkTenantLimits refuses limits beyond those that the provider's own issuers can be configured with, and authorities
// that nothing can be verified with.
func checkTenantLimits(ti *lockboxv1.TenantIssuer) error {
	leeway := ti.GetLeeway()
	switch {
	case leeway != nil && (leeway.GetNanos() != 0 || leeway.GetSeconds() < 0 ||
		leeway.GetSeconds() > int64(MaxLeeway/time.Second)):
		return refusal.Naming(
			refusal.Invalid(at+".leeway", rule, "must be whole seconds, at most %d minutes", MaxLeeway/time.Minute),
			"within", MaxLeeway.String())
	case ti.GetTokenMaxBytes() > MaxToken:
		return refusal.Naming(refusal.Invalid(at+".token_max_bytes", rule, "must be at most %d", MaxToken),
			"most", strconv.Itoa(MaxToken))
	case ti.GetJwksMaxBytes() > MostJWKS:
		return refusal.Naming(refusal.Invalid(at+".jwks_max_bytes", rule, "must be at most %d", MostJWKS),
			"most", strconv.Itoa(MostJWKS))
	case len(ti.GetAuthorities()) == 0:
		return nil
	}
	if _, err := Authorities(ti.GetAuthorities()); err != nil {
		return refusal.Invalid(at+".authorities", rule, "%v", err)
	}
	return nil
}

// Limits are what a tenant's issuer may do otherwise than usual; 0 means as usual.
type Limits struct {
	// Leeway is how far its clock may be ahead.
	Leeway time.Duration
	// Token and Keys are the maximum sizes of a token and of the published key set, in bytes.
	Token, Keys int
}

// UnusualLimits returns the recorded limits that differ from the usual ones, for people to see.
func UnusualLimits(ti *lockboxv1.TenantIssuer) Limits {
	l := Limits{ti.GetLeeway().AsDuration(), int(ti.GetTokenMaxBytes()), int(ti.GetJwksMaxBytes())}
	if l.Leeway == Leeway {
		l.Leeway = 0
	}
	if l.Token == UsualToken {
		l.Token = 0
	}
	if l.Keys == MaxJWKS {
		l.Keys = 0
	}
	return l
}

// Authorities reads the certificates of authorities (PEM). It fails if there is none, if one cannot be used, and if
// there is anything else, such as a private key, because what is recorded is kept for ever.
func Authorities(text []byte) ([]*x509.Certificate, error) {
	if len(text) > MaxAuthorities {
		return nil, fmt.Errorf("must be at most %d bytes of certificates", MaxAuthorities)
	}
	var list []*x509.Certificate
	begin := []byte("-----BEGIN ")
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		read := rest[:len(rest)-len(after)] // Decode skips what it does not understand
		rest = after
		switch {
		case block == nil || len(block.Headers) > 0 || !bytes.HasPrefix(read, begin) || bytes.Count(read, begin) > 1:
			return nil, errors.New("must be certificates (PEM) and nothing else")
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("must be certificates only, and there is a %.40q", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(list)+1, err)
		case c.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm:
			return nil, fmt.Errorf("certificate %d has a key of an unknown kind", len(list)+1)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("holds no certificate")
	}
	return list, nil
}

// AuthorityPool returns the authorities recorded of an issuer for its servers' certificates; nil, the system's, if
// there are none. It fails as Authorities does.
func AuthorityPool(text []byte) (*x509.CertPool, error) {
	if len(text) == 0 {
		return nil, nil //nolint:nilnil // as crypto/tls has it
	}
	list, err := Authorities(text)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool, nil
}

// Authority is a certificate authority as people are shown it.
type Authority struct {
	// Name is its subject, as it names itself, cleaned for display.
	Name string
	// SHA256 is the certificate's fingerprint, as openssl writes it.
	SHA256 string
	// Until is when the certificate ends.
	Until time.Time
}

// ShownAuthorities returns the authorities recorded of an issuer; none if they cannot be read, which is never recorded.
func ShownAuthorities(ti *lockboxv1.TenantIssuer) (shown []Authority) {
	list, err := Authorities(ti.GetAuthorities())
	if err != nil {
		return nil
	}
	for _, c := range list {
		sum := strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(c.Raw)), " ", ":")
		shown = append(shown, Authority{displayName(c.Subject.String()), sum, c.NotAfter})
	}
	return shown
}
