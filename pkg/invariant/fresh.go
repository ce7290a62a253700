package invariant

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// signedInRecently checks that an event's actor had signed in at most longest before it (R25; 0: no limit), and not
// after it, allowing for clock skew.
func signedInRecently(r Recorded, longest time.Duration, broken say) {
	at := r.Event.GetActor().GetAuthenticatedAt()
	ago := instant(r).Sub(at.AsTime())
	if longest > 0 && (at == nil || ago > longest || ago < -maxAhead) {
		broken("I1", r, "%s had not signed in within %v before", r.Event.GetActor().GetPerson().GetSubject(), longest)
	}
}

// administeredFreshly checks the same for changes in the tenant that affect whom Lockbox asks, or whether it asks: with
// an old sign-in, an attacker could otherwise first remove the requirement itself. A subscription's roles are not
// checked, because their events do not record at which sequence the tenant's settings were read.
func administeredFreshly(events []Recorded, broken say) {
	var longest time.Duration
	for _, r := range events {
		switch r.Event.GetFact().(type) {
		case *lockboxv1.Event_SettingsChanged, *lockboxv1.Event_LockboxDisabled, *lockboxv1.Event_PreviewSignedOff,
			*lockboxv1.Event_RoleAssigned, *lockboxv1.Event_RoleRemoved, *lockboxv1.Event_WebhookAdded,
			*lockboxv1.Event_WebhookRemoved:
			signedInRecently(r, longest, broken)
		case *lockboxv1.Event_RoleInvited, *lockboxv1.Event_InvitationConfirmed, *lockboxv1.Event_InvitationEnded:
			if r.Event.GetActor().GetSide() == lockboxv1.Side_SIDE_TENANT { // onboarding invites the first one
				signedInRecently(r, longest, broken)
			}
		}
		if f := r.Event.GetSettingsChanged(); f != nil {
			longest = f.GetSettings().GetMaxAuthenticationAge().AsDuration()
		}
	}
}
