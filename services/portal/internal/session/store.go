package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

const (
	// idleTimeout ends an unused session. Use is recorded at most every noteEvery, so that most pages cost a read of
	// the bus and no write; a session can end that much too early.
	idleTimeout = time.Hour
	noteEvery   = 5 * time.Minute

	storeTimeout = 3 * time.Second
)

// unattended marks a context in which reading a session does not count as use.
type unattended struct{}

// store is scs's store in the bucket. scs prefers the methods that take a context; the others are never called.
type store struct {
	scs.Store
	js  jetstream.JetStream // nil: the bucket is in memory
	now func() time.Time

	mu sync.Mutex
	kv bucket // nil until it is found
}

// bucket holds sealed records by their keys. Its errors are those of jetstream.KeyValue.
type bucket interface {
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Create stores a value under a key that has none, Update in place of a revision, Put in place of any.
	Create(ctx context.Context, key string, value []byte) error
	Update(ctx context.Context, key string, value []byte, revision uint64) error
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// shared is the bucket on the bus.
type shared struct{ kv jetstream.KeyValue }

func (b shared) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	entry, err := b.kv.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return entry.Value(), entry.Revision(), nil
}

func (b shared) Create(ctx context.Context, key string, value []byte) error {
	_, err := b.kv.Create(ctx, key, value)
	return err
}

func (b shared) Update(ctx context.Context, key string, value []byte, revision uint64) error {
	_, err := b.kv.Update(ctx, key, value, revision)
	return err
}

func (b shared) Put(ctx context.Context, key string, value []byte) error {
	_, err := b.kv.Put(ctx, key, value)
	return err
}

func (b shared) Delete(ctx context.Context, key string) error { return b.kv.Delete(ctx, key) }

// FindCtx returns a session that has neither expired nor been idle for too long. UNAVAILABLE if the bus does not
// answer.
func (s *store) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	kv, err := s.bucket(ctx)
	if err != nil {
		return nil, false, err
	}
	for range 2 {
		value, revision, err := kv.Get(ctx, keyOf(token))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, unavailable(err)
		}
		r, readable := unseal(token, value)
		now := s.now()
		if !readable || !now.Before(r.end) || !now.Before(r.used.Add(idleTimeout)) {
			return nil, false, nil
		}
		if now.Before(r.used.Add(noteEvery)) || ctx.Value(unattended{}) != nil {
			return r.data, true, nil
		}
		r.used = now
		sealed, err := seal(token, r)
		if err != nil {
			return nil, false, err
		}
		// Compare-and-set; otherwise a session that has just been ended elsewhere would be restored.
		if err := kv.Update(ctx, keyOf(token), sealed, revision); !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return r.data, true, nil // an unrecorded use does not extend the session
		}
	}
	return nil, false, unavailable(jetstream.ErrKeyRevisionMismatch)
}

// CommitCtx stores a session with a new token.
func (s *store) CommitCtx(ctx context.Context, token string, data []byte, end time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	kv, err := s.bucket(ctx)
	if err != nil {
		return err
	}
	sealed, err := seal(token, record{used: s.now(), end: end, data: data})
	if err != nil {
		return err
	}
	if err := kv.Create(ctx, keyOf(token), sealed); err != nil {
		return unavailable(err)
	}
	return nil
}

// DeleteCtx ends a session on all replicas of the portal.
func (s *store) DeleteCtx(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	kv, err := s.bucket(ctx)
	if err != nil {
		return err
	}
	if err := kv.Delete(ctx, keyOf(token)); err != nil {
		return unavailable(err)
	}
	return nil
}

// bucket looks up the bucket until it exists: the portal may start before the bucket is created.
func (s *store) bucket(ctx context.Context) (bucket, error) {
	s.mu.Lock()
	kv := s.kv
	s.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	found, err := s.js.KeyValue(ctx, bus.SessionBucket)
	if err != nil {
		return nil, unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kv = shared{found}
	return s.kv, nil
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", refusal.Unavailable("session", "I11", "who is signed in cannot be known just now"), err)
}
