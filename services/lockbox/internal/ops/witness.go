package ops

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/services/verifier/witness"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

func witnessCommand() *cobra.Command {
	var key, state, listen string
	var logs []string
	c := &cobra.Command{
		Use:   "witness",
		Short: "Cosign a log's checkpoints, and never two histories (C2SP tlog-witness)",
		Long: "Runs a small witness, for a customer or a third party: the provider's log asks it to cosign each checkpoint, and it does if\n" +
			"the log signed it and grew from the last one. It learns how large the log is, and nothing about anybody in it. What it has\n" +
			"cosigned is in --state before its cosignature leaves; never run two of one key, and never go back to an older copy of it.",
		Example: "  lockbox witness key --name witness.meadowbank.example --key witness.key\n  lockbox witness --key witness.key --state witness --log log.vkey --listen 127.0.0.1:8027",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := witness.ReadKey(key)
			if err != nil {
				return err
			}
			var keys []string
			for _, l := range logs {
				if text, err := os.ReadFile(l); err == nil { // #nosec G304 -- the operator names it
					l = strings.TrimSpace(string(text))
				}
				keys = append(keys, l)
			}
			w, err := witness.Open(state, k, keys, time.Now)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, w.Close()) }()
			log, err := observe.NewLogger(observe.LogOptions{Service: "witness"})
			if err != nil {
				return err
			}
			listener, err := new(net.ListenConfig).Listen(c.Context(), "tcp", listen)
			if err != nil {
				return err
			}
			log.Info("witness", zap.Stringer("at", listener.Addr()), zap.String("key", k.VerifierKey()))
			server := &http.Server{Handler: w.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				<-c.Context().Done()
				_ = server.Close()
			}()
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			<-stopped
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "witness.key", "`file` of the witness's key")
	c.Flags().StringVar(&state, "state", "witness", "`directory` of what was cosigned")
	c.Flags().StringArrayVar(&logs, "log", nil, "public `key` of a log, or a file with it (repeat for several)")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8027", "address; TLS ends in front of it")
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
