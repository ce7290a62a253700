package portal_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
)

// The customer's people see in numbers and pictures what happened, and the provider's security officers see it of each
// customer; others see neither.
func TestOverviewsSayWhatHappened(t *testing.T) {
	t.Parallel()
	w := start(t)
	runs := w.requested("erin", intent(), request.CustomerNotified)
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: runs,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: "Go ahead."}}})
	w.reaches(bank, runs, request.Active)
	denied := w.requested("erin", intent(), request.CustomerNotified)
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: denied,
		Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "Not now."}}})
	w.reaches(bank, denied, request.Denied)
	urgent := intent()
	urgent.Emergency, urgent.Scenario = true, "restart"
	urgent.ReasonType = lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
	urgent.Justification = "Both machines are stuck and payments are lost until they are restarted."
	urgent.TicketId = ""
	w.requested("rosa", urgent, request.AwaitingInternalApproval)
	w.requested("erin", intent(), request.CustomerNotified)
	abroad := intent()
	abroad.Tenant, abroad.SubscriptionId, abroad.TicketId = health, demo.HealthClinic, demo.HealthTicket
	abroad.ResourceIds = []string{demo.Machine(demo.HealthClinic, "booking-1")}
	w.requested("bob", abroad, request.CustomerNotified)

	for _, d := range []device{desktop, phone, desktopDark, phoneDark} {
		b := w.browser(d)
		b.visit(w.info.PortalURL + "/t/" + bank + "/overview")
		b.signIn("otto")
		b.reads("1 of 4 approved")
		for _, text := range []string{"Waiting for you", "Erin Ellis of Nimbus Cloud", "1 of them was an emergency.",
			"2 decisions.", "4 requests"} {
			b.reads(text)
		}
		if text := b.everything(); strings.Contains(text, "Sakura") || strings.Contains(text, "Bob Baker") {
			t.Error("another customer is in it")
		}
		b.accessible()
		b.picture("en-overview-" + d.name)
		b.press(`.tile a[href*="status=active"]`)
		b.reads("payments-1")
		for _, language := range []string{"fr", "ja"} {
			b.visit(w.info.PortalURL + "/t/" + bank + "/overview?lang=" + language)
			b.accessible()
			b.picture(language + "-overview-" + d.name)
		}
		b.quiet()
	}
	b := w.browser(desktop)
	b.visit(w.info.PortalURL + "/t/" + bank + "/overview?emergency=yes&lang=en")
	b.signIn("grace")
	b.reads("1 request")
	b.visit(w.info.PortalURL + "/t/" + bank + "/overview?engineer=nobody")
	b.reads("No data for these weeks.")
	b.quiet()

	for _, d := range []device{desktop, phoneDark} {
		b := w.browser(d)
		b.visit(w.info.PortalURL + "/provider/overview")
		b.signIn("olga")
		for _, text := range []string{"Meadow Bank", "Sakura", "Health of the log", "meadowbank ·"} {
			b.reads(text)
		}
		b.eventually("the guard has compared everything", func() bool {
			b.visit(w.info.PortalURL + "/provider/overview")
			return strings.Contains(b.text("#log"), "Healthy")
		})
		b.accessible()
		b.picture("en-dashboard-" + d.name)
		b.press(`.customers a[href$="customer=` + health + `"]`)
		b.reads("0 of 1 approved")
		if strings.Contains(b.text("#main"), "Erin Ellis") {
			t.Error("what is chosen is not what is shown")
		}
		b.accessible()
		for _, language := range []string{"fr", "ja"} {
			b.visit(w.info.PortalURL + "/provider/overview?lang=" + language)
			b.accessible()
			b.picture(language + "-dashboard-" + d.name)
		}
		b.quiet()
	}
	for who, path := range map[string]string{"erin": "/provider", "lena": "/provider", "onboarding": "/provider"} {
		client, err := visitor.SignIn(t.Context(), w.info.PortalURL+path, who)
		must(t, err)
		if status, body := w.sees(t, client, path+"/overview"); status != http.StatusNotFound ||
			strings.Contains(body, "Meadow") {
			t.Errorf("%s sees the dashboard: %d", who, status)
		}
		if _, body := w.sees(t, client, path); strings.Contains(body, `href="/provider/overview"`) {
			t.Errorf("%s is led to what they may not see", who)
		}
	}
}

// An overview that is open shows what happens elsewhere, and leaves the keyboard and the filter where they are; while
// somebody fills in the filter, it only says that there is more to see.
func TestOverviewsUpdateByThemselves(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.requested("erin", intent(), request.CustomerNotified)
	otto, olga := w.browser(desktop), w.browser(phone)
	otto.visit(w.info.PortalURL + "/t/" + bank + "/overview?engineer=Erin")
	otto.signIn("otto")
	otto.reads("0 of 1 approved")
	otto.tabTo(`.tile a[href*="status=active"]`)
	olga.visit(w.info.PortalURL + "/provider/overview?customer=" + bank)
	olga.signIn("olga")
	olga.reads("0 of 1 approved")

	second := w.requested("erin", intent(), request.CustomerNotified)
	otto.reads("0 of 2 approved")
	olga.reads("0 of 2 approved")
	if !run(otto, chromedpBool(`document.activeElement.matches('.tile a[href*="status=active"]')`)) {
		t.Error("the focus is somewhere else")
	}
	if !run(otto, chromedpBool(`location.search.includes("engineer=Erin") &&
		document.querySelector("#engineer").value === "Erin"`)) {
		t.Error("the filter is lost")
	}

	run(otto, chromedpBool(`(document.querySelector("#engineer").value = "Bob", true)`))
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: second,
		Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "Not now."}}})
	otto.eventually("the page says that it has changed", func() bool { return otto.has("#stale:not([hidden])") })
	if !run(otto, chromedpBool(`document.querySelector("#engineer").value === "Bob"`)) {
		t.Error("what was typed is lost")
	}
	olga.reads("1 decision.")
	otto.press("#stale a")
	otto.reads("1 decision.")
	otto.quiet()
	olga.quiet()
}
