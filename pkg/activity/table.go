package activity

import (
	"cmp"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// row is one kind of fact.
type row struct {
	typ string
	say func(speaker, *lockboxv1.Event) string
}

// action returns the fact's name in the activity log, by which entries are filtered.
func (r row) action() string { return english.title(r.typ) }

// fact returns a row. Say gets the language, the actor's name, the event and the fact, and returns the sentence.
func fact[F proto.Message](
	of func(*lockboxv1.Event) F, say func(l speaker, who string, e *lockboxv1.Event, f F) string,
) row {
	var none F
	return row{string(none.ProtoReflect().Descriptor().Name()), func(l speaker, e *lockboxv1.Event) string {
		return say(l, l.actor(e.GetActor()), e, of(e))
	}}
}

// plain returns a row whose sentence has no placeholder except the actor.
func plain[F proto.Message](of func(*lockboxv1.Event) F) row {
	var none F
	typ := string(none.ProtoReflect().Descriptor().Name())
	return fact(of, func(l speaker, who string, _ *lockboxv1.Event, _ F) string { return l.say(typ, "Who", who) })
}

// reasoned returns a row whose sentence ends with the actor's reason, if one was given.
func reasoned[F interface {
	proto.Message
	GetReason() string
}](of func(*lockboxv1.Event) F) row {
	var none F
	typ := string(none.ProtoReflect().Descriptor().Name())
	return fact(of, func(l speaker, who string, _ *lockboxv1.Event, f F) string {
		return l.say(typ, "Who", who, "Because", l.because(f.GetReason()))
	})
}

var byType = func() map[string]row {
	rows := make(map[string]row, len(table))
	for _, r := range table {
		rows[r.typ] = r
	}
	return rows
}()

// table has a row for every fact, in the order in which the activity log lists its actions.
var table = []row{
	fact((*lockboxv1.Event).GetAccessRequested,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.AccessRequested) string {
			in, key := f.GetIntent(), "AccessRequested"
			if in.GetEmergency() {
				key = "AccessRequested/emergency"
			}
			service, scenario := l.operation(in.GetResourceType(), in.GetScenario())
			return l.say(key, "Who", who, "Type", service, "Scenario", scenario, "Resources",
				l.count("resource", len(in.GetResourceIds())))
		}),
	fact((*lockboxv1.Event).GetAccessEvaluated,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.AccessEvaluated) string {
			return l.evaluation(f)
		}),
	fact((*lockboxv1.Event).GetInternalApprovalGiven,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.InternalApprovalGiven) string {
			return l.say("InternalApprovalGiven", "Who", who, "Because", l.because(f.GetComment()))
		}),
	reasoned((*lockboxv1.Event).GetInternalApprovalRefused),
	plain((*lockboxv1.Event).GetInternalApprovalExpired),
	plain((*lockboxv1.Event).GetInternalReminderDue),
	fact((*lockboxv1.Event).GetCustomerNotified,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.CustomerNotified) string {
			return l.notified(f)
		}),
	plain((*lockboxv1.Event).GetApprovalReminderDue),
	fact((*lockboxv1.Event).GetApproversUnavailable,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.ApproversUnavailable) string {
			switch f.GetCodedReason().GetCode() {
			case lockboxv1.ReasonCode_REASON_CODE_UNSPECIFIED:
				return l.say("ApproversUnavailable")
			case lockboxv1.ReasonCode_REASON_CODE_ONE_HUMAN_ASKED_TWICE:
				return l.say("ApproversUnavailable/one-human")
			}
			return l.say("ApproversUnavailable/too-few")
		}),
	fact((*lockboxv1.Event).GetQuestionAsked,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.QuestionAsked) string {
			return l.say("QuestionAsked", "Who", who, "Text", l.quote(f.GetText()))
		}),
	fact((*lockboxv1.Event).GetQuestionAnswered,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.QuestionAnswered) string {
			return l.say("QuestionAnswered", "Who", who, "Text", l.quote(f.GetText()))
		}),
	fact((*lockboxv1.Event).GetCustomerApproved,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.CustomerApproved) string {
			return l.say("CustomerApproved", "Who", who, "Resources", l.count("resource", len(f.GetResourceIds())),
				"Duration", l.span(f.GetDuration().AsDuration()), "Because", l.because(f.GetReason()))
		}),
	reasoned((*lockboxv1.Event).GetCustomerDenied),
	plain((*lockboxv1.Event).GetRequestExpired),
	reasoned((*lockboxv1.Event).GetRequestWithdrawn),
	fact((*lockboxv1.Event).GetAccessGranted,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.AccessGranted) string {
			return l.granted(f)
		}),
	fact((*lockboxv1.Event).GetAccessLapsed,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.AccessLapsed) string {
			if byTicket(f.GetCodedReason()) {
				return l.say("AccessLapsed/ticket", "Who", l.actor(f.GetTicketClosedBy()))
			}
			return l.decided("AccessLapsed", f.GetCodedReason(), f.GetReason())
		}),
	fact((*lockboxv1.Event).GetAccessRevoked,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.AccessRevoked) string {
			if byTicket(f.GetCodedReason()) {
				return l.say("AccessRevoked/ticket", "Who", l.actor(f.GetTicketClosedBy()))
			}
			return l.decided("AccessRevoked", f.GetCodedReason(), f.GetReason(), "Who", who)
		}),
	reasoned((*lockboxv1.Event).GetAccessReleased),
	plain((*lockboxv1.Event).GetAccessCompleted),

	fact((*lockboxv1.Event).GetTenantCreated,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.TenantCreated) string {
			if i := f.GetInvitation(); i != nil {
				return l.say("TenantCreated/invited", "Who", who, "Name", f.GetDisplayName(), "Plan", tenant.PlanName(f.GetPlan()),
					"Note", l.quote(i.GetNote()), "Until", l.at(i.GetUntil()))
			}
			return l.say("TenantCreated", "Who", who, "Name", f.GetDisplayName(), "Plan", tenant.PlanName(f.GetPlan()), "Person",
				l.person(f.GetAdministrator().GetPerson()))
		}),
	fact((*lockboxv1.Event).GetSupportPlanChanged,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.SupportPlanChanged) string {
			return l.say("SupportPlanChanged", "Who", who, "From", tenant.PlanName(f.GetFrom()), "To",
				tenant.PlanName(f.GetTo()))
		}),
	plain((*lockboxv1.Event).GetLockboxEnabled),
	reasoned((*lockboxv1.Event).GetLockboxDisabled),
	fact((*lockboxv1.Event).GetPreviewSignedUp,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.PreviewSignedUp) string {
			service, _ := l.services.Names(f.GetResourceType(), "")
			return l.say("PreviewSignedUp", "Who", who, "Type", service)
		}),
	fact((*lockboxv1.Event).GetPreviewSignedOff,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.PreviewSignedOff) string {
			service, _ := l.services.Names(f.GetResourceType(), "")
			return l.say("PreviewSignedOff", "Who", who, "Type", service)
		}),
	plain((*lockboxv1.Event).GetAccountIdentified),
	fact((*lockboxv1.Event).GetSettingsChanged,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.SettingsChanged) string {
			s, ticket := f.GetSettings(), ""
			if s.GetAccessEndsWithTicket() {
				ticket = l.say("ends-with-ticket")
			}
			return l.say("SettingsChanged", "Who", who,
				"Approvals", l.count("approval", max(1, int(s.GetRequiredApprovals()))), "Alternates",
				l.count("alternate", len(s.GetAlternates())), "Ticket", ticket)
		}),
	fact((*lockboxv1.Event).GetSubscriptionRegistered,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.SubscriptionRegistered) string {
			return l.say("SubscriptionRegistered", "Who", who, "Name", f.GetDisplayName(), "Id", e.GetAggregateId())
		}),
	fact((*lockboxv1.Event).GetSubscriptionGivenUp,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.SubscriptionGivenUp) string {
			return l.say("SubscriptionGivenUp", "Who", who, "Id", e.GetAggregateId(), "Reason", l.quote(f.GetReason()))
		}),
	fact((*lockboxv1.Event).GetOwnershipRecorded,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.OwnershipRecorded) string {
			return l.owned("OwnershipRecorded", who, f.GetOwner())
		}),
	fact((*lockboxv1.Event).GetOwnershipContested,
		func(l speaker, _ string, e *lockboxv1.Event, f *lockboxv1.OwnershipContested) string {
			var tenants []string
			for _, r := range f.GetRegistered() {
				tenants = append(tenants, r.GetTenant())
			}
			return l.say("OwnershipContested", "Id", e.GetAggregateId(), "Tenants", strings.Join(tenants, ", "))
		}),
	fact((*lockboxv1.Event).GetOwnershipTransferred,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.OwnershipTransferred) string {
			return l.owned("OwnershipTransferred", who, f.GetOwner(), "Reason", l.quote(f.GetReason()))
		}),
	fact((*lockboxv1.Event).GetRoleAssigned,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.RoleAssigned) string {
			return l.assigned(who, e, f.GetAssignment())
		}),
	fact((*lockboxv1.Event).GetRoleRemoved,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.RoleRemoved) string {
			return l.say("RoleRemoved", "Who", who, "Id", f.GetAssignmentId(), "Where", l.where(e))
		}),
	fact((*lockboxv1.Event).GetRoleEnded,
		func(l speaker, _ string, e *lockboxv1.Event, f *lockboxv1.RoleEnded) string {
			return l.say("RoleEnded", "Id", f.GetAssignmentId(), "Where", l.where(e))
		}),
	fact((*lockboxv1.Event).GetRoleActivated,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.RoleActivated) string {
			if as := f.GetAssignment(); as != nil {
				return l.say("RoleActivated/group", "Who", who, "Role", l.role(as.GetRole()), "Group", as.GetGroup(), "Where",
					l.where(e), "Until", l.at(f.GetUntil()))
			}
			return l.say("RoleActivated", "Who", who, "Id", f.GetAssignmentId(), "Where", l.where(e), "Until",
				l.at(f.GetUntil()))
		}),
	fact((*lockboxv1.Event).GetRoleDeactivated,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.RoleDeactivated) string {
			return l.say("RoleDeactivated", "Who", who, "Id", f.GetAssignmentId(), "Where", l.where(e))
		}),
	fact((*lockboxv1.Event).GetSignInChangeProposed,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.SignInChangeProposed) string {
			reason, change := l.quote(f.GetChange().GetReason()), l.signInChange(f)
			if f.GetDueAt() == nil {
				return l.say("SignInChangeProposed", "Who", who, "Change", change, "Reason", reason)
			}
			return l.say("SignInChangeProposed/until", "Who", who, "Change", change, "Reason", reason, "Until",
				l.at(f.GetDueAt()))
		}),
	fact((*lockboxv1.Event).GetSignInChangeConfirmed,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.SignInChangeConfirmed) string {
			if f.GetDueAt() == nil {
				return l.say("SignInChangeConfirmed", "Who", who)
			}
			return l.say("SignInChangeConfirmed/until", "Who", who, "Until", l.at(f.GetDueAt()))
		}),
	fact((*lockboxv1.Event).GetSignInChangeStopped,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.SignInChangeStopped) string {
			if f.GetLapsed() {
				return l.say("SignInChangeStopped/lapsed")
			}
			return l.say("SignInChangeStopped", "Who", who, "Because", l.because(f.GetReason()))
		}),
	plain((*lockboxv1.Event).GetSignInChangeReminded),
	plain((*lockboxv1.Event).GetSignInChanged),
	plain((*lockboxv1.Event).GetFormerSignInEnded),
	fact((*lockboxv1.Event).GetSignedIn,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.SignedIn) string {
			if f.GetStoppedChangeId() != "" {
				return l.say("SignedIn/stops", "Who", who)
			}
			if !f.GetFirst() {
				return l.say("SignedIn/holder", "Who", who)
			}
			return l.say("SignedIn", "Who", who)
		}),
	fact((*lockboxv1.Event).GetRoleInvited,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.RoleInvited) string {
			i := f.GetInvitation()
			return l.say("RoleInvited", "Who", who, "Note", l.quote(i.GetNote()), "Role", l.role(i.GetRole()), "Where",
				l.where(e), "Id", i.GetId(), "Until", l.at(i.GetUntil()))
		}),
	fact((*lockboxv1.Event).GetInvitationRedeemed,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.InvitationRedeemed) string {
			return l.say("InvitationRedeemed", "Who", who, "Id", f.GetInvitationId(), "Where", l.where(e))
		}),
	fact((*lockboxv1.Event).GetInvitationConfirmed,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.InvitationConfirmed) string {
			a := f.GetAssignment()
			return l.say("InvitationConfirmed", "Who", who, "Id", a.GetId(), "Person", l.person(a.GetPerson()), "Role",
				l.role(a.GetRole()), "Where", l.where(e))
		}),
	fact((*lockboxv1.Event).GetInvitationEnded,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.InvitationEnded) string {
			return l.say("InvitationEnded", "Who", who, "Id", f.GetInvitationId(), "Where", l.where(e), "Because",
				l.because(f.GetReason()))
		}),
	fact((*lockboxv1.Event).GetWebhookAdded,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.WebhookAdded) string {
			w := f.GetWebhook()
			return l.say("WebhookAdded", "Who", who, "Name", l.quote(w.GetName()), "Address", w.GetAddress())
		}),
	fact((*lockboxv1.Event).GetWebhookRemoved,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.WebhookRemoved) string {
			return l.say("WebhookRemoved", "Who", who, "Name", l.quote(f.GetName()), "Because", l.because(f.GetReason()))
		}),

	fact((*lockboxv1.Event).GetTicketOpened,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.TicketOpened) string {
			key := "TicketOpened"
			if !aggregate.Customer(e.GetActor()) {
				key, who = "TicketOpened/provider", l.person(e.GetActor().GetPerson())
			}
			return l.say(key, "Who", who, "Id", ticket.Reference(e), "Title", l.quote(f.GetTitle()))
		}),
	fact((*lockboxv1.Event).GetTicketAssigned,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.TicketAssigned) string {
			return l.say("TicketAssigned", "Who", who, "Id", ticket.Reference(e), "Engineer",
				l.engineer(f.GetEngineer(), f.GetTeam()))
		}),
	fact((*lockboxv1.Event).GetTicketReassigned,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.TicketReassigned) string {
			return l.say("TicketReassigned", "Who", who, "Id", ticket.Reference(e), "Engineer",
				l.engineer(f.GetEngineer(), f.GetTeam()), "Because", l.because(f.GetReason()))
		}),
	fact((*lockboxv1.Event).GetTicketClosed,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.TicketClosed) string {
			return l.say("TicketClosed", "Who", who, "Id", ticket.Reference(e), "Because", l.because(f.GetReason()))
		}),
	fact((*lockboxv1.Event).GetTicketReopened,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.TicketReopened) string {
			return l.say("TicketReopened", "Who", who, "Id", ticket.Reference(e), "Because", l.because(f.GetReason()))
		}),
	fact((*lockboxv1.Event).GetTicketCommented,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.TicketCommented) string {
			return l.say("TicketCommented", "Who", who, "Id", ticket.Reference(e), "Text", l.quote(f.GetText()))
		}),
	fact((*lockboxv1.Event).GetRulesPublished,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.RulesPublished) string {
			return l.say("RulesPublished", "Who", who, "Version", f.GetVersion())
		}),
	fact((*lockboxv1.Event).GetCataloguePublished,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.CataloguePublished) string {
			return l.say("CataloguePublished", "Who", who, "Version", f.GetVersion())
		}),

	plain((*lockboxv1.Event).GetSigningBegan),
	plain((*lockboxv1.Event).GetWriterCertified),
	fact((*lockboxv1.Event).GetWriterRevoked,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.WriterRevoked) string {
			return l.say("WriterRevoked", "Who", who, "Because", l.because(f.GetReason()))
		}),

	fact((*lockboxv1.Event).GetErasureProposed,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.ErasureProposed) string {
			return l.say("ErasureProposed", "Who", who, "What", l.targets(f.GetTargets()), "Because", l.because(f.GetReason()))
		}),
	fact((*lockboxv1.Event).GetErasureDecided,
		func(l speaker, who string, e *lockboxv1.Event, f *lockboxv1.ErasureDecided) string {
			if aggregate.Customer(e.GetActor()) {
				return l.say("ErasureDecided/own", "Who", who, "What", l.targets(f.GetTargets()), "Because",
					l.because(f.GetReason()))
			}
			return l.say("ErasureDecided", "Who", who, "What", l.targets(f.GetTargets()))
		}),
	reasoned((*lockboxv1.Event).GetErasureDeclined),
	fact((*lockboxv1.Event).GetKeysDestroyed,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.KeysDestroyed) string {
			return l.say("KeysDestroyed", "Count", l.count("key", int(f.GetCount())))
		}),

	fact((*lockboxv1.Event).GetKeyOffered,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.KeyOffered) string {
			return l.say("KeyOffered", "Who", who, "Label", l.quote(f.GetLabel()))
		}),
	fact((*lockboxv1.Event).GetKeyChangeOffered,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.KeyChangeOffered) string {
			return l.say("KeyChangeOffered", "Who", who, "Change", l.keyChange(f.GetChange()))
		}),
	fact((*lockboxv1.Event).GetKeyChainBegan,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.KeyChainBegan) string {
			return l.say("KeyChainBegan", "Who", who, "Words", fingerprint(f.GetGenesis()))
		}),
	fact((*lockboxv1.Event).GetKeyChainChanged,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.KeyChainChanged) string {
			return l.say("KeyChainChanged", "Who", who, "Change", l.keyChange(f.GetChange()))
		}),
	plain((*lockboxv1.Event).GetKeysSighted),
	fact((*lockboxv1.Event).GetSignatureRefused,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.SignatureRefused) string {
			key, what := "SignatureRefused", "tried/"+f.GetVerb()
			if len(f.GetStatementSha256()) == 0 {
				key = "SignatureRefused/missing"
			}
			return l.say(key, "Who", who, "What", cmp.Or(l.say(what), l.say("tried/other")))
		}),

	fact((*lockboxv1.Event).GetExposureDisclosed,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.ExposureDisclosed) string {
			return l.say("ExposureDisclosed", "Who", who, "What", l.quote(f.GetOccurrence().GetWhat()))
		}),
	fact((*lockboxv1.Event).GetLegalDemandDisclosed,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.LegalDemandDisclosed) string {
			return l.say("LegalDemandDisclosed", "Who", who, "Authority", l.quote(f.GetAuthority()), "What",
				l.quote(f.GetOccurrence().GetWhat()))
		}),
	plain((*lockboxv1.Event).GetDisclosureTold),

	fact((*lockboxv1.Event).GetWaivedAccessReported,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.WaivedAccessReported) string {
			var n int
			for _, c := range f.GetCounts() {
				n += int(c.GetCount())
			}
			return l.say("WaivedAccessReported", "Accesses", l.count("unasked", n), "Since", l.at(f.GetSince()), "Until",
				l.at(f.GetUntil()))
		}),

	fact((*lockboxv1.Event).GetNotificationSent,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.NotificationSent) string {
			return l.say("NotificationSent", "Template", l.mail(f.GetNotification().GetTemplate()), "Recipient",
				cmp.Or(f.GetNotification().GetRecipient(), l.say("erased/address")))
		}),
	fact((*lockboxv1.Event).GetNotificationFailed,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.NotificationFailed) string {
			n := f.GetNotification()
			template, recipient := l.mail(n.GetTemplate()), cmp.Or(n.GetRecipient(), l.say("nowhere"))
			if why := reason.Sentence(l.Tag, f.GetCodedReason()); why != "" {
				said := l.say("NotificationFailed/why", "Template", template, "Recipient", recipient)
				return l.say("sentences", "First", said, "Second", why)
			}
			return l.say("NotificationFailed", "Template", template, "Recipient", recipient, "Error", l.quote(f.GetError()))
		}),

	fact((*lockboxv1.Event).GetCheckpointSigned,
		func(l speaker, _ string, e *lockboxv1.Event, f *lockboxv1.CheckpointSigned) string {
			return l.say("CheckpointSigned", "Size", e.GetReportKey(), "Sequence", decimal(f.GetCoveredSequence()))
		}),
	fact((*lockboxv1.Event).GetLogKeyChanged,
		func(l speaker, _ string, _ *lockboxv1.Event, _ *lockboxv1.LogKeyChanged) string {
			return l.say("LogKeyChanged")
		}),
	fact((*lockboxv1.Event).GetDifferenceFound,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.DifferenceFound) string {
			if f.GetKind() == lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT {
				return l.say("DifferenceFound/not-an-event", "Sequence", decimal(f.GetFirstSequence()))
			}
			if f.GetKind() == lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE {
				return l.say("DifferenceFound/mail-overdue", "Count", l.count("event", int(f.GetCount())),
					"First", decimal(f.GetFirstSequence()), "Last", decimal(f.GetLastSequence()))
			}
			if f.GetWhere() == aggregate.AlarmSignature {
				return l.say("DifferenceFound/signature", "Sequence", decimal(f.GetFirstSequence()))
			}
			if aggregate.ContradictsItself(f) {
				return l.say("DifferenceFound/history", "Sequence", decimal(f.GetFirstSequence()))
			}
			return l.say("DifferenceFound", "Difference", l.difference(f.GetKind()), "Where", f.GetWhere(), "Count",
				l.count("event", int(f.GetCount())),
				"First", decimal(f.GetFirstSequence()), "Last", decimal(f.GetLastSequence()))
		}),
	fact((*lockboxv1.Event).GetStreamRestored,
		func(l speaker, _ string, _ *lockboxv1.Event, f *lockboxv1.StreamRestored) string {
			return l.say("StreamRestored", "Sequence", decimal(f.GetThroughSequence()), "Count",
				l.count("event", int(f.GetRestored())), "Conflicts", l.count("event", int(f.GetConflicts())))
		}),
	fact((*lockboxv1.Event).GetMessageSetAside,
		func(l speaker, who string, _ *lockboxv1.Event, f *lockboxv1.MessageSetAside) string {
			return l.say("MessageSetAside", "Who", who, "Sequence", decimal(f.GetSequence()), "Because",
				l.because(f.GetReason()))
		}),
}
