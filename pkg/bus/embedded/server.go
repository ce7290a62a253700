// Package embedded runs a NATS server inside this process, with the same configuration and permissions as a separate
// one. Only this package imports nats-server.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable"
	"go.uber.org/zap"
)

const (
	startTimeout = 30 * time.Second
	poll         = 2 * time.Millisecond
	// goodbye is how long a server of a cluster still serves its clients after it was asked to stop, and within how long
	// it then sends them to the others.
	goodbye = time.Second
)

// Server is a running NATS server. It is also a nats.InProcessConnProvider.
type Server struct {
	// nats is replaced when Watch starts the server anew.
	nats   atomic.Pointer[server.Server]
	lock   *os.File
	events *logger
	log    *zap.SugaredLogger
	// key encrypts the store. It is that of the start: another would take effect at the next.
	key  bus.StoreKey
	told told

	mu      sync.Mutex
	options bus.ServerOptions
	loaded  string
	stopped bool
	// stage is this server's own directory in memory; unstaged is why batches are staged on disk although they should not
	// be.
	stage, unstaged string
}

// Start runs a server until Shutdown. It returns once the server accepts connections and, in a cluster, once JetStream
// is up to date. If the port is taken or another server uses the store directory, the error says so.
func Start(ctx context.Context, o bus.ServerOptions, log *zap.Logger) (*Server, error) {
	if _, _, err := state(o); err != nil {
		return nil, err // before there is a directory
	}
	var key bus.StoreKey
	if o.StoreKey != "" {
		var err error
		if key, err = bus.ReadStoreKey(o.StoreKey); err != nil {
			return nil, err
		}
	}
	if o.StageIn != "" {
		if err := checkStage(o.StageIn); err != nil {
			return nil, err
		}
	}
	lock, err := lockDir(o.StoreDir)
	if err != nil {
		return nil, err
	}
	if err := key.OpenStore(o.StoreDir, o.StoreKey); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	events := newLogger(log)
	s := &Server{lock: lock, events: events, log: events.log, key: key}
	if err := s.begin(ctx, o, o.Cluster != nil); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// begin starts a server. With current, JetStream has to be up to date before it counts as started.
func (s *Server) begin(ctx context.Context, o bus.ServerOptions, current bool) error {
	config, loaded, err := state(o)
	if err != nil {
		return err
	}
	opts, err := parse(config, o, s.key)
	if err != nil {
		return err
	}
	left, err := carriedOver(o.StoreDir)
	if err != nil {
		return err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	ns.SetLoggerV2(s.events, false, false, false)
	go ns.Start()
	if err := s.await(ctx, ns, current); err != nil {
		end(ns)
		return err
	}
	s.options, s.loaded, s.stage = o, loaded, ""
	s.nats.Store(ns)
	if err := discard(left); err != nil {
		s.log.Warnw("what was staged before stays in memory", zap.Error(err))
	}
	s.restage()
	return nil
}

// state returns the configuration, and a text that differs once it or a certificate has changed.
func state(o bus.ServerOptions) (config, state string, err error) {
	if o.StoreKey != "" {
		o.StoreKey, o.PlainStore = "", true // it is no part of the text, and is not reloaded
	}
	if config, err = bus.ServerConfig(o); err != nil || o.TLS == nil {
		return config, config, err
	}
	state = config
	for _, file := range []string{o.TLS.Certificate, o.TLS.Key, o.TLS.CA} {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", "", fmt.Errorf("embedded: certificate: %w", err)
		}
		state += string(data)
	}
	return config, state, nil
}

func parse(config string, o bus.ServerOptions, key bus.StoreKey) (*server.Options, error) {
	opts := &server.Options{}
	if err := opts.ProcessConfigString(config); err != nil {
		return nil, fmt.Errorf("embedded: configuration: %w", err)
	}
	opts.NoSigs = true
	if opts.JetStreamKey = string(key); key != "" {
		opts.JetStreamCipher = server.AES
	}
	opts.LameDuckGracePeriod, opts.LameDuckDuration = goodbye, 2*goodbye
	opts.DontListen = o.Host == ""
	return opts, nil
}

// Reload applies other keys and certificates, if they have changed. Clients whose key is gone are disconnected at once,
// and no others; a new certificate is shown to new connections.
func (s *Server) Reload(o bus.ServerOptions) error {
	config, state, err := state(o) // before anything is used, so that a later change is seen the next time
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == s.loaded {
		return nil
	}
	opts, err := parse(config, o, s.key)
	if err != nil {
		return err
	}
	if err := s.nats.Load().ReloadOptions(opts); err != nil {
		return fmt.Errorf("embedded: reload: %w", err)
	}
	s.options, s.loaded = o, state
	s.log.Info("keys and certificates reloaded")
	return nil
}

// followInterval is how often Follow looks for other keys and certificates.
const followInterval = time.Second

// Follow calls Reload with what read returns, every second and whenever there is a signal, until ctx ends. After an
// error, which is logged, the server goes on as it was.
func (s *Server) Follow(ctx context.Context, signals <-chan os.Signal, read func() (bus.ServerOptions, error)) {
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	var last string
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			last = "" // whoever asked wants to be told again
		case <-ticker.C:
		}
		o, err := read()
		if err == nil {
			err = s.Reload(o)
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		if problem != "" && problem != last {
			s.log.Errorw("keys and certificates stay as they were", zap.Error(err))
		}
		last = problem
	}
}

func (s *Server) await(ctx context.Context, ns *server.Server, current bool) error {
	late := time.NewTimer(startTimeout)
	defer late.Stop()
	for {
		listening := ns.ReadyForConnections(time.Millisecond)
		if listening && (!current || ns.JetStreamIsCurrent()) {
			return nil
		}
		select {
		case reason := <-s.events.fatal:
			return fmt.Errorf("embedded: the NATS server did not start: %s", reason)
		case <-ctx.Done():
			return fmt.Errorf("embedded: the NATS server was not ready in time: %w", ctx.Err())
		case <-late.C:
			if !listening {
				return fmt.Errorf("embedded: the NATS server was not ready in time: %w", context.DeadlineExceeded)
			}
			s.log.Warn("waiting for the other servers of the cluster")
		case <-time.After(poll):
		}
	}
}

// InProcessConn connects without a socket; see nats.InProcessServer. The connection authenticates like any other.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.Load().InProcessConn() }

// ClientURL is where clients in other processes connect; empty without a listener.
func (s *Server) ClientURL() string {
	ns := s.nats.Load()
	if ns.Addr() == nil {
		return ""
	}
	address := ns.ClientURL()
	u, err := url.Parse(address)
	if err != nil || !net.ParseIP(u.Hostname()).IsUnspecified() {
		return address
	}
	u.Host = net.JoinHostPort("127.0.0.1", u.Port()) // which a certificate can name
	return u.String()
}

// Leave is Shutdown for a server of a cluster: it first hands over what it leads, and sends its clients to the others.
func (s *Server) Leave() {
	s.nats.Load().LameDuckShutdown() // which does nothing without a listener
	s.Shutdown()
}

// Shutdown stops the server and waits until everything is on disk and the store directory is free again.
func (s *Server) Shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	end(s.nats.Load())
	s.unstage()
	_ = s.lock.Close()
}

func end(ns *server.Server) {
	ns.Shutdown()
	ns.WaitForShutdown()
}

// SetAside moves the store of a stopped server away, and returns where it is. In a cluster, the server then gets
// everything from the others.
func SetAside(dir string, now time.Time) (aside string, err error) {
	if _, err := os.Stat(filepath.Join(dir, bus.StoreName)); err != nil {
		return "", fmt.Errorf("embedded: no server's directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	aside = filepath.Join(dir, bus.StoreName+".aside."+now.UTC().Format("20060102T150405Z"))
	if err := os.Rename(filepath.Join(dir, bus.StoreName), aside); err != nil {
		return "", fmt.Errorf("embedded: %w", err)
	}
	return aside, errors.Join(bus.ForgetStore(dir), durable.Sync(dir))
}

// lockDir prevents a second server from using the same files; NATS itself does not, and two writers would corrupt the
// streams. The operating system releases the lock when the process ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: %s is in use by another server: %w", dir, err), lock.Close())
	}
	return lock, nil
}
