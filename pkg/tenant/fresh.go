package tenant

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The bounds of the maximum sign-in age that a tenant may require of its approvers and administrators.
const (
	MinAuthenticationAge = time.Minute
	MaxAuthenticationAge = 12 * time.Hour
)

// StaleField is the field of the refusal that signing in again resolves.
const StaleField = "token.auth_time"

// Fresh refuses (UNAUTHENTICATED, at StaleField) an actor whose sign-in is older than the tenant allows, or whose token
// does not say when it was (`auth_time`). A sign-in of exactly the maximum age is accepted.
func (s State) Fresh(by *lockboxv1.Actor, now time.Time) error {
	longest := s.Settings.GetMaxAuthenticationAge()
	if longest == nil {
		return nil
	}
	if at := by.GetAuthenticatedAt(); at == nil || now.Sub(at.AsTime()) > longest.AsDuration() {
		return refusal.Naming(
			refusal.Unauthenticated(StaleField, "R25",
				"this tenant wants whoever decides to have signed in at most %v before; sign in again", longest.AsDuration()),
			"within", longest.AsDuration().String())
	}
	return nil
}

// authenticationAge refuses a maximum age that is out of bounds, and one set by an administrator whose own tokens
// cannot meet it: it could never be reverted.
func authenticationAge(field string, d *durationpb.Duration, by *lockboxv1.Actor) error {
	if d != nil && by.GetAuthenticatedAt() == nil {
		return refusal.Precondition(field, "R25",
			"your own token does not say when you signed in (`auth_time`), so nobody could meet this demand or take it back; let your issuer say it")
	}
	if d == nil || d.IsValid() && d.AsDuration() >= MinAuthenticationAge && d.AsDuration() <= MaxAuthenticationAge {
		return nil
	}
	return refusal.OfKind(
		refusal.Invalid(field, "R25", "must be between %v and %v, or absent", MinAuthenticationAge,
			MaxAuthenticationAge),
		"sign-in-age", "shortest", MinAuthenticationAge.String(), "longest", MaxAuthenticationAge.String())
}
