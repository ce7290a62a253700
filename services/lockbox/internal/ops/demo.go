package ops

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "demo",
		Short: "The demo's people and customers, for a Lockbox that runs as several processes; forge an approval",
		Long:  "`lockbox up --demo` needs none of this. It is for trying out the containers: whoever can read --dir can be anybody, so services\nmust never be configured to trust its issuer where real data is.",
	}
	c.PersistentFlags().StringVar(&dir, "dir", "demo", "directory of the demo issuer's keys")
	open := func() (*devissuer.Issuer, error) {
		return devissuer.New(devissuer.Config{Demo: true, Dir: dir})
	}
	var jwks string
	issuer := &cobra.Command{
		Use:   "issuer",
		Short: "Make the demo issuer's keys, and write the provider's key set for the services to trust",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := open()
			if err != nil {
				return err
			}
			return os.WriteFile(jwks, d.ProviderIssuer().JWKS, 0o644) // #nosec G306 -- public keys
		},
	}
	issuer.Flags().StringVar(&jwks, "jwks", "provider.json", "file for the public keys")
	token := &cobra.Command{
		Use:   "token PERSONA",
		Short: "Print a token of one of the demo's people, good for an hour",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := open()
			if err != nil {
				return err
			}
			text, err := d.Token(args[0], time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
			return err
		},
	}
	var url, keys string
	seed := &cobra.Command{
		Use:   "seed",
		Short: "Create the demo's two customers",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := open()
			if err != nil {
				return err
			}
			return seedUntilDone(c.Context(), connection(c, bus.Client, url, keys), d)
		},
	}
	seed.Flags().StringVar(&url, "url", nats.DefaultURL, "address of the bus")
	seed.Flags().StringVar(&keys, "keys", "keys", "directory that holds client.nk")
	c.AddCommand(issuer, token, seed, forgeCommand())
	return c
}

// seedUntilDone seeds the demo, waiting up to two minutes for the services to start.
func seedUntilDone(ctx context.Context, to bus.Connection, d *devissuer.Issuer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := func() error {
			nc, err := bus.Connect(to)
			if err != nil {
				return err
			}
			defer nc.Close()
			return demo.Seed(ctx, nc, d, time.Now)
		}()
		if err == nil || bus.Permanent(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(250 * time.Millisecond):
		}
	}
}
