package request

import (
	"fmt"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Outcome summarises the request's status, who decided it and when, for a refusal of a second attempt (R29).
func Outcome(s State) string {
	switch s.Status {
	case Submitted:
		return "it is being evaluated"
	case AwaitingInternalApproval:
		return "it waits for the provider's internal approval"
	case CustomerNotified:
		return "it waits for the customer's decision until " + stamp(s.ExpiresAt())
	case Approved, Active:
		return approvedBy(s)
	case Completed:
		return approvedBy(s) + "; access ended at " + stamp(s.EndedAt)
	case Released:
		return "given back by " + name(s.EndedBy) + " at " + stamp(s.EndedAt)
	case Revoked:
		return "already revoked by " + name(s.EndedBy) + " at " + stamp(s.EndedAt)
	case Refused:
		return "refused by evaluation at " + stamp(s.EndedAt)
	case InternallyDenied:
		return "already refused internally by " + name(s.EndedBy) + " at " + stamp(s.EndedAt)
	case InternalExpired:
		return "the internal approval expired at " + stamp(s.EndedAt)
	case Denied:
		return "already denied by " + name(s.EndedBy) + " at " + stamp(s.EndedAt)
	case Expired:
		return "expired at " + stamp(s.EndedAt)
	case Withdrawn:
		return "withdrawn by " + name(s.EndedBy) + " at " + stamp(s.EndedAt)
	case Lapsed:
		return "lapsed at " + stamp(s.EndedAt) + ": " + s.EndReason
	}
	return "there is no such request"
}

// Next returns what happens next to a request, as a code and in English.
func Next(s State) (lockboxv1.NextStep, string) {
	switch {
	case s.Status == AwaitingInternalApproval:
		return lockboxv1.NextStep_NEXT_STEP_INTERNAL_APPROVAL,
			"The provider's own people decide by " + stamp(s.InternalDeadline()) + "."
	case s.Status == CustomerNotified:
		return lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION, "The customer decides by " + stamp(s.ExpiresAt()) + "."
	case s.Status == Submitted && s.Evaluation != nil:
		return lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION, "The customer is asked."
	case s.Status == Approved:
		return lockboxv1.NextStep_NEXT_STEP_ACCESS_BEGINS, "Access begins."
	case s.Status == Active:
		return lockboxv1.NextStep_NEXT_STEP_ACCESS_ENDS, "Access ends at " + stamp(s.Grant.GetEndsAt().AsTime()) + "."
	case Ended(s.Status):
		return lockboxv1.NextStep_NEXT_STEP_NOTHING, "Nothing: " + Outcome(s) + "."
	}
	return lockboxv1.NextStep_NEXT_STEP_UNSPECIFIED, ""
}

// DecidedBy returns until when the next decision about a request can be made, or access lasts. Of a customer who is yet
// to be asked it is the earliest that it will be, as of now. Zero if nothing waits.
func DecidedBy(s State, now time.Time) time.Time {
	if due, waits := s.Deadline(); waits {
		return due
	}
	if within := s.Evaluation.GetCustomerAnswerWithin(); s.Status == Submitted && within != nil {
		return now.Add(within.AsDuration())
	}
	return time.Time{}
}

func approvedBy(s State) string {
	yes := s.Approvals()
	if len(yes) == 0 && s.GrantedAt.IsZero() {
		return "allowed without asking the customer"
	}
	if len(yes) == 0 {
		return "allowed without asking the customer at " + stamp(s.GrantedAt)
	}
	last := yes[len(yes)-1]
	return fmt.Sprintf("already approved by %s at %s", name(last.GetActor()), stamp(last.GetTime().AsTime()))
}

func name(a *lockboxv1.Actor) string {
	switch {
	case a.GetPerson().GetDisplayName() != "":
		return a.GetPerson().GetDisplayName()
	case a.GetPerson().GetSubject() != "":
		return a.GetPerson().GetSubject()
	}
	return "Lockbox"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }
