// Package fact is the table of facts: which types of event there are, which kind of aggregate each belongs to, and
// which part of Lockbox writes it. It is pure, and a package of its own because a customer's verifier needs no more.
package fact

import (
	"reflect"
	"slices"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Kinds of aggregate. Events of a decided kind carry consecutive versions; events of a reported kind carry a report key
// instead, are written once, and are never loaded for a decision.
const (
	KindRequest      = "request"
	KindTenant       = "tenant"
	KindSubscription = "subscription"
	KindTicket       = "ticket"
	KindPolicy       = "policy"
	KindDisclosure   = "disclosure"
	// KindOwnership are the provider's records of which customer a subscription belongs to.
	KindOwnership  = "ownership"
	KindDelivery   = "delivery"
	KindCheckpoint = "checkpoint"
	KindAlarm      = "alarm"
	// KindDigest are the reports to a tenant of what happened without asking it, one for each day.
	KindDigest = "digest"
	// KindSigning is with which keys writers sign what they store (R50).
	KindSigning = "signing"
	// KindErasure are decisions to make details of people, or what they wrote, unreadable for ever (R63).
	KindErasure = "erasure"
	// KindKeys are the keys with which a customer's people sign what they decide (R42), one aggregate for each customer.
	KindKeys = "keys"
	// KindAttempt are reports of what was refused for want of a customer's signature.
	KindAttempt = "attempt"
)

var (
	decidedKinds = []string{KindRequest, KindTenant, KindSubscription, KindTicket, KindPolicy, KindDisclosure,
		KindOwnership, KindSigning, KindErasure, KindKeys}
	reportedKinds = []string{KindDelivery, KindCheckpoint, KindAlarm, KindDigest, KindAttempt}
)

// Reported reports whether events of this kind are reports.
func Reported(kind string) bool { return slices.Contains(reportedKinds, kind) }

// Decided reports whether events of this kind are decided, one version after another.
func Decided(kind string) bool { return slices.Contains(decidedKinds, kind) }

// Writer is the part of Lockbox that writes a type of event. Its name is its identity on the bus.
type Writer string

// The writers. Every event type of a kind has exactly one.
const (
	Evaluator    Writer = "jit-evaluator"
	Orchestrator Writer = "lockbox-orchestrator"
	Notifier     Writer = "notifier"
	Projector    Writer = "audit-projector"
	Repairer     Writer = "repairer"
)

// Fact is one row of the table of event types: the type, the kind of aggregate it belongs to, and its only writer.
type Fact struct {
	Type, Kind string
	Writer     Writer
}

// facts is the table from which permissions on the bus are generated and against which subjects are checked.
var facts = slices.Concat(
	rows(KindRequest, Evaluator, "AccessRequested", "AccessEvaluated"),
	rows(KindRequest, Orchestrator,
		"InternalApprovalGiven", "InternalApprovalRefused", "InternalApprovalExpired", "InternalReminderDue",
		"CustomerNotified", "ApprovalReminderDue", "ApproversUnavailable", "QuestionAsked", "QuestionAnswered",
		"CustomerApproved", "CustomerDenied", "RequestExpired", "RequestWithdrawn",
		"AccessGranted", "AccessLapsed", "AccessRevoked", "AccessReleased", "AccessCompleted"),
	rows(KindTenant, Orchestrator,
		"TenantCreated", "SupportPlanChanged", "LockboxEnabled", "LockboxDisabled", "PreviewSignedUp", "PreviewSignedOff",
		"SettingsChanged", "AccountIdentified", "RoleAssigned", "RoleRemoved", "RoleActivated", "RoleDeactivated",
		"SignInChangeProposed", "SignInChangeConfirmed", "SignInChangeStopped", "SignInChangeReminded", "SignInChanged",
		"FormerSignInEnded", "SignedIn", "RoleInvited", "InvitationRedeemed", "InvitationConfirmed", "InvitationEnded",
		"WebhookAdded", "WebhookRemoved", "RoleEnded"),
	rows(KindSubscription, Orchestrator,
		"SubscriptionRegistered", "SubscriptionGivenUp",
		"RoleAssigned", "RoleRemoved", "RoleActivated", "RoleDeactivated", "SignedIn", "RoleInvited", "InvitationRedeemed",
		"InvitationConfirmed", "InvitationEnded", "RoleEnded"),
	rows(KindOwnership, Orchestrator, "OwnershipRecorded", "OwnershipContested", "OwnershipTransferred"),
	rows(KindTicket, Orchestrator, "TicketOpened", "TicketAssigned", "TicketReassigned", "TicketCommented",
		"TicketClosed", "TicketReopened"),
	rows(KindPolicy, Orchestrator, "RulesPublished", "CataloguePublished"),
	rows(KindDisclosure, Orchestrator, "ExposureDisclosed", LegalDemand, "DisclosureTold"),
	rows(KindDelivery, Notifier, "NotificationSent", "NotificationFailed"),
	rows(KindCheckpoint, Projector, "CheckpointSigned", "LogKeyChanged"),
	rows(KindAlarm, Projector, "DifferenceFound"),
	rows(KindAlarm, Repairer, "StreamRestored"),
	rows(KindAlarm, Orchestrator, "MessageSetAside"),
	rows(KindDigest, Orchestrator, "WaivedAccessReported"),
	rows(KindErasure, Orchestrator, "ErasureProposed", "ErasureDecided", "ErasureDeclined", "KeysDestroyed"),
	rows(KindKeys, Orchestrator, "KeyOffered", "KeyChangeOffered", "KeyChainBegan", "KeyChainChanged"),
	rows(KindKeys, Projector, "KeysSighted"),
	rows(KindAttempt, Orchestrator, "SignatureRefused"),
	rows(KindSigning, Orchestrator, "SigningBegan", "WriterCertified", "WriterRevoked"),
)

func rows(kind string, writer Writer, types ...string) []Fact {
	list := make([]Fact, len(types))
	for i, typ := range types {
		list[i] = Fact{typ, kind, writer}
	}
	return list
}

// Facts is the table of facts.
func Facts() []Fact { return slices.Clone(facts) }

// writers is the table by kind and type.
var writers = func() map[[2]string]Writer {
	pairs := map[[2]string]Writer{}
	for _, f := range facts {
		pairs[[2]string{f.Kind, f.Type}] = f.Writer
	}
	return pairs
}()

// WriterOf returns the writer of the event; empty if the fact does not belong to the event's kind.
func WriterOf(e *lockboxv1.Event) Writer { return writers[[2]string{e.GetKind(), TypeOf(e)}] }

// Belongs reports whether aggregates of this kind have facts of this type.
func Belongs(kind, typ string) bool { return writers[[2]string{kind, typ}] != "" }

// names maps the Go type of each oneof wrapper to the name of its fact, so that protobuf reflection runs only once.
var names = func() map[reflect.Type]string {
	byType := map[reflect.Type]string{}
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		e := new(lockboxv1.Event)
		e.ProtoReflect().Mutable(fields.Get(i))
		byType[reflect.TypeOf(e.GetFact())] = string(fields.Get(i).Message().Name())
	}
	return byType
}()

// TypeOf returns the name of the event's fact, such as "CustomerApproved"; empty if the fact is missing or unknown.
func TypeOf(e *lockboxv1.Event) string { return names[reflect.TypeOf(e.GetFact())] }

// LegalDemand is the type of the one event that stands in another tree than its subject says (R46).
const LegalDemand = "LegalDemandDisclosed"
