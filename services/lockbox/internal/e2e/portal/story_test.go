package portal_test

import (
	"html"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"google.golang.org/protobuf/types/known/durationpb"
)

// signIn chooses who to be, where the issuer asks.
func (b *tab) signIn(persona string) {
	b.Helper()
	b.press(`button[name=persona][value=` + persona + `]`)
}

// From the e-mail's link to approved to revoked, on a phone.
func TestFromTheMailToApprovedToRevoked(t *testing.T) {
	t.Parallel()
	w := visit(t)
	id := w.requested("erin", intent(), request.CustomerNotified)
	b := w.browser(phone)
	b.visit(w.link(w.mail("otto@meadowbank.example", id)))
	b.signIn("otto")
	b.reads("Waiting for approval")
	b.accessible()
	b.picture("en-1-request-phone-light")

	b.press(`a.button[href*="/approve/confirm"]`)
	b.accessible()
	b.picture("en-2-confirm-phone-light")
	b.press("#decision button[formaction]")
	b.accessible()
	b.picture("en-3-less-phone-light")
	b.do(chromedp.Click(chromedp.CSS(`#duration input[value="2h0m0s"]`)))
	b.press("#decision button.main")
	b.reads("2 hours")
	b.accessible()
	b.picture("en-4-confirm-phone-light")
	if got := w.reaches(bank, id, request.CustomerNotified); got.GetCustomerDecisions() != nil {
		t.Fatal("something was decided before the last page")
	}
	b.press("#decision button.main")
	granted := w.reaches(bank, id, request.Active).GetGrant()
	if hours := granted.GetEndsAt().AsTime().Sub(granted.GetStartsAt().AsTime()).Hours(); hours != 2 {
		t.Errorf("access lasts %v hours", hours)
	}
	b.reads("Access is active until")
	b.accessible()
	b.picture("en-5-active-phone-light")

	b.press(`a.button[href$="/revoke"]`)
	b.fill("#reason", "We have seen enough.")
	b.accessible()
	b.press("#decision button:not([formaction])")
	w.reaches(bank, id, request.Revoked)
	b.reads("Access revoked")
	b.picture("en-6-revoked-phone-light")
	b.quiet()
}

// The pages of the same way, as they are sent to people who read other languages.
func TestTheWayIsToldInEveryLanguage(t *testing.T) {
	t.Parallel()
	w := visit(t)
	abroad := intent()
	abroad.Tenant, abroad.SubscriptionId, abroad.TicketId = health, demo.HealthClinic, demo.HealthTicket
	abroad.ResourceIds = []string{demo.Machine(demo.HealthClinic, "booking-1")}
	for _, c := range []struct {
		language, persona, address, engineer string
		intent                               *lockboxv1.AccessIntent
		// What they read before, on the page that asks once more, and after.
		waits, promise, active, over string
	}{
		{"fr", "fleur", "fleur@meadowbank.example", "erin", intent(), "En attente", "2 heures", "L’accès est ouvert jusqu’au",
			"Accès révoqué"},
		{"ja", "kenji", "kenji@sakura.example", "bob", abroad, "承認待ち", "2 時間", "有効", "取り消し"},
	} {
		t.Run(c.language, func(t *testing.T) {
			in := c.intent.GetTenant()
			id := w.requested(c.engineer, c.intent, request.CustomerNotified)
			client, err := visitor.SignIn(t.Context(), w.link(w.mail(c.address, id)), c.persona)
			must(t, err)
			page := "/t/" + in + "/requests/" + id
			reads := func(path, text string) {
				t.Helper()
				var body string
				for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
					_, body = w.sees(t, client, path)
					if strings.Contains(html.UnescapeString(body), text) {
						if !strings.Contains(body, `<html lang="`+c.language+`"`) {
							t.Errorf("%s is not in %s", path, c.language)
						}
						return
					}
				}
				t.Errorf("%s does not say %q:\n%s", path, text, body)
			}
			reads(page, c.waits)
			seen := w.reaches(in, id, request.CustomerNotified).GetVersion()
			reads(page+"/approve/confirm?duration=2h0m0s&resource=1&seen="+strconv.FormatUint(seen, 10), c.promise)
			w.does(c.persona, &lockboxv1.Command{Tenant: in, AggregateId: id,
				Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{
					Duration: durationpb.New(2 * time.Hour),
				}}})
			w.reaches(in, id, request.Active)
			reads(page, c.active)
			w.does(c.persona, &lockboxv1.Command{Tenant: in, AggregateId: id,
				Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "x"}}})
			w.reaches(in, id, request.Revoked)
			reads(page, c.over)
		})
	}
}

// A page that is open hears what happens elsewhere, and nobody decides on what is not true any more.
func TestADecisionElsewhereReachesOpenPages(t *testing.T) {
	t.Parallel()
	w := visit(t)
	id := w.requested("erin", intent(), request.CustomerNotified)
	otto, fleur := w.browser(desktop), w.browser(phone)
	otto.visit(w.link(w.mail("otto@meadowbank.example", id)))
	otto.signIn("otto")
	fleur.visit(w.link(w.mail("fleur@meadowbank.example", id)))
	fleur.signIn("fleur")
	fleur.press(`a.button[href*="/approve/confirm"]`)

	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: id,
		Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "How large will the dump be?"}}})
	otto.reads("How large will the dump be?")
	fleur.eventually("the button does nothing any more", func() bool { return fleur.has("[data-decides][disabled]") })
	fleur.picture("fr-7-changed-meanwhile-phone")

	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: id,
		Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "Not now."}}})
	otto.reads("Denied")
	fleur.press("#stale button")
	fleur.reads("Otto Owens")
	if got := w.reaches(bank, id, request.Denied); len(got.GetCustomerDecisions()) != 1 {
		t.Errorf("decided %d times", len(got.GetCustomerDecisions()))
	}
	fleur.quiet("409") // which is how the page that tells it is sent
	otto.quiet()
}

// A page that is brought up to date leaves the keyboard where it is, and is not replaced under a selection.
func TestALiveUpdateLeavesFocusAndSelection(t *testing.T) {
	t.Parallel()
	w := start(t)
	first := w.requested("erin", intent(), request.CustomerNotified)
	b := w.browser(desktop)
	b.visit(w.info.PortalURL + "/t/" + bank)
	b.signIn("otto")
	b.tabTo("#review-" + first)
	second := w.requested("erin", intent(), request.CustomerNotified)
	b.eventually("the new request is listed", func() bool { return b.has("#review-" + second) })
	if !run(b, chromedpBool(`document.activeElement.id === "review-`+first+`"`)) {
		t.Error("the focus is somewhere else")
	}
	run(b, chromedpBool(`(getSelection().selectAllChildren(document.querySelector("#waiting")), true)`))
	third := w.requested("erin", intent(), request.CustomerNotified)
	b.eventually("the page says that it has changed", func() bool { return b.has("#stale:not([hidden])") })
	if b.has("#review-"+third) || !run(b, chromedpBool(`getSelection().toString() !== ""`)) {
		t.Error("the page was replaced under the selection")
	}
	b.quiet()
}

// Whoever switches scripts off decides all the same.
func TestEverythingWorksWithoutScripts(t *testing.T) {
	t.Parallel()
	w := visit(t)
	id := w.requested("erin", intent(), request.CustomerNotified)
	b := w.browser(desktop)
	b.withoutScripts()
	b.visit(w.link(w.mail("otto@meadowbank.example", id)))
	b.signIn("otto")
	b.press(`a.button[href$="/deny"]`)
	b.fill("#reason", "Not before the weekend.")
	b.press("#decision button:not([formaction])")
	if got := w.reaches(bank, id, request.Denied); got.GetEndReason() != "Not before the weekend." {
		t.Errorf("denied because of %q", got.GetEndReason())
	}
}

// The keyboard alone is enough: the way to the decision is made of Tab and Enter.
func TestTheKeyboardAloneIsEnough(t *testing.T) {
	t.Parallel()
	w := visit(t)
	id := w.requested("erin", intent(), request.CustomerNotified)
	b := w.browser(desktop)
	b.visit(w.link(w.mail("otto@meadowbank.example", id)))
	b.tabTo(`button[value=otto]`)
	b.enter()
	b.tabTo(`a.button[href*="/approve/confirm"]`)
	b.enter()
	b.tabTo("#decision button.main")
	if !strings.Contains(b.text(".promise"), "Erin Ellis") {
		t.Errorf("the promise names nobody: %s", b.text(".promise"))
	}
	b.enter()
	w.reaches(bank, id, request.Active)
}

// Where the tenant demands a fresh sign-in, an old one leads to signing in again and back to the very same page, with
// what was chosen; somebody else who comes back decides nothing (R25).
func TestAnOldSignInLeadsToAFreshOneAndBack(t *testing.T) {
	t.Parallel()
	w := start(t)
	id := w.requested("erin", intent(), request.CustomerNotified)
	settings := w.tenant("grace").GetSettings()
	settings.MaxAuthenticationAge = durationpb.New(tenant.MinAuthenticationAge)
	w.does("grace", &lockboxv1.Command{Tenant: bank,
		Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{Settings: settings}}})

	b := w.browser(desktop)
	b.visit(w.link(w.mail("otto@meadowbank.example", id)))
	b.signIn("otto")
	signedIn := time.Now()
	b.press(`a.button[href*="/approve/confirm"]`)
	b.press("#decision button[formaction]")
	b.do(chromedp.Click(chromedp.CSS(`#duration input[value="2h0m0s"]`)))
	b.press("#decision button.main")
	time.Sleep(time.Until(signedIn.Add(tenant.MinAuthenticationAge + time.Second)))
	for _, who := range []string{"fleur", "otto"} {
		b.press("#decision button.main")
		b.press("main a.button.main") // the page that says why
		b.signIn(who)
		if who == "fleur" {
			b.picture("en-7-somebody-else-came-back-desktop-light")
			if got := w.reaches(bank, id, request.CustomerNotified); len(got.GetCustomerDecisions()) > 0 {
				t.Fatalf("%s decided with somebody else's page", who)
			}
			b.visit(w.info.PortalURL + "/t/" + bank + "/requests/" + id +
				"/approve/confirm?duration=2h0m0s&resource=1&resource=2&seen=" +
				strconv.FormatUint(w.reaches(bank, id, request.CustomerNotified).GetVersion(), 10))
		}
	}
	b.reads("2 hours")
	if got := w.reaches(bank, id, request.CustomerNotified); len(got.GetCustomerDecisions()) > 0 {
		t.Fatal("signing in again decided something")
	}
	b.press("#decision button.main")
	granted := w.reaches(bank, id, request.Active).GetGrant()
	if hours := granted.GetEndsAt().AsTime().Sub(granted.GetStartsAt().AsTime()).Hours(); hours != 2 {
		t.Errorf("access lasts %v hours", hours)
	}
}

func (w *world) tenant(as string) *lockboxv1.TenantView {
	w.Helper()
	reply, err := w.person(as).Ask(w.Context(),
		&lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	must(w, err)
	return reply.GetTenant()
}
