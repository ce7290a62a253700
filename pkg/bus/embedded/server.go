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
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/openlockbox/lockbox/pkg/bus"
	"go.uber.org/zap"
)

const (
	startTimeout = 30 * time.Second
	poll         = 2 * time.Millisecond
)

// Server is a running NATS server. It is also a nats.InProcessConnProvider.
type Server struct {
	nats *server.Server
	lock *os.File
	log  *zap.SugaredLogger
	told told

	mu     sync.Mutex
	loaded string
}

// Start runs a server until Shutdown. It returns once the server accepts connections and, in a cluster, once JetStream
// is up to date. If the port is taken or another server uses the store directory, the error says so.
func Start(ctx context.Context, o bus.ServerOptions, log *zap.Logger) (*Server, error) {
	config, state, err := state(o)
	if err != nil {
		return nil, err
	}
	opts, err := parse(config, o)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(o.StoreDir)
	if err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: %w", err), lock.Close())
	}
	events := newLogger(log)
	s := &Server{nats: ns, lock: lock, log: events.log, loaded: state}
	ns.SetLoggerV2(events, false, false, false)
	go ns.Start()
	if err := s.await(ctx, events.fatal, o.Cluster != nil); err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
}

// state returns the configuration, and a text that differs once it or a certificate has changed.
func state(o bus.ServerOptions) (config, state string, err error) {
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

func parse(config string, o bus.ServerOptions) (*server.Options, error) {
	opts := &server.Options{}
	if err := opts.ProcessConfigString(config); err != nil {
		return nil, fmt.Errorf("embedded: configuration: %w", err)
	}
	opts.NoSigs = true
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
	opts, err := parse(config, o)
	if err != nil {
		return err
	}
	if err := s.nats.ReloadOptions(opts); err != nil {
		return fmt.Errorf("embedded: reload: %w", err)
	}
	s.loaded = state
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

func (s *Server) await(ctx context.Context, fatal <-chan string, clustered bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		select {
		case reason := <-fatal:
			return fmt.Errorf("embedded: the NATS server did not start: %s", reason)
		case <-ctx.Done():
			return fmt.Errorf("embedded: the NATS server was not ready in time: %w", ctx.Err())
		case <-time.After(poll):
		}
		if s.nats.ReadyForConnections(time.Millisecond) && (!clustered || s.nats.JetStreamIsCurrent()) {
			return nil
		}
	}
}

// InProcessConn connects without a socket; see nats.InProcessServer. The connection authenticates like any other.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// ClientURL is where clients in other processes connect; empty without a listener.
func (s *Server) ClientURL() string {
	if s.nats.Addr() == nil {
		return ""
	}
	address := s.nats.ClientURL()
	u, err := url.Parse(address)
	if err != nil || !net.ParseIP(u.Hostname()).IsUnspecified() {
		return address
	}
	u.Host = net.JoinHostPort("127.0.0.1", u.Port()) // which a certificate can name
	return u.String()
}

// Shutdown stops the server and waits until everything is on disk and the store directory is free again.
func (s *Server) Shutdown() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	_ = s.lock.Close()
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
