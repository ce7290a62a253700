package signin

import (
	"context"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
)

const (
	// What an issuer says of itself is good for knownFor; that it does not answer, for failedFor, so that many who wait do
	// not hammer it.
	knownFor  = time.Hour
	failedFor = 5 * time.Second
)

// issuer is asked where it does what when somebody first wants to sign in there: the portal starts without it.
type issuer struct {
	client oidcclient.Client

	mu     sync.Mutex
	said   *oidcclient.Issuer
	err    error
	until  time.Time
	asking chan struct{} // closed when there is an answer; nil: nobody asks
}

// open returns what the issuer says of itself, or why it says nothing. Who waits, waits for one answer together.
func (i *issuer) open(ctx context.Context) (*oidcclient.Issuer, error) {
	for {
		i.mu.Lock()
		if i.client.Now().Before(i.until) {
			defer i.mu.Unlock()
			return i.said, i.err
		}
		if i.asking == nil {
			i.asking = make(chan struct{})
			go i.ask(context.WithoutCancel(ctx)) // it ends by itself
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
