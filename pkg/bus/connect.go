package bus

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
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
	// CA is the path of the authorities that sign the servers' certificates, as PEM. With it, or a tls:// URL, the
	// connection is never without TLS; the default is the system's authorities. Ignored with InProcess.
	CA string
	// StagedInMemory says that the server stages batches in memory (ServerOptions.StageIn), so that they pay sooner.
	StagedInMemory bool
	// Log receives lost connections and permission errors; nil disables logging.
	Log *zap.Logger
}

// Connect opens a connection that reconnects indefinitely but never buffers: a publish that cannot be sent fails, so a
// message cannot arrive after its sender has given up.
func Connect(c Connection) (*nats.Conn, error) {
	seed := c.Seed
	if len(seed) == 0 {
		var err error
		if seed, err = ReadSeed(c.Identity, c.SeedFile); err != nil {
			return nil, err
		}
	}
	pair, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, &KeyError{c.Identity, "", err}
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, &KeyError{c.Identity, "", err}
	}
	log := c.Log
	if log == nil {
		log = zap.NewNop()
	}
	log = log.With(zap.String("identity", string(c.Identity)))
	options := []nats.Option{
		nats.Name(string(c.Identity)),
		nats.Nkey(public, pair.Sign),
		nats.CustomInboxPrefix(inbox(c.Identity)),
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
	switch {
	case c.InProcess != nil:
		options = append(options, nats.InProcessServer(c.InProcess))
	case c.URL == "":
		return nil, errors.New("bus: no address")
	default:
		secure, err := c.secure()
		if err != nil {
			return nil, err
		}
		options = append(options, secure...)
	}
	nc, err := nats.Connect(c.URL, options...)
	if err != nil {
		return nil, c.Explain(err)
	}
	if err := c.checkIdentity(nc); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// secure returns the options that demand TLS, if the connection asks for it.
func (c Connection) secure() ([]nats.Option, error) {
	if c.CA == "" && !strings.Contains(c.URL, "tls://") {
		return nil, nil
	}
	options := []nats.Option{nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13})}
	if c.CA == "" {
		return options, nil
	}
	authorities, err := os.ReadFile(c.CA)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(authorities) {
		err = fmt.Errorf("%s holds no certificate", c.CA)
	}
	if err != nil {
		return nil, &TrustError{c.URL, err}
	}
	// It is read anew for every connection, so that an authority can be replaced.
	return append(options, nats.RootCAs(c.CA)), nil
}

// TrustError means that the bus has no certificate that this connection trusts, before somebody mends that.
type TrustError struct {
	URL string
	Err error
}

func (e *TrustError) Error() string {
	return fmt.Sprintf("bus: no trust in the bus at %s: %v; name the file of the authority that signed its certificate "+
		"(nats.tls.ca in a service's configuration, --ca or LOCKBOX_CA on the command line)", e.URL, e.Err)
}

// Unwrap returns the reason.
func (e *TrustError) Unwrap() error { return e.Err }

// Permanent reports whether connecting cannot succeed before somebody mends a key or a certificate.
func Permanent(err error) bool {
	var key *KeyError
	var trust *TrustError
	return errors.As(err, &key) || errors.As(err, &trust)
}

// Away reports whether something failed only because the bus did not answer, so that it may succeed when tried again.
func Away(err error) bool {
	var answer *jetstream.APIError
	switch {
	case err == nil, Permanent(err):
		return false
	case errors.As(err, &answer) && answer.Code == http.StatusServiceUnavailable,
		refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE):
		return true
	}
	return slices.ContainsFunc([]error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrNoServers, nats.ErrReconnectBufExceeded,
		nats.ErrConnectionReconnecting, jetstream.ErrNoStreamResponse, jetstream.ErrServerShutdown, jetstream.ErrNoHeartbeat,
		context.DeadlineExceeded,
	}, func(away error) bool { return errors.Is(err, away) })
}

// Explain names identity and file in an error of the connection.
func (c Connection) Explain(err error) error {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return c.keyError(fmt.Errorf("the bus does not know it (%w): is %s, its public half, in the server's directory of "+
			"keys?", err, PublicKeyFile(c.Identity)))
	case errors.As(err, &certificate), errors.Is(err, nats.ErrSecureConnWanted):
		return &TrustError{c.URL, err}
	}
	return fmt.Errorf("bus: connect as %s: %w", c.Identity, err)
}

func (c Connection) keyError(err error) error {
	if len(c.Seed) > 0 {
		return &KeyError{c.Identity, "", err}
	}
	return &KeyError{c.Identity, c.SeedFile, err}
}

// checkIdentity notices another identity's key, which the bus accepts: only the identity itself may listen to its
// inbox.
func (c Connection) checkIdentity(nc *nats.Conn) error {
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		return fmt.Errorf("bus: connect as %s: %w", c.Identity, err)
	}
	if _, err := sub.NextMsg(time.Nanosecond); errors.Is(err, nats.ErrPermissionViolation) {
		return c.keyError(errors.New("it is another identity's"))
	}
	return sub.Unsubscribe()
}
