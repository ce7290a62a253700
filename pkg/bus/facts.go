package bus

import (
	"reflect"
	"slices"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Kinds of aggregate. Events of a decided kind count versions; those of a reported kind carry a key of their own.
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

// fact says who may write which facts of one kind. Every event type has one writer.
type fact struct {
	writer Identity
	kind   string
	types  []string
}

// facts is the table from which subjects are checked and rights are made.
var facts = []fact{
	{Evaluator, KindRequest, []string{"AccessRequested", "AccessEvaluated"}},
	{Orchestrator, KindRequest, []string{
		"InternalApprovalGiven", "InternalApprovalRefused", "InternalApprovalExpired", "InternalReminderDue",
		"CustomerNotified", "ApprovalReminderDue", "ApproversUnavailable", "QuestionAsked", "QuestionAnswered",
		"CustomerApproved", "CustomerDenied", "RequestExpired", "RequestWithdrawn",
		"AccessGranted", "AccessLapsed", "AccessRevoked", "AccessReleased", "AccessCompleted",
	}},
	{Orchestrator, KindTenant, []string{
		"TenantCreated", "SupportPlanChanged", "LockboxEnabled", "LockboxDisabled", "PreviewSignedUp", "PreviewSignedOff",
		"SettingsChanged", "RoleAssigned", "RoleRemoved", "RoleActivated", "RoleDeactivated",
	}},
	{Orchestrator, KindSubscription, []string{
		"SubscriptionRegistered", "RoleAssigned", "RoleRemoved", "RoleActivated", "RoleDeactivated",
	}},
	{Orchestrator, KindTicket, []string{"TicketOpened", "TicketAssigned", "TicketReassigned", "TicketCommented"}},
	{Orchestrator, KindPolicy, []string{"RulesPublished", "CataloguePublished"}},
	{Orchestrator, KindDisclosure, []string{"ExposureDisclosed", "LegalDemandDisclosed", "DisclosureTold"}},
	{Notifier, KindDelivery, []string{"NotificationSent", "NotificationFailed"}},
	{Projector, KindCheckpoint, []string{"CheckpointSigned"}},
	{Projector, KindAlarm, []string{"DifferenceFound"}},
	{Repairer, KindAlarm, []string{"StreamRestored"}},
}

// decidedKinds are those whose aggregates are folded to decide.
var decidedKinds = []string{KindRequest, KindTenant, KindSubscription, KindTicket, KindPolicy, KindDisclosure}

var reportedKinds = []string{KindDelivery, KindCheckpoint, KindAlarm}

// Reported tells whether events of this kind are reports: written once under a key of their own, never loaded to decide.
func Reported(kind string) bool { return slices.Contains(reportedKinds, kind) }

func knownKind(kind string) bool { return Reported(kind) || slices.Contains(decidedKinds, kind) }

// kindsOf is the table by kind and type.
var kindsOf = func() map[[2]string]bool {
	pairs := map[[2]string]bool{}
	for _, f := range facts {
		for _, typ := range f.types {
			pairs[[2]string{f.kind, typ}] = true
		}
	}
	return pairs
}()

// belongs tells whether a fact of this type may be about an aggregate of this kind.
func belongs(kind, typ string) bool { return kindsOf[[2]string{kind, typ}] }

// factNames holds the name of each fact by the Go type that the oneof wraps it in: reflection that is done once.
var factNames = func() map[reflect.Type]string {
	names := map[reflect.Type]string{}
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		e := new(lockboxv1.Event)
		e.ProtoReflect().Mutable(fields.Get(i))
		names[reflect.TypeOf(e.GetFact())] = string(fields.Get(i).Message().Name())
	}
	return names
}()

// TypeOf returns the name of the event's fact, such as "CustomerApproved"; empty if it holds none that is known.
func TypeOf(e *lockboxv1.Event) string { return factNames[reflect.TypeOf(e.GetFact())] }
