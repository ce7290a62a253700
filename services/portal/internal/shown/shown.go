// Package shown presents a request: its state, people, resources and times in plain words of the reader's language. It
// decides nothing, sends no queries and knows no HTML. What people wrote is passed on unescaped, for templates to
// escape.
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
	// Provider is the provider's name, and ToProvider says whether the reader is one of the provider's people.
	Provider   string
	ToProvider bool
	// Reader is nil if the reader is not known; then nothing is presented as theirs.
	Reader *lockboxv1.Person
}

// ID returns the message ID for an enum value: STATUS "REQUEST_STATUS_DENIED" is "status.denied".
func ID(part, value, prefix string) string {
	return part + "." + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", "-")
}

// StatusID returns the message ID of the request's state.
func (r Request) StatusID() string { return StatusID(r.GetStatus()) }

// StatusID returns the message ID of a state.
func StatusID(s lockboxv1.RequestStatus) string { return ID("status", s.String(), "REQUEST_STATUS_") }

// Reason returns the type of reason for which access is requested. The customer's people read "you" where it is about
// them.
func (r Request) Reason() (string, error) {
	typ := r.GetIntent().GetReasonType()
	part := "status.reason"
	if r.GetTicketOfProvider() && typ == lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT {
		return r.Say.Say("status.reason.ticket-of-provider", "Provider", r.Provider) // whatever the request says
	}
	if !r.ToProvider && slices.Contains(addressed, typ) {
		part = "status.reason-yours"
	}
	return r.Say.Say(ID(part, typ.String(), "REASON_TYPE_"), "Provider", r.Provider)
}

// addressed are the types of reasons that have words of their own for the customer.
var addressed = []lockboxv1.ReasonType{lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
	lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE,
	lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_REVIEW}

// Tone returns the CSS class of the state's colour.
func (r Request) Tone() string { return Tone(r.GetStatus()) }

// Tone returns the CSS class of a state's colour: somebody has to decide, access exists and needs attention, or nothing
// is left to do.
func Tone(s lockboxv1.RequestStatus) string {
	switch s {
	case lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED,
		lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL,
		lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return "wait"
	case lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED, lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return "live"
	default:
		return ""
	}
}

// Pending reports whether the request awaits the customer's decision.
func (r Request) Pending() bool {
	return r.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED
}

// Waits reports whether the request awaits a decision by the reader's side: by the customer's people, or in the
// provider's internal approval.
func (r Request) Waits() bool {
	return r.Pending() || r.ToProvider &&
		r.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL
}

// Running reports whether access exists now.
func (r Request) Running() bool {
	return r.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE
}

// Over reports whether the request is closed.
func (r Request) Over() bool {
	return r.GetStatus() >= lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED
}

// Deadline returns when the wait for a decision, or the access, ends automatically; nil if neither is the case.
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

// Left returns the time to the deadline, in the two largest units and rounded down.
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

// Hurry reports whether less than a day is left for the decision.
func (r Request) Hurry() bool {
	d := r.Deadline()
	return d != nil && !r.Running() && d.AsTime().Sub(r.Now) < 24*time.Hour
}

// Asked returns the requested duration.
func (r Request) Asked() time.Duration { return r.GetEvaluation().GetDuration().AsDuration() }

// Required returns how many people must approve.
func (r Request) Required() int { return max(1, int(r.GetLockbox().GetRequiredApprovals())) }

// Approvals returns the customer's approvals so far.
func (r Request) Approvals() []*lockboxv1.Decision {
	return slices.DeleteFunc(slices.Clone(r.GetCustomerDecisions()),
		func(d *lockboxv1.Decision) bool { return !d.GetApproved() })
}

// Given returns how many have approved so far.
func (r Request) Given() int { return len(r.Approvals()) }

// Missing returns how many more must approve.
func (r Request) Missing() int { return max(0, r.Required()-r.Given()) }

// Own returns the reader's own decision, or nil.
func (r Request) Own() *lockboxv1.Decision {
	for _, d := range slices.Concat(r.GetCustomerDecisions(), r.GetInternalDecisions()) {
		if tenant.SamePerson(d.GetActor().GetPerson(), r.Reader) {
			return d
		}
	}
	return nil
}

// Mine reports whether the reader is the requester.
func (r Request) Mine() bool { return tenant.SamePerson(r.GetRequester().GetPerson(), r.Reader) }

// Allows reports whether the reader could do this now, according to the services.
func (r Request) Allows(verb string) bool { return slices.Contains(r.GetAllowed(), verb) }

// Unanswered counts the questions that await the requester's answer.
func (r Request) Unanswered() int {
	n := 0
	for _, q := range r.GetQuestions() {
		if q.GetAnswerer() == nil {
			n++
		}
	}
	return n
}

// Since returns what happened after a version, oldest first. Reports do not change the version.
func (r Request) Since(seen uint64) []*lockboxv1.TimelineEntry {
	var after []*lockboxv1.TimelineEntry
	for _, e := range r.GetTimeline() {
		if seen > 0 && e.GetVersion() > seen {
			after = append(after, e)
		}
	}
	return after
}

// Sent returns the delivered mails of the timeline.
func (r Request) Sent() []*lockboxv1.TimelineEntry { return r.told(true) }

// Happened returns the timeline without the delivered mails: there are many, and they change nothing.
func (r Request) Happened() []*lockboxv1.TimelineEntry { return r.told(false) }

func (r Request) told(sent bool) []*lockboxv1.TimelineEntry {
	return slices.DeleteFunc(slices.Clone(r.GetTimeline()),
		func(e *lockboxv1.TimelineEntry) bool { return (e.GetType() == "NotificationSent") != sent })
}

// last returns the newest entry of a type, or nil.
func (r Request) last(typ string) *lockboxv1.TimelineEntry {
	for _, e := range slices.Backward(r.GetTimeline()) {
		if e.GetType() == typ {
			return e
		}
	}
	return nil
}
