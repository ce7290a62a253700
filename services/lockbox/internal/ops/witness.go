package ops

import (
	"errors"
	"fmt"
	"net"

	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/services/verifier/witness"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

func witnessCommand() *cobra.Command {
	var w witness.Config
	c := &cobra.Command{
		Use:   "witness",
		Short: "Cosign a log's checkpoints, and never two histories (C2SP tlog-witness)",
		Long:  witness.Help,
		Example: `  lockbox witness key --name witness.meadowbank.example --key witness.key
  lockbox witness --key witness.key --state witness --log log.vkey --listen 127.0.0.1:8027`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := observe.NewLogger(observe.LogOptions{Service: "witness"})
			if err != nil {
				return err
			}
			return witness.Serve(c.Context(), w, func(at net.Addr, key string) {
				log.Info("witness", zap.Stringer("at", at), zap.String("key", key))
			})
		},
	}
	c.Flags().StringVar(&w.Key, "key", "witness.key", "`file` of the witness's key")
	c.Flags().StringVar(&w.State, "state", "witness", "`directory` of what was cosigned")
	c.Flags().StringArrayVar(&w.Logs, "log", nil, "public `key` of a log, or a file with it (repeat for several)")
	c.Flags().StringVar(&w.Listen, "listen", "127.0.0.1:8027", "address; TLS ends in front of it")
	c.AddCommand(witnessKeyCommand())
	return c
}

func witnessKeyCommand() *cobra.Command {
	var file, name string
	c := &cobra.Command{
		Use: "key", Short: "Make a witness's key, and say its public half", Args: cobra.NoArgs,
		Long:    "Makes a key in a new file, and prints the public key as policies name it.",
		Example: "  lockbox witness key --name witness.meadowbank.example --key witness.key",
		RunE: func(c *cobra.Command, _ []string) error {
			if name == "" {
				return errors.New("--name is required, best an address of yours: witness.meadowbank.example")
			}
			k, err := witness.CreateKey(file, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), k.VerifierKey())
			return err
		},
	}
	c.Flags().StringVar(&file, "key", "witness.key", "new `file` for the key")
	c.Flags().StringVar(&name, "name", "", "the witness's `name` in its cosignatures")
	return c
}
