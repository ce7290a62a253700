package portal_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/openlockbox/lockbox/pkg/invitation"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// invited has Grace invite somebody on the command line, and returns the link.
func (w *world) invited(subscription, id string, role lockboxv1.Role) string {
	w.Helper()
	secret := invitation.New()
	hash, err := secret.Hash("")
	must(w, err)
	i := &lockboxv1.RoleInvitation{Id: id, Role: role, Note: "Kim of the platform team", SecretHash: hash,
		Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}
	if subscription != "" {
		i.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	}
	w.does("grace", &lockboxv1.Command{Tenant: bank, AggregateId: subscription,
		Action: &lockboxv1.Command_InviteRole{InviteRole: &lockboxv1.InviteRole{Invitation: i}}})
	return secret.Link(w.info.PortalURL, bank)
}

// asked collects the addresses that a browser asks for and the pages that it says to come from.
func (b *tab) asked() func() []string {
	b.Helper()
	var all []string
	must(b.T, chromedp.Listen(b.ctx, func(event any) {
		if e, is := event.(*network.EventRequestWillBeSent); is {
			b.mu.Lock()
			defer b.mu.Unlock()
			all = append(all, e.Request.URL)
			for _, value := range e.Request.Headers {
				if text, is := value.(string); is {
					all = append(all, text)
				}
			}
		}
	}))
	return func() []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		return all
	}
}

// Grace invites in the portal, Audrey follows the link before she has signed in, sees what it is about and accepts, and
// Grace confirms. The link's secret is in no address that a browser asks for, in no Referer and in no log (R66).
func TestSomebodyIsInvitedInTheBrowser(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.DebugLevel)
	w := startLogging(t, zap.New(core))
	production := w.info.PortalURL + "/t/" + bank + "/administration/subscriptions/" + demo.BankProduction
	grace := w.browser(desktop)
	grace.visit(production)
	grace.signIn("grace")
	grace.press(`a[href$="/invite"]`)
	grace.picture("invitation-1-invite")
	grace.do(chromedp.Click(chromedp.CSS(`input[value="ROLE_LOCKBOX_APPROVER"]`)))
	grace.fill("#for", "Audrey of the audit team")
	grace.press("form.card button.main")
	grace.accessible()
	grace.picture("invitation-2-link")
	link := run(grace, chromedp.Value(chromedp.CSS("#made")))
	mail, err := url.QueryUnescape(grace.attribute(`a[href^="mailto:"]`, "href"))
	must(t, err)
	if !strings.Contains(mail, link) {
		t.Errorf("the mail has no link: %s", mail)
	}
	secret := link[strings.IndexByte(link, '#')+1:]
	grace.visit(production)
	grace.picture("invitation-3-list")
	if strings.Contains(grace.everything(), secret) {
		t.Error("the link is shown again")
	}

	audrey := w.browser(phone)
	asked := audrey.asked()
	audrey.visit(link)
	audrey.signIn("audrey")
	audrey.eventually("the link in its field", func() bool {
		return run(audrey, chromedp.Value(chromedp.CSS("#link"))) == secret
	})
	audrey.accessible()
	audrey.picture("invitation-4-accept")
	audrey.press("form.card button.main")
	audrey.reads("Grace Green invites you to be Lockbox Approver of Production")
	audrey.accessible()
	audrey.picture("invitation-5-offer")
	audrey.press("form button.main")
	audrey.reads("Accepted.")
	audrey.picture("invitation-6-accepted")
	audrey.quiet()
	for _, address := range asked() {
		if strings.Contains(address, secret) {
			t.Errorf("the secret is in %s", address)
		}
	}

	// Whoever follows it afterwards is told that it was used.
	otto := w.browser(desktop)
	otto.visit(w.info.PortalURL + "/t/" + bank + "/requests")
	otto.signIn("otto")
	otto.visit(link)
	otto.press("form.card button.main")
	otto.reads("has been accepted already")
	otto.leads("another link", chromedp.Navigate(link[:len(link)-5]+"AAAAA"))
	otto.press("form.card button.main")
	otto.reads("No invitation has this link and code")
	otto.quiet("400") // that is how the browser notes the page's status

	grace.visit(production)
	grace.reads("Accepted, to be confirmed")
	grace.picture("invitation-7-waits")
	grace.press("td.do a.button.main")
	grace.reads("Audrey Abbott")
	grace.accessible()
	grace.picture("invitation-8-confirm")
	grace.press("section form button.main")
	grace.reads("Confirmed")
	grace.picture("invitation-9-confirmed")
	grace.quiet()
	narrow := w.browser(phone)
	narrow.visit(production)
	narrow.signIn("grace")
	narrow.accessible()
	narrow.picture("invitation-9-confirmed-phone")
	for _, entry := range logged.All() {
		if line := entry.Message + " " + fmt.Sprint(entry.ContextMap()); strings.Contains(line, secret) {
			t.Errorf("the log has the secret: %s", line)
		}
	}
}

// Without scripts the link is pasted.
func TestAnInvitationIsAcceptedWithoutScripts(t *testing.T) {
	t.Parallel()
	w := start(t)
	link := w.invited("", "i-plain", lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
	b := w.browser(desktop)
	b.visit(w.info.PortalURL + "/t/" + bank + "/invitation")
	b.signIn("otto")
	b.withoutScripts()
	b.visit(w.info.PortalURL + "/t/" + bank + "/invitation")
	b.fill("#link", link)
	b.do(chromedp.Click(chromedp.CSS("form.card button.main")))
	b.eventually("the offer", func() bool { return strings.Contains(b.everything(), "Grace Green invites you") })
	b.do(chromedp.Click(chromedp.CSS("form button.main")))
	b.eventually("that it was accepted", func() bool { return strings.Contains(b.everything(), "Accepted.") })
}
