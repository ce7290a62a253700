package ops

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/portal"
	"github.com/spf13/cobra"
)

func portalCommand() *cobra.Command {
	var customer, file string
	c := &cobra.Command{
		Use:   "portal",
		Short: "Run a portal of the customer's own, against the provider's bus",
		Long: "Serves the pages of one customer from a machine of that customer's: what people there read and sign comes from a program that\n" +
			"the customer built, and not from the provider's. Commands and queries go to the provider's bus under a key that opens this\n" +
			"customer's door only: it is answered for no other, hears of no other, and has no part in the sessions of the provider's portal.\n" +
			"Its sessions are in memory: one process serves, and when it ends, everybody signs in again.\n\n" +
			"The configuration is a portal's (lockbox config check --service portal FILE), with `customer` in its service section.",
		Example: "  lockbox portal key --customer meadowbank --dir keys\n" +
			"  lockbox portal --customer meadowbank --config portal.yaml",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if customer == "" {
				return errors.New("--customer is required: the provider's own portal is the program `portal`")
			}
			p := portal.Program()
			read, err := p.Read(file, os.Environ())
			if err != nil {
				return err
			}
			if f, is := read.(*service.File[portal.Config]); !is || f.Service.Customer != customer {
				return fmt.Errorf("%s is not the configuration of a portal of %s: want `customer: %[2]s` in its service section",
					file, customer)
			}
			return p.Serve(c.Context(), file, os.Environ())
		},
	}
	c.Flags().StringVar(&customer, "customer", "", "the customer's `ID` as a tenant")
	c.Flags().StringVar(&file, "config", "portal.yaml", "configuration `file`")
	c.AddCommand(portalKeyCommand())
	return c
}

func portalKeyCommand() *cobra.Command {
	var customer, dir string
	c := &cobra.Command{
		Use: "key", Short: "Make the key of a customer's own portal, and say what the provider gets of it", Args: cobra.NoArgs,
		Long: "Makes customer-ID.nk in --dir unless it is there: the key stays at the customer. The provider gets the public half,\n" +
			"customer-ID.pub, and puts it among the public keys of the bus's servers.",
		Example: "  lockbox portal key --customer meadowbank --dir keys",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := input.Tenant("--customer", customer); err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			id := bus.CustomerPortal(customer)
			if _, err := bus.LoadOrCreateKey(dir, id); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "The key is %s; it stays here.\nGive your provider %s.\n",
				filepath.Join(dir, bus.SeedFile(id)), filepath.Join(dir, bus.PublicKeyFile(id)))
			return err
		},
	}
	c.Flags().StringVar(&customer, "customer", "", "the customer's `ID` as a tenant")
	c.Flags().StringVar(&dir, "dir", "keys", "directory of the key")
	return c
}
