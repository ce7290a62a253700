package portal_test

import (
	"html"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
)

// From the intent to the grant, each mail leads whoever got it to their own side of the portal, in their language.
func TestMailsLeadToTheRequest(t *testing.T) {
	t.Parallel()
	w := visit(t)
	id := w.requested("erin", intent(), request.CustomerNotified)
	there := intent()
	there.Tenant, there.SubscriptionId, there.TicketId = health, demo.HealthClinic, demo.HealthTicket
	there.ResourceIds = []string{demo.Machine(demo.HealthClinic, "booking-1")}
	abroad := w.requested("bob", there, request.CustomerNotified)
	elevated := intent()
	elevated.Scenario = "managed-disk"
	inside := w.requested("erin", elevated, request.AwaitingInternalApproval)

	for _, c := range []struct{ to, about, want string }{
		{"otto@meadowbank.example", id, portalurl.To(w.info.PortalURL, bank, "requests", id) + "?lang=en"},
		{"fleur@meadowbank.example", id, portalurl.To(w.info.PortalURL, bank, "requests", id) + "?lang=fr"},
		{"kenji@sakura.example", abroad, portalurl.To(w.info.PortalURL, health, "requests", abroad) + "?lang=ja"},
		{"hana@sakura.example", "診療システム", portalurl.To(w.info.PortalURL, health, "administration") + "?lang=ja"},
		{"erin@nimbus.example", id, portalurl.To(w.info.PortalURL, "", "requests", id) + "?lang=en"},
		{"derek@nimbus.example", inside, portalurl.To(w.info.PortalURL, "", "requests", inside) + "?lang=en"},
		{"security-desk@meadowbank.example", id, ""}, // it may do nothing (R24)
		{"grace@meadowbank.example", "Lockbox was switched on", portalurl.To(w.info.PortalURL, bank, "administration") +
			"?lang=en"},
	} {
		m := w.mail(c.to, c.about)
		if got := w.link(m); got != c.want {
			t.Errorf("%s is led to %q, want %q", c.to, got, c.want)
		}
		if shown := w.get(w.page(m) + "/html"); c.want != "" &&
			!strings.Contains(shown, `<a href="`+html.EscapeString(c.want)+`" target="_blank"`) {
			t.Errorf("%s has nothing to follow:\n%s", c.to, shown)
		}
	}

	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: id,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
	w.reaches(bank, id, request.Active)
	if at := w.link(w.mail("otto@meadowbank.example", "Access was granted", id)); at != portalurl.To(w.info.PortalURL,
		bank, "requests", id)+"?lang=en" {
		t.Errorf("who may revoke is led to %q", at)
	}
}

func (w *world) get(address string) string {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, address, nil)
	must(w, err)
	answer, err := http.DefaultClient.Do(r)
	must(w, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(w, err)
	return string(body)
}
