package journal

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// errUntaken means that no stream accepted a message, so nothing was stored: the stream has no leader or does not
// exist.
var errUntaken = errors.New("journal: no stream takes the message")

// patiently retries while the bus does not answer, long enough for a connection or a cluster to recover.
func patiently[T any](ctx context.Context, patience time.Duration, ask func() (T, error)) (T, error) {
	return again(ctx, patience, ask, func(err error) bool {
		return !fatal(err) && !isMisfit(err) && !errors.Is(err, nats.ErrPermissionViolation)
	})
}

// persist is store, retried while the stream elects a leader.
func (w *writer) persist(ctx context.Context, key string, msgs ...*outgoing) result {
	r, _ := again(ctx, w.timeout, func() (result, error) {
		r := w.store(ctx, key, msgs...)
		return r, r.err
	}, func(err error) bool { return errors.Is(err, errUntaken) })
	return r
}

func again[T any](ctx context.Context, patience time.Duration, ask func() (T, error), may func(error) bool) (T, error) {
	end := time.Now().Add(patience)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		answer, err := ask()
		if err == nil || !may(err) || time.Now().After(end) || sleep(ctx, wait) != nil {
			return answer, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
