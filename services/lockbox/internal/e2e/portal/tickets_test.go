package portal_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
)

// R61: a ticket is opened, commented, closed and opened again in a browser. What is refused says so, with everything
// that was typed still there. The customer has chosen that access ends with its ticket, and the pages say what a
// closing ends, what it ended, and who closed it.
func TestR61ATicketIsDealtWithInThePortal(t *testing.T) {
	t.Parallel()
	w := start(t)
	tickets := w.info.PortalURL + "/t/" + bank
	g := w.browser(desktop)
	g.visit(tickets + "/administration/settings/ticket?lang=en")
	g.signIn("grace")
	g.accessible()
	g.picture("en-ticket-setting-" + desktop.name)
	g.do(chromedp.Click(chromedp.CSS(`input[name=value][value=ends]`)))
	g.press("main form button.main")
	g.press("main form button.main")
	g.reads("Access when its ticket is closed")
	g.quiet()

	for _, d := range []device{desktop, phoneDark} {
		b := w.browser(d)
		b.visit(tickets + "/tickets?lang=en")
		b.signIn("otto")
		b.press(`a[href$="/open-ticket"]`)
		b.accessible()
		b.picture("en-ticket-1-open-" + d.name)
		b.fill("#title", "It")
		b.fill("#description", "Since this morning.")
		b.choose("#subscription", demo.BankProduction)
		b.press("main form button.main")
		b.eventually("the title is marked", func() bool { return b.has("#title[aria-invalid=true]") })
		b.fill("#title", "The payment service hangs")
		b.fill("#reference", strings.ToLower(demo.BankTicket)) // taken, in any spelling
		b.press("main form button.main")
		b.reads("exists already. Comment on it, or use another reference.")
		if got := run(b, chromedp.Value(chromedp.CSS("#description"))); got != "Since this morning." {
			t.Errorf("what was typed has become %q", got)
		}
		b.accessible()
		b.picture("en-ticket-2-refused-" + d.name)
		b.quiet("4") // the browser tells of answers that are refusals
		reference := "SR-" + d.name
		b.fill("#reference", reference)
		b.press("main form button.main")
		b.reads("The payment service hangs")
		b.do(chromedp.Click(chromedp.CSS("details.more summary")))
		b.reads("Closing it ends nothing else")
		b.accessible()
		path, _, _ := strings.Cut(b.at(), "?")

		b.fill("#text", "  ") // which browsers take for something
		b.press(`form[action$="/comment"] button`)
		b.eventually("the comment is refused", func() bool { return b.has("#text[aria-invalid=true]") })
		b.quiet("4")
		b.fill("#text", "It happened again.")
		b.press(`form[action$="/comment"] button`)
		b.reads("It happened again.")
		b.quiet()

		in := intent()
		in.TicketId = reference
		id := w.requested("erin", in, request.CustomerNotified)
		w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: id,
			Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
		w.reaches(bank, id, request.Active)
		b.visit(path + "?lang=en")
		b.do(chromedp.Click(chromedp.CSS("details.more summary")))
		b.reads("Closing it ends the access that runs on this ticket")
		b.accessible()
		b.picture("en-ticket-3-close-" + d.name)
		b.fill("#reason", strings.Repeat("x", 1001))
		b.press(`form[action$="/close"] button`)
		b.eventually("the reason is refused", func() bool { return b.has("details.more[open] #reason[aria-invalid=true]") })
		b.quiet("4")
		b.fill("#reason", "It runs again.")
		b.press(`form[action$="/close"] button`)
		b.reads("by Otto Owens on")
		w.reaches(bank, id, request.Revoked)
		for _, language := range []string{"en", "fr", "ja"} {
			b.visit(path + "?lang=" + language)
			b.accessible()
			b.picture(language + "-ticket-4-closed-" + d.name)
		}
		b.visit(tickets + "/requests/" + id + "?lang=en")
		b.reads("The ticket was closed by Otto Owens.")
		b.accessible()
		b.picture("en-ticket-5-ended-" + d.name)

		b.visit(path + "?lang=en")
		b.reads("Access that depended on this ticket has ended")
		b.do(chromedp.Click(chromedp.CSS("details.more summary")))
		b.press(`form[action$="/reopen"] button`)
		b.reads("opened ticket " + reference + " again")
		w.reaches(bank, id, request.Revoked)
		b.quiet()
	}
}

// R61: what the provider's ticket system opened is shown as the provider's to everybody, and nobody of the provider is
// offered to open a ticket.
func TestR61WhoseATicketIsStandsOnItsPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.does("desk", &lockboxv1.Command{Tenant: bank, Action: &lockboxv1.Command_OpenTicket{
		OpenTicket: &lockboxv1.OpenTicket{Title: "A disk is failing", Reference: "INC-7"}}})
	for persona, at := range map[string]string{"otto": "/t/" + bank, "lena": "/provider"} {
		b := w.browser(desktop)
		if persona == "otto" { // who has no role for all of the organisation's tickets
			persona = "grace"
		}
		b.visit(w.info.PortalURL + at + "/tickets/" + aggregate.TicketID("INC-7") + "?lang=en")
		b.signIn(persona)
		b.reads("by Nimbus Cloud’s ticket system (Nimbus Service Desk)")
		if strings.Contains(b.everything(), "of your organisation") {
			t.Errorf("%s reads that it is the organisation's:\n%s", persona, b.everything())
		}
		b.accessible()
		b.visit(w.info.PortalURL + at + "/tickets?lang=en")
		b.reads("A disk is failing")
		if offered := b.has(`a[href$="/open-ticket"]`); offered != (persona == "grace") {
			t.Errorf("%s is offered to open a ticket: %t", persona, offered)
		}
		b.accessible()
		b.quiet()
	}
}
