package aggregate

import (
	"github.com/openlockbox/lockbox/pkg/fact"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// The table of facts, by the names that everything above uses.
type (
	// Writer is the part of Lockbox that writes a type of event.
	Writer = fact.Writer
	// Fact is a row of the table.
	Fact = fact.Fact
)

// The writers.
const (
	Evaluator    = fact.Evaluator
	Orchestrator = fact.Orchestrator
	Notifier     = fact.Notifier
	Projector    = fact.Projector
	Repairer     = fact.Repairer
)

// Kinds of aggregate.
const (
	KindRequest      = fact.KindRequest
	KindTenant       = fact.KindTenant
	KindSubscription = fact.KindSubscription
	KindTicket       = fact.KindTicket
	KindPolicy       = fact.KindPolicy
	KindDisclosure   = fact.KindDisclosure
	KindOwnership    = fact.KindOwnership
	KindDelivery     = fact.KindDelivery
	KindCheckpoint   = fact.KindCheckpoint
	KindAlarm        = fact.KindAlarm
	KindDigest       = fact.KindDigest
	KindSigning      = fact.KindSigning
	KindErasure      = fact.KindErasure
	KindKeys         = fact.KindKeys
	KindAttempt      = fact.KindAttempt
)

// Reported reports whether events of this kind are reports.
func Reported(kind string) bool { return fact.Reported(kind) }

// Facts is the table of facts.
func Facts() []Fact { return fact.Facts() }

// WriterOf returns the writer of the event; empty if the fact does not belong to the event's kind.
func WriterOf(e *lockboxv1.Event) Writer { return fact.WriterOf(e) }

// Belongs reports whether aggregates of this kind have facts of this type.
func Belongs(kind, typ string) bool { return fact.Belongs(kind, typ) }

// TypeOf returns the name of the event's fact, such as "CustomerApproved"; empty if the fact is missing or unknown.
func TypeOf(e *lockboxv1.Event) string { return fact.TypeOf(e) }

// Tree returns the tenant whose Merkle tree contains an event. A legal demand goes into the provider's tree: under an
// embargo, the customer's tree must not even grow (R46).
func Tree(about Key, typ string) string {
	if typ == fact.LegalDemand {
		return ProviderTenant
	}
	return about.Tenant
}

// SetsAside returns what an event decides about a message that cannot be an event; nil unless the event is such a
// decision, by one of those who may decide it.
func SetsAside(e *lockboxv1.Event) *lockboxv1.MessageSetAside {
	if !Provider(e.GetActor(), SecurityOfficers) {
		return nil
	}
	return e.GetMessageSetAside()
}
