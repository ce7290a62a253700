// Package leasetest says that all is well where nobody looks: in tests and benchmarks of services that grant without a
// projector.
package leasetest

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/lease"
)

// Keep renews the lease over the projector's connection until ctx ends, which it reports by closing the channel.
func Keep(ctx context.Context, nc *nats.Conn) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_ = lease.Renew(nc, 0, time.Now()) // whoever grants says if there is none
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}()
	return done
}
