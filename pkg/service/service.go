// Package service is the runtime shared by all services: a connection under the service's own identity, a log and
// counters; and, for services that follow the stream, decide or answer, also the journal, a clock check against the
// bus, and the verification of callers. It contains no domain logic.
package service

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// reachable refuses if the bus is away.
func reachable(nc *nats.Conn) error {
	if !nc.IsConnected() {
		return refusal.Unavailable("", "I11", "does not answer")
	}
	return nil
}

// Connected is the runtime of a service that only needs the bus. The caller that opened it must close it.
type Connected struct {
	// Identity is the service's, also if this is one of its copies.
	Identity bus.Identity
	Conn     *nats.Conn
	// Keyring judges what the service reads of EVENTS (R50); nil: nothing is judged.
	Keyring  *signed.Keyring
	Log      *zap.Logger
	Counters *observe.Counters
	// Keys are those of what can be erased; nil: it is stored as it is, and what others encrypted cannot be read.
	Keys *keystore.Store
	// Traces is what the service traces with; nil: it traces nothing.
	Traces *trace.Service
	// Now is the service's clock.
	Now func() time.Time

	health *atomic.Pointer[observe.Check]
	disk   *atomic.Pointer[observe.Disk]
	// listening is closed once the bus has the service's subscriptions.
	listening chan struct{}
}

// Keeps says in which directory the service keeps data: until ctx ends, a disk that is nearly full is logged and shows
// as a warning in the service's health.
func (rt *Connected) Keeps(ctx context.Context, dir string) {
	if rt.disk == nil {
		return // it was not opened
	}
	rt.disk.CompareAndSwap(nil, observe.NewDisk(dir, rt.Log)) // one that starts again knows what it has logged
	go rt.disk.Load().Watch(ctx)
}

// Healthy sets the service's own health check. Of a runtime that was not opened, nobody asks for it.
func (rt *Connected) Healthy(check observe.Check) {
	if rt.health != nil {
		rt.health.Store(&check)
	}
}

func (rt *Connected) check(ctx context.Context) error {
	if check := rt.health.Load(); check != nil {
		if err := (*check)(ctx); err != nil {
			return err
		}
	}
	if disk := rt.disk.Load(); disk != nil {
		return disk.Check(ctx)
	}
	return nil
}

// Runtime is the runtime of a service that follows the stream, decides or answers.
type Runtime struct {
	Connected
	Journal *journal.Journal
	// Signer signs what the service stores; nil: nothing is signed. The journal uses it and the keyring, to which it adds
	// what the stream says of writers' keys.
	Signer *signed.Signer
	Clock  *bus.Clock
	// Issuers are the provider's; Verifier trusts them. A tenant's issuer comes from the tenant's own events.
	Issuers  []identity.Issuer
	Verifier *identity.Verifier
	// secret is the key store's; nil: nothing is encrypted.
	secret *keystore.Secret
	// Writer is the signer's key with what belongs to it; nil: it was not read from files.
	Writer *writerkeys.Keys
}

// Listen waits until the bus has the service's subscriptions and then closes the channel of Listening. A service that
// answers requests calls it when it starts to.
func (rt *Connected) Listen() error {
	if rt.listening == nil {
		return nil // it was not opened
	}
	if err := rt.Conn.Flush(); err != nil {
		return fmt.Errorf("%s: %w", rt.Identity, err)
	}
	select {
	case <-rt.listening: // before it started again
	default:
		close(rt.listening)
	}
	return nil
}

// Listening returns a channel that is closed once the service answers requests.
func (rt *Connected) Listening() <-chan struct{} { return rt.listening }

// Option configures a Runtime.
type Option func(*Runtime)

// WithSigning makes the service sign what it stores and judge what it reads (R50); either may be nil.
func WithSigning(signer *signed.Signer, keys *signed.Keyring) Option {
	return func(rt *Runtime) { rt.Signer, rt.Keyring = signer, keys }
}

// WithWriter makes the service sign with a writer's key, and judge under the deployment's that goes with it; nil: it
// does neither.
func WithWriter(keys *writerkeys.Keys) Option {
	return func(rt *Runtime) {
		if keys != nil {
			rt.Writer, rt.Signer, rt.Keyring = keys, keys.Signer, keys.Deployment.Keyring()
		}
	}
}

// WithSecret makes the service encrypt what can be erased, and decrypt it (R63); nil: it does neither.
func WithSecret(secret *keystore.Secret) Option {
	return func(rt *Runtime) { rt.secret = secret }
}

// Open connects, and waits until the bus and its streams are available or ctx ends. The clock is monitored and the keys
// of tenants' issuers are fetched until ctx ends.
func Open(
	ctx context.Context, c bus.Connection, issuers []identity.Issuer, counters *observe.Counters, options ...Option,
) (*Runtime, error) {
	verifier, err := identity.NewVerifier(issuers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Identity, err)
	}
	verifier.FetchTenantKeys(jwks.ForTenants(ctx, c.Log, counters.KeysPassedOver))
	rt := &Runtime{
		Connected: connected(c, counters), Clock: new(bus.Clock), Issuers: issuers, Verifier: verifier,
	}
	for _, o := range options {
		o(rt)
	}
	if err := await(ctx, c, rt.open); err != nil {
		return nil, err
	}
	if err := rt.AwaitSigning(ctx, rt.Journal); err != nil {
		rt.Close()
		return nil, err
	}
	rt.readRuntime()
	return rt, nil
}

// Connect connects, and waits until the bus is available or ctx ends. The keyring is the service's; nil: it judges
// nothing.
func Connect(
	ctx context.Context, c bus.Connection, counters *observe.Counters, keys *signed.Keyring,
) (*Connected, error) {
	rt := connected(c, counters)
	err := await(ctx, c, func(_ context.Context, c bus.Connection) (err error) {
		rt.Conn, err = bus.Connect(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	rt.Keyring = keys
	rt.readConnection()
	return &rt, nil
}

func connected(c bus.Connection, counters *observe.Counters) Connected {
	return Connected{Identity: c.Identity.Of(), Log: c.Log, Counters: counters, Now: time.Now,
		health: new(atomic.Pointer[observe.Check]), disk: new(atomic.Pointer[observe.Disk]), listening: make(chan struct{})}
}

// await calls open until it succeeds, cannot succeed, or ctx ends.
func await(ctx context.Context, c bus.Connection, open func(context.Context, bus.Connection) error) error {
	for attempt := 0; ; attempt++ {
		err := open(ctx, c)
		if err == nil || bus.Permanent(err) || errors.Is(err, keystore.ErrOtherSecret) {
			return err
		}
		if attempt == 0 {
			c.Log.Info("waiting for the bus", zap.Error(err))
		}
		if !pause(ctx, awayPause) {
			return fmt.Errorf("%s: %w", c.Identity, err)
		}
	}
}

// Outlive calls run, again and again while it ends because the bus did not answer or the disk was full.
func Outlive(ctx context.Context, log *zap.Logger, run func(context.Context) error) error {
	for {
		err := run(ctx)
		if ctx.Err() != nil {
			return err
		}
		switch {
		case durable.Full(err):
			log.Error("ALARM: the disk is full; starting again once there is room", zap.Error(err))
			if !pause(ctx, fullPause) {
				return nil
			}
		case bus.Away(err):
			log.Warn("the bus does not answer; starting again", zap.Error(err))
			if !pause(ctx, awayPause) {
				return nil
			}
		default:
			return err
		}
	}
}

// awayPause is how long to wait before the bus is tried again, fullPause before the disk is.
const (
	awayPause = 250 * time.Millisecond
	fullPause = 5 * time.Second
)

// pause waits. It reports false if ctx has ended.
func pause(ctx context.Context, long time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(long):
		return true
	}
}

func (rt *Runtime) open(ctx context.Context, c bus.Connection) (err error) {
	if rt.Conn, err = bus.Connect(c); err != nil {
		return err
	}
	options := []journal.Option{journal.WithLog(rt.Log), journal.WithSkipped(rt.Skipped)}
	if rt.Signer != nil {
		options = append(options, journal.WithSigner(rt.Signer))
	}
	if rt.Keyring != nil {
		options = append(options, journal.WithKeyring(rt.Keyring))
	}
	if err := rt.UseKeys(ctx, rt.secret); err != nil {
		rt.Conn.Close()
		return err
	}
	options = append(options, rt.Opening()...)
	if c.StagedInMemory {
		options = append(options, journal.WithBatchFrom(journal.BatchFromMemory))
	}
	rt.Journal, err = journal.Open(ctx, rt.Conn, options...)
	if err != nil {
		rt.Conn.Close()
		return err
	}
	if err := rt.Clock.Watch(ctx, rt.Conn); err != nil {
		rt.Log.Error("will not decide before the clock agrees with the bus", zap.Error(err))
	}
	return nil
}

// AwaitSigning waits, where it is pinned at which event signing begins, until the stream says so there: what is written
// before is refused for ever. Who writes that event does not wait. A stream that has something else there is refused
// (PRECONDITION), whoever replaced it. The journal has the service's keyring.
func (rt *Connected) AwaitSigning(ctx context.Context, j *journal.Journal) error {
	if rt.Keyring == nil || rt.Keyring.Expected() == 0 {
		return nil
	}
	for attempt := 0; ; attempt++ {
		begun, err := j.Begun(ctx)
		switch {
		case begun, err == nil && rt.Identity == bus.Orchestrator:
			return nil
		case refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION), rt.Conn.IsClosed():
			return fmt.Errorf("%s: %w", rt.Identity, err)
		case attempt == 0:
			rt.Log.Info("waiting until signing begins", zap.Error(err))
		}
		if !pause(ctx, awayPause) {
			return fmt.Errorf("%s: %w", rt.Identity, errors.Join(err, ctx.Err()))
		}
	}
}

// UseKeys makes the service use the key store with that secret, if there is one, and waits until the store answers.
// With another secret than the store's it is keystore.ErrOtherSecret.
func (rt *Connected) UseKeys(ctx context.Context, secret *keystore.Secret) (err error) {
	if secret == nil {
		return nil
	}
	if rt.Keys, err = keystore.New(ctx, rt.Conn, *secret, rt.Log); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		err := rt.Keys.Check(ctx)
		if err == nil || errors.Is(err, keystore.ErrOtherSecret) {
			return err
		}
		if attempt == 0 {
			rt.Log.Warn("waiting for the key store, which `lockbox provision` makes", zap.Error(err))
		}
		if !pause(ctx, awayPause) {
			return err
		}
	}
}

// Opening are the options of a journal by which it encrypts and decrypts what can be erased. Without a secret it takes
// events as they are, and reads none that is encrypted in part.
func (rt *Connected) Opening() []journal.Option {
	if rt.Keys == nil {
		return []journal.Option{journal.WithDetails(withoutSecret{})}
	}
	return []journal.Option{journal.WithDetails(rt.Keys)}
}

// withoutSecret is how a service without the key store's secret takes events. It must not read an event in part, and
// pass on or decide by what it could not read.
type withoutSecret struct{}

func (withoutSecret) OnForget(func()) {}

// Seal refuses what would be read as encrypted later.
func (withoutSecret) Seal(_ context.Context, e *lockboxv1.Event) (*lockboxv1.Event, error) {
	if erasable.Sealed(e) {
		return nil, refusal.Invalid("", "R63", "a text cannot begin as an encrypted one does")
	}
	return e, nil
}

func (withoutSecret) Open(_ context.Context, e *lockboxv1.Event) error {
	if erasable.Sealed(e) {
		return refusal.Unavailable("", "I11", "event %s is encrypted in part, and this service has no secret of the key "+
			"store: erasure.secret_file must name the one that the other services have", e.GetId())
	}
	return nil
}

// Skipped counts a stored message that cannot be an event.
func (rt *Connected) Skipped(journal.Misfit) {
	rt.Counters.Refused(&lockboxv1.Refusal{Code: lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, Rule: "not an event"})
}

// Close closes the journal and the connection.
func (rt *Runtime) Close() {
	rt.Journal.Close()
	rt.Connected.Close()
}

// Close closes the connection.
func (rt *Connected) Close() { rt.Conn.Close() }

// Append appends consecutive events of one aggregate, assigns missing ids, and counts and traces the stored events. It
// returns their sequences: all, unless there is an error.
func (rt *Runtime) Append(
	ctx context.Context, r *repository.Repository, states repository.States, events ...repository.Decided,
) ([]uint64, error) {
	for _, e := range events {
		if e.GetId() == "" {
			if err := repository.Identify(e.Event); err != nil {
				return nil, err
			}
		}
	}
	begun := time.Now()
	stored, err := r.Append(ctx, states, events...)
	for _, e := range events[:len(stored)] {
		rt.Counters.Event(aggregate.TypeOf(e.Event))
		rt.Traces.Wrote(ctx, e.Event, begun)
	}
	return stored, err
}

// SetAside stores a refused message of a sender as a dead letter, counts it, and logs the reason without the content.
// If too many of the sender are kept already, that is counted and logged as an alarm.
func (rt *Runtime) SetAside(
	ctx context.Context, sender, subject string, sequence uint64, data []byte, why *lockboxv1.Refusal,
) error {
	rt.Counters.Refused(why)
	rt.Counters.DeadLetter()
	rt.Log.Warn("set aside", zap.String("subject", subject), zap.Uint64("sequence", sequence),
		zap.String("field", why.GetField()),
		zap.String("rule", why.GetRule()), zap.String("why", why.GetMessage()))
	err := rt.Journal.PublishDeadLetter(ctx, sender, &lockboxv1.DeadLetter{
		Service: string(rt.Identity.Of()), Subject: subject, Sequence: sequence, Data: data, Refusal: why,
	})
	if errors.Is(err, journal.ErrFull) {
		rt.Counters.DeadLetterLost()
		rt.Log.Error("ALARM: a dead letter is not kept, because there are too many of its sender",
			zap.String("sender", sender), zap.String("subject", subject), zap.Uint64("sequence", sequence), zap.Error(err))
		return nil
	}
	return err
}
