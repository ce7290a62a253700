package tenant

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A tenant may demand that whoever decides signed in so short a time before.
const (
	MinAuthenticationAge = time.Minute
	MaxAuthenticationAge = 12 * time.Hour
)

// StaleField is the field of the refusal that a fresh sign-in helps against.
const StaleField = "token.auth_time"

// Fresh refuses, UNAUTHENTICATED at StaleField, whoever signed in too long before now for what the tenant demands. A
// token that does not say when (`auth_time`) proves no moment. Exactly as long ago as is allowed is still good.
func (s State) Fresh(by *lockboxv1.Actor, now time.Time) error {
	longest := s.Settings.GetMaxAuthenticationAge()
	if longest == nil {
		return nil
	}
	if at := by.GetAuthenticatedAt(); at == nil || now.Sub(at.AsTime()) > longest.AsDuration() {
		return refusal.Unauthenticated(StaleField, "R25",
			"this tenant wants whoever decides to have signed in at most %v before; sign in again", longest.AsDuration())
	}
	return nil
}

// authenticationAge refuses a demand out of bounds, and one that whoever makes it could never meet: nobody could take
// it back.
func authenticationAge(field string, d *durationpb.Duration, by *lockboxv1.Actor) error {
	if d != nil && by.GetAuthenticatedAt() == nil {
		return refusal.Precondition(field, "R25",
			"your own token does not say when you signed in (`auth_time`), so nobody could meet this demand or take it back; let your issuer say it")
	}
	if d == nil || d.IsValid() && d.AsDuration() >= MinAuthenticationAge && d.AsDuration() <= MaxAuthenticationAge {
		return nil
	}
	return refusal.Invalid(field, "R25", "must be between %v and %v, or absent", MinAuthenticationAge,
		MaxAuthenticationAge)
}
