package tenant_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const unauthenticated = lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED

// within demands that whoever decides signed in at most so long before; 0: no demand.
func within(d time.Duration) *lockboxv1.Command {
	s := &lockboxv1.TenantSettings{DefaultLanguage: "en"}
	if d != 0 {
		s.MaxAuthenticationAge = durationpb.New(d)
	}
	return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: s}}}
}

// signedIn is somebody whose token says that they signed in so long after the start.
func signedIn(a *lockboxv1.Actor, after time.Duration) *lockboxv1.Actor {
	a = proto.CloneOf(a)
	a.AuthenticatedAt = timestamppb.New(start.Add(after))
	return a
}

func TestR25ADemandForAFreshSignInHasBounds(t *testing.T) {
	const field = "change_settings.settings.max_authentication_age"
	contoso(t, premier).play(t,
		row{1, gina, within(time.Hour), no(precondition, field, "R25")}, // she could never take it back
		row{1, signedIn(gina, 0), within(tenant.MinAuthenticationAge - 1), no(invalid, field, "R25")},
		row{1, signedIn(gina, 0), within(tenant.MaxAuthenticationAge + 1), no(invalid, field, "R25")},
		row{1, signedIn(gina, 0), within(-time.Minute), no(invalid, field, "R25")},
		row{1, signedIn(gina, 0), within(tenant.MinAuthenticationAge), yes},
	)
	contoso(t, premier).play(t, row{1, signedIn(gina, 0), within(tenant.MaxAuthenticationAge), yes})
}

// Whoever stole a session cannot first take away what stands in their way.
func TestR25NobodyGetsAroundTheDemandWithAnOldSignIn(t *testing.T) {
	for _, way := range []struct {
		does *lockboxv1.Command
		rule string
	}{
		{within(0), "R30"},
		{disable("quiet"), "R2"},
		{assign(assignment("lena", lena, approver, ofTenant)), "R20"},
		{remove(ofTenant, "first-administrator"), "R20"},
		{assign(assignment("lena", lena, approver, ofSubscription)), "R20"},
		{remove(ofSubscription, "otto"), "R20"},
		{invitationTo("new", approver, ofTenant), "R66"},
		{confirmed("w", ofTenant, lena), "R66"},
		{endInvitation("w", ofTenant), "R66"},
		{signOff("compute/disks"), "R8"}, // without the sign-up nobody is asked there
	} {
		contoso(t, premier).play(t,
			row{1, gina, enable(), yes},
			row{1, gina, signUp("compute/disks"), yes},
			row{1, gina, owner(otto), yes},
			row{1, gina, invitationTo("w", approver, ofTenant), yes},
			row{1, lena, redeem("w", ofTenant, proofOf("w")), yes},
			row{2, signedIn(gina, 0), within(15 * time.Minute), yes},
			row{3, gina, way.does, no(unauthenticated, tenant.StaleField, "R25")},
			row{3, otto, way.does, no(forbidden, "token", way.rule)}, // nobody else hears what this tenant demands
		)
	}
	contoso(t, premier).play(t,
		row{1, gina, enable(), yes},
		row{2, signedIn(gina, 0), within(15 * time.Minute), yes},
		row{15*time.Minute + 1, signedIn(gina, 0), within(0), no(unauthenticated, tenant.StaleField, "R25")},
		row{15 * time.Minute, signedIn(gina, 0), within(0), yes},
		row{16 * time.Minute, gina, disable("quiet"), yes},
	)
}
