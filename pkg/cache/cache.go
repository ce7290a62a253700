// Package cache is a bounded map for what can be computed or read again.
package cache

import "sync"

// Cache forgets in two generations: when the young one is full it becomes the old one, and what nobody asked for since
// the generation before is dropped. Safe for concurrent use.
type Cache[K comparable, V any] struct {
	size int

	mu         sync.Mutex
	young, old map[K]V
}

// New makes a cache that holds what was asked for last: at least size entries, at most twice as many.
func New[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: size, young: map[K]V{}}
}

// Get returns what Put has kept, unless it was dropped.
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

// Put keeps a value, in place of one with the same key.
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

func (c *Cache[K, V]) keep(k K, v V) {
	if _, replaces := c.young[k]; !replaces && len(c.young) >= c.size {
		c.old, c.young = c.young, map[K]V{}
	}
	c.young[k] = v
}
