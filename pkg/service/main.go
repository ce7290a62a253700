package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/observe"
)

// File is a service's configuration file: what all of them need, and under `service` what is its own.
type File[C any] struct {
	NATS struct {
		// URL of the server or, separated by commas, of several.
		URL string `yaml:"url"`
		// SeedFile holds the service's own nkey.
		SeedFile config.SecretFile `yaml:"seed_file"`
	} `yaml:"nats"`
	// Issuers are where the provider's people sign in.
	Issuers []Issuer `yaml:"issuers"`
	Observe struct {
		// Listen serves /metrics and /healthz, for example on 127.0.0.1:9090; empty: not at all.
		Listen string `yaml:"listen"`
		// Log is debug, info, warn or error.
		Log string `yaml:"log"`
	} `yaml:"observe"`
	Service C `yaml:"service"`
}

// Main is a service as a process of its own: `--config FILE`, LOCKBOX_ variables over it, SIGTERM to stop. It exits 1 if
// run fails.
func Main[C any](id bus.Identity, defaults C, run func(context.Context, *Runtime, C) error) {
	if err := runMain(id, defaults, run); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", id, err)
		os.Exit(1)
	}
}

func runMain[C any](id bus.Identity, defaults C, run func(context.Context, *Runtime, C) error) error {
	path := flag.String("config", "", "configuration `file` (YAML)")
	flag.Parse()
	file := File[C]{Service: defaults}
	if err := config.Load(*path, os.Environ(), &file); err != nil {
		return err
	}
	log, err := observe.NewLogger(observe.LogOptions{Service: string(id), Level: file.Observe.Log})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	issuers, err := OpenIssuers(ctx, file.Issuers, log)
	if err != nil {
		return err
	}
	metrics := observe.NewMetrics()
	rt, err := Open(ctx, bus.Connection{URL: file.NATS.URL, Identity: id, SeedFile: string(file.NATS.SeedFile), Log: log}, issuers, metrics.For(string(id)))
	if err != nil {
		return err
	}
	defer rt.Close()
	watching := make(chan error, 1)
	go func() {
		watching <- metrics.Serve(ctx, file.Observe.Listen, map[string]observe.Check{
			"clock": func(context.Context) error { return rt.Clock.Healthy() },
		})
	}()
	log.Info("ready")
	err = run(ctx, rt, file.Service)
	stop()
	return errors.Join(err, <-watching)
}
