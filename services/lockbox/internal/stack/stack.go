// Package stack runs all of Lockbox in one process: a NATS server with the generated permissions, the streams, and
// every service, each on its own connection with its own identity, exactly as in separate processes.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/forwarder"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"github.com/openlockbox/lockbox/services/portal"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Config configures a Stack.
type Config struct {
	// Dir holds all persistent data: nats/, keys/ and the projection.
	Dir string
	// Host is the address on which the NATS server listens for tools and clients; empty: it does not listen. Port -1
	// picks a free port.
	Host string
	Port int
	// StageIn is a directory in memory in which the server stages batches; empty: on disk.
	StageIn string
	// TLS is the bus's certificate, which is needed if other machines can reach it.
	TLS *bus.TLSFiles
	// Tools are the engineering tools. Each gets a key that lets it submit intents within its limits; the one that is
	// called portal is what people ask for in the portal.
	Tools []evaluator.Tool
	// Issuers are the provider's OpenID Connect issuers.
	Issuers []identity.Issuer
	Terms   request.Terms
	// Limits bound the requests that wait; a zero limit is the default.
	Limits policy.Limits
	// Rates bound what one person may send and change; a zero rate is the default.
	Rates orchestrator.Rates
	// Only lists the services to run; nil: all.
	Only []bus.Identity
	// Notifier configures mail. Without an SMTP host, mail goes to a development mailbox in Dir, whose web page is
	// served on MailboxHTTP.
	Notifier    notifier.Config
	MailboxHTTP string
	// Unsigned: no event is signed, as before writers had keys; for tests of what comes after. Otherwise each is signed by
	// its writer, with keys that are made in Dir.
	Unsigned bool
	// LogAddr is the HTTP address of the Merkle log; empty: not served. Port 0 picks a free port.
	LogAddr string
	// LogInterval is the time between two checkpoints; 0: the service's default.
	LogInterval time.Duration
	// LogSteady has checkpoints at every multiple of LogInterval, whether or not anything happened.
	LogSteady bool
	// LogPolicy is the file that names the log's witnesses; empty: none.
	LogPolicy string
	// WitnessedWithin is how long ago their quorum may last have been complete before no access begins; 0: access begins
	// without them.
	WitnessedWithin time.Duration
	// RescanEvery is the time between two complete comparisons of the stream with the trees; 0: the service's default.
	RescanEvery time.Duration
	// MailsWithin is how long after an event its mails have to be reported; 0: the service's default.
	MailsWithin time.Duration
	// Portal is not served if nil. Defaults: its URL is its listener's address, its provider is the notifier's, and
	// mails link to it.
	Portal *portal.Config
	// LocalWebhooks lets customers have webhooks whose receiver is on this machine; for trying things out only.
	LocalWebhooks bool
	// Building reports the progress of building a new projection, until queries are answered; it may be nil.
	Building func(done, of uint64)
	// MetricsAddr is the address that serves /metrics; empty: not served.
	MetricsAddr string
	Log         *zap.Logger
	Metrics     *observe.Metrics
	// Traces exports spans; nil: there are none. Whoever made it closes it.
	Traces *trace.Tracer
}

// Stack is a running Lockbox.
type Stack struct {
	config  Config
	keys    bus.Keys
	secret  keystore.Secret
	server  *embedded.Server
	mailbox *mailbox.Mailbox
	portal  string // its URL
	log     net.Listener
	disk    *observe.Disk
	cancel  context.CancelCauseFunc
	ctx     context.Context
	running sync.WaitGroup
}

// Start starts everything and returns when it is ready. The stack runs until Close, or until one service fails, which
// stops all of them.
func Start(ctx context.Context, c Config) (_ *Stack, err error) {
	s := &Stack{config: c}
	if err := evaluator.CheckTools(c.Tools); err != nil {
		return nil, err
	}
	var tools []string
	limits := map[string][]string{}
	for _, t := range c.Tools {
		if t.Name == bus.PortalTool {
			continue // it has a key
		}
		tools = append(tools, t.Name)
		limits[t.Name] = t.OnlyTenants()
	}
	if s.keys, err = bus.LoadOrCreateKeys(s.keysDir(), tools); err != nil {
		return nil, err
	}
	store := filepath.Join(c.Dir, "nats")
	if _, err := os.Lstat(store); errors.Is(err, fs.ErrNotExist) && !c.Unsigned {
		if err := s.writers().Begin(); err != nil {
			return nil, err
		}
	}
	public, err := s.keys.Public()
	if err != nil {
		return nil, err
	}
	own, err := bus.CustomerKeys(s.keysDir())
	if err != nil {
		return nil, err
	}
	maps.Copy(public, own)
	options := bus.ServerOptions{
		StoreDir: store, PublicKeys: public, ToolTenants: limits, Host: c.Host, Port: c.Port,
		TLS: c.TLS, PlainStore: true, StageIn: c.StageIn,
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if err := s.begin(options); err != nil {
		if first := s.Err(); first != nil { // of which what begin says may only be a consequence
			err = first
		}
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin starts everything, side by side where nothing has to wait for anything else.
func (s *Stack) begin(options bus.ServerOptions) error {
	s.disk = observe.NewDisk(s.config.Dir, s.config.Log)
	s.run("disk", func(ctx context.Context) error {
		s.disk.Watch(ctx)
		return nil
	})
	var first errgroup.Group
	first.Go(func() error {
		if err := s.serve(options); err != nil {
			return err
		}
		return s.provision()
	})
	if s.config.Notifier.SMTP.Host == "" {
		first.Go(s.openMailbox)
	}
	if s.runs(bus.Projector) {
		first.Go(s.openLog)
	}
	first.Go(func() error { return sealed.LoadOrCreate(s.keysDir(), webhookKeys) })
	first.Go(func() (err error) {
		s.secret, err = keystore.LoadOrCreate(s.keysDir())
		return err
	})
	if !s.config.Unsigned {
		first.Go(s.makeWriters)
	}
	if err := first.Wait(); err != nil {
		return err
	}
	if addr := s.config.MetricsAddr; addr != "" {
		checks := map[string]observe.Check{"nats": s.server.Check, "disk": s.disk.Check}
		s.run("metrics", func(ctx context.Context) error { return s.config.Metrics.Serve(ctx, addr, checks) })
	}
	var services errgroup.Group
	if s.config.Portal != nil && s.runs(bus.Portal) {
		answers, err := s.openPortal(*s.config.Portal)
		if err != nil {
			return err
		}
		services.Go(func() error { return s.await(answers) })
	}
	if s.runs(bus.Compliance) {
		services.Go(s.openForwarder)
	}
	for _, part := range s.parts() {
		if s.runs(part.id) {
			services.Go(func() error { return s.open(part) })
		}
	}
	return services.Wait()
}

// serve starts the server.
func (s *Stack) serve(options bus.ServerOptions) (err error) {
	if s.server, err = embedded.Start(s.ctx, options, s.config.Log.Named("nats")); err != nil {
		return err
	}
	s.server.Observe(s.config.Metrics.For("nats"), options)
	s.run("bus", s.server.Watch)
	if options.TLS != nil {
		s.run("certificate", func(ctx context.Context) error {
			s.server.Follow(ctx, nil, func() (bus.ServerOptions, error) { return options, nil })
			return nil
		})
	}
	return nil
}

// open starts a service. The orchestrator then takes commands; the others' work waits in the stream until they listen,
// and the projector reports its own progress.
func (s *Stack) open(part part) error {
	writer, err := s.Writer(part.id)
	if err != nil {
		return err
	}
	rt, err := service.Open(s.ctx, s.connection(part.id), s.config.Issuers,
		s.config.Metrics.For(string(part.id)), service.WithWriter(writer), service.WithSecret(&s.secret))
	if err != nil {
		return err
	}
	rt.Traces = s.config.Traces.For(string(part.id))
	s.run(string(part.id), func(ctx context.Context) error {
		defer rt.Close()
		return service.Outlive(ctx, rt.Log, func(ctx context.Context) error { return part.run(ctx, rt) })
	})
	if part.id != bus.Orchestrator {
		return nil
	}
	if err := s.await(rt.Listening()); err != nil || rt.Keyring == nil {
		return err
	}
	// In a data directory from before events were signed, what it says now is what it has to say from now on.
	return writerkeys.Pin(filepath.Join(s.keysDir(), writerkeys.PublicKeyFile), rt.Keyring.Began())
}

// await waits until something answers, or everything stops.
func (s *Stack) await(answers <-chan struct{}) error {
	select {
	case <-answers:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

func (s *Stack) runs(id bus.Identity) bool {
	return s.config.Only == nil || slices.Contains(s.config.Only, id)
}

// run runs one part in the background. If it fails, everything stops.
func (s *Stack) run(name string, part func(context.Context) error) {
	s.running.Go(func() {
		if err := part(s.ctx); err != nil && s.ctx.Err() == nil {
			s.config.Log.Error("stopped", zap.String("part", name), zap.Error(err))
			s.cancel(err)
		}
	})
}

// openMailbox starts the development mailbox and makes it the notifier's mail server.
func (s *Stack) openMailbox() (err error) {
	s.mailbox, err = mailbox.New(mailbox.Config{Dir: s.MailboxDir(), SMTPListen: "127.0.0.1:0",
		HTTPListen: s.config.MailboxHTTP})
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.mailbox.SMTPAddr())
	if err != nil {
		return err
	}
	smtp := &s.config.Notifier.SMTP
	smtp.Host, smtp.TLS = host, "none"
	if smtp.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	s.run("mailbox", s.mailbox.Run)
	return nil
}

// LogName is the log's origin in its signatures. It is local: no external witness follows it.
const LogName = "lockbox.localhost/log"

// openLog creates the log's keys if they do not exist, and opens its listener.
func (s *Stack) openLog() (err error) {
	if _, err := logkeys.LoadOrCreate(s.keysDir(), LogName); err != nil {
		return err
	}
	if s.config.LogAddr != "" {
		s.log, err = new(net.ListenConfig).Listen(s.ctx, "tcp", s.config.LogAddr)
	}
	return err
}

// LogURL returns the URL of the Merkle log; empty if it is not served.
func (s *Stack) LogURL() string {
	if s.log == nil {
		return ""
	}
	return "http://" + s.log.Addr().String()
}

// openPortal starts the portal before the services it queries; until they answer, it reports that they are
// unavailable. The channel is closed once it answers.
func (s *Stack) openPortal(c portal.Config) (answers <-chan struct{}, err error) {
	listener, err := new(net.ListenConfig).Listen(s.ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", portal.Name, err)
	}
	if c.URL == "" {
		c.URL = "http://" + listener.Addr().String()
		if host, _, err := net.SplitHostPort(c.Listen); err == nil && host == "localhost" {
			_, port, _ := net.SplitHostPort(listener.Addr().String())
			c.URL = "http://localhost:" + port // passkeys are a name's, never an address's
		}
	}
	if c.Provider == "" {
		c.Provider, c.GovernmentRequestsURL = s.config.Notifier.Provider, s.config.Notifier.GovernmentRequestsURL
	}
	if s.config.Notifier.PortalURL == "" {
		s.config.Notifier.PortalURL = c.URL
	}
	if err := c.Check(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", portal.Name, err), listener.Close())
	}
	rt, err := service.Connect(s.ctx, s.connection(bus.Portal), s.config.Metrics.For(portal.Name), nil)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s.portal, rt.Traces = c.URL, s.config.Traces.For(portal.Name)
	s.run(portal.Name, func(ctx context.Context) error {
		defer rt.Close()
		return portal.Serve(ctx, rt, c, listener) // which waits for the bus by itself
	})
	return rt.Listening(), nil
}

// webhookKeys names the files of the keys to which customers' webhooks are encrypted.
const webhookKeys = "webhooks"

// openForwarder serves customers' own webhooks.
func (s *Stack) openForwarder() error {
	c := forwarder.Config{Cursors: filepath.Join(s.config.Dir, "forward"), Webhooks: forwarder.Webhooks{
		KeyFile:   config.SecretFile(filepath.Join(s.keysDir(), webhookKeys+sealed.KeyFile)),
		PortalURL: s.config.Notifier.PortalURL, ThisMachine: s.config.LocalWebhooks}}
	var keys *signed.Keyring
	if !s.config.Unsigned {
		d, err := writerkeys.ReadDeployment(filepath.Join(s.keysDir(), writerkeys.PublicKeyFile))
		if err != nil {
			return err
		}
		keys = d.Keyring()
	}
	rt, err := service.Connect(s.ctx, s.connection(bus.Compliance), s.config.Metrics.For(forwarder.Name), keys)
	if err != nil {
		return err
	}
	if err := rt.UseKeys(s.ctx, &s.secret); err != nil {
		return err
	}
	rt.Traces = s.config.Traces.For(forwarder.Name)
	s.run(forwarder.Name, func(ctx context.Context) error {
		defer rt.Close()
		return service.Outlive(ctx, rt.Log, func(ctx context.Context) error { return forwarder.Run(ctx, rt, c) })
	})
	return nil
}

type part struct {
	id  bus.Identity
	run func(context.Context, *service.Runtime) error
}

func (s *Stack) parts() []part {
	listener, logAddr := s.log, ""
	if listener != nil {
		logAddr = listener.Addr().String()
	}
	return []part{
		{bus.Evaluator, func(ctx context.Context, rt *service.Runtime) error {
			return evaluator.Run(ctx, rt, evaluator.Config{Terms: s.config.Terms, Limits: s.config.Limits,
				Tools: s.config.Tools, PortalURL: s.config.Notifier.PortalURL})
		}},
		{bus.Orchestrator, func(ctx context.Context, rt *service.Runtime) error {
			return orchestrator.Run(ctx, rt, orchestrator.Config{Terms: s.config.Terms, Limits: s.config.Rates,
				Certificates: s.keysDir(), WitnessedWithin: s.config.WitnessedWithin,
				Webhooks: orchestrator.Webhooks{KeyFile: filepath.Join(s.keysDir(), webhookKeys+sealed.PublicFile),
					ThisMachine: s.config.LocalWebhooks}})
		}},
		{bus.Projector, func(ctx context.Context, rt *service.Runtime) error {
			first := listener
			listener = nil // if it starts again, it listens at the same address
			return projector.Run(ctx, rt, projector.Config{Dir: filepath.Join(s.config.Dir, "projection"),
				Building: s.config.Building, MailsWithin: s.config.MailsWithin, TimeZone: s.config.Notifier.TimeZone,
				Log: projector.LogConfig{
					SigningKeyFile: config.SecretFile(filepath.Join(s.keysDir(), logkeys.SigningKeyFile)),
					SaltsFile:      config.SecretFile(filepath.Join(s.keysDir(), logkeys.SaltsFile)),
					Interval:       s.config.LogInterval, Steady: s.config.LogSteady, RescanEvery: s.config.RescanEvery,
					PolicyFile: s.config.LogPolicy,
					Listen:     logAddr, Listener: first,
				}})
		}},
		{bus.Notifier, func(ctx context.Context,
			rt *service.Runtime) error {
			return notifier.Run(ctx, rt, s.config.Notifier)
		}},
	}
}

func (s *Stack) provision() error {
	nc, err := s.Connect(bus.Provisioner)
	if err != nil {
		return err
	}
	defer nc.Close()
	return bus.Provision(s.ctx, nc, 1)
}

func (s *Stack) connection(id bus.Identity) bus.Connection {
	return bus.Connection{InProcess: s.server, Identity: id, Seed: s.keys[id], StagedInMemory: s.config.StageIn != "",
		Log: s.config.Log.Named(string(id))}
}

// Connect opens a connection with the permissions of an identity. The caller must close it.
func (s *Stack) Connect(id bus.Identity) (*nats.Conn, error) { return bus.Connect(s.connection(id)) }

// URL returns the NATS URL for tools and clients; empty if the server does not listen.
func (s *Stack) URL() string { return s.server.ClientURL() }

// MailboxDir returns the directory of the development mailbox; empty if a mail server is configured.
func (s *Stack) MailboxDir() string {
	if s.mailbox == nil && s.config.Notifier.SMTP.Host != "" {
		return ""
	}
	return filepath.Join(s.config.Dir, "mailbox")
}

// MailboxURL returns the URL of the development mailbox; empty if it is not served.
func (s *Stack) MailboxURL() string {
	if s.mailbox == nil || s.mailbox.HTTPAddr() == "" {
		return ""
	}
	return "http://" + s.mailbox.HTTPAddr()
}

// PortalURL returns the portal's URL; empty if there is no portal.
func (s *Stack) PortalURL() string { return s.portal }

// Done returns a channel that is closed when a service has failed or Close was called; Err then returns the cause.
func (s *Stack) Done() <-chan struct{} { return s.ctx.Done() }

// Err returns the failure that stopped everything; nil if none did.
func (s *Stack) Err() error {
	if err := context.Cause(s.ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopped: %w", err)
	}
	return nil
}

// Close stops the services, then the server, and returns when everything is on disk.
func (s *Stack) Close() error {
	s.cancel(nil)
	s.running.Wait()
	if s.server != nil {
		s.server.Shutdown()
	}
	return nil
}
