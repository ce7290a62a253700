package administration_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// withWebhooks is the bank with so many webhooks.
func withWebhooks(b *bank, n int) *bank {
	for i := range n {
		b.tenant.Webhooks = append(b.tenant.Webhooks, &lockboxv1.Webhook{Id: fmt.Sprintf("hook-%d", i),
			Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK, Name: fmt.Sprintf("#lockbox-%d", i),
			Address: "https://hooks.slack.com", Language: "ja"})
	}
	return b
}

var shownSecret = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`)

// The page shows what there is, to administrators a form with a secret of its own each time, and no form when there are
// as many as there may be (R57).
func TestR57WebhooksAreShown(t *testing.T) {
	for name, row := range map[string]struct {
		bank *bank
		form bool
	}{
		"an administrator": {withWebhooks(administrator(), 2), true},
		"full":             {withWebhooks(administrator(), tenant.MaxWebhooks), false},
		"an auditor":       {withWebhooks(auditor(), 2), false},
	} {
		h := served(t, row.bank)
		page := get(t, h, "/webhooks", http.StatusOK)
		holds(t, page, "#lockbox-1", "https://hooks.slack.com", "A Slack channel")
		again := get(t, h, "/webhooks", http.StatusOK)
		first := shownSecret.FindString(html.UnescapeString(page)) // of base64, a plus is escaped
		second := shownSecret.FindString(html.UnescapeString(again))
		if (first != "") != row.form || row.form && first == second {
			t.Errorf("%s: the secrets are %q and %q", name, first, second)
		}
		if row.form {
			if _, err := tenant.WebhookKey(first); err != nil {
				t.Errorf("%s is no secret: %v", first, err)
			}
		}
		if overview := get(t, h, "", http.StatusOK); !strings.Contains(overview, "#lockbox-0") {
			t.Errorf("%s: the first page does not name it", name)
		}
	}
}

// What was refused can be corrected, and the secret that somebody may have copied stays.
func TestR57ARefusedWebhookIsCorrected(t *testing.T) {
	b := administrator()
	b.Commands["add_webhook"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Invalid("add_webhook.secret_url", "R57", "must be an https address")
	}
	h := served(t, b)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	values := filled(t, get(t, h, "/webhooks", http.StatusOK), "/webhooks", `value="add"`, "kind", "WEBHOOK_KIND_STANDARD",
		"name", "SOC", "address", "http://soc.example", "secret", secret)
	w := sitetest.Post(h, base+"/webhooks", values)
	holds(t, w.Body.String(), secret, "http://soc.example", `aria-describedby="address-hint address-wrong"`)
	if w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
	values = url.Values{"do": {"everything"}, "command": values["command"], "seen": {"7"}}
	if w := sitetest.Post(h, base+"/webhooks", values); w.Code != http.StatusBadRequest {
		t.Errorf("an unknown form: %d", w.Code)
	}
}
