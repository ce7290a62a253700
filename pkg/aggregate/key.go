package aggregate

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Kinds of aggregate. Events of a decided kind count versions; those of a reported kind carry a key of their own, are
// written once, and are never loaded to decide.
const (
	KindRequest      = "request"
	KindTenant       = "tenant"
	KindSubscription = "subscription"
	KindTicket       = "ticket"
	KindPolicy       = "policy"
	KindDisclosure   = "disclosure"
	KindDelivery     = "delivery"
	KindCheckpoint   = "checkpoint"
	KindAlarm        = "alarm"
)

var (
	decidedKinds  = []string{KindRequest, KindTenant, KindSubscription, KindTicket, KindPolicy, KindDisclosure}
	reportedKinds = []string{KindDelivery, KindCheckpoint, KindAlarm}
)

// Reported reports whether events of this kind are reports.
func Reported(kind string) bool { return slices.Contains(reportedKinds, kind) }

// CheckKind refuses (INVALID) a kind that does not exist.
func CheckKind(kind string) error {
	if Reported(kind) || slices.Contains(decidedKinds, kind) {
		return nil
	}
	return refusal.Invalid("kind", rule, "there is no kind %q", kind)
}

// rule is what a refusal of a malformed key names.
const rule = "subject"

// ProviderTenant stands in the tenant's place for aggregates of the provider itself. No tenant can have that name.
const ProviderTenant = "_"

// CheckTenant refuses (INVALID) what is neither a tenant's id nor ProviderTenant.
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
	// MerkleLog is the log of all events, whose checkpoints are reported; Guard compares the stream with it.
	MerkleLog = Key{ProviderTenant, KindCheckpoint, "log"}
	Guard     = Key{ProviderTenant, KindAlarm, "guard"}
)

// Request identifies a tenant's request.
func Request(tenant, id string) Key { return Key{tenant, KindRequest, id} }

// Tenant identifies a tenant.
func Tenant(id string) Key { return Key{id, KindTenant, id} }

// Subscription identifies one of a tenant's subscriptions.
func Subscription(tenant, id string) Key { return Key{tenant, KindSubscription, id} }

// Ticket identifies one of a tenant's support tickets.
func Ticket(tenant, id string) Key { return Key{tenant, KindTicket, id} }

// Disclosure identifies a disclosure to a tenant.
func Disclosure(tenant, id string) Key { return Key{tenant, KindDisclosure, id} }

// KeyOf identifies the aggregate that the event is about.
func KeyOf(e *lockboxv1.Event) Key { return Key{e.GetTenant(), e.GetKind(), e.GetAggregateId()} }

func (k Key) String() string { return k.Tenant + "/" + k.Kind + "/" + k.ID }

// Check refuses (INVALID, naming the field) a key whose parts could not stand in a subject.
func (k Key) Check() error {
	if err := CheckTenant(k.Tenant); err != nil {
		return err
	}
	if err := CheckKind(k.Kind); err != nil {
		return err
	}
	return input.Token("aggregate_id", k.ID)
}
