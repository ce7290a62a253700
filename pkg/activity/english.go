package activity

import (
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
)

// english is also how the log is filtered: its titles are the actions. "Create", "Approve" and "Deny Lockbox Request" and "Lockbox
// Request Expiry" are the reference's own names (R39), those of role assignments too; the others follow them.
var english = Language{
	tag: "en", space: " ",
	titles: map[string]string{
		"AccessRequested":         "Submit Access Intent",
		"AccessEvaluated":         "Evaluate Access Intent",
		"InternalApprovalGiven":   "Give Internal Approval",
		"InternalApprovalRefused": "Refuse Internal Approval",
		"InternalApprovalExpired": "Internal Approval Expiry",
		"InternalReminderDue":     "Remind Internal Approvers",
		"CustomerNotified":        "Create Lockbox Request",
		"ApprovalReminderDue":     "Remind Lockbox Approvers",
		"ApproversUnavailable":    "Lockbox Approvers Unavailable",
		"QuestionAsked":           "Ask about Lockbox Request",
		"QuestionAnswered":        "Answer about Lockbox Request",
		"CustomerApproved":        "Approve Lockbox Request",
		"CustomerDenied":          "Deny Lockbox Request",
		"RequestExpired":          "Lockbox Request Expiry",
		"RequestWithdrawn":        "Cancel Lockbox Request",
		"AccessGranted":           "Grant Access",
		"AccessLapsed":            "Access Lapse",
		"AccessRevoked":           "Revoke Access",
		"AccessReleased":          "Give Back Access",
		"AccessCompleted":         "Access Expiry",

		"TenantCreated":          "Create Tenant",
		"SupportPlanChanged":     "Change Support Plan",
		"LockboxEnabled":         "Enable Customer Lockbox",
		"LockboxDisabled":        "Disable Customer Lockbox",
		"PreviewSignedUp":        "Sign Up for Preview",
		"PreviewSignedOff":       "Sign Off from Preview",
		"SettingsChanged":        "Change Lockbox Settings",
		"SubscriptionRegistered": "Register Subscription",
		"RoleAssigned":           "Create Role Assignment",
		"RoleRemoved":            "Delete Role Assignment",
		"RoleActivated":          "Activate Role Assignment",
		"RoleDeactivated":        "Deactivate Role Assignment",

		"TicketOpened":     "Open Support Ticket",
		"TicketAssigned":   "Assign Support Ticket",
		"TicketReassigned": "Reassign Support Ticket",
		"TicketCommented":  "Comment on Support Ticket",

		"RulesPublished":     "Publish JIT Rules",
		"CataloguePublished": "Publish Service Catalogue",

		"ExposureDisclosed":    "Disclose Exposure",
		"LegalDemandDisclosed": "Disclose Legal Demand",
		"DisclosureTold":       "Tell of Disclosure",

		"NotificationSent":   "Send Notification",
		"NotificationFailed": "Notification Failure",

		"CheckpointSigned": "Sign Log Checkpoint",
		"DifferenceFound":  "Log Integrity Alarm",
		"StreamRestored":   "Restore Log",
	},
	sentences: map[string]string{
		"AccessRequested":           "{who} asked for access ({type}, {scenario}) to {resources}.",
		"AccessRequested/emergency": "{who} asked for emergency access ({type}, {scenario}) to {resources}.",
		"AccessEvaluated":           "The intent was evaluated.",
		"AccessEvaluated/refused":   "Evaluation refused the intent{because}.",
		"AccessEvaluated/decides":   "Evaluation found that the customer decides{after}.",
		"AccessEvaluated/waived":    "Evaluation found that the customer is not asked, because {waiver}{after}.",
		"after":                     ", after internal approval by {groups}",
		"then":                      ", then ",
		"InternalApprovalGiven":     "{who} approved internally{because}.",
		"InternalApprovalRefused":   "{who} refused internally{because}.",
		"InternalApprovalExpired":   "No internal approver answered in time; no access was given.",
		"InternalReminderDue":       "The internal approvers were reminded that the request waits for them.",
		"CustomerNotified":          "The customer was notified and can decide until {until}.",
		"CustomerNotified/people":   "The customer was notified: {people} can decide until {until}.",
		"CustomerNotified/several":  "The customer was notified: {people} can decide until {until}, and {required} of them must agree.",
		"CustomerNotified/nobody":   "The customer was notified, but nobody was found who may decide; the request waits until {until}.",
		"ApprovalReminderDue":       "The approvers were reminded that the request waits for them.",
		"ApproversUnavailable":      "Nobody who was asked holds a role any more; unless that changes, the request will expire.",
		"QuestionAsked":             "{who} asked: {text}.",
		"QuestionAnswered":          "{who} answered: {text}.",
		"CustomerApproved":          "{who} approved access to {resources} for {duration}{because}.",
		"CustomerDenied":            "{who} denied access{because}.",
		"RequestExpired":            "Nobody decided in time; the request expired and no access was given.",
		"RequestWithdrawn":          "{who} withdrew the request{because}.",
		"AccessGranted":             "Access to {resources} began and lasts until {until}, as the customer approved.",
		"AccessGranted/waived":      "Access to {resources} began and lasts until {until}, without asking the customer, because {waiver}.",
		"AccessLapsed":              "The approval lapsed before access began{because}.",
		"AccessRevoked":             "{who} revoked access{because}.",
		"AccessReleased":            "{who} gave access back{because}.",
		"AccessCompleted":           "The time that was granted is over; access ended.",
		"overdue":                   "the time was over; this has not been recorded yet",

		"TenantCreated":          "{who} created the tenant {name} (support plan {plan}) with {person} as its first Global Administrator.",
		"SupportPlanChanged":     "{who} changed the support plan from {from} to {to}.",
		"LockboxEnabled":         "{who} switched Lockbox on.",
		"LockboxDisabled":        "{who} switched Lockbox off{because}.",
		"PreviewSignedUp":        "{who} signed up for the preview of {type}.",
		"PreviewSignedOff":       "{who} left the preview of {type}.",
		"SettingsChanged":        "{who} changed the settings: {approvals} needed, {alternates} told.",
		"SubscriptionRegistered": "{who} registered the subscription {name} ({id}).",
		"RoleAssigned":           "{who} made {person} {role} of {where}{inherited}{until}.",
		"RoleAssigned/eligible":  "{who} made {person} eligible as {role} of {where}{inherited}{until}.",
		"inherited":              ", inherited from a management group, which does not count",
		"until":                  ", until {time}",
		"RoleRemoved":            "{who} removed the role assignment {id} of {where}.",
		"RoleActivated":          "{who} activated the role assignment {id} of {where} until {until}.",
		"RoleDeactivated":        "{who} deactivated the role assignment {id} of {where}.",
		"subscription":           "subscription {id}",
		"tenant":                 "the tenant",

		"TicketOpened":     "{who} opened ticket {id}: {title}.",
		"TicketAssigned":   "{who} gave ticket {id} to {engineer}.",
		"TicketReassigned": "{who} handed ticket {id} on to {engineer}{because}.",
		"TicketCommented":  "{who} commented on ticket {id}: {text}.",
		"team":             "the team {team}",
		"of team":          "{person} of {team}",

		"RulesPublished":     "{who} put the JIT rules {version} in force.",
		"CataloguePublished": "{who} put the service catalogue {version} in force.",

		"ExposureDisclosed":    "{who} disclosed an inadvertent exposure: {what}.",
		"LegalDemandDisclosed": "{who} disclosed a legal demand of {authority}: {what}.",
		"DisclosureTold":       "The customer is told of what was disclosed.",

		"NotificationSent":       "The mail {template} to {recipient} was taken by the mail server.",
		"NotificationFailed":     "The mail {template} to {recipient} was refused for good: {error}.",
		"NotificationFailed/why": "The mail {template} to {recipient} could not be delivered.",

		"CheckpointSigned": "The log was signed at size {size}; it covers all events up to {sequence}.",
		"DifferenceFound":  "ALARM: {difference} ({where}: {count} from {first} to {last}). Nothing new is granted until it is mended.",

		"StreamRestored": "The stream was written anew up to {sequence}, {count} of it from the second copy; {conflicts} in conflict were set aside.",

		"difference":            "what is stored differs from what was recorded",
		"difference/gap":        "recorded events are missing",
		"difference/regression": "the last recorded events are missing",
		"difference/changed":    "events are not what was recorded",
		"difference/unrecorded": "there are events that were never recorded",
		"difference/missing":    "a copy of the log cannot be read",
		"difference/tiles":      "the second copy is damaged",
		"difference/checkpoint": "a checkpoint is not what was signed",

		"waiver":                  "of a reason that this version does not know",
		"waiver/no customer data": "the operation reaches no customer data",
		"waiver/preview":          "the tenant has not signed up for the preview of this service",
		"waiver/not enabled":      "the tenant has not switched Lockbox on",
		"waiver/emergency":        "an emergency could not wait",

		"employed":       "{person} ({employer})",
		"somebody":       "somebody",
		"because":        ": {text}",
		"quote":          "“{text}”",
		"label":          "\"{text}\"",
		"event/one":      "{n} event",
		"event/many":     "{n} events",
		"resource/one":   "{n} resource",
		"resource/many":  "{n} resources",
		"approval/one":   "{n} approval",
		"approval/many":  "{n} approvals",
		"alternate/one":  "{n} alternate address",
		"alternate/many": "{n} alternate addresses",
		"other/one":      "{n} other",
		"other/many":     "{n} others",
	},
	mails: englishMails,
	comma: ", ", and: " and ",
	one:    func(n int) bool { return n == 1 },
	role:   tenant.RoleName,
	moment: func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	span: func(d time.Duration) string {
		switch {
		case d >= time.Hour && d%time.Hour == 0:
			return units(int(d/time.Hour), "hour")
		case d >= time.Minute && d%time.Minute == 0:
			return units(int(d/time.Minute), "minute")
		}
		return d.String()
	},
}

func units(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}
