package answer_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// moves changes the bank's issuer as two of its administrators want.
func (p *place) moves(next *lockboxv1.TenantIssuer) {
	p.t.Helper()
	by := func(name string) *lockboxv1.Actor {
		a := p.actor(name)
		a.AuthenticatedAt = timestamppb.New(p.story.Now)
		return a
	}
	p.story.Command(by("grace"), &lockboxv1.Command{Tenant: bank, Action: &lockboxv1.Command_ProposeSignInChange{
		ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER,
			Change: &lockboxv1.SignInChange{Issuer: next, Reason: "Keys"}}}})
	id := p.story.States.Tenant(bank).Change.ID
	p.story.Command(by("otto"), &lockboxv1.Command{Tenant: bank, Action: &lockboxv1.Command_ConfirmSignInChange{
		ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: id}}})
}

// R65: while several issuers are accepted, the keys of each that are passed over are said, and why; onboarding, which
// may have to help, sees that too.
func TestR65KeysPassedOverAreSaidOfEveryIssuer(t *testing.T) {
	p := newPlace(t)
	p.assign("otto", "", lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, false)
	good := p.issuer.TenantIssuer(bank)
	broken := proto.CloneOf(good)
	broken.Jwks = bytes.Replace(good.GetJwks(), []byte(`{"keys":[`),
		[]byte(`{"keys":[{"kty":"EC","crv":"secp256k1","kid":"k256","x":"AA","y":"AA"},`), 1)
	p.moves(broken)
	lenient := proto.CloneOf(good)
	lenient.Leeway = durationpb.New(time.Minute)
	p.moves(lenient)
	for _, who := range []string{"grace", "onboarding"} {
		v := p.query(who, getTenant(bank)).GetTenant()
		keys := v.GetSignIn().GetFormerKeys()
		if len(keys) != len(v.GetSignIn().GetFormer()) || len(keys) != 2 {
			t.Fatalf("%s sees keys of %d of %d former issuers", who, len(keys), len(v.GetSignIn().GetFormer()))
		}
		if v.GetIssuerKeys() != 1 || len(v.GetIssuerKeysPassedOver()) != 0 {
			t.Errorf("%s: the present keys are %d, %v", who, v.GetIssuerKeys(), v.GetIssuerKeysPassedOver())
		}
		for i, f := range v.GetSignIn().GetFormer() {
			passed := strings.Join(keys[i].GetPassedOver(), " ")
			if proto.Equal(f, broken) != strings.Contains(passed, "k256") || keys[i].GetUsable() != 1 ||
				len(keys[i].GetPassedOver()) != len(keys[i].GetCodedPassedOver()) {
				t.Errorf("%s: issuer %d has the keys %v", who, i, keys[i])
			}
		}
	}
}
