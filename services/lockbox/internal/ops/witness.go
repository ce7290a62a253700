package ops

import (
	"errors"
	"fmt"
	"io"
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
			w.Say = func(alarm bool, what string) {
				if alarm {
					log.Error(what)
				} else {
					log.Warn(what)
				}
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
	c.Flags().StringVar(&w.Metrics, "metrics", "", "address that serves /metrics; without it they are not served")
	c.AddCommand(witnessKeyCommand(), witnessEvidenceCommand())
	return c
}

func witnessKeyCommand() *cobra.Command {
	var file, name, kind string
	c := &cobra.Command{
		Use: "key", Short: "Make a witness's key, and say its public half", Args: cobra.NoArgs,
		Long:    "Makes a key in a new file, and prints the public key as policies name it.",
		Example: "  lockbox witness key --name witness.meadowbank.example --key witness.key",
		RunE: func(c *cobra.Command, _ []string) error {
			if name == "" {
				return errors.New("--name is required, best an address of yours: witness.meadowbank.example")
			}
			k, err := witness.Create(file, name, kind)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), k.VerifierKey())
			return err
		},
	}
	c.Flags().StringVar(&file, "key", "witness.key", "new `file` for the key")
	c.Flags().StringVar(&name, "name", "", "the witness's `name` in its cosignatures")
	c.Flags().StringVar(&kind, "type", "ed25519", "`type` of the key: ed25519 or ml-dsa-44")
	_ = c.RegisterFlagCompletionFunc("type",
		cobra.FixedCompletions(witness.KeyTypes(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

func witnessEvidenceCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use: "evidence", Short: "List what a witness refused, with both notes", Args: cobra.NoArgs,
		Long: witness.EvidenceHelp, Example: "  lockbox witness evidence --state witness",
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := witness.ReadEvidence(state)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), witness.List(all))
			return err
		},
	}
	c.Flags().StringVar(&state, "state", "witness", "`directory` of the witness")
	return c
}
