package aggregate

import (
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// CheckKind refuses (INVALID) a kind that does not exist.
func CheckKind(kind string) error {
	if Reported(kind) || fact.Decided(kind) {
		return nil
	}
	return refusal.Invalid("kind", rule, "there is no kind %q", kind)
}

// rule is the rule named in refusals of malformed keys.
const rule = "subject"

// ProviderTenant takes the tenant's place in the keys of the provider's own aggregates. No tenant can have this id.
const ProviderTenant = "_"

// CheckTenant refuses (INVALID) anything that is neither a valid tenant id nor ProviderTenant.
func CheckTenant(tenant string) error {
	if tenant == ProviderTenant {
		return nil
	}
	return input.Tenant("tenant", tenant)
}

// Key identifies an aggregate.
type Key struct{ Tenant, Kind, ID string }

// The provider's own aggregates.
var (
	// Rules and Catalogue are the provider's rule set and service catalogue, of which each version is an event.
	Rules     = Key{ProviderTenant, KindPolicy, "rules"}
	Catalogue = Key{ProviderTenant, KindPolicy, "catalogue"}
	// SigningWriters are the keys with which writers sign, and since when they have to.
	SigningWriters = Key{ProviderTenant, KindSigning, "writers"}
	// MerkleLog is the log of all events, whose checkpoints are reported, and MerkleLogKeys are the keys that sign it;
	// Guard compares the stream with it.
	MerkleLog     = Key{ProviderTenant, KindCheckpoint, "log"}
	MerkleLogKeys = Key{ProviderTenant, KindCheckpoint, "keys"}
	Guard         = Key{ProviderTenant, KindAlarm, "guard"}
)

// Request identifies a tenant's request.
func Request(tenant, id string) Key { return Key{tenant, KindRequest, id} }

// Tenant identifies a tenant.
func Tenant(id string) Key { return Key{id, KindTenant, id} }

// Subscription identifies one of a tenant's subscriptions.
func Subscription(tenant, id string) Key { return Key{tenant, KindSubscription, id} }

// Ownership identifies the provider's record of whose a subscription is. There is one for all spellings of an id, which
// differ in the case of ASCII letters only (R48).
func Ownership(subscription string) Key {
	return Key{ProviderTenant, KindOwnership, strings.ToLower(subscription)}
}

// Ticket identifies one of a tenant's support tickets.
func Ticket(tenant, id string) Key { return Key{tenant, KindTicket, id} }

// Disclosure identifies a disclosure to a tenant.
func Disclosure(tenant, id string) Key { return Key{tenant, KindDisclosure, id} }

// Erasure identifies an erasure of what a tenant's events hold.
func Erasure(tenant, id string) Key { return Key{tenant, KindErasure, id} }

// Keys are those with which a tenant's people sign what they decide (R42).
func Keys(tenant string) Key { return Key{tenant, KindKeys, "keys"} }

// Attempts are reports of what was refused at a tenant for want of a signature.
func Attempts(tenant string) Key { return Key{tenant, KindAttempt, "signatures"} }

// digestTime is how the id of a digest writes the time until which it reports, in UTC.
const digestTime = "20060102T150405Z"

// Digest identifies the digest for a tenant of what happened before that time.
func Digest(tenant string, until time.Time) Key {
	return Key{tenant, KindDigest, until.UTC().Format(digestTime)}
}

// DigestUntil returns the time until which the digest of that id reports; it refuses (INVALID) what is no digest's id.
func DigestUntil(id string) (time.Time, error) {
	until, err := time.Parse(digestTime, id)
	if err != nil {
		return time.Time{}, refusal.Invalid("aggregate_id", rule, "%q is no digest's id", id)
	}
	return until, nil
}

// KeyOf identifies the aggregate that the event is about.
func KeyOf(e *lockboxv1.Event) Key { return Key{e.GetTenant(), e.GetKind(), e.GetAggregateId()} }

// Key identifies the aggregate of a history.
func (h History) Key() Key { return Key{h.Tenant, h.Kind, h.ID} }

func (k Key) String() string { return k.Tenant + "/" + k.Kind + "/" + k.ID }

// Check refuses (INVALID, naming the field) a key whose parts cannot be used in a subject.
func (k Key) Check() error {
	if err := CheckTenant(k.Tenant); err != nil {
		return err
	}
	if err := CheckKind(k.Kind); err != nil {
		return err
	}
	return input.Token("aggregate_id", k.ID)
}
