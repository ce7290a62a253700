package activity

import (
	"fmt"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// row is one kind of fact.
type row struct {
	typ, action string
	say         func(*lockboxv1.Event) string
}

// fact makes a row. say gets the actor's name, the event and the fact, and returns the sentence.
func fact[F proto.Message](action string, of func(*lockboxv1.Event) F, say func(who string, e *lockboxv1.Event, f F) string) row {
	var none F
	return row{string(none.ProtoReflect().Descriptor().Name()), action, func(e *lockboxv1.Event) string {
		return say(actor(e.GetActor()), e, of(e))
	}}
}

var byType = func() map[string]row {
	rows := make(map[string]row, len(table))
	for _, r := range table {
		rows[r.typ] = r
	}
	return rows
}()

// table names every fact. "Create", "Approve" and "Deny Lockbox Request" and "Lockbox Request Expiry" are the reference's
// own names (R39), those of role assignments too; the others follow them.
var table = []row{
	fact("Submit Access Intent", (*lockboxv1.Event).GetAccessRequested, func(who string, _ *lockboxv1.Event, f *lockboxv1.AccessRequested) string {
		in, access := f.GetIntent(), "access"
		if in.GetEmergency() {
			access = "emergency access"
		}
		return fmt.Sprintf("%s asked for %s (%s, %s) to %s.", who, access, in.GetResourceType(), in.GetScenario(), count(len(in.GetResourceIds()), "resource"))
	}),
	fact("Evaluate Access Intent", (*lockboxv1.Event).GetAccessEvaluated, func(_ string, _ *lockboxv1.Event, f *lockboxv1.AccessEvaluated) string {
		return evaluation(f)
	}),
	fact("Give Internal Approval", (*lockboxv1.Event).GetInternalApprovalGiven, func(who string, _ *lockboxv1.Event, f *lockboxv1.InternalApprovalGiven) string {
		return who + " approved internally" + because(f.GetComment())
	}),
	fact("Refuse Internal Approval", (*lockboxv1.Event).GetInternalApprovalRefused, func(who string, _ *lockboxv1.Event, f *lockboxv1.InternalApprovalRefused) string {
		return who + " refused internally" + because(f.GetReason())
	}),
	fact("Internal Approval Expiry", (*lockboxv1.Event).GetInternalApprovalExpired, func(string, *lockboxv1.Event, *lockboxv1.InternalApprovalExpired) string {
		return "No internal approver answered in time; no access was given."
	}),
	fact("Remind Internal Approvers", (*lockboxv1.Event).GetInternalReminderDue, func(string, *lockboxv1.Event, *lockboxv1.InternalReminderDue) string {
		return "The internal approvers were reminded that the request waits for them."
	}),
	fact("Create Lockbox Request", (*lockboxv1.Event).GetCustomerNotified, func(_ string, _ *lockboxv1.Event, f *lockboxv1.CustomerNotified) string {
		return notified(f)
	}),
	fact("Remind Lockbox Approvers", (*lockboxv1.Event).GetApprovalReminderDue, func(string, *lockboxv1.Event, *lockboxv1.ApprovalReminderDue) string {
		return "The approvers were reminded that the request waits for them."
	}),
	fact("Lockbox Approvers Unavailable", (*lockboxv1.Event).GetApproversUnavailable, func(string, *lockboxv1.Event, *lockboxv1.ApproversUnavailable) string {
		return "Nobody who was asked holds a role any more; unless that changes, the request will expire."
	}),
	fact("Ask about Lockbox Request", (*lockboxv1.Event).GetQuestionAsked, func(who string, _ *lockboxv1.Event, f *lockboxv1.QuestionAsked) string {
		return who + " asked: " + quote(f.GetText()) + "."
	}),
	fact("Answer about Lockbox Request", (*lockboxv1.Event).GetQuestionAnswered, func(who string, _ *lockboxv1.Event, f *lockboxv1.QuestionAnswered) string {
		return who + " answered: " + quote(f.GetText()) + "."
	}),
	fact("Approve Lockbox Request", (*lockboxv1.Event).GetCustomerApproved, func(who string, _ *lockboxv1.Event, f *lockboxv1.CustomerApproved) string {
		return fmt.Sprintf("%s approved access to %s for %s%s", who, count(len(f.GetResourceIds()), "resource"), span(f.GetDuration().AsDuration()), because(f.GetReason()))
	}),
	fact("Deny Lockbox Request", (*lockboxv1.Event).GetCustomerDenied, func(who string, _ *lockboxv1.Event, f *lockboxv1.CustomerDenied) string {
		return who + " denied access" + because(f.GetReason())
	}),
	fact("Lockbox Request Expiry", (*lockboxv1.Event).GetRequestExpired, func(string, *lockboxv1.Event, *lockboxv1.RequestExpired) string {
		return "Nobody decided in time; the request expired and no access was given."
	}),
	fact("Cancel Lockbox Request", (*lockboxv1.Event).GetRequestWithdrawn, func(who string, _ *lockboxv1.Event, f *lockboxv1.RequestWithdrawn) string {
		return who + " withdrew the request" + because(f.GetReason())
	}),
	fact("Grant Access", (*lockboxv1.Event).GetAccessGranted, func(_ string, _ *lockboxv1.Event, f *lockboxv1.AccessGranted) string {
		basis := "as the customer approved"
		if f.GetWaiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
			basis = "without asking the customer, because " + waiver(f.GetWaiver())
		}
		return fmt.Sprintf("Access to %s began and lasts until %s, %s.", count(len(f.GetResourceIds()), "resource"), moment(f.GetEndsAt()), basis)
	}),
	fact("Access Lapse", (*lockboxv1.Event).GetAccessLapsed, func(_ string, _ *lockboxv1.Event, f *lockboxv1.AccessLapsed) string {
		return "The approval lapsed before access began" + because(f.GetReason())
	}),
	fact("Revoke Access", (*lockboxv1.Event).GetAccessRevoked, func(who string, _ *lockboxv1.Event, f *lockboxv1.AccessRevoked) string {
		return who + " revoked access" + because(f.GetReason())
	}),
	fact("Give Back Access", (*lockboxv1.Event).GetAccessReleased, func(who string, _ *lockboxv1.Event, f *lockboxv1.AccessReleased) string {
		return who + " gave access back" + because(f.GetReason())
	}),
	fact("Access Expiry", (*lockboxv1.Event).GetAccessCompleted, func(string, *lockboxv1.Event, *lockboxv1.AccessCompleted) string {
		return "The time that was granted is over; access ended."
	}),

	fact("Create Tenant", (*lockboxv1.Event).GetTenantCreated, func(who string, _ *lockboxv1.Event, f *lockboxv1.TenantCreated) string {
		return fmt.Sprintf("%s created the tenant %s (support plan %s) with %s as its first Global Administrator.",
			who, f.GetDisplayName(), tenant.PlanName(f.GetPlan()), person(f.GetAdministrator().GetPerson()))
	}),
	fact("Change Support Plan", (*lockboxv1.Event).GetSupportPlanChanged, func(who string, _ *lockboxv1.Event, f *lockboxv1.SupportPlanChanged) string {
		return fmt.Sprintf("%s changed the support plan from %s to %s.", who, tenant.PlanName(f.GetFrom()), tenant.PlanName(f.GetTo()))
	}),
	fact("Enable Customer Lockbox", (*lockboxv1.Event).GetLockboxEnabled, func(who string, _ *lockboxv1.Event, _ *lockboxv1.LockboxEnabled) string {
		return who + " switched Lockbox on."
	}),
	fact("Disable Customer Lockbox", (*lockboxv1.Event).GetLockboxDisabled, func(who string, _ *lockboxv1.Event, f *lockboxv1.LockboxDisabled) string {
		return who + " switched Lockbox off" + because(f.GetReason())
	}),
	fact("Sign Up for Preview", (*lockboxv1.Event).GetPreviewSignedUp, func(who string, _ *lockboxv1.Event, f *lockboxv1.PreviewSignedUp) string {
		return fmt.Sprintf("%s signed up for the preview of %s.", who, f.GetResourceType())
	}),
	fact("Sign Off from Preview", (*lockboxv1.Event).GetPreviewSignedOff, func(who string, _ *lockboxv1.Event, f *lockboxv1.PreviewSignedOff) string {
		return fmt.Sprintf("%s left the preview of %s.", who, f.GetResourceType())
	}),
	fact("Change Lockbox Settings", (*lockboxv1.Event).GetSettingsChanged, func(who string, _ *lockboxv1.Event, f *lockboxv1.SettingsChanged) string {
		s := f.GetSettings()
		return fmt.Sprintf("%s changed the settings: %s needed, %s told.", who,
			count(max(1, int(s.GetRequiredApprovals())), "approval"), count(len(s.GetAlternates()), "alternate address"))
	}),
	fact("Register Subscription", (*lockboxv1.Event).GetSubscriptionRegistered, func(who string, e *lockboxv1.Event, f *lockboxv1.SubscriptionRegistered) string {
		return fmt.Sprintf("%s registered the subscription %s (%s).", who, f.GetDisplayName(), e.GetAggregateId())
	}),
	fact("Create Role Assignment", (*lockboxv1.Event).GetRoleAssigned, func(who string, e *lockboxv1.Event, f *lockboxv1.RoleAssigned) string {
		return assigned(who, e, f.GetAssignment())
	}),
	fact("Delete Role Assignment", (*lockboxv1.Event).GetRoleRemoved, func(who string, e *lockboxv1.Event, f *lockboxv1.RoleRemoved) string {
		return fmt.Sprintf("%s removed the role assignment %s of %s.", who, f.GetAssignmentId(), where(e))
	}),
	fact("Activate Role Assignment", (*lockboxv1.Event).GetRoleActivated, func(who string, e *lockboxv1.Event, f *lockboxv1.RoleActivated) string {
		return fmt.Sprintf("%s activated the role assignment %s of %s until %s.", who, f.GetAssignmentId(), where(e), moment(f.GetUntil()))
	}),
	fact("Deactivate Role Assignment", (*lockboxv1.Event).GetRoleDeactivated, func(who string, e *lockboxv1.Event, f *lockboxv1.RoleDeactivated) string {
		return fmt.Sprintf("%s deactivated the role assignment %s of %s.", who, f.GetAssignmentId(), where(e))
	}),

	fact("Open Support Ticket", (*lockboxv1.Event).GetTicketOpened, func(who string, e *lockboxv1.Event, f *lockboxv1.TicketOpened) string {
		return fmt.Sprintf("%s opened ticket %s: %s.", who, e.GetAggregateId(), quote(f.GetTitle()))
	}),
	fact("Assign Support Ticket", (*lockboxv1.Event).GetTicketAssigned, func(who string, e *lockboxv1.Event, f *lockboxv1.TicketAssigned) string {
		return fmt.Sprintf("%s gave ticket %s to %s.", who, e.GetAggregateId(), engineer(f.GetEngineer(), f.GetTeam()))
	}),
	fact("Reassign Support Ticket", (*lockboxv1.Event).GetTicketReassigned, func(who string, e *lockboxv1.Event, f *lockboxv1.TicketReassigned) string {
		return fmt.Sprintf("%s handed ticket %s on to %s%s", who, e.GetAggregateId(), engineer(f.GetEngineer(), f.GetTeam()), because(f.GetReason()))
	}),
	fact("Comment on Support Ticket", (*lockboxv1.Event).GetTicketCommented, func(who string, e *lockboxv1.Event, f *lockboxv1.TicketCommented) string {
		return fmt.Sprintf("%s commented on ticket %s: %s.", who, e.GetAggregateId(), quote(f.GetText()))
	}),
	fact("Publish JIT Rules", (*lockboxv1.Event).GetRulesPublished, func(who string, _ *lockboxv1.Event, f *lockboxv1.RulesPublished) string {
		return fmt.Sprintf("%s put the JIT rules %s in force.", who, f.GetVersion())
	}),
	fact("Publish Service Catalogue", (*lockboxv1.Event).GetCataloguePublished, func(who string, _ *lockboxv1.Event, f *lockboxv1.CataloguePublished) string {
		return fmt.Sprintf("%s put the service catalogue %s in force.", who, f.GetVersion())
	}),

	fact("Disclose Exposure", (*lockboxv1.Event).GetExposureDisclosed, func(who string, _ *lockboxv1.Event, f *lockboxv1.ExposureDisclosed) string {
		return who + " disclosed an inadvertent exposure: " + quote(f.GetOccurrence().GetWhat()) + "."
	}),
	fact("Disclose Legal Demand", (*lockboxv1.Event).GetLegalDemandDisclosed, func(who string, _ *lockboxv1.Event, f *lockboxv1.LegalDemandDisclosed) string {
		return fmt.Sprintf("%s disclosed a legal demand of %s: %s.", who, quote(f.GetAuthority()), quote(f.GetOccurrence().GetWhat()))
	}),
	fact("Tell of Disclosure", (*lockboxv1.Event).GetDisclosureTold, func(string, *lockboxv1.Event, *lockboxv1.DisclosureTold) string {
		return "The customer is told of what was disclosed."
	}),

	fact("Send Notification", (*lockboxv1.Event).GetNotificationSent, func(_ string, _ *lockboxv1.Event, f *lockboxv1.NotificationSent) string {
		return fmt.Sprintf("The mail %q to %s was taken by the mail server.", f.GetNotification().GetTemplate(), f.GetNotification().GetRecipient())
	}),
	fact("Notification Failure", (*lockboxv1.Event).GetNotificationFailed, func(_ string, _ *lockboxv1.Event, f *lockboxv1.NotificationFailed) string {
		return fmt.Sprintf("The mail %q to %s was refused for good: %s.", f.GetNotification().GetTemplate(), f.GetNotification().GetRecipient(), quote(f.GetError()))
	}),
}
