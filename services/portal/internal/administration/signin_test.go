package administration_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/durationpb"
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
	b.tenant.SignIn.FormerKeys = []*lockboxv1.IssuerKeys{{Usable: 1, PassedOver: []string{"key 3: of 1024 bits"}}}
	b.tenant.IssuerKeysPassedOver = []string{"key 2: secp256k1 is no curve that is used"}
	b.tenant.IssuerKeysCodedPassedOver = []*lockboxv1.Reason{reason.Of(
		lockboxv1.ReasonCode_REASON_CODE_KEY_OF_UNUSED_KIND, "key", "2", "part", "crv", "says", "secp256k1")}
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
			"a71c", "unless somebody stops it", "still accepted", "secp256k1",
			"key 3: of 1024 bits"} {
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

// Why a key is passed over is said in the reader's language; by an older audit-projector in its own words.
func TestKeysPassedOverAreSaidInTheReadersLanguage(t *testing.T) {
	h := served(t, moving(administrator(), byCustomer, otto))
	for lang, want := range map[string]string{"en": "such keys are not used here", "ja": "この種類の鍵は使用されません",
		"fr": "de telles clés ne sont pas utilisées ici"} {
		page := get(t, h, "/sign-in?lang="+lang, http.StatusOK)
		holds(t, page, want, `<span lang="en">key 3: of 1024 bits</span>`)
		if strings.Contains(page, "is no curve") {
			t.Errorf("in %s the page says it in English: %s", lang, page)
		}
	}
}

// authority is the certificate of the bank's own authority.
const authority = `-----BEGIN CERTIFICATE-----
MIIBrjCCAVOgAwIBAgIULWXhg4xQDbQ/Jrr8wP77EHjxfAgwCgYIKoZIzj0EAwIw
LDEQMA4GA1UECgwHQ29udG9zbzEYMBYGA1UEAwwPQ29udG9zbyBSb290IENBMB4X
DTI2MTEzMDA1MTMwM1oXDTM2MTEyNzA1MTMwM1owLDEQMA4GA1UECgwHQ29udG9z
bzEYMBYGA1UEAwwPQ29udG9zbyBSb290IENBMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEpgJB0y4b9gONT7GWfadjVmrLtEQ6Da5Ily5KGQCce6um200mAgEch4Cg
tl9D27p4RSSnoiPVTH1aAnA6G73O8aNTMFEwHQYDVR0OBBYEFI0+Sz0bLfRVybOL
Gu3egKAprkK+MB8GA1UdIwQYMBaAFI0+Sz0bLfRVybOLGu3egKAprkK+MA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAPAg+us8FQ3ZyzewUmvzSIXd
LdQS9M0ZsAOlPqhLhEUGAiEA4BGwTh80Q69oemx4PBZhyy52j5tGhh7MXXUtvxYc
3Qg=
-----END CERTIFICATE-----
`

// What an issuer may do otherwise than usual, and by which authorities its servers are known, is shown in words; the
// certificate itself is not (R65).
func TestR65LimitsAndAuthoritiesOfAnIssuerAreShown(t *testing.T) {
	b := moving(administrator(), byCustomer, otto)
	usual := get(t, served(t, b), "/sign-in", http.StatusOK)
	for _, not := range []string{"Its clock may", "bytes", "SHA-256"} {
		if strings.Contains(usual, not) {
			t.Errorf("as usual, the page says %q", not)
		}
	}
	at := b.tenant.GetSignIn().GetPending().GetChange().GetIssuer()
	at.Leeway, at.TokenMaxBytes, at.JwksMaxBytes = durationpb.New(90*time.Second), 32<<10, 256<<10
	at.Authorities = []byte(authority)
	page := get(t, served(t, b), "/sign-in", http.StatusOK)
	holds(t, page, "Its clock may be ahead by up to 1 minute 30 seconds", "Its tokens may have up to 32,768 bytes",
		"The keys it publishes may have up to 262,144 bytes", "CN=Contoso Root CA", "2036", "SHA-256",
		"4F:6F:31:17:25:52:22:61:40:BA:60:01:F3:53:36:4F:77:82:DD:75:E4:1F:90:2B:E6:AE:4F:4E:4C:90:2D:EA")
	if strings.Contains(page, "BEGIN") {
		t.Error("the page holds the certificate")
	}
}
