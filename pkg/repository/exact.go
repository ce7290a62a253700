package repository

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
)

// exact are the events of an aggregate as they are stored, beside its state.
type exact struct {
	aggregate.History
	events []keychain.Exact
}

// exactKey is where the events of an aggregate stand among states. No subject has such a kind.
func exactKey(of aggregate.Key) aggregate.Key {
	return aggregate.Key{Tenant: of.Tenant, Kind: "=" + of.Kind, ID: of.ID}
}

// exactly returns the events of an aggregate as they are stored, if they were read.
func (s States) exactly(of aggregate.Key) []keychain.Exact { return in[exact](s, exactKey(of)).events }

// signable are the kinds of what people sign statements about.
var signable = map[string]bool{
	aggregate.KindRequest: true, aggregate.KindTenant: true, aggregate.KindSubscription: true,
}

// readExactly adds the exact events of what decisions have to be signed about, for tenants who have keys: a signature
// covers the bytes. It reports false if something was stored since the states were read.
func (r *Repository) readExactly(ctx context.Context, states States, about []aggregate.Key) (bool, error) {
	for _, key := range about {
		state := states[key]
		if state == nil || !signable[key.Kind] || states.Keys(key.Tenant).Chain == nil || state.Folded().Fault != nil {
			continue
		}
		entries, err := r.Journal.LoadAtLeader(ctx, key)
		if err != nil {
			return false, err
		}
		if uint64(len(entries)) != state.Folded().Version {
			return false, nil
		}
		states.Exactly(key, entries)
	}
	return true, nil
}

// Exactly adds the events of an aggregate as they are stored, all of them.
func (s States) Exactly(of aggregate.Key, entries []journal.Entry) {
	is := new(exact)
	for _, e := range entries {
		is.events = append(is.events, keychain.Exact{Sequence: e.Seq, Version: e.Event.GetVersion(),
			Type: aggregate.TypeOf(e.Event), Data: e.Data})
	}
	s[exactKey(of)] = is
}

// Signable reports whether people sign statements about aggregates of this kind.
func Signable(kind string) bool { return signable[kind] }
