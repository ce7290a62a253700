package portal_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
)

// A customer's people find the access that they were not asked about, and why: the administrator all of it, an owner
// that of the own subscription, another customer none. The request itself says it first.
func TestR3AccessWithoutAskingIsFoundAndExplained(t *testing.T) {
	t.Parallel()
	w := start(t)
	checks := func(subscription, machine string) string {
		in := intent()
		in.SubscriptionId, in.Scenario, in.TicketId = subscription, "platform-health", ""
		in.ResourceIds = []string{demo.Machine(subscription, machine)}
		in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
		in.Justification = "The host reports memory errors; its health data show whether it must be replaced."
		return w.requested("erin", in, request.Active)
	}
	running, over := checks(demo.BankProduction, "payments-1"), checks(demo.BankProduction, "payments-2")
	other := checks(demo.BankTest, "trial-1")
	w.does("erin", &lockboxv1.Command{Tenant: bank, AggregateId: over,
		Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{Reason: "Nothing to replace."}}})
	w.reaches(bank, over, request.Released)

	for _, d := range []device{desktop, phone} {
		b := w.browser(d)
		b.visit(w.info.PortalURL + "/t/" + bank)
		b.signIn("grace")
		b.reads("Access without asking you in the last 30 days: 3")
		b.accessible()
		b.picture("en-waived-1-home-" + d.name)
		b.press(`main a[href$="/waived"]`)
		b.reads("This operation gives no access to your data.")
		for _, id := range []string{running, over, other} {
			if !b.has(`a[href$="` + id + `"]`) {
				t.Errorf("%s does not lead to %s", d.name, id)
			}
		}
		if text := b.text("main"); !strings.Contains(text, "Access is active") ||
			!strings.Contains(text, "Access given back") {
			t.Errorf("it does not say what still runs: %s", text)
		}
		b.accessible()
		b.picture("en-waived-2-list-" + d.name)
		b.press(`a[href$="` + running + `"]`)
		b.reads("Your approval was not requested.")
		b.accessible()
		b.picture("en-waived-3-request-" + d.name)
		for _, language := range []string{"fr", "ja"} {
			b.visit(w.info.PortalURL + "/t/" + bank + "/waived?lang=" + language)
			b.accessible()
			b.picture(language + "-waived-2-list-" + d.name)
		}
		b.quiet()
	}
	for who, sees := range map[string][]string{"otto": {running, over}, "audrey": {running, over, other}, "kenji": nil} {
		of := bank
		if who == "kenji" {
			of = health
		}
		b := w.browser(phoneDark)
		b.visit(w.info.PortalURL + "/t/" + of + "/waived?lang=en")
		b.signIn(who)
		b.reads("Access without asking you")
		for _, id := range []string{running, over, other} {
			if want := strings.Contains(strings.Join(sees, " "), id); b.has(`a[href$="`+id+`"]`) != want {
				t.Errorf("%s sees %s: %v", who, id, !want)
			}
		}
	}
}
