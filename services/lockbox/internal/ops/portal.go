package ops

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

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
	c.AddCommand(portalKeyCommand(), portalHashesCommand())
	return c
}

func portalKeyCommand() *cobra.Command {
	var customer, dir string
	c := &cobra.Command{
		Use: "key", Args: cobra.NoArgs,
		Short: "Make the key of a customer's own portal, and say what the provider gets of it",
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

func portalHashesCommand() *cobra.Command {
	var url string
	c := &cobra.Command{
		Use: "hashes", Args: cobra.NoArgs,
		Short: "Say what the portal's pages are made of in this version, or compare with a portal",
		Long: "Prints the SHA-256 of each script, style, template and message of this version's portal, and one over all of them, which whoever\n" +
			"builds the same version gets too. Events that people caused in a portal hold it as portal_sha256, by that portal's own account.\n" +
			"With --url, gets what that portal gives to browsers as it is (scripts, styles, pictures), and says what is another than here.\n\n" +
			"That proves what this machine got, now. It does not prove what another browser gets, or that the pages around it, which the\n" +
			"portal makes anew for each reader, are made from these templates. Who has to know runs the portal: lockbox portal --customer.",
		Example: "  lockbox portal hashes\n  lockbox portal hashes --url https://lockbox.example.org",
		RunE: func(c *cobra.Command, _ []string) error {
			parts, sum, err := portal.Build()
			if err != nil {
				return err
			}
			if url != "" {
				return compare(c.Context(), c.OutOrStdout(), url, parts)
			}
			for _, p := range parts {
				if _, err := fmt.Fprintf(c.OutOrStdout(), "%x  %s\n", p.SHA256, p.Name); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "\n%x  in all\n", sum)
			return err
		},
	}
	c.Flags().StringVar(&url, "url", "", "`URL` of a portal to compare with")
	return c
}

// mostAsset is more than any asset has, in bytes.
const mostAsset = 1 << 20

// compare gets what a portal serves as it is, and fails if anything is another than it should be.
func compare(ctx context.Context, out io.Writer, url string, parts []portal.Part) error {
	others := 0
	for _, p := range parts {
		if p.Path == "" {
			continue
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+p.Path, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(io.LimitReader(answer.Body, mostAsset))
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
		is := "as here"
		if answer.StatusCode != http.StatusOK {
			is, others = "is not served: another version, or another program", others+1
		} else if sha256.Sum256(data) != p.SHA256 {
			is, others = fmt.Sprintf("IS ANOTHER: %x", sha256.Sum256(data)), others+1
		}
		if _, err := fmt.Fprintf(out, "%s  %s\n", p.Name, is); err != nil {
			return err
		}
	}
	if others > 0 {
		return fmt.Errorf("%d of what %s gives to browsers are not those of this version", others, url)
	}
	return nil
}
