package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

const (
	// MaxSkew is how far a service's clock may be from the bus; further, it refuses to decide.
	MaxSkew = 2 * time.Second

	clockInterval = time.Minute
	// clockStale is the maximum age of the last successful check; it allows for two failed ones.
	clockStale   = 3*clockInterval + 10*time.Second
	clockTimeout = 5 * time.Second
)

// CheckClock compares this machine's clock with the bus. The skew is positive if the local clock is behind; it is
// accurate to half the round-trip time.
func CheckClock(ctx context.Context, nc *nats.Conn) (skew time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	before := time.Now()
	reply, err := nc.RequestWithContext(ctx, StreamInfoSubject(StreamEvents), nil)
	if err != nil {
		return 0, fmt.Errorf("bus: ask for the time: %w", err)
	}
	middle := before.Add(time.Since(before) / 2)
	var info struct {
		Time time.Time `json:"ts"`
	}
	if err := json.Unmarshal(reply.Data, &info); err != nil {
		return 0, fmt.Errorf("bus: ask for the time: %w", err)
	}
	if info.Time.IsZero() {
		return 0, fmt.Errorf("bus: the answer tells no time: %s", reply.Data)
	}
	return info.Time.Sub(middle), nil
}

// Clock monitors whether this machine's clock agrees with the bus. Deadlines are decided by the local clock, so a
// service that is more than two seconds off refuses to decide. The zero value is not healthy; start it with Watch.
type Clock struct {
	mu      sync.Mutex
	skew    time.Duration
	checked time.Time
	err     error
}

// Watch checks at once and then every minute until ctx ends. It returns the result of the first check, and keeps
// checking even if that failed.
func (c *Clock) Watch(ctx context.Context, nc *nats.Conn) error {
	c.check(ctx, nc)
	go func() {
		tick := time.NewTicker(clockInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				c.check(ctx, nc)
			}
		}
	}()
	return c.Healthy()
}

func (c *Clock) check(ctx context.Context, nc *nats.Conn) {
	skew, err := CheckClock(ctx, nc)
	c.set(skew, err, time.Now())
}

func (c *Clock) set(skew time.Duration, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	if err == nil {
		c.skew, c.checked = skew, now
	}
}

// Healthy returns nil, or UNAVAILABLE if the clocks are more than two seconds apart or the last comparison is too old.
func (c *Clock) Healthy() error { return c.healthy(time.Now()) }

func (c *Clock) healthy(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.checked.IsZero() && c.err != nil:
		return refusal.OfKind(
			refusal.Unavailable("", "I11", "the clock could not be compared with the bus: %v", c.err),
			"clock")
	case now.Sub(c.checked) > clockStale:
		return refusal.OfKind(
			refusal.Unavailable("", "I11", "the clock has not been compared with the bus for long"),
			"clock")
	case jumped(c.checked, now).Abs() > MaxSkew:
		return refusal.OfKind(
			refusal.Unavailable("", "I11", "the clock was set since it was compared with the bus"),
			"clock")
	case c.skew.Abs() > MaxSkew:
		return refusal.OfKind(
			refusal.Unavailable("", "I11", "the clock and the bus are %v apart; at most %v is allowed", c.skew, MaxSkew),
			"clock")
	}
	return nil
}

// Skew returns how far the bus is ahead of this machine's clock now, and when they were compared; no time if they never
// were.
func (c *Clock) Skew() (skew time.Duration, compared time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checked.IsZero() {
		return 0, time.Time{}
	}
	return c.skew - jumped(c.checked, time.Now()), c.checked
}

// jumped returns by how much the wall clock was set between two readings in this process, whose monotonic clock knows
// how much time passed.
func jumped(before, now time.Time) time.Duration {
	return now.Round(0).Sub(before.Round(0)) - now.Sub(before)
}
