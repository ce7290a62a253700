package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// File is a service's configuration file: the common settings and, under `service`, the service's own.
type File[C any] struct {
	NATS struct {
		// URL of the server or, separated by commas, of several.
		URL string `yaml:"url"`
		// SeedFile holds the service's own nkey.
		SeedFile config.SecretFile `yaml:"seed_file"`
		// Copy is the name of this replica, if it has a key of its own, "<service>@<copy>"; empty: it has the service's.
		Copy string `yaml:"copy"`
		TLS  struct {
			// CA is the file of the authorities that sign the servers' certificates; empty: the system's.
			CA string `yaml:"ca"`
		} `yaml:"tls"`
	} `yaml:"nats"`
	// Issuers are where the provider's people sign in.
	Issuers []Issuer `yaml:"issuers"`
	Observe struct {
		// Listen serves /metrics and /healthz, for example on 127.0.0.1:9090; empty: not at all.
		Listen string `yaml:"listen"`
		// Log is the log level: debug, info, warn or error.
		Log string `yaml:"log"`
	} `yaml:"observe"`
	Service C `yaml:"service"`
}

// Main runs a service as a separate process: configured by `--config FILE` and LOCKBOX_ variables, which take
// precedence, and stopped by SIGTERM. It exits with 1 if run fails.
func Main[C any](id bus.Identity, defaults C, run func(context.Context, *Runtime, C) error) {
	open := func(ctx context.Context, f File[C], c bus.Connection, m *observe.Metrics) error {
		counters := m.For(string(id))
		issuers, err := OpenIssuers(ctx, f.Issuers, c.Log, counters)
		if err != nil {
			return err
		}
		rt, err := Open(ctx, c, issuers, counters)
		if err != nil {
			return err
		}
		defer rt.Close()
		checks := map[string]observe.Check{"clock": func(context.Context) error { return rt.Clock.Healthy() }}
		return observed(ctx, f, m, c, rt.Conn, checks, func(ctx context.Context) error { return run(ctx, rt, f.Service) })
	}
	exit(string(id), runMain(string(id), id, defaults, open))
}

// MainConnected is Main for a service that only needs a connection and verifies no tokens. Its name may differ from its
// identity on the bus.
func MainConnected[C any](name string, id bus.Identity, defaults C, run func(context.Context, *Connected, C) error) {
	open := func(ctx context.Context, f File[C], c bus.Connection, m *observe.Metrics) error {
		if len(f.Issuers) > 0 {
			return refusal.Invalid("issuers", "configuration", "have no use here: %s verifies nobody", name)
		}
		rt, err := Connect(ctx, c, m.For(name))
		if err != nil {
			return err
		}
		defer rt.Close()
		checks := map[string]observe.Check{name: rt.check}
		return observed(ctx, f, m, c, rt.Conn, checks, func(ctx context.Context) error { return run(ctx, rt, f.Service) })
	}
	exit(name, runMain(name, id, defaults, open))
}

func exit(name string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func runMain[C any](
	name string, id bus.Identity, defaults C,
	run func(context.Context, File[C], bus.Connection, *observe.Metrics) error,
) error {
	path := flag.String("config", "", "configuration `file` (YAML)")
	flag.Parse()
	file := File[C]{Service: defaults}
	if err := config.Load(*path, os.Environ(), &file); err != nil {
		return err
	}
	log, err := observe.NewLogger(observe.LogOptions{Service: name, Level: file.Observe.Log})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if file.NATS.Copy != "" {
		id = id.Copy(file.NATS.Copy)
	}
	c := bus.Connection{
		URL: file.NATS.URL, Identity: id, SeedFile: string(file.NATS.SeedFile), CA: file.NATS.TLS.CA, Log: log,
	}
	return run(ctx, file, c, observe.NewMetrics())
}

// observed runs a service and its metrics and health server, until either ends or the bus withdraws the service's key.
func observed[C any](
	ctx context.Context, f File[C], m *observe.Metrics, c bus.Connection, nc *nats.Conn, checks map[string]observe.Check,
	run func(context.Context) error,
) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	closed := func(nc *nats.Conn) { stop(c.Explain(nc.LastError())) }
	nc.SetClosedHandler(closed)
	if nc.IsClosed() { // before there was a handler
		closed(nc)
	}
	watching := make(chan error, 1)
	go func() { watching <- m.Serve(ctx, f.Observe.Listen, checks) }()
	c.Log.Info("ready")
	err := outlive(ctx, c.Log, run)
	if why := context.Cause(ctx); bus.Permanent(why) {
		err = why // the rest follows from it
	}
	stop(nil)
	return errors.Join(err, <-watching)
}
