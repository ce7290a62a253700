package repository

import (
	"context"
	"strconv"

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

// readExactly adds the exact events of what people sign statements about, for tenants who have keys: a signature covers
// the bytes. Of a request these are all of its events, of a tenant or a subscription the last. It reports false if
// something was stored since the states were read.
func (r *Repository) readExactly(ctx context.Context, states States, about []aggregate.Key) (bool, error) {
	for _, key := range states.signable(about) {
		state := states[key]
		if state == nil || states.Keys(key.Tenant).Chain == nil || state.Folded().Fault != nil {
			continue
		}
		last := state.Folded()
		var entries []journal.Entry
		var err error
		if key.Kind == aggregate.KindRequest {
			entries, err = r.Journal.LoadAtLeader(ctx, key)
		} else {
			var e journal.Entry
			e, err = r.Journal.At(ctx, key, strconv.FormatUint(last.Version, 10))
			entries = []journal.Entry{e}
		}
		if err != nil {
			return false, err
		}
		if n := len(entries); n == 0 || entries[n-1].Seq != last.Sequence {
			return false, nil
		}
		states.Exactly(key, entries)
	}
	return true, nil
}

// signable returns what people sign statements about, if decisions on these aggregates are to be made: the aggregates
// themselves, and the subscriptions that an ownership gives away.
func (s States) signable(about []aggregate.Key) (keys []aggregate.Key) {
	for _, key := range about {
		if Signable(key.Kind) {
			keys = append(keys, key)
		} else if key.Kind == aggregate.KindOwnership {
			keys = append(keys, givers(s.Ownership(key.ID))...)
		}
	}
	return keys
}

// Exactly adds the events of an aggregate as they are stored: all of them, or only the last where that is enough.
func (s States) Exactly(of aggregate.Key, entries []journal.Entry) {
	is := new(exact)
	for _, e := range entries {
		is.events = append(is.events, keychain.Exact{Sequence: e.Seq, Version: e.Event.GetVersion(),
			Type: aggregate.TypeOf(e.Event), Data: e.Data})
	}
	s[exactKey(of)] = is
}

// Signable reports whether people sign statements about aggregates of this kind.
func Signable(kind string) bool {
	return kind == aggregate.KindRequest || kind == aggregate.KindTenant || kind == aggregate.KindSubscription
}
