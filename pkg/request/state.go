// Package request implements the life cycle of an access request: which events may follow which, who may decide what
// until when, and which duties are due. It is pure.
package request

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Status is the status of a request.
type Status = lockboxv1.RequestStatus

// The states, in the order in which a request may pass through them.
const (
	// None: there is no such request.
	None = lockboxv1.RequestStatus_REQUEST_STATUS_UNSPECIFIED
	// Submitted: being evaluated, or evaluated and about to be put to the customer.
	Submitted = lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED
	// AwaitingInternalApproval: the provider's own people decide first (R15).
	AwaitingInternalApproval = lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL
	// CustomerNotified: the customer decides (R17).
	CustomerNotified = lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED
	// Approved: decided, and access about to begin if the basis still holds.
	Approved = lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED
	// Active: access exists.
	Active = lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE
	// Completed: the grant ended at its time.
	Completed = lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED
	// Released: ended early by the engineer.
	Released = lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED
	// Revoked: ended early by the customer or the security officer.
	Revoked = lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED
	// Refused by evaluation.
	Refused = lockboxv1.RequestStatus_REQUEST_STATUS_REFUSED
	// InternallyDenied: refused by an internal approver.
	InternallyDenied = lockboxv1.RequestStatus_REQUEST_STATUS_INTERNALLY_DENIED
	// InternalExpired: the internal approval was not completed in time.
	InternalExpired = lockboxv1.RequestStatus_REQUEST_STATUS_INTERNAL_EXPIRED
	// Denied by the customer.
	Denied = lockboxv1.RequestStatus_REQUEST_STATUS_DENIED
	// Expired: the customer did not answer in time (R26).
	Expired = lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED
	// Withdrawn by the requester.
	Withdrawn = lockboxv1.RequestStatus_REQUEST_STATUS_WITHDRAWN
	// Lapsed: approved, but the basis was gone before access began.
	Lapsed = lockboxv1.RequestStatus_REQUEST_STATUS_LAPSED
)

// Ended reports whether a status is final.
func Ended(s Status) bool { return s >= Completed }

// State is a request, folded from its events.
type State struct {
	aggregate.History
	Status Status

	Intent       *lockboxv1.AccessIntent
	IntentSHA256 []byte
	Tool         string
	// TicketID is the id of the ticket that the intent names, whether there is one or not; empty if it names none.
	TicketID    string
	Requester   *lockboxv1.Actor
	RequestedAt time.Time

	Evaluation        *lockboxv1.AccessEvaluated
	InternalDecisions []*lockboxv1.Decision
	// StageSince is when the current internal stage began.
	StageSince time.Time

	// Notified is the Lockbox request itself, with its frozen approvers; nil before it exists.
	Notified   *lockboxv1.CustomerNotified
	NotifiedAt time.Time
	// Reminders is how many reminders of the current internal stage, or of the customer's approval, were given or skipped.
	Reminders int
	// Abandoned: none of the frozen approvers could decide any longer (R23). OutOfReach: fewer humans could approve than
	// have to (R30, R51), though some could still deny; it is true of whatever is Abandoned, too.
	Abandoned, OutOfReach bool

	Questions         []*lockboxv1.Question
	CustomerDecisions []*lockboxv1.Decision

	Grant     *lockboxv1.AccessGranted
	GrantedAt time.Time

	EndedAt   time.Time
	EndedBy   *lockboxv1.Actor
	EndReason string
	// CodedEndReason is EndReason as a code; nil if a person wrote the reason.
	CodedEndReason *lockboxv1.Reason
	// TicketClosedBy is who closed the ticket, if access ended or did not begin because of that (R61); nil otherwise.
	TicketClosedBy *lockboxv1.Actor

	// material is the version of the last event that an approver must have seen before deciding.
	material uint64
}

// Waiver returns the basis on which the customer is not asked; unspecified if the customer decides.
func (s State) Waiver() lockboxv1.Waiver { return s.Evaluation.GetWaiver() }

// ExpiresAt returns the customer's deadline; zero before they were notified.
func (s State) ExpiresAt() time.Time {
	if s.Notified == nil {
		return time.Time{}
	}
	return s.Notified.GetExpiresAt().AsTime()
}

// Stage returns the current internal stage and its index; nil if none is waiting.
func (s State) Stage() (*lockboxv1.InternalStage, int) {
	given := len(s.InternalDecisions)
	for i, stage := range s.Evaluation.GetInternalStages() {
		if given < int(stage.GetCount()) {
			return stage, i
		}
		given -= int(stage.GetCount())
	}
	return nil, 0
}

// InternalDeadline returns the deadline of the current internal stage: its own or that of all stages together,
// whichever is earlier (R15). It is zero if no stage is waiting.
func (s State) InternalDeadline() time.Time {
	stage, _ := s.Stage()
	if stage == nil {
		return time.Time{}
	}
	end := s.Evaluation.GetInternalExpiresAt().AsTime()
	if own := stage.GetAnswerWithin(); own != nil && s.StageSince.Add(own.AsDuration()).Before(end) {
		end = s.StageSince.Add(own.AsDuration())
	}
	return end
}

// Approvals returns the customer's approvals so far.
func (s State) Approvals() []*lockboxv1.Decision {
	var yes []*lockboxv1.Decision
	for _, d := range s.CustomerDecisions {
		if d.GetApproved() {
			yes = append(yes, d)
		}
	}
	return yes
}

// Allowed returns what all approvals so far permit: the shortest duration and the resources common to all (R27).
func (s State) Allowed() (time.Duration, []string) {
	return allowed(s.Evaluation.GetDuration().AsDuration(), s.Intent.GetResourceIds(), s.Approvals())
}

func allowed(duration time.Duration, resources []string, approvals []*lockboxv1.Decision) (time.Duration, []string) {
	asked := resources
	for _, d := range approvals {
		duration = min(duration, d.GetDuration().AsDuration())
		resources = intersect(resources, asAsked(asked, d.GetResourceIds()))
	}
	return duration, resources
}

// mode returns what access would permit, by the facts that the evaluation found in the catalogue (R49).
func (s State) mode() lockboxv1.AccessMode {
	switch f := s.Evaluation.GetFacts(); {
	case f.GetElevated():
		return lockboxv1.AccessMode_ACCESS_MODE_ELEVATED
	case f.GetChanges():
		return lockboxv1.AccessMode_ACCESS_MODE_CHANGE
	}
	return lockboxv1.AccessMode_ACCESS_MODE_READ
}

// asAsked returns the resources of an approval as they were written in the request. One that was not asked for is
// returned as it is. What is written the same comes first: requests from before ids were compared as Azure Resource
// Manager compares them may hold two that differ in case only.
func asAsked(asked, approved []string) []string {
	list := slices.Clone(approved)
	for i, id := range list {
		if slices.Contains(asked, id) {
			continue
		}
		same := func(other string) bool { return resource.Same(id, other) }
		if at := slices.IndexFunc(asked, same); at >= 0 {
			list[i] = asked[at]
		}
	}
	return list
}

// Deadline returns when the current phase ends: the internal approval, the customer's decision or the grant (R15, R26,
// R27). It returns false if no deadline is running.
func (s State) Deadline() (time.Time, bool) {
	switch s.Status {
	case AwaitingInternalApproval:
		return s.InternalDeadline(), true
	case CustomerNotified:
		return s.ExpiresAt(), true
	case Active:
		return s.Grant.GetEndsAt().AsTime(), true
	}
	return time.Time{}, false
}

// remindAt returns the times of the current phase's reminders, in chronological order.
func (s State) remindAt() []time.Time {
	var list []time.Time
	switch s.Status {
	case AwaitingInternalApproval:
		for _, before := range s.Evaluation.GetInternalRemindBefore() {
			list = append(list, s.InternalDeadline().Add(-before.AsDuration()))
		}
	case CustomerNotified:
		for _, at := range s.Notified.GetRemindAt() {
			list = append(list, at.AsTime())
		}
	}
	return list
}

// remindersBy counts the reminders that are due at now or earlier.
func (s State) remindersBy(now time.Time) int {
	n := 0
	for _, at := range s.remindAt() {
		if !now.Before(at) {
			n++
		}
	}
	return n
}

func intersect(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	var both []string
	for _, s := range a {
		if in[s] {
			both = append(both, s)
		}
	}
	return both
}
