package invariant

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// oneDecision is I2: a request is decided at most once, and ends at most once.
func oneDecision(_ *book, of aggregate.Key, events []Recorded, broken say) {
	seen := map[string]bool{}
	once := func(r Recorded, what string) {
		if seen[what] {
			broken("I2", r, "%s a second time", what)
		}
		seen[what] = true
	}
	for i, r := range events {
		q := request{of, events}
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_AccessRequested:
			once(r, "requested")
		case *lockboxv1.Event_AccessEvaluated:
			once(r, "evaluated")
			if f.AccessEvaluated.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED {
				once(r, "decided")
			}
		case *lockboxv1.Event_CustomerNotified:
			once(r, "put to the customer")
		case *lockboxv1.Event_CustomerApproved:
			if q.before(i + 1).quorum() {
				once(r, "decided")
			}
		case *lockboxv1.Event_InternalApprovalRefused, *lockboxv1.Event_InternalApprovalExpired,
			*lockboxv1.Event_CustomerDenied,
			*lockboxv1.Event_RequestExpired, *lockboxv1.Event_RequestWithdrawn:
			once(r, "decided")
			once(r, "ended")
		case *lockboxv1.Event_AccessGranted:
			once(r, "granted")
			if seen["ended"] {
				broken("I2", r, "granted after its end")
			}
		case *lockboxv1.Event_AccessLapsed, *lockboxv1.Event_AccessRevoked, *lockboxv1.Event_AccessReleased,
			*lockboxv1.Event_AccessCompleted:
			once(r, "ended")
		}
	}
}

// wait is the deadline that a request is waiting for, if any.
type wait struct {
	until time.Time
	open  bool
}

// next returns the deadline that the request is waiting for after event i.
func (q request) next(i int, now wait) wait {
	switch f := q.events[i].Event.GetFact().(type) {
	case *lockboxv1.Event_AccessEvaluated:
		return wait{q.answerBy(i), len(f.AccessEvaluated.GetInternalStages()) > 0}
	case *lockboxv1.Event_InternalApprovalGiven:
		return wait{q.before(i + 1).answerBy(i), !q.before(i + 1).cleared()}
	case *lockboxv1.Event_CustomerNotified:
		return wait{f.CustomerNotified.GetExpiresAt().AsTime(), true}
	case *lockboxv1.Event_CustomerApproved:
		now.open = !q.before(i + 1).quorum()
	case *lockboxv1.Event_AccessGranted:
		return wait{f.AccessGranted.GetEndsAt().AsTime(), true}
	case *lockboxv1.Event_InternalReminderDue, *lockboxv1.Event_ApprovalReminderDue, *lockboxv1.Event_ApproversUnavailable,
		*lockboxv1.Event_QuestionAsked, *lockboxv1.Event_QuestionAnswered:
	default:
		now.open = false
	}
	return now
}

// passes reports whether the event records that a deadline has passed.
func passes(r Recorded) bool {
	return r.Event.GetInternalApprovalExpired() != nil || r.Event.GetRequestExpired() != nil ||
		r.Event.GetAccessCompleted() != nil
}

// nothingPastDeadline is I3 as far as the events' own times show it: only an expiry follows a deadline, and no expiry
// comes early.
func nothingPastDeadline(_ *book, of aggregate.Key, events []Recorded, broken say) {
	request{of, events}.pastDeadline(0, broken)
}

// afterAsking is nothingPastDeadline from the customer's being asked or the grant on: what was before has its deadline
// from the evaluation.
func (q request) afterAsking(broken say) {
	if from := slices.IndexFunc(q.events, func(r Recorded) bool {
		return r.Event.GetCustomerNotified() != nil || r.Event.GetAccessGranted() != nil
	}); from >= 0 {
		q.pastDeadline(from+1, broken)
	}
}

// pastDeadline checks the events from one on.
func (q request) pastDeadline(from int, broken say) {
	waits := wait{}
	for i := range q.events {
		if i >= from {
			q.inTime(i, waits, broken)
		}
		waits = q.next(i, waits)
	}
}

// inTime checks event i, for which the request was waiting until a deadline.
func (q request) inTime(i int, waits wait, broken say) {
	r := q.events[i]
	early := instant(r).Before(waits.until)
	switch {
	case passes(r) && (!waits.open || early):
		broken("I3", r, "said to be over before %s", waits.until)
	case waits.open && !passes(r) && !early:
		broken("I3", r, "at or after the deadline %s", waits.until)
	}
	if due := r.Event.GetApprovalReminderDue(); due != nil {
		if at := q.before(i).notified().GetRemindAt(); int(due.GetIndex()) >= len(at) ||
			instant(r).Before(at[due.GetIndex()].AsTime()) {
			broken("I3", r, "reminds before the time")
		}
	}
	if due := r.Event.GetInternalReminderDue(); due != nil {
		before := q.evaluation().GetInternalRemindBefore()
		if !waits.open || int(due.GetIndex()) >= len(before) ||
			instant(r).Before(waits.until.Add(-before[due.GetIndex()].AsDuration())) {
			broken("I3", r, "reminds before the time")
		}
	}
}

// Late finds expiries that were not recorded within the given time after their deadline, or are still missing at now:
// the part of I3 that needs a clock.
func Late(history []Recorded, within time.Duration, now time.Time) []Violation {
	return read(history).each(func(_ *book, of aggregate.Key, events []Recorded, broken say) {
		if of.Kind != aggregate.KindRequest {
			return
		}
		q, waits := request{of, events}, wait{}
		for i, r := range events {
			if late := instant(r).Sub(waits.until); waits.open && passes(r) && late > within {
				broken("I3", r, "%s after the deadline %s", late, waits.until)
			}
			waits = q.next(i, waits)
		}
		if late := now.Sub(waits.until); waits.open && late > within {
			broken("I3", events[len(events)-1], "nothing says that the deadline %s passed %s ago", waits.until, late)
		}
	})
}

// grantWithinPolicy is I4: a grant is no longer and no wider than requested, evaluated and approved (R27).
func grantWithinPolicy(b *book, of aggregate.Key, events []Recorded, broken say) {
	for i, r := range events {
		g := r.Event.GetAccessGranted()
		if g == nil {
			continue
		}
		q := request{of, events}.before(i)
		b.within(q, r, []time.Duration{q.evaluation().GetDuration().AsDuration()}, broken)
		if !q.names(g) {
			broken("I4", r, "is for %s of %s, %s, and that was not evaluated", g.GetScenario(), g.GetResourceType(),
				g.GetMode())
		}
	}
}

// within checks that a grant is no longer and no wider than requested and approved, nor longer than any of the limits.
func (b *book) within(q request, grant Recorded, limits []time.Duration, broken say) {
	g := grant.Event.GetAccessGranted()
	if asked := q.intent().GetDuration(); asked != nil {
		limits = append(limits, asked.AsDuration())
	}
	reach := [][]string{q.intent().GetResourceIds()}
	for _, yes := range q.approvals() {
		limits = append(limits, yes.Event.GetCustomerApproved().GetDuration().AsDuration())
		reach = append(reach, yes.Event.GetCustomerApproved().GetResourceIds())
	}
	lasts := g.GetEndsAt().AsTime().Sub(g.GetStartsAt().AsTime())
	if lasts <= 0 {
		broken("I4", grant, "lasts %s", lasts)
	} else if len(limits) > 0 && lasts > slices.Min(limits) {
		broken("I4", grant, "lasts %s where %s was allowed", lasts, slices.Min(limits))
	}
	if !g.GetStartsAt().AsTime().Equal(instant(grant)) {
		broken("I4", grant, "begins at another time than it was given")
	}
	for _, id := range g.GetResourceIds() {
		sameAs := func(other string) bool { return plain(other) == plain(id) }
		if slices.ContainsFunc(reach, func(allowed []string) bool { return !slices.ContainsFunc(allowed, sameAs) }) {
			broken("I4", grant, "reaches %s, which not everybody allowed", id)
		}
	}
}

// plain returns the id of a resource without what Azure Resource Manager does not distinguish: the case of ASCII
// letters, and a slash at the end.
func plain(id string) string {
	return strings.TrimSuffix(strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return unicode.ToLower(r)
		}
		return r
	}, id), "/")
}

// nobodyForThemselves is I10: nobody decides their own request, internally or for the customer, and none of the
// provider's people decides for the customer or holds a role there.
func nobodyForThemselves(b *book, of aggregate.Key, events []Recorded, broken say) {
	home := b.about[aggregate.Tenant(of.Tenant)]
	ofTheTenant := func(r Recorded, a *lockboxv1.RoleAssignment) {
		if len(home) == 0 || !b.couldSignIn(of.Tenant, a.GetPerson().GetIssuer(), r) {
			broken("I10", r, "%s, who is not of the tenant, got a role", a.GetPerson().GetSubject())
		}
	}
	for i, r := range events {
		by, q := r.Event.GetActor(), request{of, events}
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_InternalApprovalGiven, *lockboxv1.Event_InternalApprovalRefused:
			if by.GetSide() != lockboxv1.Side_SIDE_PROVIDER || oneHuman(by.GetPerson(), q.requester()) {
				broken("I10", r, "%s decided internally", by.GetPerson().GetSubject())
			}
		case *lockboxv1.Event_CustomerApproved, *lockboxv1.Event_CustomerDenied, *lockboxv1.Event_QuestionAsked:
			if by.GetSide() != lockboxv1.Side_SIDE_TENANT || by.GetPerson().GetIssuer() == q.requester().GetIssuer() ||
				!isFrozen(q.before(i).notified(), by.GetPerson()) {
				broken("I10", r, "%s spoke for the customer", by.GetPerson().GetSubject())
			}
		case *lockboxv1.Event_CustomerNotified:
			for _, a := range f.CustomerNotified.GetApprovers() {
				if a.GetPerson().GetIssuer() == q.requester().GetIssuer() {
					broken("I10", r, "%s of the provider is to decide for the customer", a.GetPerson().GetSubject())
				}
			}
		case *lockboxv1.Event_TenantCreated:
			if first := f.TenantCreated.GetAdministrator(); first != nil {
				ofTheTenant(r, first)
			}
		case *lockboxv1.Event_InvitationConfirmed:
			ofTheTenant(r, f.InvitationConfirmed.GetAssignment())
		case *lockboxv1.Event_RoleAssigned:
			if a := f.RoleAssigned.GetAssignment(); a.GetGroup() == "" { // a group is nobody
				ofTheTenant(r, a)
			}
		case *lockboxv1.Event_RoleActivated:
			if a := f.RoleActivated.GetAssignment(); a != nil {
				ofTheTenant(r, a)
			}
		}
	}
}

// How far an event's time may differ from its storage time: a service whose clock is further ahead refuses to decide,
// and an append times out long before it could be that late.
const (
	maxAhead = 2 * time.Second
	maxLate  = 2 * time.Minute
)

// Backwards is by how much an event's time may be before that of one that was stored earlier: either may differ from
// its own storage time.
const Backwards = maxAhead + maxLate

// timely compares each event's own time, which decides about deadlines (I3), with the time at which the bus stored it,
// if known: it detects backdated and postdated events.
func timely(b *book, _ aggregate.Key, events []Recorded, broken say) {
	for _, r := range events {
		if r.Stored.IsZero() || r.Sequence <= b.restored {
			continue
		}
		switch late := r.Stored.Sub(r.Event.GetTime().AsTime()); {
		case late < -maxAhead:
			broken("I3", r, "it is made out for a time %s after it was stored", -late)
		case late > maxLate:
			broken("I3", r, "it is made out for a time %s before it was stored", late)
		}
	}
}
