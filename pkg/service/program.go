package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/openlockbox/lockbox/pkg/build"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
)

// A Program is a service that runs as a process of its own, configured by one YAML file and by variables that begin
// with config.Prefix and take precedence.
type Program struct {
	// Name is what the service is called in logs and metrics.
	Name string
	// Defaults is what a configuration says that says nothing: a *File of the service's own settings.
	Defaults func() any
	// load reads and checks the configuration, and returns a *File of the service's own settings.
	load func(path string, env []string) (any, error)
	// serve runs the service until ctx ends.
	serve func(ctx context.Context, file any) error
	// observed returns where a *File says that its service shows its health.
	observed func(file any) string
	// former lists variables that are set under former names.
	former func(env []string) []string
}

// New describes a service that follows the stream, decides or answers.
func New[C any](id bus.Identity, defaults C, run func(context.Context, *Runtime, C) error) Program {
	both := func(f *File[C]) error {
		if f.Signing.KeyFile == "" && f.Signing.DeploymentKeyFile != "" {
			return refusal.Invalid("signing.key_file", rule, "goes with signing.deployment_key_file; `lockbox keys` makes both")
		}
		return nil
	}
	return program(string(id), id, defaults, both, func(
		ctx context.Context, f *File[C], c bus.Connection, m *observe.Metrics, t *trace.Tracer,
	) error {
		counters := m.For(string(id))
		issuers, err := OpenIssuers(ctx, f.Issuers, c.Log, counters)
		if err != nil {
			return err
		}
		writer, err := f.writer(c.Identity)
		if err != nil {
			return err
		}
		secret, err := f.secret()
		if err != nil {
			return err
		}
		rt, err := Open(ctx, c, issuers, counters, WithWriter(writer), WithSecret(secret))
		if err != nil {
			return err
		}
		defer rt.Close()
		rt.Traces = t.For(string(id))
		checks := map[string]observe.Check{
			"clock":    func(context.Context) error { return rt.Clock.Healthy() },
			"issuers":  func(context.Context) error { return observe.Warning(withoutKeys(issuers)) },
			string(id): rt.check,
		}
		return observed(ctx, f, m, c, &rt.Connected, checks,
			func(ctx context.Context) error { return run(ctx, rt, f.Service) })
	})
}

// NewConnected describes a service that only needs a connection and verifies no tokens. Its name may differ from its
// identity on the bus, which its settings may choose (Identity).
func NewConnected[C any](
	name string, id bus.Identity, defaults C, run func(context.Context, *Connected, C) error,
) Program {
	nobody := func(f *File[C]) error {
		if len(f.Issuers) > 0 {
			return refusal.Invalid("issuers", rule, "have no use here: %s verifies nobody", name)
		}
		if f.Signing.KeyFile != "" {
			return refusal.Invalid("signing.key_file", rule, "has no use here: %s writes no events", name)
		}
		if f.Signing.DeploymentKeyFile != "" && id != bus.Compliance {
			return refusal.Invalid("signing.deployment_key_file", rule, "has no use here: %s reads no events", name)
		}
		return nil
	}
	return program(name, id, defaults, nobody, func(
		ctx context.Context, f *File[C], c bus.Connection, m *observe.Metrics, t *trace.Tracer,
	) error {
		secret, err := f.secret()
		if err != nil {
			return err
		}
		keys, err := f.keyring()
		if err != nil {
			return err
		}
		rt, err := Connect(ctx, c, m.For(name), keys)
		if err != nil {
			return err
		}
		defer rt.Close()
		if err := rt.UseKeys(ctx, secret); err != nil {
			return err
		}
		rt.Traces = t.For(name)
		checks := map[string]observe.Check{name: rt.check}
		return observed(ctx, f, m, c, rt, checks, func(ctx context.Context) error { return run(ctx, rt, f.Service) })
	})
}

func program[C any](
	name string, id bus.Identity, defaults C, also func(*File[C]) error,
	run func(context.Context, *File[C], bus.Connection, *observe.Metrics, *trace.Tracer) error,
) Program {
	return Program{
		Name:     name,
		Defaults: func() any { return &File[C]{Service: defaults} },
		load: func(path string, env []string) (any, error) {
			f := &File[C]{Service: defaults}
			if err := config.Load(path, env, f); err != nil {
				return nil, err
			}
			err := f.check()
			if err == nil && also != nil {
				err = also(f)
			}
			if err != nil {
				return nil, fmt.Errorf("configuration: %w", err)
			}
			return f, nil
		},
		serve: func(ctx context.Context, file any) error {
			f := file.(*File[C]) //nolint:forcetypeassert,errcheck // load's
			log, err := observe.NewLogger(observe.LogOptions{Service: name, Level: f.Observe.Log})
			if err != nil {
				return err
			}
			c := bus.Connection{
				URL: f.NATS.URL, Identity: id, SeedFile: string(f.NATS.SeedFile), CA: f.NATS.TLS.CA, Log: log,
				StagedInMemory: f.NATS.StagedInMemory,
			}
			if own, is := any(f.Service).(interface{ Identity() bus.Identity }); is {
				c.Identity = own.Identity()
			}
			if f.NATS.Copy != "" {
				c.Identity = c.Identity.Copy(f.NATS.Copy)
			}
			metrics := observe.NewMetrics()
			tracer, err := trace.New(f.Observe.Traces, build.Version().Name(), log, metrics.Registerer())
			if err != nil {
				return err
			}
			defer tracer.Close()
			return run(ctx, f, c, metrics, tracer)
		},
		observed: func(file any) string { return file.(*File[C]).Observe.Listen }, //nolint:forcetypeassert,errcheck // load's
		former:   config.Former[File[C]],
	}
}

// Check reads a configuration as the service does when it starts, and returns what is wrong with it.
func (p Program) Check(path string, env []string) error {
	_, err := p.Read(path, env)
	return err
}

// Read returns a configuration as the service reads it when it starts: a *File of the service's own settings.
func (p Program) Read(path string, env []string) (any, error) { return p.load(path, env) }

// Serve runs the service with a configuration until ctx ends.
func (p Program) Serve(ctx context.Context, path string, env []string) error {
	file, err := p.load(path, env)
	if err != nil {
		return err
	}
	return p.serve(ctx, file)
}

// Main runs the service until SIGTERM or an interrupt, and exits: with 0 when it was stopped, with 1 if it could not
// run, and with 2 if its arguments make no sense. On SIGHUP, it reads its configuration again, and starts again with it
// if nothing is wrong with it.
func (p Program) Main() { os.Exit(p.main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

func (p Program) main(args, env []string, out, errOut io.Writer) (code int) {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		fmt.Fprintf(errOut, "Usage: %s --config FILE\n\n%s*, in the environment, take precedence.\n\n", p.Name, config.Prefix)
		flags.PrintDefaults()
	}
	path := flags.String("config", "", "configuration `file` (YAML)")
	health := flags.Bool("health", false, "ask the service that runs here with this configuration whether it is ready")
	version := flags.Bool("version", false, "show the version of this program, and end")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if *version || flags.NArg() == 1 && flags.Arg(0) == "version" {
		fmt.Fprintf(out, "%s %s\n", p.Name, build.Version())
		return 0
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(errOut, "%s: %q is no argument of this program\n", p.Name, flags.Arg(0))
		flags.Usage()
		return 2
	}
	if *health {
		if err := p.healthy(*path, env, out); err != nil {
			fmt.Fprintf(errOut, "%s: %v\n", p.Name, err)
			return 1
		}
		return 0
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := p.run(*path, env, signals); err != nil {
		fmt.Fprintf(errOut, "%s: %v\n", p.Name, err)
		return 1
	}
	return 0
}

// healthy asks the service's own /readyz. It is for containers, whose images have nothing else to ask with.
func (p Program) healthy(path string, env []string, out io.Writer) error {
	file, err := p.load(path, env)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(p.observed(file))
	if err != nil {
		return refusal.Invalid("observe.listen", rule, "says nowhere to ask: %v", err)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return observe.Ask(context.Background(), "http://"+net.JoinHostPort(host, port)+"/readyz", out)
}

// run runs the service, anew for each SIGHUP, until another signal or the service ends it.
func (p Program) run(path string, env []string, signals <-chan os.Signal) error {
	file, err := p.load(path, env)
	if err != nil {
		return err
	}
	log, err := observe.NewLogger(observe.LogOptions{Service: p.Name})
	if err != nil {
		return err
	}
	for _, note := range p.former(env) {
		log.Warn(note)
	}
	for file != nil {
		if file, err = p.until(signals, file, log, func() (any, error) { return p.load(path, env) }); err != nil {
			return err
		}
	}
	log.Info("stopped")
	return nil
}

// until runs the service until it ends or a signal ends it. After SIGHUP it returns the configuration to go on with.
func (p Program) until(
	signals <-chan os.Signal, file any, log *zap.Logger, load func() (any, error),
) (next any, err error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.serve(ctx, file) }()
	for {
		select {
		case err := <-ended:
			return nil, err
		case s := <-signals:
			if s == syscall.SIGHUP {
				if next, err = load(); err != nil {
					log.Error("the configuration is wrong; going on with the one before", zap.Error(err))
					continue
				}
			}
			log.Info("stopping", zap.Stringer("signal", s), zap.Bool("starts_again", next != nil))
			stop()
			return next, <-ended
		}
	}
}
