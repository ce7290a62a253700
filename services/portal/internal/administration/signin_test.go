package administration_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// moving is the bank on its way to another issuer, as one of its administrators proposed.
func moving(b *bank, route lockboxv1.SignInRoute, by *lockboxv1.Person) *bank {
	b.tenant.SignIn = &lockboxv1.SignInView{
		Issuer: &lockboxv1.TenantIssuer{Url: issuer, Audience: "lockbox", ClientId: "portal", JwksUrl: issuer + "/keys"},
		Former: []*lockboxv1.TenantIssuer{{Url: "https://old.meadowbank.example", Audience: "lockbox", Jwks: []byte("{}")}},
		Pending: &lockboxv1.PendingSignInChange{ChangeId: "c-1", Route: route, ProposedBy: &lockboxv1.Actor{Person: by},
			ProposedAt: timestamppb.New(sitetest.Now), DueAt: ahead(tenant.AloneWait),
			Change: &lockboxv1.SignInChange{Reason: "We move", Issuer: &lockboxv1.TenantIssuer{
				Url: "https://id.meadowbank.example", Audience: "lockbox"},
				Administrators: []*lockboxv1.Person{person("a71c", "Grace Green", "en")}}},
	}
	b.tenant.IssuerKeysPassedOver = []string{"key 2: secp256k1 is no curve that is used"}
	return b
}

const (
	byCustomer = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER
	recovery   = lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY
)

// What waits is shown with what it changes; whoever may confirm or stop it can, and nobody else (R65).
func TestR65AChangeOfSignInIsShownToThoseWhoDecide(t *testing.T) {
	all := []string{"Confirm the change", "Stop the change", "End the former sign-in"}
	for name, row := range map[string]struct {
		bank *bank
		may  []string
	}{
		"another administrator": {moving(administrator(), byCustomer, otto), all},
		"whoever proposed it":   {moving(administrator(), byCustomer, grace), all[1:]},
		"of the provider's":     {moving(administrator(), recovery, person("olga", "Olga", "")), all[1:]},
		"an auditor":            {moving(auditor(), byCustomer, otto), nil},
	} {
		page := get(t, served(t, row.bank), "/sign-in", http.StatusOK)
		for _, want := range []string{issuer, "https://old.meadowbank.example", "https://id.meadowbank.example", "We move",
			"a71c", "unless somebody stops it", "still accepted", "secp256k1"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %q in %s", name, want, page)
			}
		}
		for _, action := range all {
			if may := slices.Contains(row.may, action); strings.Contains(page, action) != may {
				t.Errorf("%s: %q is there: %v", name, action, !may)
			}
		}
	}
	b := moving(administrator(), byCustomer, otto)
	if page := get(t, served(t, b), "", http.StatusOK); !strings.Contains(page, "is waiting") {
		t.Errorf("the first page does not say that something waits: %s", page)
	}
}
