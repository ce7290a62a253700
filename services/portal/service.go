// Package portal serves pages for browsers and REST APIs for programs. It has no access to streams: it forwards queries
// and commands, each with the signed-in person's own token, which the receiver verifies.
package portal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/api"
	"github.com/openlockbox/lockbox/services/portal/internal/arm"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/keys"
	"github.com/openlockbox/lockbox/services/portal/internal/live"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/signin"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/traced"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

// Name is the service's name on the bus and in metrics.
const Name = "portal"

// Organisation configures who may sign in.
type Organisation = organisation.Organisation

// Config is the service's configuration, besides the connection to the bus.
type Config struct {
	// Listen is the address to listen on. TLS is terminated in front of it.
	Listen string `yaml:"listen"`
	// URL is the portal's public base URL: https, or http on localhost; no path.
	URL string `yaml:"url"`
	// Provider is the provider's name.
	Provider string `yaml:"provider"`
	// GovernmentRequestsURL is where the provider states how it handles government requests for data: https. The page of
	// disclosures links to it. Empty: it does not.
	GovernmentRequestsURL string `yaml:"government_requests_url"`
	// ClientKeyFile holds the RSA key with which the portal proves itself to issuers that want no secret
	// (`private_key_jwt`), PEM; empty: it cannot. Its public part is served at /.well-known/jwks.json.
	ClientKeyFile config.SecretFile `yaml:"client_key_file"`
	// TimeZone is the zone in which the provider's people are shown times, by its IANA name; empty: UTC. A customer's own
	// is among its settings.
	TimeZone string `yaml:"time_zone"`
	// Environment is what the operator calls this installation, such as Staging: every page says it. Empty: none does.
	Environment string `yaml:"environment"`
	// Customer is set where a customer runs this portal itself, against the provider's bus: its ID as a tenant. The portal
	// then serves nobody else, has the customer's own key on the bus and keeps sessions in memory. Empty: the provider's.
	Customer      string            `yaml:"customer"`
	Organisations organisation.List `yaml:"organisations"`
}

// Check rejects an unusable configuration; the error names the field.
func (c Config) Check() error {
	u, err := url.Parse(c.URL)
	switch {
	case c.Listen == "":
		return refusal.Invalid("listen", "configuration", "is required: the address to listen on")
	case err != nil || !oidcclient.Trustworthy(c.URL) || c.URL != u.Scheme+"://"+u.Host:
		return refusal.Invalid("url", "configuration", "%q must be https, or http on this machine, without a path", c.URL)
	case c.Provider == "":
		return refusal.Invalid("provider", "configuration", "is required: the provider's name")
	}
	if statement, err := url.Parse(c.GovernmentRequestsURL); c.GovernmentRequestsURL != "" &&
		(err != nil || statement.Scheme != "https" || statement.Host == "" || statement.User != nil) {
		return refusal.Invalid("government_requests_url", "configuration", "must be an https address")
	}
	if c.TimeZone != "" && !timetext.KnownZone(c.TimeZone) {
		return refusal.Invalid("time_zone", "configuration", "%q is not the name of a time zone: Europe/Paris", c.TimeZone)
	}
	if err := prose.CheckLine("environment", c.Environment, 0, maxEnvironment); err != nil {
		return err
	}
	if c.ClientKeyFile == "" &&
		slices.ContainsFunc(c.Organisations, func(o Organisation) bool { return o.PrivateKeyJWT }) {
		return refusal.Invalid("client_key_file", "configuration", "is required: an organisation's issuer wants it")
	}
	if c.Customer == "" {
		return c.Organisations.Check()
	}
	if err := input.Tenant("customer", c.Customer); err != nil {
		return err
	}
	for _, o := range c.Organisations {
		if o.Tenant != c.Customer {
			return refusal.Invalid("organisations.tenant", "configuration", "%q is not %s, whose own portal this is", o.Tenant,
				c.Customer)
		}
	}
	if len(c.Organisations) == 0 { // it is registered with the provider
		return nil
	}
	return c.Organisations.Check()
}

// Identity is the portal's on the bus.
func (c Config) Identity() bus.Identity {
	if c.Customer != "" {
		return bus.CustomerPortal(c.Customer)
	}
	return bus.Portal
}

const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 30 * time.Second
	// answerTimeout limits how long a page may take to be rendered and received. Streams and exports set their own
	// deadlines.
	answerTimeout = 2 * time.Minute
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10 // bytes
	// maxEnvironment keeps the header of a page on one line.
	maxEnvironment = 24 // characters
	goodbye        = 5 * time.Second
)

// Program is the service as a process of its own.
func Program() service.Program {
	return service.NewConnected(Name, bus.Portal, Config{Listen: "127.0.0.1:8080"}, Run)
}

// Run serves until ctx ends.
func Run(ctx context.Context, rt *service.Connected, c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	return Serve(ctx, rt, c, listener)
}

// Serve is Run on a listener, which it closes.
func Serve(ctx context.Context, rt *service.Connected, c Config, listener net.Listener) error {
	// The portal may read no stream. It writes who signs in.
	j, err := journal.Open(ctx, rt.Conn, journal.WithLog(rt.Log))
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", Name, err), listener.Close())
	}
	defer j.Close()
	var trail *accesslog.Recorder // a customer's own portal has no right to add records
	if c.Customer == "" {
		trail = accesslog.Start(rt.Identity, j.PutAccess, rt.Now, rt.Log, rt.Counters)
	}
	defer trail.Close()
	handler, err := newHandler(rt, c, trail)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", Name, err), listener.Close())
	}
	server := &http.Server{
		Handler:           rt.Counters.HTTP(handler),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if err := rt.Listen(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", Name, err), server.Close())
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		err = errors.Join(server.Shutdown(bye), <-ended)
	}
	if err = errors.Join(err, server.Close()); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", Name, err)
	}
	return nil
}

// clientKey reads the portal's own key; nil if there is none.
func clientKey(file config.SecretFile) (*oidcclient.Key, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // issuers that want one are not offered
	}
	text, err := file.Read()
	if err != nil {
		return nil, fmt.Errorf("client_key_file: %w", err)
	}
	key, err := oidcclient.ParseKey([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("client_key_file: %s %w", file, err)
	}
	return key, nil
}

func newHandler(rt *service.Connected, c Config, trail *accesslog.Recorder) (http.Handler, error) {
	say, err := words.Load()
	if err != nil {
		return nil, err
	}
	_, build, err := Build()
	if err != nil {
		return nil, err
	}
	silent := new(atomic.Bool)
	rt.Healthy(func(context.Context) error {
		if silent.Load() {
			return observe.Warning(refusal.Unavailable("", "I11", "the services behind the pages did not answer last time"))
		}
		return nil
	})
	s := &site.Site{
		Caller:        traced.Caller{Caller: bus.Caller{Conn: rt.Conn, Silent: silent}, Build: build[:]},
		Organisations: c.Organisations, Words: say, Provider: c.Provider,
		URL: c.URL, GovernmentRequestsURL: c.GovernmentRequestsURL,
		Secure: c.URL[:5] == "https", Now: rt.Now, Log: rt.Log, Counters: rt.Counters,
		Trail: trail, ProvidersZone: c.TimeZone, Environment: c.Environment,
	}
	s.Registered = &organisation.Registered{Now: rt.Now,
		Self: func(ctx context.Context, token string) (*lockboxv1.SelfView, error) {
			reply, err := s.Caller.Ask(ctx, token,
				&lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
			return reply.GetSelf(), err
		},
		Ask: func(ctx context.Context, tenant string) (*lockboxv1.SignInOptions, error) {
			reply, err := s.Caller.Ask(ctx, "", &lockboxv1.Query{Tenant: tenant,
				Ask: &lockboxv1.Query_GetSignIn{GetSignIn: &lockboxv1.GetSignIn{}}})
			return reply.GetSignIn(), err
		}}
	if s.Key, err = clientKey(c.ClientKeyFile); err != nil {
		return nil, err
	}
	s.Registered.HasKey = s.Key != nil
	if err := s.Prepare(); err != nil {
		return nil, err
	}
	sessions := session.InMemory(s.Secure, rt.Now)
	if c.Customer == "" {
		if sessions, err = session.New(rt.Conn, s.Secure, rt.Now); err != nil {
			return nil, err
		}
	}
	s.Sessions = sessions
	hub := live.NewHub()
	if err := hub.Listen(rt.Conn, c.Customer); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/", s.Assets)
	if err := signin.Mount(mux, s, sessions, c.URL); err != nil {
		return nil, err
	}
	if err := keys.Mount(mux, s); err != nil {
		return nil, err
	}
	all, err := routes(s, hub)
	if err != nil {
		return nil, err
	}
	s.Mount(mux, all)
	desk := bearer.NewDesk(s, c.URL)
	own, err := api.New(desk)
	if err != nil {
		return nil, err
	}
	return traced.Handler(bearer.Beside(s.Secured(mux), arm.New(desk), own), rt.Traces), nil
}
