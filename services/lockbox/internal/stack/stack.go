// Package stack runs all of Lockbox in one process: a NATS server under the generated rights, the streams, and every
// service, each over a connection of its own identity, exactly as they would run apart.
package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"github.com/openlockbox/lockbox/services/portal"
	"go.uber.org/zap"
)

// Config says what to run and where.
type Config struct {
	// Dir holds everything that outlives the process: nats/, keys/ and the projection.
	Dir string
	// Host to listen on for tools and clients; empty: none. Port -1 takes a free one.
	Host string
	Port int
	// Tools are the engineering tools: each gets a key, with which it may submit what it is for.
	Tools []evaluator.Tool
	// Issuers are the provider's.
	Issuers []identity.Issuer
	Terms   request.Terms
	// Only names the services to run; nil: all of them.
	Only []bus.Identity
	// Notifier without an SMTP host sends to a development mailbox in Dir, whose page is served on MailboxHTTP.
	Notifier    notifier.Config
	MailboxHTTP string
	// LogAddr is where the Merkle log is served over HTTP; empty: nowhere. Port 0 takes a free one.
	LogAddr string
	// LogInterval is the time between two checkpoints; 0: the service's own.
	LogInterval time.Duration
	// LogPolicy is the file that names the log's witnesses; empty: it has none.
	LogPolicy string
	// RescanEvery is the time between two comparisons of everything with the trees; 0: the service's own.
	RescanEvery time.Duration
	// Portal is served if there is one. Its listener's address is its URL, and the notifier's provider is its provider,
	// unless it says something else; and mails link to it, unless the notifier says something else.
	Portal *portal.Config
	// Building is told how far a new projection has come, until questions are answered; nil: nobody is.
	Building func(done, of uint64)
	// MetricsAddr serves /metrics; empty: not at all.
	MetricsAddr string
	Log         *zap.Logger
	Metrics     *observe.Metrics
}

// Stack is a running Lockbox.
type Stack struct {
	config  Config
	keys    bus.Keys
	server  *embedded.Server
	mailbox *mailbox.Mailbox
	portal  string // its URL
	log     net.Listener
	cancel  context.CancelCauseFunc
	ctx     context.Context
	running sync.WaitGroup
}

// Start starts everything and returns when it is ready. It runs until Close, or until one service fails, which stops
// all.
func Start(ctx context.Context, c Config) (_ *Stack, err error) {
	s := &Stack{config: c}
	if err := evaluator.CheckTools(c.Tools); err != nil {
		return nil, err
	}
	var tools []string
	limits := map[string][]string{}
	for _, t := range c.Tools {
		tools = append(tools, t.Name)
		limits[t.Name] = t.OnlyTenants()
	}
	if s.keys, err = bus.LoadOrCreateKeys(s.keysDir(), tools); err != nil {
		return nil, err
	}
	public, err := s.keys.Public()
	if err != nil {
		return nil, err
	}
	s.server, err = embedded.Start(ctx, bus.ServerOptions{
		StoreDir: filepath.Join(c.Dir, "nats"), PublicKeys: public, ToolTenants: limits, Host: c.Host, Port: c.Port,
	}, c.Log.Named("nats"))
	if err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) begin() error {
	if err := s.provision(); err != nil {
		return err
	}
	if s.config.Notifier.SMTP.Host == "" {
		if err := s.openMailbox(); err != nil {
			return err
		}
	}
	if s.config.Portal != nil && s.runs(bus.Portal) {
		if err := s.openPortal(*s.config.Portal); err != nil {
			return err
		}
	}
	if addr := s.config.MetricsAddr; addr != "" {
		s.run("metrics", func(ctx context.Context) error { return s.config.Metrics.Serve(ctx, addr, nil) })
	}
	if s.runs(bus.Projector) {
		if err := s.openLog(); err != nil {
			return err
		}
	}
	for _, part := range s.parts() {
		if !s.runs(part.id) {
			continue
		}
		rt, err := service.Open(s.ctx, s.connection(part.id), s.config.Issuers, s.config.Metrics.For(string(part.id)))
		if err != nil {
			return err
		}
		s.run(string(part.id), func(ctx context.Context) error {
			defer rt.Close()
			return part.run(ctx, rt)
		})
		if part.id != bus.Orchestrator {
			continue // Nobody is turned away by those that do not listen yet; the projector says itself how far it is.
		}
		select {
		case <-rt.Listening():
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
	return nil
}

func (s *Stack) runs(id bus.Identity) bool {
	return s.config.Only == nil || slices.Contains(s.config.Only, id)
}

// run runs one part. If it fails, everything stops.
func (s *Stack) run(name string, part func(context.Context) error) {
	s.running.Go(func() {
		if err := part(s.ctx); err != nil && s.ctx.Err() == nil {
			s.config.Log.Error("stopped", zap.String("part", name), zap.Error(err))
			s.cancel(err)
		}
	})
}

// openMailbox takes the mails that no mail server gets.
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

// logName is what the log is called in its signatures. Nobody else's witnesses follow it.
const logName = "lockbox.localhost/log"

// openLog makes the log's keys, if they are not there, and listens where it is to be served.
func (s *Stack) openLog() (err error) {
	if _, err := logkeys.LoadOrCreate(s.keysDir(), logName); err != nil {
		return err
	}
	if s.config.LogAddr != "" {
		s.log, err = new(net.ListenConfig).Listen(s.ctx, "tcp", s.config.LogAddr)
	}
	return err
}

func (s *Stack) keysDir() string { return filepath.Join(s.config.Dir, "keys") }

// LogURL is where the Merkle log is served; empty: nowhere.
func (s *Stack) LogURL() string {
	if s.log == nil {
		return ""
	}
	return "http://" + s.log.Addr().String()
}

// openPortal serves the portal. It is there before the services that answer what it asks: until they do, it says so.
func (s *Stack) openPortal(c portal.Config) error {
	listener, err := new(net.ListenConfig).Listen(s.ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%s: %w", portal.Name, err)
	}
	if c.URL == "" {
		c.URL = "http://" + listener.Addr().String()
	}
	if c.Provider == "" {
		c.Provider = s.config.Notifier.Provider
	}
	if s.config.Notifier.PortalURL == "" {
		s.config.Notifier.PortalURL = c.URL
	}
	if err := c.Check(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", portal.Name, err), listener.Close())
	}
	rt, err := service.Connect(s.ctx, s.connection(bus.Portal), s.config.Metrics.For(portal.Name))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	s.portal = c.URL
	s.run(portal.Name, func(ctx context.Context) error {
		defer rt.Close()
		return portal.Serve(ctx, rt, c, listener)
	})
	return nil
}

type part struct {
	id  bus.Identity
	run func(context.Context, *service.Runtime) error
}

func (s *Stack) parts() []part {
	return []part{
		{bus.Evaluator, func(ctx context.Context, rt *service.Runtime) error {
			return evaluator.Run(ctx, rt, evaluator.Config{Terms: s.config.Terms, Tools: s.config.Tools})
		}},
		{bus.Orchestrator, func(ctx context.Context, rt *service.Runtime) error {
			return orchestrator.Run(ctx, rt, orchestrator.Config{Terms: s.config.Terms})
		}},
		{bus.Projector, func(ctx context.Context, rt *service.Runtime) error {
			return projector.Run(ctx, rt, projector.Config{Dir: filepath.Join(s.config.Dir, "projection"),
				Building: s.config.Building, Log: projector.LogConfig{
					SigningKeyFile: config.SecretFile(filepath.Join(s.keysDir(), logkeys.SigningKeyFile)),
					SaltsFile:      config.SecretFile(filepath.Join(s.keysDir(), logkeys.SaltsFile)),
					Interval:       s.config.LogInterval, RescanEvery: s.config.RescanEvery, PolicyFile: s.config.LogPolicy,
					Listener: s.log,
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
	return bus.Connection{InProcess: s.server, Identity: id, Seed: s.keys[id], Log: s.config.Log.Named(string(id))}
}

// Connect opens a connection with the rights of an identity, to be closed by the caller.
func (s *Stack) Connect(id bus.Identity) (*nats.Conn, error) { return bus.Connect(s.connection(id)) }

// URL is where tools and clients connect; empty if nothing listens.
func (s *Stack) URL() string { return s.server.ClientURL() }

// MailboxDir holds the development mailbox's mails; empty if a mail server is configured.
func (s *Stack) MailboxDir() string {
	if s.mailbox == nil && s.config.Notifier.SMTP.Host != "" {
		return ""
	}
	return filepath.Join(s.config.Dir, "mailbox")
}

// MailboxURL is where they can be read; empty if nowhere.
func (s *Stack) MailboxURL() string {
	if s.mailbox == nil || s.mailbox.HTTPAddr() == "" {
		return ""
	}
	return "http://" + s.mailbox.HTTPAddr()
}

// PortalURL is where browsers reach the portal; empty: there is none.
func (s *Stack) PortalURL() string { return s.portal }

// Done is closed when a service has failed or Close was called; Err then says why.
func (s *Stack) Done() <-chan struct{} { return s.ctx.Done() }

// Err is the failure that stopped everything; nil if none did.
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
	s.server.Shutdown()
	return nil
}
