package bus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"
)

// Connection says how to reach the bus, and as whom.
type Connection struct {
	// URL of the server or, separated by commas, of several. Ignored with InProcess.
	URL string
	// InProcess connects to an embedded server without a socket.
	InProcess nats.InProcessConnProvider
	Identity  Identity
	// SeedFile is the path of the identity's nkey seed. It is ignored if Seed, the seed itself, is set.
	SeedFile string
	Seed     []byte
	// Log receives lost connections and permission errors; nil disables logging.
	Log *zap.Logger
}

// Connect opens a connection that reconnects indefinitely but never buffers: a publish that cannot be sent fails, so a
// message cannot arrive after its sender has given up.
func Connect(c Connection) (*nats.Conn, error) {
	seed := c.Seed
	if len(seed) == 0 {
		var err error
		if seed, err = os.ReadFile(c.SeedFile); err != nil {
			return nil, fmt.Errorf("bus: key of %s: %w", c.Identity, err)
		}
	}
	pair, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, fmt.Errorf("bus: key of %s: %w", c.Identity, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("bus: key of %s: %w", c.Identity, err)
	}
	log := c.Log
	if log == nil {
		log = zap.NewNop()
	}
	log = log.With(zap.String("identity", string(c.Identity)))
	options := []nats.Option{
		nats.Name(string(c.Identity)),
		nats.Nkey(public, pair.Sign),
		nats.CustomInboxPrefix("_INBOX." + string(c.Identity)),
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.Timeout(5 * time.Second),
		nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				log.Error("bus error", zap.String("subscription", sub.Subject), zap.Error(err))
				return
			}
			log.Error("bus error", zap.Error(err))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("bus connection lost", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("bus connection restored") }),
	}
	if c.InProcess != nil {
		options = append(options, nats.InProcessServer(c.InProcess))
	} else if c.URL == "" {
		return nil, errors.New("bus: no address")
	}
	nc, err := nats.Connect(c.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("bus: connect as %s: %w", c.Identity, err)
	}
	return nc, nil
}
