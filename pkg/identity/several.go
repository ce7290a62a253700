package identity

import (
	"crypto/sha256"
	"slices"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// VerifyAny is Verify for a tenant whose people come from any of several issuers, as while one replaces another (R65).
// If none accepts the token, the error is that of the first that it may be from.
func (v *Verifier) VerifyAny(
	token string, issuers []*lockboxv1.TenantIssuer, now time.Time,
) (*lockboxv1.Actor, error) {
	r, err := v.validAny(token, issuers, now)
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(r.actor), nil
}

// GroupsUnread returns why the groups of a token from any of a tenant's issuers could not be read, as a refusal that
// names the claim; nil if they could. That never makes the token a bad one: it matters to those alone who need a group
// (R67).
func (v *Verifier) GroupsUnread(token string, issuers []*lockboxv1.TenantIssuer, now time.Time) error {
	r, err := v.validAny(token, issuers, now)
	if err != nil {
		return err
	}
	return r.groupsUnread
}

// Explain is VerifyAny, and says what each claim counted for.
func (v *Verifier) Explain(token string, issuers []*lockboxv1.TenantIssuer, now time.Time) ([]Reading, error) {
	return ofAny(issuers, func(i *lockboxv1.TenantIssuer) ([]Reading, error) { return v.explain(token, i, now) })
}

func (v *Verifier) validAny(token string, issuers []*lockboxv1.TenantIssuer, now time.Time) (*result, error) {
	if len(issuers) > 1 && len(token) <= MaxToken {
		r, known := v.results.Get(sha256.Sum256([]byte(token)))
		for _, i := range issuers {
			if known && v.stillTrusts(r, i) {
				return r, r.check(now)
			}
		}
	}
	return ofAny(issuers, func(i *lockboxv1.TenantIssuer) (*result, error) { return v.valid(token, i, now) })
}

// ofAny returns what the first issuer that accepts a token makes of it; with no issuer, what the provider's do.
func ofAny[T any](issuers []*lockboxv1.TenantIssuer, read func(*lockboxv1.TenantIssuer) (T, error)) (T, error) {
	if len(issuers) == 0 {
		return read(nil)
	}
	var none T
	refused := errForeign()
	for _, i := range issuers {
		r, err := read(i)
		if err == nil {
			return r, nil
		}
		if refused.Error() == errForeign().Error() {
			refused = err
		}
	}
	return none, refused
}

// furtherAudiences are those beside TenantIssuer.audience.
func furtherAudiences(tenant *lockboxv1.TenantIssuer) []string {
	list := slices.Clone(tenant.GetAudiences())
	if id := tenant.GetClientId(); id != "" {
		list = append(list, id)
	}
	return list
}

// hears reports whether a token with these audiences is made out to Lockbox.
func (t *trusted) hears(audiences []string) bool {
	return slices.Contains(audiences, t.Audience) ||
		slices.ContainsFunc(t.Audiences, func(a string) bool { return slices.Contains(audiences, a) })
}
