// Package plan says who is told what about an event, in which language (R1, R23, R24, R33). It is pure: it neither
// words, renders nor sends anything, and the same event always gives the same notifications with the same ids.
package plan

import (
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Settings are the provider's, from the notifier's configuration.
type Settings struct {
	// Provider is the name under which customers know the provider.
	Provider string
	// PortalURL is where people sign in; empty: there is no portal, and mails name commands only.
	PortalURL string
	// Groups are the addresses of the provider's internal approvers, whom Lockbox knows by group only (R15).
	Groups map[string][]string
	// DefaultLanguage is for people of the provider, and where a tenant has none.
	DefaultLanguage string
}

// Input is an event with everything that its mails speak of, each folded no further than the event itself. So an event
// that is delivered again, later, gives the same mails.
type Input struct {
	Event *lockboxv1.Event
	// Request, with the event folded; for events of requests.
	Request request.State
	// Disclosure, with the event folded; for events of disclosures.
	Disclosure disclosure.State
	// Ticket of the request; zero: it has none.
	Ticket ticket.State
	// Tenant as of the event; for events of the tenant itself with the event folded, and TenantBefore without it.
	Tenant, TenantBefore tenant.State
	// Subscription with the event folded, and without it; for events of subscriptions. For those of an emergency the one
	// that it reaches, as of the event.
	Subscription, SubscriptionBefore tenant.Subscription
}

// Template names what a mail says. The names are recorded in delivery reports.
type Template string

// What is said about a request, and to whom.
const (
	ApprovalRequested          Template = "approval-requested"           // approvers
	ApprovalRequestedAlternate Template = "approval-requested-alternate" // alternates
	NobodyToAsk                Template = "nobody-to-ask"                // alternates, administrators
	ApproversUnavailable       Template = "approvers-unavailable"        // alternates, administrators
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

// What all administrators are told about their tenant.
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
	RoleAssigned           Template = "role-assigned"
	RoleRemoved            Template = "role-removed"
	RoleActivated          Template = "role-activated"
	RoleDeactivated        Template = "role-deactivated"
)

// What administrators and alternates are told of that happened outside of any request.
const (
	ExposureDisclosed    Template = "exposure-disclosed"
	LegalDemandDisclosed Template = "legal-demand-disclosed"
)

// IntegrityAlarm tells the provider's security officers that what is stored is not what was recorded.
const IntegrityAlarm Template = "integrity-alarm"

// Templates lists them all.
func Templates() []Template {
	return []Template{
		ApprovalRequested, ApprovalRequestedAlternate, NobodyToAsk, ApproversUnavailable, CustomerAsked,
		InternalApprovalRequested, InternalApprovalReminder, RequestRefused, InternallyRefused, InternalExpired,
		ApprovalReminder, QuestionAsked,
		QuestionAnswered, ApprovalRecorded, EmergencyAccess, AccessGranted, RequestDenied, RequestExpired, RequestWithdrawn,
		AccessLapsed,
		AccessRevoked, AccessReleased, AccessCompleted,
		TenantCreated, PlanChanged, PlanLowered, LockboxEnabled, LockboxDisabled, PreviewSignedUp, PreviewSignedOff,
		SettingsChanged, SubscriptionRegistered, RoleAssigned, RoleRemoved, RoleActivated, RoleDeactivated,
		ExposureDisclosed, LegalDemandDisclosed, IntegrityAlarm,
	}
}

// Standing is why somebody is told; the mail says so.
type Standing string

// The standings.
const (
	Approver         Standing = "approver"
	Alternate        Standing = "alternate"
	Requester        Standing = "requester"
	InternalApprover Standing = "internal-approver"
	Administrator    Standing = "administrator"
	// Affected may decide about such access, and was not asked (R43).
	Affected Standing = "affected"
	// SecurityOfficer is the provider's.
	SecurityOfficer Standing = "security-officer"
)

// Standings lists them all.
func Standings() []Standing {
	return []Standing{Approver, Alternate, Requester, InternalApprover, Administrator, Affected, SecurityOfficer}
}

// Notification is one mail to one recipient about one event.
type Notification struct {
	// ID is made of the event's id, the template and the recipient: the same again for a repeat (I7).
	ID       string
	Template Template
	// Recipient is an e-mail address as it was recorded, which whoever sends must check. It may be empty: a person whose
	// token named none.
	Recipient string
	// Name of the recipient; empty for a bare address.
	Name     string
	Standing Standing
	Language string
	// Thread is what all mails about one thing have in common: the request's id. Empty for mails about a tenant.
	Thread string
	Data   Data
}

// space is the name space of notification ids: UUIDv5 of the URL name space and "https://openlockbox.org/notification".
var space = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://openlockbox.org/notification"))

// ID of the notification about an event for a recipient. Two spellings of one address are one recipient.
func ID(eventID string, t Template, recipient string) string {
	return uuid.NewSHA1(space, []byte(eventID+"\x00"+string(t)+"\x00"+strings.ToLower(recipient))).String()
}

// Fault is the contradiction in the event's own aggregate, if there is one.
func (in Input) Fault() *aggregate.Fault {
	switch {
	case in.Request.Version > 0 || in.Request.Fault != nil:
		return in.Request.Fault
	case in.Disclosure.Version > 0 || in.Disclosure.Fault != nil:
		return in.Disclosure.Fault
	case in.Subscription.Version > 0 || in.Subscription.Fault != nil:
		return in.Subscription.Fault
	}
	return in.Tenant.Fault
}

// Plan says who is told what about the event; nobody, for most events. Where the event's aggregate is at fault nobody
// is told anything: what cannot be true is not news. A tenant at fault does not keep requests from being told of.
func Plan(in Input, s Settings) []Notification {
	if in.Fault() != nil {
		return nil
	}
	p := &planner{Input: in, settings: s}
	switch {
	case in.Event.GetDifferenceFound() != nil:
		p.alarm(in.Event.GetDifferenceFound())
	case in.Request.Status != request.None:
		p.requestEvent()
	case in.Disclosure.Exists():
		p.disclosed()
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

// recipient is an address with what is known about whoever reads it.
type recipient struct {
	email, name, language string
	standing              Standing
	person                *lockboxv1.Person
}

// tell gives a template to recipients, once to each address; the first standing of an address counts.
func (p *planner) tell(t Template, data Data, to ...[]recipient) {
	told := map[string]bool{}
	for _, n := range p.notifications {
		if n.Template == t {
			told[n.ID] = true
		}
	}
	for _, list := range to {
		for _, r := range list {
			id := ID(p.Event.GetId(), t, r.email)
			if told[id] {
				continue
			}
			told[id] = true
			n := Notification{
				ID: id, Template: t, Recipient: r.email, Name: r.name, Standing: r.standing,
				Language: r.language, Thread: p.Request.ID, Data: data,
			}
			n.Data.Others = p.others(r)
			p.notifications = append(p.notifications, n)
		}
	}
}

// customer is the language of a tenant's person or address.
func (p *planner) customer(tag string) string {
	return language(tag, p.Tenant.Settings.GetDefaultLanguage(), p.settings.DefaultLanguage)
}

// language is the first of the tags that Lockbox speaks.
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

// others are the names of the approvers who were asked besides this recipient.
func (p *planner) others(r recipient) []string {
	var names []string
	for _, a := range p.Request.Notified.GetApprovers() {
		if r.person == nil || !tenant.SamePerson(r.person, a.GetPerson()) {
			names = append(names, Name(a.GetPerson()))
		}
	}
	return names
}

// Name is how a person is called: by name, else by what identifies them.
func Name(p *lockboxv1.Person) string {
	for _, name := range []string{p.GetDisplayName(), p.GetEmail(), p.GetSubject()} {
		if name != "" {
			return name
		}
	}
	return "Lockbox"
}

// Tells says whether anybody may be told of such an event, before anything is read for it.
func Tells(e *lockboxv1.Event) bool {
	if v := e.GetAccessEvaluated(); v != nil {
		return v.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED || len(v.GetInternalStages()) > 0
	}
	return e.GetAccessRequested() == nil && e.GetExposureDisclosed() == nil && e.GetLegalDemandDisclosed() == nil
}
