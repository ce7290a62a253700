// Package request is the life of one access request: which events may follow which, who may decide what until when, and
// what is still owed. It is pure.
package request

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Status is where a request stands.
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
	// Completed: the grant ran out.
	Completed = lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED
	// Released: given back early.
	Released = lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED
	// Revoked: taken away.
	Revoked = lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED
	// Refused by evaluation.
	Refused = lockboxv1.RequestStatus_REQUEST_STATUS_REFUSED
	// InternallyDenied: refused by an internal approver.
	InternallyDenied = lockboxv1.RequestStatus_REQUEST_STATUS_INTERNALLY_DENIED
	// InternalExpired: no internal approver answered in time.
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

// Ended reports whether nothing can happen any more.
func Ended(s Status) bool { return s >= Completed }

// State is a request, folded from its events.
type State struct {
	aggregate.History
	Status Status

	Intent       *lockboxv1.AccessIntent
	IntentSHA256 []byte
	Tool         string
	Requester    *lockboxv1.Actor
	RequestedAt  time.Time

	Evaluation        *lockboxv1.AccessEvaluated
	InternalDecisions []*lockboxv1.Decision
	// StageSince is when the internal stage that waits began.
	StageSince time.Time

	// Notified is the Lockbox request itself, with its frozen approvers; nil before it exists.
	Notified   *lockboxv1.CustomerNotified
	NotifiedAt time.Time
	// Reminders is how many have been given or passed over of what waits now: the internal stage, or the customer.
	Reminders int
	// Abandoned: nobody of the frozen list can decide any more (R23).
	Abandoned         bool
	Questions         []*lockboxv1.Question
	CustomerDecisions []*lockboxv1.Decision

	Grant     *lockboxv1.AccessGranted
	GrantedAt time.Time

	EndedAt   time.Time
	EndedBy   *lockboxv1.Actor
	EndReason string
	// CodedEndReason is EndReason as a code, where no person wrote it.
	CodedEndReason *lockboxv1.Reason

	// material is the version of the last event that an approver must have seen to decide.
	material uint64
}

// Waiver is the basis on which the customer is not asked; unspecified: they are.
func (s State) Waiver() lockboxv1.Waiver { return s.Evaluation.GetWaiver() }

// ExpiresAt is the instant at which the customer's time is over; zero before they were notified.
func (s State) ExpiresAt() time.Time {
	if s.Notified == nil {
		return time.Time{}
	}
	return s.Notified.GetExpiresAt().AsTime()
}

// Stage is the internal stage that waits, and its index; nil: none does.
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

// InternalDeadline is the instant at which the time of the internal stage that waits is over: its own, and at the
// latest that of all stages together (R15). Zero: none waits.
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

// Approvals are the customer's approvals so far.
func (s State) Approvals() []*lockboxv1.Decision {
	var yes []*lockboxv1.Decision
	for _, d := range s.CustomerDecisions {
		if d.GetApproved() {
			yes = append(yes, d)
		}
	}
	return yes
}

// Allowed is what all approvals so far agree on: the shortest time, and the resources that each of them named (R27).
func (s State) Allowed() (time.Duration, []string) {
	return allowed(s.Evaluation.GetDuration().AsDuration(), s.Intent.GetResourceIds(), s.Approvals())
}

func allowed(duration time.Duration, resources []string, approvals []*lockboxv1.Decision) (time.Duration, []string) {
	for _, d := range approvals {
		duration = min(duration, d.GetDuration().AsDuration())
		resources = intersect(resources, d.GetResourceIds())
	}
	return duration, resources
}

// deadline is the instant at which what the request waits for is over: the internal approval, the customer's decision
// or the grant (R15, R26, R27). False: it waits for nothing.
func (s State) deadline() (time.Time, bool) {
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

// remindAt lists when those are reminded whom the request waits for, in time's order.
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

// remindersBy counts the reminders whose time has come at now.
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
