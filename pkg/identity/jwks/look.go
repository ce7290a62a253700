package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Found is what an issuer publishes about itself, and whether it fits what is to be recorded of it.
type Found struct {
	// Discovery is the address of the issuer's discovery document.
	Discovery string `json:"discovery"`
	// KeysAt is where its keys are published: as is to be recorded, or according to that document.
	KeysAt string `json:"keys_at"`
	// Keys are the ids of its keys that tokens can be verified with.
	Keys []string `json:"keys"`
	// Remarks are what is unusual, but may be meant.
	Remarks []string `json:"remarks,omitempty"`
}

// The fields that Look's refusals name.
const (
	fieldURL     = "issuer.url"
	fieldKeys    = "issuer.jwks"
	fieldKeysURL = "issuer.jwks_url"
	rule         = "R13"
)

// Look fetches a tenant issuer's discovery document and key set, under the same restrictions as ForTenants, before the
// issuer is recorded, with the limits and authorities to be recorded. It refuses (INVALID) an issuer whose tokens would
// not be accepted, and (UNAVAILABLE) one that does not answer.
func Look(ctx context.Context, ti *lockboxv1.TenantIssuer) (Found, error) {
	issuer, jwksURL, fixed := ti.GetUrl(), ti.GetJwksUrl(), ti.GetJwks()
	ctx, cancel := context.WithTimeout(ctx, 2*fetchTimeout)
	defer cancel()
	s, err := forTenant(ti, nil, nil)
	if err != nil {
		return Found{}, refusal.Invalid(fieldURL, rule, "%v", err)
	}
	if !allowed(issuer) { // AD FS names itself with http, and nothing is fetched from there
		f := Found{KeysAt: jwksURL, Remarks: []string{
			"the issuer names itself with http, so its own discovery document was not looked at"}}
		err = f.fetch(ctx, s)
		return f, err
	}
	f := Found{Discovery: discoveryOf(issuer)}
	said, err := s.document(ctx)
	if err != nil {
		return f, unreachable(fieldURL, err)
	}
	if said.Issuer != issuer {
		return f, otherIssuer(issuer, said.Issuer)
	}
	if f.KeysAt, err = s.keysAt(said); err != nil {
		return f, refusal.Invalid(fieldKeysURL, rule, "%v", err)
	}
	if jwksURL != "" && jwksURL != f.KeysAt {
		f.Remarks = append(f.Remarks, "the issuer itself says that its keys are at "+f.KeysAt)
		f.KeysAt = jwksURL
	}
	if err = f.fetch(ctx, s); err == nil && len(fixed) > 0 {
		err = f.compare(fixed)
	}
	return f, err
}

// fetch looks at the keys that are published.
func (f *Found) fetch(ctx context.Context, s *Source) error {
	published, err := s.get(ctx, f.KeysAt, int64(s.config.MaxBytes))
	if err != nil {
		return unreachable(fieldKeysURL, err)
	}
	set, err := identity.ParseKeysUpTo(published, s.config.MaxBytes)
	if err == nil {
		err = set.Usable()
	}
	if err != nil {
		return refusal.Invalid(fieldKeysURL, rule, "what %s publishes cannot be used: %v", f.KeysAt, err)
	}
	f.Keys = set.IDs()
	for _, k := range set.PassedOver() {
		f.Remarks = append(f.Remarks, "a key is passed over, "+k.String())
	}
	return nil
}

// compare holds the keys to be recorded against those that are published.
func (f *Found) compare(fixed []byte) error {
	set, err := identity.ParseKeys(fixed)
	if err != nil {
		return refusal.Invalid(fieldKeys, rule, "%v", err)
	}
	shared := 0
	for _, id := range set.IDs() {
		if slices.Contains(f.Keys, id) {
			shared++
		} else {
			f.Remarks = append(f.Remarks, fmt.Sprintf("the issuer does not publish the key %q", id))
		}
	}
	if shared == 0 {
		return refusal.Invalid(fieldKeys, rule, "the issuer publishes none of these keys, but %s", quoted(f.Keys))
	}
	f.Remarks = append(f.Remarks,
		"the keys are recorded as they are: when the issuer replaces them, nobody can sign in until the record is changed")
	return nil
}

func quoted(list []string) string {
	if len(list) > 5 {
		list = append(list[:5:5], "…")
	}
	return fmt.Sprintf("%q", list)
}

// otherIssuer refuses an issuer whose discovery document names another one. Tokens are compared byte for byte, so a
// slash makes a difference.
func otherIssuer(wanted, said string) error {
	if strings.TrimRight(wanted, "/") == strings.TrimRight(said, "/") {
		return refusal.Invalid(fieldURL, rule,
			"the issuer calls itself %.250q: its tokens carry exactly that, and the slash at the end counts", said)
	}
	return refusal.Invalid(fieldURL, rule, "the issuer calls itself %.250q, so its tokens would not be accepted as %q",
		said, wanted)
}

// unreachable says why an address did not answer as it should.
func unreachable(field string, err error) error {
	var status *statusError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &status) && status.code == http.StatusNotFound:
		return refusal.Invalid(field, rule,
			"there is nothing at %s (404); write the issuer as its own documentation or its tokens (iss) name it, path included",
			status.at)
	case errors.As(err, &status) && status.code >= 300 && status.code < 400:
		return refusal.Invalid(field, rule,
			"%s leads elsewhere (%d), and that is not followed; write the issuer as its tokens (iss) name it", status.at,
			status.code)
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verification):
		return refusal.Invalid(field, rule, "the certificate of its server is not accepted: %v", err)
	}
	return refusal.Unavailable(field, rule, "cannot be reached: %v", err)
}

// statusError is another answer than 200.
type statusError struct {
	at   string
	code int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answers %d (redirects are not followed)", e.at, e.code)
}

// discovered are the members of a discovery document that are used here.
type discovered struct {
	Issuer string `json:"issuer"`
	JWKS   string `json:"jwks_uri"`
}

func discoveryOf(issuer string) string {
	return strings.TrimRight(issuer, "/") + "/.well-known/openid-configuration"
}

// document fetches the issuer's discovery document (OpenID Connect Discovery 1.0 §4).
func (s *Source) document(ctx context.Context) (discovered, error) {
	at := discoveryOf(s.config.Issuer)
	raw, err := s.get(ctx, at, maxDiscovery)
	if err != nil {
		return discovered{}, err
	}
	var d discovered
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fmt.Errorf("%s is not a discovery document", at)
	}
	return d, nil
}

// keysAt returns the address of the keys that a discovery document names.
func (s *Source) keysAt(d discovered) (string, error) {
	if !allowed(d.JWKS) || strings.HasPrefix(s.config.Issuer, "https:") && !strings.HasPrefix(d.JWKS, "https:") {
		return "", fmt.Errorf("%s says that its keys are at %.200q, where none are fetched from",
			discoveryOf(s.config.Issuer), d.JWKS)
	}
	return d.JWKS, nil
}
