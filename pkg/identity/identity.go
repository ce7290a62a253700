// Package identity turns a token (a JWT) into the Actor that an event records: who is asking, for which side, and how
// they signed in (R13). It trusts only the issuers and keys it is given; it fetches nothing itself (package jwks does),
// stores no token, and takes the time from its callers.
//
// What a token must be:
//   - a compact JWS of at most 16 KB, signed with RS256 to RS512, PS256 to PS512, ES256 to ES512 or EdDSA by the key of
//     the issuer's own set that its `kid` names or, if no key has that, its `x5t`. A token that names none is taken if
//     only one key fits it. Keys and key addresses inside the token (jwk, jku, x5c, x5u) are never used.
//   - of type JWT, at+jwt or none.
//   - from a trusted `iss` (compared byte for byte), with that issuer's audience.
//   - valid now: at the instant of `exp` it has expired; `nbf`, `iat` and `auth_time` may lie up to Leeway in the
//     future, or as much as its issuer is configured for.
//
// Claims are read as issuers write them: see Claims. Who somebody is, when the token ends and what may take rights away
// is read strictly; everything else that has an odd form counts as not said, and never keeps anybody out.
package identity

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// MaxToken is the maximum size of any token, in bytes.
	MaxToken = 48 << 10
	// UsualToken is that of issuers which are not configured otherwise.
	UsualToken = 16 << 10
	// Leeway is how far an issuer's clock may be ahead in `nbf`, `iat` and `auth_time`. There is none for `exp`: a token
	// that expired a nanosecond ago is refused. It is the default.
	Leeway = 2 * time.Second
	// MaxLeeway is the most that an issuer can be configured with.
	MaxLeeway = 5 * time.Minute
)

// The field and rule that every refusal of a token names.
const (
	field = "token"
	rule  = "R13"
)

// Sizes of the caches of results and of parsed tenant issuers; they hold at most twice as many entries.
const (
	rememberedTokens  = 8192
	rememberedIssuers = 1024
)

// Issuer is a trusted issuer of tokens for one side.
type Issuer struct {
	// URL is compared with the token's `iss`, byte for byte.
	URL string
	// Audience must be among the token's `aud`.
	Audience string
	// Audiences are others that will do as well.
	Audiences []string
	// JWKS is a JSON Web Key Set (RFC 7517) of public keys.
	JWKS []byte
	// Source provides the keys instead of JWKS if the issuer rotates them.
	Source Source
	Side   lockboxv1.Side
	// Groups are the groups kept in the actor of a provider's token; all others are dropped. Empty means the groups that
	// package aggregate defines.
	Groups []string
	// Claims maps this issuer's claims; the zero value means the defaults.
	Claims Claims
	// Leeway is used instead of the default unless it is 0, MaxToken instead of UsualToken.
	Leeway   time.Duration
	MaxToken int
}

// Source provides the keys of an issuer that rotates them; see package jwks.
type Source interface {
	// Keys returns the keys trusted now; nil if none were fetched yet, or not recently enough. It returns the same set as
	// long as the keys do not change.
	Keys() *KeySet
	// Renew fetches the keys again, unless that was just tried, and returns those trusted afterwards. It may take several
	// seconds.
	Renew() *KeySet
}

// TenantKeys opens the source of the keys of a tenant's issuer at the address that is recorded. It is called repeatedly
// with the same issuer.
type TenantKeys func(tenant *lockboxv1.TenantIssuer) (Source, error)

// Verifier verifies tokens of the provider and of tenants. It caches verified signatures as long as the issuer's key
// set does not change; times are checked on every call. It is safe for concurrent use.
type Verifier struct {
	provider map[string]*trusted
	fetched  TenantKeys
	tenants  *cache.Cache[[sha256.Size]byte, *trusted]
	results  *cache.Cache[[sha256.Size]byte, *result]
}

// NewVerifier returns a Verifier that trusts these issuers of the provider. It fails if an issuer is unusable or is not
// on the provider's side.
func NewVerifier(provider []Issuer) (*Verifier, error) {
	v := &Verifier{
		provider: make(map[string]*trusted, len(provider)),
		tenants:  cache.New[[sha256.Size]byte, *trusted](rememberedIssuers),
		results:  cache.New[[sha256.Size]byte, *result](rememberedTokens),
	}
	for _, iss := range provider {
		if iss.Side != lockboxv1.Side_SIDE_PROVIDER {
			return nil, fmt.Errorf("issuer %q: is not of the provider's side", iss.URL)
		}
		if _, twice := v.provider[iss.URL]; twice {
			return nil, fmt.Errorf("issuer %q: is configured twice", iss.URL)
		}
		t, err := trust(iss)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", iss.URL, err)
		}
		v.provider[iss.URL] = t
	}
	return v, nil
}

// FetchTenantKeys must be called before the first Verify. Without it, tokens of tenants whose issuer is registered with
// the address of its keys are refused.
func (v *Verifier) FetchTenantKeys(open TenantKeys) { v.fetched = open }

// Verify checks a token from the provider or, unless tenant is nil, from that tenant's issuer, as of now. A token from
// one of the provider's issuers always speaks for the provider, even if a tenant names the same URL. An unknown `kid`
// makes Verify fetch newer keys, if the issuer has a Source. Every error is a refusal, UNAUTHENTICATED, or UNAVAILABLE
// if the issuer's keys cannot be fetched; it contains nothing from the token. The returned actor is the caller's own
// copy.
func (v *Verifier) Verify(token string, tenant *lockboxv1.TenantIssuer, now time.Time) (*lockboxv1.Actor, error) {
	r, err := v.valid(token, tenant, now)
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(r.actor), nil
}

// valid is Verify with all that the token says.
func (v *Verifier) valid(token string, tenant *lockboxv1.TenantIssuer, now time.Time) (*result, error) {
	if len(token) > MaxToken {
		return nil, errTooLong(MaxToken)
	}
	sum := sha256.Sum256([]byte(token))
	r, known := v.results.Get(sum)
	if !known || !v.stillTrusts(r, tenant) {
		var err error
		if r, err = v.verify(token, tenant, false); err != nil {
			return nil, err
		}
		v.results.Put(sum, r)
	}
	return r, r.check(now)
}

// explain is Verify, and says what each claim counted for.
func (v *Verifier) explain(token string, tenant *lockboxv1.TenantIssuer, now time.Time) ([]Reading, error) {
	r, err := v.verify(token, tenant, true)
	if err == nil {
		err = r.check(now)
	}
	if err != nil {
		return nil, err
	}
	return r.readings, nil
}

// TenantKeySet returns the keys that are trusted now for a tenant's issuer, nil if they cannot be had. It does not wait
// for them.
func (v *Verifier) TenantKeySet(tenant *lockboxv1.TenantIssuer) *KeySet {
	t, err := v.trustTenant(tenant)
	if err != nil {
		return nil
	}
	return t.current()
}

func (v *Verifier) verify(token string, tenant *lockboxv1.TenantIssuer, explain bool) (*result, error) {
	p, err := parse(token)
	if err != nil {
		return nil, err
	}
	if t, ok := v.provider[p.issuer]; ok {
		return p.verify(t, explain)
	}
	if tenant == nil || p.issuer != tenant.GetUrl() {
		return nil, errForeign()
	}
	t, err := v.trustTenant(tenant)
	if err != nil {
		return nil, refusal.Because(
			refusal.Unauthenticated(field, rule, "the tenant's issuer is registered wrongly: %v", err),
			reason.Of(issuerRecordedWrongly))
	}
	return p.verify(t, explain)
}

// stillTrusts reports whether a cached result is still valid for this tenant: once an issuer has withdrawn a key,
// everything verified with it is void.
func (v *Verifier) stillTrusts(r *result, tenant *lockboxv1.TenantIssuer) bool {
	by := r.by
	if t, ok := v.provider[by.URL]; ok {
		return t == by && t.current() == r.keys
	}
	return tenant != nil && proto.Equal(by.tenant, tenant) && by.current() == r.keys
}

// trustTenant parses a tenant's issuer, and caches the result until the issuer changes in any way.
func (v *Verifier) trustTenant(tenant *lockboxv1.TenantIssuer) (*trusted, error) {
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(tenant)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(bytes)
	if t, known := v.tenants.Get(key); known {
		return t, nil
	}
	tenant = proto.CloneOf(tenant)
	iss := Issuer{
		URL: tenant.GetUrl(), Audience: tenant.GetAudience(), Audiences: furtherAudiences(tenant), JWKS: tenant.GetJwks(),
		Side: lockboxv1.Side_SIDE_TENANT, Claims: tenantClaims(tenant),
		Leeway: tenant.GetLeeway().AsDuration(), MaxToken: int(tenant.GetTokenMaxBytes()),
	}
	if tenant.GetJwksUrl() != "" {
		if v.fetched == nil {
			return nil, errors.New("tenants' keys are not fetched here")
		}
		if iss.Source, err = v.fetched(tenant); err != nil {
			return nil, err
		}
	}
	t, err := trust(iss)
	if err != nil {
		return nil, err
	}
	t.tenant, t.groupMap = tenant, tenantGroupMap(tenant)
	v.tenants.Put(key, t)
	return t, nil
}

// trusted is an issuer ready for use.
type trusted struct {
	Issuer
	fixed  *KeySet
	groups map[string]bool
	// groupMap translates the issuer's groups; empty: the provider's have our names, and a tenant's count for nothing.
	groupMap map[string]string
	// tenant is what a tenant's issuer was made of.
	tenant *lockboxv1.TenantIssuer
}

// content returns a token's claims and the keys that verified it, after fetching newer ones if they may be needed.
func (t *trusted) content(p *parsed) (payload []byte, keys *KeySet, err error) {
	keys = t.current()
	payload, renew, err := p.content(keys)
	if err != nil && renew && t.Source != nil {
		keys = t.Source.Renew()
		payload, _, err = p.content(keys)
	}
	return payload, keys, err
}

func (t *trusted) current() *KeySet {
	if t.Source != nil {
		return t.Source.Keys()
	}
	return t.fixed
}

func trust(iss Issuer) (*trusted, error) {
	switch {
	case iss.URL == "":
		return nil, errors.New("it has no URL")
	case iss.Audience == "":
		return nil, errors.New("it has no audience")
	case iss.Side != lockboxv1.Side_SIDE_PROVIDER && iss.Side != lockboxv1.Side_SIDE_TENANT:
		return nil, errors.New("it is of no side")
	case iss.Source != nil && len(iss.JWKS) > 0:
		return nil, errors.New("it has fixed keys and a source of others")
	case iss.Leeway < 0 || iss.Leeway > MaxLeeway:
		return nil, fmt.Errorf("its leeway is not 0 to %v", MaxLeeway)
	case iss.MaxToken < 0 || iss.MaxToken > MaxToken:
		return nil, fmt.Errorf("its tokens cannot be longer than %d bytes", MaxToken)
	}
	iss.Leeway, iss.MaxToken = cmp.Or(iss.Leeway, Leeway), cmp.Or(iss.MaxToken, UsualToken)
	t := &trusted{Issuer: iss, groups: make(map[string]bool)}
	var err error
	if t.Claims, err = iss.Claims.complete(); err != nil {
		return nil, err
	}
	if t.Source == nil {
		if t.fixed, err = ParseKeysUpTo(iss.JWKS, MostJWKS); err == nil {
			err = t.fixed.Usable()
		}
		if err != nil {
			return nil, err
		}
	}
	if iss.Side == lockboxv1.Side_SIDE_PROVIDER {
		names := iss.Groups
		if len(names) == 0 {
			names = []string{aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.DevOpsManagers,
				aggregate.SecurityOfficers, aggregate.Onboarding, aggregate.EmergencyResponders, aggregate.TicketSystems}
		}
		for _, g := range names {
			t.groups[g] = true
		}
		if t.groupMap, err = t.Claims.groupMap(t.groups); err != nil {
			return nil, err
		}
	}
	return t, nil
}
