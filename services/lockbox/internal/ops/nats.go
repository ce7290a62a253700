package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// node is one NATS server, as the flags of lockbox nats describe it.
type node struct {
	keys, data, listen, tls, name, cluster, monitor, metrics string
	// storeKey is the file of the key that encrypts the streams; plainStore permits to do without.
	storeKey   string
	plainStore bool
	// stageIn is a directory in memory in which batches are staged.
	stageIn string
	limit   []string
	routes  []string
}

// stageInUsage is that of --stage-in, of lockbox nats and lockbox up.
const stageInUsage = "`directory` in memory, such as /dev/shm, in which batches lie until they are stored; empty: on disk"

func natsCommand() *cobra.Command {
	var n node
	var printConfig bool
	c := &cobra.Command{
		Use:   "nats",
		Short: "Run one NATS node under the generated configuration",
		Long: "Runs a NATS server with JetStream for Lockbox: only the identities whose public keys (*.pub) lie in --keys may connect, each\n" +
			"with exactly the rights that lockbox bus rights shows, and every acknowledged write is on disk.\n\n" +
			"A .pub file that is added or removed takes effect within a second, or at once on SIGHUP, and so does a renewed certificate:\n" +
			"whoever has lost their key is cut off, and nobody else notices. Where other machines can reach it, it needs a certificate\n" +
			"(--tls) and encrypts the streams on disk (--store-key). The servers of a cluster show each other the same certificate, and let\n" +
			"in only who shows one of --tls's ca.crt. --print-config prints the configuration, for a nats-server of your own, instead of\n" +
			"running one; put the file of --store-key beside it.",
		Example: "  lockbox nats --keys keys --data data\n" +
			"  lockbox nats --keys keys --data data --tls keys --store-key keys/store.key --listen 0.0.0.0:4222\n" +
			"  lockbox nats --keys keys --data data --print-config > nats.conf",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := n.options()
			if err != nil {
				return err
			}
			if printConfig && o.StageIn != "" {
				return errors.New("a nats-server of your own stages batches on disk: --print-config goes without --stage-in")
			}
			if printConfig {
				text, err := bus.ServerConfig(o)
				if err == nil {
					_, err = io.WriteString(c.OutOrStdout(), text)
				}
				return err
			}
			return n.run(c.Context(), o)
		},
	}
	c.Flags().StringVar(&n.keys, "keys", "keys", "directory of the public keys")
	c.Flags().StringVar(&n.data, "data", "data", "directory of the streams")
	c.Flags().StringVar(&n.listen, "listen", "127.0.0.1:4222", "address for clients")
	c.Flags().StringVar(&n.tls, "tls", "", "`directory` of the certificate: tls.crt, tls.key, ca.crt")
	c.Flags().StringVar(&n.storeKey, "store-key", "", "`file` of the key that encrypts the streams on disk")
	c.Flags().BoolVar(&n.plainStore, "plain-store", false,
		"keep the streams unencrypted although other machines can reach the server")
	c.Flags().StringVar(&n.stageIn, "stage-in", "", stageInUsage)
	c.Flags().StringVar(&n.monitor, "monitor", "", "`address` of this machine for NATS's own health and figures (HTTP)")
	c.Flags().StringVar(&n.metrics, "metrics", "", "`address` that serves /metrics, /livez and /readyz; empty: none")
	c.Flags().StringVar(&n.name, "name", "", "the server's name in a cluster; by default this machine's")
	c.Flags().StringVar(&n.cluster, "cluster", "", "`address` for the other servers of a cluster")
	c.Flags().StringSliceVar(&n.routes, "route", nil, "`address` of another server of the cluster (repeat for several)")
	c.Flags().StringArrayVar(&n.limit, "limit-tool", nil,
		"`NAME=TENANT,TENANT`: the tool may publish intents for these customers only (repeat for several tools)")
	c.Flags().BoolVar(&printConfig, "print-config", false, "print the configuration for nats-server, and end")
	return c
}

func (n *node) options() (o bus.ServerOptions, err error) {
	o = bus.ServerOptions{Name: n.name, PlainStore: n.plainStore, Monitor: n.monitor}
	if o.Host, o.Port, err = hostPort(n.listen); err != nil {
		return o, err
	}
	if n.cluster != "" {
		host, port, err := hostPort(n.cluster)
		if err != nil {
			return o, err
		}
		if o.Name == "" {
			if o.Name, err = os.Hostname(); err != nil {
				return o, err
			}
		}
		o.Cluster = &bus.ClusterOptions{Name: "lockbox", Host: host, Port: port, Routes: n.routes}
	}
	if o.ToolTenants, err = toolTenants(n.limit); err != nil {
		return o, err
	}
	if o.StoreDir, err = filepath.Abs(n.data); err != nil {
		return o, err
	}
	if n.storeKey != "" {
		if o.StoreKey, err = filepath.Abs(n.storeKey); err != nil {
			return o, err
		}
	}
	if n.stageIn != "" {
		if o.StageIn, err = filepath.Abs(n.stageIn); err != nil {
			return o, err
		}
	}
	if n.tls != "" {
		dir, err := filepath.Abs(n.tls)
		if err != nil {
			return o, err
		}
		o.TLS = bus.TLSIn(dir)
	}
	o.PublicKeys, err = bus.ReadPublicKeys(n.keys)
	return o, err
}

func (n *node) run(ctx context.Context, o bus.ServerOptions) error {
	log, err := observe.NewLogger(observe.LogOptions{Service: "nats"})
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	s, err := embedded.Start(ctx, o, log)
	if err != nil {
		return err
	}
	stop := s.Shutdown
	if o.Cluster != nil {
		stop = s.Leave
	}
	defer stop()
	log.Info("ready", zap.String("url", s.ClientURL()), zap.Bool("tls", o.TLS != nil),
		zap.Bool("encrypted", o.StoreKey != ""), zap.Bool("clustered", o.Cluster != nil), zap.String("sync", "always"),
		zap.String("staged", cmp.Or(o.StageIn, "on disk")))
	metrics, disk := observe.NewMetrics(), observe.NewDisk(o.StoreDir, log)
	s.Observe(metrics.For("nats"), o)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Watch(ctx) })
	g.Go(func() error {
		s.Follow(ctx, signals, n.reread)
		return nil
	})
	g.Go(func() error {
		disk.Watch(ctx)
		return nil
	})
	g.Go(func() error {
		return metrics.Serve(ctx, n.metrics, map[string]observe.Check{"nats": s.Check, "disk": disk.Check})
	})
	return g.Wait()
}

// reread returns the options again. A limit of a tool whose key was removed is a slip at the start only: here it must
// not keep the tool connected.
func (n *node) reread() (bus.ServerOptions, error) {
	o, err := n.options()
	maps.DeleteFunc(o.ToolTenants, func(tool string, _ []string) bool { return o.PublicKeys[bus.Tool(tool)] == "" })
	return o, err
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
	var copies []string
	var replicas int
	var wait bool
	c := &cobra.Command{
		Use:   "provision",
		Short: "Make the streams and consumers that are missing",
		Long: "Makes what is missing and changes nothing that is there; a stream whose settings are weaker than ours is an error. Run it after\n" +
			"every update, and with --projector-copy before another audit-projector starts. It refuses a bus that other machines reach\n" +
			"without TLS, a cluster with one replica unless --replicas 1 is said, and more replicas than there are servers. That writes are\n" +
			"on disk when they are acknowledged and the streams encrypted there is what lockbox nats sees to when it starts.",
		Example: "  lockbox provision --url tls://bus.example.org:4222 --ca ca.crt --keys keys --replicas 3 --projector-copy b",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			to := connection(c, bus.Provisioner, url, keys)
			readers := []bus.Identity{bus.Projector}
			for _, name := range copies {
				if len(bus.Rights(bus.Projector.Copy(name))) == 0 {
					return fmt.Errorf("--projector-copy %q: want letters, digits, dashes and underscores", name)
				}
				readers = append(readers, bus.Projector.Copy(name))
			}
			for {
				err := provision(ctx, to, replicas, c.Flags().Changed("replicas"), readers)
				var drift *bus.DriftError
				var unsafe *bus.UnsafeError
				if err == nil || !wait || errors.As(err, &drift) || errors.As(err, &unsafe) || bus.Permanent(err) {
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
	c.Flags().StringSliceVar(&copies, "projector-copy", nil,
		"`name` of a copy of audit-projector that reads the servers' copies too (repeat for several)")
	c.Flags().BoolVar(&wait, "wait", false, "wait up to two minutes for the bus")
	return c
}

func provision(ctx context.Context, to bus.Connection, replicas int, explicit bool, readers []bus.Identity) error {
	nc, err := bus.Connect(to)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := bus.CheckSafe(nc, replicas, explicit); err != nil {
		return err
	}
	return bus.Provision(ctx, nc, replicas, readers...)
}

// connection is an identity's, whose key lies in a directory.
func connection(c *cobra.Command, id bus.Identity, url, keys string) bus.Connection {
	return bus.Connection{URL: url, Identity: id, SeedFile: filepath.Join(keys, bus.SeedFile(id)), CA: cli.CA(c)}
}
