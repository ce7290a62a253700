package identity

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	maxURL      = 255
	maxAudience = 255
	// maxAudiences limits those beside the first.
	maxAudiences = 8
	maxValues    = 20

	at = "create_tenant.issuer"
)

// CheckTenantIssuer refuses (INVALID) an issuer that a new tenant must not have: one whose URL is no plain one, whose
// keys are unusable, include private ones or are at an address that keys are not fetched from, or that is one of the
// provider's own in any spelling, because the provider's people could then decide for the customer (I10).
func CheckTenantIssuer(ti *lockboxv1.TenantIssuer, provider []Issuer) error {
	return refusal.First(TenantIssuerFaults(ti, provider)...)
}

// TenantIssuerFaults returns everything that CheckTenantIssuer refuses. Errors may be nil.
func TenantIssuerFaults(ti *lockboxv1.TenantIssuer, provider []Issuer) []error {
	if ti == nil {
		return []error{refusal.OfKind(refusal.Invalid(at, rule, "is required"), "issuer-required")}
	}
	faults := []error{checkTenantURL(ti, provider), nil, checkTenantAudiences(ti), checkTenantClaims(ti),
		checkTenantLimits(ti)}
	if !printableASCII(ti.GetAudience(), maxAudience) {
		faults[1] = refusal.Naming(
			refusal.Invalid(at+".audience", rule, "must be 1 to %d printable ASCII characters", maxAudience),
			"most", strconv.Itoa(maxAudience))
	}
	if u, ok := issuerName(ti.GetUrl()); ok {
		faults = append(faults, checkTenantKeys(ti, u))
	}
	return faults
}

// checkTenantURL refuses the name of an issuer that is no plain one, or one of the provider's own.
func checkTenantURL(ti *lockboxv1.TenantIssuer, provider []Issuer) error {
	u, ok := issuerName(ti.GetUrl())
	if !ok {
		return refusal.Naming(
			refusal.Invalid(at+".url", rule,
				"must be an https or http URL of at most %d characters without user, query or fragment", maxURL),
			"most", strconv.Itoa(maxURL))
	}
	for _, p := range provider {
		if ti.GetUrl() == p.URL {
			return refusal.Invalid(at+".url", "I10",
				"is the provider's own issuer; a tenant's people sign in with an issuer of their own")
		}
		if pu, ok := issuerName(p.URL); ok && canonical(pu) == canonical(u) {
			return refusal.Invalid(at+".url", "I10",
				"is the provider's own issuer in another spelling; a tenant's people sign in with an issuer of their own")
		}
	}
	return nil
}

// checkTenantAudiences refuses further audiences that no token can have.
func checkTenantAudiences(ti *lockboxv1.TenantIssuer) error {
	if len(ti.GetAudiences()) > maxAudiences {
		return refusal.OfKind(
			refusal.Invalid(at+".audiences", rule, "at most %d can be named", maxAudiences),
			"audiences-too-many", "most", strconv.Itoa(maxAudiences))
	}
	for _, a := range ti.GetAudiences() {
		if !printableASCII(a, maxAudience) {
			return refusal.Naming(
				refusal.Invalid(at+".audiences", rule, "must each be 1 to %d printable ASCII characters", maxAudience),
				"most", strconv.Itoa(maxAudience))
		}
	}
	switch id := ti.GetClientId(); {
	case id != "" && !printableASCII(id, maxAudience):
		return refusal.Naming(
			refusal.Invalid(at+".client_id", rule, "must be at most %d printable ASCII characters", maxAudience),
			"most", strconv.Itoa(maxAudience))
	case id == "" && ti.GetPrivateKeyJwt():
		return refusal.Invalid(at+".private_key_jwt", rule, "needs the portal's client_id")
	}
	return nil
}

// checkTenantClaims refuses names of claims and values that no token can have.
func checkTenantClaims(ti *lockboxv1.TenantIssuer) error {
	for _, c := range []struct{ name, claim, rule string }{
		{"human_claim", ti.GetHumanClaim(), "R51"}, {"subject_claim", ti.GetSubjectClaim(), rule},
		{"multi_factor_claim", ti.GetMultiFactorClaim(), rule}, {"groups_claim", ti.GetGroupsClaim(), groupRule},
		{"locale_claim", ti.GetLocaleClaim(), rule}, {"authentication_time_claim", ti.GetAuthenticationTimeClaim(), rule},
	} {
		if c.claim != "" && !printableASCII(c.claim, maxName) {
			return refusal.OfKind(
				refusal.Invalid(at+"."+c.name, c.rule, "must be the name of a claim, at most %d printable ASCII characters",
					maxName),
				"claim-name", "most", strconv.Itoa(maxName))
		}
	}
	for _, c := range []struct {
		name   string
		values []string
	}{{"multi_factor_methods", ti.GetMultiFactorMethods()}, {"multi_factor_classes", ti.GetMultiFactorClasses()}} {
		bad := func(v string) bool { return !printableASCII(v, maxName) }
		if len(c.values) > maxValues || slices.ContainsFunc(c.values, bad) {
			return refusal.OfKind(
				refusal.Invalid(at+"."+c.name, rule, "must be at most %d values of at most %d printable ASCII characters",
					maxValues, maxName),
				"claim-values", "most", strconv.Itoa(maxValues), "length", strconv.Itoa(maxName))
		}
	}
	return checkGroupMap(ti)
}

// tenantClaims returns how the claims of a tenant's issuer are read.
func tenantClaims(ti *lockboxv1.TenantIssuer) Claims {
	return Claims{
		Subject: ti.GetSubjectClaim(), Locale: ti.GetLocaleClaim(), AuthTime: ti.GetAuthenticationTimeClaim(),
		Human: ti.GetHumanClaim(), Groups: ti.GetGroupsClaim(),
		MultiFactor: MultiFactor{Claim: ti.GetMultiFactorClaim(), AMR: ti.GetMultiFactorMethods(),
			ACR: ti.GetMultiFactorClasses()},
	}
}

// checkTenantKeys requires a key set or the address of one. Only an issuer on this machine may publish its keys there.
func checkTenantKeys(ti *lockboxv1.TenantIssuer, issuer *url.URL) error {
	switch {
	case ti.GetJwksUrl() == "":
		keys, err := ParseKeys(ti.GetJwks())
		if err == nil {
			err = keys.Usable()
		}
		for _, k := range keys.PassedOver() {
			if k.Secret { // and would be kept for ever
				err = fmt.Errorf("%s", k)
			}
		}
		if err != nil {
			return refusal.Invalid(at+".jwks", rule, "%v", err)
		}
		return nil
	case len(ti.GetJwks()) > 0:
		return refusal.OfKind(
			refusal.Invalid(at+".jwks_url", rule, "must not be given together with a key set"),
			"keys-twice")
	}
	u, ok := issuerURL(ti.GetJwksUrl())
	if !ok || u.Scheme == "http" && !loopback(issuer.Hostname()) {
		return refusal.Naming(
			refusal.Invalid(at+".jwks_url", rule,
				"must be an https URL of at most %d characters (or http on a loopback address, as the issuer itself) "+
					"without user, query or fragment", maxURL),
			"most", strconv.Itoa(maxURL))
	}
	return nil
}

// issuerURL parses an address that keys may be fetched from.
func issuerURL(s string) (*url.URL, bool) {
	u, ok := issuerName(s)
	return u, ok && (u.Scheme == "https" || loopback(u.Hostname()))
}

// issuerName parses the name of an issuer. It may begin with http, as AD FS names itself: nothing is fetched from
// there.
func issuerName(s string) (*url.URL, bool) {
	if !printableASCII(s, maxURL) || strings.ContainsAny(s, " ?#\\") {
		return nil, false
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return nil, false
	}
	return u, u.Scheme == "https" || u.Scheme == "http"
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// canonical normalises a URL, so that spellings of the same address are equal: http or https, case of the host, default
// port, trailing dot or slash, escapes.
func canonical(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	port := u.Port()
	if port == "443" || port == "80" {
		port = ""
	}
	return host + ":" + port + strings.TrimRight(u.JoinPath().Path, "/")
}
