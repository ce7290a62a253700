package stack_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"github.com/openlockbox/lockbox/services/portal"
)

func TestThePortalIsServedAndMailsLinkToIt(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	if url := l.stack.PortalURL(); url != "" {
		t.Errorf("nobody asked for a portal, and there is one at %s", url)
	}
	l.config.Portal = &portal.Config{Listen: "127.0.0.1:0", Organisations: demo.Organisations(l.issuer)}
	l.restart(0)
	url := l.stack.PortalURL()
	r, err := http.Get(url + "/")
	must(t, err)
	must(t, r.Body.Close())
	if r.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("%s is not the portal: %v", url, r.Header)
	}
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.mailed(id, "approval-requested", "otto@")
	l.mailed(id, "customer-asked", "erin@")
	mails, err := mailbox.Read(l.stack.MailboxDir())
	must(t, err)
	for _, m := range mails {
		want := map[string]string{
			"otto@meadowbank.example":          portalurl.To(url, bank, "requests", id) + "?lang=en",
			"fleur@meadowbank.example":         portalurl.To(url, bank, "requests", id) + "?lang=fr",
			"erin@nimbus.example":              portalurl.To(url, "", "requests", id) + "?lang=en",
			"security-desk@meadowbank.example": "",
		}[m.Recipients[0]]
		if !strings.Contains(m.Text, id) {
			continue
		}
		if !strings.Contains(m.Text, want) || want == "" && strings.Contains(m.Text, url) {
			t.Errorf("%v: want a link to %q:\n%s", m.Recipients, want, m.Text)
		}
	}

	l.config.Only = []bus.Identity{bus.Orchestrator}
	l.restart(0)
	if url := l.stack.PortalURL(); url != "" {
		t.Errorf("the orchestrator alone was to run, and there is a portal at %s", url)
	}
}

func TestAPortalInWhichNobodyCouldBeTrustedIsRefused(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	for want, wrong := range map[string]portal.Config{
		"organisations": {Listen: "127.0.0.1:0"},
		"url": {Listen: "127.0.0.1:0", URL: "http://lockbox.example.org",
			Organisations: demo.Organisations(l.issuer)},
	} {
		c := l.config
		c.Dir, c.Portal = t.TempDir(), &wrong
		if _, err := stack.Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), "portal: "+want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
