// Package cache is a bounded map for values that can be computed or read again.
package cache

import "sync"

// Cache evicts in two generations: when the young generation is full it replaces the old one, whose unused entries are
// dropped. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	size int

	mu         sync.Mutex
	young, old map[K]V
}

// New returns a cache of the most recently used entries: at least the last size, at most twice as many.
func New[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: size, young: map[K]V{}}
}

// Get returns the value stored by Put, unless it was evicted.
func (c *Cache[K, V]) Get(k K) (v V, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, found = c.young[k]; found {
		return v, true
	}
	if v, found = c.old[k]; found {
		c.keep(k, v)
	}
	return v, found
}

// Put stores a value, replacing any with the same key.
func (c *Cache[K, V]) Put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(k, v)
}

// Update replaces what is kept, the zero value if nothing is, unless change reports false.
func (c *Cache[K, V]) Update(k K, change func(before V) (V, bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, found := c.young[k]
	if !found {
		before = c.old[k]
	}
	if v, changed := change(before); changed {
		c.keep(k, v)
	}
}

// Clear forgets everything.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = map[K]V{}, nil
}

func (c *Cache[K, V]) keep(k K, v V) {
	if _, replaces := c.young[k]; !replaces && len(c.young) >= c.size {
		c.old, c.young = c.young, map[K]V{}
	}
	c.young[k] = v
}
