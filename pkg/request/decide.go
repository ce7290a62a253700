package request

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const maxQuestions = 20

// Decide returns the event that results from a person's command, or neither event nor error if it would change nothing;
// and the state after it (aggregate.EndWith).
func Decide(s State, c aggregate.Command, w World, now time.Time) (e *lockboxv1.Event, after State, err error) {
	e, err = s.Begin(c, s.material, func() error { return concerns(s, c, w, now) }, now)
	if e == nil || err != nil {
		return nil, s, meanwhile(s, err)
	}
	e.CorrelationId, e.TraceParent = s.ID, s.Intent.GetTraceParent()
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_Withdraw:
		err = withdraw(s, a.Withdraw, e, now)
	case *lockboxv1.Command_Release:
		err = release(s, a.Release, e, now)
	case *lockboxv1.Command_InternalApprove:
		err = internalApprove(s, c.By, a.InternalApprove, e, now)
	case *lockboxv1.Command_InternalRefuse:
		err = internalRefuse(s, c.By, a.InternalRefuse, e, now)
	case *lockboxv1.Command_Answer:
		err = answer(s, a.Answer, e, now)
	case *lockboxv1.Command_Ask:
		err = ask(s, c, a.Ask, e, now)
	case *lockboxv1.Command_Approve:
		err = approve(s, c.By, a.Approve, w, e, now)
	case *lockboxv1.Command_Deny:
		err = deny(s, c.By, a.Deny, w, e, now)
	case *lockboxv1.Command_Revoke:
		err = revoke(s, c.By, a.Revoke, e, now)
	default:
		err = refusal.Invalid("action", "bad input", "this command is not about a request")
	}
	if err == nil {
		err = w.sign(c, e, now)
	}
	if err != nil {
		return nil, s, err
	}
	return aggregate.EndWith(s, e, Evolve)
}

// NotFound is the answer to callers who have no part in a request, whether it exists or not (I9).
func NotFound() error {
	return refusal.OfKind(refusal.NotFound("aggregate_id", "I9", "there is no such request"), "request")
}

// concerns refuses callers who may not give this command at all, before anything is revealed about the request's state.
func concerns(s State, c aggregate.Command, w World, now time.Time) error {
	if s.Status == None {
		return NotFound()
	}
	switch c.GetAction().(type) {
	case *lockboxv1.Command_Withdraw, *lockboxv1.Command_Release, *lockboxv1.Command_Answer:
		if !aggregate.Provider(c.By) || !same(c.By, s.Requester) {
			return refusal.Because(refusal.Forbidden("token", "R32", "only the requester may do this"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_REQUESTER_ONLY))
		}
	case *lockboxv1.Command_InternalApprove, *lockboxv1.Command_InternalRefuse:
		if !aggregate.Provider(c.By) {
			return refusal.Because(refusal.Forbidden("token", "R15", "internal approval is given by the provider's people"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_PROVIDERS_PEOPLE_ONLY))
		}
		if err := ownRequest(s, c.By); err != nil {
			return err
		}
		if !slices.ContainsFunc(s.Evaluation.GetInternalStages(),
			func(st *lockboxv1.InternalStage) bool { return aggregate.Provider(c.By, st.GetGroup()) }) {
			return refusal.Because(refusal.Forbidden("token", "R15", "you are in none of the groups that are asked"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_IN_NO_GROUP_ASKED))
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

// mayDecide checks the conditions of R20, I9 and I10 for a person who wants to decide for the customer.
func mayDecide(s State, by *lockboxv1.Actor, w World, now time.Time) error {
	if by.GetSide() != lockboxv1.Side_SIDE_TENANT {
		return refusal.Because(refusal.Forbidden("token", "I10", "nobody of the provider decides for the customer"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_CUSTOMERS_PEOPLE_ONLY))
	}
	if err := ownRequest(s, by); err != nil {
		return err
	}
	if err := w.of(s); err != nil {
		return err
	}
	switch {
	case s.Notified == nil || !w.knows(by):
		return NotFound() // The customer has not been asked, or this is not the customer: there is nothing to see.
	case frozen(s.Notified, by.GetPerson()) == nil:
		return refusal.Because(refusal.Forbidden("token", "R20",
			"you were not an approver when this request was created"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NOT_AMONG_THOSE_ASKED))
	case len(w.deciding(s.Notified, by.GetPerson(), now)) == 0:
		return refusal.Because(refusal.Forbidden("token", "R20",
			"you were an approver when this request was created, but hold no active role for it now"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NO_ACTIVE_ROLE_NOW))
	}
	return nil
}

// ownRequest refuses the human who made the request, whatever account they use, and anybody with the requester's
// address (I10, R51).
func ownRequest(s State, by *lockboxv1.Actor) error {
	switch {
	case same(by, s.Requester):
		return refusal.Because(refusal.Forbidden("token", "I10", "nobody decides their own request"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_YOUR_OWN_REQUEST))
	case sameHuman(by, s.Requester):
		return refusal.Because(refusal.Forbidden("token", "R51",
			"nobody decides their own request, and you made it with another account"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_YOUR_OWN_REQUEST_OTHER_ACCOUNT))
	case tenant.ShareAddress(by.GetPerson(), s.Requester.GetPerson()):
		return refusal.Because(refusal.Forbidden("token", "R51",
			"your e-mail address is the requester's, and nobody decides their own request"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_YOUR_ADDRESS_IS_THE_REQUESTERS))
	}
	return nil
}

// counted refuses a second approval by one human with another account (R51).
func counted() error {
	return refusal.Conflict("token", "R51",
		"you have approved this with another account already, and your approvals count once; somebody else has to approve")
}

// mayRevoke allows revocation by the customer's current approvers, frozen or not, and by the security officer (R32).
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
	return refusal.Because(refusal.Forbidden("token", "R32",
		"access is revoked by the customer's approvers and administrators or the provider's security officer"),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_MAY_NOT_REVOKE))
}

func mayDecideInternally(s State, stage *lockboxv1.InternalStage, by *lockboxv1.Actor) bool {
	return stage != nil && aggregate.Provider(by, stage.GetGroup()) && !sameHuman(by, s.Requester) &&
		decision(s.InternalDecisions, by) == nil
}

// pending refuses commands unless the request is waiting for the customer's decision.
func pending(s State, now time.Time) error {
	switch s.Status {
	case CustomerNotified:
		return late(s, "R26", now)
	case Expired:
		return refusal.Precondition("aggregate_id", "R26", "%s", Outcome(s))
	}
	return refusal.Conflict("aggregate_id", "R29", "%s", Outcome(s))
}

// late refuses commands at or after the deadline, whether or not the expiry has been recorded.
func late(s State, rule string, now time.Time) error {
	if due, waits := s.Deadline(); waits && !now.Before(due) {
		return refusal.OfKind(
			refusal.Precondition("aggregate_id", rule, "expired at %s, when the time to answer was over", stamp(due)),
			"late", "at", due.UTC().Format(time.RFC3339))
	}
	return nil
}

func approve(s State, by *lockboxv1.Actor, a *lockboxv1.Approve, w World, e *lockboxv1.Event, now time.Time) error {
	if d := decision(s.Approvals(), by); d != nil && slices.Contains(approvable, s.Status) {
		if !same(d.GetActor(), by) {
			return counted()
		}
		return repeats(d, s.Intent, a)
	}
	if err := pending(s, now); err != nil {
		return err
	}
	if err := Approve.check(a.GetReason()); err != nil {
		return err
	}
	d := &lockboxv1.Decision{
		Actor: by, Approved: true, Duration: a.GetDuration(),
		ResourceIds: asAsked(s.Intent.GetResourceIds(), a.GetResourceIds()),
	}
	if d.GetDuration() == nil {
		d.Duration = s.Evaluation.GetDuration()
	}
	if len(d.GetResourceIds()) == 0 {
		d.ResourceIds = s.Intent.GetResourceIds()
	}
	if !d.GetDuration().IsValid() {
		return refusal.OfKind(refusal.Invalid("approve.duration", "R27", "is not a duration"), "no-duration")
	}
	if field, rule := narrows(s, d); rule != "" {
		return refusal.Invalid("approve."+field, "R27", "%s", aggregate.Spoken(rule))
	}
	e.Fact = &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
		Reason: a.GetReason(), Duration: d.GetDuration(), ResourceIds: d.GetResourceIds(),
		Roles:          w.deciding(s.Notified, by.GetPerson(), now),
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
	}}
	return nil
}

// approvable are the states in which an approval still has its effect, so that giving it again changes nothing.
var approvable = []Status{CustomerNotified, Approved, Active}

// repeats refuses an approval by somebody who has approved on other terms: what they allowed stays as it is.
func repeats(d *lockboxv1.Decision, in *lockboxv1.AccessIntent, a *lockboxv1.Approve) error {
	resources := asAsked(in.GetResourceIds(), a.GetResourceIds())
	slices.Sort(resources)
	if a.GetDuration() != nil && a.GetDuration().AsDuration() != d.GetDuration().AsDuration() ||
		len(resources) > 0 && !slices.Equal(resources, slices.Sorted(slices.Values(d.GetResourceIds()))) {
		return refusal.Conflict("approve", "R29",
			"you have approved this already, on other terms, and they stay; deny or revoke it, and have it asked for again")
	}
	return nil
}

func deny(s State, by *lockboxv1.Actor, d *lockboxv1.Deny, w World, e *lockboxv1.Event, now time.Time) error {
	if s.Status == Denied && sameHuman(s.EndedBy, by) {
		return nil
	}
	if err := pending(s, now); err != nil {
		return err
	}
	if err := Deny.check(d.GetReason()); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{
		Reason: d.GetReason(), Roles: w.deciding(s.Notified, by.GetPerson(), now),
		TenantSequence: w.Tenant.Sequence, SubscriptionSequence: w.subscriptionSequence(),
	}}
	return nil
}

func revoke(s State, by *lockboxv1.Actor, r *lockboxv1.Revoke, e *lockboxv1.Event, now time.Time) error {
	if s.Status == Revoked && sameHuman(s.EndedBy, by) {
		return nil
	}
	if err := granted(s, now, true); err != nil {
		return err
	}
	if err := Revoke.check(r.GetReason()); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_AccessRevoked{AccessRevoked: &lockboxv1.AccessRevoked{Reason: r.GetReason()}}
	return nil
}

func release(s State, r *lockboxv1.Release, e *lockboxv1.Event, now time.Time) error {
	if s.Status == Released {
		return nil
	}
	if err := granted(s, now, false); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_AccessReleased{AccessReleased: &lockboxv1.AccessReleased{Reason: r.GetReason()}}
	return Release.check(r.GetReason())
}

// granted refuses unless access is active or, with soon, about to begin.
func granted(s State, now time.Time, soon bool) error {
	switch {
	case soon && s.Status == Approved:
		return nil
	case s.Status != Active:
		return refusal.Because(refusal.Precondition("aggregate_id", "R32",
			"there is no access to take away: %s", Outcome(s)),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NO_ACCESS_TO_END))
	case !now.Before(s.Grant.GetEndsAt().AsTime()):
		return refusal.Because(refusal.Precondition("aggregate_id", "R32", "access ended by itself at %s",
			stamp(s.Grant.GetEndsAt().AsTime())),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_ACCESS_ENDED_BY_ITSELF))
	}
	return nil
}

func withdraw(s State, a *lockboxv1.Withdraw, e *lockboxv1.Event, now time.Time) error {
	if s.Status == Withdrawn {
		return nil
	}
	if !slices.Contains(whilePending, s.Status) {
		return refusal.Conflict("aggregate_id", "R32", "only a request that is not decided is withdrawn: %s", Outcome(s))
	}
	if err := late(s, "R26", now); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_RequestWithdrawn{RequestWithdrawn: &lockboxv1.RequestWithdrawn{Reason: a.GetReason()}}
	return Withdraw.check(a.GetReason())
}

func internalApprove(
	s State, by *lockboxv1.Actor, a *lockboxv1.InternalApprove, e *lockboxv1.Event, now time.Time,
) error {
	if d := decision(s.InternalDecisions, by); d.GetApproved() && s.Status != InternallyDenied &&
		s.Status != InternalExpired && s.Status != Withdrawn {
		if !same(d.GetActor(), by) {
			return counted()
		}
		return nil
	}
	stage, err := internalStage(s, by, now)
	if err != nil {
		return err
	}
	if s.Waiver() == lockboxv1.Waiver_WAIVER_EMERGENCY &&
		LastInternal(s.Evaluation, len(s.InternalDecisions)) && strings.TrimSpace(a.GetComment()) == "" {
		return refusal.Invalid("internal_approve.comment", "R43",
			"say why: your approval starts access to the customer's data at once, and the customer is not asked")
	}
	e.Fact = &lockboxv1.Event_InternalApprovalGiven{InternalApprovalGiven: &lockboxv1.InternalApprovalGiven{Stage: stage,
		Comment: a.GetComment()}}
	return InternalApprove.check(a.GetComment())
}

// LastInternal reports whether one more internal approval completes all stages, when so many were given.
func LastInternal(e *lockboxv1.AccessEvaluated, given int) bool {
	needed := 0
	for _, stage := range e.GetInternalStages() {
		needed += int(stage.GetCount())
	}
	return needed > 0 && given+1 >= needed
}

func internalRefuse(
	s State, by *lockboxv1.Actor, a *lockboxv1.InternalRefuse, e *lockboxv1.Event, now time.Time,
) error {
	if s.Status == InternallyDenied && sameHuman(s.EndedBy, by) {
		return nil
	}
	stage, err := internalStage(s, by, now)
	if err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_InternalApprovalRefused{
		InternalApprovalRefused: &lockboxv1.InternalApprovalRefused{Stage: stage, Reason: a.GetReason()}}
	return InternalRefuse.check(a.GetReason())
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
		return 0, refusal.Because(refusal.Forbidden("token", "R15", "the %s decide at this stage, each of them once",
			aggregate.GroupName(stage.GetGroup())),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NOT_AT_THIS_STAGE))
	}
	return uint32(i), nil // #nosec G115 -- an index into a short list
}

func ask(s State, c aggregate.Command, a *lockboxv1.Ask, e *lockboxv1.Event, now time.Time) error {
	if err := pending(s, now); err != nil {
		return err
	}
	if len(s.Questions) >= maxQuestions {
		return refusal.Naming(
			refusal.Precondition("ask.text", "R31", "at most %d questions are asked about one request", maxQuestions),
			"most", strconv.Itoa(maxQuestions))
	}
	e.Fact = &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{QuestionId: c.GetId(),
		Text: a.GetText()}}
	return Ask.check(a.GetText())
}

func answer(s State, a *lockboxv1.Answer, e *lockboxv1.Event, now time.Time) error {
	if err := pending(s, now); err != nil {
		return err
	}
	i := slices.IndexFunc(s.Questions, func(q *lockboxv1.Question) bool { return q.GetQuestionId() == a.GetQuestionId() })
	if i < 0 {
		return refusal.NotFound("answer.question_id", "R31", "there is no such question")
	}
	if q := s.Questions[i]; q.GetAnswerer() != nil {
		if q.GetAnswer() == a.GetText() {
			return nil
		}
		return refusal.Naming(
			refusal.Conflict("answer.question_id", "R31", "answered already at %s", stamp(q.GetAnsweredAt().AsTime())),
			"at", q.GetAnsweredAt().AsTime().Format(time.RFC3339))
	}
	e.Fact = &lockboxv1.Event_QuestionAnswered{QuestionAnswered: &lockboxv1.QuestionAnswered{QuestionId: a.GetQuestionId(),
		Text: a.GetText()}}
	return Answer.check(a.GetText())
}
