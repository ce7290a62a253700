// Package lease is the word of the guard that all is well, on which everything that is granted rests (pkg/README.md,
// "The guard"). The projector renews it while the stream, its replicas and the trees agree; whoever grants asks whether
// it is fresh. So a freeze is the absence of good news: nothing has to be switched, and nothing that is unavailable
// means yes (I11).
package lease

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// Lifetime is how long one lasts.
	Lifetime = 15 * time.Second
	// RenewEvery is how often it is renewed while all is well.
	RenewEvery = 5 * time.Second
	// drift is how far the clocks of two services may be apart, each at most 2 s from the bus.
	drift = 4 * time.Second
)

// Renew says that all is well up to a sequence.
func Renew(nc *nats.Conn, verified uint64, now time.Time) error {
	data, err := proto.Marshal(&lockboxv1.Lease{VerifiedSequence: verified, IssuedAt: timestamppb.New(now)})
	if err != nil {
		return err
	}
	return nc.Publish(bus.LeaseSubject, data)
}

// Holder hears of renewals.
type Holder struct {
	now func() time.Time

	mu sync.Mutex
	// until is on this process's own clock, which no correction of the time of day moves.
	until time.Time
}

// Listen holds the lease for as long as the connection lasts. Now is the time by which the service decides.
func Listen(nc *nats.Conn, now func() time.Time) (*Holder, error) {
	h := &Holder{now: now}
	if _, err := nc.Subscribe(bus.LeaseSubject, func(m *nats.Msg) { h.renewed(m.Data) }); err != nil {
		return nil, err
	}
	return h, nil
}

// renewed takes a lease for as long as is left of it: one that was long on its way is worth nothing.
func (h *Holder) renewed(data []byte) {
	l := new(lockboxv1.Lease)
	if proto.Unmarshal(data, l) != nil || !l.GetIssuedAt().IsValid() {
		return
	}
	age := h.now().Sub(l.GetIssuedAt().AsTime())
	if age < -drift || age >= Lifetime {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(Lifetime - max(0, age)); until.After(h.until) {
		h.until = until
	}
}

// Check refuses (UNAVAILABLE) unless there is a lease that is fresh.
func (h *Holder) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.until) {
		return nil
	}
	return refusal.Unavailable("", "I11", "nothing is granted: the guard has not said for %v that the log is whole",
		Lifetime)
}
