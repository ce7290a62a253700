package administration_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/administration"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// kind says what a form can do.
type kind int

const (
	// gives: it adds or shows something, or is about the sender's own role, and the next click undoes it.
	gives kind = iota + 1
	// takes: it takes protection or a right away, or gives one, and stands only on a page that names the effect.
	takes
	// asks is takes, with a reason: its command has one.
	asks
)

// dangerOf says of each form, by its address and what it does, what it can do.
var dangerOf = map[string]kind{
	"/lockbox on": takes, "/lockbox off": asks,
	"/settings/approvals ": takes, "/settings/fallback ": takes, "/settings/freshness ": takes,
	"/settings/deciders ": takes, "/settings/language ": takes,
	"/alternates add": gives, "/alternates remove": takes,
	"/previews join": gives, "/previews leave": takes,
	"/sign-in confirm": takes, "/sign-in stop": asks, "/sign-in finish": takes,
	"/sign-in/propose ": gives, "/sign-in/propose/review ": takes, // the form only leads to what names the effect
	"/webhooks add": gives, "/webhooks remove": asks,
	"/roles remove": takes, "/roles activate": gives, "/roles deactivate": gives, "/roles/assign ": gives,
	"/roles/invite ":                    gives,
	"/roles/invitations/i-lena confirm": takes, "/roles/invitations/i-lena end": asks,
	"/subscriptions/meadow-production remove": takes, "/subscriptions/meadow-production activate": gives,
	"/subscriptions/meadow-production deactivate": gives, "/subscriptions/meadow-production/assign ": gives,
	"/subscriptions/meadow-production/invite ":                    gives,
	"/subscriptions/meadow-production/invitations/i-lena confirm": takes,
	"/subscriptions/meadow-production/invitations/i-lena end":     asks,
}

var (
	aForm   = regexp.MustCompile(`(?s)<form method="post" action="` + base + `([^"]*)".*?</form>`)
	whatFor = regexp.MustCompile(`name="do" value="([^"]*)"`)
)

// Every form of the administration is listed above. What is dangerous is not done by one click in a list: it has a page
// that names the effect, and asks for a reason where its command has one.
func TestWhatIsDangerousIsConfirmed(t *testing.T) {
	off := administrator()
	off.tenant.LockboxEnabled = false
	activated := administrator()
	activated.me.Actor.Person = fleur
	eligible := administrator()
	eligible.me.Actor.Person = eli
	inTenant := administrator()
	inTenant.tenant.Assignments = append(inTenant.tenant.Assignments,
		inTenant.tenant.GetSubscriptions()[1].GetAssignments()...)
	inTenant.me.Actor.Person = eli
	inTenantToo := newBank(fleur, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
	inTenantToo.tenant.Assignments = inTenant.tenant.GetAssignments()
	invited := invitations()
	invited.tenant.Invitations = invited.tenant.GetSubscriptions()[1].GetInvitations()
	pages := append([]string{"/sign-in", "/sign-in/confirm", "/sign-in/stop", "/sign-in/finish", "/sign-in/propose",
		"/sign-in/propose/review", "/webhooks",
		"/webhooks/remove/hook-1", "/alternates/remove/1", "/roles/invite", "/subscriptions/meadow-production/invite",
		"/roles/invitations/i-lena", "/subscriptions/meadow-production/invitations/i-lena"}, everyPage...)
	seen := map[string]bool{}
	for _, b := range []*bank{administrator(), off, activated, eligible, inTenant, inTenantToo, invited,
		withWebhooks(moving(administrator(), byCustomer, otto), 2), settled(administrator())} {
		h := served(t, b)
		sitetest.Post(h, base+"/sign-in/propose", proposal("client", "portal-2"))
		for _, page := range pages {
			w := withDraft(h, base+page)
			if w.Code != http.StatusOK {
				continue
			}
			for _, form := range aForm.FindAllStringSubmatch(w.Body.String(), -1) {
				do := ""
				if m := whatFor.FindStringSubmatch(form[0]); m != nil {
					do = m[1]
				}
				is := dangerOf[form[1]+" "+do]
				seen[form[1]+" "+do] = true
				switch path, _, _ := strings.Cut(page, "?"); {
				case is == 0:
					t.Errorf("%s: nobody has said what the form %q of %s can do", page, do, form[1])
				case is == gives:
				case !strings.Contains(w.Body.String(), `class="effect`) && path != "/lockbox" && path != "/previews/leave":
					t.Errorf("%s: the form %q of %s does not name its effect", page, do, form[1])
				case len(aForm.FindAllString(w.Body.String(), -1)) > 2:
					t.Errorf("%s: the form %q of %s stands in a list", page, do, form[1])
				case is == asks && !strings.Contains(form[0], `name="reason"`):
					t.Errorf("%s: the form %q of %s asks for no reason", page, do, form[1])
				}
			}
		}
	}
	for form := range dangerOf {
		if !seen[form] {
			t.Errorf("no page has the form %q", form)
		}
	}
	routes, err := administration.Routes(sitetest.New(t, &sitetest.Backend{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		address := strings.NewReplacer("{subscription}", "meadow-production", "{invitation}", "i-lena", "{setting}",
			"approvals").
			Replace(strings.TrimPrefix(r.Path, "/administration"))
		found := r.Method != http.MethodPost || r.Path == "/invitation" // whose page says what is accepted
		for form := range dangerOf {
			found = found || strings.HasPrefix(form, address+" ")
		}
		if !found {
			t.Errorf("nobody has said what a form sent to %s can do", r.Path)
		}
	}
}
