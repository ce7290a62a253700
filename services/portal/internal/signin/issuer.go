package signin

import (
	"context"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
)

const (
	// An issuer's metadata is cached for knownFor; a failure to fetch it for failedFor, so that many waiting visitors
	// do not overload the issuer.
	knownFor  = time.Hour
	failedFor = 5 * time.Second
)

// issuer fetches the issuer's metadata at the first sign-in, so that the portal can start while the issuer is down.
type issuer struct {
	client oidcclient.Client

	mu     sync.Mutex
	said   *oidcclient.Issuer
	err    error
	until  time.Time
	asking chan struct{} // closed when the fetch ends; nil if none is running
}

// open returns the issuer's metadata, or the error of fetching it. Concurrent callers share one fetch.
func (i *issuer) open(ctx context.Context) (*oidcclient.Issuer, error) {
	for {
		i.mu.Lock()
		if i.client.Now().Before(i.until) {
			defer i.mu.Unlock()
			return i.said, i.err
		}
		if i.asking == nil {
			i.asking = make(chan struct{})
			go i.ask(context.WithoutCancel(ctx)) // it has its own timeout
		}
		answered := i.asking
		i.mu.Unlock()
		select {
		case <-answered:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (i *issuer) ask(ctx context.Context) {
	said, err := i.client.Discover(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.said, i.err, i.until = said, err, i.client.Now().Add(knownFor)
	if err != nil {
		i.until = i.client.Now().Add(failedFor)
	}
	close(i.asking)
	i.asking = nil
}
