// Package ops holds the operators' commands: all of Lockbox in one process, and the parts that are not services of
// their own: the NATS node, keys, provisioning and the development mailbox.
package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

// Commands returns the commands to add to the command line.
func Commands() []*cobra.Command {
	return []*cobra.Command{upCommand(), keysCommand(), natsCommand(), provisionCommand(), witnessCommand(),
		repairCommand(), mailboxCommand(), demoCommand()}
}

func keysCommand() *cobra.Command {
	var dir, handOut, logName string
	var tools []string
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make the keys that are missing, and hand each one out",
		Long: "Makes an nkey for every service and tool in --dir, the key that signs the Merkle log (log.key) and the secret of its salts\n" +
			"(log.salts), unless they are there already; none is ever replaced. Publish log.vkey: with it anybody verifies receipts. With\n" +
			"--hand-out, each identity finds its own keys in a directory of its own, DIR/<identity>/, and DIR/nats/ gets the public halves only.",
		Example: "  lockbox keys --dir keys --tool console --tool ticketing --hand-out /run/lockbox",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keys, err := bus.LoadOrCreateKeys(dir, tools)
			if err == nil {
				_, err = logkeys.LoadOrCreate(dir, logName)
			}
			if err != nil || handOut == "" {
				return err
			}
			return distribute(keys, dir, handOut)
		},
	}
	c.Flags().StringVar(&dir, "dir", "keys", "directory of all keys")
	c.Flags().StringVar(&logName, "log-name", "lockbox.localhost/log",
		"the Merkle log's name in its signatures; it never changes, and is best an address of yours")
	c.Flags().StringSliceVar(&tools, "tool", nil, "an engineering tool that gets a key (repeat for several)")
	c.Flags().StringVar(&handOut, "hand-out", "", "directory with one directory for each identity")
	return c
}

func distribute(keys bus.Keys, from, dir string) error {
	public, err := keys.Public()
	if err != nil {
		return err
	}
	put := func(owner, file string, data []byte, mode os.FileMode) error {
		if err := os.MkdirAll(filepath.Join(dir, owner), 0o700); err != nil {
			return err
		}
		return durable.Replace(filepath.Join(dir, owner, file), data, mode)
	}
	for id, seed := range keys {
		err = errors.Join(err, put(string(id), string(id)+".nk", seed, 0o600),
			put("nats", string(id)+".pub", []byte(public[id]+"\n"), 0o644))
	}
	for _, name := range []string{logkeys.SigningKeyFile, logkeys.SaltsFile} {
		data, failed := os.ReadFile(filepath.Join(from, name)) // #nosec G304 -- the operator names the directory
		err = errors.Join(err, failed, put(string(bus.Projector), name, data, 0o600))
	}
	return err
}

func natsCommand() *cobra.Command {
	var keys, data, listen string
	var limit []string
	c := &cobra.Command{
		Use:   "nats",
		Short: "Run one NATS node under the generated configuration",
		Long:  "Runs a NATS server with JetStream for Lockbox: only the identities whose public keys (*.pub) lie in --keys may connect, each\nwith exactly the rights of the table in pkg/bus, and every acknowledged write is on disk.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			host, port, err := hostPort(listen)
			if err != nil {
				return err
			}
			limits, err := toolTenants(limit)
			if err != nil {
				return err
			}
			public, err := bus.ReadPublicKeys(keys)
			if err != nil {
				return err
			}
			log, err := observe.NewLogger(observe.LogOptions{Service: "nats"})
			if err != nil {
				return err
			}
			s, err := embedded.Start(c.Context(), bus.ServerOptions{
				StoreDir: data, PublicKeys: public, ToolTenants: limits, Host: host, Port: port,
			}, log)
			if err != nil {
				return err
			}
			log.Info("ready", zap.String("url", s.ClientURL()))
			<-c.Context().Done()
			s.Shutdown()
			return nil
		},
	}
	c.Flags().StringVar(&keys, "keys", "keys", "directory of the public keys")
	c.Flags().StringVar(&data, "data", "data", "directory of the streams")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4222", "address for clients")
	c.Flags().StringArrayVar(&limit, "limit-tool", nil,
		"`NAME=TENANT,TENANT`: the tool may publish intents for these customers only (repeat for several tools)")
	return c
}

func toolTenants(limits []string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, text := range limits {
		name, tenants, found := strings.Cut(text, "=")
		if _, twice := all[name]; !found || twice || name == "" || tenants == "" {
			return nil, fmt.Errorf("--limit-tool %q: want NAME=TENANT,TENANT, each tool once", text)
		}
		all[name] = strings.Split(tenants, ",")
	}
	return all, nil
}

func provisionCommand() *cobra.Command {
	var url, keys string
	var replicas int
	var wait bool
	c := &cobra.Command{
		Use:   "provision",
		Short: "Make the streams and consumers that are missing",
		Long:  "Makes what is missing and changes nothing that is there; a stream whose settings are weaker than ours is an error.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			for {
				err := provision(ctx, url, keys, replicas)
				var drift *bus.DriftError
				if err == nil || !wait || errors.As(err, &drift) || errors.Is(err, os.ErrNotExist) {
					return err
				}
				select {
				case <-ctx.Done():
					return err
				case <-time.After(250 * time.Millisecond):
				}
			}
		},
	}
	c.Flags().StringVar(&url, "url", nats.DefaultURL, "address of the bus")
	c.Flags().StringVar(&keys, "keys", "keys", "directory that holds provisioner.nk")
	c.Flags().IntVar(&replicas, "replicas", 1, "replicas of each stream")
	c.Flags().BoolVar(&wait, "wait", false, "wait up to two minutes for the bus")
	return c
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

func provision(ctx context.Context, url, keys string, replicas int) error {
	nc, err := bus.Connect(bus.Connection{URL: url, Identity: bus.Provisioner,
		SeedFile: filepath.Join(keys, string(bus.Provisioner)+".nk")})
	if err != nil {
		return err
	}
	defer nc.Close()
	return bus.Provision(ctx, nc, replicas)
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
