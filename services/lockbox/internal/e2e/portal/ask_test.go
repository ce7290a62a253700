package portal_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
)

// R62: an engineer asks for access in the portal, corrects what is refused with everything that they typed still there,
// and sending it once more makes no second request.
func TestR62AnEngineerAsksForAccessInThePortal(t *testing.T) {
	t.Parallel()
	w := start(t)
	for i, d := range []device{desktop, phoneDark} {
		b := w.browser(d)
		b.visit(w.info.PortalURL + "/provider?lang=en")
		b.signIn("erin")
		b.press(`.ways a[href="/provider/ask"]`)
		b.accessible()
		b.picture("en-ask-1-form-" + d.name)
		in := intent()
		b.fill("#customer", bank)
		b.fill("#ticket", "SR-NO-SUCH")
		b.choose("#operation", in.GetResourceType()+" "+in.GetScenario())
		b.fill("#subscription", in.GetSubscriptionId())
		resources := []string{demo.Machine(demo.BankProduction, "payments-1"),
			demo.Machine(demo.BankProduction, []string{"orders-1", "orders-2"}[i])}
		b.fill("#resources", strings.Join(resources, "\n"))
		b.choose("#reason-type", "CUSTOMER_INITIATED_SUPPORT")
		b.fill("#justification", in.GetJustification())
		b.choose("#duration", "2h0m0s")
		b.press("main form button.main")
		b.eventually("the ticket is refused", func() bool { return b.has("#ticket[aria-invalid=true]") })
		b.accessible()
		b.picture("en-ask-2-refused-" + d.name)
		b.quiet("400")
		b.fill("#ticket", demo.BankTicket)
		b.press("main form button.main")
		b.reads("The customer is asked to decide.")
		b.accessible()
		b.picture("en-ask-3-review-" + d.name)
		for _, language := range []string{"fr", "ja"} {
			b.visit(w.info.PortalURL + "/provider/ask/review?lang=" + language)
			b.accessible()
			b.picture(language + "-ask-3-review-" + d.name)
		}
		b.visit(w.info.PortalURL + "/provider/ask/review?lang=en")
		b.press("main form button.main")
		b.reads("Erin Ellis of Nimbus Cloud asks for")
		path, _, _ := strings.Cut(b.at(), "?")
		id := path[strings.LastIndex(path, "/")+1:]
		got := w.reaches(bank, id, request.CustomerNotified)
		if len(got.GetIntent().GetResourceIds()) != 2 || got.GetRequester().GetPerson().GetSubject() == "" ||
			got.GetIntent().GetTicketId() != demo.BankTicket {
			t.Errorf("asked for %v", got.GetIntent())
		}
		b.quiet()
	}
	olga := w.person("olga")
	reply, err := olga.Ask(t.Context(), &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_ListRequests{
		ListRequests: &lockboxv1.ListRequests{Count: true}}})
	must(t, err)
	if n := reply.GetRequests().GetTotal(); n != 2 {
		t.Errorf("two were asked for, and there are %d", n)
	}
}
