package repository

import (
	"sync"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// InForce is the provider's latest published rule set or catalogue, compiled once per version; the built-in one until
// something is published.
type InForce[T interface{ Version() string }] struct {
	about   aggregate.Key
	builtin T
	compile func(text []byte) (T, error)

	mu      sync.Mutex
	version string // of last; empty until something was compiled
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

// Of returns the version in force according to the states read.
func (f *InForce[T]) Of(s States) (T, error) { return f.After(s.Published(f.about)) }

// After returns the version in force given what was published. A text that this program cannot compile is UNAVAILABLE:
// decisions that need it fail closed until a program that understands it is deployed (I11).
func (f *InForce[T]) After(published policy.Published) (T, error) {
	var none T
	switch {
	case published.Fault != nil:
		return none, refusal.OfKind(
			refusal.Unavailable("", "I6", "the history of %s contradicts itself at sequence %d (%s)", f.about,
				published.Fault.Sequence, aggregate.Spoken(published.Fault.Rule)),
			"history")
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
