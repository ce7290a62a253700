// Package embedded runs a NATS server inside this process, with the same configuration and permissions as a separate
// one. Only this package imports nats-server.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
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
}

// Start runs a server until Shutdown. It returns once the server accepts connections and, in a cluster, once JetStream
// is up to date. If the port is taken or another server uses the store directory, the error says so.
func Start(ctx context.Context, o bus.ServerOptions, log *zap.Logger) (*Server, error) {
	text, err := bus.ServerConfig(o)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(text); err != nil {
		return nil, fmt.Errorf("embedded: configuration: %w", err)
	}
	opts.NoSigs = true
	opts.DontListen = o.Host == ""
	lock, err := lockDir(o.StoreDir)
	if err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: %w", err), lock.Close())
	}
	s := &Server{nats: ns, lock: lock}
	events := newLogger(log)
	ns.SetLoggerV2(events, false, false, false)
	go ns.Start()
	if err := s.await(ctx, events.fatal, o.Cluster != nil); err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
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
	return s.nats.ClientURL()
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
