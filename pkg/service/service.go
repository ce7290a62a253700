// Package service is what every service stands on while it runs: a connection under its own identity, a log and
// counters; and, for a service that follows the stream, decides or answers, the journal, a clock that agrees with the
// bus, and verified callers. It decides nothing.
package service

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// Connected is what a service has that only speaks over the bus. Whoever opened it closes it.
type Connected struct {
	Identity bus.Identity
	Conn     *nats.Conn
	Log      *zap.Logger
	Counters *observe.Counters
	// Now is the time by which the service works.
	Now func() time.Time
}

// Runtime is what a service has that follows the stream, decides or answers.
type Runtime struct {
	Connected
	Journal *journal.Journal
	Clock   *bus.Clock
	// Issuers are the provider's. Verifier trusts them; a tenant's issuer comes from the tenant's own events.
	Issuers  []identity.Issuer
	Verifier *identity.Verifier
	// listening is closed when the bus knows that the service answers.
	listening chan struct{}
}

// Listen tells whoever waits for Listening that the service answers, once the bus knows of its subscriptions. A service
// that answers calls it once.
func (rt *Runtime) Listen() error {
	if err := rt.Conn.Flush(); err != nil {
		return fmt.Errorf("%s: %w", rt.Identity, err)
	}
	close(rt.listening)
	return nil
}

// Listening is closed when the service answers.
func (rt *Runtime) Listening() <-chan struct{} { return rt.listening }

// Open connects and waits until the bus and its streams are there, or ctx ends. The clock is watched, and the keys of
// tenants' issuers are fetched, until ctx ends.
func Open(
	ctx context.Context, c bus.Connection, issuers []identity.Issuer, counters *observe.Counters,
) (*Runtime, error) {
	verifier, err := identity.NewVerifier(issuers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Identity, err)
	}
	verifier.FetchTenantKeys(jwks.ForTenants(ctx, c.Log))
	rt := &Runtime{
		Connected: connected(c, counters), Clock: new(bus.Clock), Issuers: issuers, Verifier: verifier,
		listening: make(chan struct{}),
	}
	if err := await(ctx, c, rt.open); err != nil {
		return nil, err
	}
	return rt, nil
}

// Connect connects and waits until the bus is there, or ctx ends.
func Connect(ctx context.Context, c bus.Connection, counters *observe.Counters) (*Connected, error) {
	rt := connected(c, counters)
	err := await(ctx, c, func(_ context.Context, c bus.Connection) (err error) {
		rt.Conn, err = bus.Connect(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &rt, nil
}

func connected(c bus.Connection, counters *observe.Counters) Connected {
	return Connected{Identity: c.Identity, Log: c.Log, Counters: counters, Now: time.Now}
}

// await opens until that succeeds or ctx ends.
func await(ctx context.Context, c bus.Connection, open func(context.Context, bus.Connection) error) error {
	for attempt := 0; ; attempt++ {
		err := open(ctx, c)
		if err == nil {
			return nil
		}
		if attempt == 0 {
			c.Log.Info("waiting for the bus", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", c.Identity, err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (rt *Runtime) open(ctx context.Context, c bus.Connection) (err error) {
	if rt.Conn, err = bus.Connect(c); err != nil {
		return err
	}
	if rt.Journal, err = journal.Open(ctx, rt.Conn, journal.WithLog(rt.Log)); err != nil {
		rt.Conn.Close()
		return err
	}
	if err := rt.Clock.Watch(ctx, rt.Conn); err != nil {
		rt.Log.Error("will not decide before the clock agrees with the bus", zap.Error(err))
	}
	return nil
}

// Close lets go of the journal and the connection.
func (rt *Runtime) Close() {
	rt.Journal.Close()
	rt.Connected.Close()
}

// Close lets go of the connection.
func (rt *Connected) Close() { rt.Conn.Close() }

// Append appends decided events of one aggregate that follow each other, gives ids to those that have none, and counts
// what is stored. It returns the sequences of those: all, unless there is an error.
func (rt *Runtime) Append(
	ctx context.Context, r *repository.Repository, states repository.States, events ...*lockboxv1.Event,
) ([]uint64, error) {
	for _, e := range events {
		if e.GetId() == "" {
			if err := repository.Identify(e); err != nil {
				return nil, err
			}
		}
	}
	stored, err := r.Append(ctx, states, events...)
	for _, e := range events[:len(stored)] {
		rt.Counters.Event(aggregate.TypeOf(e))
	}
	return stored, err
}

// SetAside keeps a message that is refused with its bytes, counts it, and logs why, without its content.
func (rt *Runtime) SetAside(
	ctx context.Context, subject string, sequence uint64, data []byte, why *lockboxv1.Refusal,
) error {
	rt.Counters.Refused(why)
	rt.Counters.DeadLetter()
	rt.Log.Warn("set aside", zap.String("subject", subject), zap.Uint64("sequence", sequence),
		zap.String("field", why.GetField()),
		zap.String("rule", why.GetRule()), zap.String("why", why.GetMessage()))
	return rt.Journal.PublishDeadLetter(ctx,
		&lockboxv1.DeadLetter{Service: string(rt.Identity), Subject: subject, Sequence: sequence, Data: data, Refusal: why})
}
