package journal

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// patiently asks again while the bus does not answer, for as long as a connection or a cluster takes to recover.
func patiently[T any](ctx context.Context, patience time.Duration, ask func() (T, error)) (T, error) {
	end := time.Now().Add(patience)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		answer, err := ask()
		if err == nil || fatal(err) || errors.Is(err, nats.ErrPermissionViolation) || time.Now().After(end) || sleep(ctx, wait) != nil {
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
