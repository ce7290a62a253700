package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// mostInMemory is how much a bucket in memory holds, in bytes of its values.
const mostInMemory = 64 << 20

// memory is a bucket of one process, with the same bounds as the one on the bus: what was not written for a session's
// lifetime is gone, and a full one takes nobody in and loses nobody.
type memory struct {
	now func() time.Time

	mu       sync.Mutex
	records  map[string]kept
	bytes    int
	revision uint64
}

type kept struct {
	value    []byte
	revision uint64
	at       time.Time
}

func newMemory(now func() time.Time) *memory { return &memory{now: now, records: map[string]kept{}} }

// Get implements bucket.
func (m *memory) Get(_ context.Context, key string) (value []byte, revision uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.records[key]
	if !found || m.over(r) {
		return nil, 0, jetstream.ErrKeyNotFound
	}
	return r.value, r.revision, nil
}

// Create implements bucket.
func (m *memory) Create(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, found := m.records[key]; found && !m.over(r) {
		return jetstream.ErrKeyExists
	}
	return m.write(key, value)
}

// Update implements bucket.
func (m *memory) Update(_ context.Context, key string, value []byte, revision uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, found := m.records[key]; !found || m.over(r) || r.revision != revision {
		return jetstream.ErrKeyRevisionMismatch
	}
	return m.write(key, value)
}

// Put implements bucket.
func (m *memory) Put(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(key, value)
}

// Delete implements bucket.
func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(key)
	return nil
}

func (m *memory) over(r kept) bool { return m.now().Sub(r.at) >= bus.SessionLifetime }

// write makes room of what is over, if there is none.
func (m *memory) write(key string, value []byte) error {
	if m.bytes+len(value) > mostInMemory {
		for old, r := range maps.Clone(m.records) {
			if m.over(r) {
				m.remove(old)
			}
		}
	}
	if m.bytes-len(m.records[key].value)+len(value) > mostInMemory {
		return errors.New("session: no room for more sessions")
	}
	m.remove(key)
	m.revision++
	m.records[key] = kept{slices.Clone(value), m.revision, m.now()}
	m.bytes += len(value)
	return nil
}

func (m *memory) remove(key string) {
	m.bytes -= len(m.records[key].value)
	delete(m.records, key)
}
