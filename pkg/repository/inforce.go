package repository

import (
	"sync"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// InForce is what the provider published last under one name, compiled once a version; until anything was published,
// what ships.
type InForce[T interface{ Version() string }] struct {
	about   aggregate.Key
	builtin T
	compile func(text []byte) (T, error)

	mu      sync.Mutex
	version string // of last; empty: nothing was compiled yet
	last    T
}

// RulesInForce are the provider's rules.
func RulesInForce() *InForce[*policy.Rules] {
	return &InForce[*policy.Rules]{about: aggregate.Rules, builtin: policy.Default(), compile: policy.Parse}
}

// CatalogueInForce is the provider's service catalogue.
func CatalogueInForce() *InForce[*catalogue.Catalogue] {
	return &InForce[*catalogue.Catalogue]{about: aggregate.Catalogue, builtin: catalogue.Default(),
		compile: catalogue.Parse}
}

// Of returns what is in force by what was read.
func (f *InForce[T]) Of(s States) (T, error) { return f.After(s.Published(f.about)) }

// After returns what is in force after what was published. What this program cannot compile lets nothing through:
// whoever needs it waits for a program that can (I11).
func (f *InForce[T]) After(published policy.Published) (T, error) {
	var none T
	switch {
	case published.Fault != nil:
		return none, refusal.Unavailable("", "I6", "the history of %s contradicts itself at sequence %d (%s)", f.about,
			published.Fault.Sequence, published.Fault.Rule)
	case !published.Exists():
		return f.builtin, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.version != published.TextVersion {
		compiled, err := f.compile([]byte(published.Text))
		if err != nil {
			return none, refusal.Unavailable("", "I11", "the published %s of %s cannot be used: %v", published.TextVersion,
				f.about, err)
		}
		if compiled.Version() != published.TextVersion {
			return none, refusal.Unavailable("", "I11", "the published %s of %s is read as %s", published.TextVersion, f.about,
				compiled.Version())
		}
		f.version, f.last = published.TextVersion, compiled
	}
	return f.last, nil
}
