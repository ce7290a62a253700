package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) tenantWebhookCommand() *cobra.Command {
	return group("webhook", "Have your own programs and chats told of what happens",
		`A webhook is told what your activity log shows: a program of yours, signed as Standard Webhooks has it; a Slack channel; or a
Microsoft Teams channel. It is told and gets a link to the portal; nothing can be decided by it. At most five at a time.`, "",
		a.webhookAddCommand(), a.webhookListCommand(), a.webhookRemoveCommand())
}

// added is what is said of a new webhook.
type added struct {
	Reply     json.RawMessage `json:"reply"`
	WebhookID string          `json:"webhook_id"`
	// Secret is the key of the signatures, which is shown only once.
	Secret string `json:"secret,omitempty"`
}

func (a *app) webhookAddCommand() *cobra.Command {
	in := &lockboxv1.AddWebhook{}
	kind := enumFlag[lockboxv1.WebhookKind]{as: "kind"}
	var file string
	c := &cobra.Command{
		Use: "add NAME", Short: "Add a webhook, and say its secret once", Args: exactly("NAME"), ValidArgsFunction: nothing,
		Long: `Its first message, sent at once, is that it was added: if that arrives, it works. The address is encrypted before it is
recorded, and only its host is ever shown again. That of a chat is a secret: give it in a file, or on the standard input with
--url-file -. Of a standard webhook, a secret (whsec_…) is made and shown once; receivers check signatures with it.`,
		Example: `  lockbox tenant webhook add "Security operations" --kind standard --url https://soc.meadowbank.example/lockbox
  lockbox tenant webhook add "#lockbox" --kind slack --url-file slack-address.txt --language fr
  lockbox tenant webhook add Denials --kind teams --url-file - --event CustomerDenied --event AccessRevoked`,
	}
	f := c.Flags()
	f.Var(&kind, "kind", "who receives it: "+strings.Join(spellings[lockboxv1.WebhookKind](), ", "))
	f.StringVar(&in.SecretUrl, "url", "", "the whole `address`, over https")
	f.StringVar(&file, "url-file", "",
		"`file` that holds the address instead, which is not seen in it; - is the standard input")
	f.StringArrayVar(&in.Types, "event", nil,
		"`type` of event that is sent (repeat for several); none: what is usual for the kind")
	f.StringVar(&in.Language, "language", "", "`language` of messages to people: "+strings.Join(tenant.Languages, ", ")+
		"; none: the tenant's")
	complete(c, "kind", fixed(spellings[lockboxv1.WebhookKind]()...))
	complete(c, "event", fixed(eventTypes()...))
	complete(c, "language", fixed(tenant.Languages...))
	_ = c.MarkFlagFilename("url-file") // fails only for an unknown flag
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		in.Name, in.Kind = args[0], kind.value
		unread := flagged("url", a.address(c, in, file))
		if in.GetKind() == lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD {
			key := make([]byte, tenant.WebhookKeySize)
			_, _ = rand.Read(key) // never fails
			in.Secret = tenant.WebhookSecret(key)
		}
		hook, err := uuid.NewV7()
		if err != nil {
			return err
		}
		command := &lockboxv1.Command{Id: hook.String(), Action: &lockboxv1.Command_AddWebhook{AddWebhook: in}}
		if err := s.check(command, []string{"kind", kind.String()}, unread); err != nil {
			return err
		}
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		reply, err := s.do(ctx, id, "", command)
		if err != nil {
			return err
		}
		record, err := render.RecordJSON(reply)
		if err != nil {
			return err
		}
		return a.write(page{
			json: func() (string, error) {
				return render.ValueJSON(added{record, hook.String(), in.GetSecret()})
			},
			human: func(l render.Look) string {
				text := render.Sentence(l, "The webhook "+hook.String()+
					" is added. It is told so at once; if nothing arrives, its address is wrong.")
				if in.GetSecret() != "" {
					text += render.Sentence(l, "Its secret, which is shown only now:") + "  " + in.GetSecret() + "\n"
				}
				return text
			},
		})
	})
	return c
}

// address reads the address of a new webhook.
func (a *app) address(c *cobra.Command, in *lockboxv1.AddWebhook, file string) error {
	switch {
	case (in.GetSecretUrl() == "") == (file == ""):
		return usage(c, "either --url or --url-file is needed")
	case file == "-":
		text, err := io.ReadAll(io.LimitReader(a.In, largestFile))
		if err != nil {
			return err
		}
		in.SecretUrl = strings.TrimSpace(string(text))
	case file != "":
		text, err := readFile(c, file)
		if err != nil {
			return err
		}
		in.SecretUrl = strings.TrimSpace(string(text))
	}
	return nil
}

// eventTypes are the types of events that a tenant can have.
func eventTypes() (types []string) {
	for _, f := range aggregate.Facts() {
		switch f.Kind {
		case aggregate.KindPolicy, aggregate.KindOwnership, aggregate.KindCheckpoint, aggregate.KindAlarm,
			aggregate.KindSigning:
			continue // the provider's own
		case aggregate.KindSubscription:
			if aggregate.Belongs(aggregate.KindTenant, f.Type) {
				continue // is there already
			}
		}
		types = append(types, f.Type)
	}
	return types
}

func (a *app) webhookListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tenant's webhooks", Args: exactly(), ValidArgsFunction: nothing,
		Example: "  lockbox tenant webhook list",
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			id, err := s.oneTenant(ctx)
			if err != nil {
				return err
			}
			v, err := s.tenantView(ctx, id, 0)
			if err != nil {
				return err
			}
			only := &lockboxv1.TenantView{Tenant: v.GetTenant(), Webhooks: v.GetWebhooks(), Version: v.GetVersion()}
			return a.show(only, func(l render.Look) string { return render.Webhooks(l, v.GetWebhooks()) })
		}),
	}
}

func (a *app) webhookRemoveCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "remove WEBHOOK", Short: "Remove a webhook; nothing is sent to it any more", Args: exactly("WEBHOOK"),
		ValidArgsFunction: firstArgument(a.asking(func(ctx context.Context, s *session) (ids []string) {
			for _, w := range s.view(ctx).GetWebhooks() {
				ids = append(ids, cobra.CompletionWithDesc(render.Clean(w.GetId()), render.Clean(w.GetName())))
			}
			return ids
		})),
		Example: `  lockbox tenant webhook remove "#lockbox" --reason "The channel was closed" --yes`,
	}
	c.Flags().StringVar(&reason, "reason", "", "`why`")
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		v, err := s.tenantView(ctx, id, 0)
		if err != nil {
			return err
		}
		hook, err := pick(c, "webhook", args[0], "lockbox tenant webhook list", v.GetWebhooks(),
			func(w *lockboxv1.Webhook) candidate { return candidate{id: w.GetId(), name: w.GetName()} })
		if err != nil {
			return err
		}
		name := render.Clean(first(hook.GetName(), hook.GetId()))
		if err := a.confirmDangerous(ctx, c, *yes, "Nothing is sent to "+name+" any more.", goOn); err != nil {
			return err
		}
		return s.order(ctx, id, "", &lockboxv1.Command{Action: &lockboxv1.Command_RemoveWebhook{
			RemoveWebhook: &lockboxv1.RemoveWebhook{WebhookId: hook.GetId(), Reason: reason}}},
			"Removed. Nothing is sent to %s any more.", name)
	})
	return c
}
