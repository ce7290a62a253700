package cli

import (
	"context"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/services/forwarder"
	"github.com/spf13/cobra"
)

func (a *app) auditForwardCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "forward", Short: "Send every event on to webhooks and syslog servers, for as long as it runs", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `Follows the stream with the compliance team's key and sends each event to every target of the configuration, in order and
at least once: to a webhook as Standard Webhooks has it, signed with ed25519, or to syslog as RFC 5424 has it, over TLS. How
far each target has come is remembered in a directory, so it goes on there after whatever ends it. A target that fails is
tried again, and holds up no other; a webhook that answers 410 Gone gets nothing more. Batches, several requests at a time,
tokens and passwords from files, and the shapes of Splunk, Elastic and Azure Monitor are in
services/forwarder/README.md. It is the provider's own view: what a customer is not shown, or not yet, is in it.

  cursors: /var/lib/lockbox/forward
  targets:
    - name: siem
      format: ocsf                # or cloudevents (the default), jsonl, azure
      webhook: {url: https://siem.example/lockbox, key_file: siem.key, batch: {events: 100}}
    - name: archive
      tenant: meadowbank
      syslog: {address: "logs.example:6514", ca_file: logs-ca.pem}`,
		Example: `  lockbox audit forward key --key siem.key
  lockbox audit forward --config forward.yaml`,
	}
	c.Flags().StringVar(&file, "config", "", "configuration `file` (YAML)")
	_ = c.MarkFlagFilename("config", "yaml", "yml") // fails only for an unknown flag
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		if file == "" {
			return usage(c, "--config is required")
		}
		var f forwarder.Config
		if err := config.Load(file, nil, &f); err != nil {
			return err
		}
		log, err := observe.NewLogger(observe.LogOptions{Service: "forward", NoColor: a.Getenv("NO_COLOR") != ""})
		if err != nil {
			return err
		}
		j, err := s.Journal(ctx)
		if err != nil {
			return err
		}
		defer j.Close()
		return (&forwarder.Forwarder{Config: f, Source: j, Now: a.Now, Log: log}).Run(ctx)
	})
	c.AddCommand(a.auditForwardKeyCommand())
	return c
}

func (a *app) auditForwardKeyCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "key", Short: "Make a key that signs webhooks, and say its public half", Args: exactly(),
		ValidArgsFunction: nothing,
		Long:              "Makes a key in a new file, and prints the public key, with which whoever gets the webhooks verifies them.",
		Example:           "  lockbox audit forward key --key siem.key",
		RunE: func(*cobra.Command, []string) error {
			public, err := forwarder.CreateKey(file)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Out, public)
			return err
		},
	}
	c.Flags().StringVar(&file, "key", "webhook.key", "new `file` for the key")
	_ = c.MarkFlagFilename("key")
	return c
}
