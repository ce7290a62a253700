package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Digest is the template of a mail that stands for several that were held. It is in no delivery report: those name the
// templates of the mails for which it stands.
const Digest Template = "digest"

// soon is how little time somebody has left who is told at once, however many mails they get.
const soon = time.Hour

// Urgent reports whether a mail must not be held (R52): it is about an emergency, an alarm or a disclosure, it is a
// digest itself, or its reader has less than an hour left to answer. A mail that nobody can get is not held either.
func (n Notification) Urgent(now time.Time) bool {
	switch n.Template {
	case EmergencyAccess, ExposureDisclosed, LegalDemandDisclosed, ApproversDiffer, IntegrityAlarm, StrayMessage,
		HistoryAlarm, Contested, MailOverdue, WaivedAccess, ErasureConfirmation, ErasureProposed, ErasureDecided,
		KeyChainBegan, KeyChainChanged:
		return true
	}
	left := n.Data.RespondBy.Sub(now)
	return n.Emergency || n.Recipient == "" || n.Awaited() && left > 0 && left < soon
}

// Awaited reports whether the recipient is waited for.
func (n Notification) Awaited() bool {
	switch n.Template {
	case ApprovalRequested, ApprovalReminder, ApprovalRecorded, InternalApprovalRequested, InternalApprovalReminder,
		QuestionAsked, QuestionAnswered:
		return true
	}
	return false
}

// Burst is what a notification is counted as (R52): its kind. What sets a customer up, or goes on doing so, is counted
// together, because one piece of work makes a mail of each kind. What weakens the customer's protection is counted by
// itself, so that nothing harmless that was done just before holds it back.
func (n Notification) Burst() Template {
	switch n.Template {
	case TenantCreated, SubscriptionRegistered, PlanChanged, LockboxEnabled, PreviewSignedUp, RoleAssigned, RoleInvited,
		InvitationConfirmed, RoleActivated:
		return TenantCreated
	}
	return n.Template
}

// Scope is the tenant as one of whose people the recipient is told; empty for the provider's people.
func (n Notification) Scope() string {
	switch n.Standing {
	case Requester, InternalApprover, SecurityOfficer:
		return ""
	}
	return n.Data.TenantID
}

// Brief returns a notification with no more of its data than a digest shows.
func (n Notification) Brief() Notification {
	d := n.Data
	n.Data = Data{
		Provider: d.Provider, PortalURL: d.PortalURL, TenantID: d.TenantID, Tenant: d.Tenant, At: d.At, By: d.By,
		Organisation: d.Organisation, RequestID: d.RequestID, TicketID: d.TicketID, Service: d.Service, Scenario: d.Scenario,
		Zone: d.Zone, Operation: d.Operation, Targets: d.Targets, TenantScope: d.TenantScope,
		Subscription: d.Subscription, Requester: d.Requester, Employer: d.Employer, RespondBy: d.RespondBy,
		PlanFrom: d.PlanFrom, PlanTo: d.PlanTo, ResourceType: d.ResourceType, Person: d.Person, Role: d.Role,
		Note: d.Note, Keys: d.Keys,
	}
	return n
}

// DigestOf returns the mail that stands for several of one recipient's, at least one. They are grouped by kind, those
// in which the recipient is waited for first, and each kind is sorted by the time that is left. Its ID is derived from
// theirs.
func DigestOf(held []Notification) Notification {
	held = slices.Clone(held)
	slices.SortFunc(held, func(a, b Notification) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.when().Compare(b.when()), a.Data.At.Compare(b.Data.At),
			strings.Compare(a.ID, b.ID))
	})
	var ids []string
	for _, n := range held {
		ids = append(ids, n.ID)
	}
	d := held[0]
	for _, n := range held {
		if d.Standing == Alternate {
			d.Standing = n.Standing
		}
	}
	d.ID, d.Template = ID(strings.Join(ids, "\x00"), Digest, d.Recipient), Digest
	d.Thread, d.Held = "", held
	d.Data = Data{Zone: d.Data.Zone, Provider: d.Data.Provider,
		PortalURL: d.Data.PortalURL, TenantID: d.Data.TenantID, Tenant: d.Data.Tenant}
	return d
}

// rank orders kinds in a digest.
func (n Notification) rank() int {
	i := slices.Index(Templates(), n.Template)
	if !n.Awaited() {
		i += len(Templates())
	}
	return i
}

// when is when a recipient who is waited for must have answered, or else when it happened.
func (n Notification) when() time.Time {
	if n.Awaited() {
		return n.Data.RespondBy
	}
	return n.Data.At
}
