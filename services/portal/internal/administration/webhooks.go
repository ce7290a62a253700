package administration

import (
	"crypto/rand"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// hooking is a visit to the page about the tenant's own webhooks (R57).
type hooking struct{ looking }

func (p pages) webhooks(v *site.Visit, f *form.Form) error {
	l, err := whole(v, f)
	if err != nil {
		return err
	}
	return p.show(l, "webhooks", "administration.webhooks", hooking{l})
}

// Full reports whether there are as many webhooks as a tenant may have.
func (h hooking) Full() bool { return len(h.Tenant.GetWebhooks()) >= tenant.MaxWebhooks }

// Kinds lists the kinds to choose from.
func (hooking) Kinds() []string {
	return []string{"WEBHOOK_KIND_STANDARD", "WEBHOOK_KIND_SLACK", "WEBHOOK_KIND_TEAMS"}
}

// Kind names a kind.
func (h hooking) Kind(kind string) (string, error) {
	return h.Say.Say(message("webhook.kind", kind, "WEBHOOK_KIND_"))
}

// Secret returns the key of the signatures: the page's own until the form that shows it is sent, and then that one.
func (h hooking) Secret() string {
	if sent := h.Form.Value("secret"); sent != "" {
		return sent
	}
	key := make([]byte, tenant.WebhookKeySize)
	_, _ = rand.Read(key) // never fails
	return tenant.WebhookSecret(key)
}

func (p pages) changeWebhooks(v *site.Visit) error {
	f := form.Sent(v.R)
	c, again := &lockboxv1.Command{}, p.webhooks
	switch f.Value("do") {
	case "add":
		kind := lockboxv1.WebhookKind(lockboxv1.WebhookKind_value[f.Value("kind")])
		add := &lockboxv1.AddWebhook{Kind: kind, Name: f.Value("name"), SecretUrl: f.Value("address"),
			Language: f.Value("language")}
		if kind == lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD {
			add.Secret = f.Value("secret")
		}
		c.Action = &lockboxv1.Command_AddWebhook{AddWebhook: add}
	case "remove":
		id := f.Value("webhook")
		c.Action = &lockboxv1.Command_RemoveWebhook{RemoveWebhook: &lockboxv1.RemoveWebhook{WebhookId: id,
			Reason: f.Value("reason")}}
		again = func(v *site.Visit, f *form.Form) error {
			if f.Refusal != nil {
				return p.webhooks(v, f)
			}
			return p.removeWebhook(v, f, id)
		}
	default:
		return unknown()
	}
	return change{
		Visit: v, form: f, command: c, then: v.Path(root, "webhooks"), again: again,
		fields: map[string]form.Field{
			"remove_webhook.reason":  {Name: "reason", Label: "administration.reason"},
			"add_webhook.kind":       {Name: "kind", Label: "administration.webhook.kind"},
			"add_webhook.name":       {Name: "name", Label: "administration.webhook.name"},
			"add_webhook.secret_url": {Name: "address", Label: "administration.webhook.address"},
			"add_webhook.secret":     {Name: "secret", Label: "administration.webhook.secret"},
			"add_webhook.language":   {Name: "language", Label: "administration.webhook.language"},
		},
	}.onWhatWasSeen()
}
