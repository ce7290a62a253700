// Package ops holds the operators' commands: all of Lockbox in one process, and the parts that are not services of
// their own: the NATS node, keys, provisioning and the development mailbox.
package ops

import (
	"fmt"
	"net"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"github.com/spf13/cobra"
)

// Commands returns the commands to add to the command line.
func Commands() []*cobra.Command {
	return []*cobra.Command{upCommand(), busCommand(), keysCommand(), natsCommand(), provisionCommand(), witnessCommand(),
		repairCommand(), keystoreCommand(), portalCommand(), mailboxCommand(), demoCommand(), configCommand(),
		healthCommand(), doctorCommand()}
}

func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health URL",
		Short: "Ask a part of Lockbox that runs here whether it is well",
		Long: "Gets the address, prints the answer, and succeeds if it is 200. It is for containers, whose images have nothing else to ask\n" +
			"with. A service asks itself: jit-evaluator --config FILE --health.",
		Example: "  lockbox health 'http://127.0.0.1:8222/healthz?js-server-only=true'",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return observe.Ask(c.Context(), args[0], c.OutOrStdout())
		},
	}
}

func mailboxCommand() *cobra.Command {
	var c mailbox.Config
	cmd := &cobra.Command{
		Use:   "mailbox",
		Short: "Run a development mailbox: mails go in by SMTP and are read in a browser",
		Long:  "Takes every mail and delivers none. It is for trying things out: anybody who can reach it can read and write.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := mailbox.New(c)
			if err != nil {
				return err
			}
			return m.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&c.Dir, "dir", "mail", "directory of the mails")
	cmd.Flags().StringVar(&c.SMTPListen, "listen", "127.0.0.1:2525", "address for SMTP")
	cmd.Flags().StringVar(&c.HTTPListen, "http", "127.0.0.1:8025", "address of the page")
	return cmd
}

func hostPort(address string) (string, int, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: want host:port", address)
	}
	port, err := strconv.Atoi(service)
	if err != nil || port < 0 || port > 65535 || host == "" {
		return "", 0, fmt.Errorf("address %q: want host:port", address)
	}
	if port == 0 {
		port = -1 // to NATS, -1 means any free port
	}
	return host, port, nil
}
