// Package leasetest renews the lease unconditionally, for tests and benchmarks of services that grant access without a
// projector running.
package leasetest

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/signed"
)

// Keep renews the lease over the projector's connection until ctx ends, which it reports by closing the channel. The
// signer is the projector's; nil where nothing is signed.
func Keep(ctx context.Context, nc *nats.Conn, signer *signed.Signer) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_ = lease.Renew(nc, signer, 0, time.Now()) // without a lease, the service under test refuses
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}()
	return done
}
