// Package shown is how a request reads: its state, people, resources and times in plain words of the reader's language.
// It decides nothing, asks nobody, and knows no HTML. What people wrote is passed on as it is, for templates to escape.
package shown

import (
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Request is a request for one reader at one moment.
type Request struct {
	*lockboxv1.RequestView
	Say *words.Speaker
	Now time.Time
	// Provider's name, and whether the reader is one of the provider's people.
	Provider   string
	ToProvider bool
	// Reader is who reads; nil: that is not known, and nothing is called theirs.
	Reader *lockboxv1.Person
}

// ID makes a message's id of an enum's value: STATUS "REQUEST_STATUS_DENIED" is "status.denied".
func ID(part, value, prefix string) string {
	return part + "." + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", "-")
}

// StatusID names the message of the request's state.
func (r Request) StatusID() string { return StatusID(r.GetStatus()) }

// StatusID names the message of a state.
func StatusID(s lockboxv1.RequestStatus) string { return ID("status", s.String(), "REQUEST_STATUS_") }

// Reason is why access is asked for, as a type.
func (r Request) Reason() (string, error) {
	return r.Say.Say(ID("status.reason", r.GetIntent().GetReasonType().String(), "REASON_TYPE_"))
}

// Tone is the class of the state's colour: who must do something, what is allowed, what came to nothing.
func (r Request) Tone() string { return Tone(r.GetStatus()) }

// Tone is the class of a state's colour.
func Tone(s lockboxv1.RequestStatus) string {
	switch s {
	case lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED,
		lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL,
		lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return "wait"
	case lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED, lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return "good"
	case lockboxv1.RequestStatus_REQUEST_STATUS_DENIED, lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED,
		lockboxv1.RequestStatus_REQUEST_STATUS_REFUSED, lockboxv1.RequestStatus_REQUEST_STATUS_INTERNALLY_DENIED:
		return "bad"
	default:
		return ""
	}
}

// Pending reports whether the customer's decision is waited for.
func (r Request) Pending() bool {
	return r.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED
}

// Waits reports whether somebody on the reader's side is to decide: the customer's people, or the provider's
// internally.
func (r Request) Waits() bool {
	return r.Pending() || r.ToProvider &&
		r.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL
}

// Over reports whether nothing can happen any more.
func (r Request) Over() bool {
	return r.GetStatus() >= lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED
}

// Deadline is when what is waited for, or access, ends by itself; nil: nothing does.
func (r Request) Deadline() *timestamppb.Timestamp {
	switch r.GetStatus() {
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		return r.GetInternalAnswerBy()
	case lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return r.GetLockbox().GetExpiresAt()
	case lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return r.GetGrant().GetEndsAt()
	default:
		return nil
	}
}

// Left is how long it is until the deadline, to the two largest units, never more than there is.
func (r Request) Left() (string, error) {
	if r.Deadline() == nil {
		return "", nil
	}
	left := r.Deadline().AsTime().Sub(r.Now)
	switch {
	case left >= 24*time.Hour:
		left = left.Truncate(time.Hour)
	case left >= time.Minute:
		left = left.Truncate(time.Minute)
	default:
		return r.Say.Say("status.less-than-a-minute")
	}
	return r.Say.Duration(left), nil
}

// Hurry reports whether less than a day is left to decide.
func (r Request) Hurry() bool {
	d := r.Deadline()
	return d != nil && r.Tone() == "wait" && d.AsTime().Sub(r.Now) < 24*time.Hour
}

// Asked is how long access is asked for.
func (r Request) Asked() time.Duration { return r.GetEvaluation().GetDuration().AsDuration() }

// Required is how many people must approve.
func (r Request) Required() int { return max(1, int(r.GetLockbox().GetRequiredApprovals())) }

// Approvals are the customer's approvals so far.
func (r Request) Approvals() []*lockboxv1.Decision {
	return slices.DeleteFunc(slices.Clone(r.GetCustomerDecisions()),
		func(d *lockboxv1.Decision) bool { return !d.GetApproved() })
}

// Given is how many have approved so far.
func (r Request) Given() int { return len(r.Approvals()) }

// Missing is how many more must approve.
func (r Request) Missing() int { return max(0, r.Required()-r.Given()) }

// Own is what the reader themselves decided; nil: nothing.
func (r Request) Own() *lockboxv1.Decision {
	for _, d := range slices.Concat(r.GetCustomerDecisions(), r.GetInternalDecisions()) {
		if tenant.SamePerson(d.GetActor().GetPerson(), r.Reader) {
			return d
		}
	}
	return nil
}

// Mine reports whether the reader asked for access.
func (r Request) Mine() bool { return tenant.SamePerson(r.GetRequester().GetPerson(), r.Reader) }

// Allows reports whether the reader could do this now, as the services say.
func (r Request) Allows(verb string) bool { return slices.Contains(r.GetAllowed(), verb) }

// Unanswered are the questions that wait for the requester.
func (r Request) Unanswered() int {
	n := 0
	for _, q := range r.GetQuestions() {
		if q.GetAnswerer() == nil {
			n++
		}
	}
	return n
}

// Since lists what happened after the version that somebody saw, oldest first. Reports change no version.
func (r Request) Since(seen uint64) []*lockboxv1.TimelineEntry {
	var after []*lockboxv1.TimelineEntry
	for _, e := range r.GetTimeline() {
		if seen > 0 && e.GetVersion() > seen {
			after = append(after, e)
		}
	}
	return after
}

// Sent are the timeline's mails that arrived, Happened is everything else.
func (r Request) Sent() []*lockboxv1.TimelineEntry { return r.told(true) }

// Happened is the timeline without the mails that arrived: there are many, and they change nothing.
func (r Request) Happened() []*lockboxv1.TimelineEntry { return r.told(false) }

func (r Request) told(sent bool) []*lockboxv1.TimelineEntry {
	return slices.DeleteFunc(slices.Clone(r.GetTimeline()),
		func(e *lockboxv1.TimelineEntry) bool { return (e.GetType() == "NotificationSent") != sent })
}

// last is the newest entry of a type; nil: there is none.
func (r Request) last(typ string) *lockboxv1.TimelineEntry {
	for _, e := range slices.Backward(r.GetTimeline()) {
		if e.GetType() == typ {
			return e
		}
	}
	return nil
}
