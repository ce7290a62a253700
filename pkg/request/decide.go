package request

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const maxQuestions = 20

// Decide says what somebody's command makes true of the request. No events and no error: it is so already.
func Decide(s State, c aggregate.Command, w World, now time.Time) ([]*lockboxv1.Event, error) {
	if s.Fault != nil {
		return nil, refusal.Precondition("aggregate_id", "I6", "the request's history contradicts itself at sequence %d (%s)", s.Fault.Sequence, s.Fault.Rule)
	}
	if s.Status == None {
		return nil, NotFound()
	}
	if _, seen := s.Caused(c.GetId()); seen {
		return nil, nil
	}
	if err := concerns(s, c, w, now); err != nil {
		return nil, err
	}
	if seen := c.GetSeenVersion(); seen != 0 && seen < s.material {
		return nil, refusal.Conflict("seen_version", "R29", "it has changed since you saw it: version %d then, %d now", seen, s.Version)
	}
	e := follow(s, c.By, c.GetId(), now)
	var err error
	var already bool
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_Withdraw:
		already, err = withdraw(s, a.Withdraw, e, now)
	case *lockboxv1.Command_Release:
		already, err = release(s, a.Release, e, now)
	case *lockboxv1.Command_InternalApprove:
		already, err = internalApprove(s, c.By, a.InternalApprove, e, now)
	case *lockboxv1.Command_InternalRefuse:
		already, err = internalRefuse(s, c.By, a.InternalRefuse, e, now)
	case *lockboxv1.Command_Answer:
		already, err = answer(s, a.Answer, e, now)
	case *lockboxv1.Command_Ask:
		err = ask(s, c, a.Ask, e, now)
	case *lockboxv1.Command_Approve:
		already, err = approve(s, c.By, a.Approve, w, e, now)
	case *lockboxv1.Command_Deny:
		already, err = deny(s, c.By, a.Deny, w, e, now)
	case *lockboxv1.Command_Revoke:
		already, err = revoke(s, c.By, a.Revoke, e, now)
	default:
		err = refusal.Invalid("action", "bad input", "this command is not about a request")
	}
	if err != nil || already {
		return nil, err
	}
	return checked(s, e)
}

// NotFound is what everybody hears who has nothing to do with a request, whether it exists or not (I9).
func NotFound() error {
	return refusal.NotFound("aggregate_id", "I9", "there is no such request")
}

// concerns refuses whoever may not give this command at all, before anything is said about the request's state.
func concerns(s State, c aggregate.Command, w World, now time.Time) error {
	switch c.GetAction().(type) {
	case *lockboxv1.Command_Withdraw, *lockboxv1.Command_Release, *lockboxv1.Command_Answer:
		if !aggregate.Provider(c.By) || !same(c.By, s.Requester) {
			return refusal.Forbidden("token", "R32", "only the requester may do this")
		}
	case *lockboxv1.Command_InternalApprove, *lockboxv1.Command_InternalRefuse:
		if !aggregate.Provider(c.By) {
			return refusal.Forbidden("token", "R15", "internal approval is given by the provider's people")
		}
		if same(c.By, s.Requester) {
			return refusal.Forbidden("token", "I10", "nobody decides their own request")
		}
		if !slices.ContainsFunc(s.Evaluation.GetInternalStages(), func(st *lockboxv1.InternalStage) bool { return aggregate.Provider(c.By, st.GetGroup()) }) {
			return refusal.Forbidden("token", "R15", "you are in none of the groups that are asked")
		}
	case *lockboxv1.Command_Approve, *lockboxv1.Command_Deny:
		if err := mayDecide(s, c.By, w, now); err != nil {
			return err
		}
		return w.Tenant.Fresh(c.By, now)
	case *lockboxv1.Command_Ask:
		return mayDecide(s, c.By, w, now)
	case *lockboxv1.Command_Revoke:
		return mayRevoke(s, c.By, w, now)
	}
	return nil
}

// mayDecide holds the conditions of R20, I9 and I10 on a person who wants to decide for the customer.
func mayDecide(s State, by *lockboxv1.Actor, w World, now time.Time) error {
	switch {
	case by.GetSide() != lockboxv1.Side_SIDE_TENANT:
		return refusal.Forbidden("token", "I10", "nobody of the provider decides for the customer")
	case same(by, s.Requester):
		return refusal.Forbidden("token", "I10", "nobody decides their own request")
	}
	if err := w.of(s); err != nil {
		return err
	}
	switch {
	case s.Notified == nil || !w.knows(by):
		return NotFound() // The customer has not been asked, or this is not the customer: there is nothing to see.
	case frozen(s.Notified, by.GetPerson()) == nil:
		return refusal.Forbidden("token", "R20", "you were not an approver when this request was created")
	case len(w.deciding(s.Notified, by.GetPerson(), now)) == 0:
		return refusal.Forbidden("token", "R20", "you were an approver when this request was created, but hold no active role for it now")
	}
	return nil
}

// mayRevoke lets the customer's deciders of today take access away, frozen or not, and the security officer (R32).
func mayRevoke(s State, by *lockboxv1.Actor, w World, now time.Time) error {
	if aggregate.Provider(by, aggregate.SecurityOfficers) {
		return nil
	}
	if by.GetSide() == lockboxv1.Side_SIDE_TENANT {
		if err := w.of(s); err != nil {
			return err
		}
		if !w.knows(by) {
			return NotFound()
		}
		anyRole := lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
		if len(tenant.Deciding(w.Tenant, w.Subscription, anyRole, by.GetPerson(), now)) > 0 {
			return w.Tenant.Fresh(by, now)
		}
	}
	return refusal.Forbidden("token", "R32", "access is revoked by the customer's approvers and administrators or the provider's security officer")
}

func mayDecideInternally(s State, stage *lockboxv1.InternalStage, by *lockboxv1.Actor) bool {
	return stage != nil && aggregate.Provider(by, stage.GetGroup()) && !same(by, s.Requester) && decision(s.InternalDecisions, by) == nil
}

// pending refuses what comes too late or too early for the customer's decision.
func pending(s State, now time.Time) error {
	switch s.Status {
	case CustomerNotified:
		return late(s, "R26", now)
	case Expired:
		return refusal.Precondition("aggregate_id", "R26", "%s", Outcome(s))
	}
	return refusal.Conflict("aggregate_id", "R29", "%s", Outcome(s))
}

// late refuses what comes at or after the deadline, whether the expiry was recorded yet or not.
func late(s State, rule string, now time.Time) error {
	if due, waits := s.deadline(); waits && !now.Before(due) {
		return refusal.Precondition("aggregate_id", rule, "expired at %s, when the time to answer was over", stamp(due))
	}
	return nil
}

func approve(s State, by *lockboxv1.Actor, a *lockboxv1.Approve, w World, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if decision(s.Approvals(), by) != nil && s.Status != Denied && s.Status != Expired && s.Status != Withdrawn {
		return true, nil
	}
	if err := pending(s, now); err != nil {
		return false, err
	}
	if err := input.Text("approve.reason", a.GetReason(), 0, 4000); err != nil {
		return false, err
	}
	d := &lockboxv1.Decision{Actor: by, Approved: true, Duration: a.GetDuration(), ResourceIds: a.GetResourceIds()}
	if d.GetDuration() == nil {
		d.Duration = s.Evaluation.GetDuration()
	}
	if len(d.GetResourceIds()) == 0 {
		d.ResourceIds = s.Intent.GetResourceIds()
	}
	if !d.GetDuration().IsValid() {
		return false, refusal.Invalid("approve.duration", "R27", "is not a duration")
	}
	if field, rule := narrows(s, d); rule != "" {
		return false, refusal.Invalid("approve."+field, "R27", "%s", rule)
	}
	e.Fact = &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
		Reason: a.GetReason(), Duration: d.GetDuration(), ResourceIds: d.GetResourceIds(),
		Roles:          w.deciding(s.Notified, by.GetPerson(), now),
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
	}}
	return false, nil
}

func deny(s State, by *lockboxv1.Actor, d *lockboxv1.Deny, w World, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if s.Status == Denied && same(s.EndedBy, by) {
		return true, nil
	}
	if err := pending(s, now); err != nil {
		return false, err
	}
	if err := reason("deny.reason", "R28", d.GetReason()); err != nil {
		return false, err
	}
	e.Fact = &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{
		Reason: d.GetReason(), Roles: w.deciding(s.Notified, by.GetPerson(), now),
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
	}}
	return false, nil
}

func revoke(s State, by *lockboxv1.Actor, r *lockboxv1.Revoke, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if s.Status == Revoked && same(s.EndedBy, by) {
		return true, nil
	}
	if err := granted(s, now, true); err != nil {
		return false, err
	}
	if err := reason("revoke.reason", "R32", r.GetReason()); err != nil {
		return false, err
	}
	e.Fact = &lockboxv1.Event_AccessRevoked{AccessRevoked: &lockboxv1.AccessRevoked{Reason: r.GetReason()}}
	return false, nil
}

func release(s State, r *lockboxv1.Release, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if s.Status == Released {
		return true, nil
	}
	if err := granted(s, now, false); err != nil {
		return false, err
	}
	e.Fact = &lockboxv1.Event_AccessReleased{AccessReleased: &lockboxv1.AccessReleased{Reason: r.GetReason()}}
	return false, input.Text("release.reason", r.GetReason(), 0, 4000)
}

// granted refuses unless there is access to take away, or with soon, access about to begin.
func granted(s State, now time.Time, soon bool) error {
	switch {
	case soon && s.Status == Approved:
		return nil
	case s.Status != Active:
		return refusal.Precondition("aggregate_id", "R32", "there is no access to take away: %s", Outcome(s))
	case !now.Before(s.Grant.GetEndsAt().AsTime()):
		return refusal.Precondition("aggregate_id", "R32", "access ended by itself at %s", stamp(s.Grant.GetEndsAt().AsTime()))
	}
	return nil
}

func withdraw(s State, a *lockboxv1.Withdraw, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if s.Status == Withdrawn {
		return true, nil
	}
	if !slices.Contains(whilePending, s.Status) {
		return false, refusal.Conflict("aggregate_id", "R32", "only a request that is not decided is withdrawn: %s", Outcome(s))
	}
	if err := late(s, "R26", now); err != nil {
		return false, err
	}
	e.Fact = &lockboxv1.Event_RequestWithdrawn{RequestWithdrawn: &lockboxv1.RequestWithdrawn{Reason: a.GetReason()}}
	return false, input.Text("withdraw.reason", a.GetReason(), 0, 4000)
}

func internalApprove(s State, by *lockboxv1.Actor, a *lockboxv1.InternalApprove, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if d := decision(s.InternalDecisions, by); d.GetApproved() {
		return true, nil
	}
	stage, err := internalStage(s, by, now)
	if err != nil {
		return false, err
	}
	e.Fact = &lockboxv1.Event_InternalApprovalGiven{InternalApprovalGiven: &lockboxv1.InternalApprovalGiven{Stage: stage, Comment: a.GetComment()}}
	return false, input.Text("internal_approve.comment", a.GetComment(), 0, 4000)
}

func internalRefuse(s State, by *lockboxv1.Actor, a *lockboxv1.InternalRefuse, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if s.Status == InternallyDenied && same(s.EndedBy, by) {
		return true, nil
	}
	stage, err := internalStage(s, by, now)
	if err != nil {
		return false, err
	}
	e.Fact = &lockboxv1.Event_InternalApprovalRefused{InternalApprovalRefused: &lockboxv1.InternalApprovalRefused{Stage: stage, Reason: a.GetReason()}}
	return false, reason("internal_refuse.reason", "R15", a.GetReason())
}

func internalStage(s State, by *lockboxv1.Actor, now time.Time) (uint32, error) {
	switch s.Status {
	case AwaitingInternalApproval:
	case InternalExpired:
		return 0, refusal.Precondition("aggregate_id", "R15", "%s", Outcome(s))
	default:
		return 0, refusal.Conflict("aggregate_id", "R15", "no internal approval is waiting: %s", Outcome(s))
	}
	if err := late(s, "R15", now); err != nil {
		return 0, err
	}
	stage, i := s.Stage()
	if !mayDecideInternally(s, stage, by) {
		return 0, refusal.Forbidden("token", "R15", "the %s decide at this stage, each of them once", stage.GetGroup())
	}
	return uint32(i), nil // #nosec G115 -- an index into a short list
}

func ask(s State, c aggregate.Command, a *lockboxv1.Ask, e *lockboxv1.Event, now time.Time) error {
	if err := pending(s, now); err != nil {
		return err
	}
	if len(s.Questions) >= maxQuestions {
		return refusal.Precondition("ask.text", "R31", "at most %d questions are asked about one request", maxQuestions)
	}
	e.Fact = &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{QuestionId: c.GetId(), Text: a.GetText()}}
	return input.Text("ask.text", a.GetText(), 1, 4000)
}

func answer(s State, a *lockboxv1.Answer, e *lockboxv1.Event, now time.Time) (already bool, err error) {
	if err := pending(s, now); err != nil {
		return false, err
	}
	i := slices.IndexFunc(s.Questions, func(q *lockboxv1.Question) bool { return q.GetQuestionId() == a.GetQuestionId() })
	if i < 0 {
		return false, refusal.NotFound("answer.question_id", "R31", "there is no such question")
	}
	if q := s.Questions[i]; q.GetAnswerer() != nil {
		if q.GetAnswer() == a.GetText() {
			return true, nil
		}
		return false, refusal.Conflict("answer.question_id", "R31", "answered already at %s", stamp(q.GetAnsweredAt().AsTime()))
	}
	e.Fact = &lockboxv1.Event_QuestionAnswered{QuestionAnswered: &lockboxv1.QuestionAnswered{QuestionId: a.GetQuestionId(), Text: a.GetText()}}
	return false, input.Text("answer.text", a.GetText(), 1, 4000)
}

func reason(field, rule, text string) error {
	if err := input.Text(field, text, 1, 4000); err != nil {
		r, _ := refusal.As(err)
		return refusal.Invalid(field, rule, "%s", r.GetMessage())
	}
	return nil
}

// Perform does what is owed to a request. No events and no error: it is not owed any more.
func Perform(s State, duty Duty, w World, terms Terms, by *lockboxv1.Actor, causationID string, now time.Time) ([]*lockboxv1.Event, error) {
	due := slices.Contains(Owed(s, now), duty)
	if duty == CheckApprovers {
		due = mayBeAbandoned(s, now)
	}
	if !due {
		return nil, nil
	}
	if duty == Notify || duty == Grant || duty == CheckApprovers {
		if err := w.of(s); err != nil {
			return nil, err
		}
	}
	e := follow(s, by, causationID, now)
	switch duty {
	case Notify:
		e.Fact = notify(s, w, terms, now)
	case Remind:
		// After a pause, one reminder stands for all that were due in it.
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
	case CheckApprovers:
		if w.anybodyLeft(s, now) {
			return nil, nil
		}
		e.Fact = &lockboxv1.Event_ApproversUnavailable{ApproversUnavailable: &lockboxv1.ApproversUnavailable{
			TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
		}}
	}
	return checked(s, e)
}

func notify(s State, w World, terms Terms, now time.Time) *lockboxv1.Event_CustomerNotified {
	a := tenant.Resolve(w.Tenant, w.Subscription, s.Requester.GetPerson(), now)
	n := &lockboxv1.CustomerNotified{
		Scope: a.Scope, Basis: a.Basis, Approvers: a.People, Excluded: a.Excluded, Alternates: w.Tenant.Settings.GetAlternates(),
		RequiredApprovals: uint32(a.Required), ExpiresAt: timestamp(now.Add(terms.CustomerApproval)), // #nosec G115 -- at most ten
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(), TenantName: w.Tenant.Name,
	}
	if w.Subscription != nil {
		n.SubscriptionName = w.Subscription.Name
	}
	before := slices.Clone(terms.RemindBefore)
	slices.Sort(before)
	for _, d := range slices.Backward(before) {
		if d > 0 && d < terms.CustomerApproval {
			n.RemindAt = append(n.RemindAt, timestamp(now.Add(terms.CustomerApproval-d)))
		}
	}
	return &lockboxv1.Event_CustomerNotified{CustomerNotified: n}
}

// grant gives access if its basis still holds at now, and otherwise lets the request lapse, saying why.
func grant(s State, w World, terms Terms, e *lockboxv1.Event, now time.Time) {
	duration, resources := s.Allowed()
	why, recorded := w.basisGone(s, now)
	if why == 0 && s.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED && duration > terms.Longest(s.Intent) {
		why, recorded = lockboxv1.ReasonCode_REASON_CODE_LONGER_THAN_ALLOWED,
			"without the customer, access is never longer than the provider's terms (R27)"
	}
	if why != 0 {
		e.Fact = &lockboxv1.Event_AccessLapsed{AccessLapsed: &lockboxv1.AccessLapsed{
			Reason: recorded, CodedReason: &lockboxv1.Reason{Code: why},
			TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
		}}
		return
	}
	e.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
		StartsAt: timestamp(now), EndsAt: timestamp(now.Add(duration)), ResourceIds: resources, Waiver: s.Waiver(),
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
	}}
}
