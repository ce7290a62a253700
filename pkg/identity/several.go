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
	switch len(issuers) {
	case 0:
		return v.Verify(token, nil, now)
	case 1:
		return v.Verify(token, issuers[0], now)
	}
	if r, known := v.results.Get(sha256.Sum256([]byte(token))); known && len(token) <= MaxToken {
		for _, i := range issuers {
			if v.stillTrusts(r, i) {
				if err := r.check(now); err != nil {
					return nil, err
				}
				return proto.CloneOf(r.actor), nil
			}
		}
	}
	refused := errForeign()
	for _, i := range issuers {
		by, err := v.Verify(token, i, now)
		if err == nil {
			return by, nil
		}
		if refused.Error() == errForeign().Error() {
			refused = err
		}
	}
	return nil, refused
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
