package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/openlockbox/lockbox/pkg/durable"
	"go.uber.org/zap"
)

const (
	// watchInterval is how often Watch looks whether the streams can still be written.
	watchInterval = time.Second
	// room is how much has to be free, in bytes, before the server is started anew after its disk was full: it writes
	// indexes when it starts, and a few events more should fit.
	room = 16 << 20
)

// Watch looks every second whether the streams can still be written, until ctx ends. NATS freezes a stream when a write
// fails (in a cluster, it stops JetStream on this server), and keeps it frozen when there is room again. So Watch waits
// for room and then starts the server anew on the same files and the same port; clients reconnect as they do after any
// restart. What was acknowledged is on disk, and what was not is refused meanwhile as unavailable.
//
// It returns an error, and the server is of no more use, if it does not start again, or if writing fails for another
// reason: then the disk itself is to blame.
func (s *Server) Watch(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	told, retried := false, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.mu.Lock()
		if !s.stopped {
			s.restage()
		}
		s.mu.Unlock()
		broken := s.Writable()
		if broken == nil {
			continue
		}
		full := roomIn(s.storeDir())
		if durable.Full(full) {
			if !told {
				s.log.Errorw("ALARM: the bus can store nothing: its disk is full; it goes on once there is room",
					zap.String("dir", s.storeDir()), zap.Error(errors.Join(broken, full)))
			}
			told, retried = true, false
			continue
		}
		if full != nil || retried {
			return fmt.Errorf("embedded: the bus can store nothing in %s, and not for lack of room: %w", s.storeDir(),
				errors.Join(broken, full))
		}
		s.log.Warnw("the bus could store nothing, and there is room on its disk: starting it anew", zap.Error(broken))
		told, retried = false, true
		if err := s.restart(ctx); err != nil {
			return err
		}
	}
}

// Writable returns why the server cannot store anything, or not in one of its streams; nil if it can.
func (s *Server) Writable() error {
	ns := s.nats.Load()
	if !ns.Running() {
		return nil // it is being stopped
	}
	if !ns.JetStreamEnabled() {
		return errors.New("JetStream has stopped")
	}
	if ns.JetStreamIsClustered() {
		return nil // a failed write stops JetStream; a member that only lags is not well either, and must not be restarted
	}
	health := ns.Healthz(&server.HealthzOptions{Details: true})
	failing := slices.DeleteFunc(health.Errors, func(e server.HealthzError) bool {
		return e.Type != server.HealthzErrorStream
	})
	if len(failing) == 0 {
		return nil
	}
	// A stream that was damaged when the server started is not there at all, and starting again would not mend it.
	there, err := ns.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil //nolint:nilerr // it is being stopped
	}
	for _, e := range failing {
		for _, account := range there.AccountDetails {
			if account.Name == e.Account && slices.ContainsFunc(account.Streams, func(d server.StreamDetail) bool {
				return d.Name == e.Stream
			}) {
				return errors.New(e.Error)
			}
		}
	}
	return nil
}

func (s *Server) storeDir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options.StoreDir
}

func (s *Server) restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || ctx.Err() != nil {
		return nil
	}
	o := s.options
	if at, is := s.nats.Load().Addr().(*net.TCPAddr); is && at != nil {
		o.Port = at.Port // which clients know, also if any would have done at first
	}
	end(s.nats.Load())
	// In a cluster it need not be up to date at once: the others may still wait for room.
	if err := s.begin(ctx, o, false); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop
		}
		return fmt.Errorf("the bus does not start again after its disk was full: %w", err)
	}
	s.log.Warn("the bus stores again")
	return nil
}

// roomIn returns an error unless something can be written to a directory, and there is room for more; durable.Full says
// whether room is all that it lacks.
func roomIn(dir string) error {
	space, err := durable.SpaceIn(dir)
	if err != nil {
		return err
	}
	if space.Free < room {
		return fmt.Errorf("%w: %d MB are free", syscall.ENOSPC, space.Free>>20)
	}
	// What the file system says is not all: there are quotas.
	file, err := os.CreateTemp(dir, ".room-*")
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, 1<<20))
	return errors.Join(err, file.Sync(), file.Close(), os.Remove(file.Name()))
}
