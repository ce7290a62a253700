package portal_test

import (
	"strings"
	"testing"
)

// R44: a security officer records an exposure in the portal, and the customer's administrator reads it there.
func TestAnExposureIsRecordedInThePortal(t *testing.T) {
	t.Parallel()
	w := visit(t)
	const what = "A screen was shared for a minute"
	b := w.browser(phone)
	b.visit(w.info.PortalURL + "/provider/disclosures?lang=en")
	b.signIn("olga")
	b.press(`main a.button[href$="/disclosures/new"]`)
	b.accessible()
	b.picture("en-disclose-form-phone-light")
	b.choose("#customer", bank)
	b.choose("#kind", "exposure")
	b.fill("#what", what)
	b.fill("#happened", "2026-01-02T10:00")
	b.fill("#description", "The names of two machines.")
	b.fill("#reason", "The wrong window was shared in a call.")
	run(b, chromedpBool(`(document.querySelector("#checked").checked = true)`))
	b.press("main form button.danger")
	b.reads(what)
	b.accessible()
	b.quiet()
	grace := w.browser(desktop)
	grace.visit(w.info.PortalURL + "/t/" + bank + "/disclosures?lang=en")
	grace.signIn("grace")
	grace.eventually("the customer is told", func() bool {
		grace.visit(w.info.PortalURL + "/t/" + bank + "/disclosures")
		return strings.Contains(grace.everything(), what)
	})
}
