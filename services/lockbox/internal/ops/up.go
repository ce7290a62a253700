package ops

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/build"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/portal"
	"github.com/spf13/cobra"
)

// upFile is the configuration file of `lockbox up`.
type upFile struct {
	// Issuers are the OpenID Connect issuers of the provider's staff.
	Issuers []service.Issuer `yaml:"issuers"`
	// Terms are the provider's deadlines and durations.
	Terms request.Terms `yaml:"terms"`
	// Limits bound the requests that wait for a decision, and what one person may send and change.
	Limits struct {
		policy.Limits
		orchestrator.Rates
	} `yaml:"limits"`
	// Tools are the engineering tools that get a key, in addition to this command line (console) and the portal (portal),
	// which may submit intents for every tenant unless they are listed here.
	Tools    []evaluator.Tool `yaml:"tools"`
	Notifier notifier.Config  `yaml:"notifier"`
	// Portal is not served if this section is empty.
	Portal portal.Config `yaml:"portal"`
	// Log is the Merkle log.
	Log struct {
		// Steady has a checkpoint signed at every multiple of eight seconds, whether or not anything happened, so that none
		// tells a tenant that something happened at another. Each is an event: about four million a year.
		Steady bool `yaml:"steady"`
		// PolicyFile names the witnesses that are asked to cosign, with their addresses (C2SP tlog-policy); empty for none.
		PolicyFile string `yaml:"policy_file"`
		// WitnessedWithin is how long ago their quorum may last have been complete before no access begins; 0: access
		// begins without them.
		WitnessedWithin time.Duration `yaml:"witnessed_within"`
	} `yaml:"log"`
	// Webhooks are those of customers' own.
	Webhooks struct {
		// ThisMachine permits receivers on this machine, as the demo does.
		ThisMachine bool `yaml:"this_machine"`
	} `yaml:"webhooks"`
	Observe struct {
		// Listen is the address that serves /metrics and /healthz; empty: not served.
		Listen string `yaml:"listen"`
		// Log is the log level: debug, info, warn or error.
		Log string `yaml:"log"`
		// Traces are those of requests.
		Traces trace.Config `yaml:"traces"`
	} `yaml:"observe"`
}

// Check rejects what would keep one of the services from starting; the error names the field.
func (f *upFile) Check() error {
	if err := f.Terms.Check(); err != nil {
		return err
	}
	if err := evaluator.CheckTools(tools(f.Tools)); err != nil {
		return err
	}
	if f.Log.WitnessedWithin != 0 && f.Log.PolicyFile == "" {
		return refusal.Invalid("log.witnessed_within", "configuration", "needs log.policy_file, which names the witnesses")
	}
	if err := (orchestrator.Config{Terms: f.Terms, WitnessedWithin: f.Log.WitnessedWithin}).Check(); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := f.Observe.Traces.Check(); err != nil {
		return fmt.Errorf("observe.traces: %w", err)
	}
	if f.Notifier.SMTP.Host != "" { // otherwise mails go to the development mailbox
		if err := f.Notifier.Check(); err != nil {
			return fmt.Errorf("notifier: %w", err)
		}
	}
	const anywhere = "127.0.0.1:8080"
	// The demo has its own organisations and provider, and the file may say nothing but where the portal listens.
	if p := portalOf(f.Portal, anywhere, false); p != nil && len(p.Organisations) > 0 {
		p.URL, p.Provider = cmp.Or(p.URL, "http://"+anywhere), cmp.Or(p.Provider, f.Notifier.Provider, "the provider")
		if err := p.Check(); err != nil {
			return fmt.Errorf("portal: %w", err)
		}
	}
	return nil
}

func defaults() upFile {
	f := upFile{Terms: request.DefaultTerms(), Notifier: notifier.Config{DigestAfter: notifier.DefaultDigest}}
	f.Observe.Log = "warn"
	return f
}

func upCommand() *cobra.Command {
	var file, listen, tlsDir, stageIn, mailHTTP, issuer, shape, portalAddr, logAddr string
	var withDemo bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Run everything in one process, with a data directory",
		Long: "Runs an embedded NATS server and every service in this process. Everything that must outlive it lies in the data directory\n" +
			"(--data). Without a mail server in the configuration, mails go to a development mailbox that you can read in a browser.\n\n" +
			"--demo adds two invented customers, a portal in which they decide, and a sign-in that lets you be any of the demo's people: in\n" +
			"the portal, with --as, or with lockbox login. Elsewhere the portal is served if the configuration has a section of that name.\n\n" +
			"--issuer-shape has that sign-in write tokens as Entra ID, Keycloak, Okta or AD FS do, with the configuration that fits;\n" +
			"lockbox whoami says what each claim counts for.",
		Example: "  lockbox up --demo\n  lockbox up --demo --issuer-shape entra\n  lockbox up --config lockbox.yaml --data /var/lib/lockbox",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			stack.LimitMemory()
			dir, err := cli.DataDir(c)
			if err != nil {
				return err
			}
			f := defaults()
			if withDemo {
				f.Notifier = demo.Notifier()
			}
			if err := config.Load(file, nil, &f); err != nil {
				return err
			}
			if stageIn != "" {
				if stageIn, err = filepath.Abs(stageIn); err != nil {
					return err
				}
			}
			host, port, err := hostPort(listen)
			if err != nil {
				return err
			}
			log, err := observe.NewLogger(observe.LogOptions{Level: f.Observe.Log, NoColor: os.Getenv("NO_COLOR") != ""})
			if err != nil {
				return err
			}
			metrics := observe.NewMetrics()
			traces, err := trace.New(f.Observe.Traces, build.Version().Name(), log, metrics.Registerer())
			if err != nil {
				return err
			}
			defer traces.Close()
			issuers, err := service.OpenIssuers(c.Context(), f.Issuers, log, metrics.For("lockbox"))
			if err != nil {
				return err
			}
			return up.Run(c.Context(), up.Options{
				Dir: dir, Demo: withDemo, IssuerAddr: issuer, IssuerShape: shape, Out: c.OutOrStdout(), Program: os.Args[0],
				Stack: stack.Config{
					Host: host, Port: port, TLS: bus.TLSIn(tlsDir), StageIn: stageIn, Tools: tools(f.Tools), Issuers: issuers,
					Terms: f.Terms, Limits: f.Limits.Limits, Rates: f.Limits.Rates,
					Notifier: f.Notifier, MailboxHTTP: mailHTTP, Log: log, Metrics: metrics, Traces: traces,
					Building: cli.Progress(cli.System()), MetricsAddr: f.Observe.Listen, LogAddr: logAddr,
					LogSteady: f.Log.Steady, LogPolicy: f.Log.PolicyFile, WitnessedWithin: f.Log.WitnessedWithin,
					LocalWebhooks: withDemo || f.Webhooks.ThisMachine,
					Portal:        portalOf(f.Portal, portalAddr, withDemo),
				},
			})
		},
	}
	c.Flags().BoolVar(&withDemo, "demo", false,
		"add two customers to try it on, and let anybody on this machine be anybody")
	c.Flags().StringVar(&file, "config", "", "configuration file (YAML)")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4222",
		"address of the bus for tools and clients; port 0 takes a free one")
	c.Flags().StringVar(&tlsDir, "tls", "",
		"`directory` of the bus's certificate, where other machines reach it: tls.crt, tls.key, ca.crt")
	c.Flags().StringVar(&stageIn, "stage-in", "", stageInUsage)
	c.Flags().StringVar(&mailHTTP, "mailbox", "127.0.0.1:8025",
		"address of the development mailbox's page; port 0 takes a free one")
	c.Flags().StringVar(&portalAddr, "portal", "localhost:8080",
		"address of the portal, unless the configuration names one; port 0 takes a free one")
	c.Flags().StringVar(&logAddr, "log-server", "127.0.0.1:8026",
		"address of the Merkle log, for those who verify it; port 0 takes a free one")
	c.Flags().StringVar(&issuer, "issuer", "127.0.0.1:7070",
		"address of the demo's sign-in the first time; it stays there")
	c.Flags().StringVar(&shape, "issuer-shape", "",
		"`kind` of identity provider whose tokens the demo's sign-in writes, the first time: "+
			strings.Join(devissuer.Shapes(), ", "))
	_ = c.RegisterFlagCompletionFunc("issuer-shape",
		cobra.FixedCompletions(devissuer.Shapes(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// tools adds this command line and the portal to the tools, unless they are configured among them.
func tools(configured []evaluator.Tool) []evaluator.Tool {
	for _, own := range []string{bus.PortalTool, client.Tool} {
		if !slices.ContainsFunc(configured, func(t evaluator.Tool) bool { return t.Name == own }) {
			configured = append([]evaluator.Tool{evaluator.Unlimited(own)}, configured...)
		}
	}
	return configured
}

// portalOf returns the portal's configuration: from the file, or the demo's; nil if no portal is served.
func portalOf(configured portal.Config, addr string, demo bool) *portal.Config {
	if !demo && reflect.ValueOf(configured).IsZero() {
		return nil
	}
	if configured.Listen == "" {
		configured.Listen = addr
	}
	return &configured
}
