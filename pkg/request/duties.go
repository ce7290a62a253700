package request

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// NextDue returns the next time at which a duty arises without further events; false if never.
func NextDue(s State) (time.Time, bool) {
	due, waits := s.Deadline()
	if s.Fault != nil || !waits {
		return time.Time{}, false
	}
	if at := s.remindAt(); s.Reminders < len(at) && at[s.Reminders].Before(due) {
		return at[s.Reminders], true
	}
	return due, true
}

// AskedDue returns what NextDue will be once the customer is asked at now, if that is what is owed next; false if not.
func AskedDue(s State, terms Terms, now time.Time) (time.Time, bool) {
	if s.Fault != nil || s.Status != Submitted || s.Evaluation == nil {
		return time.Time{}, false
	}
	within, before := s.asked(terms)
	s.Status, s.Reminders = CustomerNotified, 0
	s.Notified = &lockboxv1.CustomerNotified{
		ExpiresAt: timestamp(now.Add(within)), RemindAt: remindAt(now, within, before),
	}
	return NextDue(s)
}

// Settled reports whether no duty is due for a request, now or later, unless a person acts.
func Settled(s State) bool {
	_, waits := NextDue(s)
	return s.Fault != nil || !waits && s.Status != Approved && (s.Status != Submitted || s.Evaluation == nil)
}

// Duty is a step that Lockbox itself has to take for a request.
type Duty int

// The duties, each performed by Perform.
const (
	// Nothing is owed.
	Nothing Duty = iota
	// Notify creates the Lockbox request: the customer is asked.
	Notify
	// Remind sends a reminder to the pending approvers, the provider's or the customer's.
	Remind
	// Expire ends a request that was not decided in time, internally or by the customer.
	Expire
	// Grant starts approved access, or lets the approval lapse.
	Grant
	// Complete ends a grant whose time is over.
	Complete
	// TakeAway ends access to a subscription that is no longer the customer's (R48), and access whose ticket was closed,
	// if it ends with it (R61).
	TakeAway
	// ReportUnavailable records that none of the frozen approvers can decide any longer (R23), or too few humans can
	// approve (R30, R51).
	ReportUnavailable
)

// Owed returns the duty that is due at now. It derives from the state alone, so it is also the whole recovery after a
// crash. If it depends on other aggregates and these are not the request's own, or are faulty, Owed returns
// UNAVAILABLE.
func Owed(s State, w World, now time.Time) (Duty, error) {
	next, timed := NextDue(s)
	isDue := timed && !now.Before(next)
	due, _ := s.Deadline()
	switch {
	case s.Fault != nil:
		return Nothing, nil
	case s.Status == Submitted && s.Evaluation != nil:
		return Notify, w.of(s)
	case s.Status == Approved:
		return Grant, refusal.First(w.of(s), w.signable())
	case isDue && now.Before(due):
		return Remind, nil
	case isDue && s.Status == Active:
		return Complete, nil
	case isDue:
		return Expire, nil
	case w.taken(s) != nil:
		return TakeAway, nil
	case mayBeAbandoned(s, now):
		if err := w.of(s); err != nil {
			return Nothing, err
		}
		if unavailable, _ := w.unavailable(s, now); unavailable {
			return ReportUnavailable, nil
		}
	}
	return Nothing, nil
}

// Perform returns the event of the duty that is due, or neither event nor error if none is; and the state after it
// (aggregate.EndWith).
func Perform(
	s State, w World, terms Terms, by *lockboxv1.Actor, causationID string, now time.Time,
) (e *lockboxv1.Event, after State, err error) {
	duty, err := Owed(s, w, now)
	if duty == Nothing || err != nil {
		return nil, s, err
	}
	e = follow(s, by, causationID, now)
	switch duty {
	case Notify:
		e.Fact = notify(s, w, terms, now)
	case Remind:
		// After downtime, one reminder stands for all that fell due in the meantime.
		last := uint32(s.remindersBy(now) - 1) // #nosec G115 -- an index into a short list
		e.Fact = &lockboxv1.Event_ApprovalReminderDue{ApprovalReminderDue: &lockboxv1.ApprovalReminderDue{Index: last}}
		if _, i := s.Stage(); s.Status == AwaitingInternalApproval {
			e.Fact = &lockboxv1.Event_InternalReminderDue{InternalReminderDue: &lockboxv1.InternalReminderDue{Stage: uint32(i), Index: last}} // #nosec G115 -- an index into a short list
		}
	case Expire:
		e.Fact = &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}
		if s.Status == AwaitingInternalApproval {
			e.Fact = &lockboxv1.Event_InternalApprovalExpired{InternalApprovalExpired: &lockboxv1.InternalApprovalExpired{}}
		}
	case Grant:
		grant(s, w, terms, e, now)
	case Complete:
		e.Fact = &lockboxv1.Event_AccessCompleted{AccessCompleted: &lockboxv1.AccessCompleted{}}
	case TakeAway:
		e.Fact = &lockboxv1.Event_AccessRevoked{AccessRevoked: w.taken(s)}
	case ReportUnavailable:
		_, why := w.unavailable(s, now)
		e.Fact = &lockboxv1.Event_ApproversUnavailable{ApproversUnavailable: &lockboxv1.ApproversUnavailable{
			TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(), CodedReason: why,
		}}
	}
	return aggregate.EndWith(s, e, Evolve)
}

func notify(s State, w World, terms Terms, now time.Time) *lockboxv1.Event_CustomerNotified {
	a := tenant.Resolve(w.Tenant, w.Subscription, s.Requester.GetPerson(), now)
	within, before := s.asked(terms)
	n := &lockboxv1.CustomerNotified{
		Scope: a.Scope, Basis: a.Basis, Approvers: a.People, Excluded: a.Excluded,
		Alternates:        w.Tenant.Settings.GetAlternates(),
		RequiredApprovals: uint32(a.Required), ExpiresAt: timestamp(now.Add(within)), // #nosec G115 -- at most ten
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(), TenantName: w.Tenant.Name,
	}
	if w.Subscription != nil {
		n.SubscriptionName = w.Subscription.Name
	}
	n.RemindAt = remindAt(now, within, before)
	return &lockboxv1.Event_CustomerNotified{CustomerNotified: n}
}

// asked returns how long the customer has to answer, and how long before the end they are reminded.
func (s State) asked(terms Terms) (within time.Duration, before []*durationpb.Duration) {
	if v := s.Evaluation; v.GetCustomerAnswerWithin() != nil { // absent in evaluations of older versions
		return v.GetCustomerAnswerWithin().AsDuration(), v.GetCustomerRemindBefore()
	}
	return terms.CustomerApproval, terms.Reminders()
}

// remindAt returns when approvers are reminded who have so long to answer from now on.
func remindAt(now time.Time, within time.Duration, before []*durationpb.Duration) (at []*timestamppb.Timestamp) {
	for _, d := range before {
		if d.AsDuration() < within {
			at = append(at, timestamp(now.Add(within-d.AsDuration())))
		}
	}
	return at
}

// grant grants access if its basis still holds at now; otherwise it lets the request lapse and records why.
func grant(s State, w World, terms Terms, e *lockboxv1.Event, now time.Time) {
	duration, resources := s.Allowed()
	why, recorded := w.basisGone(s, now)
	if why == 0 && s.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED && duration > terms.Longest(s.Intent) {
		why, recorded = lockboxv1.ReasonCode_REASON_CODE_LONGER_THAN_ALLOWED,
			"without the customer, access is never longer than the provider's terms" // R27
	}
	if why != 0 {
		f := &lockboxv1.AccessLapsed{
			Reason: recorded, CodedReason: &lockboxv1.Reason{Code: why},
			TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
			OwnershipSequence: w.Ownership.Sequence, TicketSequence: w.ticketSequence(s),
		}
		if why == lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED {
			f.TicketClosedBy = w.Ticket.ClosedBy
		}
		e.Fact = &lockboxv1.Event_AccessLapsed{AccessLapsed: f}
		return
	}
	g := &lockboxv1.AccessGranted{
		StartsAt: timestamp(now), EndsAt: timestamp(now.Add(duration)), ResourceIds: resources, Waiver: s.Waiver(),
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
		OwnershipSequence: w.Ownership.Sequence,
		ResourceType:      s.Intent.GetResourceType(), Scenario: s.Intent.GetScenario(), Mode: s.mode(),
		EndsWithTicket: EndsWithTicket(s, w.Tenant), TicketSequence: w.ticketSequence(s),
	}
	if s.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		g.ReportAt = timestamp(terms.reportAt(now))
	}
	e.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: g}
}
