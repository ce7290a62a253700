package repository

import "sync"

// recent is a bounded map in two generations: when the young generation is full it replaces the old one, whose unused
// entries are dropped. It holds at most twice its size. A nil recent is always empty.
type recent[K comparable, V any] struct {
	size int

	mu         sync.Mutex
	young, old map[K]V
}

func newRecent[K comparable, V any](size int) *recent[K, V] {
	return &recent[K, V]{size: size, young: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (v V, known bool) {
	if r == nil {
		return v, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, known = r.young[k]; known {
		return v, true
	}
	if v, known = r.old[k]; known {
		r.keep(k, v)
	}
	return v, known
}

// update replaces the value of k (the zero value if there is none) with the result of f, unless f returns false.
func (r *recent[K, V]) update(k K, f func(before V) (V, bool)) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.young[k]
	if !known {
		before = r.old[k]
	}
	if v, changed := f(before); changed {
		r.keep(k, v)
	}
}

func (r *recent[K, V]) drop(k K) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, k)
	delete(r.old, k)
}

// keep puts a value into the young generation. The lock is held.
func (r *recent[K, V]) keep(k K, v V) {
	if len(r.young) >= r.size {
		r.old, r.young = r.young, map[K]V{}
	}
	r.young[k] = v
}
