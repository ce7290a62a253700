// Package lease implements the guard's lease, without which no access is granted (pkg/README.md, "The guard"). The
// projector renews it while the stream, its replicas and the trees agree; a service that grants access checks that it
// is fresh. Grants freeze as soon as renewals stop: nothing has to be switched, and unavailability never means yes
// (I11).
package lease

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// Lifetime is how long a renewal lasts.
	Lifetime = 15 * time.Second
	// RenewEvery is how often the guard renews the lease while it finds no difference.
	RenewEvery = 5 * time.Second
	// drift is how far apart the clocks of two services may be: each is at most 2 s from the bus.
	drift = 4 * time.Second
)

// Renew renews the lease: the stream was verified up to a sequence. It is signed if there is a signer.
func Renew(nc *nats.Conn, signer *signed.Signer, verified uint64, now time.Time) error {
	return RenewWitnessed(nc, signer, verified, time.Time{}, now)
}

// RenewWitnessed is Renew of a log whose witnesses' quorum was last complete at a time; zero if it never was.
func RenewWitnessed(nc *nats.Conn, signer *signed.Signer, verified uint64, quorum, now time.Time) error {
	l := &lockboxv1.Lease{VerifiedSequence: verified, IssuedAt: timestamppb.New(now)}
	if !quorum.IsZero() {
		l.QuorumAt = timestamppb.New(quorum)
	}
	data, err := proto.Marshal(l)
	if err != nil {
		return err
	}
	if signer != nil {
		stored, err := signer.Sign([]signed.Unsigned{{Subject: bus.LeaseSubject, Content: data}})
		if err != nil {
			return err
		}
		data = stored[0]
	}
	return nc.Publish(bus.LeaseSubject, data)
}

// Option is an option of Listen.
type Option func(*Holder)

// WitnessedWithin has renewals count only while the last quorum of the log's witnesses was complete at most so long
// ago; 0: whenever it was, or if there was none.
func WitnessedWithin(d time.Duration) Option { return func(h *Holder) { h.within = d } }

// Holder receives renewals.
type Holder struct {
	now func() time.Time
	// keys say who may sign renewals; nil: nobody has to.
	keys *signed.Keyring
	// returned is called when the lease is valid again.
	returned func()
	// within is how long ago the last quorum of witnesses may have been complete; 0: nobody asks.
	within time.Duration

	mu sync.Mutex
	// unwitnessed: the last renewal did not count, because the last quorum is too old or there was none.
	unwitnessed bool
	// until uses this process's monotonic clock, which clock adjustments do not affect.
	until time.Time
}

// Listen subscribes to renewals for as long as the connection lasts. Now is the service's clock. Returned is called
// each time that a renewal makes the lease valid when it was not. Once signing has begun in the keyring, only what the
// projector has signed is a renewal (R50); without a keyring, anything is that comes on the subject.
func Listen(
	nc *nats.Conn, now func() time.Time, keys *signed.Keyring, returned func(), options ...Option,
) (*Holder, error) {
	h := &Holder{now: now, keys: keys, returned: returned}
	for _, o := range options {
		o(h)
	}
	if _, err := nc.Subscribe(bus.LeaseSubject, func(m *nats.Msg) { h.renewed(m.Data) }); err != nil {
		return nil, err
	}
	return h, nil
}

// renewed extends the lease by what remains of the renewal's lifetime: a delayed renewal counts for less, or not at
// all.
func (h *Holder) renewed(data []byte) {
	l := new(lockboxv1.Lease)
	if proto.Unmarshal(data, l) != nil || !l.GetIssuedAt().IsValid() {
		return
	}
	if h.keys != nil && h.keys.Required() {
		by, at := aggregate.Projector, l.GetIssuedAt().AsTime()
		if h.keys.CheckStatement(bus.LeaseSubject, data, by, at) != nil {
			return
		}
	}
	age := h.now().Sub(l.GetIssuedAt().AsTime())
	if age < -drift || age >= Lifetime {
		return
	}
	lasts := min(Lifetime-max(0, age), h.witnessed(l))
	h.mu.Lock()
	h.unwitnessed = lasts <= 0
	h.mu.Unlock()
	if lasts > 0 && h.extend(time.Now(), lasts) {
		h.returned()
	}
}

// witnessed returns for how much longer the last quorum is recent enough. No clock of a witness makes it more recent
// than the lease.
func (h *Holder) witnessed(l *lockboxv1.Lease) time.Duration {
	switch {
	case h.within == 0:
		return Lifetime
	case !l.GetQuorumAt().IsValid():
		return 0
	}
	at, issued := l.GetQuorumAt().AsTime(), l.GetIssuedAt().AsTime()
	if at.After(issued) {
		at = issued
	}
	return h.within - h.now().Sub(at)
}

// extend reports whether the lease was not valid before.
func (h *Holder) extend(now time.Time, by time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	lapsed := !now.Before(h.until)
	if until := now.Add(by); until.After(h.until) {
		h.until = until
	}
	return lapsed
}

// Expiry returns when the lease ends or has ended; zero if there never was one.
func (h *Holder) Expiry() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.until
}

// Check refuses (UNAVAILABLE) unless there is a fresh lease.
func (h *Holder) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.until) {
		return nil
	}
	if h.unwitnessed {
		return refusal.OfKind(
			refusal.Unavailable("", "I11", "nothing is granted: no quorum of the log's witnesses has cosigned within %v",
				h.within),
			"not-verified")
	}
	return refusal.OfKind(
		refusal.Unavailable("", "I11", "nothing is granted: the guard has not said for %v that the log is whole",
			Lifetime),
		"not-verified")
}
