// Package plan determines who is notified of an event, with which template and in which language (R1, R23, R24, R33).
// It is pure: it neither words, renders nor sends anything, and the same event always yields the same notifications
// with the same IDs.
package plan

import (
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Settings are the provider's, from the notifier's configuration.
type Settings struct {
	// Provider is the provider's name as customers know it.
	Provider string
	// PortalURL is the portal's base URL; if empty, there is no portal, and mails mention commands only.
	PortalURL string
	// Contact is whom customers ask about a disclosure or an emergency; empty if nobody is named.
	Contact string
	// StatementURL is where the provider states how it handles government requests for data; empty if nowhere.
	StatementURL string
	// Groups holds the addresses of the provider's internal approvers, whom Lockbox knows by group only (R15).
	Groups map[string][]string
	// Zone is the IANA name of the time zone in which the provider's people read times; UTC if empty.
	Zone string
	// DefaultLanguage is for the provider's people, and for tenants that have not set a language.
	DefaultLanguage string
}

// Input is an event with all state that its mails refer to, none of it folded beyond the event itself. So an event that
// is redelivered later yields the same mails.
type Input struct {
	Event *lockboxv1.Event
	// Request including the event; for events of requests.
	Request request.State
	// Basis is what the list of the request's approvers has to rest on; for events since the customer was asked.
	Basis Basis
	// Service is what the catalogue calls the service of a preview; for events about one.
	Service string
	// Disclosure including the event; for events of disclosures.
	Disclosure disclosure.State
	// Erasure including the event; for events of erasures.
	Erasure erasure.State
	// Keys are those of the customer as of the event; KeysBefore is without it, for events of the keys themselves.
	Keys, KeysBefore keychain.State
	// Exact are the request's events as they are stored, up to the event; for decisions of customers who have keys.
	Exact []keychain.Exact
	// Ticket of the request; zero if there is none.
	Ticket ticket.State
	// Tenant as of the event. For events of the tenant itself, Tenant includes the event and TenantBefore does not.
	Tenant, TenantBefore tenant.State
	// Subscription including the event, and SubscriptionBefore without it; for events of subscriptions. For those of a
	// request of which the customer is told, the subscription that it reaches, as of the event.
	Subscription, SubscriptionBefore tenant.Subscription
}

// Template identifies a mail's content. The names are recorded in delivery reports.
type Template string

// Templates about requests, with their recipients.
const (
	ApprovalRequested          Template = "approval-requested"           // approvers
	ApprovalRequestedAlternate Template = "approval-requested-alternate" // alternates
	NobodyToAsk                Template = "nobody-to-ask"                // alternates, administrators
	ApproversUnavailable       Template = "approvers-unavailable"        // alternates, administrators, requester
	ApprovalsOutOfReach        Template = "approvals-out-of-reach"       // alternates, administrators, requester
	ApproversDiffer            Template = "approvers-differ"             // administrators
	CustomerAsked              Template = "customer-asked"               // requester
	InternalApprovalRequested  Template = "internal-approval-requested"  // internal approvers
	InternalApprovalReminder   Template = "internal-approval-reminder"   // internal approvers
	RequestRefused             Template = "request-refused"              // requester
	InternallyRefused          Template = "internally-refused"           // requester, internal approvers
	InternalExpired            Template = "internal-expired"             // requester, internal approvers
	ApprovalReminder           Template = "approval-reminder"            // approvers who have not decided
	QuestionAsked              Template = "question-asked"               // requester
	QuestionAnswered           Template = "question-answered"            // approvers
	ApprovalRecorded           Template = "approval-recorded"            // the other approvers
	EmergencyAccess            Template = "emergency-access"             // the customer, who was not asked (R43)
	AccessGranted              Template = "access-granted"               // everyone concerned, as all below
	RequestDenied              Template = "request-denied"
	RequestExpired             Template = "request-expired"
	RequestWithdrawn           Template = "request-withdrawn"
	AccessLapsed               Template = "access-lapsed"
	AccessRevoked              Template = "access-revoked"
	AccessReleased             Template = "access-released"
	AccessCompleted            Template = "access-completed"
)

// Templates about a tenant, for all of its administrators.
const (
	TenantCreated          Template = "tenant-created"
	PlanChanged            Template = "plan-changed"
	PlanLowered            Template = "plan-lowered"
	LockboxEnabled         Template = "lockbox-enabled"
	LockboxDisabled        Template = "lockbox-disabled"
	PreviewSignedUp        Template = "preview-signed-up"
	PreviewSignedOff       Template = "preview-signed-off"
	SettingsChanged        Template = "settings-changed"
	SubscriptionRegistered Template = "subscription-registered"
	SubscriptionGivenUp    Template = "subscription-given-up"
	RoleAssigned           Template = "role-assigned"
	RoleRemoved            Template = "role-removed"
	RoleLost               Template = "role-lost" // whoever held it, if they are no administrator
	RoleEnded              Template = "role-ended"
	OwnRoleEnded           Template = "own-role-ended" // whoever held it, if they are no administrator
	RoleActivated          Template = "role-activated"
	RoleDeactivated        Template = "role-deactivated"
	RoleInvited            Template = "role-invited"
	InvitationRedeemed     Template = "invitation-redeemed"
	InvitationConfirmed    Template = "invitation-confirmed" // also to the new holder
	InvitationEnded        Template = "invitation-ended"     // also to whoever redeemed it
	WebhookAdded           Template = "webhook-added"
	WebhookRemoved         Template = "webhook-removed"
)

// Templates about a change of where a tenant's people sign in, for its administrators, its alternates, and whom the
// change names (R65).
const (
	SignInProposed    Template = "sign-in-proposed"
	SignInRecovery    Template = "sign-in-recovery"
	SignInReminder    Template = "sign-in-reminder"
	SignInStopped     Template = "sign-in-stopped"
	SignInChanged     Template = "sign-in-changed"
	FormerSignInEnded Template = "former-sign-in-ended"
)

// Templates about disclosures outside any request, for administrators and alternates.
const (
	ExposureDisclosed    Template = "exposure-disclosed"
	LegalDemandDisclosed Template = "legal-demand-disclosed"
)

// Templates about erasures (R63).
const (
	ErasureConfirmation Template = "erasure-confirmation" // the provider's security officers
	ErasureProposed     Template = "erasure-proposed"     // administrators
	ErasureDecided      Template = "erasure-decided"      // administrators, security officers
	ErasureDeclined     Template = "erasure-declined"     // administrators, security officers
)

// Templates about the keys with which decisions are signed, for administrators and whose keys they are (R42).
const (
	KeyOffered       Template = "key-offered"
	KeyChangeOffered Template = "key-change-offered" // once for each statement
	KeyChainBegan    Template = "key-chain-began"
	KeyChainChanged  Template = "key-chain-changed"
	SignatureRefused Template = "signature-refused" // administrators
)

// WaivedAccess tells administrators once a day of access that began without asking the customer (R3).
const WaivedAccess Template = "waived-access"

// IntegrityAlarm tells the provider's security officers that the stored log differs from what was recorded.
const IntegrityAlarm Template = "integrity-alarm"

// StrayMessage tells them that the stream holds a message that cannot be an event.
const StrayMessage Template = "stray-message"

// HistoryAlarm tells them that events of one request, or of whatever else, contradict each other.
const HistoryAlarm Template = "history-alarm"

// MailOverdue tells them that mails are owed and not reported (I16).
const MailOverdue Template = "mail-overdue"

// Contested tells them that several customers had registered one subscription, to which nobody gets access (R48).
const Contested Template = "subscription-contested"

// Templates lists all templates.
func Templates() []Template {
	return []Template{
		ApprovalRequested, ApprovalRequestedAlternate, NobodyToAsk, ApproversUnavailable, ApprovalsOutOfReach,
		ApproversDiffer, CustomerAsked,
		InternalApprovalRequested, InternalApprovalReminder, RequestRefused, InternallyRefused, InternalExpired,
		ApprovalReminder, QuestionAsked,
		QuestionAnswered, ApprovalRecorded, EmergencyAccess, AccessGranted, RequestDenied, RequestExpired, RequestWithdrawn,
		AccessLapsed,
		AccessRevoked, AccessReleased, AccessCompleted,
		TenantCreated, PlanChanged, PlanLowered, LockboxEnabled, LockboxDisabled, PreviewSignedUp, PreviewSignedOff,
		SettingsChanged, SubscriptionRegistered, SubscriptionGivenUp, RoleAssigned, RoleRemoved, RoleLost, RoleEnded,
		OwnRoleEnded, RoleActivated,
		RoleDeactivated, RoleInvited, InvitationRedeemed, InvitationConfirmed, InvitationEnded, WebhookAdded,
		WebhookRemoved,
		SignInProposed, SignInRecovery, SignInReminder, SignInStopped, SignInChanged, FormerSignInEnded,
		ExposureDisclosed, LegalDemandDisclosed, ErasureConfirmation, ErasureProposed, ErasureDecided, ErasureDeclined,
		KeyOffered, KeyChangeOffered, KeyChainBegan, KeyChainChanged, SignatureRefused,
		WaivedAccess, IntegrityAlarm, StrayMessage, HistoryAlarm, MailOverdue, Contested, Digest,
	}
}

// Standing is why a recipient is notified; the mail says so.
type Standing string

// The standings.
const (
	Approver         Standing = "approver"
	Alternate        Standing = "alternate"
	Requester        Standing = "requester"
	InternalApprover Standing = "internal-approver"
	Administrator    Standing = "administrator"
	// Named recipients are to become administrators by a change that is not made yet.
	Named Standing = "named"
	// Invitee recipients redeemed an invitation to a role (R66).
	Invitee Standing = "invitee"
	// Former recipients held a role until the event, which is the last of which they are told because of it.
	Former Standing = "former"
	// Affected recipients could decide about such access but were not asked (R43).
	Affected Standing = "affected"
	// Keyholder recipients have the key that an event is about, and are no administrators.
	Keyholder Standing = "keyholder"
	// SecurityOfficer is one of the provider's.
	SecurityOfficer Standing = "security-officer"
)

// Standings lists all standings.
func Standings() []Standing {
	return []Standing{Approver, Alternate, Requester, InternalApprover, Administrator, Named, Invitee, Former, Affected,
		Keyholder, SecurityOfficer}
}

// Notification is one mail to one recipient about one event.
type Notification struct {
	// ID is derived from the event's ID, the template and the recipient, so that a repeat has the same ID (I7).
	ID       string
	Template Template
	// Recipient is an e-mail address as it was recorded, which the sender must validate. It is empty for people whose
	// token had none.
	Recipient string
	// Erased reports that the recipient's address was erased (R63), so that there is nobody to send the mail to.
	Erased bool
	// Name of the recipient; empty for a bare address.
	Name     string
	Standing Standing
	Language string
	// Thread groups the mails about one request by its ID. It is empty for mails about a tenant.
	Thread string
	// Emergency reports that the mail is about a request that was submitted as an emergency (R43).
	Emergency bool
	// Right is why the recipient may know it.
	Right Right
	Data  Data
	// Held are the mails for which a Digest stands, in order.
	Held []Notification
	// Sequence is that of the event which the mail tells of; of a Digest see Held.
	Sequence uint64
}

// Newest is the sequence of the last event that the mail tells of.
func (n Notification) Newest() uint64 {
	newest := n.Sequence
	for _, held := range n.Held {
		newest = max(newest, held.Sequence)
	}
	return newest
}

// space is the namespace of notification IDs: UUIDv5 of the URL namespace and "https://openlockbox.org/notification".
var space = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://openlockbox.org/notification"))

// ID returns the ID of the notification about an event for a recipient. Two spellings of one address are one recipient.
func ID(eventID string, t Template, recipient string) string {
	return uuid.NewSHA1(space, []byte(eventID+"\x00"+string(t)+"\x00"+strings.ToLower(recipient))).String()
}

// Fault returns the fault in the event's own aggregate, if any.
func (in Input) Fault() *aggregate.Fault {
	switch {
	case in.Request.Version > 0 || in.Request.Fault != nil:
		return in.Request.Fault
	case in.Disclosure.Version > 0 || in.Disclosure.Fault != nil:
		return in.Disclosure.Fault
	case in.Erasure.Version > 0 || in.Erasure.Fault != nil:
		return in.Erasure.Fault
	case in.Event.GetKind() == aggregate.KindKeys:
		return in.Keys.Fault
	case in.Subscription.Version > 0 || in.Subscription.Fault != nil:
		return in.Subscription.Fault
	}
	return in.Tenant.Fault
}

// Plan returns the notifications for an event; most events have none. If the event's own aggregate is at fault, there
// are none, because its state is not trustworthy. A tenant at fault does not suppress notifications about requests.
func Plan(in Input, s Settings) []Notification {
	if in.Fault() != nil {
		return nil
	}
	p := &planner{Input: in, settings: s}
	switch {
	case in.Event.GetDifferenceFound() != nil:
		p.alarm(in.Event.GetDifferenceFound())
	case in.Event.GetOwnershipContested() != nil:
		p.contested(in.Event.GetOwnershipContested())
	case in.Event.GetWaivedAccessReported() != nil:
		p.waived(in.Event.GetWaivedAccessReported())
	case in.Event.GetKind() == aggregate.KindOwnership: // the customers are told of their own subscriptions
	case in.Event.GetSignatureRefused() != nil:
		p.attempt(in.Event.GetSignatureRefused())
	case in.Event.GetKind() == aggregate.KindKeys:
		p.keys()
	case in.Request.Status != request.None:
		p.requestEvent()
	case in.Disclosure.Exists():
		p.disclosed()
	case in.Erasure.Exists():
		p.erasure()
	default:
		p.tenantChange()
	}
	return p.notifications
}

type planner struct {
	Input
	settings      Settings
	notifications []Notification
}

// recipient is an address with what is known about its owner.
type recipient struct {
	email, name, language string
	standing              Standing
	person                *lockboxv1.Person
	right                 Right
	// dormant: an approver who has to activate a role before deciding (R21).
	dormant bool
}

// decidersShown is what engineers may read of who acted for the customer; as it was when the customer was asked, if the
// tenant's history contradicts itself now.
func (p *planner) decidersShown() lockboxv1.DecidersShown {
	if p.Tenant.Fault != nil {
		return p.Basis.Tenant.Settings.GetDecidersShown()
	}
	return p.Tenant.Settings.GetDecidersShown()
}

// provider reports whether the recipient is one of the provider's engineers or managers.
func (r recipient) provider() bool { return r.standing == Requester || r.standing == InternalApprover }

// erased reports whether the recipient had an address, which was erased (R63): of an address without a person nothing
// else is left.
func (r recipient) erased() bool { return r.email == "" && (r.person == nil || r.person.GetErased()) }

// tell adds a notification for each address, once; the first standing of an address counts.
func (p *planner) tell(t Template, data Data, to ...[]recipient) {
	told := map[string]int{}
	for i, n := range p.notifications {
		if n.Template == t {
			told[n.ID] = i
		}
	}
	for _, r := range slices.Concat(to...) {
		id := ID(p.Event.GetId(), t, r.email)
		key := id
		if r.erased() { // others have no address either
			key = "erased " + r.person.GetIssuer() + " " + r.person.GetSubject()
		}
		if i, again := told[key]; again {
			right := &p.notifications[i].Right // it is enough if one of them has it
			right.Asked = slices.Concat(right.Asked, r.right.Asked)
			continue
		}
		told[key] = len(p.notifications)
		n := Notification{
			Erased: r.erased(), ID: id, Template: t, Recipient: r.email, Name: r.name, Standing: r.standing, Right: r.right,
			Language: r.language, Thread: p.Request.ID, Emergency: p.Request.Intent.GetEmergency(), Data: data,
		}
		if r.provider() && p.decidersShown() == lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION {
			n.Data = n.Data.withheld(p.Event.GetActor())
		}
		n.Data.Others, n.Data.Dormant = p.others(r), r.dormant
		if n.Data.Zone = p.Tenant.Settings.GetTimeZone(); n.Scope() == "" {
			n.Data.Zone = p.settings.Zone
		}
		p.notifications = append(p.notifications, n)
	}
}

// customer returns the language for a tenant's person or address.
func (p *planner) customer(tag string) string {
	return language(tag, p.Tenant.Settings.GetDefaultLanguage(), p.settings.DefaultLanguage)
}

// language returns the first of the tags that Lockbox supports.
func language(tags ...string) string {
	for _, tag := range tags {
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		for _, spoken := range tenant.Languages {
			if base == spoken {
				return spoken
			}
		}
	}
	return tenant.Languages[0]
}

// others returns the names of the approvers who were asked besides this recipient.
func (p *planner) others(r recipient) []string {
	var names []string
	for _, a := range p.Request.Notified.GetApprovers() {
		if r.person == nil || !tenant.SamePerson(r.person, a.GetPerson()) {
			names = append(names, Name(a.GetPerson()))
		}
	}
	return names
}

// Name returns a person's name or, failing that, their identifier; behind it, whether the name was erased (R63).
func Name(p *lockboxv1.Person) string {
	if p.GetErased() {
		return strings.TrimSpace(p.GetSubject() + " " + erasable.Erased)
	}
	for _, name := range []string{p.GetDisplayName(), p.GetEmail(), p.GetSubject()} {
		if name != "" {
			return name
		}
	}
	return "Lockbox"
}

// Tells reports whether events of this type can lead to notifications, before anything is read for it.
func Tells(e *lockboxv1.Event) bool {
	if v := e.GetAccessEvaluated(); v != nil {
		return v.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED || len(v.GetInternalStages()) > 0
	}
	return e.GetAccessRequested() == nil && e.GetExposureDisclosed() == nil && e.GetLegalDemandDisclosed() == nil &&
		e.GetKeysSighted() == nil
}
