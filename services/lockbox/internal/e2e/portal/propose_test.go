package portal_test

import (
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// Grace proposes another identity provider, by a page that says what that means; it waits then, and she stops it (R65).
func TestR65AChangeOfSignInIsProposedInTheBrowser(t *testing.T) {
	t.Parallel()
	w := startLogging(t, zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)))
	const next = "https://id.meadowbank.example"
	page := w.info.PortalURL + "/t/" + bank + "/administration/sign-in"
	small := w.browser(phone)
	small.visit(page + "/propose")
	small.signIn("grace")
	small.accessible()
	small.picture("propose-1-form-phone")

	grace := w.browser(desktop)
	grace.visit(page)
	grace.signIn("grace")
	grace.press(`a[href$="/sign-in/propose"]`)
	grace.accessible()
	grace.picture("propose-2-form")
	grace.fill("#url", next)
	grace.fill("#reason", "We move to another provider.")
	grace.press("form.card button.main")
	grace.reads("Another identity provider has keys of its own")
	grace.accessible()
	grace.picture("propose-3-wrong")
	for field, text := range map[string]string{"#keys": next + "/keys", "#subject": "a71c", "#name": "Grace Green",
		"#email": "grace@meadowbank.example"} {
		grace.fill(field, text)
	}
	grace.press("form.card button.main")
	grace.reads("Nobody’s roles move along")
	grace.accessible()
	grace.picture("propose-4-review")
	if w.tenant("grace").GetSignIn().GetPending() != nil {
		t.Fatal("it is proposed before it is confirmed")
	}
	small.visit(page)
	small.visit(page + "/propose")
	grace.press("form button.danger")
	grace.reads("We move to another provider.")
	grace.reads("unless somebody stops it")
	grace.accessible()
	grace.picture("propose-5-waits")
	p := w.tenant("grace").GetSignIn().GetPending()
	if p.GetRoute() != lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER || p.GetChange().GetIssuer().GetUrl() != next ||
		p.GetChange().GetIssuer().GetJwksUrl() != next+"/keys" || len(p.GetChange().GetAdministrators()) != 1 {
		t.Errorf("it waits as %v", p)
	}
	if grace.has(`a[href$="/sign-in/propose"]`) {
		t.Error("another is offered while one waits")
	}
	grace.press(`a[href$="/sign-in/stop"]`)
	grace.press("form button.bad")
	grace.reads("Propose another sign-in")
	grace.quiet("status of 400")
	small.quiet()
}
