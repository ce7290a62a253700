package request

import (
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// World is what a decision read from other aggregates. Its sequences are recorded in the event, so that the decision
// can be verified later.
type World struct {
	Tenant tenant.State
	// Subscription is nil for a tenant-scoped request. It counts as given up unless Ownership says it is the tenant's.
	Subscription *tenant.Subscription
	// Ownership is whose the subscription is; empty for a tenant-scoped request.
	Ownership tenant.Ownership
	// Ticket is the ticket that the request names; the zero state unless access ends with it.
	Ticket ticket.State
	// Resource is the catalogue's entry for what the intent requests; nil if the catalogue has none.
	Resource *Resource
	// Keys are those with which the tenant's people sign. If they have any, Events are the request's events exactly as
	// they are stored (R42).
	Keys   keychain.State
	Events []keychain.Exact
}

// Resource holds the facts that decide whether the customer must be asked at all. They are looked up again when access
// is granted: the evaluation that waived the customer's approval is not trusted (R3, R8).
type Resource struct{ CustomerData, Preview bool }

// of refuses a world that is not the request's own, or is faulty: if it is unknown who holds which role, the answer is
// no (I9, I11).
func (w World) of(s State) error {
	sub, id := w.Subscription, s.Intent.GetSubscriptionId()
	switch {
	case w.Tenant.ID != s.Tenant || (sub != nil) != (id != "") || sub != nil && sub.Exists() &&
		(sub.Tenant != s.Tenant || !strings.EqualFold(sub.ID, id)):
		return refusal.Unavailable("tenant", "I11", "the request's own tenant and subscription were not read")
	case w.Tenant.Fault != nil || sub != nil && sub.Fault != nil || w.Ownership.Fault != nil ||
		s.Status == Approved && EndsWithTicket(s, w.Tenant) && w.Ticket.Fault != nil:
		return refusal.OfKind(
			refusal.Unavailable("tenant", "I11",
				"the history of the tenant, subscription or ticket contradicts itself, so nothing is decided on it"),
			"history")
	}
	return nil
}

// signable refuses to take or to rest on anything signed if the customer's keys contradict themselves, or the events
// that statements are about were not read (R42). It stops approvals and access, and never a denial or a revocation.
func (w World) signable() error {
	switch {
	case w.Keys.Fault != nil:
		return refusal.OfKind(refusal.Unavailable("tenant", "R42",
			"the history of the customer's keys contradicts itself, so nothing that they sign is accepted"), "keys-history")
	case w.Keys.Chain != nil && len(w.Events) == 0:
		return refusal.Unavailable("aggregate_id", "I11", "the request's stored events were not read")
	}
	return nil
}

// knows reports whether the actor's identity comes from an issuer of the tenant's: a request that waits keeps the
// people whom it asked while their issuer is replaced (R65).
func (w World) knows(by *lockboxv1.Actor) bool { return w.Tenant.Accepts(by.GetPerson().GetIssuer()) }

func (w World) subscriptionSequence() uint64 {
	if w.Subscription == nil {
		return 0
	}
	return w.Subscription.Sequence
}

// deciding returns the roles by which a frozen approver may still decide at now: those they were frozen with and still
// hold.
func (w World) deciding(n *lockboxv1.CustomerNotified, p *lockboxv1.Person, now time.Time) []lockboxv1.Role {
	then := frozen(n, p).GetRoles()
	return slices.DeleteFunc(tenant.Deciding(w.Tenant, w.Subscription, n.GetBasis(), p, now), func(r lockboxv1.Role) bool {
		return !slices.Contains(then, r)
	})
}

// basisGone returns why access must not begin at now, as a code and as the recorded sentence; unspecified if its basis
// still holds (I1).
func (w World) basisGone(s State, now time.Time) (lockboxv1.ReasonCode, string) {
	if w.Subscription != nil && !w.Ownership.Of(s.Tenant) {
		return lockboxv1.ReasonCode_REASON_CODE_NOT_THE_CUSTOMERS,
			"the subscription is not, or no longer, the customer's" // R48
	}
	if EndsWithTicket(s, w.Tenant) && (!w.Ticket.Exists() || w.Ticket.Closed()) {
		return lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED, "the ticket with which access ends is closed" // R61
	}
	switch s.Waiver() {
	case lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA:
		if w.Resource == nil || w.Resource.CustomerData {
			return lockboxv1.ReasonCode_REASON_CODE_CUSTOMER_DATA_NOT_EXCLUDED,
				"the catalogue does not say that this reaches no customer data" // R3
		}
	case lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP:
		if w.Resource == nil || !w.Resource.Preview {
			return lockboxv1.ReasonCode_REASON_CODE_NOT_IN_PREVIEW,
				"the catalogue does not say that this service is in preview" // R8
		}
		if w.Tenant.SignedUp(s.Intent.GetResourceType()) {
			return lockboxv1.ReasonCode_REASON_CODE_PREVIEW_SIGNED_UP, "the tenant has signed up for the preview since" // R8
		}
		if w.Keys.SignedUp(w.Tenant, s.Intent.GetResourceType()) {
			return lockboxv1.ReasonCode_REASON_CODE_CHANGE_NOT_SIGNED,
				"the tenant demands signatures, and left the preview without one" // R42
		}
	case lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED:
		if w.Tenant.Enabled {
			return lockboxv1.ReasonCode_REASON_CODE_LOCKBOX_ENABLED, "the tenant has switched Lockbox on since" // R2
		}
		if w.Keys.Enabled(w.Tenant) {
			return lockboxv1.ReasonCode_REASON_CODE_CHANGE_NOT_SIGNED,
				"the tenant demands signatures, and Lockbox was switched off without one" // R42
		}
	case lockboxv1.Waiver_WAIVER_EMERGENCY:
		officer := slices.ContainsFunc(s.InternalDecisions, func(d *lockboxv1.Decision) bool {
			return d.GetApproved() && d.GetGroup() == aggregate.SecurityOfficers &&
				aggregate.Provider(d.GetActor(), aggregate.SecurityOfficers) && !sameHuman(d.GetActor(), s.Requester)
		})
		if !s.Urgent() || !officer {
			return lockboxv1.ReasonCode_REASON_CODE_EMERGENCY_NOT_AUTHORIZED,
				"an emergency needs its own permission and a security officer's approval" // R43
		}
	case lockboxv1.Waiver_WAIVER_UNSPECIFIED:
		still := 0
		for _, d := range s.Approvals() {
			if len(w.deciding(s.Notified, d.GetActor().GetPerson(), now)) > 0 {
				still++
			}
		}
		if err := w.Keys.Enough(s.Given(), w.Events, w.required(s)); err != nil {
			return lockboxv1.ReasonCode_REASON_CODE_APPROVAL_NOT_SIGNED,
				"the approvals are not signed as the customer demands" // R42
		}
		if still == 0 || still < int(s.Notified.GetRequiredApprovals()) {
			return lockboxv1.ReasonCode_REASON_CODE_APPROVER_LOST_ROLE, "an approver lost the role before access began" // R20
		}
	default:
		return lockboxv1.ReasonCode_REASON_CODE_UNKNOWN_WAIVER,
			"this version does not know the basis on which the customer is not asked" // I1
	}
	return lockboxv1.ReasonCode_REASON_CODE_UNSPECIFIED, ""
}

// EndsWithTicket reports whether access on a request ends when its ticket is closed (R61): as the tenant has chosen,
// until access begins, and from then on as it began. A request without a ticket has nothing to end with.
func EndsWithTicket(s State, t tenant.State) bool {
	if s.Grant != nil {
		return s.Grant.GetEndsWithTicket()
	}
	return s.TicketID != "" && t.Settings.GetAccessEndsWithTicket()
}

// ticketSequence returns as of when the ticket was read with which access on a request ends; 0 if it ends with none.
func (w World) ticketSequence(s State) uint64 {
	if !EndsWithTicket(s, w.Tenant) {
		return 0
	}
	return w.Ticket.Sequence
}

// taken returns how running access is taken away, because its basis is gone; nil if it is not.
func (w World) taken(s State) *lockboxv1.AccessRevoked {
	switch {
	case s.Status != Active:
		return nil
	case w.Ownership.Elsewhere(s.Tenant):
		return &lockboxv1.AccessRevoked{
			Reason:      "the subscription went to another customer", // R48
			CodedReason: reason.Of(lockboxv1.ReasonCode_REASON_CODE_TRANSFERRED),
		}
	case EndsWithTicket(s, w.Tenant) && w.Ticket.LastClosed > s.Grant.GetTicketSequence():
		// Even if it was opened again since: that revives nothing.
		return &lockboxv1.AccessRevoked{
			Reason:         "the ticket with which this access ends was closed", // R61
			CodedReason:    reason.Of(lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED),
			TicketClosedBy: w.Ticket.LastClosedBy, TicketSequence: w.Ticket.LastClosed,
		}
	}
	return nil
}

// mayBeAbandoned reports whether to check that enough approvers are left: only while a decision is pending, only until
// it was recorded that nobody can decide, and not if there were no approvers in the first place.
func mayBeAbandoned(s State, now time.Time) bool {
	return s.Fault == nil && s.Status == CustomerNotified && !s.Abandoned && len(s.Notified.GetApprovers()) > 0 &&
		now.Before(s.ExpiresAt())
}

// unavailable reports whether a decision is out of reach now, and has not been recorded to be: nobody of the frozen
// list can decide any longer; or, with a reason, fewer humans can approve than have to (R30, R51). An approval by
// somebody who has lost the role is none when access is to begin, so it is not counted here either.
func (w World) unavailable(s State, now time.Time) (bool, *lockboxv1.Reason) {
	var left []*lockboxv1.Approver
	for _, a := range s.Notified.GetApprovers() {
		if len(w.deciding(s.Notified, a.GetPerson(), now)) > 0 {
			left = append(left, &lockboxv1.Approver{Person: w.Tenant.Known(a.GetPerson())})
		}
	}
	required := int(s.Notified.GetRequiredApprovals())
	switch {
	case len(left) == 0:
		return true, nil
	case s.OutOfReach || tenant.Humans(left) >= required:
		return false, nil
	case len(left) >= required:
		return true, reason.Of(lockboxv1.ReasonCode_REASON_CODE_ONE_HUMAN_ASKED_TWICE)
	}
	return true, reason.Of(lockboxv1.ReasonCode_REASON_CODE_TOO_FEW_APPROVERS)
}
