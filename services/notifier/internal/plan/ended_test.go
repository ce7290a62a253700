package plan_test

import (
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Whoever hears that a role was removed hears that one has ended by itself, too.
func TestR33TheEndOfARoleIsToldAsItsRemovalIs(t *testing.T) {
	brief := func(id string, a *lockboxv1.Actor, of lockboxv1.Role) *lockboxv1.Event_RoleAssigned {
		r := role(id, a, of)
		r.ExpiresAt = timestamppb.New(start.Add(time.Hour))
		return assigned(r)
	}
	ended := func(id string) *lockboxv1.Event_RoleEnded {
		return &lockboxv1.Event_RoleEnded{RoleEnded: &lockboxv1.RoleEnded{AssignmentId: id}}
	}
	s := tell(t).
		subscription(orla, &lockboxv1.Event_SubscriptionRegistered{SubscriptionRegistered: &lockboxv1.SubscriptionRegistered{
			DisplayName: "Payments"}}).told("subscription-registered: grace/fr").
		subscription(grace, brief("otto-owner", otto, lockboxv1.Role_ROLE_OWNER)).told("role-assigned: grace/fr").
		tenant(grace, brief("kenji-ga", kenji, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)).
		told("role-assigned: grace/fr kenji/ja").
		tenant(grace, brief("grace-auditor", grace, lockboxv1.Role_ROLE_AUDITOR)).
		told("role-assigned: grace/fr kenji/ja").
		at(start.Add(time.Hour)).
		subscription(clock, ended("otto-owner")).told("role-ended: grace/fr", "own-role-ended: otto/en").
		tenant(clock, ended("grace-auditor")).told("role-ended: grace/fr").
		tenant(clock, ended("kenji-ga")).told("role-ended: grace/fr", "own-role-ended: kenji/ja")
	if d := s.data("kenji"); d.Person != "Kenji Sato" || d.Role != lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR ||
		!d.Until.Equal(start.Add(time.Hour)) || !d.ByLockbox {
		t.Errorf("%+v", d)
	}
}

// Times are those of the customer's clock for its people, and of the provider's for the others (R60).
func TestR60EverybodyReadsTheirOwnClock(t *testing.T) {
	s := tell(t)
	s.tenant(grace, &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{
		Settings: &lockboxv1.TenantSettings{DefaultLanguage: "fr", TimeZone: "Europe/Paris"}}}).
		told("settings-changed: grace/fr")
	if zone := s.data("grace").Zone; zone != "Europe/Paris" {
		t.Errorf("grace reads the clock of %q", zone)
	}
}
