package identity

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	maxURL      = 255
	maxAudience = 255

	at = "create_tenant.issuer"
)

// CheckTenantIssuer refuses (INVALID) an issuer that a new tenant must not have: one whose URL is not plain https (or
// http on this machine), whose keys are unusable, include private ones or are at an address that keys are not fetched
// from, or that is one of the provider's own in any spelling, because the provider's people could then decide for the
// customer (I10).
func CheckTenantIssuer(ti *lockboxv1.TenantIssuer, provider []Issuer) error {
	if ti == nil {
		return refusal.Invalid(at, rule, "is required")
	}
	u, ok := issuerURL(ti.GetUrl())
	if !ok {
		return refusal.Invalid(at+".url", rule,
			"must be an https URL of at most %d characters (or http on a loopback address) without user, query or fragment",
			maxURL)
	}
	for _, p := range provider {
		if ti.GetUrl() == p.URL {
			return refusal.Invalid(at+".url", "I10",
				"is the provider's own issuer; a tenant's people sign in with an issuer of their own")
		}
		if pu, ok := issuerURL(p.URL); ok && canonical(pu) == canonical(u) {
			return refusal.Invalid(at+".url", "I10",
				"is the provider's own issuer in another spelling; a tenant's people sign in with an issuer of their own")
		}
	}
	if !printableASCII(ti.GetAudience(), maxAudience) {
		return refusal.Invalid(at+".audience", rule, "must be 1 to %d printable ASCII characters", maxAudience)
	}
	return checkTenantKeys(ti, u)
}

// checkTenantKeys requires a key set or the address of one. Only an issuer on this machine may publish its keys there.
func checkTenantKeys(ti *lockboxv1.TenantIssuer, issuer *url.URL) error {
	switch {
	case ti.GetJwksUrl() == "":
		if _, err := ParseKeys(ti.GetJwks()); err != nil {
			return refusal.Invalid(at+".jwks", rule, "%v", err)
		}
		return nil
	case len(ti.GetJwks()) > 0:
		return refusal.Invalid(at+".jwks_url", rule, "must not be given together with a key set")
	}
	u, ok := issuerURL(ti.GetJwksUrl())
	if !ok || u.Scheme == "http" && !loopback(issuer.Hostname()) {
		return refusal.Invalid(at+".jwks_url", rule,
			"must be an https URL of at most %d characters (or http on a loopback address, as the issuer itself) without user, query or fragment", maxURL)
	}
	return nil
}

func issuerURL(s string) (*url.URL, bool) {
	if !printableASCII(s, maxURL) || strings.ContainsAny(s, " ?#\\") {
		return nil, false
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return nil, false
	}
	return u, u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// canonical normalises a URL, so that spellings of the same address are equal: case of the host, default port, trailing
// dot or slash, escapes.
func canonical(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return host + ":" + port + strings.TrimRight(u.JoinPath().Path, "/")
}
