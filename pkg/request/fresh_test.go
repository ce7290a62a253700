package request_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// signedIn is somebody whose token says that they signed in at that point of the story.
func signedIn(a *lockboxv1.Actor, at time.Duration) *lockboxv1.Actor {
	a = proto.CloneOf(a)
	a.AuthenticatedAt = timestamppb.New(start.Add(at))
	return a
}

// control: nist:IA-2
func TestR25ATenantMayDemandAFreshSignIn(t *testing.T) {
	fresh := set(&lockboxv1.TenantSettings{MaxAuthenticationAge: durationpb.New(5 * time.Minute)})
	stale := no(lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED, tenant.StaleField, "R25", "at most 5m0s before")
	pending := func() *story.Story { return asked(t, contoso(owner(otto), fresh), diskIntent()) }
	for _, decides := range []deed{does(approve()), does(deny("no"))} {
		play(t, pending(),
			row{time.Hour, otto, decides, stale}, // a token that says nothing proves nothing
			row{time.Hour, signedIn(otto, time.Hour-5*time.Minute-1), decides, stale},
			row{time.Hour, lena, decides, no(forbidden, "token", "R20")}, // who may not decide hears nothing of it
			row{time.Hour, signedIn(otto, time.Hour-5*time.Minute), decides,
				is(afterwards(t, asked(t, contoso(owner(otto)), diskIntent()), decides))},
		)
	}
	// Questions decide nothing, and the provider's security officer is not bound by it.
	play(t, pending(),
		row{time.Hour, otto, does(ask("why?")), is(request.CustomerNotified)},
		row{time.Hour, signedIn(otto, time.Hour), does(approve()), is(request.Approved)},
		row{time.Hour, box, owed(request.Grant), is(request.Active)},
		row{2 * time.Hour, otto, does(revoke("enough")), stale},
		row{2 * time.Hour, signedIn(otto, 2*time.Hour-5*time.Minute-1), does(revoke("enough")), stale},
		row{2 * time.Hour, lena, does(revoke("enough")), no(forbidden, "token", "R32")},
		row{2 * time.Hour, sven, does(revoke("enough")), is(request.Revoked)},
	)
	play(t, pending(),
		row{time.Hour, signedIn(otto, time.Hour), does(approve()), is(request.Approved)},
		row{time.Hour, box, owed(request.Grant), is(request.Active)},
		row{2 * time.Hour, signedIn(otto, 2*time.Hour-5*time.Minute), does(revoke("enough")), is(request.Revoked)},
	)
	// What is on nobody's record before the demand is as it was.
	play(t, asked(t, contoso(owner(otto)), diskIntent()), row{time.Hour, otto, does(approve()), is(request.Approved)})
}
