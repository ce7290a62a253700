package invariant

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// signedInRecently holds that whoever made an event had signed in at most so long before it (R25; 0: no demand), and
// not after it, but for what clocks may be apart.
func signedInRecently(r Recorded, longest time.Duration, broken say) {
	at := r.Event.GetActor().GetAuthenticatedAt()
	ago := instant(r).Sub(at.AsTime())
	if longest > 0 && (at == nil || ago > longest || ago < -maxAhead) {
		broken("I1", r, "%s had not signed in within %v before", r.Event.GetActor().GetPerson().GetSubject(), longest)
	}
}

// administeredFreshly holds the same of what changes in the tenant whom Lockbox asks, and whether: whoever could do
// that with an old sign-in could first take away the demand for a fresh one. A subscription's roles are left out, as
// their events do not say where the tenant's settings were read.
func administeredFreshly(events []Recorded, broken say) {
	var longest time.Duration
	for _, r := range events {
		switch r.Event.GetFact().(type) {
		case *lockboxv1.Event_SettingsChanged, *lockboxv1.Event_LockboxDisabled, *lockboxv1.Event_PreviewSignedOff,
			*lockboxv1.Event_RoleAssigned, *lockboxv1.Event_RoleRemoved:
			signedInRecently(r, longest, broken)
		}
		if f := r.Event.GetSettingsChanged(); f != nil {
			longest = f.GetSettings().GetMaxAuthenticationAge().AsDuration()
		}
	}
}
